"""The verdict: every row of the table, and what holds for any status at all."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clustercheck.verdict import Agent, Facts, Policy, Status, verdict

GOOD = Facts(
    cluster_status="Primary",
    connected=True,
    ready=True,
    local_state=4,
    reject_queries="NONE",
    donor_rejects_queries=False,
    sst_method="mariabackup",
)
OPEN = Agent(opened=True)
DONOR = replace(GOOD, local_state=2)
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
        (status(replace(GOOD, read_only=True)), DEFAULT, 200, "synced"),
        (status(age=5.0), DEFAULT, 200, "synced"),
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
    local_state=st.none() | st.integers(-2, 8),
    reject_queries=st.sampled_from(["NONE", "ALL", "ALL_KILL", "unknown"]),
    donor_rejects_queries=st.booleans(),
    sst_method=st.sampled_from(["mariabackup", "rsync"]) | st.text(),
    desync=st.booleans(),
    read_only=st.booleans(),
)
STATUSES = st.builds(
    Status,
    facts=st.none() | FACTS,
    age=st.floats(),
    trouble=st.just("") | st.text(),
    disabled=st.just("") | st.text(),
    agent=st.none() | st.builds(Agent, st.booleans(), st.booleans(), st.booleans(), st.text(), st.just("") | st.text()),
)
POLICIES = st.builds(Policy, stale=st.floats(0.1, 600), available_when_donor=st.booleans())


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
        assert known.facts.local_state == 4 or (policy.available_when_donor and known.facts.local_state == 2)
        assert not known.disabled
        assert known.agent is None or (known.agent.opened and not known.agent.drained)


@given(STATUSES, POLICIES)
def test_disabling_never_makes_a_node_look_better(known: Status, policy: Policy) -> None:
    free, disabled = replace(known, disabled=""), replace(known, disabled="by hand")
    assert verdict(disabled, policy).code == max(404, verdict(free, policy).code)
