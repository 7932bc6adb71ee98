"""Records what Prometheus would have scraped during real faults: ``python -m tests.monitoring.record [FAULT…]``.

Each fault is made on a real cluster of three nodes with a proxy (as root). The series that the alert rules use are written
to tests/monitoring/series/<fault>.json: a value for each step of STEP seconds, null where a scrape failed.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import sys
import threading
import time
import urllib.request
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pymysql
from prometheus_client.parser import text_string_to_metric_families

from galerist.cli.main import main as galerist
from tests.support.cluster import Cluster
from tests.support.threads import held
from tests.support.writers import Writers, make_table

HERE = Path(__file__).parent
SERIES = HERE / "series"
RULES = HERE.parents[1] / "monitoring" / "alerts.yml"
STEP = 5  # s
BEFORE, AFTER = 2, 8
"""Scrapes of the healthy cluster, and of the fault."""

LONG = {"agent-stuck": 28}
"""Scrapes of a fault that shows in a figure that grows."""


def targets(cluster: Cluster) -> dict[tuple[str, str], str]:
    """(job, instance): URL."""
    found = {}
    for node in cluster.nodes:
        found["galerist-agent", node] = f"http://127.0.0.1:{cluster.plan.port('agent_metrics_port', node)}/metrics"
        found["galerist-check", node] = f"http://127.0.0.1:{cluster.plan.port('check_port', node)}/metrics"
    found["galerist-proxy", "local"] = f"http://127.0.0.1:{cluster.plan.port('proxy_metrics_port')}/metrics"
    return found


def used() -> set[str]:
    """The names of all series that the rules speak of."""
    return set(re.findall(r"\b(?:galerist|wsrep)_\w+", RULES.read_text()))


def scrape(cluster: Cluster, names: set[str]) -> dict[str, float]:
    """What one scrape of everything gives, as Prometheus names it."""
    seen: dict[str, float] = {}
    for (job, instance), url in targets(cluster).items():
        labels = {"cluster": cluster.plan.cluster, "instance": instance, "job": job}
        try:
            with urllib.request.urlopen(url, timeout=2) as answer:
                text = answer.read().decode()
        except OSError:
            seen[series("up", labels)] = 0.0
            continue
        seen[series("up", labels)] = 1.0
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                if sample.name in names:
                    seen[series(sample.name, labels | sample.labels)] = sample.value
    return seen


def series(name: str, labels: dict[str, str]) -> str:
    return name + "{" + ",".join(f'{key}="{value}"' for key, value in sorted(labels.items())) + "}"


def record(cluster: Cluster, name: str) -> dict[str, Any]:
    """The series of a healthy cluster, then of the fault."""
    names, steps = used(), []
    due = time.monotonic()

    def take(count: int) -> None:
        nonlocal due
        for _ in range(count):
            time.sleep(max(0.0, due - time.monotonic()))
            due += STEP
            steps.append(scrape(cluster, names))

    take(BEFORE)
    with FAULTS[name](cluster):
        due = time.monotonic() + STEP
        take(LONG.get(name, AFTER))
    keys = sorted({key for step in steps for key in step})
    return {"step": STEP, "series": {key: [step.get(key) for step in steps] for key in keys}}


# -- faults ----------------------------------------------------------------------------------


@contextlib.contextmanager
def nothing(cluster: Cluster) -> Iterator[None]:
    yield


@contextlib.contextmanager
def agent_killed(cluster: Cluster) -> Iterator[None]:
    cluster.kill("n3")
    yield
    cluster.start("n3")


def _fall(cluster: Cluster, *nodes: str) -> None:
    for node in nodes:
        cluster.kill(node)
    for node, pid in cluster.server_pids().items():
        if node in nodes:
            os.kill(pid, signal.SIGKILL)


@contextlib.contextmanager
def node_killed(cluster: Cluster) -> Iterator[None]:
    _fall(cluster, "n3")
    yield
    cluster.start("n3")


@contextlib.contextmanager
def majority_killed(cluster: Cluster) -> Iterator[None]:
    _fall(cluster, "n2", "n3")
    yield
    cluster.start("n2", "n3")


@contextlib.contextmanager
def outage(cluster: Cluster) -> Iterator[None]:
    _fall(cluster, *cluster.nodes)
    cluster.start("n1", "n2")
    yield
    cluster.start("n3")


@contextlib.contextmanager
def registry_frozen(cluster: Cluster) -> Iterator[None]:
    cluster.signal("etcd", signal.SIGSTOP)
    yield
    cluster.signal("etcd", signal.SIGCONT)


@contextlib.contextmanager
def watcher_killed(cluster: Cluster) -> Iterator[None]:
    cluster.kill("proxy")
    yield
    cluster.start("proxy")


@contextlib.contextmanager
def check_killed(cluster: Cluster) -> Iterator[None]:
    cluster.kill("n3-check")
    yield
    cluster.start("n3-check")


@contextlib.contextmanager
def paused(cluster: Cluster) -> Iterator[None]:
    assert galerist(["pause", "--dir", str(cluster.layout.dir)]) == 0
    yield
    assert galerist(["resume", "--dir", str(cluster.layout.dir)]) == 0


@contextlib.contextmanager
def stranger(cluster: Cluster) -> Iterator[None]:
    """n3 comes back with data that nobody can vouch for."""
    cluster.stop("n3")
    stamp = cluster.layout.node("n3") / "stamp"
    kept = stamp.with_name("stamp.kept")
    shutil.move(stamp, kept)
    cluster.start("n3")
    cluster.says("n3", "Quarantined")
    yield
    cluster.stop("n3")
    shutil.rmtree(stamp)
    shutil.move(kept, stamp)
    cluster.start("n3")


@contextlib.contextmanager
def applier_locked(cluster: Cluster) -> Iterator[None]:
    """Somebody holds a global read lock on n3, and clients write."""
    make_table(cluster, "n1")
    socket = cluster.layout.sockets() / "n3" / "mariadb.sock"
    user = "root" if os.geteuid() == 0 else "mysql"
    holder = pymysql.connect(unix_socket=str(socket), user=user)
    with holder.cursor() as cursor:
        cursor.execute("FLUSH TABLES WITH READ LOCK")
    with Writers(cluster, 4):
        try:
            yield
        finally:
            holder.close()


@contextlib.contextmanager
def agent_stuck(cluster: Cluster) -> Iterator[None]:
    """The agent of n3 hangs in the middle of a pass, as on a volume that does not answer."""
    with held([cluster.pid("n3")]):
        yield


@contextlib.contextmanager
def commits_hang(cluster: Cluster) -> Iterator[None]:
    """n3 applies nothing more, while everything else in it goes on."""
    appliers = (
        "SELECT TID FROM information_schema.PROCESSLIST WHERE USER = 'system user' AND STATE NOT LIKE '%aborter%'"
    )
    with held([int(row[0]) for row in cluster.root("n3", appliers)]):
        yield


@contextlib.contextmanager
def joiner_hangs(cluster: Cluster) -> Iterator[None]:
    """The server of n3 hangs in its start."""
    cluster.stop("n3")
    cluster.start("n3")
    cluster.until(lambda: cluster.server_pid("n3") is not None, "the server of n3 to start")
    pid = cluster.server_pid("n3")
    assert pid is not None
    os.kill(pid, signal.SIGSTOP)
    yield
    os.kill(pid, signal.SIGCONT)


@contextlib.contextmanager
def nobody_for_clients(cluster: Cluster) -> Iterator[None]:
    """Somebody has disabled every node."""
    files = [str(cluster.layout.node_settings(node)) for node in cluster.nodes]
    for file in files:
        assert galerist(["clustercheck", "--config", file, "--disable", "by mistake"]) == 0
    yield
    for file in files:
        assert galerist(["clustercheck", "--config", file, "--enable"]) == 0


@contextlib.contextmanager
def bad_snippet(cluster: Cluster) -> Iterator[None]:
    """Somebody has a mistake in their own lines for HAProxy."""
    snippet = _snippets(cluster) / "write.cfg"
    snippet.write_text("    timeout clinet 1m\n")
    yield
    snippet.unlink()


def _snippets(cluster: Cluster) -> Path:
    return cluster.top / "snippets"


@contextlib.contextmanager
def slow_appliers(cluster: Cluster) -> Iterator[None]:
    """Clients change many rows of a table without a primary key: appliers search all of it for each of them."""
    cluster.sql("n1", "CREATE TABLE IF NOT EXISTS heap (k INT, v INT) AS SELECT seq AS k, 0 AS v FROM seq_1_to_20000")
    cluster.same_everywhere("SELECT COUNT(*) FROM heap")
    end = threading.Event()

    def change() -> None:
        with cluster.connect(cluster.plan.port("write_port"), 120) as connection, connection.cursor() as cursor:
            while not end.is_set():
                cursor.execute("UPDATE heap SET v = v + 1 WHERE k > 19970")

    with ThreadPoolExecutor(1) as clients:
        changing = clients.submit(change)
        try:
            yield
        finally:
            end.set()
        changing.result()
    cluster.same_everywhere("SELECT SUM(v) FROM heap")


FAULTS = {
    "healthy": nothing, "agent-killed": agent_killed, "node-killed": node_killed, "majority-killed": majority_killed,
    "total-outage": outage, "registry-frozen": registry_frozen, "watcher-killed": watcher_killed,
    "check-killed": check_killed, "paused": paused, "stranger": stranger, "applier-locked": applier_locked,
    "agent-stuck": agent_stuck, "commits-hang": commits_hang, "joiner-hangs": joiner_hangs,
    "nobody-for-clients": nobody_for_clients, "bad-snippet": bad_snippet, "slow-appliers": slow_appliers,
}  # fmt: skip


def run(chosen: Iterable[str], folder: Path) -> None:
    """Make these faults, one after the other, and write their series into the folder."""
    folder.mkdir(exist_ok=True)
    with Cluster(settings={"ttl": 3}) as cluster:
        _snippets(cluster).mkdir()
        with cluster.layout.proxy_settings.open("a") as file:
            file.write(f'haproxy_snippets = "{_snippets(cluster)}"\n')
        cluster.up(proxy=True)
        for name in chosen:
            found = record(cluster, name)
            lines = [f"  {json.dumps(key)}: {json.dumps(values)}" for key, values in found["series"].items()]
            text = f'{{"step": {found["step"]}, "series": {{\n' + ",\n".join(lines) + "\n}}\n"
            (folder / f"{name}.json").write_text(text)
            print(f"{name}: {len(lines)} series", flush=True)
            cluster.up(proxy=True)


if __name__ == "__main__":
    run(sys.argv[1:] or FAULTS, SERIES)
