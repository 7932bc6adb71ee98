"""Three proxies of one cluster: they never write to two nodes for longer than a check takes to come round."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
import threading
import time
import zlib
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

import pytest

from galerist import model as records
from tests.haproxy.fakes import Client, Node, until
from tests.haproxy.proxies import Proxy
from tests.support.etcd import Etcd

STOP_AFTER = 2.0
INTERVAL = 0.3 * STOP_AFTER


class Three:
    """Three proxies, three nodes; ``writes`` holds (when, proxy, node) of every answer on a write port."""

    def __init__(self, folder: Path, etcd: Etcd, stack: ExitStack, cluster: str) -> None:
        self.cluster = cluster
        self.proxies = []
        for number, name in enumerate(("p1", "p2", "p3"), 2):
            place = folder / name
            (place / "lines").mkdir(parents=True)
            # each proxy has an address of its own, so a node can be out of reach for some of them only
            (place / "lines" / "defaults.cfg").write_text(f"    default-server source 127.0.0.{number}\n")
            proxy = stack.enter_context(closing(Proxy(place, etcd, cluster, name)))
            proxy.command += ["--haproxy-snippets", str(place / "lines"), "--proxy-stop-after", str(STOP_AFTER)]
            self.proxies.append(proxy)
        first = self.proxies[0]
        self.nodes = {name: first.node(name) for name in "abc"}
        first.report(*self.nodes.values())
        first.record("a", "b", "c", writer="abc")
        for proxy in self.proxies:
            proxy.start()
        self.writes: list[tuple[float, str, str]] = []
        self._end = threading.Event()
        self._threads = [threading.Thread(target=self._write, args=(proxy,)) for proxy in self.proxies for _ in "12"]
        for thread in self._threads:
            thread.start()
        stack.callback(self._stop)

    def _stop(self) -> None:
        self._end.set()
        for thread in self._threads:
            thread.join()

    def _write(self, proxy: Proxy) -> None:
        """A client with one session that is busy all the time; a new one when it is cut."""
        while not self._end.is_set():
            try:
                with closing(Client(proxy.write)) as client:
                    while not self._end.is_set() and client.alive():
                        self.writes.append((time.monotonic(), proxy.name, client.served_by))
                        time.sleep(0.005)
            except OSError:
                pass
            time.sleep(0.01)

    def led(self, node: str) -> bool:
        """All proxies have written to this node alone for the last moment."""
        recent = [(proxy, where) for when, proxy, where in tuple(self.writes) if when > time.monotonic() - 0.3]
        return {where for _, where in recent} == {node} and len({proxy for proxy, _ in recent}) == 3

    def overlap(self, former: str, node: str, since: float) -> float:
        """Seconds in which both nodes were written to."""
        last = max((when for when, _, where in self.writes if where == former and when > since), default=since)
        first = min((when for when, _, where in self.writes if where == node and when > since), default=last)
        return max(0.0, last - first)

    def writer(self) -> tuple[str, ...]:
        text = self.proxies[0].registry.get(self.proxies[0].keys.state)
        assert text is not None
        return records.load(records.State, text).writer

    def listing(self) -> dict[str, object]:
        proxy = self.proxies[0]
        where = ("--registry", proxy.etcd.url("etcd3"), "--cluster", self.cluster, "--format", "json")
        done = subprocess.run([*proxy.command[:3], "list", *where], capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr
        found = json.loads(done.stdout)
        assert isinstance(found, dict)
        return found


@contextmanager
def out_of_reach(node: Node, address: str) -> Iterator[None]:
    """Packets from ``address`` to this node come back refused. Needs root, as all tests of faults do."""
    table = f"galerist_{os.getpid()}"
    ports = f"{{ {node.port}, {node.check_port} }}"
    rules = (
        f"table ip {table} {{ chain out {{ type filter hook output priority 0; "
        f"ip saddr {address} tcp dport {ports} reject with tcp reset; }}; }}\n"
    )
    subprocess.run(["nft", "-f", "-"], input=rules, text=True, check=True)
    try:
        yield
    finally:
        subprocess.run(["nft", "delete", "table", "ip", table], check=True)


@pytest.fixture
def three(etcd: Etcd, request: pytest.FixtureRequest) -> Iterator[Three]:
    with tempfile.TemporaryDirectory(prefix="galerist-three-", dir="/tmp") as folder, ExitStack() as stack:
        one = Three(Path(folder), etcd, stack, f"c{zlib.crc32(request.node.name.encode())}")
        until(lambda: one.led("a"), "all write to a")
        yield one


def test_a_switchover_has_no_moment_with_two_writers(three: Three) -> None:
    for former, node in ("ab", "bc", "ca"):
        began = time.monotonic()
        three.proxies[0].record("a", "b", "c", writer=node + former)
        until(lambda node=node: three.led(node), f"all write to {node}")  # type: ignore[misc]
        overlap = three.overlap(former, node, began)
        print(f"switchover {former} to {node}: two writers for {1000 * overlap:.0f} ms")
        assert overlap < 0.05


def test_what_one_proxy_cannot_reach_is_left_by_all(three: Three) -> None:
    """Only p2 finds a out of reach. The others follow it, since it cannot follow them."""
    began = time.monotonic()
    with out_of_reach(three.nodes["a"], "127.0.0.3"):
        until(lambda: three.led("b"), "all write to b")
    overlap = three.overlap("a", "b", began)
    print(f"asymmetric failure: two writers for {1000 * overlap:.0f} ms, a check interval has {1000 * INTERVAL:.0f} ms")
    assert overlap <= INTERVAL
    until(lambda: three.writer() == ("b", "c", "a"), "the order has followed")
    until(lambda: three.listing()["overlap"] == [], "and nobody tells of two writers any more")
    history = three.proxies[0].registry.list(three.proxies[0].keys.history)
    (event,) = [json.loads(text) for key, text in history.items() if key.endswith(("-p1", "-p2", "-p3"))]
    assert event["sentence"] == "b leads the order of writers: a cannot serve."


def test_when_the_writer_dies_the_order_follows_once(three: Three) -> None:
    node = three.nodes["a"]
    node.die_health()
    node.die()
    until(lambda: three.led("b"), "all write to b")
    until(lambda: three.writer() == ("b", "c", "a"), "the order has followed")
    time.sleep(1.0)
    history = three.proxies[0].registry.list(three.proxies[0].keys.history)
    events = [json.loads(text)["sentence"] for key, text in history.items() if key.endswith(("-p1", "-p2", "-p3"))]
    assert events == ["b leads the order of writers: a cannot serve."], "once, by compare-and-swap"
