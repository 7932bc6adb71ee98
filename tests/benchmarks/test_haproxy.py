"""From a write to the registry until HAProxy routes by it, beside a file and a reload."""

from __future__ import annotations

import os
import tempfile
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from galerist import model as records
from haproxy.model import Policy, Server, model
from haproxy.process import Haproxy
from haproxy.render import render
from tests.benchmarks.tables import table
from tests.haproxy.churn import churn
from tests.haproxy.fakes import served_by, until
from tests.haproxy.proxies import IDENTITY, Proxy
from tests.support.etcd import Etcd
from tests.support.ports import free_ports

CHANGES = int(os.environ.get("BENCH_CHANGES", "500"))
CALM = 100.0
"""Milliseconds that check and reload take on a machine with nothing else to do: the yardstick of its load."""

HELD = int(os.environ.get("BENCH_SESSIONS", "8000"))
RELOADS = max(20, CHANGES // 5)

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


@pytest.fixture
def proxy(request: pytest.FixtureRequest) -> Iterator[Proxy]:
    cluster = f"c{zlib.crc32(request.node.name.encode())}"
    with (
        Etcd() as etcd,
        tempfile.TemporaryDirectory(prefix="galerist-bench-", dir="/tmp") as folder,
        closing(Proxy(Path(folder), etcd, cluster)) as one,
    ):
        yield one


def timed(change: Callable[[str], None], text: str, port: int, writer: str) -> float:
    """Milliseconds from the beginning of the change until ``port`` leads to ``writer``."""
    began = time.perf_counter()
    change(text)
    while served_by(port) != writer:
        assert time.perf_counter() - began < 20, "the change never showed"
    return 1000 * (time.perf_counter() - began)


def row(name: str, times: list[float]) -> tuple[str, ...]:
    ranked = sorted(times)
    p50, p99 = ranked[len(ranked) // 2], ranked[min(len(ranked) - 1, len(ranked) * 99 // 100)]
    return (name, str(len(times)), f"{p50:.1f}", f"{p99:.1f}", f"{ranked[-1]:.1f}")


def test_from_the_registry_to_the_routing(proxy: Proxy) -> None:
    nodes = [proxy.node(name) for name in "abc"]
    proxy.report(*nodes)
    proxy.record("a", "b", "c", writer="abc")
    proxy.start()
    until(lambda: {served_by(proxy.all) for _ in range(9)} == {"a", "b", "c"}, "all are up")
    until(lambda: served_by(proxy.write) == "a" and proxy.settled(), "a is the writer")
    state = records.State(IDENTITY, records.View("g", 1, ("a", "b", "c")))
    galerist = []

    def put(text: str) -> None:
        proxy.registry.put(proxy.keys.state, text)

    for number in range(CHANGES):
        names = "abc"[number % 3 :] + "abc"[: number % 3]
        text = records.dump(records.State(state.identity, state.view, None, tuple(names)))
        if served_by(proxy.write) == names[0]:
            continue
        galerist.append(timed(put, text, proxy.write, names[0]))
        time.sleep(0.1)
    reloads = proxy.log().count("is reloaded")

    ports = free_ports(4)
    policy = Policy(("127.0.0.1",), *ports[:3], ("127.0.0.1",), ports[3])
    plain = []
    with tempfile.TemporaryDirectory(prefix="galerist-bench-", dir="/tmp") as folder:
        other = Haproxy(Path("/usr/sbin/haproxy"), Path(folder))

        def text_for(names: str) -> str:
            by_name = {node.name: node.server for node in nodes}
            servers: tuple[Server, ...] = tuple(by_name[name] for name in names)
            facts = {
                "cluster": "b",
                "admin_socket": other.admin,
                "state_file": other.states,
                "socket_mode": "600",
                "drop_to": "",
                "wait_file": "",
            }
            return render(model(servers, policy), facts)

        try:
            other.replace(text_for("abc"))
            until(lambda: served_by(ports[0]) == "a", "the other is up")
            for number in range(1, RELOADS + 1):
                names = "abc"[number % 3 :] + "abc"[: number % 3]
                plain.append(timed(other.replace, text_for(names), ports[0], names[0]))
                time.sleep(0.1)
        finally:
            other.stop(0.0)
    rows = [row("galerist, from the registry's write", galerist), row("file, check and reload alone", plain)]
    table("Until HAProxy routes to another writer (ms)", ("", "changes", "p50", "p99", "worst"), rows)
    assert reloads == 0
    slower = max(1.0, float(rows[1][2]) / CALM)
    assert float(rows[0][2]) < 20 * slower
    assert float(rows[0][3]) < 100 * slower


def test_sessions_while_members_change(proxy: Proxy) -> None:
    """HELD at once, as many as fit into a process with 20,000 files, and 10,000 short ones beside them."""
    result = churn(proxy, changes=200, threads=4, sessions=10_000, held=HELD)
    reloads = proxy.log().count("is reloaded")
    heading = (
        "short sessions", "sessions held", "changes",
        "ended, their node not removed", "ended, their node removed", "reloads",
    )  # fmt: skip
    lost = len(result.unexplained()) + len(result.wrongly_cut())
    ended = len(result.failures) + len(result.cut)
    counts = (result.sessions, result.held, result.changes, lost, ended - lost, reloads)
    table("Sessions while members change", heading, [tuple(str(count) for count in counts)])
    assert lost == 0
    assert reloads == 0
