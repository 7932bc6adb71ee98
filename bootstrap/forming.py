"""Rules 2, 4 and 6: who forms the Primary Component when nobody is Primary."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from bootstrap import history
from bootstrap.decisions import Bootstrap, Change, Confirm, Decision, Refuse, Wait
from bootstrap.facts import Facts
from bootstrap.history import Conflict
from bootstrap.words import listed, seen, where
from galerist.model import Claim, Data, Identity, NodeRecord, Report, Server, View, newest


def complete(facts: Facts) -> Decision | None:
    """Rule 2: without an identity in the registry, all expected nodes must have reported."""
    missing = facts.expect.missing(facts.all)
    if missing:
        return Decision(
            Wait(),
            f"First start: waiting for {listed(missing)} to report ({len(facts.all)} of {facts.expect.count} have).",
            evidence=seen(facts.all),
            remedy="start the missing nodes, or correct the setting 'expect' on all of them",
        )
    surplus = facts.expect.surplus(facts.all)
    if surplus:
        return Decision(
            Refuse(),
            f"More nodes have reported than are expected ({facts.expect.count}): {listed(surplus)}.",
            evidence=seen(facts.all),
            remedy="set 'expect' to the names of the cluster's nodes on all of them",
            role="refused",
        )
    return _unready(facts.all, "the first start")


def _unready(reports: Iterable[Report], what: str) -> Decision | None:
    """A wait, while one of the nodes that count runs a server or does not know its position."""
    for report in reports:
        if report.data is Data.PRESENT and report.position is None and report.problem is None:
            return Decision(Wait(), f"{what.capitalize()} waits for {report.node} to recover its position.")
    return None


def first_start(facts: Facts) -> Decision:
    """Rule 2, with no stamp of any generation on any disk."""
    lost = [record.node for record in facts.nodes for report in facts.all if _emptied(record, report)]
    if lost:
        return Decision(
            Refuse(),
            f"{listed(lost)} once held data and now reports a new disk; an empty start would bury what was there.",
            remedy=f"galerist forget {lost[0]} (if its data is really gone and no longer needed)",
            role="refused",
        )
    given_up = {r.node for record in facts.nodes for r in facts.all if (record.node, record.reinit) == (r.node, r.disk)}
    wanted = tuple(report for report in facts.all if report.node not in given_up) or facts.all
    with_data = tuple(report for report in wanted if not history.blank(report))
    for report in with_data:
        if report.data is Data.TAINTED or report.problem:
            return Decision(
                Refuse(),
                f"{report.node} has data that cannot be judged ({report.problem or 'a state transfer was cut off'}).",
                evidence=seen(facts.all),
                remedy=f"galerist reinit {report.node} (allows its datadir to be overwritten)",
                role="refused",
            )
    lineages = sorted({history.lineage(report) for report in with_data})
    if len(lineages) > 1:
        return Decision(
            Refuse(),
            f"The disks hold data of {len(lineages)} different clusters: {listed(lineages)}.",
            evidence=seen(with_data),
            remedy="galerist reinit NODE for every node whose data is not wanted",
            role="refused",
        )
    if with_data:
        best = history.best(with_data, None, _nonce(facts))
        return lead(facts, Elected(best, tuple(report.node for report in facts.all), None), None)
    return lead(facts, Elected(wanted[0], tuple(report.node for report in facts.all), None), None)


def restart(facts: Facts, known: Identity) -> Decision:
    """Rule 4: nobody is Primary and this node is stopped."""
    elected = elect(facts, known)
    return lead(facts, elected, known) if isinstance(elected, Elected) else elected


@dataclass(frozen=True, slots=True)
class Elected:
    """Who shall form the next generation, and whose acknowledgement that needs."""

    best: Report
    needs: tuple[str, ...]
    view: View | None


def last_view(facts: Facts, known: Identity) -> View | None:
    """The newest view of the registry and of all reports: its members decide (rules 4 and 7)."""
    view = facts.state.view
    for report in facts.all:
        view = newest(view, report.view, known.generations)
    return view


def elect(facts: Facts, known: Identity) -> Decision | Elected:
    """Rule 4: the newest view says who must have reported; the most advanced of all is elected, or nobody yet."""
    view = last_view(facts, known)
    members = view.members if view is not None else tuple(report.node for report in facts.all)
    by_name = {report.node: report for report in facts.all}
    missing = tuple(name for name in members if name not in by_name)
    blind = _blind(facts, view)
    wiped = tuple(name for name in members if name in blind)
    last = f"last Primary Component {listed(members)}" + (f" at seqno {view.seqno}" if view is not None else "")
    evidence = (last, *seen(facts.all))
    if missing or wiped:
        words = []
        if missing:
            words.append(f"waiting for {listed(missing)} to report")
        if wiped:
            half = any(by_name[name].data is Data.TAINTED for name in wiped)
            what = "a new disk, half copied at most," if half else "an empty disk"
            words.append(
                f"{listed(wiped)} {'has' if len(wiped) == 1 else 'have'} come back with {what} and cannot vouch for what was committed"
            )
        gone = (*missing, *wiped)
        return Decision(
            Wait(),
            f"Total stop: {'; '.join(words)}, since the newest commit may be there.",
            evidence=evidence,
            remedy=f"start {listed(missing)}" * bool(missing)
            + " or, " * bool(missing)
            + f"if the data of {listed(gone)} is lost for good: galerist recover --node NODE --cluster {facts.cluster}",
        )
    closure = tuple(by_name[name] for name in members)
    running = tuple(
        report.node
        for report in facts.others
        if report.server is not Server.DOWN and (report.node in members or history.candidate(report, known))
    )
    if running:
        return Decision(
            Wait(), f"Total stop: waiting for the server of {listed(running)}, which still runs, to stop or become Primary.",
            evidence=evidence, remedy=f"galerist explain {running[0]}",
        )  # fmt: skip
    unready = _unready(closure, "the restart")
    if unready is not None:
        return unready
    for report in closure:
        strange = history.estranged(report, known)
        blocked = report.problem or strange
        if blocked and report.data is not Data.TAINTED:
            return Decision(
                Refuse(),
                f"{report.node} has data that may be the newest, but it can be no candidate: {blocked}.",
                evidence=evidence,
                remedy=f"mend {report.node}, or: galerist recover --node NODE --cluster {facts.cluster}",
                role="refused",
            )
    candidates = tuple(report for report in facts.all if history.candidate(report, known))
    if not candidates:
        return Decision(
            Refuse(),
            "No node has a complete datadir: each one is empty or half transferred.",
            evidence=evidence,
            remedy=f"galerist recover --node NODE --cluster {facts.cluster}, or restore a backup",
            role="refused",
        )
    best = history.best(candidates, known, _nonce(facts))
    position = history.standing(best, known)
    if position is not None and position.seqno < known.generations[-1].begins:
        # It joined that generation, and has not received anything of it yet: a node that was never in it may have more.
        best = history.best((best, *(r for r in facts.all if history.part(r, known))), known, _nonce(facts))
        position = history.standing(best, known)
    behind = view is not None and position is not None and position.seqno < view.seqno - 1
    if behind:
        short = _short(facts, known, best, view, evidence)
        if short is not None:
            return short
        members = tuple(sorted({*members, *by_name}))
    return Elected(best, members, view)


def _short(
    facts: Facts, known: Identity, best: Report, view: View | None, evidence: tuple[str, ...]
) -> Decision | None:
    """Rule 4, when what was committed before the newest view is on no disk of that view.

    It is lost there (not flushed), or lies below a taint that was never cleared. A node that
    had left before may still have it: whoever held data must report as well.
    """
    assert view is not None
    # A new disk says nothing, nor does another than the one that held data while nothing complete is on it.
    reported = {(r.node, r.disk if r.data is Data.TAINTED else "") for r in facts.all if not history.blank(r)}
    missing = [r.node for r in facts.nodes if r.held and not {(r.node, ""), (r.node, r.disk)} & reported]
    missing += [name for name in sorted(_blind(facts, view)) if name not in missing]
    missing += [words for words in facts.expect.missing(facts.all) if words not in missing and not facts.nodes]
    what = f"{best.node} is the most advanced ({where(best)}), but the last view began at seqno {view.seqno}"
    if missing:
        return Decision(
            Wait(),
            f"{what}: waiting for {listed(missing)} to report, since the commits between may be there.",
            evidence=evidence,
            remedy=f"start {missing[0]}, or if it is lost for good: galerist recover --node NODE --cluster {facts.cluster}",
        )
    running = [report.node for report in facts.others if report.server is not Server.DOWN]
    if running:
        return Decision(
            Wait(),
            f"{what}: waiting for the server of {listed(running)} to stop, since the commits between may be there.",
            evidence=evidence,
            remedy=f"galerist explain {running[0]}",
        )
    for report in facts.all:
        if report.data is Data.PRESENT and report.problem is not None and history.estranged(report, known) is None:
            return Decision(
                Refuse(),
                f"{what}; {report.node} may hold the commits between, but it can be no candidate: {report.problem}.",
                evidence=evidence,
                remedy=f"mend {report.node}, or: galerist recover --node NODE --cluster {facts.cluster}",
                role="refused",
            )
    return _unready(facts.all, "the restart")


def _blind(facts: Facts, view: View | None) -> set[str]:
    """Members whose disk is empty and was not always, or is another than the one that held data: it cannot vouch
    for what was committed. ``view`` is the last one.

    A record that says otherwise must speak of this very disk, since a registry restored from a
    backup may know a former one only.
    """
    members = {
        name for seen in (facts.state.view, *(r.view for r in facts.all)) if seen is not None for name in seen.members
    }
    members |= {record.node for record in facts.nodes if record.held} | {*facts.state.writer}
    vouched = {(record.node, record.disk) for record in facts.nodes if not record.held}
    former = {record.node: record.disk for record in facts.nodes if record.held}
    blind = set()
    for report in facts.all:
        if report.node not in members or (report.node, report.disk) in vouched:
            continue
        empty = history.blank(report)
        # A disk that has been in a view itself says so, also when a wiped registry has forgotten it. If another one
        # held data, it must have been the last view: the other may have been in place again in between.
        other = former.get(report.node, report.disk) != report.disk and report.view != view
        if (empty and (report.held or report.view is None)) or (other and (empty or report.data is Data.TAINTED)):
            blind.add(report.node)
    return blind


def _nonce(facts: Facts) -> str | None:
    return facts.state.claim.nonce if facts.state.claim is not None else None


def _emptied(record: NodeRecord, report: Report) -> bool:
    """A disk that held data has been lost or wiped: its silence about commits is no evidence."""
    return record.held and record.node == report.node and history.blank(report)


def lead(facts: Facts, elected: Elected, known: Identity | None) -> Decision:
    """Rule 6 up to the start: claim, wait for the acknowledgements, look again, start."""
    me, claim, best = facts.me, facts.state.claim, elected.best
    evidence = seen(facts.all)
    if best.node != me.node:
        return Decision(
            Wait(),
            f"{best.node} is the most advanced ({where(best)}); waiting for it to start the Primary Component.",
            evidence=evidence,
            remedy=f"galerist explain {best.node}",
        )
    needed = tuple(sorted({*elected.needs, me.node}))
    position = history.standing(me, known)
    if (
        claim is None
        or claim.node != me.node
        or claim.boot != me.boot
        or claim.position != position
        or claim.needs != needed
        # Its server is gone, but the swap that records it may still arrive: a second try needs a claim of its own.
        or (me.attempt is not None and me.attempt.nonce == claim.nonce)
    ):
        fresh = Claim(me.node, me.boot, facts.nonce, position, needed)
        return Decision(
            Change(replace(facts.state, identity=known, view=elected.view, claim=fresh)),
            f"{me.node} is the most advanced ({where(me)}): claiming the bootstrap.",
            evidence=evidence,
            role="claimant",
        )
    silent = [
        report.node
        for report in facts.others
        if report.node in needed and (report.server is not Server.DOWN or report.ack != claim.nonce)
    ]
    silent += [name for name in needed if name not in {report.node for report in facts.all}]
    if silent:
        return Decision(
            Wait(),
            f"Claimed the bootstrap; waiting for {listed(silent)} to acknowledge that no server runs there.",
            evidence=evidence,
            remedy=f"galerist explain {silent[0]}",
            role="claimant",
        )
    return Decision(
        Bootstrap(claim, f"{facts.cluster}-{claim.nonce}"),
        f"All of {listed(needed)} have acknowledged the claim: starting the Primary Component from {where(me)}.",
        evidence=evidence,
        role="bootstrapper",
    )


def confirmed(facts: Facts, known: Identity | Conflict | None) -> Decision | None:
    """The swap that records the attempt was won, perhaps unseen, perhaps by an earlier agent.

    The stamp of a node that has joined since says so too, should the registry have been wiped.
    """
    attempt = facts.me.attempt
    recorded = known if isinstance(known, Identity) else facts.state.identity
    if not facts.answered or attempt is None or recorded is None or not history.has(recorded, attempt.nonce):
        return None
    if facts.me.identity is not None and history.has(facts.me.identity, attempt.nonce):
        return None
    return Decision(
        Confirm(history.upto(recorded, attempt.nonce)),
        "The bootstrap is recorded: this is the new generation.",
        role="bootstrapper",
    )
