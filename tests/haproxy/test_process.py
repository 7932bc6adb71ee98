"""One real HAProxy: started, checked, reloaded, refused, adopted, stopped."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from dataclasses import replace
from pathlib import Path

import pytest

from haproxy.model import Policy, Wire, model
from haproxy.process import Haproxy, Refused, start_time
from haproxy.render import render
from tests.haproxy.fakes import Client, Node, served_by, until
from tests.support.certificates import make_certificates
from tests.support.ports import free_ports

MORE = "\nlisten more\n    mode http\n"  # a difference in structure: it takes a reload
BINARY = Path("/usr/sbin/haproxy")


class Bench:
    """A HAProxy of our own, nodes to put behind it, and the ports it listens on."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.write, self.read, self.all, self.stats = free_ports(4)
        self.policy = Policy(("127.0.0.1",), self.write, self.read, self.all, ("127.0.0.1",), self.stats)
        self.haproxy = Haproxy(BINARY, folder)
        self.stack = ExitStack()

    def nodes(self, *names: str, code: int = 200) -> list[Node]:
        return [self.stack.enter_context(closing(Node(name, code))) for name in names]

    def config(self, *nodes: Node, more: str = "") -> str:
        wanted = model(tuple(node.server for node in nodes), self.policy)
        facts = {**self.haproxy.facts(), "cluster": "test", "drop_to": "haproxy" if os.geteuid() == 0 else ""}
        return render(wanted, facts) + more

    def apply(self, *nodes: Node, more: str = "") -> bool:
        self.text = self.config(*nodes, more=more)
        return self.haproxy.apply(self.text)

    def look_after(self) -> int:
        """What the watcher does at each look; how many sessions were ended."""
        self.haproxy.follow(self.text)
        ended = self.haproxy.runtime.end_sessions(frozenset())
        return ended + self.haproxy.end_leftovers(self.haproxy.processes())


@pytest.fixture
def bench() -> Iterator[Bench]:
    with tempfile.TemporaryDirectory(prefix="galerist-proxy-", dir="/tmp") as folder:
        one = Bench(Path(folder))
        with one.stack:
            try:
                yield one
            finally:
                one.haproxy.stop(0.0)


def client(bench: Bench, port: int) -> Client:
    return bench.stack.enter_context(closing(Client(port)))


def test_ports_lead_where_they_should(bench: Bench) -> None:
    a, b, c = bench.nodes("a", "b", "c")
    assert bench.apply(a, b, c)
    until(lambda: served_by(bench.write) == "a", "the first takes the writes")
    until(lambda: {served_by(bench.read) for _ in range(6)} == {"b", "c"}, "the others take the reads")
    until(lambda: {served_by(bench.all) for _ in range(9)} == {"a", "b", "c"}, "all take the rest")
    with socket.create_connection(("127.0.0.1", bench.stats), 5) as stats:
        stats.sendall(b"GET / HTTP/1.0\r\n\r\n")
        assert stats.recv(100).startswith(b"HTTP/1.1 200")
    assert not bench.apply(a, b, c), "nothing has changed, nothing is done"


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_checks_by_tls_and_the_proxy_protocol(bench: Bench, version: str) -> None:
    files = make_certificates(bench.folder / "tls")
    bench.policy = replace(bench.policy, wire=Wire(proxy_out=version, check_ca=str(files.ca)))
    a, b = (
        bench.stack.enter_context(closing(Node(name, tls=(files.server_cert, files.server_key), told=True)))
        for name in "ab"
    )
    (plain,) = bench.nodes("plain")
    bench.apply(plain, a)
    until(lambda: served_by(bench.write) == "a", "the one with a certificate is up, the other is not")
    assert not bench.apply(b, plain, a), "such a server can be made at run time"
    until(lambda: served_by(bench.write) == "b", "b is up")
    signature = b"PROXY TCP4 127.0.0.1 " if version == "v1" else b"\r\n\r\n\0\r\nQUIT\n"
    assert all(said.startswith(signature) for said in (*a.told, *b.told))


