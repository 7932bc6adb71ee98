"""Two nodes and an arbitrator: its vote counts, it follows the generations, and nobody waits for it."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing

import psutil
import pytest

from tests.integration.test_survivor import crash, recorded
from tests.support.cluster import Cluster
from tests.support.etcd import free_ports

pytestmark = pytest.mark.timeout(300)

TTL = 3


class Arbitrator:
    """``galerist arbitrator`` as a process, with the settings file of the first node; ``more`` are flags."""

    def __init__(self, cluster: Cluster, *more: str) -> None:
        self.log = cluster.top / "arbitrator.log"
        self.log.touch()
        (port,) = free_ports(1)
        words = ["--node", "garb", "--host", "127.0.0.1", "--gcomm-port", str(port), *more]
        words += ["--config", str(cluster.layout.node_settings("n1"))]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "galerist", "arbitrator", *words], stdout=log, stderr=log, start_new_session=True
            )

    def garbd(self) -> psutil.Process | None:
        found = [child for child in psutil.Process(self.process.pid).children() if child.name() == "garbd"]
        return found[0] if found else None

    def end(self, number: signal.Signals = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        return self.process.wait(30)

    def close(self) -> None:
        if self.process.poll() is None:
            self.end()
        print(self.log.read_text())


@pytest.fixture(scope="module")
def two() -> Iterator[Cluster]:
    with Cluster(2, settings={"ttl": TTL}) as cluster:
        cluster.up()
        cluster.sql("n1", "CREATE TABLE app.kept (id INT AUTO_INCREMENT PRIMARY KEY)")
        yield cluster


@pytest.fixture
def arbitrator(two: Cluster) -> Iterator[Arbitrator]:
    two.up()
    two.until(lambda: votes(two) == (), "the former arbitrator has left the recorded view")
    with closing(Arbitrator(two)) as one:
        two.until(lambda: votes(two) == ("garb",), "the arbitrator is in the recorded view")
        yield one


def votes(cluster: Cluster) -> tuple[str, ...]:
    view = recorded(cluster).view
    return view.arbitrators if view is not None else ()


def members(cluster: Cluster) -> tuple[str, ...]:
    view = recorded(cluster).view
    return view.members if view is not None else ()


def test_one_node_goes_on_with_the_vote_and_the_vote_follows_a_total_outage(
    two: Cluster, arbitrator: Arbitrator
) -> None:
    crash(two, "n2")
    two.until(lambda: members(two) == ("n1",) and votes(two) == ("garb",), "n1 and the arbitrator are the view")
    two.sql("n1", "INSERT INTO app.kept VALUES ()")
    two.up()
    before = recorded(two).identity
    assert before is not None
    crash(two, "n1", "n2")
    garbd = arbitrator.garbd()
    assert garbd is not None
    arbitrator.process.send_signal(signal.SIGSTOP)  # it is not waited for
    garbd.suspend()
    two.up()
    after = recorded(two).identity
    assert after is not None and len(after.generations) == len(before.generations) + 1
    assert votes(two) == ()
    garbd.resume()
    arbitrator.process.send_signal(signal.SIGCONT)
    two.until(lambda: votes(two) == ("garb",), "the arbitrator follows into the new generation")
    crash(two, "n2")
    two.until(lambda: members(two) == ("n1",), "n1 goes on")
    two.sql("n1", "INSERT INTO app.kept VALUES ()")
    two.up()
    assert two.same_everywhere("SELECT COUNT(*) FROM app.kept") == ((2,),)


def test_it_leaves_in_order_and_takes_garbd_along(two: Cluster, arbitrator: Arbitrator) -> None:
    garbd = arbitrator.garbd()
    assert garbd is not None
    assert arbitrator.end() == 0
    assert not garbd.is_running()
    two.until(lambda: votes(two) == () and members(two) == ("n1", "n2"), "the view is recorded without it")
    two.sql("n2", "INSERT INTO app.kept VALUES ()")


def test_a_killed_garbd_comes_back(two: Cluster, arbitrator: Arbitrator) -> None:
    garbd, former = arbitrator.garbd(), recorded(two).view
    assert garbd is not None and former is not None
    garbd.kill()

    def back() -> bool:
        now, view = arbitrator.garbd(), recorded(two).view
        return now is not None and now != garbd and view is not None and view.seqno > former.seqno

    two.until(back, "another garbd is in a newer view")
    two.until(lambda: votes(two) == ("garb",), "it votes again")


def test_a_garbd_that_all_members_have_left_is_nobodys_peer(two: Cluster, arbitrator: Arbitrator) -> None:
    former = recorded(two).identity
    two.stop("n1")
    two.stop("n2")  # garbd is a Primary Component by itself now
    alone = arbitrator.garbd()
    two.up()
    two.until(lambda: votes(two) == ("garb",), "it votes again")
    now = recorded(two).identity
    assert former is not None and now is not None and len(now.generations) == len(former.generations) + 1
    assert alone is not None and arbitrator.garbd() != alone


def test_without_garbd_it_says_what_to_install() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "galerist", "arbitrator", "--garbd", "/nowhere/garbd"], capture_output=True, text=True, check=False
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (69, "")
    assert "install galera-arbitrator-4" in done.stderr and "Traceback" not in done.stderr
