"""What disks say after a total stop: empty, half copied, of another cluster, and without a registry."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pymysql
import pytest

from galerist.galera.server import Process
from galerist.local import processes
from galerist.model import State, load
from tests.support.cluster import Cluster, TaintWatch, listing


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with Cluster(settings={"ttl": 3.0}) as three:
        three.up()
        three.sql("n1", "CREATE TABLE words (id INT AUTO_INCREMENT PRIMARY KEY, word LONGTEXT)")
        for _ in range(8):
            three.sql("n1", "INSERT INTO words (word) VALUES (REPEAT('x', 4000000))")
        yield three


@pytest.fixture
def three(cluster: Cluster) -> Cluster:
    """Three nodes that serve; the same ones for all tests of this file."""
    cluster.up()
    return cluster


@pytest.fixture(scope="module")
def foreign(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The folder of the node of another cluster, which has stopped cleanly."""
    with Cluster(1, cluster="other") as other:
        other.up()
        other.sql("n1", "CREATE TABLE precious (a INT PRIMARY KEY) SELECT 7 AS a")
        other.stop("n1")
        yield other.layout.node("n1")


def wipe(cluster: Cluster, node: str) -> None:
    """A new disk: neither data nor stamp."""
    shutil.rmtree(cluster.layout.datadir(node))
    shutil.rmtree(cluster.layout.node(node) / "stamp")


def swap(cluster: Cluster, node: str, source: Path | None, parts: tuple[str, ...]) -> None:
    """Put a copy of what stands in ``source`` in the place of a node's folders, or (None) the old ones back."""
    for part in parts:
        place, kept = cluster.layout.node(node) / part, cluster.layout.node(node) / f"{part}.kept"
        if source is None:
            shutil.rmtree(place, ignore_errors=True)
            kept.rename(place)
            continue
        place.rename(kept)
        shutil.copytree(source / part, place)
        owner = kept.stat()
        for path in (place, *place.rglob("*")):
            os.chown(path, owner.st_uid, owner.st_gid)


def state(cluster: Cluster) -> State:
    raw = cluster.registry.get(cluster.keys.state)
    assert raw is not None
    return load(State, raw)


def words(cluster: Cluster) -> int:
    return int(cluster.same_everywhere("SELECT COUNT(*) FROM words")[0][0])


def test_an_empty_disk_that_comes_first_waits_for_the_last_to_leave(three: Cluster) -> None:
    before = words(three)
    three.stop("n3", "n2", "n1")
    wipe(three, "n3")
    three.start("n3")
    three.says("n3", "waiting for n1 to report", "start n1")
    three.start("n2")
    three.says("n2", "waiting for n1 to report", "start n1")
    three.stays(lambda: not three.server_pids(), "no server is started", 3)
    with TaintWatch(three, "n3") as taint:
        three.up()
    assert taint.seen and not three.tainted("n3"), "a full transfer is marked while it goes on"
    assert words(three) == before


def primary(cluster: Cluster) -> list[str]:
    """The nodes whose servers say that they are Primary, asked themselves."""
    said = {}
    for node in cluster.server_pids():
        with contextlib.suppress(pymysql.MySQLError):
            said[node] = cluster.root(node, "SHOW GLOBAL STATUS LIKE 'wsrep_cluster_status'")[0][1]
    return [node for node, status in said.items() if status == "Primary"]


def test_an_empty_disk_in_the_place_of_one_that_may_hold_the_newest_commit_is_no_evidence(three: Cluster) -> None:
    generation = three.data()["generation"]
    three.kill_everything()
    folder = three.layout.node("n3")
    (folder / "data").rename(folder / "data.kept")
    (folder / "stamp").rename(folder / "stamp.kept")
    three.start("etcd")
    three.start(*three.nodes)
    for node in ("n1", "n2"):
        three.says(node, "n3", "empty disk", "cannot vouch", "galerist recover")
    three.stays(lambda: not primary(three), "no Primary Component is started", 3)
    three.kill("n3")
    for part in ("data", "stamp"):
        shutil.rmtree(folder / part, ignore_errors=True)
        (folder / f"{part}.kept").rename(folder / part)
    three.start("n3")
    three.serving()
    assert three.data()["generation"] == generation + 1


