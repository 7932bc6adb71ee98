"""What to do while the server of this node is down."""

from __future__ import annotations

from bootstrap import forming, history, joining, obey, unserved
from bootstrap.decisions import Ack, Decision, Recover, Refuse, Wait
from bootstrap.facts import Facts
from bootstrap.history import Conflict
from bootstrap.words import are, listed, seen, where
from galerist.model import Data


def stopped(facts: Facts) -> Decision:
    me = facts.me
    ordered = obey.reinit(facts)
    if ordered is not None:
        return ordered
    if me.data is Data.UNREADABLE:
        return Decision(
            Refuse(),
            f"The datadir of {me.node} cannot be examined: {me.problem}.",
            remedy="mend what the sentence names; the agent looks again by itself",
            role="refused",
        )
    if me.data is Data.PRESENT and me.position is None and me.problem is None:
        return Decision(
            Recover(), "The server was not stopped cleanly: asking InnoDB for its position.", role="recovering"
        )
    known = history.known(facts.state.identity, facts.all)
    confirmed = forming.confirmed(facts, known)
    if confirmed is not None:
        return confirmed
    forced = obey.forced(facts)
    if forced is not None:
        return obey.ordered(facts, forced)
    if isinstance(known, Conflict):
        return Decision(
            Refuse(),
            f"Two histories of this cluster are on the disks, and no software can tell which one counts: {known.text}.",
            remedy=f"galerist recover --node NODE --cluster {facts.cluster} (after looking at the data of both)",
            role="refused",
        )
    if not facts.answered:
        return joining.without_registry(facts, known)
    if known is not None:
        refusal = history.estranged(me, known)
        if refusal is not None:
            return Decision(
                Refuse(),
                f"Quarantined: {refusal}. Its files are left as they are.",
                evidence=(f"{me.node}: {where(me)}", f"cluster: {known.uuid}, generation {known.generations[-1].id}"),
                remedy=f"galerist reinit {me.node} (allows its datadir to be overwritten)",
                role="quarantined",
            )
        serving = tuple(r for r in facts.others if history.serves(r, known) and not unserved.ghost(r, facts))
        if serving:
            return joining.join(facts, known, serving)
    live = tuple(report.node for report in facts.others if report.primary and report.identity is not None)
    if live and facts.state.identity != known:
        return Decision(
            Wait(),
            f"{listed(live)} {are(live)} Primary; waiting for the cluster's identity to be written back into the registry.",
            evidence=seen(facts.others),
        )
    claim = facts.state.claim
    if claim is not None and claim.node != me.node and obey.holder_alive(claim, facts.others) and me.ack != claim.nonce:
        return Decision(
            Ack(claim.nonce), f"{claim.node} claims the bootstrap; acknowledged that {me.node} does not run."
        )
    if facts.failure is not None and facts.failure.wait > 0:
        return Decision(
            Wait(),
            facts.failure.sentence,
            remedy=facts.failure.remedy,
            role="failed",
        )
    if facts.state.identity is None:
        complete = forming.complete(facts)
        if complete is not None:
            return complete
        if known is None:
            return forming.first_start(facts)
    assert known is not None  # an identity in the registry is part of what is known
    return forming.restart(facts, known)
