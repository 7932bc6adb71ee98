"""Wrong variants of the protocol, by name. Each replaces a few functions of the real code, or of
what the node or the server does for it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from bootstrap import agent as agents
from bootstrap import decisions as rules
from bootstrap import exchange, forming, history, joining, obey, running, unserved
from bootstrap.decide import decide
from bootstrap.decisions import Decision
from bootstrap.facts import Facts
from galerist.model import Claim, Data, Position, Report, Server, State
from tests.simulation import galera
from tests.simulation.node import SimNode

Patch = tuple[Any, str, Any]


@dataclass(frozen=True)
class Mutant:
    """``line``: the case of the table "Peers get it wrong", or the rule, that it gets wrong."""

    name: str
    line: str
    patches: Callable[[], list[Patch]]


MUTANTS: list[Mutant] = []


def mutant(line: str) -> Callable[[Callable[[], list[Patch]]], Callable[[], list[Patch]]]:
    def register(patches: Callable[[], list[Patch]]) -> Callable[[], list[Patch]]:
        MUTANTS.append(Mutant(patches.__name__, line, patches))
        return patches

    return register


# -- building blocks ---------------------------------------------------------------------------


def deciding(before: Callable[[Facts], Facts | Decision]) -> list[Patch]:
    """``decide`` sees other facts, or is overruled."""
    real = decide

    def wrong(facts: Facts) -> Decision:
        seen = before(facts)
        return seen if isinstance(seen, Decision) else real(seen)

    return [(agents, "decide", wrong)]


def unasked() -> list[Patch]:
    """A node records its own bootstrap whatever has become of its claim."""
    real = running._attempt

    def attempt(facts: Facts) -> Decision:
        mine = facts.me.attempt
        assert mine is not None
        claim = Claim(facts.me.node, facts.me.boot, mine.nonce, mine.position, ())
        return real(replace(facts, state=replace(facts.state, claim=claim)))

    return [(running, "_attempt", attempt)]


def seize(facts: Facts) -> Decision:
    """Start the Primary Component on one's own authority."""
    claim = Claim(facts.me.node, facts.me.boot, facts.nonce, history.standing(facts.me, facts.state.identity), ())
    return Decision(rules.Bootstrap(claim, f"{facts.cluster}-{claim.nonce}"), "It seems that nobody else is there.")


def alone(facts: Facts) -> bool:
    me = facts.me
    ready = me.data is Data.EMPTY or (me.data is Data.PRESENT and me.position is not None)
    return (me.server is Server.DOWN or facts.taken_back) and ready


def filtered(facts: Facts, view_of: Callable[[Any], Any]) -> Facts:
    """The same facts with every view changed."""
    others = tuple(replace(r, view=view_of(r.view)) for r in facts.others)
    me = facts.me if facts.me.primary else replace(facts.me, view=view_of(facts.me.view))
    return replace(facts, me=me, others=others, state=replace(facts.state, view=view_of(facts.state.view)), nodes=())


# -- the table "Peers get it wrong" --------------------------------------------------------------


@mutant("two nodes start first at the same moment")
def no_members_means_i_am_first() -> list[Patch]:
    def before(facts: Facts) -> Facts | Decision:
        if (
            facts.answered
            and facts.state.identity is None
            and facts.me.identity is None
            and not facts.others
            and alone(facts)
        ):
            return seize(facts)
        return facts

    return deciding(before) + unasked()


@mutant("empty node starts first after an outage")
def empty_node_bootstraps() -> list[Patch]:
    def before(facts: Facts) -> Facts | Decision:
        serving = any(report.primary for report in facts.others)
        if facts.answered and not serving and facts.me.data is Data.EMPTY and alone(facts):
            return seize(facts)
        return facts

    return deciding(before) + unasked()


@mutant("stale `safe_to_bootstrap: 1` with a lower seqno")
def a_hint_outranks_the_position() -> list[Patch]:
    def best(candidates: Any, identity: Any, claimed: Any) -> Report:
        return min(candidates, key=lambda report: report.node)

    return [(history, "best", best)]


@mutant("crash during SST, then total stop")
def half_copied_node_is_a_candidate() -> list[Patch]:
    real = SimNode._inspect

    def inspect(self: SimNode, disk: Any, stamp: Any) -> Any:
        if disk.taint and disk.stamp.identity is not None:
            return Data.PRESENT, Position(disk.stamp.identity.uuid, 1000), None
        return real(self, disk, stamp)

    return [(SimNode, "_inspect", inspect)]


