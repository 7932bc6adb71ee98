"""docs/three-vms.md, carried out: servers and a HAProxy that galerist did not start come under it, and go back."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import psutil
import pymysql
import pytest

from tests.support.etcd import Member
from tests.support.ports import free_ports

pytestmark = pytest.mark.timeout(580)

PAGE = Path(__file__).parents[2] / "docs/three-vms.md"
NAMES = ("db1", "db2", "db3")
PATIENCE = 180.0  # s, generous: machines differ

MY_CNF = """
[mariadbd]
user = mysql
datadir = {top}/data
socket = {top}/mysqld.sock
pid_file = {top}/mysqld.pid
log_error = {top}/error.log
port = {sql}
bind_address = 127.0.0.1
innodb_buffer_pool_size = 32M
innodb_log_file_size = 16M
binlog_format = ROW
innodb_autoinc_lock_mode = 2
wsrep_on = ON
wsrep_provider = /usr/lib/galera/libgalera_smm.so
wsrep_cluster_name = by_hand
wsrep_cluster_address = gcomm://{peers}
wsrep_node_name = {name}
wsrep_node_address = 127.0.0.1:{gcomm}
wsrep_node_incoming_address = 127.0.0.1:{sql}
wsrep_sst_method = rsync
wsrep_sst_receive_address = 127.0.0.1:{sst}
wsrep_provider_options = gmcast.listen_addr=tcp://127.0.0.1:{gcomm};ist.recv_addr=127.0.0.1:{ist}
"""

GALERIST = """
cluster = "shop"
registry = "etcd3://127.0.0.1:{etcd}"
node = "{name}"
host = "127.0.0.1"
bind = "127.0.0.1"
expect = "db1,db2,db3"
datadir = "{top}/data"
stamp_dir = "{top}/data.galerist"
socket = "{top}/mysqld.sock"
error_log = "{top}/error.log"
sst_method = "rsync"
ttl = 3
sql_port = {sql}
gcomm_port = {gcomm}
ist_port = {ist}
sst_port = {sst}
check_port = {check}
check_bind = "127.0.0.1"

[mariadb]
innodb_buffer_pool_size = "32M"
innodb_log_file_size = "16M"
"""


def documented(name: str) -> str:
    """The commands of the page behind ``<!-- test: name -->``."""
    found = re.search(rf"<!-- test: {name} -->\n\n((?:    .*\n)+)", PAGE.read_text())
    assert found is not None, f"{PAGE} has no commands for {name}"
    return re.sub(r"^    ", "", found[1], flags=re.M)


def until(condition: Callable[[], object], what: str) -> None:
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end, f"{what}: not within {PATIENCE} s"
        time.sleep(0.1)


class Machine:
    """One of the machines: a folder that stands for its file system, and what its commands find there."""

    def __init__(self, top: Path, name: str, etcd: int) -> None:
        self.top, self.name = top / name, name
        self.top.mkdir()
        names = ("sql", "gcomm", "ist", "sst", "check")
        self.ports = dict(zip(names, free_ports(len(names)), strict=True))
        self.etcd = etcd
        (self.top / "bin").mkdir()
        self._program("galerist", f'exec {sys.executable} -m galerist "$@"')
        self._program("mariadb", f'exec /usr/bin/mariadb --no-defaults --socket={self.top}/mysqld.sock "$@"')

    def _program(self, name: str, text: str) -> None:
        path = self.top / "bin" / name
        path.write_text(f"#!/bin/sh\n{text}\n")
        path.chmod(0o755)

    def run(self, commands: str) -> subprocess.CompletedProcess[str]:
        """Commands of the page, on this machine's files. What they start in the background goes on."""
        places = {
            "/etc/galerist": f"{self.top}/etc",
            "/etc/haproxy": f"{self.top}/haproxy",
            "/var/lib/mysql": f"{self.top}/data",
            "/run/": f"{self.top}/",
        }
        commands = re.sub("|".join(places), lambda found: places[found[0]], commands)
        environ = {key: value for key, value in os.environ.items() if not key.startswith(("GALERIST_", "ETCDCTL_"))}
        environ |= {"PATH": f"{self.top}/bin:{environ['PATH']}:/usr/sbin", "ETCDCTL_API": "3"}
        environ["ETCDCTL_ENDPOINTS"] = f"127.0.0.1:{self.etcd}"
        with (self.top / "commands.out").open("w+") as out:
            done = subprocess.run(
                ["bash", "-ec", commands], stdout=out, stderr=out, env=environ, cwd="/", timeout=120, check=False
            )
            out.seek(0)
            return subprocess.CompletedProcess(commands, done.returncode, out.read())

    def must(self, name: str) -> str:
        done = self.run(documented(name))
        assert done.returncode == 0, f"{self.name}: {done.args}\n{done.stdout}"
        return done.stdout

    def kept(self, what: str) -> int:
        """The pid that a command of the page has written down."""
        return int((self.top / f"galerist-{what}.pid").read_text())


