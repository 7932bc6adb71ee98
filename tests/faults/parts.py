"""The parts of a cluster on hosts of their own, each started as in production, by its own command and settings file."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Self

from galerist.local.render import toml
from galerist.registry.keys import Keys
from tests.faults.network import Network, state

CLUSTER = "faults"
TTL = 3.0  # s; short, so that faults can outlast every lease
TABLE = "acks"
WRITE, ALL = 3306, 3308  # the proxy's ports
GRACE = 30.0  # s for things that need no more than a moment on an idle machine


class Parts:
    """``nodes`` nodes, three etcd members, one proxy, perhaps an arbitrator. All of it is gone after ``with``."""

    def __init__(self, nodes: int = 3, sst_method: str = "rsync", arbitrator: bool = False) -> None:
        self.nodes = tuple(f"n{number}" for number in range(1, nodes + 1))
        self.etcds = ("e1", "e2", "e3")
        self.sst_method = sst_method
        self.keys = Keys(CLUSTER)
        hosts = {name: str(10 + number) for number, name in enumerate(self.nodes, 1)}
        hosts |= {name: str(20 + number) for number, name in enumerate(self.etcds, 1)}
        self.arbitrators = ("g1",) if arbitrator else ()
        hosts |= {name: str(50 + number) for number, name in enumerate(self.arbitrators, 1)}
        self.network = Network(hosts | {"p1": "31", "client": "41"})
        self.top = Path(tempfile.mkdtemp(prefix="gfault-", dir="/tmp"))
        self.top.chmod(0o755)  # mariadbd runs as another user
        self._children: dict[str, subprocess.Popen[bytes]] = {}
        self._stack = contextlib.ExitStack()
        self._token = "one"

    def __enter__(self) -> Self:
        try:
            self._stack.enter_context(self.network)
            self._stack.enter_context(self.network.standing_on("client"))
            self._write_files()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        for host in self.network.addresses:
            self.signal(self.network.pids(host), signal.SIGKILL)
        for child in self._children.values():
            child.wait()
        self._stack.close()
        shutil.rmtree(self.top, ignore_errors=True)

    # -- files -------------------------------------------------------------------------------

    def home(self, node: str) -> Path:
        return self.top / node

    def socket(self, node: str) -> Path:
        return self.home(node) / "run" / "s.sock"

    def address(self, host: str) -> str:
        return self.network.addresses[host]

    def node_at(self, address: str) -> str:
        return next((name for name in self.nodes if self.address(name) == address.partition(":")[0]), address)

    def registry_url(self) -> str:
        return "etcd3://" + ",".join(f"{self.address(name)}:2379" for name in self.etcds)

    def _write_files(self) -> None:
        (self.top / "secrets").mkdir(mode=0o700)
        for name in ("root", "sst", "check", "app"):
            file = self.top / "secrets" / name
            file.write_text(secrets.token_hex(12) + "\n")
            file.chmod(0o600)
        for node in self.nodes:
            self.home(node).mkdir(mode=0o755)
            self._write_node(node)
        proxy = self._common() | {
            "proxy": "p1",
            "proxy_host": self.address("p1"),
            "haproxy_dir": str(self.top / "p1" / "haproxy"),
        }
        (self.top / "p1").mkdir(mode=0o755)
        (self.top / "p1" / "settings.toml").write_text(toml(proxy))
        for name in self.arbitrators:
            self.home(name).mkdir(mode=0o755)
            values = self._common() | {"node": name, "host": self.address(name)}
            (self.home(name) / "settings.toml").write_text(toml(values))
        (self.top / "registry.toml").write_text(toml({"cluster": CLUSTER, "registry": self.registry_url()}))

    def _common(self) -> dict[str, object]:
        return {"cluster": CLUSTER, "registry": self.registry_url(), "ttl": TTL}

    def _write_node(self, node: str) -> None:
        home = self.home(node)
        values = self._common() | {
            "node": node,
            "host": self.address(node),
            "datadir": str(home / "data"),
            "stamp_dir": str(home / "stamp"),
            "run_dir": str(home / "run"),
            "socket": str(self.socket(node)),
            "error_log": str(home / "mariadb.err"),
            "expect": ",".join(self.nodes),
            "sst_method": self.sst_method,
            "sst_user": "galerist_sst",
            "app_user": "app",
            "app_database": "app",
            "log_level": "debug",  # with what each decision rested on: see journal.py
            "log_format": "json",
        }
        for name in ("root", "sst", "check", "app"):
            values[f"{name}_password_file"] = str(self.top / "secrets" / name)
        small = 'innodb_buffer_pool_size = "32M"\ninnodb_log_file_size = "16M"\n'
        (home / "settings.toml").write_text(f"{toml(values)}\n[mariadb]\n{small}")

    # -- parts -------------------------------------------------------------------------------

    @property
    def parts(self) -> tuple[str, ...]:
        """The names of all parts, in the order of starting; a node's name is that of its agent."""
        return (*self.etcds, *self.nodes, *(f"{node}-check" for node in self.nodes), "p1", *self.arbitrators)

    def _command(self, part: str) -> tuple[str, list[str]]:
        """The host of a part, and its command line."""
        host = part.removesuffix("-check")
        if part in self.etcds:
            base = f"http://{self.address(part)}"
            words = ["etcd", "--name", part, "--data-dir", str(self.top / part)]
            words += ["--listen-client-urls", f"{base}:2379", "--advertise-client-urls", f"{base}:2379"]
            words += ["--listen-peer-urls", f"{base}:2380", "--initial-advertise-peer-urls", f"{base}:2380"]
            words += ["--initial-cluster", self._etcd_members(), "--initial-cluster-token", self._token]
            words += ["--logger=zap", "--log-outputs=stderr", "--log-level=warn"]
            return host, words
        command = "clustercheck" if part.endswith("-check") else "haproxy" if part == "p1" else "bootstrap"
        if part in self.arbitrators:
            command = "arbitrator"
        return host, [sys.executable, "-m", "galerist", command, "--config", str(self.home(host) / "settings.toml")]

    def start(self, *parts: str) -> None:
        """Start parts that do not run."""
        environment = {
            key: value
            for key, value in os.environ.items()
            if not key.startswith(("GALERIST_", "ETCD_", "MYSQL_")) and not key.lower().endswith("_proxy")
        }
        environment |= {"PYTHONUNBUFFERED": "1", "TMPDIR": "/tmp", "ETCD_UNSUPPORTED_ARCH": "arm64"}
        environment["PATH"] = environment.get("PATH", "") + ":/usr/sbin:/sbin"
        for part in parts:
            if self.running(part):
                continue
            host, words = self._command(part)
            with (self.top / f"{part}.log").open("ab") as log:
                self._children[part] = subprocess.Popen(
                    self.network.command(host, *words), stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                    cwd="/", env=environment, start_new_session=True,
                )  # fmt: skip

    def running(self, part: str) -> bool:
        child = self._children.get(part)
        return child is not None and child.poll() is None

    def exit_code(self, part: str) -> int | None:
        return self._children[part].poll()

    def agent(self, node: str) -> list[int]:
        return [self._children[node].pid] if self.running(node) else []

    def servers(self, node: str) -> list[int]:
        """Every mariadbd on a node's host, also one that only recovers its position."""
        return self._named(node, "mariadbd")

    def garbds(self, name: str) -> list[int]:
        return self._named(name, "garbd")

    def haproxies(self) -> list[int]:
        return self._named("p1", "haproxy")

    def etcd(self, member: str) -> list[int]:
        return [self._children[member].pid] if self.running(member) else []

    def _named(self, host: str, name: str) -> list[int]:
        found = []
        for pid in self.network.pids(host):
            with contextlib.suppress(OSError):
                if Path(f"/proc/{pid}/comm").read_text().strip() == name:
                    found.append(pid)
        return found

    def signal(self, pids: Iterable[int], number: signal.Signals) -> None:
        """Send a signal to processes, as nearly at once as a loop can do it; some may be gone."""
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)

    def everything(self, *hosts: str) -> list[int]:
        return [pid for host in hosts or self.hosts for pid in self.network.pids(host)]

    @property
    def hosts(self) -> tuple[str, ...]:
        """All hosts but the clients'."""
        return (*self.nodes, *self.etcds, "p1", *self.arbitrators)

    def save_registry(self) -> bool:
        """Keep a backup of the registry, leases and all. False: no member gives one."""
        for name in self.etcds:
            endpoint = f"http://{self.address(name)}:2379"
            with contextlib.suppress(OSError):
                _run(
                    "etcdctl",
                    "--endpoints",
                    endpoint,
                    "--command-timeout",
                    "3s",
                    "snapshot",
                    "save",
                    str(self.top / "backup"),
                )
                return True
        return False

    def wipe_registry(self, backup: bool = False) -> None:
        """Kill all etcd members, remove what they hold, and start them as a new cluster, empty or from the backup."""
        self.signal([pid for name in self.etcds for pid in self.etcd(name)], signal.SIGKILL)
        self._token = secrets.token_hex(4)
        for name in self.etcds:
            self._children[name].wait()
            shutil.rmtree(self.top / name, ignore_errors=True)
            if backup:
                words = [
                    "snapshot",
                    "restore",
                    str(self.top / "backup"),
                    "--name",
                    name,
                    "--data-dir",
                    str(self.top / name),
                ]
                words += ["--initial-cluster", self._etcd_members(), "--initial-cluster-token", self._token]
                _run("etcdctl", *words, "--initial-advertise-peer-urls", f"http://{self.address(name)}:2380")
        self.start(*self.etcds)

    def _etcd_members(self) -> str:
        return ",".join(f"{name}=http://{self.address(name)}:2380" for name in self.etcds)

    def move(self, addresses: dict[str, str]) -> None:
        """Give hosts on which nothing runs other addresses."""
        self.network.move(addresses)
        for node in self.nodes:
            self._write_node(node)

    def wipe_disk(self, node: str) -> None:
        """A new, empty disk for a node on which nothing runs."""
        for name in ("data", "stamp", "run"):
            shutil.rmtree(self.home(node) / name, ignore_errors=True)

    def heal(self) -> None:
        """End every fault: the network whole, nothing frozen, everything started."""
        self.network.mend()
        self.signal(self.everything(), signal.SIGCONT)
        self.start(*self.parts)

    def stop(self) -> list[str]:
        """A clean end of everything. What does not end, or ends with an error, or leaves something behind."""
        wrong = []
        for part in reversed(self.parts):
            if self.running(part):
                self._children[part].terminate()
        for part in reversed(self.parts):
            if part not in self._children:
                continue
            try:
                code = self._children[part].wait(60)
            except subprocess.TimeoutExpired:
                wrong.append(f"{part} does not end on SIGTERM")
                continue
            if code != 0 and part not in self.etcds:
                wrong.append(f"{part} ended with {code}")
        deadline = time.monotonic() + GRACE
        while self.everything() and time.monotonic() < deadline:
            time.sleep(0.1)
        return wrong + [f"left behind: {self.describe(pid)}" for pid in self.everything()]

    def describe(self, pid: int) -> str:
        try:
            words = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            return f"{pid} [{state(pid)}] {words.strip()}"
        except OSError:
            return f"{pid} (gone)"


def _run(*words: str) -> None:
    done = subprocess.run(words, capture_output=True, text=True, check=False, env={**os.environ, "ETCDCTL_API": "3"})
    if done.returncode != 0:
        raise OSError(f"{' '.join(words)}: {done.stderr.strip()}")
