"""Rounds that are short in `make test` and long in `make faults`."""

from __future__ import annotations

import os
import random
import re
import time

from galerist.model import State, load
from tests.support.cluster import Cluster
from tests.support.writers import Writers, assert_complete, make_table


def rounds(default: int) -> int:
    """How many rounds: ``GALERIST_ROUNDS``, which `make faults ROUNDS=N` sets."""
    return int(os.environ.get("GALERIST_ROUNDS") or default)


def form_once(number: int) -> float:
    """Three nodes started at the same instant, empty. Returns the seconds until all served.

    One cluster uuid, one generation, each server started once, and none that ended or complained.
    """
    with Cluster(3, settings={"ttl": 3.0}) as three:
        three.start("etcd")
        begun = time.monotonic()
        three.start(*three.nodes)
        three.serving()
        took = time.monotonic() - begun
        data = three.data()
        assert data["generation"] == 1, three.state()
        assert {entry["uuid"] for entry in data["members"]} == {data["uuid"]}, three.state()
        for node in three.nodes:
            agent, server = three.layout.log(node).read_text(), three.error_log(node).text()
            assert agent.count("mariadbd started") == 1, f"round {number}\n{agent}"
            assert not re.search(r"The server (ended|was killed)", agent), f"round {number}\n{agent}"
            assert not re.search(r"\[ERROR\]|got signal|Aborting", server), f"round {number}\n{server}"
    return took


def kill_once(cluster: Cluster, chance: random.Random) -> None:
    """Every process killed at once, at any moment under clients of every node; all is there afterwards."""
    make_table(cluster, "n1")
    uuid, generation = cluster.data()["uuid"], cluster.data()["generation"]
    port = cluster.plan.port("sql_port", chance.choice(cluster.nodes))
    with Writers(cluster, count=3, port=port) as some, Writers(cluster, count=3, port=port) as others:
        some.wait(20)
        time.sleep(chance.random() * 2)
        cluster.kill_everything()
    logs = {node: cluster.mark(node) for node in cluster.nodes}
    cluster.up()
    assert_complete(cluster, some.acknowledged | others.acknowledged)
    data = cluster.data()
    assert (data["uuid"], data["generation"]) == (uuid, generation + 1), cluster.state()
    raw = cluster.registry.get(cluster.keys.state)
    assert raw is not None
    identity = load(State, raw).identity
    assert identity is not None
    for node in cluster.nodes:
        if node != identity.generations[-1].by:
            cluster.assert_incremental(node, logs[node])
