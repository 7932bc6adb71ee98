"""Rule 7: a server that runs outside of any Primary Component."""

from __future__ import annotations

from bootstrap import history, obey
from bootstrap.decisions import Decision, Stop, Wait
from bootstrap.facts import Facts
from bootstrap.words import listed, seen, stage
from galerist.model import Identity, Server, newest

UNSERVED = 10.0
"""Seconds without any Primary member in sight after which a joining server is stopped."""


NON_PRIMARY = 10.0
"""Seconds a server stays non-Primary, with all others reported, before it is stopped
so that the restart rule applies. Galera re-forms by itself within that time if it can."""


def without_quorum(facts: Facts, known: Identity | None) -> Decision:
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
        # A joiner is told its first view before it has any data: until it answers, it is still joining.
        if not serving and facts.unserved >= UNSERVED:
            return Decision(
                Stop(), "Nobody is Primary any more; stopping the join, so that this node can be judged with the others.",
                evidence=seen(facts.all), role="joiner",
            )  # fmt: skip
        return Decision(
            Wait(), f"Joining{stage(me)}.", evidence=seen(facts.all), remedy="galerist list", role="joiner",
        )  # fmt: skip
    if serving:
        return Decision(
            Wait(), f"This server has lost the Primary Component, which lives on at {listed(r.node for r in serving)}; it returns by itself once the network lets it.",
            evidence=seen(facts.all), remedy=f"check that {me.endpoint.host}:{me.endpoint.gcomm_port} and the other members' ports reach one another", role="non-primary",
        )  # fmt: skip
    view = facts.state.view
    for report in facts.all:
        view = newest(view, report.view, known.generations if known is not None else ())
    members = view.members if view is not None else ()
    by_name = {report.node: report for report in facts.all}
    missing = tuple(
        name
        for name in members
        if name not in by_name or by_name[name].primary or by_name[name].server is Server.STARTING
    )
    if missing or not members:
        return Decision(
            Wait(), f"No quorum: waiting for {listed(missing) or 'the last view'}, which may have gone on as the Primary Component.",
            evidence=seen(facts.all), remedy=f"start {listed(missing)}, or if it is lost for good: galerist recover --node NODE", role="non-primary",
        )  # fmt: skip
    if facts.non_primary < NON_PRIMARY and all(by_name[name].server is Server.UP for name in members):
        return Decision(
            Wait(),
            "No quorum, and all members have reported; giving Galera time to re-form by itself.",
            role="non-primary",
        )
    return Decision(
        Stop(), "No quorum, and all members of the last view have reported: stopping, so that the most advanced can start the next generation.",
        evidence=seen(facts.all), role="non-primary",
    )  # fmt: skip
