"""What a person may order, on made-up registries."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bootstrap import orders
from bootstrap.decide import decide
from bootstrap.decisions import Ack, Bootstrap, Recover, Refuse, SetAside, Stop, Wait
from bootstrap.facts import Expect, Facts, Failure
from bootstrap.orders import Refused
from galerist.model import (
    Claim,
    Data,
    Endpoint,
    Generation,
    Identity,
    NodeRecord,
    Position,
    Report,
    Server,
    State,
    View,
)

UUID = "4485d2b9-e555-11f1-a9cd-cfe96997c399"
ONE = Generation("aaaaaaaa", 0, "n1", "galera-aaaaaaaa")
IDENTITY = Identity(UUID, (ONE,))
VIEW = View("aaaaaaaa", 9, ("n1", "n2", "n3"))
STATE = State(IDENTITY, VIEW, None, ("n1", "n2", "n3"))


def report(node: str, seqno: int = 10, **fields: object) -> Report:
    base = Report(
        node=node, boot=f"boot-{node}", endpoint=Endpoint("127.0.0.1", "127.0.0.1", 1, 2, 3), server=Server.DOWN,
        data=Data.PRESENT, disk=f"disk-{node}", position=Position(UUID, seqno), uuid=UUID, identity=IDENTITY,
    )  # fmt: skip
    return replace(base, **fields)  # type: ignore[arg-type]


def facts(me: Report, others: tuple[Report, ...], state: State, **fields: object) -> Facts:
    base = Facts("galera", me, Expect(3, ("n1", "n2", "n3")), "ffffffff", answered=True, state=state, others=others)
    return replace(base, **fields)  # type: ignore[arg-type]


def test_without_an_order_a_missing_member_is_waited_for_and_named() -> None:
    decision = decide(facts(report("n1"), (report("n2"),), STATE))
    assert isinstance(decision.action, Wait)
    assert "n3" in decision.sentence
    assert decision.remedy is not None and "galerist recover" in decision.remedy


def test_recover_tells_what_may_be_lost_and_asks_for_the_seqno() -> None:
    order = orders.recover(STATE, (report("n1", 10), report("n2", 12)), "n1", "cccccccc")
    text = " ".join(order.says)
    assert order.number == 10
    assert "n3" in text and "two clusters" in text
    assert "n2 is at seqno 12, 2 ahead" in text
    assert order.state is not None and order.state.claim is not None and order.state.claim.forced
    assert order.state.view is None


def test_recover_is_carried_out_only_when_every_reporting_node_has_acknowledged() -> None:
    one, two = report("n1", 10), report("n2", 12)
    state = orders.recover(STATE, (one, two), "n1", "cccccccc").state
    assert state is not None
    assert decide(facts(two, (one,), state)).action == Ack("cccccccc")
    waiting = decide(facts(one, (two,), state))
    assert isinstance(waiting.action, Wait) and "n2" in waiting.sentence
    started = decide(facts(one, (replace(two, ack="cccccccc"),), state))
    assert isinstance(started.action, Bootstrap)
    assert started.action.cluster_name == "galera-cccccccc"


def test_recover_is_void_after_a_new_boot_of_the_chosen_node_or_at_another_position() -> None:
    one, two = report("n1", 10), report("n2", 12, ack="cccccccc")
    state = orders.recover(STATE, (one, two), "n1", "cccccccc").state
    assert state is not None
    rebooted = decide(facts(replace(one, boot="another"), (two,), state))
    assert not isinstance(rebooted.action, Bootstrap)
    moved = decide(facts(replace(one, position=Position(UUID, 11)), (two,), state))
    assert isinstance(moved.action, Refuse)


def test_recover_stops_a_survivor_without_quorum() -> None:
    one = report("n1")
    state = orders.recover(STATE, (one,), "n1", "cccccccc").state
    assert state is not None
    survivor = report("n2", server=Server.UP, cluster_status="non-Primary", opened=True)
    assert isinstance(decide(facts(survivor, (one,), state, was_primary=True)).action, Stop)


@pytest.mark.parametrize(
    ("chosen", "words"),
    [
        (report("n1", data=Data.TAINTED), "cut off"),
        (report("n1", data=Data.EMPTY, position=None), "no data"),
        (report("n1", position=None), "position"),
        (report("n1", server=Server.UP, cluster_status="Primary"), "is Primary"),
    ],
)
def test_recover_is_refused_where_it_cannot_work(chosen: Report, words: str) -> None:
    with pytest.raises(Refused, match=words):
        orders.recover(STATE, (chosen,), "n1", "cccccccc")
    with pytest.raises(Refused, match="does not report"):
        orders.recover(STATE, (chosen,), "n9", "cccccccc")


def test_forget_takes_a_node_out_of_what_a_restart_waits_for() -> None:
    one, two = report("n1", 10), report("n2", 9)
    nodes = tuple(NodeRecord(name, f"disk-{name}", held=True) for name in ("n1", "n2", "n3"))
    order = orders.forget(STATE, (one, two), nodes, "n3")
    assert order.number == VIEW.seqno, "commits may be lost, so a number is asked back"
    assert order.delete == ("n3",)
    assert order.state is not None and order.state.writer == ("n1", "n2")
    after = decide(facts(one, (two,), order.state, nodes=nodes[:2]))
    assert "n3" not in after.sentence
    assert "claiming" in after.sentence


def test_forget_is_refused_for_a_node_that_has_data_and_reports_and_for_strangers() -> None:
    with pytest.raises(Refused, match="reports and has data"):
        orders.forget(STATE, (report("n1"),), (), "n1")
    with pytest.raises(Refused, match="known: n1, n2, n3"):
        orders.forget(STATE, (), (), "n7")


def test_forget_of_a_wiped_disk_lets_the_others_go_on() -> None:
    one, two = report("n1", 10), report("n2", 9)
    wiped = report("n3", data=Data.EMPTY, position=None, identity=None, disk="new")
    nodes = tuple(NodeRecord(name, f"disk-{name}", held=True) for name in ("n1", "n2", "n3"))
    stuck = decide(facts(one, (two, wiped), STATE, nodes=nodes))
    assert isinstance(stuck.action, Wait) and "empty disk" in stuck.sentence
    order = orders.forget(STATE, (one, two, wiped), nodes, "n3")
    assert order.state is not None
    assert order.put == (NodeRecord("n3", "new", held=False),)
    after = decide(facts(one, (two, wiped), order.state, nodes=(*nodes[:2], *order.put)))
    assert "claiming" in after.sentence


def test_reinit_waits_for_somebody_to_copy_from_and_names_the_disk() -> None:
    stray = report("n3", 99, identity=None)
    order = orders.reinit(STATE, (stray,), (), "n3")
    assert order.put[0].reinit == "disk-n3" and order.number == 99
    alone = decide(facts(stray, (), STATE, nodes=order.put))
    assert isinstance(alone.action, Refuse), "nobody is Primary: its data stay where they are"
    live = report("n1", server=Server.UP, cluster_status="Primary", local_state=4, opened=True)
    noticed = decide(facts(stray, (live,), STATE, nodes=order.put))
    assert isinstance(noticed.action, Wait) and "recorded without it" in noticed.sentence
    without = replace(STATE, view=View("aaaaaaaa", 11, ("n1", "n2")))
    assert isinstance(decide(facts(stray, (live,), without, nodes=order.put)).action, SetAside)
    newer = replace(live, view=View("aaaaaaaa", 12, ("n1", "n2", "n3")))
    assert isinstance(decide(facts(stray, (newer,), without, nodes=order.put)).action, Wait), (
        "a total stop would ask for it"
    )
    renewed = replace(stray, disk="another")
    assert not isinstance(decide(facts(renewed, (live,), without, nodes=order.put)).action, SetAside)


def test_a_node_that_is_to_begin_anew_counts_until_somebody_is_primary() -> None:
    """The simulation's find: it waited for a Primary Component that waited for it."""
    order = orders.reinit(STATE, (report("n3"),), (), "n3")
    unknown = report("n3", position=None)
    assert isinstance(decide(facts(unknown, (report("n1"), report("n2")), STATE, nodes=order.put)).action, Recover)
    claim = Claim("n1", "boot-n1", "cccccccc", report("n1").position, ("n1", "n2", "n3"))
    claimed = replace(STATE, claim=claim)
    assert decide(facts(report("n3"), (report("n1"), report("n2")), claimed, nodes=order.put)).action == Ack("cccccccc")


