"""Switchover and drain: what is refused, and what the order changes."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bootstrap.orders import Refused
from galerist.cli.show import Cluster, as_data
from galerist.cli.traffic import Behind, drain, not_drained, not_empty, not_led, switchover, undrain
from galerist.model import Data, Endpoint, Generation, Identity, ProxyReport, Report, Server, State, View

IDENTITY = Identity("u", (Generation("g", 0, "a", "galera-g"),))
STATE = State(IDENTITY, View("g", 9, ("a", "b", "c")), writer=("a", "b", "c"))


def report(name: str, local_state: int = 4, opened: bool = True) -> Report:
    return Report(
        name, "boot", Endpoint(name, "10.0.0.1", 3306, 4567, 9200), Server.UP, Data.PRESENT, "d",
        cluster_status="Primary", local_state=local_state, opened=opened, role="member",
    )  # fmt: skip


def cluster(*reports: Report, state: State = STATE) -> Cluster:
    return Cluster("galera", state, reports, (), ())


ALL = (report("a"), report("b"), report("c"))


def state_of(order: object) -> State:
    state = getattr(order, "state", None)
    assert isinstance(state, State)
    return state


def test_the_chosen_node_comes_first_and_nothing_else_changes() -> None:
    assert state_of(switchover(cluster(*ALL), "c")) == replace(STATE, writer=("c", "a", "b"))


def test_without_a_choice_the_next_that_can() -> None:
    assert state_of(switchover(cluster(report("a"), report("b", local_state=2), report("c")), None)).writer[0] == "c"
    assert state_of(switchover(cluster(*ALL), None)).writer == ("b", "a", "c")


@pytest.mark.parametrize(
    ("reports", "to", "why"),
    [
        (ALL, "a", "a is the writer already"),
        (ALL, "x", "no node x is known"),
        ((*ALL[:2], report("c", local_state=2)), "c", "it is donor"),
        ((*ALL[:2], report("c", opened=False)), "c", "lets no clients in"),
        (ALL[:1], None, "no other node that is Synced and open"),
    ],
)
def test_who_cannot_be_the_writer(reports: tuple[Report, ...], to: str | None, why: str) -> None:
    with pytest.raises(Refused, match=why):
        switchover(cluster(*reports), to)


def test_a_node_that_is_behind_is_passed_over_or_waited_for() -> None:
    behind = replace(report("b"), queue=5321)
    assert state_of(switchover(cluster(ALL[0], behind, ALL[2]), None)).writer[0] == "c"
    with pytest.raises(Behind, match="b has 5321 write-sets to apply"):
        switchover(cluster(ALL[0], behind, ALL[2]), "b")
    with pytest.raises(Behind, match="b has 5321 write-sets"):  # all are: the one that will be there first
        switchover(cluster(ALL[0], behind, replace(report("c"), queue=9999)), None)
    assert state_of(switchover(cluster(ALL[0], replace(report("b"), queue=3), ALL[2]), None)).writer[0] == "b"
    busy = cluster(ALL[0], replace(report("b"), queue=31), replace(report("c"), queue=24))
    assert state_of(switchover(busy, None)).writer[0] == "c", "flow control holds them there: the one with the fewest"
    assert state_of(switchover(busy, "b")).writer[0] == "b"


def test_a_drained_node_cannot_be_the_writer() -> None:
    state = replace(STATE, drained=("b",))
    with pytest.raises(Refused, match="galerist undrain b"):
        switchover(cluster(*ALL, state=state), "b")
    assert state_of(switchover(cluster(*ALL, state=state), None)).writer[0] == "c"


def test_the_writer_moves_before_a_drain() -> None:
    order = drain(cluster(*ALL), "a")
    assert state_of(order) == replace(STATE, writer=("b", "c", "a"), drained=("a",))
    assert "b becomes the writer first." in order.says
    data = as_data(cluster(*ALL, state=state_of(order)))
    assert data["writer"] == "b"
    assert [entry["role"] for entry in data["members"]] == ["drained", "writer", "member"]


def test_a_drain_that_leaves_too_few_is_refused() -> None:
    with pytest.raises(Refused, match=r"1 of 3 nodes .* 2 are needed; drained already: c"):
        drain(cluster(*ALL, state=replace(STATE, drained=("c",))), "a")
    with pytest.raises(Refused, match=r"1 of 3 nodes"):
        drain(cluster(report("a"), report("b"), report("c", local_state=2)), "a")
    pair = replace(STATE, view=View("g", 9, ("a", "b")))
    assert state_of(drain(cluster(*ALL[:2], state=pair), "a")).drained == ("a",), "one of two can be looked after"
    with pytest.raises(Refused, match="0 of 1"):
        drain(cluster(*ALL[:1], state=replace(STATE, view=View("g", 9, ("a",)))), "a")


def test_a_drain_twice_and_of_nobody() -> None:
    with pytest.raises(Refused, match="drained already"):
        drain(cluster(*ALL, state=replace(STATE, drained=("c",))), "c")
    with pytest.raises(Refused, match="no node x"):
        drain(cluster(*ALL), "x")
    with pytest.raises(Refused, match="not started yet"):
        drain(cluster(*ALL, state=State()), "a")


def test_a_drain_is_done_when_the_clients_are_gone_and_then_the_server_is_out_of_flow_control() -> None:
    state = replace(STATE, drained=("c",))
    proxy = ProxyReport("p1", "h", "i", 1, 2, 3, 4, writing=("a",), serving=("a", "c"), drained=("c",))
    told = replace(cluster(*ALL, state=state), proxies=(proxy,))
    assert not_drained(told, "c") == ("p1 still has sessions on c",)
    empty = replace(told, proxies=(replace(proxy, serving=("a",)),))
    assert "in flow control still" in not_drained(empty, "c")[0]
    out = replace(report("c", local_state=2), desync=True)
    assert not_drained(replace(empty, reports=(*ALL[:2], out)), "c") == ()
    assert [entry["state"] for entry in as_data(replace(empty, reports=(*ALL[:2], out)))["members"]][2] == "desynced"
    down = replace(report("c"), server=Server.DOWN)
    assert not_drained(replace(empty, reports=(*ALL[:2], down)), "c") == (), "it holds nobody up"
    assert "does not report" in not_drained(replace(empty, reports=ALL[:2]), "c")[0]
    assert "ended meanwhile" in not_drained(cluster(*ALL), "c")[0]


def test_undrain() -> None:
    state = replace(STATE, drained=("b", "c"))
    assert state_of(undrain(cluster(*ALL, state=state), "b")) == replace(STATE, drained=("c",))
    with pytest.raises(Refused, match="drained: b, c"):
        undrain(cluster(*ALL, state=state), "a")


def test_when_it_is_done() -> None:
    one = ProxyReport("p1", "h", "i", 1, 2, 3, 4, writing=("b", "a"), serving=("a", "b"))
    assert not_led((one,), "b") == ("p1 still writes to b, a",)
    assert not_led((replace(one, writing=("b",)),), "b") == ()
    assert not_empty((one,), "c") == ("p1 still leads to c",)
    drained = replace(one, drained=("a",))
    assert not_empty((drained,), "a") == ("p1 still has sessions on a",)
    assert not_empty((replace(drained, writing=("b",), serving=("b",)),), "a") == ()
