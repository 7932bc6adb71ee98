"""The server's error log, as far as it tells how a start gets on and why a server ended."""

from __future__ import annotations

import os
from pathlib import Path

from galerist.galera.failures import TRANSFER_DIED, reason

MOST = 262144
"""Bytes at most that are read of one run."""

STAGES = (
    ("Receiving IST", "receiving an incremental state transfer"),
    ("Requesting state transfer: success", "receiving a state transfer"),
    ("Shifting OPEN -> PRIMARY", "in the group, asking for a state transfer"),
    ("gcomm: connecting", "connecting to the members"),
)
"""What the log says, the latest first, and what it means."""


class ErrorLog:
    """A file that servers append to. An offset, as :meth:`size` gave it, marks the beginning of one run."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def size(self) -> int:
        return self._path.stat().st_size if self._path.exists() else 0

    def since(self, offset: int) -> str:
        """What was written since, the end of it; all of it when the file has been replaced by a shorter one."""
        try:
            with self._path.open("rb") as file:
                size = file.seek(0, os.SEEK_END)
                file.seek(max(offset if offset <= size else 0, size - MOST))
                return file.read().decode(errors="replace")
        except OSError:
            return ""

    def transfer_died(self, offset: int) -> bool:
        return TRANSFER_DIED.search(self.since(offset)) is not None

    def stage(self, offset: int, died: bool, tainted: bool) -> str:
        """What a server that does not answer yet is at. ``died``: its state transfer has."""
        text = self.since(offset)
        words = next((words for mark, words in STAGES if mark in text), "starting")
        if died and (known := reason(text)) is not None:
            return f"{words}, but: {known[0]}. To end that: {known[1]}"
        return "receiving a full state transfer" if tainted else words
