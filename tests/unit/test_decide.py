"""Pure cases of the protocol: counter-examples that the simulation or a person found."""

from __future__ import annotations

from dataclasses import replace

from bootstrap import decisions as rules
from bootstrap import history
from bootstrap.decide import decide
from bootstrap.facts import Expect, Facts
from bootstrap.unserved import UNSERVED, bereft
from galerist.model import (
    Attempt,
    Claim,
    Data,
    Endpoint,
    Generation,
    Identity,
    NodeRecord,
    Position,
    Report,
    Restart,
    Server,
    State,
    View,
)

UUID = "11111111-2222-3333-4444-555555555555"
FIRST = Generation("g1", 0, "a", "galera-g1")
SECOND = Generation("g2", 20, "b", "galera-g2")
OLD, NEW = Identity(UUID, (FIRST,)), Identity(UUID, (FIRST, SECOND))


def report(node: str, seqno: int | None = 10, **fields: object) -> Report:
    """A node that is down, with clean data of the first generation."""
    made = Report(
        node, f"boot-{node}", Endpoint(node, node, 3306, 4567, 9200), Server.DOWN, Data.PRESENT, f"disk-{node}",
        position=Position(UUID, seqno) if seqno is not None else None, uuid=UUID, identity=OLD,
    )  # fmt: skip
    return replace(made, **fields)  # type: ignore[arg-type]


def facts(me: Report, *others: Report, **fields: object) -> Facts:
    made = Facts("galera", me, Expect(3), "nonce", True, State(identity=OLD), others)
    return replace(made, **fields)  # type: ignore[arg-type]


def held(*nodes: str) -> tuple[NodeRecord, ...]:
    return tuple(NodeRecord(node, f"disk-{node}", held=True) for node in nodes)


def view(seqno: int, *members: str, generation: str = "g1") -> View:
    return View(generation, seqno, members)


def test_a_tainted_last_member_does_not_let_an_outsider_that_is_behind_win() -> None:
    # a, synced by a full transfer whose taint its frozen agent never cleared, was alone at the end;
    # b, which left before, holds what c, which crashed earlier, does not.
    last = view(8, "a")
    a = report("a", None, data=Data.TAINTED, problem="a state transfer into it was cut off", view=last)
    c = report("c", 5, view=view(4, "b", "c"))
    made = decide(facts(c, a, state=State(identity=OLD, view=last), nodes=held("a", "b", "c")))
    assert isinstance(made.action, rules.Wait)
    assert "b" in made.sentence and "seqno 8" in made.sentence
    b = report("b", 7, view=view(6, "a", "b"))
    made = decide(facts(c, a, b, state=State(identity=OLD, view=last), nodes=held("a", "b", "c")))
    assert "b is the most advanced" in made.sentence


def test_commits_that_the_last_view_lost_are_looked_for_at_those_who_had_left() -> None:
    # c noted its view on disk before what it had committed was there; b had left with a higher position
    last = view(7, "c")
    c = report("c", 3, view=last)
    joining = report("b", None, server=Server.STARTING, view=view(5, "b", "c"))
    made = decide(facts(c, joining, nodes=held("b", "c"), state=State(identity=OLD, view=last)))
    assert isinstance(made.action, rules.Wait) and "b" in made.sentence


def test_a_position_below_a_recorded_view_does_not_wait_for_ever() -> None:
    # all that ever held data have spoken: the highest position starts, although the view began later
    last = view(14, "a", "b")
    a, b = report("a", 9, view=last), report("b", 10, view=last)
    made = decide(facts(b, a, nodes=held("a", "b"), state=State(identity=OLD, view=last)))
    assert isinstance(made.action, rules.Change) and made.action.state.claim is not None


def test_a_recorded_bootstrap_is_confirmed_from_the_stamps_of_those_who_joined_it() -> None:
    # the registry was wiped after b had won the swap without an answer and a had joined
    b = report("b", 22, attempt=Attempt("g2", Position(UUID, 20), "galera-g2"))
    a = report("a", 15, identity=NEW)
    made = decide(facts(b, a, state=State()))
    assert made.action == rules.Confirm(NEW)
    assert history.estranged(b, NEW) is None
    assert history.candidate(b, NEW)
    running = replace(b, server=Server.UP, cluster_status="Primary", local_state=4)
    assert decide(facts(running, a, state=State(), attempting=True)).action == rules.Confirm(NEW)


