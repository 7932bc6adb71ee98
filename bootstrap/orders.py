"""What a person may order (docs/protocol.md, "A person may overrule"). Pure: the registry's content in, the change out.

Every order is void when what it was read from has changed: it is carried out by a swap of the
whole state, or names the disk that it is for.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from bootstrap import history
from bootstrap.history import Conflict
from bootstrap.words import are, listed
from galerist.model import Claim, Data, NodeRecord, Report, Server, State, View, newest


class Refused(Exception):
    """The order cannot be given. The text says why and what to do instead."""


@dataclass(frozen=True, slots=True)
class Order:
    """An order that is ready to be given.

    ``says`` tells what will happen and what may be lost. ``number`` has to be given back by
    the person when data may be lost, None when a plain yes is enough.
    """

    says: tuple[str, ...]
    number: int | None = None
    state: State | None = None  # to be swapped in
    put: tuple[NodeRecord, ...] = ()
    delete: tuple[str, ...] = ()  # names of nodes whose record goes
    operation: str = ""  # id that ties what agents do to the order; "": nothing that they do bears one


def closure(state: State, reports: Iterable[Report]) -> View | None:
    """The newest view that the registry or any report knows of."""
    reports = tuple(reports)
    known = history.known(state.identity, reports)
    if known is None or isinstance(known, Conflict):
        return state.view
    view = state.view
    for report in reports:
        view = newest(view, report.view, known.generations)
    return view


def recover(state: State, reports: tuple[Report, ...], node: str, nonce: str) -> Order:
    """Start the cluster from ``node``, whatever the other disks hold."""
    mine = next((report for report in reports if report.node == node), None)
    if mine is None:
        raise Refused(f"{node} does not report; start its agent first")
    live = [report.node for report in reports if report.primary]
    if live:
        raise Refused(f"{listed(live)} {are(live)} Primary: there is nothing to recover; the others join it")
    if mine.data is Data.TAINTED:
        raise Refused(
            f"a state transfer into the datadir of {node} was cut off: it cannot be started; choose another node"
        )
    if mine.data in (Data.EMPTY, Data.UNREADABLE):
        raise Refused(f"{node} has no data to start from ({mine.problem or 'its datadir is empty'})")
    position = history.standing(mine, state.identity)
    if position is None and mine.data is not Data.STANDALONE:
        raise Refused(f"{node} does not know its position yet ({mine.problem or 'recovery is under way'})")
    number = position.seqno if position is not None else 0
    says = [f"{node} starts the cluster from its own data, seqno {number}, as a new generation."]
    view = closure(state, reports)
    have = {report.node for report in reports}
    if view is not None:
        missing = [name for name in view.members if name not in have]
        says.append(f"The last Primary Component known: {', '.join(view.members)} (at seqno {view.seqno}).")
        if missing:
            says.append(
                f"No report from {', '.join(missing)}: what was committed there and not on {node} is lost. "
                "If one of them is still serving unseen, there will be two clusters: no software can fence that."
            )
    for report in reports:
        other = history.standing(report, state.identity)
        if report.node != node and other is not None:
            ahead = other.seqno - number
            says.append(
                f"{report.node} is at seqno {other.seqno}"
                + (f", {ahead} ahead: that is lost, and {report.node} will be quarantined." if ahead > 0 else ".")
            )
    claim = Claim(node, mine.boot, nonce, position, tuple(sorted(have)), forced=True)
    identity = mine.identity if mine.identity is not None else state.identity
    if mine.data is Data.STANDALONE or (
        position is not None and identity is not None and position.uuid != identity.uuid
    ):
        identity = None
        says.append("Its data belong to another cluster: all other nodes of this cluster will be quarantined.")
    changed = replace(state, identity=identity, view=None, claim=claim)
    return Order(tuple(says), number, changed, operation=nonce)


def forget(state: State, reports: tuple[Report, ...], nodes: tuple[NodeRecord, ...], node: str) -> Order:
    """Remove a node that will never return from what a restart waits for."""
    report = next((report for report in reports if report.node == node), None)
    record = next((record for record in nodes if record.node == node), None)
    view = closure(state, reports)
    if report is not None and not history.blank(report):
        raise Refused(f"{node} reports and has data; end its agent for good first, or use: galerist reinit {node}")
    if record is None and (view is None or node not in view.members) and node not in state.writer:
        known = sorted({*(r.node for r in nodes), *(view.members if view is not None else ())})
        raise Refused(f"no node {node} is known here (known: {', '.join(known) or 'none'})")
    says = [f"{node} is forgotten: no restart waits for it any more, and it leaves the proxies."]
    members: tuple[str, ...] = ()
    if view is not None:
        members = tuple(name for name in view.members if name != node)
        if not members:
            raise Refused(
                f"{node} is the only member of the last Primary Component; use: galerist recover --node OTHER"
            )
        if node in view.members and not any(r.primary for r in reports):
            says.append(
                f"It was in the last Primary Component: commits that only {node} holds are lost. If it is still serving "
                "unseen, there will be two clusters: no software can fence that."
            )
    loses = len(says) > 1
    changed = replace(
        state,
        view=replace(view, members=members) if view is not None else None,
        claim=None,
        writer=tuple(name for name in state.writer if name != node),
        drained=tuple(name for name in state.drained if name != node),
    )
    put = (NodeRecord(node, report.disk, held=False),) if report is not None else ()
    number = view.seqno if loses and view is not None else None
    return Order(tuple(says), number, changed, put=put, delete=() if report is not None else (node,))


def reinit(
    state: State, reports: tuple[Report, ...], nodes: tuple[NodeRecord, ...], node: str, operation: str = ""
) -> Order:
    """Allow the datadir of a node to be set aside, so that it joins as an empty one."""
    report = next((report for report in reports if report.node == node), None)
    if report is None:
        raise Refused(f"{node} does not report; start its agent first")
    if report.server is not Server.DOWN:
        raise Refused(
            f"the server of {node} runs (as {report.role}); stop {node}, or wait until its agent says that it is down"
        )
    record = next((r for r in nodes if r.node == node), NodeRecord(node, report.disk, held=False))
    position = history.standing(report, state.identity)
    says = [
        f"The datadir of {node} ({report.data.value}{f', seqno {position.seqno}' if position is not None else ''}) is renamed, "
        f"not deleted; {node} then joins the live Primary Component by a full state transfer."
    ]
    view = closure(state, reports)
    if view is not None and node in view.members and not any(r.primary for r in reports):
        says.append(
            f"Nobody is Primary now, and {node} was in the last Primary Component: it is done only once somebody is."
        )
    number = position.seqno if position is not None else None
    return Order(
        tuple(says), number, put=(replace(record, reinit=report.disk, operation=operation),), operation=operation
    )


def pause(state: State, who: str) -> Order:
    """Let the agents watch and decide nothing."""
    if state.paused:
        raise Refused(f"already paused ({state.paused})")
    says = ("The agents go on watching and reporting, and start, stop, open and record nothing until galerist resume.",)
    return Order(says, state=replace(state, paused=who))


def resume(state: State) -> Order:
    """Let the agents decide again."""
    if not state.paused:
        raise Refused("not paused")
    return Order((f"The agents decide again (paused: {state.paused}).",), state=replace(state, paused=""))
