"""What to do while the server of this node runs."""

from __future__ import annotations

from dataclasses import replace

from bootstrap import forming, history, obey, unserved
from bootstrap.decisions import Change, Cleanse, Close, Decision, Open, Refuse, Serve, Stop, Vouch, Wait
from bootstrap.facts import UNKNOWN, Facts
from bootstrap.words import listed, seen, stage
from galerist.model import Data, Generation, Identity, NodeRecord, Report, Server, State, View, newest

ATTEMPTED = 15.0
"""Seconds within which a server that answers, and was started or promoted to be the Primary Component, must be Primary
and Synced. Galera 26.4 that is promoted after it lost its joiner while it was without quorum stays a donor for ever."""


def running(facts: Facts) -> Decision:
    me = facts.me
    role = "donor" if me.local_state == 2 and me.primary else "member" if me.synced else "joiner"
    if not facts.answered:
        if me.opened:
            return Decision(Serve(), "The registry does not answer; the node serves on.", role=role)
        return Decision(
            Wait(), "The registry does not answer; the node runs, and stays closed until the registry has recorded it.",
            remedy="start etcd, or correct the setting 'registry'", role=role,
        )  # fmt: skip
    known = history.known(facts.state.identity, facts.all)
    recorded = facts.state.identity
    confirmed = forming.confirmed(facts, known)
    if confirmed is not None:
        return confirmed
    if facts.attempting and me.attempt is not None:
        return _attempt(facts)
    restarting = obey.restart(facts)
    if restarting is not None:
        return restarting
    if me.cluster_status == UNKNOWN:
        return Decision(
            Wait(),
            "The server runs, but does not answer: that says nothing about the Primary Component.",
            remedy=f"look at the server's process (pid {me.server_pid}) and its error log",
            role="hung",
        )
    if facts.bereft >= unserved.BEREFT and isinstance(known, Identity) and me.identity == known:
        alone = unserved.last_of_view(facts, known)
        if alone is not None:
            return alone
    if not me.primary:
        return unserved.without_quorum(facts, known if isinstance(known, Identity) else None)
    if me.identity is None or (isinstance(known, Identity) and not history.follows(me.identity, known)):
        return _superseded(facts)
    if (
        recorded is not None
        and history.follows(recorded, me.identity)
        and len(recorded.generations) > len(me.identity.generations)
    ):
        return _superseded(facts)
    if me.view is None or me.view.generation != me.identity.generations[-1].id:
        return Decision(Wait(), "In the Primary Component; waiting for the server to report its view.", role=role)
    if recorded is None or not history.follows(me.identity, recorded) or recorded != me.identity:
        return Decision(
            Change(_recorded(facts.state, me.identity, me.view), flush=True),
            "The registry has lost the cluster's identity: writing it back from the live Primary Component.",
            evidence=seen(facts.all),
            role=role,
        )
    view = facts.state.view
    whole = me.local_state in (2, 4)  # a joiner is told its first view before it has what was committed until then
    if whole and view != me.view and newest(view, me.view, recorded.generations) == me.view:
        return Decision(
            Change(_recorded(facts.state, recorded, me.view), flush=True),
            f"Recording the new view: {listed(me.view.members)}.",
            role=role,
        )
    mine = NodeRecord(me.node, me.disk, held=True)
    if me.opened and mine not in facts.nodes:
        return Decision(
            Vouch(mine), "The registry has lost the record that this node holds data: writing it back.", role=role
        )
    if me.synced and (me.data is Data.TAINTED or me.attempt is not None):
        return Decision(Cleanse(), "Synced: the state transfer is complete.", role=role)
    if not whole:
        return _entering(me, role)
    if view != me.view:
        return Decision(Wait(), "A newer view is recorded than the one this server reports; waiting for it.", role=role)
    for record in facts.nodes:
        for report in facts.all:
            if report.node in me.view.members and _replaced(record, report, me.view):
                return Decision(
                    Vouch(NodeRecord(report.node, report.disk, held=False)),
                    f"{report.node} is in the Primary Component with a new disk: what the old one held lives on there.",
                    role=role,
                )
    claim = facts.state.claim
    if claim is not None and not claim.forced and (claim.node, claim.boot) == (me.node, me.boot):
        return Decision(
            Change(replace(facts.state, claim=None)),
            "Primary again without a new generation: the claim to the bootstrap is given up.",
            role=role,
        )
    drained = obey.drain(facts)
    if drained is not None:
        return drained
    if not me.synced:
        return _entering(me, role)
    if not me.opened:
        return Decision(
            Open(), "Synced, and the recorded view is the one this server is in: opening to clients.", role=role
        )
    others = [name for name in me.view.members if name != me.node]
    return Decision(
        Serve(), f"Synced, serving, together with {listed(others)}." if others else "Synced, serving, alone.", role=role
    )


