"""Two real nodes, a health endpoint beside each, and a real HAProxy that asks them."""

from __future__ import annotations

import contextlib
import csv
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.clustercheck.endpoint import Check, checking
from tests.clustercheck.pair import Member, two_servers
from tests.support.etcd import free_ports

SOON = 1.0
"""Seconds from the fact to the answer."""

SEEN = 2.5
"""Seconds from the fact to what HAProxy does: three failed checks 250 ms apart come on top."""

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
        two = {**base, "node": "n2", "check_port": ports[1], "usable": two_usable}
        one = {**base, "node": "n1", "check_port": ports[0], "usable": one_usable}
        self.check_one.tell("n1", writer=["n1", "n2"], peers=[two])
        self.check_two.tell("n2", writer=["n1", "n2"], peers=[one])

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


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    """The second server joins in the first test."""
    with contextlib.ExitStack() as stack:
        one, two = stack.enter_context(two_servers())
        yield Pair(one, two, tmp_path_factory.mktemp("pair"), stack)


def code(check: Check, path: str = "/") -> int:
    return check.ask(path=path)[0]


def test_joiner_and_donor_while_the_transfer_lasts(pair: Pair) -> None:
    pair.tell(two_usable=False)
    pair.check_one.wait_for(200, "synced")
    pair.until_proxied("n1", "UP")
    pair.two.join(pair.one)
    with pair.one.held_transfer():
        pair.check_one.wait_for(200, "donor of a state transfer; stays, since no other node is usable")
        assert pair.check_one.status()["probe"]["state"] == "resting"
        assert (code(pair.check_one, "/donor"), code(pair.check_one, "/write")) == (200, 200)
        assert (code(pair.check_two), code(pair.check_two, "/ready"), code(pair.check_two, "/live")) == (503, 503, 200)
        assert pair.proxied("n2").startswith("DOWN")
        pair.tell(two_usable=True)  # as if there were a third
        assert pair.check_one.wait_for(404, "donor of a state transfer") < SOON
        assert code(pair.check_one, "/read?max_lag=1000") == 200
        assert pair.until_proxied("n1", "NOLB") < SEEN
        time.sleep(2)  # long after the server began to answer nothing
        assert code(pair.check_two, "/live") == 200
    pair.two.wait_for_state("4")
    pair.tell()
    for check in (pair.check_one, pair.check_two):
        check.wait_for(200, "synced")
    pair.until_proxied("n1", "UP")
    pair.until_proxied("n2", "UP")
    pair.until_proxied("n2", "no check", "agents")
    assert (code(pair.check_one, "/write"), code(pair.check_two, "/write")) == (200, 404)


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


STATES = {
    "desynced": (global_("wsrep_desync", "ON", "OFF"), 404, "wsrep_desync", "NOLB", "DRAIN"),
    "read only": (global_("read_only", "ON", "OFF"), 404, "read_only", "NOLB", "DRAIN"),
    "rejects": (global_("wsrep_reject_queries", "ALL", "NONE"), 503, "wsrep_reject_queries", "DOWN", "DOWN"),
    "non-Primary": ((cut, rejoin), 503, "not Primary", "DOWN", "DOWN"),
    "frozen": (
        (lambda pair: pair.two.signal(19), lambda pair: pair.two.signal(18)),  # SIGSTOP, SIGCONT
        503,
        "s old",
        "DOWN",
        "DOWN",
    ),
}


@pytest.mark.parametrize("name", STATES)
def test_from_the_fact_to_the_answer(pair: Pair, name: str) -> None:
    (worsen, mend), expected, word, proxied, agents = STATES[name]
    worsen(pair)
    began = time.monotonic()
    try:
        assert pair.check_two.wait_for(expected, word) < SOON
        pair.until_proxied("n2", proxied)
        assert time.monotonic() - began < SEEN
        pair.until_proxied("n2", agents, "agents")
        assert code(pair.check_one) == 200
    finally:
        mend(pair)
    pair.check_two.wait_for(200, "synced")
    pair.until_proxied("n2", "UP")
    pair.until_proxied("n2", "no check", "agents")


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


def test_a_node_whose_applier_has_failed_leaves_and_comes_back(pair: Pair) -> None:
    until_probed(pair.check_one, pair.check_two)
    with pair.two.failed_applier():
        took = pair.check_two.wait_for(404, "commits hang")
        assert took < 5 + 1 + 5 + 2  # its own next write, late, another's next write, and some
        status = pair.check_two.status()
        assert (status["facts"]["local_state"], status["facts"]["cluster_status"]) == (4, "Primary")
        pair.until_proxied("n2", "NOLB")
        assert code(pair.check_one) == 200
        pair.tell(one_usable=False)
        assert code(pair.check_two) == 200  # nobody else could serve
        pair.tell()
        assert code(pair.check_two) == 404
    pair.check_two.wait_for(200, "synced")
    pair.until_proxied("n2", "UP")


def test_a_long_alter_leaves_every_node_in_rotation(pair: Pair) -> None:
    pair.one.run(
        "CREATE DATABASE big",
        "CREATE TABLE big.t (id INT PRIMARY KEY, x VARCHAR(400))",
        "INSERT INTO big.t SELECT seq, REPEAT(CHAR(65 + seq % 26), 380) FROM big.seq_1_to_120000",
    )
    until_probed(pair.check_one, pair.check_two)
    states: set[str] = set()
    length = 0.0
    began = time.monotonic()
    while "explained" not in states or length < 1.0:  # a probe is due every five seconds only
        assert time.monotonic() - began < 60, (states, length)
        alter = threading.Thread(target=pair.one.run, args=("ALTER TABLE big.t FORCE, ALGORITHM=COPY",))
        begun = time.monotonic()
        alter.start()
        while alter.is_alive():
            for check in (pair.check_one, pair.check_two):
                said = check.status()
                assert said["code"] == 200, said
                states.add(said["probe"]["state"])
            time.sleep(0.05)
        length = max(length, time.monotonic() - begun)
    until_probed(pair.check_one, pair.check_two)
    assert "late" not in states
    assert (code(pair.check_one), code(pair.check_two)) == (200, 200)
