"""What this node reaches of its peers, told to `galerist doctor` when it asks: it looks one way only by itself.

The question stands in the registry under the doctor's lease, each agent's answer in a key of its own, as long as somebody
asks.
"""

from __future__ import annotations

import logging
import socket
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

from bootstrap.facts import Facts
from galerist.model import Report, dump
from galerist.registry.contract import Registry, RegistryError
from galerist.registry.keys import Keys

log = logging.getLogger("galerist.scout")

PACE = 2.0
"""Seconds between two looks for a question."""

CONNECT = 2.0
"""Seconds until a port counts as not answering."""


@dataclass(frozen=True, slots=True)
class Way:
    """From the node that answers to a port of another one. ``setting`` is the one that names the port; ``trouble`` is
    empty when it answers."""

    node: str
    what: str
    setting: str
    host: str
    port: int
    trouble: str = ""


@dataclass(frozen=True, slots=True)
class Answer:
    """To these questions. ``clock`` is the node's own, in seconds since 1970, as it answered."""

    asked: tuple[str, ...]
    clock: float
    ways: tuple[Way, ...] = ()


def ways(reports: tuple[Report, ...]) -> Iterator[Way]:
    """The ports of these nodes that should answer: those of a server only while it is Primary."""
    for report in reports:
        place = report.endpoint
        host = place.ip or place.host
        yield Way(report.node, "health endpoint", "check_port", host, place.check_port)
        if report.primary:
            yield Way(report.node, "SQL", "sql_port", host, place.sql_port)
            yield Way(report.node, "group communication", "gcomm_port", host, place.gcomm_port)


def walk(those: tuple[Way, ...]) -> tuple[Way, ...]:
    """Try them all at once."""
    if not those:
        return ()
    with ThreadPoolExecutor(min(len(those), 16)) as pool:
        return tuple(pool.map(_tried, those))


def _tried(way: Way) -> Way:
    try:
        socket.create_connection((way.host, way.port), timeout=CONNECT).close()
    except OSError as error:
        trouble = "no answer in time" if isinstance(error, TimeoutError) else error.strerror or str(error)
        return Way(way.node, way.what, way.setting, way.host, way.port, trouble)
    return way


class Scout:
    """Answers in the agent's own rhythm, and takes the answer back when nobody asks; the ways are walked beside it."""

    def __init__(self, registry: Registry, keys: Keys, node: str) -> None:
        self._registry, self._keys, self._node = registry, keys, node
        self._looked = 0.0
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="scout")
        self._walk: tuple[frozenset[str], Future[tuple[Way, ...]]] | None = None
        self._answered: frozenset[str] = frozenset()

    def close(self) -> None:
        self._pool.shutdown(wait=False)

    def step(self, facts: Facts | None) -> None:
        """One look; nothing while the registry is silent."""
        now = time.monotonic()
        if facts is None or not facts.answered or (now - self._looked < PACE and self._walk is None):
            return
        self._looked = now
        try:
            if self._walk is None:
                self._look(facts)
            elif self._walk[1].done():
                (asked, walked), self._walk = self._walk, None
                answer = Answer(tuple(sorted(asked)), time.time(), walked.result())
                self._registry.put(self._keys.answers + self._node, dump(answer))
                self._answered = asked
        except RegistryError as error:
            log.debug("the doctor is answered later: %s", error)

    def _look(self, facts: Facts) -> None:
        asked = frozenset(self._registry.list(self._keys.questions))
        if asked - self._answered:
            self._walk = asked, self._pool.submit(walk, tuple(ways(facts.others)))
        elif self._answered and not asked:
            self._registry.delete(self._keys.answers + self._node)
            self._answered = asked