def _attempt(facts: Facts) -> Decision:
    """Rule 6 after the start: check that the PC is the one bootstrapped here, and record it."""
    me, claim, attempt = facts.me, facts.state.claim, facts.me.attempt
    assert attempt is not None
    if claim is None or claim.node != me.node or claim.nonce != attempt.nonce:
        return Decision(
            Stop(), "The claim to this bootstrap is gone: ending the Primary Component that was never recorded.",
            evidence=(f"claim: {claim.node if claim else 'none'}",), role="void",
        )  # fmt: skip
    if facts.attempted > ATTEMPTED and me.server is Server.UP and not me.synced and me.cluster_status != UNKNOWN:
        return Decision(
            Stop(), "The server could not be made the Primary Component: ending it.",
            evidence=(f"{me.cluster_status}{stage(me)} for {facts.attempted:.0f} s",), role="void",
        )  # fmt: skip
    if not me.primary or me.view is None or me.view.generation != attempt.nonce or not me.synced:
        return Decision(Wait(), f"Bootstrapping; waiting for the server to be Synced{stage(me)}.", role="bootstrapper")
    if me.view.members != (me.node,) or (attempt.position is not None and attempt.position.uuid != me.uuid):
        return Decision(
            Stop(), "The server is not in the Primary Component that was to be bootstrapped: ending it.",
            evidence=(f"view {listed(me.view.members)}, uuid {me.uuid}",), role="void",
        )  # fmt: skip
    begins = attempt.position.seqno if attempt.position is not None else 0
    generation = Generation(attempt.nonce, begins, me.node, attempt.cluster_name)
    former = facts.state.identity.generations if facts.state.identity is not None else ()
    identity = Identity(me.uuid, (*former, generation))
    return Decision(
        Change(replace(_recorded(facts.state, identity, me.view), claim=None), flush=True),
        f"The Primary Component stands: recording generation {generation.id}.",
        role="bootstrapper",
    )


def _superseded(facts: Facts) -> Decision:
    me = facts.me
    sentence = "This server is Primary in a history that the registry does not know as the cluster's newest: two Primary Components may exist."
    if me.opened:
        return Decision(
            Close(), sentence, evidence=seen(facts.all), remedy=f"galerist explain {me.node}", role="superseded"
        )
    return Decision(
        Refuse(), sentence + " It is kept closed.", evidence=seen(facts.all),
        remedy=f"stop {me.node}, then galerist reinit {me.node}", role="superseded",
    )  # fmt: skip


def _recorded(state: State, identity: Identity, view: View) -> State:
    """The state with a view recorded. A claim is void when its holder is not in the view (rule 8), and spent when its
    generation is on record."""
    claim = state.claim
    if claim is not None and (claim.node not in view.members or history.has(identity, claim.nonce)):
        claim = None
    return replace(state, identity=identity, view=view, claim=claim, writer=writers(state.writer, view.members))


def writers(former: tuple[str, ...], members: tuple[str, ...]) -> tuple[str, ...]:
    """The order of nodes for the write port: those present keep their order, the absent go last."""
    present = [name for name in former if name in members]
    present += [name for name in members if name not in present]
    return (*present, *(name for name in former if name not in members))


def _entering(me: Report, role: str) -> Decision:
    """In the Primary Component, and not Synced."""
    if me.opened:
        return Decision(
            Serve(),
            "Donor or desynced: serves on." if me.local_state == 2 else "Catching up with the cluster.",
            role=role,
        )
    return Decision(
        Wait(), f"In the Primary Component; waiting for the state transfer to end{stage(me)}.",
        remedy="galerist list", role="joiner",
    )  # fmt: skip


def _replaced(record: NodeRecord, report: Report, mine: View) -> bool:
    """A node whose former disk held data is in the Primary Component with a new or overwritten one.

    That its name is in our view proves nothing: it may stand for the former server, whose end nobody has noticed yet.
    The disk itself must have been told this very view. Then all that was committed on the former disk has come before,
    and is committed here.
    """
    if not record.held or record.node != report.node or report.server is Server.DOWN:
        return False
    return report.view == mine and mine.seqno >= 0 and (record.disk != report.disk or report.data is Data.TAINTED)
