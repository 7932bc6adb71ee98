"""Two real nodes, a health endpoint beside each, and a real HAProxy that asks them."""

from __future__ import annotations

import contextlib
import csv
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pymysql

from tests.clustercheck.endpoint import Check, checking
from tests.clustercheck.pair import Member, two_servers
from tests.support.ports import free_ports

_PROXY = """
global
    stats socket {folder}/admin mode 600 level admin
defaults
    mode tcp
    timeout connect 1s
    timeout client 1m
    timeout server 1m
    timeout check 2s
    option httpchk GET /
    http-check disable-on-404
    default-server inter 500ms fastinter 250ms fall 3 rise 1
listen all
    bind 127.0.0.1:{port}
    server n1 127.0.0.1:{one_sql} check port {one}
    server n2 127.0.0.1:{two_sql} check port {two}
listen agents
    bind 127.0.0.1:{agent_port}
    server n2 127.0.0.1:{two_sql} agent-check agent-port {two_agent} agent-inter 200ms
"""


class Pair:
    def __init__(self, one: Member, two: Member, folder: Path, stack: contextlib.ExitStack) -> None:
        self.one, self.two, self.folder = one, two, folder
        (self.agent_port,) = free_ports(1)
        probe = {"check_probe_late": 1, "check_probe_interval": 5}
        self.check_one = stack.enter_context(checking(folder / "c1", one.socket, node="n1", **probe))
        self.check_two = stack.enter_context(
            checking(folder / "c2", two.socket, node="n2", check_agent_port=self.agent_port, **probe)
        )
        ports = free_ports(2)
        text = _PROXY.format(
            folder=folder,
            port=ports[0],
            agent_port=ports[1],
            one=self.check_one.port,
            two=self.check_two.port,
            one_sql=one.sql_port,
            two_sql=two.sql_port,
            two_agent=self.agent_port,
        )
        (folder / "haproxy.cfg").write_text(text)
        proxy = subprocess.Popen(["haproxy", "-db", "-f", str(folder / "haproxy.cfg")], stderr=subprocess.DEVNULL)
        stack.callback(proxy.wait)
        stack.callback(proxy.kill)
        end = time.monotonic() + 20
        while not (folder / "admin").exists():
            assert proxy.poll() is None, "HAProxy has ended"
            assert time.monotonic() < end, "HAProxy does not start"
            time.sleep(0.02)

    def tell(self, one_usable: bool = True, two_usable: bool = True) -> None:
        """What the agents say of one another."""
        ports = self.check_one.port, self.check_two.port
        base = {"host": "127.0.0.1", "port": 1}
        two = {**base, "node": "n2", "check_port": ports[1], "usable": two_usable, "incoming": self.two.incoming}
        one = {**base, "node": "n1", "check_port": ports[0], "usable": one_usable, "incoming": self.one.incoming}
        self.check_one.tell("n1", writer=["n1", "n2"], peers=[two])
        self.check_two.tell("n2", writer=["n1", "n2"], peers=[one])

    def settle(self) -> None:
        """Both are members, synced and in rotation."""
        if not self.two.runs:
            self.two.join(self.one)
        self.two.wait_for_state("4")
        self.tell()
        for check in (self.check_one, self.check_two):
            check.wait_for(200, "synced")
        self.until_proxied("n1", "UP")
        self.until_proxied("n2", "UP")
        self.until_proxied("n2", "no check", "agents")

    def proxied(self, server: str, backend: str = "all") -> str:
        """What HAProxy thinks of a server."""
        with socket.socket(socket.AF_UNIX) as admin:
            admin.connect(str(self.folder / "admin"))
            admin.sendall(b"show stat\n")
            said = b""
            while chunk := admin.recv(65536):
                said += chunk
        for row in csv.DictReader(said.decode().removeprefix("# ").splitlines()):
            if (row["pxname"], row["svname"]) == (backend, server):
                return row["status"]
        raise AssertionError(f"HAProxy does not know {server}")

    def until_proxied(self, server: str, status: str, backend: str = "all", patience: float = 20.0) -> float:
        """Until HAProxy thinks so; how long that took, in seconds."""
        began = time.monotonic()
        while not (said := self.proxied(server, backend)).startswith(status):
            assert time.monotonic() - began < patience, f"{server} is {said}, not {status}"
            time.sleep(0.02)
        return time.monotonic() - began