@pytest.mark.parametrize(
    ("parts", "live"),
    [(("data",), True), (("data", "stamp"), False)],
    ids=["data, others live", "data and stamp, others stopped"],
)
def test_data_of_another_cluster_are_refused_and_left_alone(
    three: Cluster, foreign: Path, parts: tuple[str, ...], live: bool
) -> None:
    before = words(three)
    three.stop("n2") if live else three.stop("n3", "n2", "n1")
    swap(three, "n2", foreign, parts)
    data = three.layout.datadir("n2")
    files = listing(data)
    three.start("n2")
    entry = three.says("n2", "Quarantined", "galerist reinit n2")
    assert (entry["state"], entry["server_pid"]) == ("quarantined", None)
    three.stays(lambda: three.server_pid("n2") is None, "it is not started", 2)
    three.stop("n2")
    assert listing(data) == files
    swap(three, "n2", None, parts)
    three.up()
    assert words(three) == before


def test_a_half_copied_datadir_is_no_candidate_and_is_copied_again(three: Cluster) -> None:
    before, generation = words(three), three.data()["generation"]
    three.stop("n3")
    wipe(three, "n3")
    three.start("n3")
    three.until(lambda: three.tainted("n3"), "the transfer begins")
    for process in three.mine():  # the joiner and the donor's end of the transfer, in its middle
        if any(str(three.layout.node("n3")) in word or "rsync" in word for word in process.argv):
            processes.send(process, signal.SIGKILL)  # rsync's children come and go
    three.until(lambda: not three.running("n3") and three.server_pid("n3") is None, "the joiner is dead")
    three.kill_everything()
    assert three.tainted("n3")
    three.start("etcd", "n3")
    three.says("n3", "waiting for n1 and n2 to report")
    three.stays(lambda: not three.server_pids(), "no server is started", 3)
    log = three.mark("n3")
    agent = three.mark_agent("n3")
    three.up()
    assert "SST completed on joiner" in log.text()
    assert "joining by a full state transfer" in agent.text()
    assert not three.tainted("n3")
    assert words(three) == before
    identity = state(three).identity
    assert identity is not None and identity.generations[-1].by in ("n1", "n2")
    assert three.data()["generation"] == generation + 1


def test_an_emptied_registry_waits_for_all_nodes_and_takes_over_what_the_disks_say(three: Cluster) -> None:
    before, identity = words(three), state(three).identity
    assert identity is not None
    three.stop("n2", "n1", "n3")
    three.kill("etcd")
    shutil.rmtree(three.layout.etcd)
    three.layout.etcd.mkdir(mode=0o700)
    three.start("etcd")
    three.start("n1", "n2")
    for node in ("n1", "n2"):
        three.says(node, "waiting for n3 to report", "start the missing nodes")
    assert three.data()["uuid"] is None
    three.stays(lambda: not three.server_pids(), "no server is started", 3)
    three.start("n3")
    three.serving()
    after = state(three).identity
    assert after is not None and after.uuid == identity.uuid
    assert after.generations[:-1] == identity.generations and after.generations[-1].by == "n3"
    assert words(three) == before


def test_a_server_that_was_told_to_end_while_it_started_is_ended(three: Cluster) -> None:
    """MariaDB that gets SIGTERM in a state transfer may go on to Synced, and then neither end nor answer for ever."""
    before = words(three)
    three.stop("n3")
    wipe(three, "n3")
    three.start("n3")
    three.until(lambda: three.tainted("n3"), "the transfer begins")
    pid = three.server_pid("n3")
    assert pid is not None
    three.kill("n3")
    # What an agent does that dies right after it has told its server to end (bootstrap.node.LocalNode.stop).
    (three.layout.sockets() / "n3" / "stopping").write_text(Process(pid, None).born)
    os.kill(pid, signal.SIGTERM)
    three.start("n3")
    three.serving("n1", "n2", "n3")
    assert three.server_pid("n3") not in (None, pid)
    assert words(three) == before


def test_a_server_that_hangs_while_it_ends_is_killed(three: Cluster) -> None:
    """MariaDB whose group falls apart while it leaves waits for ever; a frozen one does as little."""
    before = words(three)
    log, pid = three.mark("n3"), three.server_pid("n3")
    assert pid is not None
    three.signal("n3", signal.SIGTERM)
    deadline = time.monotonic() + 30
    while "Normal shutdown" not in log.text():
        assert time.monotonic() < deadline, "it is told to end"
        time.sleep(0.005)  # the end itself takes less than a second
    os.kill(pid, signal.SIGSTOP)
    assert three.exit_code("n3", patience=120) == 0
    assert three.server_pid("n3") is None and "Shutdown complete" not in log.text()
    three.start("n3")
    three.serving("n1", "n2", "n3")
    assert words(three) == before