def test_a_survivor_of_an_older_generation_stops_to_join_anew() -> None:
    leader = report(
        "b", 25, identity=NEW, server=Server.UP, cluster_status="Primary", local_state=4, opened=True,
        view=view(21, "b", generation="g2"),
    )  # fmt: skip
    state = State(identity=NEW, view=view(21, "b", generation="g2"))
    survivor = report("a", 18, server=Server.UP, cluster_status="non-Primary", view=view(12, "a", "b"))
    made = decide(facts(survivor, leader, state=state, was_primary=True, nodes=held("a", "b")))
    assert isinstance(made.action, rules.Stop)
    joiner = report("a", None, server=Server.STARTING)
    assert isinstance(decide(facts(joiner, leader, state=state)).action, rules.Stop)


def test_joiners_take_their_state_transfers_one_after_another() -> None:
    leader = report(
        "a", 9, server=Server.UP, cluster_status="Primary", local_state=4, opened=True, live=True, view=view(4, "a")
    )
    first = report("b", None, server=Server.STARTING, data=Data.EMPTY, role="joiner", server_pid=7)
    me = report("c", None, data=Data.EMPTY, identity=None)
    assert isinstance(decide(facts(me, leader, first)).action, rules.Wait)
    giving = replace(leader, view=view(8, "a", "b"), local_state=2)
    assert isinstance(decide(facts(me, giving, first)).action, rules.Wait)  # entering now would end b's transfer
    done = replace(first, server=Server.UP, cluster_status="Primary", local_state=4)
    assert isinstance(decide(facts(me, giving, done)).action, rules.Join)


def test_a_joiner_that_was_told_a_view_and_has_no_data_yet_is_still_joining() -> None:
    joiner = report("a", None, server=Server.STARTING, view=view(9, "a", "b"))
    made = decide(facts(joiner, report("b", 8), was_primary=True, unserved=UNSERVED))
    assert isinstance(made.action, rules.Stop)
    assert "join" in made.sentence


def test_a_disk_that_never_held_data_is_believed_after_the_registry_was_wiped() -> None:
    last = view(4, "a", "b")
    a = report("a", 4, view=last)
    cut_off = report("b", None, data=Data.EMPTY, held=False, view=last)
    made = decide(facts(a, cut_off, report("c", None, data=Data.EMPTY, identity=None, held=False), state=State()))
    assert isinstance(made.action, rules.Change), made.sentence
    new_disk = report("b", None, data=Data.EMPTY, identity=None, held=False, view=None)
    made = decide(facts(a, new_disk, report("c", None, data=Data.EMPTY, identity=None, held=False), state=State()))
    assert isinstance(made.action, rules.Wait) and "b" in made.sentence


def test_a_claim_names_all_whose_word_counted() -> None:
    last = view(14, "a")
    a, b = report("a", 9, view=last), report("b", 10, view=view(12, "a", "b"))
    claim = Claim("b", "boot-b", "n", Position(UUID, 10), ("a", "b", "c"))
    c = report("c", 8, view=view(5, "a", "b", "c"))
    made = decide(facts(b, a, c, nodes=held("a", "b", "c"), state=State(identity=OLD, view=last, claim=claim)))
    assert "waiting for a and c to acknowledge" in made.sentence


def test_two_histories_on_the_disks_are_refused_by_all() -> None:
    other = Identity(UUID, (FIRST, Generation("g3", 8, "c", "galera-g3")))
    made = decide(facts(report("a", identity=NEW), report("b", identity=other), state=State(identity=OLD)))
    assert isinstance(made.action, rules.Refuse)
    assert "Two histories of this cluster are on the disks" in made.sentence
    assert made.remedy is not None and "galerist recover" in made.remedy


def test_a_first_start_does_not_bury_what_a_lost_disk_held() -> None:
    empty = {"data": Data.EMPTY, "identity": None, "uuid": "", "held": False}
    a, b, c = (report(node, None, **empty) for node in "abc")
    made = decide(facts(a, b, c, state=State(), nodes=held("b")))
    assert isinstance(made.action, rules.Refuse)
    assert "b once held data and now reports a new disk; an empty start would bury" in made.sentence
    assert made.remedy is not None and "galerist forget b" in made.remedy


def test_a_primary_server_that_has_told_no_view_is_waited_for() -> None:
    me = report("a", server=Server.UP, cluster_status="Primary", local_state=4, view=None)
    made = decide(facts(me, report("b")))
    assert isinstance(made.action, rules.Wait)
    assert "waiting for the server to report its view" in made.sentence