def test_it_takes_the_proxy_protocol_from_a_balancer_before_it(bench: Bench) -> None:
    bench.policy = replace(bench.policy, wire=Wire(proxy_in=True))
    (a,) = bench.nodes("a")
    bench.apply(a)

    def said() -> bytes:
        with socket.create_connection(("127.0.0.1", bench.write), 5) as peer:
            peer.sendall(b"PROXY TCP4 192.0.2.9 192.0.2.1 5555 3306\r\n")
            return peer.recv(10)

    until(lambda: said() == b"a\n", "the client is let in")


def test_a_node_known_by_name_is_looked_up(bench: Bench) -> None:
    bench.policy = replace(bench.policy, wire=Wire(resolvers=("127.0.0.1:9",)))
    (a,) = bench.nodes("a")
    by_name = replace(a.server, address="localhost")
    text = render(model((by_name,), bench.policy), {**bench.haproxy.facts(), "cluster": "t", "drop_to": ""})
    assert f"localhost:{a.port} id 1000000000 port {a.check_port} weight 1 resolvers galerist" in text
    bench.haproxy.apply(text)
    until(lambda: served_by(bench.write) == "a", "the name has led to it")


def test_no_server_gets_a_client_before_its_first_check(bench: Bench) -> None:
    bad, good = *bench.nodes("bad", code=503), *bench.nodes("good")
    seen = set()
    bench.apply(bad, good)
    end = time.monotonic() + 1.5
    while time.monotonic() < end:
        seen.add(served_by(bench.write))
    assert seen - {""} == {"good"}


def test_a_reload_keeps_sessions_and_what_is_known(bench: Bench) -> None:
    a, b = bench.nodes("a", "b")
    bench.apply(a)
    until(lambda: served_by(bench.write) == "a", "a is up")
    session = client(bench, bench.write)
    before = bench.haproxy.processes()
    assert bench.apply(a, b, more=MORE)
    assert served_by(bench.write) == "a", "a is up without a new check"
    until(lambda: served_by(bench.read) == "b", "b is up")
    after = bench.haproxy.processes()
    assert after.master == before.master
    assert set(after.workers).isdisjoint(before.workers)
    assert session.alive()
    assert after.old == before.workers
    assert bench.haproxy.reloads == 1


def test_a_stalled_node_loses_new_sessions_first_and_its_own_later(bench: Bench) -> None:
    a, b = bench.nodes("a", "b")
    bench.apply(a, b)
    until(lambda: served_by(bench.write) == "a" and served_by(bench.read) == "b", "both are up")
    session = client(bench, bench.write)
    a.code = 503
    began = time.monotonic()
    until(lambda: served_by(bench.write) == "b", "new sessions go to b", 1.5)
    assert bench.look_after() == 0
    assert session.alive(), "it may come back"
    until(lambda: bench.look_after() > 0, "it has not: its sessions end")
    assert 4.5 < time.monotonic() - began < 8
    assert not session.alive()


def test_a_stall_that_passes_cuts_nobody(bench: Bench) -> None:
    a, b = bench.nodes("a", "b")
    bench.apply(a, b)
    until(lambda: served_by(bench.write) == "a" and served_by(bench.read) == "b", "both are up")
    session = client(bench, bench.write)
    a.code = 503
    until(lambda: served_by(bench.write) == "b", "new sessions go to b")
    a.code = 200
    until(lambda: served_by(bench.write) == "a", "a is back")
    bench.look_after()
    assert session.alive()


def test_a_dead_node_loses_its_sessions_at_once(bench: Bench) -> None:
    a, b = bench.nodes("a", "b")
    bench.apply(a, b)
    until(lambda: served_by(bench.write) == "a" and served_by(bench.read) == "b", "both are up")
    session = client(bench, bench.write)
    a.die_health()
    began = time.monotonic()
    until(lambda: bench.look_after() == 1, "the session ends")
    assert time.monotonic() - began < 2
    assert not session.alive()


