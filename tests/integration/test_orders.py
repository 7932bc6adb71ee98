"""A person overrules on a real cluster: forget, recover, reinit, and what must not be lost by it."""

from __future__ import annotations

import shutil
import subprocess
import sys

import pytest

from tests.support.cluster import Cluster


def galerist(cluster: Cluster, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "galerist", *words, "--dir", str(cluster.layout.dir)],
        stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip


@pytest.mark.timeout(400)
def test_a_member_that_is_gone_for_good_is_named_and_forgotten_by_order() -> None:
    with Cluster(settings={"ttl": 3}) as cluster:
        cluster.start("etcd")
        cluster.up(*cluster.nodes)
        cluster.sql("n1", "CREATE TABLE app.kept (id INT PRIMARY KEY)")
        cluster.sql("n1", "INSERT INTO app.kept VALUES (1), (2)")
        cluster.kill_everything()
        shutil.rmtree(cluster.layout.datadir("n3"))
        shutil.rmtree(cluster.layout.node("n3") / "stamp")
        cluster.start("etcd", "n1", "n2")
        said = cluster.says("n1", "waiting for n3")
        assert "galerist recover" in said["remedy"]

        asked = galerist(cluster, "forget", "n3")
        assert asked.returncode == 2, "data may be lost: without a terminal the number must be given"
        assert "two clusters" in asked.stdout
        number = asked.stderr.split("--yes ")[1].split()[0]
        wrong = galerist(cluster, "forget", "n3", "--yes", "999999")
        assert wrong.returncode == 2 and number in wrong.stderr
        given = galerist(cluster, "forget", "n3", "--yes", number)
        assert given.returncode == 0, given.stderr

        cluster.serving("n1", "n2")
        assert cluster.sql("n2", "SELECT COUNT(*) FROM app.kept") == ((2,),)
        assert cluster.data()["generation"] == 2
        cluster.start("n3")
        cluster.serving("n1", "n2", "n3")
        assert cluster.sql("n3", "SELECT COUNT(*) FROM app.kept") == ((2,),)
        told = galerist(cluster, "history")
        assert "A person ordered: forget n3." in told.stdout


@pytest.mark.timeout(500)
def test_recover_starts_from_the_chosen_node_and_the_one_ahead_is_quarantined_until_reinit() -> None:
    with Cluster(settings={"ttl": 3}) as cluster:
        cluster.start("etcd")
        cluster.up(*cluster.nodes)
        cluster.sql("n1", "CREATE TABLE app.kept (id INT PRIMARY KEY)")
        cluster.stop("n2")
        cluster.stop("n3")
        cluster.serving("n1")
        cluster.sql("n1", "INSERT INTO app.kept VALUES (1), (2), (3), (4), (5), (6)")
        cluster.stop("n1")
        cluster.start("n2", "n3")
        cluster.says("n2", "waiting for n1")

        asked = galerist(cluster, "recover", "--node", "n3")
        assert asked.returncode == 2 and "n1" in asked.stdout
        number = asked.stderr.split("--yes ")[1].split()[0]
        assert galerist(cluster, "recover", "--node", "n3", "--yes", number).returncode == 0
        cluster.serving("n2", "n3")
        assert cluster.sql("n2", "SELECT COUNT(*) FROM app.kept") == ((0,),), "what was only on n1 is not here"
        refused = galerist(cluster, "recover", "--node", "n2", "--yes", number)
        assert refused.returncode == 1 and "are Primary" in refused.stderr

        cluster.start("n1")
        said = cluster.says("n1", "Quarantined")
        assert "galerist reinit n1" in said["remedy"]
        assert (cluster.layout.datadir("n1") / "app" / "kept.ibd").exists()
        asked = galerist(cluster, "reinit", "n1")
        number = asked.stderr.split("--yes ")[1].split()[0]
        assert galerist(cluster, "reinit", "n1", "--yes", number).returncode == 0
        cluster.until(lambda: cluster.member("n1").get("state") != "quarantined", "n1 to begin anew")
        cluster.serving("n1", "n2", "n3")
        assert cluster.sql("n1", "SELECT COUNT(*) FROM app.kept") == ((0,),)
        datadir = cluster.layout.datadir("n1")
        aside = list(datadir.parent.glob(f"{datadir.name}.set-aside-*"))
        assert len(aside) == 1 and (aside[0] / "app" / "kept.ibd").exists(), "the evidence is kept"


@pytest.mark.timeout(300)
def test_paused_agents_start_nothing_until_resumed() -> None:
    with Cluster(settings={"ttl": 3}) as cluster:
        cluster.start("etcd")
        cluster.up(*cluster.nodes)
        assert galerist(cluster, "pause").returncode == 0
        cluster.says("n2", "Paused by order")
        cluster.kill_server("n2")
        cluster.until(lambda: cluster.member("n2").get("state") == "stopped", "n2 to be seen as stopped")
        cluster.stays(lambda: cluster.server_pid("n2") is None, "the server of n2 to stay down", seconds=4)
        assert galerist(cluster, "resume").returncode == 0
        cluster.serving("n1", "n2", "n3")