def test_a_bootstrap_that_finds_itself_among_others_is_ended() -> None:
    attempt = Attempt("n", Position(UUID, 10), "galera-n")
    me = report(
        "a", server=Server.UP, cluster_status="Primary", local_state=4, attempt=attempt,
        view=view(12, "a", "b", generation="n"),
    )  # fmt: skip
    claim = Claim("a", "boot-a", "n", Position(UUID, 10), ("a", "b"))
    made = decide(facts(me, report("b"), state=State(identity=OLD, claim=claim), attempting=True))
    assert isinstance(made.action, rules.Stop)
    assert "not in the Primary Component that was to be bootstrapped" in made.sentence


def test_a_node_that_cannot_be_judged_may_hold_what_the_last_view_lost() -> None:
    last = view(20, "a")
    a = report("a", 9, view=last)
    b = report(
        "b", 15, problem="1 XA transaction(s) prepared by a user wait for COMMIT or ROLLBACK", view=view(5, "a", "b")
    )
    made = decide(facts(a, b, nodes=held("a", "b"), state=State(identity=OLD, view=last)))
    assert isinstance(made.action, rules.Refuse)
    assert "b may hold the commits between, but it can be no candidate: 1 XA" in made.sentence


def test_a_new_disk_does_not_count_as_a_report_of_what_the_last_view_lost() -> None:
    last = view(20, "a")
    a = report("a", 9, view=last)
    b = report("b", None, data=Data.EMPTY, identity=None, disk="another", held=False)
    made = decide(facts(a, b, nodes=held("a", "b"), state=State(identity=OLD, view=last)))
    assert isinstance(made.action, rules.Wait)
    assert "waiting for b to report, since the commits between may be there" in made.sentence


def test_who_joined_a_generation_and_received_nothing_of_it_does_not_go_before_an_older_node_that_has_more() -> None:
    """Seed 1002648 of the simulation: the node that formed g2 was forgotten; b had entered g2 with its old data, and
    c, which never did, holds commits that b lacks."""
    b = report("b", 3, identity=NEW, view=view(24, "b", generation="g2"))
    c = report("c", 18)
    state = State(identity=NEW, view=view(24, "b", generation="g2"))
    made = decide(facts(b, c, state=state, nodes=held("b", "c")))
    assert isinstance(made.action, rules.Wait) and made.sentence.startswith("c is the most advanced (seqno 18)")
    made = decide(facts(c, b, state=state, nodes=held("b", "c")))
    assert isinstance(made.action, rules.Change) and made.action.state.claim is not None
    strange = report("c", 21)  # beyond the beginning of g2, which it was not in
    assert isinstance(decide(facts(b, strange, state=state, nodes=held("b", "c"))).action, rules.Change)
    ahead = report("b", 20, identity=NEW, view=view(24, "b", generation="g2"))
    assert isinstance(decide(facts(ahead, c, state=state, nodes=held("b", "c"))).action, rules.Change)


def test_while_commits_may_lie_elsewhere_a_server_that_runs_elsewhere_is_waited_for() -> None:
    # d left before the last view, and runs without a Primary Component; it has never been a candidate (it is tainted)
    a, b = report("a", 5, view=view(12, "a", "b")), report("b", 5, view=view(12, "a", "b"))
    d = report("d", None, data=Data.TAINTED, server=Server.UP, cluster_status="non-Primary")
    made = decide(facts(a, b, d, state=State(identity=OLD, view=view(12, "a", "b")), nodes=held("a", "b")))
    assert isinstance(made.action, rules.Wait) and "the server of d to stop" in made.sentence


# -- rule 7 ----------------------------------------------------------------------------------


def survivor(seqno: int = 12, **fields: object) -> Report:
    running = report(
        "a", seqno, server=Server.UP, cluster_status="non-Primary", opened=False, live=True, view=view(4, "a", "b", "c")
    )
    return replace(running, **fields)  # type: ignore[arg-type]


STATE = State(identity=OLD, view=view(4, "a", "b", "c"))


