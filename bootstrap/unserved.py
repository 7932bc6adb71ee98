"""Rule 7: a server that runs outside of any Primary Component."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from bootstrap import forming, history, joining, obey
from bootstrap.decisions import Bootstrap, Change, Close, Decision, Promote, Stop, Wait
from bootstrap.facts import UNKNOWN, Facts
from bootstrap.forming import Elected
from bootstrap.words import listed, seen, stage
from galerist.model import Identity, Report, Server

UNSERVED = 10.0
"""Seconds without any Primary member in sight after which a joining server is stopped, with or without evidence."""

NON_PRIMARY = 10.0
"""Seconds for which non-Primary servers that have all reported, and all run, are left to Galera,
which forms anew by itself when they reach one another."""


BEREFT = 1.0
"""Seconds for which all others of a Primary view must have been reported down, before its last server believes it."""


def ghost(report: Report, facts: Facts) -> bool:
    """Whether so many members of this Primary member's view are down that it must lose its quorum. Galera needs
    seconds to notice; whoever joins meanwhile is caught in a component that is no more."""
    view = report.view
    if view is None:
        return False
    down = [other for other in facts.all if other.node in view.members and other.server is Server.DOWN]
    if facts.taken_back and facts.me.node in view.members:
        down.append(facts.me)
    return 2 * len(down) >= len(view.members) + len(view.arbitrators)


def bereft(me: Report, others: Iterable[Report]) -> bool:
    """Whether this server is Primary only because Galera has not noticed yet that all others of its view are down."""
    view = me.view
    if not me.primary or view is None or view.arbitrators or view.members == (me.node,):
        return False
    down = {report.node for report in others if report.server is Server.DOWN}
    return all(name in down for name in view.members if name != me.node)


def last_of_view(facts: Facts, known: Identity) -> Decision | None:
    """Galera's own verdict, that this server has lost its quorum, need not be waited for: what asks for acknowledgements
    goes ahead. It is not stopped on hearsay (None), since reports out of a backup say the same."""
    me = replace(facts.me, cluster_status="non-Primary", local_state=0)
    found = without_quorum(replace(facts, me=me, was_primary=True), known)
    return None if isinstance(found.action, Stop) else found


def without_quorum(facts: Facts, known: Identity | None) -> Decision:
    """What to do with a server that is not Primary."""
    me = facts.me
    if obey.forced(facts) is not None:
        return Decision(
            Stop(), "A start by order is under way: stopping the server that is not Primary.", role="non-primary"
        )
    serving = tuple(r for r in facts.others if known is not None and history.serves(r, known))
    if (
        serving
        and known is not None
        and (me.identity is None or me.identity.generations[-1:] != known.generations[-1:])
    ):
        return Decision(
            Stop(), f"The others have formed a new generation without this server ({listed(r.node for r in serving)}), which cannot merge into it: stopping, to join anew.",
            evidence=seen(facts.all), role="non-primary",
        )  # fmt: skip
    if not facts.was_primary or me.server is Server.STARTING:
        return _joining(facts, known, serving)
    if serving:
        return Decision(
            Wait(), f"This server has lost the Primary Component, which lives on at {listed(r.node for r in serving)}; it returns by itself once the network lets it.",
            evidence=seen(facts.all), remedy=f"check that {me.endpoint.host}:{me.endpoint.gcomm_port} and the other members' ports reach one another", role="non-primary",
        )  # fmt: skip
    view = forming.last_view(facts, known) if known is not None else facts.state.view
    members = view.members if view is not None else ()
    by_name = {report.node: report for report in facts.all}
    missing = tuple(name for name in members if name not in by_name or not _gone(by_name[name]))
    if missing or not members or known is None:
        return Decision(
            Wait(), f"No quorum: waiting for {listed(missing) or 'the last view'}, which may have gone on as the Primary Component.",
            evidence=seen(facts.all), remedy=f"start {listed(missing)}, or if it is lost for good: galerist recover --node NODE", role="non-primary",
        )  # fmt: skip
    if facts.non_primary < NON_PRIMARY and all(by_name[name].server is Server.UP for name in members):
        return Decision(
            Wait(),
            "No quorum, and all members have reported; giving Galera time to re-form by itself.",
            evidence=seen(facts.all),
            role="non-primary",
        )
    return _survive(facts, known, members)


def _gone(report: Report) -> bool:
    """Evidence that this node's server is in no Primary Component: it says so itself. A hung one says nothing."""
    if report.server is Server.DOWN:
        return True
    return report.server is Server.UP and not report.primary and report.cluster_status != UNKNOWN


