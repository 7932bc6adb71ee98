"""Two ways to run the same three servers on this machine: bare scripts, and galerist's agents.

Both use the same programs, the same options, the same method of state transfers and a folder on the same
file system, so that their times can be compared. Neither pays for the proxy or for the health endpoints.
"""

from __future__ import annotations

import contextlib
import json
import os
import pwd
import re
import secrets
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import pymysql

from tests.support.etcd import Etcd
from tests.support.ports import free_ports

NODES = ("n1", "n2", "n3")
PATIENCE = 180.0
"""Seconds after which a cluster that does not come up is a failure."""

LOOK = 0.02
"""Seconds between two looks at a server."""

_PROVIDERS = ("/usr/lib/galera/libgalera_smm.so", "/usr/lib64/galera-4/libgalera_smm.so")
_RECOVERED = re.compile(r"Recovered position:? (?:\d+-\d+-\d+,)?([0-9a-f-]{36}):(-?\d+)")

_CONFIG = """
[mysqld]
{user}
datadir = {folder}/data
socket = {folder}/s.sock
pid_file = {folder}/pid
log_error = {folder}/err
port = {sql}
bind_address = 127.0.0.1
binlog_format = ROW
default_storage_engine = InnoDB
innodb_autoinc_lock_mode = 2
innodb_flush_log_at_trx_commit = 1
wsrep_on = ON
wsrep_provider = {provider}
wsrep_provider_options = "gcache.recover=yes;gmcast.listen_addr=tcp://127.0.0.1:{gcomm};ist.recv_addr=127.0.0.1:{ist};pc.recovery=no"
wsrep_cluster_name = bare
wsrep_cluster_address = gcomm://{peers}
wsrep_node_name = {node}
wsrep_node_address = 127.0.0.1:{gcomm}
wsrep_sst_method = {method}
wsrep_sst_auth = {account}:
wsrep_sst_receive_address = 127.0.0.1:{sst}

[sst]
sst-syslog = 0
"""


def server_user() -> str:
    """Whom the servers run as: mysql where we are root, which mariadbd refuses."""
    return "mysql" if os.geteuid() == 0 else pwd.getpwuid(os.geteuid()).pw_name


def status(socket: Path) -> dict[str, str]:
    """What a server says of itself, empty while it does not answer."""
    try:
        connection = pymysql.connect(unix_socket=str(socket), user="root", read_timeout=5)
        with connection, connection.cursor() as cursor:
            cursor.execute("SHOW GLOBAL STATUS LIKE 'wsrep\\_%'")
            return dict(cursor.fetchall())
    except pymysql.MySQLError:
        return {}


def run_sql(socket: Path, *statements: str) -> bool:
    """Whether all statements were carried out."""
    try:
        connection = pymysql.connect(unix_socket=str(socket), user="root", read_timeout=10, autocommit=True)
        with connection, connection.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)
    except pymysql.MySQLError:
        return False
    return True


def until(condition: Callable[[], object], what: str) -> None:
    """Wait for it, at most :data:`PATIENCE`."""
    end = time.monotonic() + PATIENCE
    while not condition():
        if time.monotonic() > end:
            raise AssertionError(f"not within {PATIENCE:.0f} s: {what}")
        time.sleep(LOOK)


