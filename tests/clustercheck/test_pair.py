"""Two real nodes, a health endpoint beside each, and a real HAProxy that asks them."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator

import pytest

from tests.clustercheck.proxied import STATES, Pair, code, delay, long_alter, long_statement, two_nodes, until_probed

SOON = 1.0
"""Seconds from the fact to the answer."""

SEEN = 2.5
"""Seconds from the fact to what HAProxy does: three failed checks 250 ms apart come on top."""


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    """The second server joins in the first test."""
    with two_nodes(tmp_path_factory.mktemp("pair")) as pair:
        yield pair


def test_joiner_and_donor_while_the_transfer_lasts(pair: Pair) -> None:
    pair.tell(two_usable=False)
    pair.check_one.wait_for(200, "synced")
    pair.until_proxied("n1", "UP")
    pair.two.join(pair.one)
    with pair.one.held_transfer():
        pair.check_one.wait_for(200, "stays, since no other node is usable")
        assert pair.check_one.status()["probe"]["state"] == "resting"
        assert (code(pair.check_one, "/donor"), code(pair.check_one, "/write")) == (200, 200)
        assert (code(pair.check_two), code(pair.check_two, "/ready"), code(pair.check_two, "/live")) == (503, 503, 200)
        assert pair.proxied("n2").startswith("DOWN")
        pair.tell(two_usable=True)  # as if there were a third
        assert pair.check_one.wait_for(404, "donor of a state transfer") < SOON
        assert code(pair.check_one, "/read?max_lag=1000") == 200
        assert pair.until_proxied("n1", "NOLB") < SEEN
        pair.one.run("SET GLOBAL wsrep_sst_donor_rejects_queries = ON")
        assert pair.check_one.wait_for(503, "wsrep_sst_donor_rejects_queries is ON") < SOON
        pair.until_proxied("n1", "DOWN")
        pair.one.run("SET GLOBAL wsrep_sst_donor_rejects_queries = OFF")
        time.sleep(2)  # long after the server began to answer nothing
        assert code(pair.check_two, "/live") == 200
    pair.settle()
    assert (code(pair.check_one, "/write"), code(pair.check_two, "/write")) == (200, 404)


@pytest.mark.parametrize("name", STATES)
def test_from_the_fact_to_the_answer(pair: Pair, name: str) -> None:
    (worsen, mend), expected, word, proxied, agents = STATES[name]
    pair.settle()
    worsen(pair)
    began = time.monotonic()
    try:
        assert pair.check_two.wait_for(expected, word) < SOON
        pair.until_proxied("n2", proxied)
        assert time.monotonic() - began < SEEN
        pair.until_proxied("n2", agents, "agents")
        assert code(pair.check_one) == 200
    finally:
        mend(pair)
    if name in ("desynced", "frozen"):
        assert max(delay(pair, name) for _ in range(3)) < SOON
    pair.settle()


def test_a_node_whose_applier_has_failed_leaves_and_comes_back(pair: Pair) -> None:
    pair.settle()
    until_probed(pair.check_one, pair.check_two)
    with pair.two.failed_applier():
        took = pair.check_two.wait_for(404, "commits hang")
        assert took < 5 + 1 + 5 + 2  # its own next write, late, another's next write, and some
        status = pair.check_two.status()
        assert (status["facts"]["local_state"], status["facts"]["cluster_status"]) == (4, "Primary")
        pair.until_proxied("n2", "NOLB")
        assert code(pair.check_one) == 200
        pair.tell(one_usable=False)
        assert code(pair.check_two) == 200  # nobody else could serve
        pair.tell()
        assert code(pair.check_two) == 404
    pair.settle()


def test_a_node_that_catches_up_lags_and_is_joined(pair: Pair) -> None:
    """Joined, between desynced and synced: until fewer than ten write-sets are left to apply, and flow control
    pauses nobody for that. A statement that takes long comes first."""
    pair.settle()
    pair.one.run("CREATE OR REPLACE DATABASE behind", "CREATE TABLE behind.t (i INT PRIMARY KEY AUTO_INCREMENT)")
    pair.two.run(
        "SET GLOBAL wsrep_desync = ON", "SET GLOBAL wsrep_provider_options = 'gcs.fc_limit=1000;gcs.fc_factor=0.01'"
    )
    with pair.two.failed_applier():
        pair.one.run(*["INSERT INTO behind.t VALUES ()"] * 30)
        pair.check_two.wait_for(404, "write-sets wait to be applied, at most 9", path="/read?max_lag=9")
        pair.two.run("SET GLOBAL wsrep_desync = OFF")  # it hears of that in its turn
        long_statement(pair.one, 4.0)
        pair.one.run(*["INSERT INTO behind.t VALUES ()"] * 30)
    assert pair.check_two.wait_for(404, "joined, and still catching up") < SOON
    assert pair.two.state() == "3"
    assert code(pair.check_two, "/read?max_lag=1000") == 200
    pair.until_proxied("n2", "NOLB")
    pair.two.run("SET GLOBAL wsrep_provider_options = 'gcs.fc_limit=16;gcs.fc_factor=1.0'")
    pair.settle()
    pair.one.run("DROP DATABASE behind")


def test_a_node_that_is_killed_is_named_no_more_though_its_agent_says_nothing(pair: Pair) -> None:
    pair.settle()
    assert [node["node"] for node in peers(pair)] == ["n1", "n2"]
    pair.two.kill()
    pair.until_proxied("n2", "DOWN")
    end = time.monotonic() + 20
    while [node["node"] for node in peers(pair)] != ["n1"]:  # Galera waits for five seconds before it counts as gone
        assert time.monotonic() < end, pair.check_one.status()
        time.sleep(0.1)
    pair.settle()


def peers(pair: Pair) -> list[dict[str, object]]:
    said: list[dict[str, object]] = json.loads(pair.check_one.ask(path="/peers")[1])["peers"]
    return said


def test_a_long_alter_leaves_every_node_in_rotation(pair: Pair) -> None:
    pair.settle()
    assert long_alter(pair, 20_000, 8.0) >= 8.0  # a probe begins every 5 s and is late after 1 s
    assert (code(pair.check_one), code(pair.check_two)) == (200, 200)