class Database(Machine):
    def __init__(self, top: Path, name: str, etcd: int) -> None:
        super().__init__(top, name, etcd)
        for folder in ("etc", "data"):
            (self.top / folder).mkdir()
        shutil.chown(self.top / "data", "mysql")
        shutil.chown(self.top, "mysql")
        values = {"top": self.top, "name": name, "etcd": etcd, **self.ports}
        (self.top / "etc/galerist.toml").write_text(GALERIST.format(**values))
        self.server: subprocess.Popen[bytes] | None = None

    def begin(self, peers: str) -> None:
        """Start the server as its owner does, without galerist."""
        config = self.top / "my.cnf"
        config.write_text(MY_CNF.format(top=self.top, name=self.name, peers=peers, **self.ports))
        command = ["mariadbd", f"--defaults-file={config}"]
        if not peers:
            install = ["mariadb-install-db", f"--defaults-file={config}", "--wsrep-on=OFF", "--skip-test-db"]
            subprocess.run(install, check=True, stdout=subprocess.DEVNULL)
            command.append("--wsrep-new-cluster")
        self.server = subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        until(lambda: self.status("wsrep_local_state") == "4", f"{self.name} is Synced")

    def connect(self, **more: Any) -> pymysql.connections.Connection:
        return pymysql.connect(unix_socket=str(self.top / "mysqld.sock"), user="root", autocommit=True, **more)

    def ask(self, statement: str) -> tuple[tuple[Any, ...], ...]:
        with self.connect() as connection, connection.cursor() as cursor:
            cursor.execute(statement)
            return tuple(cursor.fetchall())

    def status(self, variable: str) -> str:
        try:
            return str(self.ask(f"SHOW STATUS LIKE '{variable}'")[0][1])
        except (pymysql.MySQLError, IndexError):
            return ""

    @property
    def pid(self) -> int:
        return int((self.top / "mysqld.pid").read_text())