class Cluster:
    """What both have in common: where the sockets are, and when the servers are good."""

    def __init__(self, name: str, method: str) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix=f"galerist-bench-{name}-", dir="/tmp"))
        self.folder.chmod(0o755)
        self.method = method
        ports = free_ports(5 * len(NODES))
        keys = ("sql", "gcomm", "ist", "sst", "check")
        self.ports = {node: dict(zip(keys, ports[5 * n : 5 * n + 5], strict=True)) for n, node in enumerate(NODES)}
        self.children: dict[str, subprocess.Popen[bytes]] = {}

    def socket(self, node: str) -> Path:
        raise NotImplementedError

    def synced(self, node: str) -> bool:
        return status(self.socket(node)).get("wsrep_local_state") == "4"

    def all_synced(self) -> bool:
        return all(self.synced(node) for node in NODES)

    def furnish(self) -> None:
        """A table, and rows in it."""
        rows = ",".join(f"({number}, 'a word or two')" for number in range(500))
        made = run_sql(
            self.socket(NODES[0]),
            "CREATE DATABASE IF NOT EXISTS bench",
            "CREATE OR REPLACE TABLE bench.t (id INT AUTO_INCREMENT PRIMARY KEY, n INT, word TEXT)",
            *(f"INSERT INTO bench.t (n, word) VALUES {rows}" for _ in range(5)),
        )
        assert made, "the table cannot be made"

    def insert_somewhere(self) -> str | None:
        """The first node that takes a row now, None if none does."""
        for node in NODES:
            if run_sql(self.socket(node), "INSERT INTO bench.t (n, word) VALUES (-1, 'after')"):
                return node
        return None

    def first_write(self) -> None:
        until(self.insert_somewhere, "a row is taken")

    def kill(self, pids: Sequence[int]) -> None:
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, 9)

    def end(self) -> None:
        for child in self.children.values():
            if child.poll() is None:
                child.kill()
            child.wait()
        shutil.rmtree(self.folder, ignore_errors=True)


class Bare(Cluster):
    """Three servers by what a careful shell script does."""

    def __init__(self, method: str) -> None:
        super().__init__("bare", method)
        provider = next(path for path in _PROVIDERS if Path(path).exists())
        user, peers = server_user(), ",".join(f"127.0.0.1:{ports['gcomm']}" for ports in self.ports.values())
        for node in NODES:
            folder = self.folder / node
            (folder / "data").mkdir(parents=True)
            text = _CONFIG.format(
                user=f"user = {user}" if os.geteuid() == 0 else "", folder=folder, node=node, peers=peers,
                provider=provider, method=method, account=user, **self.ports[node],
            )  # fmt: skip
            (folder / "my.cnf").write_text(text)
            if os.geteuid() == 0:
                shutil.chown(folder, user)
                shutil.chown(folder / "data", user)

    def socket(self, node: str) -> Path:
        return self.folder / node / "s.sock"

    def start(self, node: str, *more: str) -> None:
        command = ["mariadbd", f"--defaults-file={self.folder / node / 'my.cnf'}", *more]
        self.children[node] = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)  # fmt: skip

    def form(self, serial: bool) -> float:
        """Seconds from three empty folders to three Synced servers; joiners together, or one after the other."""
        begun = time.monotonic()
        user = server_user()
        install = ["mariadb-install-db", f"--defaults-file={self.folder / NODES[0] / 'my.cnf'}", "--wsrep-on=OFF"]
        install += ["--auth-root-authentication-method=socket", f"--auth-root-socket-user={user}", "--skip-test-db"]
        install += [f"--user={user}"] if os.geteuid() == 0 else []
        subprocess.run(install, check=True, capture_output=True)
        self.start(NODES[0], "--wsrep-new-cluster")
        until(lambda: self.synced(NODES[0]), "the first server is Synced")
        for node in NODES[1:]:
            self.start(node)
            if serial:
                until(lambda node=node: self.synced(node), f"{node} is Synced")
        until(self.all_synced, "all servers are Synced")
        return time.monotonic() - begun

    def crash(self) -> tuple[float, float]:
        """kill -9 of all servers; seconds until a row is taken, and until all are Synced again."""
        begun = time.monotonic()
        self.kill([child.pid for child in self.children.values()])
        for child in self.children.values():
            child.wait()
        with ThreadPoolExecutor(len(NODES)) as pool:
            positions = dict(zip(NODES, pool.map(self._recover, NODES), strict=True))
        best = max(NODES, key=lambda node: positions[node][1])
        grastate = self.folder / best / "data/grastate.dat"
        grastate.write_text(grastate.read_text().replace("safe_to_bootstrap: 0", "safe_to_bootstrap: 1"))
        self._start_at(best, positions, "--wsrep-new-cluster")
        until(
            lambda: run_sql(self.socket(best), "INSERT INTO bench.t (n, word) VALUES (-1, 'after')"), "a row is taken"
        )
        writes = time.monotonic() - begun
        for node in NODES:
            if node != best:
                self._start_at(node, positions)
        until(self.all_synced, "all servers are Synced")
        return writes, time.monotonic() - begun

    def _start_at(self, node: str, positions: dict[str, tuple[str, int]], *more: str) -> None:
        uuid, seqno = positions[node]
        self.start(node, f"--wsrep_start_position={uuid}:{seqno}", *more)

    def _recover(self, node: str) -> tuple[str, int]:
        folder = self.folder / node
        command = ["mariadbd", f"--defaults-file={folder / 'my.cnf'}", "--wsrep-recover", f"--log-error={folder / 'recover.log'}"]  # fmt: skip
        (folder / "recover.log").unlink(missing_ok=True)
        subprocess.run(command, check=True, capture_output=True)
        uuid, seqno = _RECOVERED.findall((folder / "recover.log").read_text())[-1]
        return uuid, int(seqno)


