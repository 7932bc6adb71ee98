"""The proof must be able to fail: what counts as two clusters at one instant, and what does not."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from tests.faults.kinds import ALONE, ARBITRATED, HARMLESS, KINDS, draw
from tests.faults.probe import NO_VIEW, Answer, Span, two_primaries

NODES, ETCDS = ("n1", "n2", "n3"), ("e1", "e2", "e3")


def answer(*members: str, **changed: Any) -> Answer:
    serving = Answer(primary=True, ready=True, open=True, state=4, uuid="u", conf="1", members=members)
    return dataclasses.replace(serving, **changed)


ALONE_1 = Span("n1", 10.0, 20.0, answer("n1"))


@pytest.mark.parametrize(
    "other",
    [
        Span("n2", 15.0, 25.0, answer("n2", "n3")),
        Span("n2", 12.0, 13.0, answer("n2", "n3")),
        Span("n2", 13.0, 12.0, answer("n2", "n3")),  # one answer, asked at 12 and given at 13
        Span("n3", 5.0, 10.0, answer("n3")),
    ],
)
def test_two_disjoint_sets_that_serve_at_one_instant_are_found(other: Span) -> None:
    assert two_primaries([ALONE_1, other]) == [(ALONE_1, other)]
    assert two_primaries([other, ALONE_1]) == [(other, ALONE_1)]


@pytest.mark.parametrize(
    "other",
    [
        Span("n2", 20.1, 25.0, answer("n2", "n3")),  # afterwards
        Span("n2", 20.5, 19.5, answer("n2", "n3")),  # one answer, perhaps afterwards
        Span("n2", 15.0, 25.0, answer("n1", "n2")),  # the same set, seen at different moments
        Span("n2", 15.0, 25.0, answer("n2", "n3", open=False)),
        Span("n2", 15.0, 25.0, answer("n2", "n3", ready=False)),
        Span("n2", 15.0, 25.0, answer("n2", "n3", primary=False)),
        Span(
            "n2", 15.0, 25.0, answer("n2", "n3", conf=NO_VIEW)
        ),  # Primary again, with the members of before (seed 201, round 6)
        Span("n1", 15.0, 25.0, answer("n2")),  # the same node
    ],
)
def test_anything_else_is_none(other: Span) -> None:
    assert two_primaries([ALONE_1, other]) == []


@pytest.mark.parametrize("arbitrators", [(), ("g1",)])
def test_a_seed_repeats_its_rounds_and_one_deck_holds_every_kind(arbitrators: tuple[str, ...]) -> None:
    kinds = set(KINDS) if arbitrators else KINDS.keys() - ARBITRATED

    def rounds(seed: int) -> list[str]:
        return [str(draw(seed, number, NODES, ETCDS, arbitrators)) for number in range(len(kinds))]

    plans = [draw(7, number, NODES, ETCDS, arbitrators) for number in range(len(kinds))]
    assert [str(plan) for plan in plans] == rounds(7) == rounds(7)
    assert {plan.kinds[0] for plan in plans} == kinds
    assert {len(plan.kinds) for plan in plans} == {1, 2, 3}
    assert rounds(7) != rounds(8)


def test_a_lost_disk_meets_only_faults_that_take_no_node_down() -> None:
    for number in range(2000):
        kinds = draw(3, number, NODES, ETCDS).kinds
        if ALONE & set(kinds):
            assert all(kind in ALONE or kind in HARMLESS for kind in kinds)
            assert len(ALONE & set(kinds)) == 1