@mutant("registry wiped, data on disks")
def wiped_registry_means_a_new_cluster() -> list[Patch]:
    def before(facts: Facts) -> Facts | Decision:
        if (
            facts.answered
            and facts.state == State()
            and facts.me.data is Data.PRESENT
            and not facts.others
            and alone(facts)
        ):
            return seize(facts)
        return facts

    return deciding(before) + unasked()


@mutant("registry restored from an old backup")
def stale_reports_count() -> list[Patch]:
    real = forming.lead

    def lead(facts: Facts, *rest: Any) -> Decision:
        claim = facts.state.claim
        nonce = claim.nonce if claim is not None else None
        return real(replace(facts, others=tuple(replace(r, ack=nonce) for r in facts.others)), *rest)

    return [(forming, "lead", lead)]


@mutant("name look-up of the peers fails")
def no_answer_means_nobody_is_there() -> list[Patch]:
    def before(facts: Facts) -> Facts | Decision:
        if not facts.answered and facts.me.data is Data.PRESENT and alone(facts):
            return seize(facts)
        return facts

    return deciding(before) + unasked()


@mutant("one of three is lost for good after a total stop")
def the_missing_are_given_up() -> list[Patch]:
    def before(facts: Facts) -> Facts | Decision:
        have = {report.node for report in facts.all}

        def view_of(view: Any) -> Any:
            return replace(view, members=tuple(m for m in view.members if m in have)) if view is not None else None

        return filtered(facts, view_of) if facts.me.server is Server.DOWN else facts

    return deciding(before)


@mutant("two of three crash and come back while one survives")
def survivor_counts_for_nothing() -> list[Patch]:
    def before(facts: Facts) -> Facts | Decision:
        gone = {r.node for r in facts.others if r.server is not Server.DOWN and not r.primary}

        def view_of(view: Any) -> Any:
            return replace(view, members=tuple(m for m in view.members if m not in gone)) if view is not None else None

        if facts.me.server is not Server.DOWN or not gone:
            return facts
        return replace(filtered(facts, view_of), others=tuple(r for r in facts.others if r.node not in gone))

    return deciding(before)


@mutant("a node returns that was written on after the others had been re-bootstrapped")
def numbers_only() -> list[Patch]:
    return [(history, "estranged", lambda report, identity: None)]


@mutant("IP addresses change while all are down")
def addresses_are_remembered() -> list[Patch]:
    first: dict[str, str] = {}

    def addresses(reports: Any) -> tuple[str, ...]:
        for report in reports:
            first.setdefault(report.node, f"{report.endpoint.host}:{report.endpoint.gcomm_port}")
        return tuple(first[report.node] for report in reports)

    return [(joining, "addresses", addresses)]


@mutant("two PCs exist already")
def any_primary_is_the_primary() -> list[Patch]:
    def before(facts: Facts) -> Facts | Decision:
        me = facts.me
        known = me.identity is not None and me.view is not None and history.has(me.identity, me.view.generation)
        if facts.answered and me.synced and not me.opened and not known and me.attempt is None:
            return Decision(rules.Open(), "Synced: opening.")
        return facts

    return deciding(before)


@mutant("the agent dies, its server lives")
def no_adoption() -> list[Patch]:
    return [(SimNode, "_adopt", lambda self: None)]


@mutant("the holder of the claim is frozen and wakes up late")
def no_nonce() -> list[Patch]:
    def acknowledged(facts: Facts, *rest: Any) -> Decision:
        claim = facts.state.claim
        nonce = claim.nonce if claim is not None else None
        others = tuple(replace(r, ack=nonce) if r.ack is not None else r for r in facts.others)
        return real(replace(facts, others=others), *rest)

    real = forming.lead
    return [(forming, "lead", acknowledged), *unasked()]


@mutant("registry down while the cluster is healthy")
def no_registry_no_service() -> list[Patch]:
    def before(facts: Facts) -> Facts | Decision:
        if not facts.answered and facts.me.server is Server.UP:
            return Decision(rules.Stop(), "The registry does not answer: stopping.")
        return facts

    return deciding(before)


# -- the rules -----------------------------------------------------------------------------------


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
    return [(forming, "_blind", lambda facts: set())]


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
