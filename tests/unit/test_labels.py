"""Which labels pods should have, by which Services find the writer and the readers."""

from __future__ import annotations

from typing import Any, cast

import pytest

from galerist.deploy.labels import READ, WRITE, Labeller, Pod, changes, wanted
from galerist.model import State, dump
from galerist.registry.k8sapi import Api
from galerist.settings import load
from tests.support.shelf import Shelf

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


class Pods:
    """An API server with two ready pods, of which the second has the writes."""

    def __init__(self) -> None:
        self.labels: dict[str, dict[str, str]] = {"galera-0": {READ: "true"}, "galera-1": {WRITE: "true"}}

    def path(self, group: str, resource: str, name: str = "") -> str:
        return name or resource

    def repeat(self, method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        if method == "PATCH":
            assert body is not None
            for label, value in body["metadata"]["labels"].items():
                self.labels[path] = {key: old for key, old in self.labels[path].items() if key != label}
                self.labels[path] |= {label: value} if value else {}
            return {}
        ready = {"conditions": [{"type": "Ready", "status": "True"}]}
        about = [{"name": name, "uid": name, "labels": labels} for name, labels in self.labels.items()]
        return {"items": [{"metadata": one, "status": ready} for one in about]}


def test_the_writer_stays_while_the_order_was_never_read() -> None:
    pods, registry = Pods(), Shelf()
    flags = {"statefulset": "galera"}
    labeller = Labeller(load(flags, {}, None, "labels"), cast(Api, pods), registry)
    standing = dict(pods.labels)
    registry.down = True
    labeller.step()
    assert pods.labels == standing
    registry.down = False
    labeller.step()  # a registry that was wiped tells no order either
    assert pods.labels == standing
    registry.put("/galerist/galera/state", dump(State(writer=("galera-0", "galera-1"))))
    labeller.step()
    assert pods.labels == {"galera-0": {WRITE: "true"}, "galera-1": {READ: "true"}}
