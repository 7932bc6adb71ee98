"""The rules of docs/protocol.md, each broken on purpose."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from bootstrap import agent as agents
from bootstrap import arbitrator, exchange, forming, history, obey, running, runs, unserved
from bootstrap import decisions as rules
from bootstrap.decide import decide
from bootstrap.decisions import Decision
from bootstrap.facts import Facts
from galerist.model import Claim, Report, Server, State
from tests.simulation import galera, node
from tests.simulation.node import SimNode
from tests.simulation.wrong.parts import Patch, deciding, filtered, mutant, unasked


@mutant("rule 1: silence is no evidence")
def hung_server_counts_as_down() -> list[Patch]:
    real = SimNode._running

    def still(self: SimNode, run: Any) -> Any:
        look = real(self, run)
        return replace(look, server=Server.DOWN, cluster_status="Disconnected") if run.frozen else look

    return [(SimNode, "_running", still)]


@mutant('rule 1: "not running" is taken back first')
def starts_before_it_says_so() -> list[Patch]:
    real = agents.Agent._take_back

    def take_back(self: agents.Agent) -> None:
        real(self)
        assert self.decision is not None and self.facts is not None
        self._act(self.decision, self.facts, None)

    return [(agents.Agent, "_take_back", take_back)]


@mutant("rule 2: all expected nodes")
def first_start_waits_for_nobody() -> list[Patch]:
    return [(forming, "complete", lambda facts: None), (history, "known", lambda recorded, reports: recorded)]


@mutant("rule 3: ahead waits")
def ahead_is_overwritten() -> list[Patch]:
    def before(facts: Facts) -> Facts | Decision:
        made = real(facts)
        if isinstance(made.action, rules.Wait) and ", ahead of what" in made.sentence:
            assert facts.state.identity is not None
            return Decision(rules.Join(facts.state.identity, (), True), "Ahead: joining by a full state transfer.")
        return made

    real = decide
    return deciding(before)


@mutant("rule 4: the whole closure reports")
def any_two_may_restart() -> list[Patch]:
    def before(facts: Facts) -> Facts | Decision:
        have = [report.node for report in facts.all]
        if facts.me.server is not Server.DOWN or len(have) < 2:
            return facts
        return filtered(facts, lambda view: replace(view, members=tuple(have)) if view is not None else None)

    return deciding(before)


@mutant("rule 4: a wiped disk is missing")
def a_wiped_disk_counts_as_reported() -> list[Patch]:
    return [(forming, "_blind", lambda *given: set())]


@mutant("rule 4: what the last view lost may lie elsewhere")
def the_last_view_is_enough() -> list[Patch]:
    return [(forming, "_short", lambda *given: None)]


@mutant("rule 4: no candidate, but perhaps ahead")
def a_node_that_cannot_be_judged_is_passed_over() -> list[Patch]:
    real = forming.restart

    def restart(facts: Facts, known: Any) -> Decision:
        bad = {r.node for r in facts.others if r.problem is not None}

        def view_of(view: Any) -> Any:
            return replace(view, members=tuple(m for m in view.members if m not in bad)) if view is not None else None

        return real(filtered(facts, view_of), known) if bad else real(facts, known)

    return [(forming, "restart", restart)]


@mutant("rule 5: the taint is set by the transfer, not by the decision to join")
def joining_taints() -> list[Patch]:
    real = SimNode.join

    def join(self: SimNode, identity: Any, peers: Any, full: bool) -> None:
        self.disk.taint = True
        real(self, identity, peers, full)

    return [(SimNode, "join", join)]


@mutant("rule 5: the taint is cleared when Synced, not before")
def the_taint_is_cleared_early() -> list[Patch]:
    real = SimNode.look

    def look(self: SimNode) -> Any:
        self.disk.taint = False
        return real(self)

    return [(SimNode, "look", look)]


@mutant("rule 6: open only when recorded")
def opens_when_synced() -> list[Patch]:
    def before(facts: Facts) -> Facts | Decision:
        if facts.attempting and facts.me.attempt is not None and facts.me.synced and not facts.me.opened:
            return Decision(rules.Open(), "Synced: opening.")
        return facts

    return deciding(before)


@mutant("rule 6: a bootstrap that was cut off has lost nothing")
def a_bootstrap_cut_off_makes_a_stranger() -> list[Patch]:
    return [(SimNode, "begun_from", lambda self, disk: None)]


@mutant("rule 7: a server that hangs in its end is killed")
def a_server_that_has_answered_is_never_killed() -> list[Patch]:
    def heard(waited: float, quiet: float, was_primary: bool, answered: bool) -> bool:
        return not (was_primary and answered) and runs.unheard(waited, quiet, was_primary, answered)

    return [(node, "unheard", heard)]


@mutant("rule 7: a stop is carried through")
def a_stop_is_forgotten_when_somebody_is_primary_again() -> list[Patch]:
    return [(SimNode, "carry_stop_through", lambda self, run: None)]


@mutant("rule 7: evidence, not silence")
def promotes_on_silence() -> list[Patch]:
    def before(facts: Facts) -> Facts | Decision:
        me = facts.me
        if facts.answered and facts.was_primary and me.server is Server.UP and me.cluster_status == "non-Primary":
            if me.opened:
                return Decision(rules.Close(), "No quorum: closing.")
            if me.attempt is None and me.position is not None:
                claim = Claim(me.node, me.boot, facts.nonce, me.position, ())
                return Decision(
                    rules.Promote(claim, f"{facts.cluster}-{claim.nonce}", ("x",)), "The others are silent."
                )
        return facts

    return deciding(before) + unasked()


@mutant("rule 7: the most advanced")
def a_survivor_goes_first() -> list[Patch]:
    real = history.best

    def best(candidates: Any, identity: Any, claimed: Any) -> Report:
        candidates = tuple(candidates)
        return real([r for r in candidates if r.server is not Server.DOWN] or candidates, identity, claimed)

    return [(history, "best", best)]


@mutant("rule 7: what the attempt says is on disk")
def promotes_without_a_flush() -> list[Patch]:
    return [(SimNode, "settle", lambda self, run: None)]


@mutant("rule 7: a promotion that fails is ended")
def a_promoted_donor_is_waited_for() -> list[Patch]:
    return [(running, "ATTEMPTED", 1e9)]


@mutant("rule 7: nobody merges behind the back of the promoted")
def promoted_under_the_old_name() -> list[Patch]:
    real = SimNode.promote

    def promote(self: SimNode, attempt: Any, peers: Any) -> None:
        assert self.run is not None
        real(self, replace(attempt, cluster_name=self.run.name), peers)

    return [(SimNode, "promote", promote)]


@mutant("rule 7: closed only once the others have acknowledged")
def closes_on_hearsay() -> list[Patch]:
    real = unserved._promoted

    def promoted(facts: Facts, *rest: Any) -> Decision:
        return Decision(rules.Close(), "No quorum: closing.") if facts.me.opened else real(facts, *rest)

    return [(unserved, "_promoted", promoted)]


@mutant("rule 11: an order waits for all who report")
def an_order_waits_for_nobody() -> list[Patch]:
    real = obey.ordered

    def ordered(facts: Facts, claim: Claim) -> Decision:
        others = tuple(replace(r, server=Server.DOWN, ack=claim.nonce) for r in facts.others)
        return real(replace(facts, others=others), replace(claim, needs=()))

    return [(obey, "ordered", ordered)]


@mutant("rule 11: an order is for one position")
def an_order_holds_for_any_position() -> list[Patch]:
    real = obey.ordered

    def ordered(facts: Facts, claim: Claim) -> Decision:
        return real(facts, replace(claim, position=history.standing(facts.me, facts.state.identity)))

    return [(obey, "ordered", ordered)]


@mutant("rule 11: a datadir is set aside only when its data live on elsewhere")
def begins_anew_at_once() -> list[Patch]:
    def reinit(facts: Facts) -> Decision | None:
        if all(record.node != facts.me.node or record.reinit != facts.me.disk for record in facts.nodes):
            return None
        return Decision(rules.SetAside(), "Beginning anew by order.")

    return [(obey, "reinit", reinit)]


@mutant("rule 11: paused agents decide nothing")
def a_pause_is_overheard() -> list[Patch]:
    return deciding(lambda facts: replace(facts, state=replace(facts.state, paused="")))


@mutant("rule 8: live components must not re-form behind our back")
def merges_under_the_old_name() -> list[Patch]:
    real = rules.Bootstrap

    class Same(real):  # type: ignore[misc, valid-type]
        def __init__(self, claim: Any, cluster_name: str) -> None:
            super().__init__(claim, "galera")

    return [(forming, "Bootstrap", Same)]


@mutant("rule 9: the server itself writes the view")
def only_the_agent_writes_views() -> list[Patch]:
    real = galera.Galera.record

    def record(self: galera.Galera, server: Any, view: Any) -> None:
        if self.agent_lives(server.number):
            real(self, server, view)

    return [(galera.Galera, "record", record)]


@mutant("rule 10: closed until the registry has recorded it")
def opens_without_the_registry() -> list[Patch]:
    def before(facts: Facts) -> Facts | Decision:
        if not facts.answered and facts.me.synced and not facts.me.opened:
            return Decision(rules.Open(), "Synced: opening.")
        return facts

    real = exchange.Exchange.put

    def put(self: exchange.Exchange, record: Any) -> bool:
        return real(self, record) if self.answered else True

    return [*deciding(before), (exchange.Exchange, "put", put)]


@mutant("rule 4: arbitrators are never waited for")
def arbitrators_are_waited_for() -> list[Patch]:
    real = forming.last_view

    def last_view(facts: Facts, known: Any) -> Any:
        view = real(facts, known)
        return replace(view, members=(*view.members, *view.arbitrators)) if view is not None else None

    return [(forming, "last_view", last_view)]


@mutant("arbitrator: is no Primary Component by itself")
def an_arbitrator_stays_when_all_have_left() -> list[Patch]:
    real = arbitrator.verdict

    def verdict(state: State, reports: Any, voting: str | None) -> Any:
        return real(state, tuple(r for r in reports if r.server is not Server.DOWN), voting)

    def stays(self: Any, state: State, reports: Any, voting: str | None, now: float) -> Any:
        found = verdict(state, reports, voting)
        return arbitrator.Verdict(arbitrator.Vote(voting, ()), "") if found.vote is None and voting else found

    return [(arbitrator.Voter, "decide", stays)]


@mutant("arbitrator: votes in the newest generation")
def an_arbitrator_keeps_its_group() -> list[Patch]:
    def stays(self: Any, state: State, reports: Any, voting: str | None, now: float) -> Any:
        return (
            arbitrator.Verdict(arbitrator.Vote(voting, ()), "")
            if voting
            else arbitrator.verdict(state, reports, voting)
        )

    return [(arbitrator.Voter, "decide", stays)]


@mutant("arbitrator: a vote is taken back on lasting evidence")
def a_vote_is_taken_back_at_once() -> list[Patch]:
    def at_once(self: Any, state: State, reports: Any, voting: str | None, now: float) -> Any:
        return arbitrator.verdict(state, reports, voting)

    return [(arbitrator.Voter, "decide", at_once)]
