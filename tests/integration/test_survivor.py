"""Two of three crash and come back while one survives without quorum: it is promoted in place, and no human is needed."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator

import pymysql
import pytest

from galerist.model import State, load
from tests.support.cluster import Cluster

pytestmark = pytest.mark.timeout(300)


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with Cluster(settings={"ttl": 3}) as three:
        three.up()
        three.sql("n1", "CREATE TABLE app.kept (id INT AUTO_INCREMENT PRIMARY KEY)")
        three.sql("n1", "INSERT INTO app.kept VALUES (), (), ()")
        yield three


@pytest.fixture
def three(cluster: Cluster) -> Cluster:
    cluster.up()
    return cluster


def recorded(cluster: Cluster) -> State:
    raw = cluster.registry.get(cluster.keys.state)
    assert raw is not None
    return load(State, raw)


def crash(cluster: Cluster, *nodes: str) -> None:
    for node in nodes:
        cluster.kill(node)
        cluster.kill_server(node)


def wrote(cluster: Cluster, node: str) -> bool:
    try:
        cluster.sql(node, "INSERT INTO app.kept VALUES ()")
    except pymysql.MySQLError:
        return False
    return True


def rows(cluster: Cluster) -> int:
    return int(cluster.same_everywhere("SELECT COUNT(*) FROM app.kept")[0][0])


def test_a_survivor_waits_for_evidence_and_is_promoted_in_place(three: Cluster) -> None:
    before, generations, process = rows(three), recorded(three).identity, three.server_pid("n3")
    assert generations is not None
    crash(three, "n1", "n2")
    said = three.says("n3", "No quorum", "n1 and n2")
    assert said["remedy"] is not None
    three.start("n1")
    three.says("n3", "No quorum", "waiting for n2")
    three.stays(lambda: three.data()["status"] != "Primary", "nobody to be Primary while n2 is missing", seconds=4)
    log, agent = three.mark("n1"), three.mark_agent("n3")
    three.start("n2")
    three.until(lambda: "n2" in three.members(), "n2 reports")
    reported = time.monotonic()
    three.until(lambda: wrote(three, "n3"), "n3 takes writes again")
    print(f"writes {time.monotonic() - reported:.1f} s after the last report")
    assert "promoting this server in place" in agent.text()
    three.serving("n1", "n2", "n3")
    assert three.server_pid("n3") == process, "the survivor keeps its process"
    identity = recorded(three).identity
    assert identity is not None and identity.generations[:-1] == generations.generations
    assert identity.generations[-1].by == "n3"
    assert identity.generations[-1].cluster_name != generations.generations[-1].cluster_name
    three.assert_incremental("n1", log)
    assert rows(three) == before + 1


def test_nodes_that_are_back_before_their_loss_is_noticed_are_not_caught_in_it(three: Cluster) -> None:
    before, process = rows(three), three.server_pid("n3")
    crash(three, "n1", "n2")
    three.start("n1", "n2")
    three.serving("n1", "n2", "n3")
    assert three.server_pid("n3") == process
    identity = recorded(three).identity
    assert identity is not None and identity.generations[-1].by == "n3"
    assert rows(three) == before


def test_a_stopped_node_that_is_ahead_goes_before_a_survivor(three: Cluster) -> None:
    """n3 is cut off from what n1 and n2 commit (it is frozen), wakes up alone, and must not be promoted."""
    before = rows(three)
    process = three.server_pid("n3")
    assert process is not None
    os.kill(process, signal.SIGSTOP)
    three.until(lambda: wrote(three, "n1"), "n1 and n2 go on without n3")
    crash(three, "n1", "n2")
    os.kill(process, signal.SIGCONT)
    three.start("n1", "n2")
    three.serving("n1", "n2", "n3")
    identity = recorded(three).identity
    assert identity is not None and identity.generations[-1].by != "n3"
    assert rows(three) >= before + 1
