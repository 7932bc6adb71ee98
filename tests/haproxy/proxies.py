"""A watcher as a process, with a real etcd and a real HAProxy."""

from __future__ import annotations

import hashlib
import signal
import socket
import subprocess
import sys
from contextlib import ExitStack, closing
from pathlib import Path

from galerist import model as records
from galerist.registry.contract import Registry
from galerist.registry.keys import Keys
from galerist.registry.open import connect
from tests.haproxy.fakes import Node, until
from tests.support.etcd import Etcd
from tests.support.ports import free_ports

IDENTITY = records.Identity("u", (records.Generation("g", 0, "a", "test-g"),))


class Proxy:
    """A watcher as a process, and the registry that it watches."""

    def __init__(self, folder: Path, etcd: Etcd, cluster: str, name: str = "p1") -> None:
        self.name = name
        self.folder = folder
        self.etcd = etcd
        self.keys = Keys(cluster)
        self.registry: Registry = connect(etcd.access("etcd3", timeout=10))
        self.write, self.read, self.all, self.stats = free_ports(4)
        self.template = folder / "mine.cfg.j2"
        self.config = folder / "haproxy" / "haproxy.cfg"
        self.stack = ExitStack()
        flags = {
            "cluster": cluster,
            "registry": etcd.url("etcd3"),
            "registry-timeout": 0.5,
            "ttl": 3,
            "proxy": name,
            "proxy-host": "127.0.0.1",
            "proxy-bind": "127.0.0.1",
            "write-port": self.write,
            "read-port": self.read,
            "all-port": self.all,
            "stats-port": self.stats,
            "haproxy-dir": folder / "haproxy",
        }
        self.command = [sys.executable, "-m", "galerist", "haproxy"]
        self.command += [text for name, value in flags.items() for text in (f"--{name}", str(value))]
        self.process: subprocess.Popen[bytes] | None = None

    def start(self, *more: str) -> None:
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen([*self.command, *more], stderr=log)
        until(lambda: self.ended() or self._listening(), "the watcher has started HAProxy")
        assert not self.ended(), self.log()

    def ended(self) -> bool:
        return self.process is None or self.process.poll() is not None

    def _listening(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.write)) == 0

    def log(self) -> str:
        return (self.folder / "log").read_text()

    def send(self, number: signal.Signals) -> None:
        assert self.process is not None
        self.process.send_signal(number)

    def end(self) -> int:
        """SIGTERM, and the exit code."""
        assert self.process is not None
        self.send(signal.SIGTERM)
        return self.process.wait(20)

    def kill(self) -> None:
        """kill -9 of the watcher alone."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def node(self, name: str, code: int = 200) -> Node:
        return self.stack.enter_context(closing(Node(name, code)))

    def report(self, *nodes: Node) -> None:
        for node in nodes:
            self.registry.put(self.keys.members + node.name, node.report())

    def record(self, *nodes: str, writer: str) -> None:
        for name in nodes:
            self.registry.put(self.keys.nodes + name, records.dump(records.NodeRecord(name, "d", True)))
        state = records.State(IDENTITY, records.View("g", 1, tuple(sorted(nodes))), None, tuple(writer))
        self.registry.put(self.keys.state, records.dump(state))

    def said(self) -> records.ProxyReport | None:
        text = self.registry.get(self.keys.proxies + self.name)
        return records.load(records.ProxyReport, text) if text is not None else None

    def settled(self) -> bool:
        """The report is about the file as it stands, and no worker is left from before it."""
        said = self.said()
        digest = hashlib.sha256(self.config.read_bytes()).hexdigest()
        return (
            said is not None and said.applied != "" and digest.startswith(said.applied) and len(said.worker_pids) == 1
        )

    def workers(self) -> tuple[int, ...]:
        said = self.said()
        assert said is not None, "the proxy has no report"
        return said.worker_pids

    def close(self) -> None:
        if not self.ended():
            self.end()
        self.stack.close()
        self.registry.close()
