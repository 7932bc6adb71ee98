"""The verdict: every row of the table, and what holds for any status at all."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clustercheck.verdict import (
    TRANSFERRING,
    Agent,
    Facts,
    Peer,
    Policy,
    Probe,
    Status,
    answered,
    others,
    verdict,
)

GOOD = Facts(
    cluster_status="Primary",
    connected=True,
    ready=True,
    replicates=True,
    local_state=4,
    reject_queries="NONE",
    donor_rejects_queries=False,
    sst_method="mariabackup",
    desync=False,
    read_only=False,
)
OPEN = Agent(opened=True)
DONOR = replace(GOOD, local_state=2)
PEER = Peer("n2", "10.0.0.2", 3306, 9200, True, "db2:3306")
AMONG = Agent(opened=True, node="n1", host="10.0.0.1", port=3306, writer=("n2", "n1"), peers=(PEER,))
ALONE = replace(AMONG, peers=(replace(PEER, usable=False),))
LATE = Probe("late", "a write has waited for 7 s, and others' went through meanwhile", 7.0, 0.01, 8.0)
DEFAULT = Policy()
DONORS_SERVE = Policy(available_when_donor=True)


def status(facts: Facts | None = GOOD, **more: object) -> Status:
    return Status(**({"facts": facts, "age": 0.1, "agent": OPEN} | more))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("known", "policy", "code", "word"),
    [
        (status(), DEFAULT, 200, "synced"),
        (status(agent=None), DEFAULT, 200, "synced"),
        (status(agent=Agent(opened=True, paused=True)), DEFAULT, 200, "synced"),
        (status(replace(GOOD, read_only=True)), Policy(available_when_read_only=True), 200, "synced"),
        (status(replace(GOOD, recv_queue=100, flow_control=1.0)), DEFAULT, 200, "synced"),
        (status(age=0.9), DEFAULT, 200, "synced"),
        # unusable
        (Status(), DEFAULT, 503, "not answered yet"),
        (status(None), DEFAULT, 503, "not answered yet"),
        (status(age=7.21), DEFAULT, 503, "facts are 7.2 s old"),
        (status(age=math.inf), DEFAULT, 503, "not answered yet"),
        (status(age=math.nan), DEFAULT, 503, "facts are"),
        (status(trouble="no such file"), DEFAULT, 503, "cannot be asked: no such file"),
        (status(replace(GOOD, cluster_status="non-Primary")), DEFAULT, 503, "non-Primary, not Primary"),
        (status(replace(GOOD, cluster_status="Disconnected")), DEFAULT, 503, "Disconnected"),
        (status(replace(GOOD, connected=False)), DEFAULT, 503, "wsrep_connected"),
        (status(replace(GOOD, ready=False)), DEFAULT, 503, "wsrep_ready"),
        (status(replace(GOOD, replicates=False)), DEFAULT, 503, "wsrep_on is OFF"),
        (status(replace(GOOD, local_state=0)), DEFAULT, 503, "initialized (0)"),
        (status(replace(GOOD, local_state=1)), DEFAULT, 503, "joining (1)"),
        (status(replace(GOOD, local_state=5)), DEFAULT, 503, "unknown (5)"),
        (status(replace(GOOD, local_state=-1)), DEFAULT, 503, "unknown (-1)"),
        (status(replace(GOOD, local_state=None)), DEFAULT, 503, "state is unknown"),
        (status(replace(GOOD, reject_queries="ALL")), DEFAULT, 503, "wsrep_reject_queries is ALL"),
        (status(replace(GOOD, reject_queries="ALL_KILL")), DEFAULT, 503, "ALL_KILL"),
        (status(agent=Agent(reason="waits for b")), DEFAULT, 503, "not opened by its agent yet: waits for b"),
        (status(agent=Agent(problem="no JSON")), DEFAULT, 503, "no JSON"),
        (status(replace(DONOR, donor_rejects_queries=True)), DEFAULT, 503, "wsrep_sst_donor_rejects_queries"),
        (status(replace(GOOD, donor_rejects_queries=True)), DEFAULT, 200, "synced"),
        # drain
        (status(disabled="for the upgrade"), DEFAULT, 404, "disabled by hand: for the upgrade"),
        (status(agent=Agent(opened=True, drained=True, reason="by ann")), DEFAULT, 404, "drained: by ann"),
        (status(replace(GOOD, desync=True)), DEFAULT, 404, "wsrep_desync"),
        (status(replace(DONOR, desync=True)), DONORS_SERVE, 404, "wsrep_desync"),
        (status(replace(GOOD, local_state=3)), DEFAULT, 404, "catching up"),
        (status(DONOR), DEFAULT, 404, "donor"),
        (status(DONOR), DONORS_SERVE, 200, "available_when_donor"),
        (status(replace(DONOR, sst_method="rsync")), DONORS_SERVE, 404, "by rsync, which blocks it"),
        (status(replace(GOOD, read_only=True)), DEFAULT, 404, "read_only"),
        (status(replace(GOOD, recv_queue=9)), Policy(max_queue=8), 404, "9 write-sets wait"),
        (status(replace(GOOD, recv_queue=8)), Policy(max_queue=8), 200, "synced"),
        (status(GOOD), Policy(max_queue=0, max_flow_control=0.0), 200, "synced"),
        (status(replace(GOOD, flow_control=0.26)), Policy(max_flow_control=0.25), 404, "26%"),
        (status(probe=LATE, agent=AMONG), DEFAULT, 404, "commits hang: a write has waited"),
        (status(probe=replace(LATE, state="explained"), agent=AMONG), DEFAULT, 200, "synced"),
        # the last usable node stays, unless a person drained it
        (status(DONOR, agent=AMONG), DEFAULT, 404, "donor"),
        (status(DONOR, agent=ALONE), DEFAULT, 200, "no other node is usable"),
        (status(replace(DONOR, sst_method="rsync"), agent=ALONE), DONORS_SERVE, 200, "no other node is usable"),
        (status(replace(GOOD, desync=True), agent=ALONE), DEFAULT, 200, "wsrep_desync is ON; stays"),
        (status(replace(GOOD, local_state=3), agent=ALONE), DEFAULT, 200, "catching up; stays"),
        (status(replace(GOOD, recv_queue=9), agent=ALONE), Policy(max_queue=8), 200, "stays"),
        (status(probe=LATE, agent=ALONE), DEFAULT, 200, "synced"),
        (status(probe=LATE), DEFAULT, 200, "synced"),  # nobody has said that somebody is better off
        (status(probe=LATE, agent=None), DEFAULT, 200, "synced"),
        (status(replace(GOOD, read_only=True), agent=ALONE), DEFAULT, 404, "read_only"),
        (status(DONOR, agent=ALONE, disabled="x"), DEFAULT, 404, "disabled"),
        (status(DONOR, agent=replace(ALONE, drained=True)), DEFAULT, 404, "drained"),
        (status(replace(DONOR, donor_rejects_queries=True), agent=ALONE), DEFAULT, 503, "wsrep_sst_donor"),
        # what is unusable is not merely drained: a drain would keep its sessions
        (status(disabled="x", trouble="refused"), DEFAULT, 503, "refused"),
        (status(disabled="x", age=9.0), DEFAULT, 503, "9.0 s old"),
        (status(replace(DONOR, cluster_status="non-Primary")), DONORS_SERVE, 503, "Primary"),
    ],
)
def test_table(known: Status, policy: Policy, code: int, word: str) -> None:
    judged = verdict(known, policy)
    assert (judged.code, word in judged.reason) == (code, True), judged


FACTS = st.builds(
    Facts,
    cluster_status=st.sampled_from(["Primary", "non-Primary", "Disconnected", "unknown", ""]) | st.text(),
    connected=st.booleans(),
    ready=st.booleans(),
    replicates=st.booleans(),
    local_state=st.none() | st.integers(-2, 8),
    reject_queries=st.sampled_from(["NONE", "ALL", "ALL_KILL", "unknown"]),
    donor_rejects_queries=st.booleans(),
    sst_method=st.sampled_from(["mariabackup", "rsync"]) | st.text(),
    desync=st.booleans(),
    read_only=st.booleans(),
    recv_queue=st.none() | st.integers(0, 100),
    flow_control=st.none() | st.floats(0, 1),
)
PEERS = st.builds(Peer, st.text(), st.text(), st.integers(), st.integers(), st.booleans())
AGENTS = st.builds(
    Agent,
    opened=st.booleans(),
    paused=st.booleans(),
    drained=st.booleans(),
    reason=st.text(),
    problem=st.just("") | st.text(),
    peers=st.none() | st.lists(PEERS, max_size=3).map(tuple),
)
STATUSES = st.builds(
    Status,
    facts=st.none() | FACTS,
    age=st.floats(),
    trouble=st.just("") | st.text(),
    disabled=st.just("") | st.text(),
    agent=st.none() | AGENTS,
    probe=st.builds(Probe, st.sampled_from(["off", "resting", "ok", "explained", "late"]), st.text()),
)
POLICIES = st.builds(
    Policy,
    stale=st.floats(0.1, 600),
    available_when_donor=st.booleans(),
    available_when_read_only=st.booleans(),
    max_queue=st.none() | st.integers(0, 50),
    max_flow_control=st.none() | st.floats(0, 1),
    donor_code=st.sampled_from([404, 503, 500]),
    down_code=st.sampled_from([503, 500]),
)


@given(STATUSES, POLICIES)
def test_any_status_has_a_verdict_of_one_line(known: Status, policy: Policy) -> None:
    judged = verdict(known, policy)
    assert judged.code in (200, 404, 503)
    assert judged.reason
    assert judged.reason.isascii()
    assert judged.reason.isprintable()


@given(STATUSES, POLICIES)
def test_clients_are_sent_only_to_a_node_that_proves_everything(known: Status, policy: Policy) -> None:
    if verdict(known, policy).code == 200:
        assert known.facts is not None
        assert not known.trouble
        assert 0 <= known.age <= policy.stale
        assert (known.facts.cluster_status, known.facts.reject_queries) == ("Primary", "NONE")
        assert known.facts.ready
        assert known.facts.connected
        assert known.facts.replicates
        alone = others(known, policy) == ()
        assert known.facts.local_state == 4 or alone or (policy.available_when_donor and known.facts.local_state == 2)
        assert known.facts.local_state in (2, 3, 4)
        assert alone or not known.facts.desync
        assert policy.available_when_read_only or not known.facts.read_only
        assert alone or policy.max_queue is None or (known.facts.recv_queue or 0) <= policy.max_queue
        assert not known.disabled
        assert known.agent is None or (known.agent.opened and not known.agent.drained)


@given(STATUSES, POLICIES)
def test_disabling_never_makes_a_node_look_better(known: Status, policy: Policy) -> None:
    free, disabled = replace(known, disabled=""), replace(known, disabled="by hand")
    assert verdict(disabled, policy).code == max(404, verdict(free, policy).code)


@given(STATUSES, POLICIES)
def test_the_commit_probe_takes_no_node_without_another_to_turn_to(known: Status, policy: Policy) -> None:
    rested = replace(known, probe=Probe())
    if verdict(known, policy) != verdict(rested, policy):
        assert known.probe.state == "late"
        assert others(known, policy)
        assert verdict(known, policy).code == 404
        assert verdict(rested, policy).code == 200


@given(STATUSES, POLICIES)
def test_classic_codes_change_no_other_answer(known: Status, policy: Policy) -> None:
    judged = verdict(known, policy)
    code = answered(judged, policy)
    if judged.code == 503:
        assert code == policy.down_code
    elif judged.code == 404 and judged.cause in TRANSFERRING:
        assert code == policy.donor_code
    else:
        assert code == judged.code


def test_every_combination_of_the_facts_that_decide() -> None:
    """The whole product; the rule beside it is written down a second time, and shorter."""
    product = itertools.product(
        ("Primary", "non-Primary"), (True, False), (0, 1, 2, 3, 4, 9), ("NONE", "ALL"), (True, False), (True, False),
        (True, False), (None, OPEN, AMONG, ALONE, Agent(), replace(AMONG, drained=True)), ("", "x"), (Probe(), LATE),
    )  # fmt: skip
    for primary, ready, state, rejects, desync, refuses, read_only, agent, disabled, probe in product:
        facts = Facts(primary, ready, ready, True, state, rejects, refuses, "mariabackup", desync, read_only)
        known = Status(facts, 0.1, disabled=disabled, agent=agent, probe=probe)
        alone, among = agent is ALONE, agent is AMONG or (agent is not None and agent.drained)
        down = primary != "Primary" or not ready or rejects != "NONE" or state not in (2, 3, 4)
        down = down or (agent is not None and not agent.opened) or (state == 2 and refuses and not desync)
        drain = bool(disabled) or read_only or (agent is not None and agent.drained)
        drain = drain or (not alone and (desync or state in (2, 3))) or (among and probe is LATE)
        assert verdict(known, DEFAULT).code == (503 if down else 404 if drain else 200), known


def test_a_node_that_is_alone_in_its_component_stays_whatever_was_heard_of_the_others() -> None:
    """The registry is down or slow: it still names a member that is gone."""
    alone = replace(DONOR, cluster_size=1)
    assert verdict(status(replace(DONOR, cluster_size=2), agent=AMONG), Policy()).code == 404
    assert verdict(status(alone, agent=AMONG), Policy()).code == 200
    assert verdict(status(alone, agent=AMONG, disabled="by ann"), Policy()).code == 404


def test_who_has_left_the_component_is_no_other_node_to_turn_to() -> None:
    among, without = replace(DONOR, members=("db1:3306", "db2:3306")), replace(DONOR, members=("db1:3306", "db3:3306"))
    assert verdict(status(among, agent=AMONG), Policy()).code == 404
    assert verdict(status(without, agent=AMONG), Policy()).code == 200
    unnamed = replace(AMONG, peers=(replace(PEER, incoming=""),))
    assert verdict(status(without, agent=unnamed), Policy()).code == 404
    # outside the Primary Component, or from a server that hangs, the list says nothing of the others
    assert others(status(replace(without, cluster_status="non-Primary"), agent=AMONG), Policy()) == (PEER,)
    assert others(status(without, agent=AMONG, age=9.0), Policy()) == (PEER,)
