"""Two of three crash and come back while one survives without quorum: no human is needed."""

from __future__ import annotations

import pytest

from tests.support.cluster import Cluster


@pytest.mark.timeout(300)
def test_a_survivor_without_quorum_waits_for_evidence_and_then_the_cluster_heals() -> None:
    with Cluster(settings={"ttl": 3}) as cluster:
        cluster.start("etcd")
        cluster.up(*cluster.nodes)
        cluster.sql("n1", "CREATE TABLE app.kept (id INT PRIMARY KEY)")
        cluster.sql("n1", "INSERT INTO app.kept VALUES (1), (2), (3)")
        for node in ("n1", "n2"):
            cluster.kill(node)
            cluster.kill_server(node)
        said = cluster.says("n3", "No quorum", "n1 and n2")
        assert said["remedy"] is not None
        cluster.stays(
            lambda: cluster.data()["status"] != "Primary", "nobody to be Primary while two are missing", seconds=5
        )
        cluster.start("n1", "n2")
        cluster.serving("n1", "n2", "n3")
        assert cluster.data()["generation"] == 2
        assert cluster.same_everywhere("SELECT COUNT(*) FROM app.kept") == ((3,),)
