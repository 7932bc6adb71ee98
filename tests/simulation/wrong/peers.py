"""The table "Peers get it wrong"."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from bootstrap import decisions as rules
from bootstrap import forming, history, joining
from bootstrap.decisions import Decision
from bootstrap.facts import Facts
from galerist.model import Data, Position, Report, Server, State
from tests.simulation.node import SimNode
from tests.simulation.wrong.parts import Patch, alone, deciding, filtered, mutant, seize, unasked


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
