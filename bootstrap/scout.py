"""What this node reaches of its peers, and the end of its logs, told to whoever asks: `galerist doctor`, `galerist logs`.

The question stands in the registry under a lease, each agent's answer in a key of its own, as long as somebody asks.
"""

from __future__ import annotations

import logging
import socket
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from bootstrap.facts import Facts
from galerist import __version__
from galerist.model import Report, dump
from galerist.registry.contract import Registry, RegistryError
from galerist.registry.keys import Keys

log = logging.getLogger("galerist.scout")

PACE = 2.0
"""Seconds between two looks for a question."""

CONNECT = 2.0
"""Seconds until a port counts as not answering."""

REACH, LOGS = "what do you reach?", "what do your logs say?"
"""The questions that there are."""

MOST = 16384
"""Bytes of each log that are told."""


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
    """To these questions. ``clock`` is the node's own, in seconds since 1970, as it answered; ``agent`` and ``server``
    are the ends of its logs, ``zone`` by how many seconds the server's times are ahead of UTC; ``version`` is galerist's."""

    asked: tuple[str, ...]
    clock: float
    ways: tuple[Way, ...] = ()
    agent: str = ""
    server: str = ""
    zone: int = 0
    version: str = ""


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

    def __init__(self, registry: Registry, keys: Keys, node: str, spoken: Callable[[], str], server_log: Path) -> None:
        self._registry, self._keys, self._node = registry, keys, node
        self._spoken, self._server_log = spoken, server_log
        self._looked = 0.0
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="scout")
        self._walk: tuple[frozenset[str], Future[Answer]] | None = None
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
                self._registry.put(self._keys.answers + self._node, dump(walked.result()))
                self._answered = asked
        except (RegistryError, OSError, ValueError) as error:
            log.debug("the doctor is answered later: %s", error)

    def _look(self, facts: Facts) -> None:
        questions = self._registry.list(self._keys.questions)
        asked = frozenset(questions)
        if asked - self._answered:
            there = tuple(ways(facts.others)) if REACH in questions.values() else ()
            self._walk = asked, self._pool.submit(self._answer, asked, there, LOGS in questions.values())
        elif self._answered and not asked:
            self._registry.delete(self._keys.answers + self._node)
            self._answered = asked

    def _answer(self, asked: frozenset[str], there: tuple[Way, ...], logs: bool) -> Answer:
        """In a thread of its own."""
        walked = walk(there)
        said = (self._spoken()[-MOST:], _end(self._server_log)) if logs else ("", "")
        return Answer(tuple(sorted(asked)), time.time(), walked, *said, time.localtime().tm_gmtoff, __version__)


def _end(file: Path) -> str:
    try:
        with file.open("rb") as log:
            log.seek(max(0, file.stat().st_size - MOST))
            return log.read().decode(errors="replace")
    except OSError as error:
        return f"{file}: {error.strerror}\n"
