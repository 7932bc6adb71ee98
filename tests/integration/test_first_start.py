"""Nodes that start at the same instant with empty disks are one cluster, whatever way data go between them."""

from __future__ import annotations

import pytest

from tests.support.cluster import Cluster, TaintWatch
from tests.support.rounds import form_once, rounds


@pytest.mark.parametrize("number", range(1, 4))
def test_three_empty_nodes_at_once(number: int) -> None:
    assert form_once(number) < 120


def test_three_nodes_with_mariabackup() -> None:
    with Cluster(3, sst_method="mariabackup", settings={"ttl": 3.0}) as three:
        with TaintWatch(three, "n1") as first, TaintWatch(three, "n2") as second, TaintWatch(three, "n3") as third:
            three.up(patience=240)
        assert [taint.seen for taint in (first, second, third)] == [False, True, True]
        assert not any(three.tainted(node) for node in three.nodes)
        assert three.data()["generation"] == 1
        for node in ("n2", "n3"):
            assert "mariabackup SST completed on joiner" in three.error_log(node).text()
        three.sql("n1", "CREATE TABLE words (id INT PRIMARY KEY)")
        three.kill_server("n3")
        log = three.mark("n3")
        three.sql("n1", "INSERT INTO words VALUES (1)")
        with TaintWatch(three, "n3") as again:
            three.serving()
        assert not again.seen
        three.assert_incremental("n3", log)
        ((seqno,),) = three.root("n3", "SELECT view_seqno FROM mysql.wsrep_cluster")
        assert three.views("n3")[-1].view.seqno == seqno
        assert three.same_everywhere("SELECT id FROM words") == ((1,),)


def test_the_number_of_rounds_can_be_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GALERIST_ROUNDS", "50")
    assert rounds(3) == 50
