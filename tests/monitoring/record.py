"""Records what Prometheus would have scraped during real faults: ``python -m tests.monitoring.record [FAULT…]``.

Each fault is made on a real cluster of three nodes with a proxy. The series that the alert rules use are written to
tests/monitoring/series/<fault>.json: a value for each step of STEP seconds, null where a scrape failed.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from tests.support.cluster import Cluster
from tests.support.writers import Writers, make_table

HERE = Path(__file__).parent
SERIES = HERE / "series"
RULES = HERE.parents[1] / "monitoring" / "alerts.yml"
STEP = 5  # s
BEFORE, AFTER = 2, 8
"""Scrapes of the healthy cluster, and of the fault."""


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


def record(cluster: Cluster, fault: Callable[[Cluster], contextlib.AbstractContextManager[None]]) -> dict[str, Any]:
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
    with fault(cluster):
        due = time.monotonic() + STEP
        take(AFTER)
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
    from galerist.cli.main import main

    assert main(["pause", "--dir", str(cluster.layout.dir)]) == 0
    yield
    assert main(["resume", "--dir", str(cluster.layout.dir)]) == 0


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
    import pymysql

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


FAULTS = {
    "healthy": nothing, "agent-killed": agent_killed, "node-killed": node_killed, "majority-killed": majority_killed,
    "total-outage": outage, "registry-frozen": registry_frozen, "watcher-killed": watcher_killed,
    "check-killed": check_killed, "paused": paused, "stranger": stranger, "applier-locked": applier_locked,
}  # fmt: skip


def main(chosen: list[str]) -> int:
    SERIES.mkdir(exist_ok=True)
    with Cluster(settings={"ttl": 3}) as cluster:
        cluster.up(proxy=True)
        for name in chosen or FAULTS:
            found = record(cluster, FAULTS[name])
            lines = [f"  {json.dumps(key)}: {json.dumps(values)}" for key, values in found["series"].items()]
            text = f'{{"step": {found["step"]}, "series": {{\n' + ",\n".join(lines) + "\n}}\n"
            (SERIES / f"{name}.json").write_text(text)
            print(f"{name}: {len(lines)} series", flush=True)
            cluster.up(proxy=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