class Site:
    """Three databases and a proxy, as somebody built them who had no galerist."""

    def __init__(self, stack: contextlib.ExitStack) -> None:
        self.top = Path(tempfile.mkdtemp(prefix="galerist-vms-", dir="/tmp"))
        self.top.chmod(0o755)
        stack.callback(shutil.rmtree, self.top, ignore_errors=True)
        stack.callback(self._end)
        self.etcd = Member("e1", self.top, "127.0.0.1", (), None)
        self.etcd.start(f"e1={self.etcd.peer_url}")
        self.etcd.wait()
        port = self.etcd.place[1]
        self.databases = {name: Database(self.top, name, port) for name in NAMES}
        peers = ""
        for database in self.databases.values():
            database.begin(peers)
            peers = f"127.0.0.1:{self.databases['db1'].ports['gcomm']}"
        self.databases["db1"].ask("CREATE USER app@'127.0.0.1' IDENTIFIED BY 'x'")
        self.databases["db1"].ask("CREATE DATABASE app")
        self.databases["db1"].ask("GRANT ALL ON app.* TO app@'127.0.0.1'")
        self.databases["db1"].ask("CREATE TABLE app.t (i INT AUTO_INCREMENT PRIMARY KEY)")
        self.balancer = Machine(self.top, "lb1", port)
        self.write_port, self.read_port, self.stats_port = free_ports(3)
        self._haproxy()

    def _haproxy(self) -> None:
        folder = self.balancer.top / "haproxy"
        folder.mkdir()
        (self.balancer.top / "etc").mkdir()
        servers = "".join(
            f"    server {d.name} 127.0.0.1:{d.ports['sql']} check backup\n" for d in self.databases.values()
        )
        (folder / "haproxy.cfg").write_text(
            "defaults\n    mode tcp\n    timeout connect 5s\n    timeout client 1h\n    timeout server 1h\n"
            f"listen mysql\n    bind 127.0.0.1:{self.write_port}\n{servers}"
        )
        (self.balancer.top / "etc/haproxy.toml").write_text(
            f'cluster = "shop"\nregistry = "etcd3://127.0.0.1:{self.etcd.place[1]}"\nttl = 3\n'
            f'haproxy_dir = "{folder}"\nhaproxy_reload = "pidfile:{self.balancer.top}/haproxy.pid"\n'
            f'proxy = "lb1"\nproxy_host = "127.0.0.1"\nproxy_bind = "127.0.0.1"\n'
            f"write_port = {self.write_port}\nread_port = {self.read_port}\nstats_port = {self.stats_port}\n"
        )
        self.haproxy = subprocess.Popen(
            ["haproxy", "-W", "-f", folder / "haproxy.cfg", "-p", self.balancer.top / "haproxy.pid"],
            stderr=subprocess.DEVNULL,
        )
        until(lambda: self.written(), "the proxy serves")

    def client(self) -> pymysql.connections.Connection:
        return pymysql.connect(
            host="127.0.0.1", port=self.write_port, user="app", password="x", database="app",
            connect_timeout=10, read_timeout=20, autocommit=True,
        )  # fmt: skip

    def written(self) -> bool:
        """Whether one row was written by way of the proxy."""
        try:
            with self.client() as connection, connection.cursor() as cursor:
                cursor.execute("INSERT INTO t VALUES ()")
        except pymysql.MySQLError:
            return False
        return True

    def pids(self) -> dict[str, int]:
        return {name: database.pid for name, database in self.databases.items()}

    def list(self) -> str:
        return self.databases["db1"].run("galerist list --config /etc/galerist/galerist.toml --format tsv").stdout

    def adopt(self) -> None:
        for database in self.databases.values():
            assert "is adopted" in database.must("adopt")
        for database in self.databases.values():
            database.must("agents")
        until(lambda: self.list().count("synced") >= 3, "all are members")

    def _end(self) -> None:
        """Kill what stands with its folder below ours on its command line, or works there; by pid."""
        for _ in range(50):
            mine = [process for process in psutil.process_iter() if self._ours(process)]
            if not mine:
                return
            for process in mine:
                with contextlib.suppress(psutil.NoSuchProcess):
                    process.kill()
            psutil.wait_procs(mine, timeout=2)

    def _ours(self, process: psutil.Process) -> bool:
        try:
            return process.status() != "zombie" and any(str(self.top) in word for word in process.cmdline())
        except psutil.Error:
            return False


class Writer(threading.Thread):
    """Writes through the proxy all the time, each row over a connection of its own."""

    def __init__(self, site: Site) -> None:
        super().__init__(daemon=True)
        self._site, self._ended = site, threading.Event()
        self.good = self.bad = 0

    def run(self) -> None:
        while not self._ended.wait(0.05):
            if self._site.written():
                self.good += 1
            else:
                self.bad += 1

    def end(self) -> None:
        self._ended.set()
        self.join(60)


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    with contextlib.ExitStack() as stack:
        yield Site(stack)


def refused(database: Database, changes: Mapping[str, str]) -> str:
    """What is said with other settings, and with what exit code nothing is written."""
    words = " ".join(f"--{key.replace('_', '-')} {value}" for key, value in changes.items())
    done = database.run(f"galerist adopt --config /etc/galerist/galerist.toml {words}")
    assert done.returncode == 1, done.stdout
    assert len(done.stdout.splitlines()) == 1, done.stdout
    assert (
        not (database.top / "data.galerist/stamp.json").exists()
        or 'identity":null' in (database.top / "data.galerist/stamp.json").read_text()
    )
    return done.stdout


