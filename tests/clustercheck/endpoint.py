"""The health endpoint as a process, for tests."""

from __future__ import annotations

import contextlib
import http.client
import json
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from tests.support.ports import free_ports

STALE = 0.9  # s, the default
PATIENCE = 20.0  # s


class Check:
    """``galerist clustercheck`` for one server's socket; ``more`` are further flags."""

    def __init__(
        self, folder: Path, server_socket: Path, more: Mapping[str, object] | None = None, files: int | None = None
    ) -> None:
        """``files``: how many it may open."""
        (self.port,) = free_ports(1)
        folder.mkdir(exist_ok=True)
        self.disabled = folder / "disabled"
        self.agent = folder / "agent.json"
        flags = {
            "check-port": self.port,
            "check-bind": "127.0.0.1",
            "check-disabled-file": self.disabled,
            "run-dir": folder,
            "datadir": folder / "data",
            "socket": server_socket,
            **(more or {}),
        }
        self.flags = [text for name, value in flags.items() for text in (f"--{name}", str(value))]
        self.command = [sys.executable, "-m", "galerist", "clustercheck", *self.flags]
        self.log = (folder / "log").open("w+")
        limit = [] if files is None else ["prlimit", f"--nofile={files}:{files}"]
        self.process = subprocess.Popen([*limit, *self.command], stderr=self.log)

    def ask(self, method: str = "GET", path: str = "/") -> tuple[int, str]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
        try:
            connection.request(method, path)
            answer = connection.getresponse()
            return answer.status, answer.read().decode()
        finally:
            connection.close()

    def status(self) -> dict[str, Any]:
        said: dict[str, Any] = json.loads(self.ask(path="/status")[1])
        return said

    def tell(self, node: str, **said: object) -> None:
        """Write the agent's file as an agent would that opened its node."""
        values = {"opened": True, "node": node, "host": "127.0.0.1", "port": 1, "writer": [], "peers": None, **said}
        new = self.agent.with_suffix(".new")
        new.write_text(json.dumps(values))
        new.rename(self.agent)

    def wait_for(self, code: int, word: str, path: str = "/", patience: float = PATIENCE, look: float = 0.02) -> float:
        """Until the endpoint says so; how long that took, in seconds."""
        began = time.monotonic()
        said = (0, "")
        while time.monotonic() < began + patience:
            with contextlib.suppress(ConnectionError):
                said = self.ask(path=path)
            if said[0] == code and word in said[1]:
                return time.monotonic() - began
            time.sleep(look)
        raise AssertionError(f"wanted {code} and {word!r}, it says {said}")

    def wait_for_answer(self) -> None:
        """Until it answers at all."""
        end = time.monotonic() + PATIENCE
        while True:
            try:
                self.ask()
                return
            except ConnectionError:
                assert self.process.poll() is None, "clustercheck has ended"
                assert time.monotonic() < end, "clustercheck does not answer"
            time.sleep(0.03)

    def end(self) -> int:
        self.process.terminate()
        return self.process.wait(10)

    def close(self) -> None:
        """Kill it; its log holds no traceback, whatever has happened."""
        self.process.kill()
        self.process.wait()
        self.log.seek(0)
        text = self.log.read()
        self.log.close()
        assert "Traceback" not in text, text


@contextlib.contextmanager
def checking(folder: Path, server_socket: Path, files: int | None = None, **more: object) -> Iterator[Check]:
    one = Check(folder, server_socket, {name.replace("_", "-"): value for name, value in more.items()}, files)
    try:
        one.wait_for_answer()
        yield one
    finally:
        one.close()
