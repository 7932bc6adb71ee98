"""A HAProxy that somebody else starts and stops: systemd, or another container.

Watcher and HAProxy share ``folder``, under the same path: the configuration, the stats socket and, where
it is started with ``-S <folder>/master.sock``, the master's socket lie there. Only the reload differs:
over the master's socket, by ``systemctl reload``, by SIGUSR2 to a pid, or to a container by Docker's API.
"""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

from haproxy.control import Mute, Processes, ask
from haproxy.process import Haproxy, Refused, until
from haproxy.runtime import Patience

_PATIENCE = 15.0  # s for a reload
_PID = re.compile(r"^Pid: (\d+)$", re.M)


class Elsewhere(Haproxy):
    """``way`` is ``socket``, ``systemd:UNIT``, ``pidfile:PATH`` or ``docker:CONTAINER``."""

    def __init__(self, binary: Path, folder: Path, patience: Patience, way: str) -> None:
        super().__init__(binary, folder, patience)
        self._way = way

    def facts(self, write: bool = True) -> dict[str, object]:
        return {**super().facts(write), "socket_mode": "660"}

    def running(self) -> bool:
        return self._pid() is not None

    def processes(self) -> Processes:
        """Without the master's socket nothing is known of workers from before a reload."""
        with contextlib.suppress(Mute):
            return super().processes()
        pid = self._pid()
        if pid is None:
            raise Mute(f"HAProxy does not answer on {self.admin}")
        return Processes(0, 0, (pid,), ())

    def adopt(self) -> bool:
        self.applied = self.good.read_text() if self.good.exists() else ""
        return self.running()

    def stop(self, grace: float = 2.0) -> None:
        """It is not ours to stop."""

    def examine(self, path: Path) -> str:
        """Where there is no program haproxy, the one that reloads has the say."""
        return super().examine(path) if os.access(self._binary, os.X_OK) else ""

    def _furnish(self, write: bool) -> str:
        if os.access(self._binary, os.X_OK):
            return super()._furnish(write)
        return self._lay_down(write)  # the images that people use know Lua

    def _start(self) -> None:
        """Its file is there now; whoever looks after it starts it."""
        self.applied = self.config.read_text()
        raise Mute(f"HAProxy does not answer on {self.admin}: start it with -f {self.config}")

    def _reload(self) -> None:
        before = self._pid()
        if self._way == "socket":
            super()._reload()
            return
        try:
            reloader(self._way)()
        except (OSError, RuntimeError) as error:
            raise Refused(f"HAProxy could not be told to reload ({self._way}): {error}") from error
        if not until(lambda: self._pid() not in (None, before), _PATIENCE):
            raise Refused(
                f"no new worker answers {_PATIENCE:g} s after the reload ({self._way}); HAProxy's own log says why"
            )

    def _pid(self) -> int | None:
        try:
            found = _PID.search(ask(self.admin, "show info"))
        except Mute:
            return None
        return int(found[1]) if found else None


def reloader(way: str) -> Callable[[], None]:
    """What tells HAProxy to reload. It raises OSError or RuntimeError."""
    kind, _, name = way.partition(":")
    return {
        "systemd": lambda: _by_systemd(name),
        "pidfile": lambda: _by_pid(Path(name)),
        "docker": lambda: _by_docker(name),
    }[kind]


def _by_systemd(unit: str) -> None:
    done = subprocess.run(["systemctl", "reload", unit], capture_output=True, text=True, timeout=60)
    if done.returncode:
        raise RuntimeError(" ".join(done.stderr.split()) or f"systemctl reload {unit} ended with {done.returncode}")


def _by_pid(path: Path) -> None:
    text = path.read_text().strip()
    if not text.isdigit():
        raise RuntimeError(f"{path} holds no pid")
    os.kill(int(text), signal.SIGUSR2)


def _by_docker(container: str) -> None:
    import docker

    try:
        client = docker.from_env()
        try:
            client.containers.get(container).kill(signal="SIGUSR2")
        finally:
            client.close()
    except docker.errors.DockerException as error:
        raise RuntimeError(str(error)) from error