def test_a_drained_node_leaves_flow_control_when_its_clients_are_gone_and_comes_back() -> None:
    alive = {"server": Server.UP, "cluster_status": "Primary", "local_state": 4, "opened": True, "live": True}
    me, *others = (report(node, 12, view=STATE.view, **alive) for node in "abc")
    drained = replace(STATE, drained=("a",))

    def decided(me: Report, state: State, **fields: object) -> rules.Decision:
        return decide(facts(me, *others, state=state, nodes=held("a", "b", "c"), **fields))

    assert isinstance(decided(me, STATE).action, rules.Serve)
    waits = decided(me, drained, leading=("p1", "p2"))
    assert isinstance(waits.action, rules.Serve) and "p1 and p2 still" in waits.sentence
    assert decided(me, drained).action == rules.Desync(on=True)
    restarting = replace(drained, restart=Restart(("a",), "jo", drained="a"))
    assert isinstance(decided(me, restarting).action, rules.Serve), "not for the minute of a restart"
    out = replace(me, desync=True, local_state=2)
    assert "nobody waits for it" in decided(out, drained, desynced=True).sentence
    assert decided(out, STATE, desynced=True).action == rules.Desync(on=False)
    assert isinstance(decided(out, STATE).action, rules.Serve), "what a person has set by hand stays"
    joined = replace(me, local_state=3)
    assert isinstance(decided(joined, drained).action, rules.Serve), "not in the middle of a state transfer"


def test_a_survivor_claims_closes_and_is_promoted_once_all_have_acknowledged() -> None:
    me, others = survivor(opened=True), (report("b", 12), report("c", 9))
    made = decide(facts(me, *others, state=STATE, was_primary=True))
    assert isinstance(made.action, rules.Change) and made.action.state.claim is not None
    claim = made.action.state.claim
    assert (claim.node, claim.position, claim.needs) == ("a", Position(UUID, 12), ("a", "b", "c"))
    claimed = replace(STATE, claim=claim)
    waits = decide(facts(me, *others, state=claimed, was_primary=True))
    assert isinstance(waits.action, rules.Wait) and "b and c" in waits.sentence
    acked = tuple(replace(other, ack=claim.nonce) for other in others)
    assert isinstance(decide(facts(me, *acked, state=claimed, was_primary=True)).action, rules.Close)
    made = decide(facts(replace(me, opened=False), *acked, state=claimed, was_primary=True))
    assert made.action == rules.Promote(claim, "galera-nonce", ("b:4567", "c:4567"))
    moved = decide(facts(survivor(13), *acked, state=claimed, was_primary=True))
    assert isinstance(moved.action, rules.Change), "it is not promoted from another position than it has claimed"


def test_a_survivor_that_is_behind_stops() -> None:
    made = decide(facts(survivor(8), report("b", 12), report("c", 9), state=STATE, was_primary=True))
    assert isinstance(made.action, rules.Stop)


def test_of_two_survivors_the_most_advanced_stays() -> None:
    other = survivor(13, node="b")
    down = report("c", 9)
    assert isinstance(decide(facts(survivor(12), other, down, state=STATE, was_primary=True)).action, rules.Stop)
    made = decide(facts(other, survivor(12), down, state=STATE, was_primary=True))
    assert isinstance(made.action, rules.Wait) and "still runs" in made.sentence


def test_a_hung_peer_is_no_evidence_for_a_survivor() -> None:
    hung = report("b", 12, server=Server.UP, cluster_status="Unknown")
    made = decide(facts(survivor(), hung, report("c", 9), state=STATE, was_primary=True, non_primary=99.0))
    assert isinstance(made.action, rules.Wait) and "waiting for b" in made.sentence


def test_the_last_of_a_view_need_not_wait_for_galera_to_notice() -> None:
    me = survivor(cluster_status="Primary", local_state=4, opened=True)
    down = (report("b", 12), report("c", 9))
    state = replace(STATE, view=me.view)
    fields = {"state": state, "was_primary": True, "nodes": held("a", "b", "c")}
    assert isinstance(decide(facts(me, *down, **fields, bereft=0.5)).action, rules.Serve)
    assert isinstance(decide(facts(me, *down, **fields, bereft=1.5)).action, rules.Change)
    assert bereft(me, down)
    assert not bereft(me, (down[0], replace(down[1], server=Server.UP)))
    assert not bereft(me, down[:1]) and not bereft(replace(me, view=view(9, "a")), down)


def test_nobody_joins_a_primary_component_that_has_lost_its_quorum() -> None:
    dying = survivor(cluster_status="Primary", local_state=4, opened=True)
    me, other = report("b", 12), report("c", 9)
    assert isinstance(decide(facts(me, dying, other, state=STATE)).action, rules.Wait)
    alive = replace(other, server=Server.UP, cluster_status="Primary", local_state=4, view=dying.view)
    assert isinstance(decide(facts(me, dying, alive, state=STATE)).action, rules.Join)


