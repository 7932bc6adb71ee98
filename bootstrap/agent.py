"""The agent's pass: look, publish, read, decide, act. Level-triggered: every pass starts from the whole truth.

The node and the registry come in from outside (:class:`Node`,
:class:`galerist.registry.contract.Registry`), so the same pass runs on real parts and in a model of them.
"""

from __future__ import annotations

import json
import logging
import secrets
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Protocol, TypeVar

from bootstrap import decisions as rules
from bootstrap import history, operations, unserved
from bootstrap.decide import decide
from bootstrap.decisions import Decision
from bootstrap.facts import UNKNOWN, Expect, Facts, Failure
from galerist.galera.stamp import Stamp
from galerist.logs import operation
from galerist.model import (
    ZERO_UUID,
    Attempt,
    Data,
    Endpoint,
    Identity,
    Malformed,
    NodeRecord,
    Position,
    Report,
    Server,
    State,
    View,
    dump,
    load,
)
from galerist.registry.contract import Lease, Registry, RegistryError, Swap
from galerist.registry.keys import Keys

log = logging.getLogger("galerist.bootstrap")

HURRY = 20.0
"""Seconds for which a server that comes up or goes down is looked at more often: most take less. A long
state transfer is not worth the load on the registry."""

HISTORY_KEPT = 200
"""Decisions kept in the registry's history."""


@dataclass(frozen=True, slots=True)
class Look:
    """What the agent sees of its own node at one moment."""

    server: Server
    stamp: Stamp
    data: Data
    position: Position | None = None
    problem: str | None = None
    pid: int | None = None
    cluster_status: str = "Disconnected"
    local_state: int = 0
    uuid: str = ZERO_UUID
    opened: bool = False
    view: View | None = None
    was_primary: bool = False
    settled: bool = True  # the server has applied all that it has received
    attempting: bool = False  # the server that runs was started for the attempt in the stamp
    failure: tuple[str, str, float] | None = None  # sentence, remedy, seconds until the next try
    progress: str = ""
    version: str = ""


class Node(Protocol):
    """The agent's hands: one datadir and its server. None of these waits for the server."""

    def look(self) -> Look: ...
    def recover(self) -> None: ...
    def bootstrap(self, attempt: Attempt) -> None:
        """Write the attempt into the stamp, durably, and start it closed."""

    def promote(self, attempt: Attempt, peers: tuple[str, ...]) -> None:
        """Flush, write the attempt into the stamp, durably, and form a Primary Component of that name with the
        closed, non-Primary server that runs. OSError when it is not, or is at another position, or fails."""

    def join(self, identity: Identity, peers: tuple[str, ...], full: bool) -> None: ...
    def furnish(self) -> None:
        """Make the accounts in a new cluster, before it is recorded. May be repeated."""

    def flush(self) -> None: ...
    def confirm(self, identity: Identity) -> None: ...
    def cleanse(self) -> None: ...
    def set_aside(self) -> None:
        """Rename the datadir and begin a new stamp. Nothing is deleted."""

    def open(self) -> None: ...
    def close(self) -> None: ...
    def stop(self) -> None: ...
    def remember(self, state: State, others: tuple[Report, ...]) -> None: ...
    def remembered(self) -> tuple[State, tuple[Report, ...]]: ...
    def tell(self, report: Report) -> None:
        """Pass on to the node's clustercheck what it must know."""


@dataclass(frozen=True, slots=True)
class Who:
    """Who this agent is; fixed for one boot."""

    cluster: str
    node: str
    endpoint: Endpoint
    expect: Expect
    unit: str = ""
    pid: int | None = None
    ttl: float = 10.0
    advertises: bool = True  # else a sidekick says where the SQL listener is: one owner of these keys


@dataclass(frozen=True, slots=True)
class Known:
    """What the registry answered in one pass."""

    state: State
    raw: str | None
    others: tuple[Report, ...]
    nodes: tuple[NodeRecord, ...]