def test_404_drains(bench: Bench) -> None:
    a, b = bench.nodes("a", "b")
    bench.apply(a, b)
    until(lambda: served_by(bench.write) == "a" and served_by(bench.read) == "b", "both are up")
    session = client(bench, bench.write)
    a.code = 404
    until(lambda: served_by(bench.write) == "b", "new sessions go to b")
    assert bench.look_after() == 0
    assert session.alive()
    bench.apply(b, a)  # when that has lasted, the order of writers follows
    until(lambda: bench.look_after() == 1, "one writer at a time")
    assert not session.alive()


def test_a_node_that_has_just_died_delays_and_fails_no_new_session(bench: Bench) -> None:
    a, b, c = bench.nodes("a", "b", "c")
    bench.apply(a, b, c)
    until(lambda: {served_by(bench.all) for _ in range(9)} == {"a", "b", "c"}, "all are up")
    a.die()  # its health endpoint has not noticed
    assert {served_by(bench.all) for _ in range(9)} == {"b", "c"}
    assert {served_by(bench.write) for _ in range(9)} == {"b"}, "the next in the order"


def test_reads_go_to_the_writer_where_there_is_nobody_else(bench: Bench) -> None:
    a, b = bench.nodes("a", "b")
    bench.apply(a, b)
    until(lambda: served_by(bench.write) == "a" and served_by(bench.read) == "b", "both are up")
    b.code = 503
    until(lambda: served_by(bench.read) == "a", "the writer takes reads")


def test_when_the_writer_returns_nobody_stays_on_the_next(bench: Bench) -> None:
    a, b = *bench.nodes("a", code=503), *bench.nodes("b")
    bench.apply(a, b)
    until(lambda: served_by(bench.write) == "b", "b stands in")
    session = client(bench, bench.write)
    a.code = 200
    until(lambda: served_by(bench.write) == "a", "a is back")
    until(lambda: bench.look_after() == 1, "one writer at a time")
    assert not session.alive()


def test_sessions_of_an_old_worker_are_looked_after(bench: Bench) -> None:
    a, b, c = bench.nodes("a", "b", "c")
    bench.apply(a, b)
    until(lambda: served_by(bench.write) == "a" and served_by(bench.read) == "b", "both are up")
    writing, reading = client(bench, bench.write), client(bench, bench.read)
    assert (writing.served_by, reading.served_by) == ("a", "b")
    bench.apply(a, b, c, more=MORE)
    assert bench.look_after() == 0
    b.die_health()
    until(lambda: bench.look_after() == 1, "b is dead, its old session ends")
    assert not reading.alive()
    assert writing.alive()
    bench.apply(c, a, b, more=MORE)  # another writer
    until(lambda: served_by(bench.write) == "c", "c takes the writes")
    until(lambda: bench.look_after() == 1, "the session on the former writer ends")
    assert not writing.alive()
    until(lambda: not bench.haproxy.processes().old, "old workers end with their last session")


def test_what_haproxy_refuses_is_kept_aside(bench: Bench) -> None:
    (a,) = bench.nodes("a")
    bench.apply(a)
    text = bench.config(a)
    before = bench.haproxy.processes()
    with pytest.raises(Refused, match=r"haproxy\.cfg\.rejected:.*unknown keyword 'nonsense'"):
        bench.haproxy.apply(text + "nonsense\n")
    assert bench.haproxy.processes() == before
    assert bench.haproxy.config.read_text() == text
    assert bench.haproxy.rejected.read_text() == text + "nonsense\n"
    assert "nonsense" in (bench.folder / "haproxy.cfg.rejected.reason").read_text()


