"""Ask every node itself, all the time, what it believes to be; and find instants that must never be.

A node is asked by its socket, so that no cut of the network hides it. What it says is kept as spans: the
time from the end of the first to the beginning of the last of several equal answers, in which it was so for
certain. Two spans that overlap, of nodes that were both Primary and open in views without a common member,
are two clusters (P1). A node that has lost its peers and has not noticed still names them: no such pair.
"""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import threading
import time
from dataclasses import dataclass

import pymysql

from tests.faults.fleet import Fleet

PERIOD = 0.1  # s between two questions to a node
NO_VIEW = "18446744073709551615"
"""wsrep_cluster_conf_id of a server that has been in no Primary view since it lost the last one. When such a server enters
one, it says Primary before it shows that view: the members that it names are still those of before."""

_ASKED = (
    "wsrep_cluster_status", "wsrep_ready", "wsrep_cluster_state_uuid", "wsrep_cluster_conf_id", "wsrep_local_state",
    "wsrep_incoming_addresses", "wsrep_cluster_size",
)  # fmt: skip
_QUESTION = (
    "SELECT variable_name, variable_value FROM information_schema.global_status WHERE variable_name IN ("
    + ", ".join(f"'{name}'" for name in _ASKED)
    + ") UNION ALL SELECT 'rejects', @@GLOBAL.wsrep_reject_queries"
)


@dataclass(frozen=True, slots=True)
class Answer:
    """What one node says of itself at one moment."""

    primary: bool
    ready: bool
    open: bool
    state: int
    uuid: str
    conf: str
    members: tuple[str, ...]

    @property
    def serves(self) -> bool:
        return self.primary and self.ready and self.open and self.conf != NO_VIEW


@dataclass(frozen=True, slots=True)
class Span:
    """From ``begin`` to ``end`` (s, monotonic) the node gave this same answer."""

    node: str
    begin: float
    end: float
    answer: Answer


def together(one: Span, other: Span) -> bool:
    """Whether both were so at one instant for certain.

    A span of a single answer (its end, when it was asked, lies before its beginning, when it answered) was
    so at an unknown moment in between: the other span must cover all of that.
    """
    for first, second in ((one, other), (other, one)):
        if first.end < first.begin:
            return second.begin <= first.end and first.begin <= second.end
    return max(one.begin, other.begin) <= min(one.end, other.end)


def two_primaries(spans: list[Span]) -> list[tuple[Span, Span]]:
    """Pairs of spans in which two disjoint sets of nodes served at the same instant."""
    serving = [span for span in spans if span.answer.serves]
    return [
        (one, other)
        for one, other in itertools.combinations(serving, 2)
        if one.node != other.node and not set(one.answer.members) & set(other.answer.members) and together(one, other)
    ]


class Prober:
    """One thread per node. ``now`` holds the last answers, ``spans()`` all of them."""

    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet
        self._end = threading.Event()
        self._lock = threading.Lock()
        self._spans: list[Span] = []
        self._open: dict[str, Span] = {}
        self.now: dict[str, Answer | None] = dict.fromkeys(fleet.nodes)
        self._threads = [threading.Thread(target=self._run, args=(node,), daemon=True) for node in fleet.nodes]

    def __enter__(self) -> Prober:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        for thread in self._threads:
            thread.join(60)

    def spans(self) -> list[Span]:
        with self._lock:
            return [*self._spans, *self._open.values()]

    def forget(self) -> None:
        """Drop all closed spans."""
        with self._lock:
            self._spans.clear()

    def _run(self, node: str) -> None:
        connection = None
        while not self._end.is_set():
            before = time.monotonic()
            try:
                if connection is None:
                    connection = self._fleet.root(node, timeout=5.0)
                with connection.cursor() as cursor:
                    cursor.execute(_QUESTION)
                    answer = self._answer(node, dict(cursor.fetchall()))
            except (pymysql.MySQLError, OSError, ValueError):
                if connection is not None:
                    with contextlib.suppress(Exception):
                        connection._force_close()
                connection, answer = None, None
            self._keep(node, before, time.monotonic(), answer)
            self._end.wait(PERIOD)
        if connection is not None:
            connection._force_close()

    def _answer(self, node: str, said: dict[str, str]) -> Answer:
        said = {name.lower(): value for name, value in said.items()}
        addresses = [address for address in said.get("wsrep_incoming_addresses", "").split(",") if address]
        members = {self._fleet.node_at(address) for address in addresses}
        if said.get("wsrep_cluster_size") != str(len(members)):
            # A view that came with a state transfer is not in the list of addresses, but in the view log.
            members = set(self._fleet.last_view(node)) or members
        return Answer(
            primary=said.get("wsrep_cluster_status") == "Primary",
            ready=said.get("wsrep_ready") == "ON",
            open=said["rejects"] == "NONE",
            state=int(said.get("wsrep_local_state", 0)),
            uuid=said.get("wsrep_cluster_state_uuid", ""),
            conf=said.get("wsrep_cluster_conf_id", ""),
            members=tuple(sorted(members)),
        )

    def _keep(self, node: str, asked: float, answered: float, answer: Answer | None) -> None:
        with self._lock:
            self.now[node] = answer
            last = self._open.get(node)
            if last is not None and last.answer == answer:
                self._open[node] = dataclasses.replace(last, end=asked)
                return
            if last is not None:
                self._spans.append(self._open.pop(node))
            if answer is not None:  # a single answer proves nothing about the time around it: end before begin
                self._open[node] = Span(node, answered, asked, answer)
