"""A few thousand schedules in each run of the tests; make simulate runs more."""

from __future__ import annotations

import logging
from types import SimpleNamespace

import pytest

from bootstrap import forming, obey, running, unserved
from bootstrap.agent import Agent
from bootstrap.decisions import Decision, Stop
from galerist import model
from tests.simulation import fast, found
from tests.simulation.galera import Violation
from tests.simulation.schedule import TOTAL, Schedule, draw, run, shrunk


@pytest.mark.parametrize("first", range(1, 2001, 250))
def test_no_promise_is_broken(first: int, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.CRITICAL)
    for seed in range(first, first + 250):
        schedule = draw(seed)
        violation = run(schedule).violation
        if violation is not None:
            told = run(shrunk(schedule, violation), tell=True)
            pytest.fail(f"seed {seed}: {violation}\n" + "\n".join(told.trace))


def test_schedules_are_as_hard_as_promised(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.CRITICAL)
    drawn = [draw(seed) for seed in range(1, 201)]
    outcomes = [run(schedule) for schedule in drawn]
    assert all(3 <= schedule.count <= 5 and len(schedule.events) >= 60 for schedule in drawn)
    assert sum(sum(outcome.faults.values()) >= 4 for outcome in outcomes) >= 190
    assert sum(any(kind in outcome.faults for kind in TOTAL) for outcome in outcomes) >= 90


def test_a_schedule_runs_the_same_way_every_time(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.CRITICAL)
    for seed in (7, 8, 9):
        assert run(draw(seed), tell=True).trace == run(draw(seed), tell=True).trace


def test_the_fast_texts_change_nothing(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    caplog.set_level(logging.CRITICAL)
    quick = [run(draw(seed), tell=True).trace for seed in range(20, 26)]
    monkeypatch.setattr(fast, "dump", model.dump)
    monkeypatch.setattr(fast, "load", model.load)
    assert [run(draw(seed), tell=True).trace for seed in range(20, 26)] == quick


def test_a_failing_schedule_is_shrunk() -> None:
    schedule = Schedule(3, None, True, tuple(("tick", 0, number, 0) for number in range(40)))

    def fails(candidate: Schedule) -> bool:
        return {event[2] for event in candidate.events} >= {3, 17}

    from tests.simulation.schedule import shrink

    assert [event[2] for event in shrink(schedule, fails).events] == [3, 17]
    assert Violation("P1", "x").promise == "P1"


def test_what_is_on_no_disk_and_no_record_is_not_asked_for() -> None:
    """All three disks and the registry are replaced one after the other: what then starts is a new cluster."""
    events = (
        ("kill_all", 5, 472, 9144591),
        ("order_forget", 5, 116, 329615097),
        ("registry_wiped", 1, 163, 210118796),
        ("order_forget", 16, 572, 308695383),
        ("disk_standalone", 27, 345, 1044353070),
    )
    outcome = run(Schedule(3, None, True, events), tell=True)
    assert outcome.violation is None
    assert "is nowhere any more" in "\n".join(outcome.trace)
    early = run(Schedule(3, None, True, (*events[:2], *events[3:])), tell=True)
    assert early.violation is None
    assert "is nowhere any more" not in "\n".join(early.trace)


def test_the_record_of_a_former_disk_vouches_for_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    lost = (
        found.A_RECORD_OF_A_FORMER_DISK,
        found.AN_EMPTY_REGISTRY_AND_A_NEW_DISK,
        found.AN_EMPTY_REGISTRY_AND_A_MEMBER_OF_OLD,
    )
    for schedule in lost:
        assert run(schedule).violation is None
    with monkeypatch.context() as wrong:
        wrong.setattr(forming, "_blind", lambda *given: set())
        for schedule in lost:
            violation = run(schedule).violation
            assert violation is not None and violation.promise == "P2"


def test_a_second_try_needs_a_claim_of_its_own() -> None:
    outcome = run(found.A_LATE_SWAP_AND_A_SECOND_TRY, tell=True)
    assert outcome.violation is None
    assert sum("claiming the bootstrap" in line for line in outcome.trace) == 2


def test_an_order_is_carried_out_once() -> None:
    assert run(found.AN_ORDER_OUT_OF_A_BACKUP).violation is None


def test_a_node_that_never_joined_is_not_waited_for() -> None:
    assert run(found.AN_EXPECTED_NODE_THAT_NEVER_JOINED).violation is None


def test_a_datadir_stays_while_some_view_names_its_node(monkeypatch: pytest.MonkeyPatch) -> None:
    assert run(found.AN_ORDER_BETWEEN_TWO_VIEWS).violation is None
    with monkeypatch.context() as wrong:
        wrong.setattr(obey, "forming", SimpleNamespace(last_view=lambda facts, known: facts.state.view))
        violation = run(found.AN_ORDER_BETWEEN_TWO_VIEWS).violation
        assert violation is not None and violation.promise == "P4"


def test_an_arbitrator_that_finds_nobody_ends_and_looks_again() -> None:
    outcome = run(found.AN_ARBITRATOR_AND_AN_ADDRESS_OF_YESTERDAY, tell=True)
    assert outcome.violation is None
    assert "has found no Primary Component, and ends" in "\n".join(outcome.trace)


def test_reports_out_of_a_backup_stop_nobody_who_is_primary(monkeypatch: pytest.MonkeyPatch) -> None:
    assert run(found.DOWN_SAYS_A_BACKUP).violation is None
    with monkeypatch.context() as wrong:
        wrong.setattr(unserved, "last_of_view", lambda facts, known: Decision(Stop(), "On hearsay."))
        violation = run(found.DOWN_SAYS_A_BACKUP).violation
        assert violation is not None and violation.promise == "P5"


def test_what_may_lie_in_a_datadir_set_aside_is_a_matter_for_people() -> None:
    outcome = run(found.COMMITS_IN_A_DATADIR_SET_ASIDE, tell=True)
    assert outcome.violation is None
    assert "waiting for b to report, since the commits between may be there" in outcome.trace[-1]


def test_a_name_in_a_view_does_not_vouch_for_a_new_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    lost = (found.A_NAME_IN_A_VIEW_THAT_IS_OVER, found.THE_SAME_UNDER_A_SLOW_APPLIER)
    for schedule in lost:
        assert run(schedule).violation is None

    def by_name(record: model.NodeRecord, report: model.Report, mine: model.View) -> bool:
        there = record.node == report.node and report.server is not model.Server.DOWN
        return there and record.held and record.disk != report.disk

    with monkeypatch.context() as wrong:
        wrong.setattr(running, "_replaced", by_name)
        violation = run(found.A_NAME_IN_A_VIEW_THAT_IS_OVER).violation
        assert violation is not None and violation.promise == "P2"


def test_a_frozen_pass_takes_no_server_away_that_is_primary_again(monkeypatch: pytest.MonkeyPatch) -> None:
    assert run(found.A_PASS_THAT_WAS_FROZEN).violation is None
    with monkeypatch.context() as wrong:
        wrong.setattr(Agent, "_still", lambda self, me: True)
        violation = run(found.A_PASS_THAT_WAS_FROZEN).violation
        assert violation is not None and violation.promise == "P5"