def test_a_reload_that_fails_changes_nothing_and_the_next_one_works(bench: Bench) -> None:
    """haproxy -c finds nothing wrong with a port that somebody else has."""
    a, b = bench.nodes("a", "b")
    bench.apply(a)
    until(lambda: served_by(bench.write) == "a", "a is up")
    before = bench.haproxy.processes()
    text = bench.config(a)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(Refused, match=f"port {port} of 127.0.0.1 is in use"):
            bench.haproxy.apply(f"{text}\nlisten more\n    bind 127.0.0.1:{port}\n")
    assert bench.haproxy.config.read_text() == text
    assert bench.haproxy.processes().alive == before.workers
    assert served_by(bench.write) == "a"
    assert not bench.apply(a, b)
    until(lambda: served_by(bench.read) == "b", "the next configuration works")


def test_a_port_in_use_at_the_start_is_named(bench: Bench) -> None:
    with socket.create_server(("127.0.0.1", bench.write)), pytest.raises(Refused, match=f"port {bench.write} of"):
        bench.apply()
    assert not bench.haproxy.running()


def test_a_file_changed_by_hand_is_put_right(bench: Bench) -> None:
    (a,) = bench.nodes("a")
    bench.apply(a)
    bench.haproxy.config.write_text("# emptied by somebody\n")
    assert not bench.apply(a)
    assert bench.haproxy.settle()
    assert not bench.haproxy.settle()
    assert bench.haproxy.config.read_text() == bench.config(a)


def test_a_haproxy_left_running_is_adopted(bench: Bench) -> None:
    (a,) = bench.nodes("a")
    bench.apply(a)
    workers = bench.haproxy.processes().workers
    heir = Haproxy(BINARY, bench.folder)
    assert heir.adopt()
    assert heir.applied == bench.config(a)
    assert not heir.apply(bench.config(a))
    assert heir.processes().workers == workers
    heir.stop(0.0)
    assert not heir.running()
    assert not bench.haproxy.running()


def test_a_haproxy_that_hangs_is_not_adopted_but_ended(bench: Bench) -> None:
    (a,) = bench.nodes("a")
    bench.apply(a)
    master = bench.haproxy.processes().master
    os.kill(master, signal.SIGSTOP)
    heir = Haproxy(BINARY, bench.folder)
    assert not heir.adopt()
    until(lambda: start_time(master) is None, "it is gone")
    assert heir.apply(bench.config(a))
    until(lambda: served_by(bench.write) == "a", "the next one has the ports")
    heir.stop(0.0)


@pytest.mark.parametrize("victim", ["master", "worker"])
def test_a_killed_haproxy_can_be_started_again(bench: Bench, victim: str) -> None:
    (a,) = bench.nodes("a")
    bench.apply(a)
    processes = bench.haproxy.processes()
    os.kill(processes.master if victim == "master" else processes.workers[0], signal.SIGKILL)
    until(lambda: not bench.haproxy.running(), "it is seen to be gone")
    until(lambda: all(start_time(pid) is None for pid in processes.alive), "its workers end too")
    assert bench.apply(a)
    until(lambda: served_by(bench.write) == "a", "it serves again")


def test_it_tells_what_happens_to_servers(bench: Bench) -> None:
    (a,) = bench.nodes("a")
    bench.apply(a)
    lines: list[str] = []

    def told(word: str) -> Callable[[], bool]:
        def look() -> bool:
            lines.extend(bench.haproxy.messages())
            return any(word in line for line in lines)

        return look

    until(told("write/a is UP"), "the server is told to be up")
    a.code = 503
    until(told("write/a is DOWN"), "the server is told to be down")


def test_nothing_is_left_behind(bench: Bench) -> None:
    bench.apply()
    processes = bench.haproxy.processes()
    bench.haproxy.stop(0.0)
    assert start_time(processes.master) is None
    assert all(start_time(pid) is None for pid in processes.alive)
    listening = subprocess.run(["haproxy", "-c", "-f", str(bench.haproxy.config)], capture_output=True)
    assert listening.returncode == 0
    with socket.create_server(("127.0.0.1", bench.write)):
        pass
