"""A rolling restart, on made-up registries: what comes next, and when it must not go on."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bootstrap.decide import decide
from bootstrap.decisions import Serve, Stop
from bootstrap.facts import Expect, Facts
from bootstrap.orders import Refused
from galerist.cli.restart import Done, Give, Halt, Wait, abort, begin, following
from galerist.model import NodeRecord, Report, Restart, Server, View
from galerist.view.facts import Cluster
from tests.unit.test_show import DOWN, PROXY, cluster, report

THREE = tuple(report(node, boot=f"boot-{node}", server_pid=10 + place) for place, node in enumerate(("n1", "n2", "n3")))
EMPTIED = replace(PROXY, writing=("n2",), serving=("n2", "n3"), drained=("n1",))


def ordered(order: Restart | None, *reports: Report, **fields: object) -> Cluster:
    made = cluster(*(reports or THREE), **fields)
    return replace(made, state=replace(made.state, restart=order))


def test_the_writer_comes_last() -> None:
    order = begin(cluster(*THREE), (), "jo")
    assert order.state is not None and order.state.restart == Restart(("n1", "n3", "n2"), "jo")
    some = begin(cluster(*THREE), ("n2", "n1"), "jo")
    assert some.state is not None and some.state.restart is not None and some.state.restart.left == ("n1", "n2")


def test_clients_are_led_away_then_the_server_is_named_then_the_next_one() -> None:
    order = Restart(("n1", "n2"), "jo")
    drained = following(ordered(order, proxies=(PROXY,)))
    assert isinstance(drained, Give) and drained.order.state is not None
    assert drained.order.state.drained == ("n1",)
    assert drained.order.state.restart == replace(order, drained="n1")

    now = replace(ordered(None, proxies=(PROXY,)), state=drained.order.state)
    assert isinstance(following(now), Wait), "the proxy still leads to it"
    quiet = replace(now, proxies=(EMPTIED,))
    told = following(quiet)
    assert isinstance(told, Give) and told.order.state is not None
    assert told.order.state.restart == replace(order, drained="n1", boot="boot-n1", pid=10)

    down = replace(THREE[0], **{**DOWN, "server_pid": None})  # type: ignore[arg-type]
    assert isinstance(following(replace(quiet, state=told.order.state, reports=(down, *THREE[1:]))), Wait)
    back = replace(THREE[0], server_pid=77)
    done = following(replace(quiet, state=told.order.state, reports=(back, *THREE[1:])))
    assert isinstance(done, Give) and done.order.state is not None
    assert done.order.state.drained == () and done.order.state.restart == Restart(("n2",), "jo")


def test_who_was_drained_before_stays_so() -> None:
    order = Restart(("n1", "n2"), "jo", boot="boot-n1", pid=10)
    made = ordered(order, replace(THREE[0], server_pid=77), *THREE[1:])
    done = following(replace(made, state=replace(made.state, drained=("n1",))))
    assert isinstance(done, Give) and done.order.state is not None and done.order.state.drained == ("n1",)
    out = replace(THREE[0], server_pid=77, local_state=2, desync=True)
    again = following(replace(made, reports=(out, *THREE[1:]), state=replace(made.state, drained=("n1",))))
    assert isinstance(again, Give), "its agent has taken it out of flow control again: that is well"


def test_it_ends() -> None:
    assert isinstance(following(ordered(None)), Done)
    last = following(ordered(Restart((), "jo")))
    assert isinstance(last, Give) and last.order.state is not None and last.order.state.restart is None


@pytest.mark.parametrize(
    ("other", "kind"),
    [
        (replace(THREE[2], **DOWN, role="quarantined"), "halts"),  # type: ignore[arg-type]
        (replace(THREE[2], **DOWN), "unwell"),  # type: ignore[arg-type]
        (replace(THREE[2], cluster_status="non-Primary"), "unwell"),
        (replace(THREE[2], local_state=2), "passes"),
        (replace(THREE[2], server=Server.STARTING, role="joiner"), "passes"),
    ],
)
def test_no_node_is_taken_away_while_another_is_not_well(other: Report, kind: str) -> None:
    step = following(ordered(Restart(("n1",), "jo"), *THREE[:2], other))
    if kind == "halts":
        assert isinstance(step, Halt)
    else:
        assert isinstance(step, Wait) and step.unwell == (kind == "unwell")
    with pytest.raises(Refused, match="n3 is"):
        begin(cluster(*THREE[:2], other), (), "jo")


def test_a_member_that_is_silent_is_waited_for_with_patience() -> None:
    silent = following(ordered(Restart(("n1",), "jo"), *THREE[:2]))
    assert isinstance(silent, Wait) and silent.unwell and "galerist forget n3" in silent.sentence
    away = replace(cluster(*THREE[:2]), nodes=(NodeRecord("n3", "d", held=True),))
    away = replace(away, state=replace(away.state, view=View("g2", 10, ("n1", "n2"))))
    with pytest.raises(Refused, match="n3 does not report"):
        begin(away, ("n1",), "jo")
    assert begin(replace(away, nodes=()), ("n1",), "jo").says == ("n1 restarts; its clients are led away before.",)
    itself = ordered(Restart(("n1",), "jo", boot="boot-n1", pid=10), *THREE[1:])
    assert following(itself) == Wait("n1 does not report", unwell=True)


def test_a_node_that_does_not_come_back_halts_it_with_its_own_reason() -> None:
    order = Restart(("n1", "n2"), "jo", boot="boot-n1", pid=10, drained="n1")
    failed = replace(THREE[0], **DOWN, role="failed", reason="The disk is full.")  # type: ignore[arg-type]
    assert following(ordered(order, failed, *THREE[1:])) == Halt("n1 does not come back: The disk is full.")
    made = ordered(order)
    assert isinstance(following(replace(made, state=replace(made.state, paused="jo"))), Halt)


def test_another_agent_that_has_adopted_the_server_is_told_again() -> None:
    order = Restart(("n1",), "jo", boot="former", pid=10, drained="n1")
    again = following(ordered(order))
    assert isinstance(again, Give) and again.order.state is not None
    assert again.order.state.restart == replace(order, boot="boot-n1")


def test_one_restart_at_a_time_and_it_can_be_ended() -> None:
    order = Restart(("n1",), "jo", drained="n1")
    made = ordered(order)
    made = replace(made, state=replace(made.state, drained=("n1", "n3")))
    with pytest.raises(Refused, match="unfinished"):
        begin(made, (), "al")
    ended = abort(made).state
    assert ended is not None and ended.restart is None and ended.drained == ("n3",)
    with pytest.raises(Refused, match="no restart"):
        abort(cluster())
    with pytest.raises(Refused, match="n9 does not report"):
        begin(cluster(*THREE), ("n9",), "jo")


# -- what the agent makes of it --------------------------------------------------------------


def facts(order: Restart, **fields: object) -> Facts:
    view = View("g2", 10, ("n1", "n2", "n3"))
    me = replace(THREE[0], view=view, **fields)  # type: ignore[arg-type]
    state = replace(cluster().state, restart=order, view=view)
    nodes = tuple(NodeRecord(one.node, one.disk, True) for one in THREE)
    return Facts("galera", me, Expect(3), "f", True, state, THREE[1:], nodes, was_primary=True)


def test_an_agent_ends_the_server_that_is_named_and_no_other() -> None:
    order = Restart(("n1",), "jo", boot="boot-n1", pid=10)
    assert isinstance(decide(facts(order)).action, Stop)
    for other in (
        replace(order, pid=11),
        replace(order, boot="former"),
        replace(order, left=("n2",)),
        Restart(("n1",)),
    ):
        assert isinstance(decide(facts(other)).action, Serve), other


def test_an_agent_does_not_end_the_last_server_nor_a_donor() -> None:
    order = Restart(("n1",), "jo", boot="boot-n1", pid=10)
    alone = replace(facts(order), others=tuple(replace(one, **DOWN) for one in THREE[1:]))  # type: ignore[arg-type]
    assert not isinstance(decide(alone).action, Stop)
    assert not isinstance(decide(facts(order, local_state=2)).action, Stop)
