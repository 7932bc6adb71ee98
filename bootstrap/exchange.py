"""What an agent tells the registry, and what it reads there, in one pass."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TypeVar

from bootstrap.decisions import Decision
from bootstrap.facts import Expect
from bootstrap.tempo import tempo
from galerist.model import Endpoint, Malformed, NodeRecord, ProxyReport, Report, State, dump, load, older
from galerist.registry import events
from galerist.registry.contract import Lease, Registry, RegistryError, Swap
from galerist.registry.keys import Keys

log = logging.getLogger("galerist.bootstrap")

HISTORY_KEPT = 200
"""Decisions kept in the registry's history."""


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
    leading: tuple[str, ...] = ()  # while this node is drained: the proxies that lead clients to it, or have some there


class Exchange:
    """The registry as one agent uses it: its report under a lease, everybody's reports, the state, the history.

    An answer that fails is told once, in the log; only :meth:`publish` lets it through.
    """

    def __init__(self, who: Who, registry: Registry, clock: Callable[[], float], note_time: Callable[[], str]) -> None:
        self.keys = Keys(who.cluster)
        self.answered = False  # in the last pass
        self._who, self._registry, self._clock, self._note_time = who, registry, clock, note_time
        self._lease: Lease = registry.lease(who.ttl)
        self._published: dict[str, str] = {}
        self._published_at = float("-inf")
        self._said: Report | None = None  # as published last
        self._error: str | None = None
        self._last = State()  # the newest that was read

    def meet(self, me: Report) -> Known | None:
        """Publish this report and read everything; None when the registry did not answer."""
        own = self.keys.members + me.node
        try:
            self._publish(me)
            members = self._registry.list(self.keys.members)
            if members.get(own) != self._published.get(own):
                # the registry was wiped or restored under our lease: say it again, and see it there
                self._published_at = float("-inf")
                self._publish(me)
                members = self._registry.list(self.keys.members)
            nodes = self._registry.list(self.keys.nodes)
            raw = self._registry.get(self.keys.state)
            state = load(State, raw) if raw is not None else State()
            proxies = self._registry.list(self.keys.proxies) if me.node in state.drained else {}
        except (RegistryError, Malformed) as error:
            # A state that nobody can read is no better than none: all decisions wait for it.
            self._failed(error)
            return None
        self._succeeded()
        if raw is None or older(state, self._last):
            # The order of writers outlives a registry that was emptied or restored, so that no client is moved for it.
            state = replace(state, writer=self._last.writer)
        else:
            self._last = state
        leading = tuple(proxy.proxy for proxy in _all(ProxyReport, proxies) if proxy.leads_to(me.node))
        return Known(state, raw, _all(Report, members, own), _all(NodeRecord, nodes), leading)

    def publish(self, me: Report) -> bool:
        """Publish this report, and read nothing. False when the registry did not acknowledge it."""
        try:
            self._publish(me)
        except RegistryError as error:
            self._failed(error)
            return False
        self._succeeded()
        return True

    def _failed(self, error: Exception) -> None:
        if self._error != str(error):
            log.warning("The registry does not answer as it should: %s", error)
        self._error, self.answered = str(error), False

    def _succeeded(self) -> None:
        if self._error is not None:
            log.info("The registry answers again.")
        self._error, self.answered = None, True

    def _publish(self, me: Report) -> None:
        """Publish what changed; a position or a queue that only moved on waits for the next heartbeat."""
        now = self._clock()
        due = now - self._published_at >= tempo(self._who.ttl).heartbeat
        if not due and self._said is not None:
            held = replace(me, position=self._said.position) if me.live else me
            if me.caught_up == replace(me, queue=self._said.queue).caught_up:
                held = replace(held, queue=self._said.queue)
            if held == self._said:
                return
        values = self._values(me)
        self._lease.publish(values)
        self._published, self._published_at, self._said = values, now, me

    def _values(self, me: Report) -> dict[str, str]:
        """What the registry holds for this node while it reports this."""
        values = {self.keys.members + me.node: dump(me)}
        if self._who.advertises and me.opened and me.primary and me.role != "leaving":
            base = f"{self.keys.components}{me.node}/"
            values[base + "host"] = me.endpoint.host
            values[base + "ip"] = me.endpoint.ip
            values[base + "port"] = str(me.endpoint.sql_port)
            values[base + "service_instance_name"] = me.unit
        return values

    def swap(self, known: Known, state: State) -> Swap | None:
        """Replace the state that was read by this one; None when the registry did not take it."""
        value = dump(state)
        try:
            outcome = self._registry.swap(self.keys.state, known.raw, value)
        except RegistryError as error:
            log.warning("The registry did not take the record: %s", error)
            return None
        log.debug("swapped, %s: %s", outcome.value, json.dumps({"former": known.raw, "value": value}))
        return outcome

    def put(self, record: NodeRecord) -> bool:
        """Write a node's durable record."""
        try:
            self._registry.put(self.keys.nodes + record.node, dump(record))
        except RegistryError as error:
            log.warning("The registry did not take the record of %s: %s", record.node, error)
            return False
        return True

    def note(self, decision: Decision, operation: str) -> None:
        """One event of the history; an event that cannot be written stops nothing."""
        action = type(decision.action).__name__.lower()
        try:
            events.write(
                self._registry, self.keys, self._who.node, action, decision.sentence, decision.evidence, operation,
                when=self._note_time(),
            )  # fmt: skip
            for key in sorted(self._registry.list(self.keys.history))[:-HISTORY_KEPT]:
                self._registry.delete(key)
        except RegistryError as error:
            log.warning("An event could not be written to the history: %s", error)


T = TypeVar("T")


def _all(kind: type[T], texts: Mapping[str, str], but: str = "") -> tuple[T, ...]:
    """The records of all keys but one, without those that cannot be read: one bad record must not stop everybody."""
    found = []
    for key, text in sorted(texts.items()):
        if key == but:
            continue
        try:
            found.append(load(kind, text))
        except Malformed as error:
            log.warning("%s is ignored: %s", key, error)
    return tuple(found)