def _joining(facts: Facts, known: Identity | None, serving: tuple[Report, ...]) -> Decision:
    """A joiner is told its first view before it has any data: until it answers, it is still joining."""
    if not serving and (facts.unserved >= UNSERVED or _abandoned(facts, known)):
        return Decision(
            Stop(), "Nobody is Primary any more; stopping the join, so that this node can be judged with the others.",
            evidence=seen(facts.all), role="joiner",
        )  # fmt: skip
    return Decision(
        Wait(), f"Joining{stage(facts.me)}.", evidence=seen(facts.all), remedy="galerist list", role="joiner",
    )  # fmt: skip


def _abandoned(facts: Facts, known: Identity | None) -> bool:
    """All members of the last view have reported that they are not Primary, and one of them has lost its
    server since, so that Galera cannot re-form by itself: there is nobody to join."""
    view = forming.last_view(facts, known) if known is not None else None
    if view is None:
        return False
    others = {report.node: report for report in facts.others}
    if any(name not in others for name in view.members if name != facts.me.node):
        return False
    reports = [others[name] for name in view.members if name in others]
    lost = any(report.server is not Server.UP for report in reports)
    lost |= facts.me.node in view.members and not facts.was_primary
    return lost and all(_gone(report) or report.server is Server.STARTING for report in reports)


def _survive(facts: Facts, known: Identity, members: tuple[str, ...]) -> Decision:
    """All members of the last view have said that they are not Primary: the most advanced forms the next generation.

    If that is a server that runs, it does so in place, and keeps its process and caches. Of
    several the most advanced stays; the others stop, and so cannot merge behind its back.
    """
    me = facts.me
    staying = tuple(
        report
        for report in facts.all
        if report.server is Server.UP and report.node in members and _promotable(report, known)
    )
    keeper = history.best(staying, known, None) if staying else None
    elected = forming.elect(facts, known) if keeper is not None and keeper.node == me.node else None
    if elected is not None and not isinstance(elected, Elected):
        return replace(elected, role="non-primary")
    if elected is None or elected.best.node != me.node or facts.state.identity != known or not facts.others:
        return Decision(
            Stop(), "No quorum, and all members of the last view have reported: stopping, so that the most advanced can start the next generation.",
            evidence=seen(facts.all), role="non-primary",
        )  # fmt: skip
    return _promoted(facts, known, elected)


def _promotable(report: Report, known: Identity) -> bool:
    return history.candidate(report, known) and report.attempt is None


def _promoted(facts: Facts, known: Identity, elected: Elected) -> Decision:
    """Rule 6 for a server that runs: claim, wait for the acknowledgements, close it, look again, promote."""
    led = forming.lead(facts, elected, known)
    if isinstance(led.action, Bootstrap):
        if facts.me.opened:
            return Decision(
                Close(), "No quorum, and this server is the most advanced: closing it before it is promoted.",
                evidence=seen(facts.all), role="claimant",
            )  # fmt: skip
        return Decision(
            Promote(led.action.claim, led.action.cluster_name, joining.addresses(facts.others)),
            f"All of {listed(led.action.claim.needs)} are in no Primary Component and have acknowledged the claim: "
            f"promoting this server in place, at seqno {facts.me.position.seqno if facts.me.position else '?'}.",
            evidence=led.evidence,
            role="bootstrapper",
        )
    return led if isinstance(led.action, Change) else replace(led, role="non-primary")