class Galerist(Cluster):
    """Three agents and their registry, which is there before them."""

    def __init__(self, method: str) -> None:
        super().__init__("galerist", method)
        self.etcd = Etcd()
        self.etcd.start()
        (self.folder / "root").write_text(secrets.token_hex(8))
        for node in NODES:
            folder = self.folder / node
            folder.mkdir()
            if os.geteuid() == 0:
                shutil.chown(folder, server_user())
            values = {f"{key}_port": port for key, port in self.ports[node].items()} | {
                "registry": self.etcd.url("etcd3"),
                "node": node,
                "host": "127.0.0.1",
                "bind": "127.0.0.1",
                "datadir": str(folder / "data"),
                "expect": ",".join(NODES),
                "sst_method": self.method,
                "root_password_file": str(self.folder / "root"),
            }
            text = "\n".join(f"{key} = {json.dumps(value)}" for key, value in values.items())
            (folder / "galerist.toml").write_text(text + "\n")

    def socket(self, node: str) -> Path:
        return self.folder / node / "data.galerist/run/mariadb.sock"

    def start(self, node: str) -> None:
        command = [sys.executable, "-m", "galerist", "bootstrap", "--config", str(self.folder / node / "galerist.toml")]
        environment = {key: value for key, value in os.environ.items() if not key.startswith("GALERIST_")}
        with (self.folder / f"{node}.log").open("ab") as log:
            self.children[node] = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd="/", env=environment)  # fmt: skip

    def form(self) -> float:
        """Seconds from three empty folders to three Synced servers that are open to clients."""
        begun = time.monotonic()
        for node in NODES:
            self.start(node)
        until(self.all_synced, "all servers are Synced")
        done = time.monotonic() - begun
        until(self.all_open, "all servers are open")
        return done

    def all_open(self) -> bool:
        return all(run_sql(self.socket(node), "SELECT 1 FROM mysql.global_priv") for node in NODES)

    def servers(self) -> list[int]:
        found = []
        for node in NODES:
            with contextlib.suppress(OSError, ValueError):
                found.append(int((self.folder / node / "data.galerist/run/mariadbd.pid").read_text()))
        return found

    def crash(self, agents: bool) -> tuple[float, float]:
        """kill -9 of all servers, and of all ``agents`` too, which are started again at once.

        Seconds until a row is taken, and until all are Synced again.
        """
        begun = time.monotonic()
        servers = self.servers()
        assert len(servers) == len(NODES)
        self.kill(servers)
        if agents:
            for node in NODES:
                self.children[node].kill()
            for node in NODES:
                self.children[node].wait()
                self.start(node)
        self.first_write()
        writes = time.monotonic() - begun
        until(self.all_synced, "all servers are Synced")
        done = time.monotonic() - begun
        until(self.all_open, "all servers are open")
        return writes, done

    def end(self) -> None:
        self.kill(self.servers())
        super().end()
        self.etcd.close()


C = TypeVar("C", bound=Cluster)


@contextlib.contextmanager
def ending(cluster: C) -> Iterator[C]:
    """The cluster's processes and folder go when the block ends."""
    try:
        yield cluster
    finally:
        cluster.end()
