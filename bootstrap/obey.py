"""Orders of people (rule 11) that stand in the registry, as the agents carry them out."""

from __future__ import annotations

from collections.abc import Iterable

from bootstrap import forming, history
from bootstrap.decisions import Ack, Bootstrap, Decision, Desync, Refuse, Serve, SetAside, Stop, Wait
from bootstrap.facts import Facts
from bootstrap.words import listed, seen, where
from galerist.model import Claim, Report, Server


def live_members(facts: Facts) -> tuple[Report, ...]:
    """The live members of the newest recorded generation's Primary Component."""
    recorded = facts.state.identity
    return tuple(report for report in facts.others if recorded is not None and history.serves(report, recorded))


def reinit(facts: Facts) -> Decision | None:
    """A person has allowed the datadir of this node to be set aside; that needs somebody to copy from."""
    me, recorded = facts.me, facts.state.identity
    if not facts.answered or all(record.node != me.node or record.reinit != me.disk for record in facts.nodes):
        return None
    if recorded is None or not live_members(facts):
        return None  # until somebody is Primary its data count as everybody's do
    # Also a newer view than the recorded one, of which some disk tells: at the next total stop it would ask for this one.
    view = forming.last_view(facts, recorded)
    if facts.state.view is None or view is None or me.node in (*facts.state.view.members, *view.members):
        return Decision(
            Wait(),
            f"{me.node} is to begin anew by order, and waits for the Primary Component to be recorded without it.",
            evidence=seen(facts.others),
            remedy="galerist explain",
            role="reinit",
        )
    return Decision(SetAside(), f"{me.node} begins anew by order: its datadir is set aside.", role="reinit")


def restart(facts: Facts) -> Decision | None:
    """A person has ordered that this very server ends, and is started again by the agent: while somebody else
    serves, and not in the middle of a state transfer."""
    me, order = facts.me, facts.state.restart
    if order is None or order.left[:1] != (me.node,) or (order.boot, order.pid) != (me.boot, me.server_pid):
        return None
    if not any(report.synced and report.opened for report in live_members(facts)) or (me.primary and not me.steady):
        return None
    return Decision(Stop(), "Restarting the server by order.", evidence=seen(facts.others), role="restarting")


def drain(facts: Facts) -> Decision | None:
    """A drained node that has lost its clients leaves flow control, so that nobody waits for what is done on it
    (a backup, a report, an ALTER), and comes back when the drain ends. Not for the minute of a restart."""
    me, state = facts.me, facts.state
    ordered = me.node in state.drained and (state.restart is None or state.restart.drained != me.node)
    if not ordered:
        if me.desync and facts.desynced:
            return Decision(Desync(on=False), "The drain is over: back into flow control.", role="member")
        return None
    if me.desync:
        return Decision(
            Serve(), "Drained by order: no clients, and nobody waits for it (wsrep_desync).",
            remedy=f"galerist undrain {me.node}", role="drained",
        )  # fmt: skip
    if not (me.synced and me.opened):
        return None
    if facts.leading:
        return Decision(
            Serve(), f"Drained by order; {listed(facts.leading)} still has clients here.",
            remedy=f"galerist undrain {me.node}", role="drained",
        )  # fmt: skip
    return Decision(Desync(on=True), "Drained by order, and its clients are gone: out of flow control.", role="drained")


def forced(facts: Facts) -> Claim | None:
    """The claim that a person has ordered, while it is good: its holder's boot reports, and nobody is Primary.
    One that a registry restored from a backup brings up again is known by the generation that came of it."""
    claim = facts.state.claim
    if claim is None or not claim.forced or not facts.answered or live_members(facts):
        return None
    known = (facts.state.identity, *(report.identity for report in facts.all))
    if any(identity is not None and history.has(identity, claim.nonce) for identity in known):
        return None
    mine = claim.node == facts.me.node and claim.boot == facts.me.boot
    return claim if mine or holder_alive(claim, facts.others) else None


def ordered(facts: Facts, claim: Claim) -> Decision:
    """Rule 11: a person has chosen the node; every node that reports must know of it first."""
    me = facts.me
    if claim.node != me.node:
        if me.ack != claim.nonce:
            return Decision(
                Ack(claim.nonce), f"{claim.node} is to start by order; acknowledged that {me.node} does not run."
            )
        return Decision(
            Wait(), f"{claim.node} is to start by order; waiting for it.", remedy=f"galerist explain {claim.node}"
        )
    if facts.failure is not None and facts.failure.wait > 0:
        return Decision(Wait(), facts.failure.sentence, remedy=facts.failure.remedy, role="failed")
    if history.standing(me, facts.state.identity) != claim.position:
        return Decision(
            Refuse(),
            f"The order to start {me.node} was given for another position than the one it is at ({where(me)}).",
            remedy=f"galerist recover --node {me.node}, again",
            role="refused",
        )
    silent = [r.node for r in facts.others if r.server is not Server.DOWN or r.ack != claim.nonce]
    silent += [
        name for name in claim.needs if name not in {r.node for r in facts.all}
    ]  # it reported when the order came
    if silent:
        return Decision(
            Wait(),
            f"To start by order; waiting for {listed(silent)} to acknowledge that no server runs there.",
            evidence=seen(facts.all),
            remedy=f"galerist explain {silent[0]}",
            role="claimant",
        )
    return Decision(
        Bootstrap(claim, f"{facts.cluster}-{claim.nonce}"),
        f"By order of a person: starting the Primary Component from {where(me)}.",
        evidence=seen(facts.all),
        role="bootstrapper",
    )


def holder_alive(claim: Claim, reports: Iterable[Report]) -> bool:
    return any(report.node == claim.node and report.boot == claim.boot for report in reports)