def test_data_that_nobody_wants_do_not_stand_in_the_way_of_a_first_start() -> None:
    other = "5555d2b9-e555-11f1-a9cd-cfe96997c399"
    one, two = (report(n, identity=None) for n in ("n1", "n2"))
    three = report("n3", identity=None, position=Position(other, 50), uuid=other)
    refused = decide(facts(one, (two, three), State()))
    assert isinstance(refused.action, Refuse) and "different clusters" in refused.sentence
    order = orders.reinit(State(), (three,), (), "n3")
    assert "claiming" in decide(facts(one, (two, three), State(), nodes=order.put)).sentence


def test_an_order_waits_for_everybody_who_reported_when_it_was_given() -> None:
    order = orders.recover(STATE, (report("n1"), report("n2")), "n1", "cccccccc")
    assert order.state is not None
    gone = decide(facts(report("n1"), (), order.state))
    assert isinstance(gone.action, Wait) and "n2" in gone.sentence
    there = decide(facts(report("n1"), (report("n2", ack="cccccccc"),), order.state))
    assert isinstance(there.action, Bootstrap)


def test_reinit_is_refused_while_the_server_runs() -> None:
    with pytest.raises(Refused, match="runs"):
        orders.reinit(STATE, (report("n1", server=Server.UP, cluster_status="Primary"),), (), "n1")


def test_a_paused_agent_decides_nothing_and_names_the_way_out() -> None:
    state = orders.pause(STATE, "somebody").state
    assert state is not None
    decision = decide(facts(report("n1"), (report("n2"), report("n3")), state))
    assert isinstance(decision.action, Wait) and decision.remedy == "galerist resume"
    resumed = orders.resume(state).state
    assert resumed is not None and not resumed.paused
    with pytest.raises(Refused):
        orders.resume(STATE)


def test_an_order_for_another_position_or_after_a_failed_start_is_not_carried_out() -> None:
    order = orders.recover(STATE, (report("n1"),), "n1", "cccccccc")
    assert order.state is not None
    other = decide(facts(report("n1", 9), (), order.state))
    assert isinstance(other.action, Refuse) and "another position" in other.sentence
    failed = decide(facts(report("n1"), (), order.state, failure=Failure("The disk is full.", "make room", 3.0)))
    assert isinstance(failed.action, Wait) and failed.sentence == "The disk is full."