@contextlib.contextmanager
def two_nodes(folder: Path) -> Iterator[Pair]:
    """The second server is not started."""
    with contextlib.ExitStack() as stack:
        one, two = stack.enter_context(two_servers())
        yield Pair(one, two, folder, stack)


def code(check: Check, path: str = "/") -> int:
    return check.ask(path=path)[0]


def global_(name: str, bad: str, good: str) -> tuple[Callable[[Pair], None], Callable[[Pair], None]]:
    return (
        lambda pair: pair.two.run(f"SET GLOBAL {name} = {bad}"),
        lambda pair: pair.two.run(f"SET GLOBAL {name} = {good}"),
    )


def cut(pair: Pair) -> None:
    """Cut the second node off; returns as soon as it knows, which is some seconds later."""
    pair.two.run("SET GLOBAL wsrep_provider_options = 'gmcast.isolate=1'")
    with pair.two.session() as cursor:
        while cursor.execute("SHOW GLOBAL STATUS LIKE 'wsrep_cluster_status'") and cursor.fetchone()[1] == "Primary":
            time.sleep(0.01)


def rejoin(pair: Pair) -> None:
    pair.two.run("SET GLOBAL wsrep_provider_options = 'gmcast.isolate=0'")


def disconnect(pair: Pair) -> None:
    with contextlib.suppress(pymysql.MySQLError):  # the session has no cluster any more
        pair.two.run("SET GLOBAL wsrep_cluster_address = ''")


def reconnect(pair: Pair) -> None:
    pair.two.run(f"SET GLOBAL wsrep_cluster_address = 'gcomm://{pair.one.gcomm}'")


STATES = {
    "desynced": (global_("wsrep_desync", "ON", "OFF"), 404, "wsrep_desync", "NOLB", "DRAIN"),
    "read only": (global_("read_only", "ON", "OFF"), 404, "read_only", "NOLB", "DRAIN"),
    "rejects": (global_("wsrep_reject_queries", "ALL", "NONE"), 503, "wsrep_reject_queries", "DOWN", "DOWN"),
    "replicates nothing": (global_("wsrep_on", "OFF", "ON"), 503, "wsrep_on is OFF", "DOWN", "DOWN"),
    "disconnected": ((disconnect, reconnect), 503, "Disconnected", "DOWN", "DOWN"),
    "non-Primary": ((cut, rejoin), 503, "not Primary", "DOWN", "DOWN"),
    "frozen": (
        (lambda pair: pair.two.signal(19), lambda pair: pair.two.signal(18)),  # SIGSTOP, SIGCONT
        503,
        "s old",
        "DOWN",
        "DOWN",
    ),
}


def delay(pair: Pair, name: str) -> float:
    """Worsen the second node, and mend it; how long after that its clustercheck knew, in seconds."""
    (worsen, mend), expected, word, *_ = STATES[name]
    pair.check_two.wait_for(200, "synced", patience=60)
    worsen(pair)
    try:
        return pair.check_two.wait_for(expected, word, look=0.005)
    finally:
        mend(pair)


