"""The writer is killed under load, and moved by order: what 16 clients of the proxy see of it."""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Iterator

import pytest

from tests.benchmarks.tables import table
from tests.support.cluster import Cluster, galerist
from tests.support.load import TIMEOUT, Load
from tests.support.writers import assert_complete, make_table

KILLS = int(os.environ.get("GALERIST_KILLS", "20"))
MOVES = int(os.environ.get("GALERIST_MOVES", "5"))
PROVIDER = os.environ.get("GALERIST_PROVIDER", "")
"""wsrep_provider_options, such as evs.suspect_timeout: how long Galera waits for a member that is silent."""


@pytest.fixture
def three() -> Iterator[Cluster]:
    with Cluster(mariadb={"wsrep_provider_options": PROVIDER} if PROVIDER else None) as cluster:
        cluster.up(proxy=True)
        make_table(cluster, "n1")
        yield cluster


def kill_the_writer(three: Cluster, times: int) -> None:
    """Each time: kill -9 of its server, and how long until a write that begins later is accepted."""
    gaps = []
    with Load(three) as load:
        for _ in range(times):
            load.wait(200)
            writer = three.data()["writer"]
            pid, began = three.server_pid(writer), time.monotonic()
            three.kill_server(writer)
            three.until(lambda began=began: load.accepted(began), "a write is accepted again", 60)  # type: ignore[misc]
            accepted = load.accepted(began)
            assert accepted is not None
            gaps.append(accepted - began)
            three.until(lambda was=pid, who=writer: three.server_pid(who) not in (None, was), f"{writer} comes back")  # type: ignore[misc]
            three.until(lambda who=writer: not three.member(who).get("open"), f"{writer} reports that it was gone")  # type: ignore[misc]
            three.serving()
            assert three.data()["writer"] != writer, "the one that came back is not the writer again"
        load.wait(200)
    retried = sum(one.tries > 1 for one in load.writes)
    rows = [(str(times), PROVIDER, f"{statistics.median(gaps):.2f}", f"{max(gaps):.2f}", str(len(load.acknowledged)), str(retried), str(len(load.errors())), f"{load.longest():.2f}")]  # fmt: skip
    heading = (
        "kills",
        "options",
        "median (s)",
        "worst (s)",
        "rows",
        "second tries",
        "failed",
        "longest write (s)",
    )
    print(*sorted(set(load.errors())), sep="\n")
    table("kill -9 of the writer until the next accepted write, 16 clients", heading, rows)
    assert max(one.ended - one.began for one in load.writes) < 2 * TIMEOUT + 1, "no client hangs beyond its time-out"
    assert_complete(three, load.acknowledged)


def move_the_writer(three: Cluster, times: int) -> None:
    """``galerist switchover`` under load: nothing fails for clients that try once again."""
    pauses = []
    with Load(three) as load:
        for _ in range(times):
            load.wait(200)
            former, began = three.data()["writer"], time.monotonic()
            done = galerist("switchover", "--dir", str(three.layout.dir))
            assert done.returncode == 0, done.stderr + done.stdout
            assert three.data()["writer"] != former
            load.wait(100)
            pauses.append(load.pause(began, time.monotonic()))
    retried = sum(one.tries > 1 for one in load.writes)
    rows = [(str(times), f"{statistics.median(pauses):.3f}", f"{max(pauses):.3f}", str(len(load.acknowledged)), str(retried), str(len(load.errors())))]  # fmt: skip
    heading = ("switchovers", "median pause (s)", "worst pause (s)", "rows", "second tries", "failed")
    table("Longest time without an accepted write at a switchover, 16 clients", heading, rows)
    assert load.errors() == []
    assert_complete(three, load.acknowledged)


@pytest.mark.timeout(400)
def test_a_switchover_and_the_death_of_the_writer_under_load(three: Cluster) -> None:
    move_the_writer(three, 2)
    kill_the_writer(three, 2)


@pytest.mark.slow
@pytest.mark.timeout(60 * KILLS + 60 * MOVES + 300)
def test_many_switchovers_and_deaths_of_the_writer_under_load(three: Cluster) -> None:
    move_the_writer(three, MOVES)
    kill_the_writer(three, KILLS)
