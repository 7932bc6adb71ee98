"""Which labels pods should have, by which Services find the writer and the readers."""

from __future__ import annotations

from typing import Any

import pytest

from galerist.deploy.labels import READ, WRITE, Pod, changes, wanted
from galerist.model import State

ORDER = ("n2", "n1", "n3")


@pytest.mark.parametrize(
    ("drained", "ready", "writer", "readers"),
    [
        ((), ("n1", "n2", "n3"), "n2", {"n1", "n3"}),
        ((), ("n1", "n3"), "n1", {"n3"}),
        (("n2",), ("n1", "n2", "n3"), "n1", {"n3"}),
        ((), ("n3",), "n3", {"n3"}),  # alone, it takes the reads too
        ((), ("n4", "n5"), "n4", {"n5"}),  # not in the order yet
        ((), ("n4", "n3"), "n3", {"n4"}),
    ],
)
def test_the_first_that_is_ready_takes_the_writes(
    drained: tuple[str, ...], ready: tuple[str, ...], writer: str, readers: set[str]
) -> None:
    found = wanted(State(writer=ORDER, drained=drained), ready)
    assert {name for name, labels in found.items() if WRITE in labels} == {writer}
    assert {name for name, labels in found.items() if READ in labels} == readers


def pod(name: str, *labels: str, ready: bool = True) -> Pod:
    return Pod(name, f"uid-{name}", ready, frozenset(labels))


def test_labels_are_taken_away_before_they_are_given() -> None:
    pods = [pod("n1", READ), pod("n2", WRITE, ready=False), pod("n3", READ)]
    taken, given = [(pods[0], {READ: None}), (pods[1], {WRITE: None})], [(pods[0], {WRITE: "true"})]
    assert changes(State(writer=ORDER), pods) == taken + given


def test_what_is_right_is_left_alone() -> None:
    assert changes(State(writer=ORDER), [pod("n2", WRITE), pod("n1", READ), pod("n3", READ)]) == []
    assert changes(State(writer=ORDER), [pod("n2", WRITE, ready=False), pod("n1", READ, ready=False)]) == []
    assert changes(State(), []) == []


def test_a_pod_that_is_being_deleted_is_not_ready() -> None:
    item: dict[str, Any] = {
        "metadata": {"name": "n1", "uid": "uid-n1", "labels": {WRITE: "true", READ: "no", "app": "x"}},
        "status": {"conditions": [{"type": "Initialized", "status": "True"}, {"type": "Ready", "status": "True"}]},
    }
    assert Pod.of(item) == pod("n1", WRITE)
    item["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    assert not Pod.of(item).ready
    assert Pod.of({"metadata": {"name": "n1", "uid": "uid-n1"}}) == pod("n1", ready=False)
