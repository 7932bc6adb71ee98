"""A rolling restart of real nodes under clients: one at a time, the writer last, and no statement fails."""

from __future__ import annotations

import subprocess
import sys

import pytest

from galerist.view.facts import read_events
from tests.support.cluster import Cluster
from tests.support.load import Load
from tests.support.writers import assert_complete, make_table


def galerist(cluster: Cluster, *words: str, timeout: float = 300) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "galerist", *words, "--dir", str(cluster.layout.dir)],
        stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=timeout, check=False,
    )  # fmt: skip


def roll(cluster: Cluster) -> Load:
    """Restart all under load; what its clients saw."""
    make_table(cluster, "n1")
    before = cluster.server_pids()
    writer = cluster.data()["writer"]
    with Load(cluster, 4) as clients:
        run = galerist(cluster, "restart", "--rolling", timeout=500)
        assert run.returncode == 0, run.stdout + run.stderr + cluster.state()
        cluster.serving()
    after = cluster.server_pids()
    assert {node for node in cluster.nodes if after[node] == before[node]} == set(), "every server is a new one"
    done = [line.split(":")[0] for line in run.stdout.splitlines() if line.endswith(": its server restarts.")]
    assert sorted(done) == sorted(cluster.nodes) and done[-1] == writer, run.stdout
    failed = clients.errors()
    assert failed == [], f"{len(failed)} of {len(clients.writes)}: {failed[:5]}\n{run.stdout}"
    assert_complete(cluster, clients.acknowledged)
    assert cluster.registry.get(cluster.keys.state) is not None
    assert '"restart":null' in (cluster.registry.get(cluster.keys.state) or "")
    events = read_events(cluster.registry, cluster.plan.cluster)
    (order,) = [event for event in events if event.sentence == "A person ordered: restart --rolling."]
    caused = {event.node for event in events if event.operation == order.operation and event.action == "join"}
    assert caused == {*cluster.nodes}, "the history tells what the order has caused"
    return clients


@pytest.mark.timeout(400)
def test_three_nodes_restart_under_load_and_go_on_after_a_halt() -> None:
    with Cluster(settings={"ttl": 3}) as cluster:
        cluster.up(proxy=True)
        clients = roll(cluster)
        assert len(clients.acknowledged) > 100

        # Something is unhealthy: it halts, says why, and goes on when it is called again.
        cluster.kill("n3")
        cluster.until(lambda: not cluster.member("n3"), "n3 to fall silent")
        cluster.until(lambda: "silent" in galerist(cluster, "list", "--format", "tsv").stdout, "its lease to end")
        refused = galerist(cluster, "restart", "n1")
        assert refused.returncode == 1 and "n3 does not report" in refused.stderr, refused.stderr
        assert galerist(cluster, "restart").returncode == 2
        assert galerist(cluster, "restart", "--abort").returncode == 1
        cluster.start("n3")
        cluster.serving()

        former = cluster.server_pids()
        ordered = subprocess.Popen(
            [sys.executable, "-m", "galerist", "restart", "n1", "n2", "--dir", str(cluster.layout.dir)],
            stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert ordered.stdout is not None
        for line in ordered.stdout:
            if "its server restarts" in line:
                break
        ordered.kill()
        ordered.wait()
        ordered.stdout.close()
        again = galerist(cluster, "restart", "n3")
        assert again.returncode == 1 and "unfinished" in again.stderr
        assert galerist(cluster, "restart", "--rolling").returncode == 0
        cluster.serving()
        now = cluster.server_pids()
        assert [node for node in cluster.nodes if now[node] != former[node]] == ["n1", "n2"]
        assert "restart" in galerist(cluster, "history").stdout


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_five_nodes_restart_under_load() -> None:
    with Cluster(5, settings={"ttl": 3}) as cluster:
        cluster.up(proxy=True, patience=300)
        clients = roll(cluster)
        print(
            f"\nrolling restart of five: {len(clients.acknowledged)} statements, {sum(one.tries > 1 for one in clients.writes)} second tries, 0 failed"
        )