def test_a_claim_that_is_not_needed_any_more_is_given_up() -> None:
    me = survivor(cluster_status="Primary", local_state=4, opened=True, view=view(14, "a", "b", "c"))
    state = State(OLD, me.view, Claim("a", "boot-a", "x", Position(UUID, 12), ("a",)))
    made = decide(facts(me, state=state, nodes=held("a")))
    assert isinstance(made.action, rules.Change) and made.action.state.claim is None


def test_a_server_that_cannot_be_made_primary_is_ended() -> None:
    attempt = Attempt("x", Position(UUID, 12), "galera-x")
    state = replace(STATE, claim=Claim("a", "boot-a", "x", Position(UUID, 12), ("a",)))
    me = survivor(cluster_status="Disconnected", attempt=attempt)
    assert isinstance(decide(facts(me, state=state, attempting=True, attempted=5.0)).action, rules.Wait)
    assert isinstance(decide(facts(me, state=state, attempting=True, attempted=30.0)).action, rules.Stop)
    donor = replace(me, cluster_status="Primary", local_state=2)  # it lost its joiner while it was without quorum
    assert isinstance(decide(facts(donor, state=state, attempting=True, attempted=5.0)).action, rules.Wait)
    assert isinstance(decide(facts(donor, state=state, attempting=True, attempted=30.0)).action, rules.Stop)


def test_only_a_disk_that_has_been_in_a_view_is_vouched_for() -> None:
    live = {
        "server": Server.UP,
        "live": True,
        "cluster_status": "Primary",
        "local_state": 4,
        "opened": True,
        "held": True,
    }
    entered = view(8, "a", "b")
    me = report("a", view=entered, **live)
    state = State(identity=OLD, view=entered)
    new = report("b", None, disk="new", server=Server.STARTING, data=Data.EMPTY, cluster_status="Disconnected")
    given = {"state": state, "nodes": held("a", "b")}

    def vouched(other: Report) -> bool:
        return isinstance(decide(facts(me, other, **given)).action, rules.Vouch)

    assert not vouched(new), "the name in the view may be the former server's"
    assert not vouched(replace(new, view=view(9, "a", "b"))), "this server has not committed what came before"
    assert not vouched(replace(new, view=view(7, "a", "b"))), "the former disk may have been in place again since"
    assert not vouched(replace(new, view=view(8, "a", "b", generation="g0")))
    assert not vouched(replace(new, view=view(8, "a", "b"), server=Server.DOWN))
    assert vouched(replace(new, view=view(8, "a", "b")))
    same = replace(new, disk="disk-b", view=view(8, "a", "b"))
    assert not vouched(same)
    assert vouched(replace(same, data=Data.TAINTED)), "a full transfer overwrites what it held"


def test_a_joiner_that_was_told_its_first_view_neither_records_it_nor_vouches() -> None:
    entered = view(8, "a", "b", "c")
    joiner = {"server": Server.UP, "live": True, "cluster_status": "Primary", "local_state": 1, "view": entered}
    new = report("b", None, disk="new", server=Server.STARTING, data=Data.EMPTY, view=entered)
    for recorded in (entered, view(6, "a", "c")):
        given = {"state": State(identity=OLD, view=recorded), "nodes": held("a", "b")}
        assert isinstance(decide(facts(report("a", 5, **joiner), new, **given)).action, rules.Wait)
        member = report("a", 8, **{**joiner, "local_state": 4})
        done = decide(facts(member, new, **given)).action
        if recorded == entered:
            assert done == rules.Vouch(NodeRecord("b", "new", held=False))
        else:
            assert isinstance(done, rules.Change) and done.state.view == entered and done.flush


def test_a_disk_that_was_in_a_former_view_is_no_evidence_once_another_one_held_data() -> None:
    last = view(8, "a", "b")
    known = {"state": State(identity=OLD, view=last), "nodes": (*held("a"), NodeRecord("b", "mounted", held=True))}
    me = report("a", 8, view=last)
    folder = report("b", None, data=Data.EMPTY, disk="folder under the mount", view=view(6, "a", "b"), held=False)
    for data in (Data.EMPTY, Data.TAINTED):
        other = replace(folder, data=data)
        assert "b has come back with" in decide(facts(me, other, **known)).sentence
        assert isinstance(decide(facts(me, replace(other, view=last), **known)).action, rules.Change), (
            "it replaced it there"
        )
    away = {"state": State(identity=OLD, view=view(20, "a")), "nodes": known["nodes"]}
    behind = decide(facts(report("a", 8, view=view(20, "a")), replace(folder, data=Data.TAINTED), **away))
    assert "waiting for b to report, since the commits between may be there" in behind.sentence
