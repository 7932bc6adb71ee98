"""What each page says of the same facts."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given

from clustercheck import pages
from clustercheck.pages import PAGES
from clustercheck.verdict import Agent, Peer, Policy, Status, Verdict, verdict
from tests.clustercheck.test_verdict import ALONE, AMONG, DONOR, GOOD, LATE, POLICIES, STATUSES, status

WRITER = replace(AMONG, writer=("n1", "n2"))
RO = replace(GOOD, read_only=True)


@pytest.mark.parametrize(
    ("known", "codes"),
    [
        #                                        /    write read donor live ready
        (status(agent=WRITER), (200, 200, 200, 404, 200, 200)),
        (status(agent=AMONG), (200, 404, 200, 404, 200, 200)),  # n2 comes first
        (status(agent=ALONE), (200, 200, 200, 404, 200, 200)),  # n2 comes first and is not usable
        (status(agent=None), (200, 404, 200, 404, 200, 200)),
        (status(RO, agent=WRITER), (404, 404, 200, 404, 200, 404)),
        (status(DONOR, agent=WRITER), (404, 404, 404, 200, 200, 404)),
        (status(DONOR, agent=ALONE), (200, 200, 200, 200, 200, 200)),
        (status(replace(GOOD, desync=True), agent=WRITER), (404, 404, 404, 200, 200, 404)),
        (status(agent=WRITER, probe=LATE), (404, 404, 404, 404, 200, 404)),
        (status(agent=WRITER, disabled="x"), (404, 404, 404, 404, 200, 404)),
        (status(replace(GOOD, local_state=1)), (503, 503, 503, 503, 200, 503)),  # receives a state transfer
        (status(trouble="no such file"), (503, 503, 503, 503, 200, 503)),  # starts, recovers, receives a transfer
        (Status(), (503, 503, 503, 503, 200, 503)),
        (status(age=59.0), (503, 503, 503, 503, 200, 503)),
        (status(age=61.0), (503, 503, 503, 503, 503, 503)),
    ],
)
def test_pages(known: Status, codes: tuple[int, ...]) -> None:
    assert {path: page(known, Policy()).code for path, page in PAGES.items()} == dict(zip(PAGES, codes, strict=True))


@pytest.mark.parametrize(
    ("known", "max_lag", "code"),
    [
        (status(replace(GOOD, recv_queue=5)), 5, 200),
        (status(replace(GOOD, recv_queue=6)), 5, 404),
        (status(replace(GOOD, recv_queue=None)), 5, 404),
        (status(replace(DONOR, recv_queue=5), agent=AMONG), 5, 200),  # it keeps up: reads may go there
        (status(replace(DONOR, recv_queue=6), agent=AMONG), 5, 404),
        (status(replace(GOOD, recv_queue=0), agent=AMONG, probe=LATE), 5, 404),
        (status(replace(GOOD, recv_queue=0), disabled="x"), 5, 404),
        (status(replace(GOOD, recv_queue=0, ready=False)), 5, 503),
    ],
)
def test_reads_with_a_lag(known: Status, max_lag: int, code: int) -> None:
    assert pages.read(known, Policy(), max_lag).code == code


def test_peers() -> None:
    n3 = Peer("n3", "10.0.0.3", 3306, 9200, False)
    agent = replace(AMONG, peers=(*(AMONG.peers or ()), n3))
    judged, nodes = pages.peers(status(agent=agent), Policy())
    assert judged.code == 200
    assert nodes == [
        {"node": "n2", "host": "10.0.0.2", "port": 3306, "writer": True},
        {"node": "n1", "host": "10.0.0.1", "port": 3306, "writer": False},
    ]
    heard = replace(agent, heard_ago=40.0)
    assert pages.peers(status(agent=heard), Policy())[0].reason == "2 usable, as heard 40 s ago"
    assert pages.write(status(agent=heard), Policy()).reason == "the writer is n2, as heard 40 s ago"
    left = replace(GOOD, members=("db1:3306", "db3:3306"))  # the server knows that n2 has gone, whatever was heard
    assert [node["node"] for node in pages.peers(status(left, agent=heard), Policy())[1]] == ["n1"]
    assert pages.write(status(left, agent=heard), Policy()).code == 200
    judged, nodes = pages.peers(status(RO, agent=agent), Policy())
    assert [node["node"] for node in nodes] == ["n2"]
    assert pages.peers(status(RO, agent=ALONE), Policy())[0].code == 503
    assert pages.peers(status(agent=None), Policy())[0].code == 503
    assert pages.peers(status(agent=Agent(opened=True)), Policy())[0].code == 503


@given(STATUSES, POLICIES)
def test_no_page_is_better_than_the_facts(known: Status, policy: Policy) -> None:
    root = verdict(known, policy)
    for path, page in PAGES.items():
        judged = page(known, policy)
        assert judged.code in (200, 404, 503)
        assert judged.reason.isascii()
        if path in ("/write", "/ready"):
            assert judged.code >= root.code
        if root.code == 503 and path != "/live":
            assert judged.code == 503


def test_classic_bodies() -> None:
    assert pages.classic(Verdict(200, "x", "synced")) == "Percona XtraDB Cluster Node is synced."
    assert pages.classic(Verdict(404, "x", "read-only")) == "Percona XtraDB Cluster Node is read-only."
    assert pages.classic(Verdict(503, "x", "non-primary")) == "Percona XtraDB Cluster Node is not PRIMARY."
    assert pages.classic(Verdict(404, "x", "disabled")) == "Percona XtraDB Cluster Node is manually disabled."
    assert pages.classic(Verdict(404, "x", "donor")) == "Percona XtraDB Cluster Node is not synced."
