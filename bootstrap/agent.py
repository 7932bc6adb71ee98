"""The agent's pass: look, publish, read, decide, act. Level-triggered: every pass starts from the whole truth.

The node and the registry come in from outside (:class:`bootstrap.hands.Node`,
:class:`galerist.registry.contract.Registry`), so the same pass runs on real parts and in a model of them.
"""

from __future__ import annotations

import logging
import secrets
from collections.abc import Callable

from bootstrap import decisions as rules
from bootstrap import history, operations, unserved
from bootstrap.decide import decide
from bootstrap.decisions import Decision
from bootstrap.exchange import Exchange, Known, Who
from bootstrap.facts import UNKNOWN, Facts, Failure
from bootstrap.hands import Look, Node
from galerist.logs import operation
from galerist.model import Attempt, Identity, NodeRecord, Report, Server, State, dump
from galerist.registry.contract import Registry, Swap

log = logging.getLogger("galerist.bootstrap")

HURRY = 20.0
"""Seconds for which a server that comes up or goes down is looked at more often: most take less. A long
state transfer is not worth the load on the registry."""


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
        self.exchange = Exchange(who, registry, clock, note_time)
        self.boot = token()
        self.decision: Decision | None = None
        self.facts: Facts | None = None
        self.operation = ""  # what this node does belongs to; see bootstrap.operations
        self.leaving = False
        self.hurried = False  # a server comes up or goes down: look again soon
        self._clock, self._token = clock, token
        self._ack: str | None = None
        self._taken_back = False
        self._furnished = False
        self._since: dict[str, float] = {}

    # -- one pass ----------------------------------------------------------------------------

    def step(self) -> bool:
        """One pass. True when something was done, so that the next pass should follow at once."""
        look = self.node.look()
        self._hurry(look)
        me = self._report(look)
        known = self.exchange.meet(me)
        if known is not None:
            self.node.remember(known.state, known.others)
        facts = self._facts(look, me, known)
        decision = decide(facts)
        before_it = (self.decision.sentence, type(self.decision.action)) if self.decision is not None else None
        changed = (decision.sentence, type(decision.action)) != before_it
        fresh = secrets.token_hex(4) if changed and not operations.continues(facts) else self.operation
        self.operation = operations.shared(decision, facts) or fresh or secrets.token_hex(4)
        operation.set(self.operation)
        if changed:
            log.info("%s", decision.sentence)
        if log.isEnabledFor(logging.DEBUG) and (changed or not isinstance(decision.action, rules.Wait | rules.Serve)):
            log.debug("decided %s: %s", type(decision.action).__name__, dump(facts))
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
            desync=look.desync,
            queue=look.queue,
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
            attempted=self._lasting("attempted", look.attempting and look.server is Server.UP and not me.synced),
            admission=self._lasting("admission", look.server is Server.DOWN and serving),
            failure=Failure(*look.failure) if look.failure is not None else None,
            leading=known.leading if known is not None else (),
            desynced=look.desynced,
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
                    self.exchange.note(decision, self.operation)
            case rules.Promote(claim=claim, cluster_name=name, peers=peers):
                self._furnished = False
                node.promote(Attempt(claim.nonce, claim.position, name), peers)
                self.exchange.note(decision, self.operation)
            case rules.Join(identity=identity, peers=peers, full=full):
                if facts.answered and not taken_back:
                    self._take_back()
                else:
                    self._ack = None
                    unknown = facts.answered and history.blank(facts.me) and not _recorded(facts)
                    if unknown and not self.exchange.put(NodeRecord(facts.me.node, facts.me.disk, held=False)):
                        return False  # that it never held anything must be known before it is seen in a view
                    node.join(identity, peers, full)
                    self.exchange.note(decision, self.operation)
            case rules.Confirm(identity=identity):
                node.confirm(identity)
            case rules.Cleanse():
                node.cleanse()
            case rules.Vouch(record=record):
                if record.node != self.who.node:
                    node.flush()  # the former disk is given up for what is committed here
                return self.exchange.put(record)
            case rules.SetAside():
                node.set_aside()
                self.exchange.note(decision, self.operation)
            case rules.Open():
                record = NodeRecord(facts.me.node, facts.me.disk, held=True)
                if record not in facts.nodes and not self.exchange.put(record):
                    return False
                node.open()
                self.exchange.note(decision, self.operation)
            case rules.Close() | rules.Stop() if not self._still(facts.me):
                pass  # the next pass decides anew
            case rules.Close():
                node.close()
                self.exchange.note(decision, self.operation)
            case rules.Desync(on=on):
                node.desync(on)
                self.exchange.note(decision, self.operation)
            case rules.Stop():
                node.stop()
                return False
            case _:
                return False
        return True

    def _still(self, me: Report) -> bool:
        """Whether the server is as it was when this pass began: an agent that was frozen since must decide anew
        before it takes a server away that may be Primary again."""
        look = self.node.look()
        return (look.server, look.cluster_status, look.view) == (me.server, me.cluster_status, me.view)

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
        outcome = self.exchange.swap(known, state)
        if outcome is Swap.WON:
            self.exchange.note(decision, self.operation)
        return outcome is not None  # the next pass reads again and decides by what it finds

    # -- the end -----------------------------------------------------------------------------

    def farewell(self) -> bool:
        """One pass while leaving: report, and stop the server. True once it is down and that is published."""
        self.leaving = True
        look = self.node.look()
        self._hurry(look)
        self._taken_back = False
        me = self._report(look)
        self.node.tell(me)
        published = self.exchange.publish(me)
        if look.server is Server.DOWN:
            log.info("The server is down%s.", ", and its position is published" if published else "")
            return True
        if not self.node.stop():
            log.warning("Another process has the datadir open, and is left alone: %s.", look.problem)
            return True
        return False


def _recorded(facts: Facts) -> bool:
    return any(record.node == facts.me.node for record in facts.nodes)
