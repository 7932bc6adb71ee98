"""The position that InnoDB recovers (``--wsrep-recover``), asked for in a process of its own."""

from __future__ import annotations

import subprocess

from galerist.galera.server import Launcher, Recovered


class Recovery:
    """One recovery at a time. ``result`` stands until the next server has run, or the datadir is another."""

    def __init__(self, launcher: Launcher) -> None:
        self._launcher = launcher
        self._child: subprocess.Popen[bytes] | None = None
        self.result: Recovered | None = None

    def begin(self) -> None:
        self._child = self._launcher.recover()

    def running(self) -> bool:
        """Whether it goes on; once it has ended there is a result."""
        if self._child is not None and (code := self._child.poll()) is not None:
            self._child = None
            self.result = self._launcher.recovered(code)
        return self._child is not None

    def forget(self) -> None:
        self.result = None
