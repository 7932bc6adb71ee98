"""One run of the server: what the agent remembers of it, and how it ends it."""

from __future__ import annotations

import logging
import signal
import subprocess
import time
from dataclasses import dataclass

from galerist.galera.server import Process

log = logging.getLogger("galerist.bootstrap")

STOP_PATIENCE = 1.0
"""Seconds after which a server that was told to end, and has not been in a Primary Component, is killed: while it looks
for one it does not hear SIGTERM for half a minute, and there is nothing yet that an orderly end would save."""

START_PATIENCE = 20.0
"""Seconds after which one is killed that has been in a Primary Component, but never answered: MariaDB that gets SIGTERM
while it starts may go on to Synced, and then neither end nor answer for ever."""

HANG_PATIENCE = 30.0
"""Seconds without a byte written after which one is killed that has answered. However long it takes to write its pages,
it may take; but MariaDB whose group falls apart while it leaves may wait for ever. What it has acknowledged is on disk."""

TRANSFER_PATIENCE = 20.0
"""Seconds for a joiner to end by itself whose state transfer has died; some wait for ever."""


def unheard(waited: float, quiet: float, was_primary: bool, answered: bool) -> bool:
    """Whether a server that was told to end ``waited`` seconds ago, and has written nothing for the last ``quiet``
    seconds, does not hear it."""
    if was_primary and answered:
        return quiet > HANG_PATIENCE
    return waited > (START_PATIENCE if was_primary else STOP_PATIENCE)


@dataclass(slots=True)
class Run:
    """A server that runs now. ``run`` and ``generation`` are its entry in the stamp; ``ours``: galerist has started it."""

    process: Process
    run: str
    generation: str
    ours: bool = True
    was_primary: bool = False
    answered: bool = False
    stopping_since: float | None = None
    written: int | None = None  # bytes, when last looked at while it was to end
    wrote: float = 0.0  # when that changed
    killed: bool = False
    log_offset: int = 0  # where its part of the error log begins
    transfer_died: float | None = None

    def stop(self) -> None:
        """Ask it to leave in order; may be repeated."""
        if self.stopping_since is None:
            self.stopping_since = time.monotonic()
            self.process.signal(signal.SIGCONT)
            self.process.signal(signal.SIGTERM)

    def carry_stop_through(self) -> None:
        """Kill a server that was told to end and does not hear it, whatever has been decided since: there is no way
        to take SIGTERM back. Never one that somebody else has started."""
        if self.stopping_since is None or not self.ours or self.killed:
            return
        now, written = time.monotonic(), self.process.written()
        if written is None or written != self.written:
            self.written, self.wrote = written, now
        if unheard(now - self.stopping_since, now - self.wrote, self.was_primary, self.answered):
            log.warning("The server was told to end, and does not hear it: killing it.")
            self.process.signal(signal.SIGKILL)
            self.killed = True

    def bereaved(self) -> None:
        """The state transfer that it waits for has died: end it, in case it does not end by itself."""
        self.transfer_died = self.transfer_died or time.monotonic()
        if time.monotonic() - self.transfer_died > TRANSFER_PATIENCE:
            log.warning("The state transfer has died, and the server waits for it: ending the server.")
            self.process.signal(signal.SIGKILL)


@dataclass(slots=True)
class Planned:
    """A start that waits for the initialisation of the datadir."""

    child: subprocess.Popen[bytes]
    run: tuple[str, str]  # id and generation
    log_offset: int = 0