@contextlib.contextmanager
def partition(pair: Pair) -> Iterator[None]:
    """No packet of the group's passes between the two, nor is any refused."""
    ports = ", ".join(member.gcomm.rpartition(":")[2] for member in (pair.one, pair.two))
    table = f"inet galerist_pair_{pair.one.sql_port}"
    rules = (
        f"table {table} {{ chain input {{ type filter hook input priority 0; policy accept; "
        f"tcp dport {{ {ports} }} drop; tcp sport {{ {ports} }} drop; }}; }};"
    )
    subprocess.run(["nft", "-f", "-"], input=rules, text=True, check=True)
    try:
        yield
    finally:
        subprocess.run(["nft", "delete", "table", *table.split()], check=True)


def until_probed(*checks: Check) -> None:
    """Until a write of each has gone through that began from now on."""
    began = time.monotonic()
    for check in checks:
        while True:
            probe = check.status()["probe"]
            if probe["state"] == "ok" and (probe["began_ago"] or 99.0) < time.monotonic() - began:
                break
            assert time.monotonic() - began < 20, probe
            time.sleep(0.1)


def long_alter(pair: Pair, rows: int, seconds: float) -> float:
    """Rebuild a table of so many rows for at least so long, and see that both nodes stay in rotation
    until the slower one has done it too; returns the seconds it took the faster one. A CHECK on each row
    takes the time, and how much of it is measured first: what the disk is like matters little."""
    pair.one.run(
        "CREATE OR REPLACE DATABASE big",
        "CREATE TABLE big.t (id INT PRIMARY KEY, x VARCHAR(400))",
        f"INSERT INTO big.t SELECT seq, REPEAT(CHAR(65 + seq % 26), 380) FROM big.seq_1_to_{rows}",
    )
    factor, sample, length = 100, 5000, 0.0
    began = time.monotonic()
    pair.one.query(f"SELECT COUNT(SHA2(REPEAT(x, {factor}), 512)) FROM big.t WHERE id <= {sample}")
    factor = int(1.4 * factor * seconds / ((time.monotonic() - began) * rows / sample)) + 1
    until_probed(pair.check_one, pair.check_two)
    while length < seconds:  # again, where the sample was taken in a slower moment
        costly = f"ALTER TABLE big.t ADD CHECK (SHA2(REPEAT(x, {factor}), 512) <> ''), ALGORITHM=COPY"
        began = time.monotonic()
        with ThreadPoolExecutor(1) as executor, pair.two.half_as_fast():
            altering = executor.submit(pair.one.run, costly)
            explained: set[str] = set()
            while not altering.done():
                explained |= in_rotation(pair)
            altering.result()
            length = time.monotonic() - began
            assert explained == {"n1", "n2"}, (explained, length)
            while "n2" in in_rotation(pair):  # it is at it still, while writes of the other go through
                assert time.monotonic() - began < 10 * length
    until_probed(pair.check_one, pair.check_two)
    pair.one.run("DROP DATABASE big")
    return length


def long_statement(member: Member, seconds: float) -> None:
    """A statement in total order isolation in the database ``behind`` that takes each node about so long."""
    size, count = 100_000, 200
    began = time.monotonic()
    member.query(f"SELECT BENCHMARK({count}, SHA2(REPEAT('x', {size}), 512))")
    rows = int(count * seconds / (time.monotonic() - began))
    member.run(
        "CREATE OR REPLACE TABLE behind.big (id INT PRIMARY KEY)",
        f"INSERT INTO behind.big SELECT seq FROM behind.seq_1_to_{rows}",
        f"ALTER TABLE behind.big ADD CHECK (SHA2(CONCAT(id, REPEAT('x', {size})), 512) <> ''), ALGORITHM=COPY",
    )


def in_rotation(pair: Pair) -> set[str]:
    """Asserts that both nodes are; those whose probe is late, and explained."""
    found: set[str] = set()
    for name, check in (("n1", pair.check_one), ("n2", pair.check_two)):
        said = check.status()
        assert said["code"] == 200, said
        assert said["probe"]["state"] in ("ok", "explained"), said
        if said["probe"]["state"] == "explained":
            found.add(name)
        assert pair.proxied(name).startswith("UP")
    time.sleep(0.05)
    return found
