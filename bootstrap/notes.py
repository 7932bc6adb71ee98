"""Small notes beside a node: what the registry said last, and what the node's clustercheck must know."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import time
from dataclasses import replace
from pathlib import Path
from typing import Literal

from galerist.files import write_atomically
from galerist.galera.config import authority
from galerist.model import Report, State, dump, load

log = logging.getLogger("galerist.bootstrap")


Mark = Literal["started", "answered", "stopping", "desynced"]
"""What is noted of a server process: galerist has started it; it has answered SQL; it was told to end; its agent has
taken it out of flow control."""


class Notes:
    """``kept`` is the file for the agent itself, ``told`` that for the clustercheck."""

    def __init__(self, kept: Path, told: Path) -> None:
        self._kept, self._told = kept, told
        self._text: str | None = None  # as kept
        self._state = State()
        self._heard: float | None = None  # when the registry last answered, on the wall clock
        self._peers: list[dict[str, object]] | None = None
        self._trouble: int | None = None  # why the last write failed

    def donors(self, node: str) -> tuple[str, ...]:
        """Those of the others that the writer's clients would miss least: the last in the order first, the writer not."""
        others = [name for name in self._state.writer if name != node]
        return tuple(reversed(others[1:]))

    def remember(self, state: State, others: tuple[Report, ...]) -> None:
        """Keep what the registry said, for a start while it is down (rule 10)."""
        self._state = state
        self._heard = time.time()
        self._peers = [
            {
                "node": other.node,
                "host": other.endpoint.ip or other.endpoint.host,
                "port": other.endpoint.sql_port,
                "check_port": other.endpoint.check_port,
                "usable": other.synced and other.opened and other.node not in state.drained,
                "incoming": authority(other.endpoint.host, other.endpoint.sql_port),
            }
            for other in others
        ]
        stable = tuple(
            replace(report, position=None, queue=0, reason="", evidence=(), remedy=None, progress="")
            for report in others
        )
        text = json.dumps({"state": dump(state), "others": [dump(report) for report in stable]})
        if text != self._text and self._write(self._kept, text, 0o600):
            self._text = text

    def remembered(self) -> tuple[State, tuple[Report, ...]]:
        """What :meth:`remember` kept, also by an earlier agent; nothing if that cannot be read."""
        try:
            kept = json.loads(self._kept.read_text())
            state, others = load(State, kept["state"]), tuple(load(Report, text) for text in kept["others"])
        except (OSError, ValueError, KeyError):
            return State(), ()
        self._state = replace(self._state, drained=state.drained)
        return state, others

    def mark(self, what: Mark, process: str) -> bool:
        """Note something of this process, for whichever agent looks after it. False if it cannot be written."""
        return self.marked(what, process) or self._write(self._told.with_name(what), process, 0o644)

    def marked(self, what: Mark, process: str) -> bool:
        """Whether that was noted of this process."""
        try:
            return self._told.with_name(what).read_text(errors="replace") == process
        except OSError:
            return False

    def tell(self, report: Report) -> None:
        """Pass on to the node's clustercheck what it must know of this node and the others."""
        drained = report.node in self._state.drained
        text = json.dumps(
            {
                "opened": report.opened,
                "paused": report.role == "paused",
                "drained": drained,
                "reason": f"galerist undrain {report.node} ends that" if drained and report.opened else report.reason,
                "node": report.node,
                "host": report.endpoint.ip or report.endpoint.host,
                "port": report.endpoint.sql_port,
                "writer": self._state.writer,
                "peers": self._peers,
            },
            sort_keys=True,
        )
        with contextlib.suppress(FileNotFoundError):
            if self._told.read_text() == text:
                self._date()
                return
        if self._write(self._told, text, 0o644):
            self._date()

    def _date(self) -> None:
        """The age of the file tells how old the news of the other members are, also when this agent has died."""
        if self._heard is not None:
            os.utime(self._told, (self._heard, self._heard))

    def _write(self, path: Path, text: str, mode: int) -> bool:
        """A disk that is full must not end the agent: the next pass tries again."""
        try:
            write_atomically(path, text, mode=mode)
        except OSError as error:
            if error.errno != self._trouble:
                log.error("%s cannot be written: %s. It is tried again at each pass.", path, error.strerror)
            self._trouble = error.errno
            return False
        self._trouble = None
        return True