def test_what_contradicts_the_server_is_named_and_nothing_is_written(site: Site) -> None:
    one = site.databases["db1"]
    said = refused(one, {"node": "db9", "sql_port": "1", "expect": "db1,db2"})
    for words in ("its node is db1", "correct the setting 'sql_port'", "the members are db1, db2, db3"):
        assert words in said, said
    assert "no server runs" in refused(one, {"datadir": "/nowhere"})
    assert "correct the setting 'socket'" in refused(one, {"socket": "/nowhere.sock"})
    agent = one.run("galerist bootstrap --config /etc/galerist/galerist.toml")
    assert agent.returncode == 78 and "galerist adopt" in agent.stdout, agent.stdout
    assert site.written()


def test_the_servers_come_under_galerist_and_go_back_without_a_restart(site: Site) -> None:
    before, master, rows = (
        site.pids(),
        site.haproxy.pid,
        int(site.databases["db1"].ask("SELECT COUNT(*) FROM app.t")[0][0]),
    )
    writer = Writer(site)
    writer.start()
    sessions = {name: database.connect() for name, database in site.databases.items()}
    through = site.client()
    through.query("SET @mine = 4711")  # type: ignore[no-untyped-call]
    for session in sessions.values():
        session.query("SET @mine = 4711")  # type: ignore[no-untyped-call]

    site.adopt()
    assert site.pids() == before
    again = site.databases["db2"].run(documented("adopt"))
    assert again.returncode == 1 and "another galerist agent" in again.stdout, again.stdout
    site.balancer.must("proxy")
    until(lambda: "lb1" in site.databases["db1"].run("galerist topology --config /etc/galerist/galerist.toml").stdout,
          "the proxy is known")  # fmt: skip
    until(site.written, "clients write through the new configuration")
    assert "listen write" in (site.balancer.top / "haproxy/haproxy.cfg").read_text()

    # the agent of an adopted server may die, and notices views
    two = site.databases["db2"]
    os.kill(two.kept("agent"), signal.SIGKILL)
    until(lambda: not psutil.pid_exists(two.kept("agent")), "the agent is gone")
    two.run(documented("agents").splitlines()[0])
    until(lambda: site.list().count("synced") >= 3, "all are members again")

    site.balancer.must("proxy back")
    for database in site.databases.values():
        database.must("back")
    site.databases["db1"].must("forget")
    until(site.written, "clients write through the old configuration")
    assert (site.pids(), site.haproxy.pid, site.haproxy.poll()) == (before, master, None)
    assert "listen mysql" in (site.balancer.top / "haproxy/haproxy.cfg").read_text()
    for database in site.databases.values():
        assert database.status("wsrep_cluster_size") == "3"
        assert not (database.top / "data.galerist").exists()
        assert database.ask("SHOW DATABASES LIKE 'galerist'") == ()
        assert database.ask("SELECT User FROM mysql.user WHERE User LIKE 'galerist%'") == ()
        assert not psutil.pid_exists(database.kept("agent"))
    for session in (*sessions.values(), through):
        with session, session.cursor() as cursor:
            cursor.execute("SELECT @mine")
            assert cursor.fetchone() == (4711,)
    writer.end()
    assert writer.good > 20 and writer.bad == 0, (writer.good, writer.bad)
    with site.databases["db3"].connect(init_command="SET wsrep_sync_wait = 1") as last, last.cursor() as cursor:
        cursor.execute("SELECT COUNT(*) FROM app.t")
        (found,) = cursor.fetchone() or (0,)
        assert found >= rows + writer.good


def test_adopted_servers_are_restarted_one_after_the_other_into_galerists_care(site: Site) -> None:
    site.adopt()
    before = site.pids()
    done = site.databases["db1"].run("galerist restart --rolling --config /etc/galerist/galerist.toml")
    assert done.returncode == 0, done.stdout
    for name, database in site.databases.items():
        with database.connect() as connection, connection.cursor() as cursor:
            cursor.execute("SHOW VARIABLES WHERE Variable_name IN ('pid_file', 'wsrep_notify_cmd')")
            found = dict(cursor.fetchall())
        assert f"{database.top}/data.galerist/run/bin/notify" in found["wsrep_notify_cmd"]
        assert int(Path(found["pid_file"]).read_text()) != before[name]
    assert site.list().count("synced") >= 3
