"""Which nodes leave the membership for good when a StatefulSet is scaled down, and on what evidence."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from bootstrap.decide import decide
from bootstrap.decisions import Bootstrap, Wait
from bootstrap.leave import parting, surplus
from bootstrap.orders import Refused
from galerist.model import Claim, NodeRecord, Report, Server, State, View
from tests.unit.test_orders import IDENTITY, facts, report

STAYING = View("aaaaaaaa", 12, ("n1", "n2"))
STATE = State(IDENTITY, STAYING, None, ("n1", "n2", "n3"), drained=("n3",))
NODES = tuple(NodeRecord(name, f"disk-{name}", held=True) for name in ("n1", "n2", "n3"))
GONE = report("n3", 11, view=View("aaaaaaaa", 9, ("n1", "n2", "n3")))


def serving(node: str, **fields: object) -> Report:
    up: dict[str, object] = {"server": Server.UP, "cluster_status": "Primary", "local_state": 4, "opened": True}
    return report(node, 12, **{**up, "view": STAYING, **fields})


OTHERS = (serving("n1"), serving("n2"))


@pytest.mark.parametrize(
    ("pod", "spec", "expected"),
    [
        ("galera-3", {"replicas": 3}, True),
        ("galera-2", {"replicas": 3}, False),
        ("galera-0", {"replicas": 0}, False),  # the cluster is stopped
        ("galera-12", {"replicas": 3, "ordinals": {"start": 10}}, False),
        ("galera-13", {"replicas": 3, "ordinals": {"start": 10}}, True),
        ("galera-1", {}, True),  # one is the API's default
        ("galera-x", {"replicas": 1}, False),
        ("other-3", {"replicas": 1}, False),
    ],
)
def test_a_pod_is_surplus_when_the_set_is_scaled_down_past_it(pod: str, spec: dict[str, Any], expected: bool) -> None:
    assert surplus(pod, "galera", {"metadata": {}, "spec": spec}) is expected
    assert not surplus(pod, "galera", {"metadata": {"deletionTimestamp": "2026-01-01T00:00:00Z"}, "spec": spec})


def test_a_node_that_left_in_order_is_forgotten() -> None:
    order = parting(STATE, (*OTHERS, GONE), NODES, "n3", GONE.boot)
    assert order.state == replace(STATE, writer=("n1", "n2"), drained=())
    assert order.delete == ("n3",)
    assert order.put == ()
    # and no restart waits for it: n1 waits for n2, and for nobody else
    assert order.state is not None
    waiting = decide(facts(report("n1", 12, view=STAYING), (), order.state))
    assert isinstance(waiting.action, Wait)
    assert "n2" in waiting.sentence and "n3" not in waiting.sentence
    claimed = decide(facts(report("n1", 13, view=STAYING), (report("n2", 12, view=STAYING),), order.state)).action
    assert not isinstance(claimed, Wait | Bootstrap)


@pytest.mark.parametrize(
    ("state", "others", "mine", "words"),
    [
        (STATE, OTHERS, None, "stopped in order"),
        (STATE, OTHERS, replace(GONE, boot="another"), "stopped in order"),
        (STATE, OTHERS, replace(GONE, server=Server.UP), "stopped in order"),
        (STATE, OTHERS, replace(GONE, position=None), "stopped in order"),
        (STATE, OTHERS, replace(GONE, problem="recovery failed"), "stopped in order"),
        (replace(STATE, view=GONE.view), OTHERS, GONE, "have not recorded"),
        (replace(STATE, view=None), OTHERS, GONE, "have not recorded"),
        (replace(STATE, claim=Claim("n1", "boot-n1", "f", None, ())), OTHERS, GONE, "has a say"),
        (replace(STATE, paused="ann"), OTHERS, GONE, "has a say"),
        (STATE, (), GONE, "none of n1, n2 reports"),
        (STATE, (report("n1"), report("n2")), GONE, "none of n1, n2 reports"),
        (STATE, (serving("n1", view=GONE.view), serving("n2", cluster_status="non-Primary")), GONE, "none of n1"),
        (STATE, (serving("n4"),), GONE, "none of n1, n2 reports"),
    ],
)
def test_without_evidence_it_stays_a_member(
    state: State, others: tuple[Report, ...], mine: Report | None, words: str
) -> None:
    with pytest.raises(Refused, match=words):
        parting(state, (*others, *((mine,) if mine is not None else ())), NODES, "n3", GONE.boot)
