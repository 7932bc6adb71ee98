"""What a health check costs, beside a shell check that forks a client, served by xinetd, in the same run.

``make bench`` prints the tables. ``BENCH_CHECK`` (5) is the length of each round in seconds.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator

import psutil
import pytest

from tests.benchmarks.checks import Load, growth, load, processor_time, shell_check, undisturbed
from tests.benchmarks.tables import table
from tests.clustercheck.endpoint import Check, checking
from tests.clustercheck.pair import Member, two_servers
from tests.support.mariadb import Server

SECONDS = float(os.environ.get("BENCH_CHECK", "5"))

STEADY_RATE, STEADY_P99 = 1000.0, 2e-3
"""Checks a second, on one core, and the seconds within which 99 of 100 are answered."""

MEMORY = 50.0
"""MiB resident, at most."""

LATENCY, THROUGHPUT, PROCESSOR = 100.0, 15.0, 50.0
"""Times better than the shell check, at least: p50 alone, checks a second, processor time of one."""

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def server() -> Iterator[Member]:
    with two_servers() as (one, _):
        yield one


@pytest.fixture(scope="module")
def check(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Check]:
    with checking(tmp_path_factory.mktemp("check"), server.socket) as one:
        one.wait_for(200, "synced")
        yield one


def milliseconds(found: Load) -> tuple[str, str, str]:
    return f"{found.quantile(0.5) * 1e3:.2f}", f"{found.quantile(0.99) * 1e3:.2f}", f"{found.rate:.0f}"


def test_beside_the_shell_check(server: Server, check: Check) -> None:
    ours: dict[int, Load] = {}
    theirs: dict[int, Load] = {}
    cost: dict[str, float] = {}
    process = psutil.Process(check.process.pid)
    for count in (1, 50, 500):
        before = processor_time(process)
        ours[count] = load(check.port, count, SECONDS)
        cost[f"ours {count}"] = (processor_time(process) - before) / len(ours[count].latencies)
    with shell_check(server) as (port, xinetd):
        for count in (1, 50, 500):
            before = processor_time(xinetd)
            theirs[count] = load(port, count, SECONDS)
            cost[f"theirs {count}"] = (processor_time(xinetd) - before) / len(theirs[count].latencies)
    rows = []
    for name, found in (("clustercheck", ours), ("shell and xinetd", theirs)):
        for count, one in found.items():
            each = cost[f"{'ours' if found is ours else 'theirs'} {count}"]
            rows.append((name, str(count), *milliseconds(one), f"{each * 1e3:.3f}", str(one.wrong)))
    head = ("", "at a time", "p50, ms", "p99, ms", "checks a second", "processor, ms each", "wrong answers")
    table(f"Health checks, a new connection for each, {SECONDS:.0f} s", head, rows)
    assert all(one.wrong == 0 for one in ours.values())
    best = {name: max(one.rate for one in found.values()) for name, found in (("ours", ours), ("theirs", theirs))}
    ratios = {
        "p50 alone": theirs[1].quantile(0.5) / ours[1].quantile(0.5),
        "checks a second": best["ours"] / best["theirs"],
        "processor time": cost["theirs 50"] / cost["ours 50"],
    }
    table("Times better", ("", "times"), [(name, f"{value:.0f}") for name, value in ratios.items()])
    assert ratios["p50 alone"] >= LATENCY
    assert ratios["checks a second"] >= THROUGHPUT
    assert ratios["processor time"] >= PROCESSOR


def test_a_thousand_a_second_on_one_core(check: Check) -> None:
    """Twice: as it is, and undisturbed by whatever else runs on this machine, where we may have that (as root)."""
    process = psutil.Process(check.process.pid)
    rows, found = [], {}
    for name, stack in (("as it is", contextlib.nullcontext(False)), ("undisturbed", undisturbed(process))):
        with stack as alone:
            if name == "undisturbed" and not alone:
                continue
            load(check.port, 100, 1.0, rate=STEADY_RATE)
            before, begun = processor_time(process), time.monotonic()
            found[name] = load(check.port, 100, 2 * SECONDS, rate=STEADY_RATE)
            spent = (processor_time(process) - before) / (time.monotonic() - begun)
        memory = process.memory_info().rss / 2**20
        rows.append((name, *milliseconds(found[name]), f"{100 * spent:.0f}", f"{memory:.1f}"))
        assert found[name].wrong == 0
        assert spent < 1.0
        assert memory < MEMORY
    head = ("", "p50, ms", "p99, ms", "checks a second", "% of a core", "MiB resident")
    table(f"{STEADY_RATE:.0f} checks a second", head, rows)
    assert min(one.quantile(0.99) for one in found.values()) < STEADY_P99


def test_a_hundred_a_second_and_at_rest(check: Check) -> None:
    process = psutil.Process(check.process.pid)
    rows = []
    for rate in (0.0, 100.0):
        before, begun = processor_time(process), time.monotonic()
        if rate:
            assert load(check.port, 50, 2 * SECONDS, rate=rate).wrong == 0
        else:
            time.sleep(2 * SECONDS)
        spent = (processor_time(process) - before) / (time.monotonic() - begun)
        memory = process.memory_info().rss / 2**20
        rows.append((f"{rate:.0f}", f"{100 * spent:.2f}", f"{memory:.1f}"))
        assert memory < MEMORY
    table("At rest and asked", ("checks a second", "% of a core", "MiB resident"), rows)


def test_the_cost_of_the_commit_probe(server: Member) -> None:
    """One write of one row: how long it takes, and what it adds to replication."""
    took = []
    with server.session() as cursor:
        cursor.execute("SHOW GLOBAL STATUS LIKE 'wsrep_replicated_bytes'")
        before = int(cursor.fetchone()[1])
        for _ in range(200):
            begun = time.perf_counter()
            cursor.execute(
                "INSERT INTO galerist.probe (node, written) VALUES ('bench', NOW(6))"
                " ON DUPLICATE KEY UPDATE written = NOW(6)"
            )
            took.append(time.perf_counter() - begun)
        cursor.execute("SHOW GLOBAL STATUS LIKE 'wsrep_replicated_bytes'")
        size = (int(cursor.fetchone()[1]) - before) / 200
    took.sort()
    row = (f"{took[100] * 1e3:.2f}", f"{took[197] * 1e3:.2f}", f"{size:.0f}", f"{size * 86400 / 5 / 2**20:.1f}")
    table("The commit probe", ("p50, ms", "p99, ms", "bytes replicated", "MiB a day at one in 5 s"), [row])
    assert size < 1000


@pytest.mark.timeout(0)
def test_no_leak(check: Check) -> None:
    """No more memory after many requests of all kinds than after some. ``BENCH_LEAK`` is their number;
    ``make leak`` asks a million times."""
    count = int(os.environ.get("BENCH_LEAK", "30000"))
    process = psutil.Process(check.process.pid)
    while check.status()["probe"]["state"] != "ok":  # it has a connection of its own
        time.sleep(0.1)
    files, threads = process.num_fds(), process.num_threads()
    done, grown = growth(check.port, process, 20_000, count)
    table("Memory", ("requests", "MiB more"), [(str(done), f"{grown:.2f}")])
    assert check.ask()[0] == 200
    assert grown < 3.0
    assert process.num_threads() == threads
    assert process.num_fds() <= files + 2  # one to ask whether DDL runs, if a probe was late, and one of the moment