class Agent:
    """Looks after one node. :meth:`step` is one pass; whoever drives it decides when."""

    def __init__(
        self,
        who: Who,
        node: Node,
        registry: Registry,
        clock: Callable[[], float],
        token: Callable[[], str] = lambda: secrets.token_hex(4),
        note_time: Callable[[], str] = lambda: "",
    ) -> None:
        self.who = who
        self.node = node
        self.registry = registry
        self.keys = Keys(who.cluster)
        self.boot = token()
        self.decision: Decision | None = None
        self.facts: Facts | None = None
        self.operation = ""  # what this node does belongs to; see bootstrap.operations
        self.leaving = False
        self.hurried = False  # a server comes up or goes down: look again soon
        self._clock, self._token, self._note_time = clock, token, note_time
        self._lease: Lease = registry.lease(who.ttl)
        self._published: dict[str, str] = {}
        self._published_at = float("-inf")
        self._ack: str | None = None
        self._taken_back = False
        self._furnished = False
        self._reported_position: Position | None = None
        self._since: dict[str, float] = {}
        self._registry_error: str | None = None
        self._writer: tuple[str, ...] = ()

    # -- one pass ----------------------------------------------------------------------------

    def step(self) -> bool:
        """One pass. True when something was done, so that the next pass should follow at once."""
        look = self.node.look()
        self._hurry(look)
        me = self._report(look)
        known = self._exchange(me)
        facts = self._facts(look, me, known)
        decision = decide(facts)
        before_it = (self.decision.sentence, type(self.decision.action)) if self.decision is not None else None
        changed = (decision.sentence, type(decision.action)) != before_it
        fresh = secrets.token_hex(4) if changed and not operations.continues(facts) else self.operation
        self.operation = operations.shared(decision, facts) or fresh or secrets.token_hex(4)
        operation.set(self.operation)
        if changed:
            log.info("%s", decision.sentence)
        before = (self._ack, self._taken_back)
        self.decision, self.facts = decision, facts
        try:
            acted = self._act(decision, facts, known)
        except OSError as error:  # a full disk, a server that died under our hands: the next pass looks again
            log.error("%s could not be done: %s", type(decision.action).__name__, error)
            acted = False
        self.node.tell(me)
        return acted or before != (self._ack, self._taken_back)

    def _report(self, look: Look) -> Report:
        server = look.server
        if server is Server.DOWN and self._taken_back:
            server = Server.STARTING
        if server is not Server.DOWN:
            self._ack = None
        decision = self.decision
        return Report(
            node=self.who.node,
            boot=self.boot,
            endpoint=self.who.endpoint,
            server=server,
            data=look.data,
            disk=look.stamp.disk,
            position=look.position,
            live=look.server is Server.UP,
            cluster_status=look.cluster_status,
            local_state=look.local_state,
            opened=look.opened,
            uuid=look.uuid,
            identity=look.stamp.identity,
            held=look.stamp.held,
            attempt=look.stamp.attempt,
            view=look.view,
            ack=self._ack,
            problem=look.problem,
            server_pid=look.pid,
            agent_pid=self.who.pid,
            role="leaving" if self.leaving else decision.role if decision is not None else "starting",
            reason=decision.sentence if decision is not None else "",
            evidence=decision.evidence if decision is not None else (),
            remedy=decision.remedy if decision is not None else None,
            unit=self.who.unit,
            version=look.version,
            progress=look.progress,
        )

    def _exchange(self, me: Report) -> Known | None:
        """Publish this report and read everything; None when the registry did not answer."""
        try:
            self._publish(me)
            members = self.registry.list(self.keys.members)
            if members.get(self.keys.members + me.node) != self._published.get(self.keys.members + me.node):
                # the registry was wiped or restored under our lease: say it again, and see it there
                self._published_at = float("-inf")
                self._publish(me)
                members = self.registry.list(self.keys.members)
            nodes = self.registry.list(self.keys.nodes)
            raw = self.registry.get(self.keys.state)
            # The order of writers outlives a registry that was emptied, so that no client is moved for it.
            state = load(State, raw) if raw is not None else State(writer=self._writer)
            self._writer = state.writer
        except (RegistryError, Malformed) as error:
            # A state that nobody can read is no better than none: all decisions wait for it.
            if self._registry_error != str(error):
                log.warning("The registry does not answer as it should: %s", error)
            self._registry_error = str(error)
            return None
        if self._registry_error is not None:
            log.info("The registry answers again.")
            self._registry_error = None
        own = self.keys.members + me.node
        others = tuple(
            report
            for key, text in sorted(members.items())
            if key != own and (report := _readable(Report, key, text)) is not None
        )
        records = tuple(
            record for key, text in sorted(nodes.items()) if (record := _readable(NodeRecord, key, text)) is not None
        )
        self.node.remember(state, others)
        return Known(state, raw, others, records)

    def _publish(self, me: Report) -> None:
        """Publish what changed; a position that only moved on waits for the next heartbeat."""
        now = self._clock()
        due = now - self._published_at >= self.who.ttl / 3
        held = replace(me, position=self._reported_position) if me.live else me
        if due or self._values(held) != self._published:
            values = self._values(me)
            self._lease.publish(values)
            self._published, self._published_at = values, now
            self._reported_position = me.position

    def _values(self, me: Report) -> dict[str, str]:
        """What the registry holds for this node while it reports this."""
        values = {self.keys.members + me.node: dump(me)}
        if self.who.advertises and me.opened and me.primary and not self.leaving:
            base = f"{self.keys.components}{me.node}/"
            values[base + "host"] = me.endpoint.host
            values[base + "ip"] = me.endpoint.ip
            values[base + "port"] = str(me.endpoint.sql_port)
            values[base + "service_instance_name"] = me.unit
        return values

    def _facts(self, look: Look, me: Report, known: Known | None) -> Facts:
        state, others = (known.state, known.others) if known is not None else self.node.remembered()
        serving = False
        if known is not None:
            identity = history.known(state.identity, (me, *others))
            serving = isinstance(identity, Identity) and any(history.serves(report, identity) for report in others)
        return Facts(
            cluster=self.who.cluster,
            me=me,
            expect=self.who.expect,
            nonce=self._token(),
            answered=known is not None,
            state=state,
            others=others,
            nodes=known.nodes if known is not None else (),
            taken_back=self._taken_back and look.server is Server.DOWN,
            was_primary=look.was_primary,
            attempting=look.attempting,
            unserved=self._lasting("unserved", known is not None and not serving),
            non_primary=self._lasting(
                "non_primary", look.server is Server.UP and not me.primary and me.cluster_status != UNKNOWN
            ),
            silence=self._lasting("silence", known is None),
            bereft=self._lasting("bereft", known is not None and look.settled and unserved.bereft(me, others)),
            attempted=self._lasting("attempted", look.attempting and not me.primary),
            admission=self._lasting("admission", look.server is Server.DOWN and serving),
            failure=Failure(*look.failure) if look.failure is not None else None,
        )

    def _hurry(self, look: Look) -> None:
        changing = look.server is not Server.DOWN and (self.leaving or not look.opened)
        self.hurried = self._lasting("changing", changing) < HURRY and changing

    def _lasting(self, what: str, holds: bool) -> float:
        """Seconds for which something has been the case without a break."""
        if not holds:
            self._since.pop(what, None)
            return 0.0
        return self._clock() - self._since.setdefault(what, self._clock())

    # -- acting ------------------------------------------------------------------------------

    def _act(self, decision: Decision, facts: Facts, known: Known | None) -> bool:
        action, node = decision.action, self.node
        taken_back, self._taken_back = self._taken_back, False
        match action:
            case rules.Recover():
                node.recover()
                return False  # its end wakes the agent
            case rules.Ack(nonce=nonce):
                self._ack = nonce
            case rules.Change(state=state, flush=flush):
                return self._swap(state, flush, facts, known, decision)
            case rules.Bootstrap(claim=claim, cluster_name=name):
                attempt = Attempt(claim.nonce, claim.position, name)
                if not taken_back:
                    # Rule 1: "not running" is taken back, and acknowledged, before a server is started.
                    self._take_back()
                else:
                    self._furnished = False
                    node.bootstrap(attempt)
                    self._note(decision)
            case rules.Promote(claim=claim, cluster_name=name, peers=peers):
                self._furnished = False
                node.promote(Attempt(claim.nonce, claim.position, name), peers)
                self._note(decision)
            case rules.Join(identity=identity, peers=peers, full=full):
                if facts.answered and not taken_back:
                    self._take_back()
                else:
                    self._ack = None
                    record = NodeRecord(facts.me.node, facts.me.disk, held=False)
                    if facts.answered and history.blank(facts.me) and not _recorded(facts) and not self._put(record):
                        return False  # that it never held anything must be known before it is seen in a view
                    node.join(identity, peers, full)
                    self._note(decision)
            case rules.Confirm(identity=identity):
                node.confirm(identity)
            case rules.Cleanse():
                node.cleanse()
            case rules.Vouch(record=record):
                return self._put(record)
            case rules.SetAside():
                node.set_aside()
                self._note(decision)
            case rules.Open():
                record = NodeRecord(facts.me.node, facts.me.disk, held=True)
                if record not in facts.nodes and not self._put(record):
                    return False
                node.open()
                self._note(decision)
            case rules.Close():
                node.close()
                self._note(decision)
            case rules.Stop():
                node.stop()
                return False
            case _:
                return False
        return True

    def _take_back(self) -> None:
        self._taken_back = True
        self._ack = None

    def _swap(self, state: State, flush: bool, facts: Facts, known: Known | None, decision: Decision) -> bool:
        if known is None:
            return False
        try:
            begun = facts.attempting and facts.me.attempt is not None and facts.me.attempt.position is None
            if begun and not self._furnished:
                if facts.state.identity is None:
                    self.node.furnish()
                self._furnished = True
            if flush:
                self.node.flush()
        except OSError as error:
            log.warning("The server could not be prepared for the record: %s", error)
            return False
        try:
            outcome = self.registry.swap(self.keys.state, known.raw, dump(state))
        except RegistryError as error:
            log.warning("The registry did not take the record: %s", error)
            return False
        if outcome is Swap.WON:
            self._note(decision)
        return True  # in every case the next pass reads again and decides by what it finds

    def _put(self, record: NodeRecord) -> bool:
        try:
            self.registry.put(self.keys.nodes + record.node, dump(record))
        except RegistryError as error:
            log.warning("The registry did not take the record of %s: %s", record.node, error)
            return False
        return True

    def _note(self, decision: Decision) -> None:
        """One event of the history; an event that cannot be written stops nothing."""
        when = self._note_time()
        event = {
            "time": when,
            "node": self.who.node,
            "action": type(decision.action).__name__.lower(),
            "sentence": decision.sentence,
            "evidence": list(decision.evidence),
            "operation": self.operation,
        }
        try:
            self.registry.put(f"{self.keys.history}{when}-{self.who.node}", json.dumps(event, sort_keys=True))
            for key in sorted(self.registry.list(self.keys.history))[:-HISTORY_KEPT]:
                self.registry.delete(key)
        except RegistryError as error:
            log.warning("An event could not be written to the history: %s", error)

    # -- the end -----------------------------------------------------------------------------

    def farewell(self) -> bool:
        """One pass while leaving: report, and stop the server. True once it is down and that is published."""
        self.leaving = True
        look = self.node.look()
        self._hurry(look)
        self._taken_back = False
        me = self._report(look)
        self.node.tell(me)
        published = True
        try:
            self._publish(me)
        except RegistryError as error:
            published = False
            if self._registry_error != str(error):
                log.warning("The registry does not answer: %s", error)
            self._registry_error = str(error)
        if look.server is Server.DOWN:
            log.info("The server is down%s.", ", and its position is published" if published else "")
            return True
        self.node.stop()
        return False


def _recorded(facts: Facts) -> bool:
    return any(record.node == facts.me.node for record in facts.nodes)


T = TypeVar("T")


def _readable(kind: type[T], key: str, text: str) -> T | None:
    """A record, or None with a warning: one bad record must not stop everybody."""
    try:
        return load(kind, text)
    except Malformed as error:
        log.warning("%s is ignored: %s", key, error)
        return None
