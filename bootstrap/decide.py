"""What a node's agent does next: a pure function of what is known.

The rules are told in docs/protocol.md; their numbers stand beside the code. Nothing
here reads a clock, a file or the network: time enters as durations, chance as a nonce.
Every answer carries the sentence that people read, its evidence, and the command that
ends a wait.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from bootstrap import history
from bootstrap.history import Conflict
from galerist.model import (
    ZERO_UUID,
    Claim,
    Data,
    Generation,
    Identity,
    NodeRecord,
    Position,
    Report,
    Server,
    State,
    View,
    newest,
)

ADMISSION = 60.0
"""Seconds for which a node lets another joiner go first (joiners disturb one another)."""

UNSERVED = 10.0
"""Seconds without any Primary member in sight after which a joining server is stopped."""

NON_PRIMARY = 10.0
"""Seconds a server stays non-Primary, with all others reported, before it is stopped
so that the restart rule applies. Galera re-forms by itself within that time if it can."""


UNKNOWN = "Unknown"
"""The cluster status of a server that has answered before and does not now."""


@dataclass(frozen=True, slots=True)
class Expect:
    """Which nodes make the first start: by name, or by bare number."""

    count: int
    names: tuple[str, ...] = ()

    def missing(self, reports: Iterable[Report]) -> tuple[str, ...]:
        """What still has to report, as words for people; empty when complete."""
        have = {report.node for report in reports}
        if self.names:
            return tuple(name for name in self.names if name not in have)
        lacking = self.count - len(have)
        return (f"{lacking} more node{'s' if lacking > 1 else ''}",) if lacking > 0 else ()

    def surplus(self, reports: Iterable[Report]) -> tuple[str, ...]:
        """Nodes that reported though they are not expected."""
        have = sorted({report.node for report in reports})
        if self.names:
            return tuple(name for name in have if name not in self.names)
        return tuple(have) if len(have) > self.count else ()


@dataclass(frozen=True, slots=True)
class Failure:
    """The server ended by itself; ``wait`` seconds are left until the next try."""

    sentence: str
    remedy: str
    wait: float


@dataclass(frozen=True, slots=True)
class Facts:
    """Everything a decision may rest on, as one immutable value."""

    cluster: str
    me: Report  # the truth of this moment, read from disk and process
    expect: Expect
    nonce: str  # fresh randomness for a claim
    answered: bool  # the registry answered in this pass, and has acknowledged ``me``
    state: State = State()  # as answered, else as last known
    others: tuple[Report, ...] = ()  # as answered, else as last known
    nodes: tuple[NodeRecord, ...] = ()
    taken_back: bool = False  # "not running" is taken back and the registry knows
    attempting: bool = False  # the running server was started for the attempt in the stamp
    was_primary: bool = False  # the running server has been in a PC since it started
    unserved: float = 0.0  # seconds since a live Primary member was last seen
    non_primary: float = 0.0  # seconds since the running server was last Primary
    admission: float = 0.0  # seconds for which this node has been ready to join
    failure: Failure | None = None

    @property
    def all(self) -> tuple[Report, ...]:
        return tuple(sorted((self.me, *self.others), key=lambda report: report.node))


# -- decisions -------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Wait:
    """Do nothing now."""


@dataclass(frozen=True, slots=True)
class Refuse:
    """Do nothing, and go on doing nothing until a person has acted."""


@dataclass(frozen=True, slots=True)
class Recover:
    """Ask the storage engine for the position (``--wsrep-recover``)."""


@dataclass(frozen=True, slots=True)
class Ack:
    """Acknowledge a claim: this node does not run, and knows of the claim."""

    nonce: str


@dataclass(frozen=True, slots=True)
class Change:
    """Swap the state. ``flush``: what was committed so far must be on disk first."""

    state: State
    flush: bool = False


@dataclass(frozen=True, slots=True)
class Bootstrap:
    """Start the Primary Component, closed."""

    claim: Claim
    cluster_name: str


@dataclass(frozen=True, slots=True)
class Join:
    """Start and join, closed. ``full``: only a full state transfer makes this datadir good."""

    identity: Identity
    peers: tuple[str, ...]
    full: bool


@dataclass(frozen=True, slots=True)
class Confirm:
    """The attempt is recorded: it becomes a generation of the stamp."""

    identity: Identity


@dataclass(frozen=True, slots=True)
class Cleanse:
    """The node is Synced: taint and void attempt are over."""


@dataclass(frozen=True, slots=True)
class Vouch:
    """Record that what this node's former disk held lives on in the Primary Component."""

    record: NodeRecord


@dataclass(frozen=True, slots=True)
class SetAside:
    """Move the datadir out of the way and begin with an empty one, as a person has ordered."""


@dataclass(frozen=True, slots=True)
class Open:
    """Let clients in."""


@dataclass(frozen=True, slots=True)
class Close:
    """Keep clients out of a running server."""


@dataclass(frozen=True, slots=True)
class Stop:
    """End the server that this agent looks after."""


@dataclass(frozen=True, slots=True)
class Serve:
    """All is well; watch."""


Action = (
    Wait
    | Refuse
    | Recover
    | Ack
    | Change
    | Bootstrap
    | Join
    | Confirm
    | Cleanse
    | Vouch
    | SetAside
    | Open
    | Close
    | Stop
    | Serve
)


@dataclass(frozen=True, slots=True)
class Decision:
    """What to do, why (one sentence), on what evidence, and what ends it if it is a wait."""

    action: Action
    sentence: str
    evidence: tuple[str, ...] = ()
    remedy: str | None = None
    role: str = "waiting"


def decide(facts: Facts) -> Decision:
    """The next step of this node."""
    if facts.state.paused:
        return Decision(
            Wait(),
            f"Paused by order ({facts.state.paused}): the agent watches and decides nothing.",
            remedy="galerist resume",
            role="paused",
        )
    if facts.me.server is not Server.DOWN and not facts.taken_back:
        return _running(facts)
    return _stopped(facts)


# -- the server is down ----------------------------------------------------------------------


def _stopped(facts: Facts) -> Decision:
    me = facts.me
    ordered = _reinit(facts)
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
    confirmed = _confirmed(facts, known)
    if confirmed is not None:
        return confirmed
    forced = _forced(facts)
    if forced is not None:
        return _ordered(facts, forced)
    if isinstance(known, Conflict):
        return Decision(
            Refuse(),
            f"Two histories of this cluster are on the disks, and no software can tell which one counts: {known.text}.",
            remedy=f"galerist recover --node NODE --cluster {facts.cluster} (after looking at the data of both)",
            role="refused",
        )
    if not facts.answered:
        return _without_registry(facts, known)
    if known is not None:
        refusal = history.estranged(me, known)
        if refusal is not None:
            return Decision(
                Refuse(),
                f"Quarantined: {refusal}. Its files are left as they are.",
                evidence=(f"{me.node}: {_where(me)}", f"cluster: {known.uuid}, generation {known.generations[-1].id}"),
                remedy=f"galerist reinit {me.node} (allows its datadir to be overwritten)",
                role="quarantined",
            )
        serving = tuple(report for report in facts.others if history.serves(report, known))
        if serving:
            return _join(facts, known, serving)
    live = tuple(report.node for report in facts.others if report.primary and report.identity is not None)
    if live and facts.state.identity != known:
        return Decision(
            Wait(),
            f"{_names(live)} {_are(live)} Primary; waiting for the cluster's identity to be written back into the registry.",
            evidence=_seen(facts.others),
        )
    claim = facts.state.claim
    if claim is not None and claim.node != me.node and _holder_alive(claim, facts.others) and me.ack != claim.nonce:
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
        complete = _complete(facts)
        if complete is not None:
            return complete
        if known is None:
            return _first_start(facts)
    assert known is not None  # an identity in the registry is part of what is known
    return _restart(facts, known)


def _live(facts: Facts) -> tuple[Report, ...]:
    """The live members of the newest recorded generation's Primary Component."""
    recorded = facts.state.identity
    return tuple(report for report in facts.others if recorded is not None and history.serves(report, recorded))


def _reinit(facts: Facts) -> Decision | None:
    """A person has allowed the datadir of this node to be set aside; that needs somebody to copy from."""
    me = facts.me
    if not facts.answered or all(record.node != me.node or record.reinit != me.disk for record in facts.nodes):
        return None
    if not _live(facts):
        return Decision(
            Wait(),
            f"{me.node} is to begin anew by order, and waits for a live Primary Component to copy from.",
            evidence=_seen(facts.others),
            remedy="galerist explain",
            role="reinit",
        )
    return Decision(SetAside(), f"{me.node} begins anew by order: its datadir is set aside.", role="reinit")


def _forced(facts: Facts) -> Claim | None:
    """The claim that a person has ordered, while it is good: its holder's boot reports, and nobody is Primary."""
    claim = facts.state.claim
    if claim is None or not claim.forced or not facts.answered or _live(facts):
        return None
    mine = claim.node == facts.me.node and claim.boot == facts.me.boot
    return claim if mine or _holder_alive(claim, facts.others) else None


def _ordered(facts: Facts, claim: Claim) -> Decision:
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
            f"The order to start {me.node} was given for another position than the one it is at ({_where(me)}).",
            remedy=f"galerist recover --node {me.node}, again",
            role="refused",
        )
    silent = [r.node for r in facts.others if r.server is not Server.DOWN or r.ack != claim.nonce]
    if silent:
        return Decision(
            Wait(),
            f"To start by order; waiting for {_names(silent)} to acknowledge that no server runs there.",
            evidence=_seen(facts.all),
            remedy=f"galerist explain {silent[0]}",
            role="claimant",
        )
    return Decision(
        Bootstrap(claim, f"{facts.cluster}-{claim.nonce}"),
        f"By order of a person: starting the Primary Component from {_where(me)}.",
        evidence=_seen(facts.all),
        role="bootstrapper",
    )


def _confirmed(facts: Facts, known: Identity | Conflict | None) -> Decision | None:
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


def _without_registry(facts: Facts, known: Identity | None) -> Decision:
    """Rule 10: a node may join a live PC of its own history, and stays closed."""
    me = facts.me
    peers = _peers(facts.others)
    if (
        known is not None
        and peers
        and me.data is Data.PRESENT
        and me.identity == known
        and history.void(me, known) is None
        and history.estranged(me, known) is None
        and (facts.failure is None or facts.failure.wait <= 0)
    ):
        return Decision(
            Join(known, peers, full=False),
            "The registry does not answer; trying the members known last. The node stays closed until the registry has recorded it.",
            evidence=tuple(peers),
            role="joiner",
        )
    return Decision(
        Wait(),
        "The registry does not answer, and nothing but the registry can say who may start.",
        remedy="start etcd, or correct the setting 'registry'",
    )


def _complete(facts: Facts) -> Decision | None:
    """Rule 2: without an identity in the registry, all expected nodes must have reported."""
    missing = facts.expect.missing(facts.all)
    if missing:
        return Decision(
            Wait(),
            f"First start: waiting for {_names(missing)} to report ({len(facts.all)} of {facts.expect.count} have).",
            evidence=_seen(facts.all),
            remedy="start the missing nodes, or correct the setting 'expect' on all of them",
        )
    surplus = facts.expect.surplus(facts.all)
    if surplus:
        return Decision(
            Refuse(),
            f"More nodes have reported than are expected ({facts.expect.count}): {_names(surplus)}.",
            evidence=_seen(facts.all),
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


def _first_start(facts: Facts) -> Decision:
    """Rule 2, with no stamp of any generation on any disk."""
    lost = [record.node for record in facts.nodes for report in facts.all if _emptied(record, report)]
    if lost:
        return Decision(
            Refuse(),
            f"{_names(lost)} once held data and now reports a new disk; an empty start would bury what was there.",
            remedy=f"galerist forget {lost[0]} (if its data is really gone and no longer needed)",
            role="refused",
        )
    with_data = tuple(report for report in facts.all if not history.blank(report))
    for report in with_data:
        if report.data is Data.TAINTED or report.problem:
            return Decision(
                Refuse(),
                f"{report.node} has data that cannot be judged ({report.problem or 'a state transfer was cut off'}).",
                evidence=_seen(facts.all),
                remedy=f"galerist reinit {report.node} (allows its datadir to be overwritten)",
                role="refused",
            )
    lineages = sorted({history.lineage(report) for report in with_data})
    if len(lineages) > 1:
        return Decision(
            Refuse(),
            f"The disks hold data of {len(lineages)} different clusters: {_names(lineages)}.",
            evidence=_seen(with_data),
            remedy="galerist reinit NODE for every node whose data is not wanted",
            role="refused",
        )
    if with_data:
        best = history.best(with_data, None, _nonce(facts))
        return _lead(facts, best, tuple(report.node for report in facts.all), None, None)
    return _lead(facts, facts.all[0], tuple(report.node for report in facts.all), None, None)


def _restart(facts: Facts, known: Identity) -> Decision:
    """Rule 4: nobody is Primary; the newest view says who must have reported."""
    view = facts.state.view
    for report in facts.all:
        view = newest(view, report.view, known.generations)
    members = view.members if view is not None else tuple(report.node for report in facts.all)
    by_name = {report.node: report for report in facts.all}
    missing = tuple(name for name in members if name not in by_name)
    harmless = {record.node for record in facts.nodes if not record.held}
    # So says a disk that has been in such a view itself, also when a wiped registry has forgotten it.
    harmless |= {report.node for report in facts.all if not report.held and report.view is not None}
    wiped = tuple(name for name in members if name in by_name and name not in harmless and history.blank(by_name[name]))
    last = f"last Primary Component {_names(members)}" + (f" at seqno {view.seqno}" if view is not None else "")
    evidence = (last, *_seen(facts.all))
    if missing or wiped:
        words = []
        if missing:
            words.append(f"waiting for {_names(missing)} to report")
        if wiped:
            words.append(
                f"{_names(wiped)} {'has' if len(wiped) == 1 else 'have'} come back with an empty disk and cannot vouch for what was committed"
            )
        gone = (*missing, *wiped)
        return Decision(
            Wait(),
            f"Total stop: {'; '.join(words)}, since the newest commit may be there.",
            evidence=evidence,
            remedy=f"start {_names(missing)}" * bool(missing)
            + " or, " * bool(missing)
            + f"if the data of {_names(gone)} is lost for good: galerist recover --node NODE --cluster {facts.cluster}",
        )
    closure = tuple(by_name[name] for name in members)
    running = tuple(
        report.node
        for report in facts.others
        if report.server is not Server.DOWN and (report.node in members or history.candidate(report, known))
    )
    if running:
        return Decision(
            Wait(), f"Total stop: waiting for the server of {_names(running)}, which still runs, to stop or become Primary.",
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
    behind = view is not None and position is not None and position.seqno < view.seqno - 1
    if behind:
        short = _short(facts, known, best, view, evidence)
        if short is not None:
            return short
        members = tuple(sorted({*members, *by_name}))
    return _lead(facts, best, members, known, view)


def _short(
    facts: Facts, known: Identity, best: Report, view: View | None, evidence: tuple[str, ...]
) -> Decision | None:
    """Rule 4, when what was committed before the newest view is on no disk of that view.

    It is lost there (not flushed), or lies below a taint that was never cleared. A node that
    had left before may still have it: whoever held data must report as well.
    """
    assert view is not None
    reported = {report.node for report in facts.all if not history.blank(report)}  # a new disk says nothing
    missing = [record.node for record in facts.nodes if record.held and record.node not in reported]
    missing += [words for words in facts.expect.missing(facts.all) if words not in missing and not facts.nodes]
    what = f"{best.node} is the most advanced ({_where(best)}), but the last view began at seqno {view.seqno}"
    if missing:
        return Decision(
            Wait(),
            f"{what}: waiting for {_names(missing)} to report, since the commits between may be there.",
            evidence=evidence,
            remedy=f"start {missing[0]}, or if it is lost for good: galerist recover --node NODE --cluster {facts.cluster}",
        )
    running = [report.node for report in facts.others if report.server is not Server.DOWN]
    if running:
        return Decision(
            Wait(),
            f"{what}: waiting for the server of {_names(running)} to stop, since the commits between may be there.",
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


def _nonce(facts: Facts) -> str | None:
    return facts.state.claim.nonce if facts.state.claim is not None else None


def _emptied(record: NodeRecord, report: Report) -> bool:
    """A disk that held data has been lost or wiped: its silence about commits is no evidence."""
    return record.held and record.node == report.node and history.blank(report)


def _replaced(record: NodeRecord, report: Report) -> bool:
    """A node whose former disk held data runs on a new or overwritten one."""
    if not record.held or record.node != report.node or report.server is Server.DOWN:
        return False
    return record.disk != report.disk or report.data is Data.TAINTED or history.blank(report)


def _lead(facts: Facts, best: Report, needs: tuple[str, ...], known: Identity | None, view: View | None) -> Decision:
    """Rule 6 up to the start: claim, wait for the acknowledgements, look again, start."""
    me, claim = facts.me, facts.state.claim
    evidence = _seen(facts.all)
    if best.node != me.node:
        return Decision(
            Wait(),
            f"{best.node} is the most advanced ({_where(best)}); waiting for it to start the Primary Component.",
            evidence=evidence,
            remedy=f"galerist explain {best.node}",
        )
    needed = tuple(sorted({*needs, me.node}))
    position = history.standing(me, known)
    if (
        claim is None
        or claim.node != me.node
        or claim.boot != me.boot
        or claim.position != position
        or claim.needs != needed
    ):
        fresh = Claim(me.node, me.boot, facts.nonce, position, needed)
        return Decision(
            Change(replace(facts.state, identity=known, view=view, claim=fresh)),
            f"{me.node} is the most advanced ({_where(me)}): claiming the bootstrap.",
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
            f"Claimed the bootstrap; waiting for {_names(silent)} to acknowledge that no server runs there.",
            evidence=evidence,
            remedy=f"galerist explain {silent[0]}",
            role="claimant",
        )
    return Decision(
        Bootstrap(claim, f"{facts.cluster}-{claim.nonce}"),
        f"All of {_names(needed)} have acknowledged the claim: starting the Primary Component from {_where(me)}.",
        evidence=evidence,
        role="bootstrapper",
    )


def _join(facts: Facts, known: Identity, serving: tuple[Report, ...]) -> Decision:
    """Rule 3: a live member is Primary in the newest generation."""
    me = facts.me
    names = _names(report.node for report in serving)
    if facts.failure is not None and facts.failure.wait > 0:
        return Decision(
            Wait(), facts.failure.sentence,
            remedy=facts.failure.remedy, role="failed",
        )  # fmt: skip
    if me.problem and me.data is not Data.TAINTED:
        return Decision(
            Refuse(), f"{me.node} has data that cannot be judged: {me.problem}.",
            remedy=f"galerist reinit {me.node} (allows its datadir to be overwritten)", role="refused",
        )  # fmt: skip
    if facts.state.identity != known:
        return Decision(
            Wait(),
            f"{names} {_are(serving)} Primary; waiting for the cluster's identity to be written back into the registry.",
        )
    full = me.data is not Data.PRESENT or history.void(me, known) is not None
    if not full and me.position is not None:
        committed = max((r.position.seqno for r in serving if r.position is not None), default=-1)
        if me.position.seqno > committed:
            return Decision(
                Wait(),
                f"{me.node} is at seqno {me.position.seqno}, ahead of what {names} has reported ({committed}): "
                "waiting until a member has committed that.",
                evidence=_seen(facts.all),
                remedy="galerist explain (if this lasts, the members have lost commits)",
            )
    rivals = [
        report.node
        for report in facts.others
        if report.role == "joiner"
        and report.server is not Server.DOWN
        and not report.synced
        and (report.server_pid is not None or report.node < me.node)
    ]
    if rivals and facts.admission < ADMISSION:
        return Decision(
            Wait(), f"Ready to join; letting {_names(rivals)} finish its state transfer first.",
            evidence=_seen(facts.all), remedy=f"galerist explain {rivals[0]}", role="waiting",
        )  # fmt: skip
    return Decision(
        Join(known, _peers(facts.others), full),
        f"{names} {_are(serving)} Primary in generation {known.generations[-1].id}: joining "
        + ("by a full state transfer." if full else f"from {_where(me)}."),
        evidence=_seen(facts.all),
        role="joiner",
    )


# -- the server runs -------------------------------------------------------------------------


def _running(facts: Facts) -> Decision:
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
    confirmed = _confirmed(facts, known)
    if confirmed is not None:
        return confirmed
    if facts.attempting and me.attempt is not None:
        return _attempt(facts)
    if me.cluster_status == UNKNOWN:
        return Decision(
            Wait(),
            "The server runs, but does not answer: that says nothing about the Primary Component.",
            remedy=f"look at the server's process (pid {me.server_pid}) and its error log",
            role="hung",
        )
    if not me.primary:
        return _not_primary(facts, known if isinstance(known, Identity) else None)
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
            evidence=_seen(facts.all),
            role=role,
        )
    view = facts.state.view
    if view != me.view and newest(view, me.view, recorded.generations) == me.view:
        return Decision(
            Change(_recorded(facts.state, recorded, me.view), flush=True),
            f"Recording the new view: {_names(me.view.members)}.",
            role=role,
        )
    for record in facts.nodes:
        for report in facts.all:
            if report.node in me.view.members and _replaced(record, report):
                return Decision(
                    Vouch(NodeRecord(report.node, report.disk, held=False)),
                    f"{report.node} is in the Primary Component with a new disk: what the old one held lives on there.",
                    role=role,
                )
    mine = NodeRecord(me.node, me.disk, held=True)
    if me.opened and mine not in facts.nodes:
        return Decision(
            Vouch(mine), "The registry has lost the record that this node holds data: writing it back.", role=role
        )
    if me.synced and (me.data is Data.TAINTED or me.attempt is not None):
        return Decision(Cleanse(), "Synced: the state transfer is complete.", role=role)
    if view != me.view:
        return Decision(Wait(), "A newer view is recorded than the one this server reports; waiting for it.", role=role)
    if not me.synced:
        if me.opened:
            return Decision(
                Serve(),
                "Donor or desynced: serves on." if me.local_state == 2 else "Catching up with the cluster.",
                role=role,
            )
        return Decision(
            Wait(), f"In the Primary Component; waiting for the state transfer to end{_stage(me)}.",
            remedy="galerist list", role="joiner",
        )  # fmt: skip
    if not me.opened:
        return Decision(
            Open(), "Synced, and the recorded view is the one this server is in: opening to clients.", role=role
        )
    others = [name for name in me.view.members if name != me.node]
    return Decision(
        Serve(), f"Synced, serving, together with {_names(others)}." if others else "Synced, serving, alone.", role=role
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
    if not me.primary or me.view is None or me.view.generation != attempt.nonce or not me.synced:
        return Decision(Wait(), f"Bootstrapping; waiting for the server to be Synced{_stage(me)}.", role="bootstrapper")
    if me.view.members != (me.node,) or (attempt.position is not None and attempt.position.uuid != me.uuid):
        return Decision(
            Stop(), "The server is not in the Primary Component that was to be bootstrapped: ending it.",
            evidence=(f"view {_names(me.view.members)}, uuid {me.uuid}",), role="void",
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


def _not_primary(facts: Facts, known: Identity | None) -> Decision:
    me = facts.me
    if _forced(facts) is not None:
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
            Stop(), f"The others have formed a new generation without this server ({_names(r.node for r in serving)}), which cannot merge into it: stopping, to join anew.",
            evidence=_seen(facts.all), role="non-primary",
        )  # fmt: skip
    if not facts.was_primary or me.server is Server.STARTING:
        # A joiner is told its first view before it has any data: until it answers, it is still joining.
        if not serving and facts.unserved >= UNSERVED:
            return Decision(
                Stop(), "Nobody is Primary any more; stopping the join, so that this node can be judged with the others.",
                evidence=_seen(facts.all), role="joiner",
            )  # fmt: skip
        return Decision(
            Wait(), f"Joining{_stage(me)}.", evidence=_seen(facts.all), remedy="galerist list", role="joiner",
        )  # fmt: skip
    if serving:
        return Decision(
            Wait(), f"This server has lost the Primary Component, which lives on at {_names(r.node for r in serving)}; it returns by itself once the network lets it.",
            evidence=_seen(facts.all), remedy=f"check that {me.endpoint.host}:{me.endpoint.gcomm_port} and the other members' ports reach one another", role="non-primary",
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
            Wait(), f"No quorum: waiting for {_names(missing) or 'the last view'}, which may have gone on as the Primary Component.",
            evidence=_seen(facts.all), remedy=f"start {_names(missing)}, or if it is lost for good: galerist recover --node NODE", role="non-primary",
        )  # fmt: skip
    if facts.non_primary < NON_PRIMARY and all(by_name[name].server is Server.UP for name in members):
        return Decision(
            Wait(),
            "No quorum, and all members have reported; giving Galera time to re-form by itself.",
            role="non-primary",
        )
    return Decision(
        Stop(), "No quorum, and all members of the last view have reported: stopping, so that the most advanced can start the next generation.",
        evidence=_seen(facts.all), role="non-primary",
    )  # fmt: skip


def _superseded(facts: Facts) -> Decision:
    me = facts.me
    sentence = "This server is Primary in a history that the registry does not know as the cluster's newest: two Primary Components may exist."
    if me.opened:
        return Decision(
            Close(), sentence, evidence=_seen(facts.all), remedy=f"galerist explain {me.node}", role="superseded"
        )
    return Decision(
        Refuse(), sentence + " It is kept closed.", evidence=_seen(facts.all),
        remedy=f"stop {me.node}, then galerist reinit {me.node}", role="superseded",
    )  # fmt: skip


def _recorded(state: State, identity: Identity, view: View) -> State:
    """The state with a view recorded. A claim whose holder is not in the view is void (rule 8)."""
    claim = state.claim if state.claim is not None and state.claim.node in view.members else None
    return replace(state, identity=identity, view=view, claim=claim, writer=writers(state.writer, view.members))


def writers(former: tuple[str, ...], members: tuple[str, ...]) -> tuple[str, ...]:
    """The order of nodes for the write port: those present keep their order, the absent go last."""
    present = [name for name in former if name in members]
    present += [name for name in members if name not in present]
    return (*present, *(name for name in former if name not in members))


# -- words -----------------------------------------------------------------------------------


def _holder_alive(claim: Claim, reports: Iterable[Report]) -> bool:
    return any(report.node == claim.node and report.boot == claim.boot for report in reports)


def _peers(reports: Iterable[Report]) -> tuple[str, ...]:
    found = []
    for report in reports:
        host = report.endpoint.host
        found.append(
            f"[{host}]:{report.endpoint.gcomm_port}" if ":" in host else f"{host}:{report.endpoint.gcomm_port}"
        )
    return tuple(found)


def _names(names: Iterable[str]) -> str:
    listed = list(names)
    if len(listed) < 2:
        return "".join(listed)
    return f"{', '.join(listed[:-1])} and {listed[-1]}"


def _are(those: Sequence[object]) -> str:
    return "is" if len(those) == 1 else "are"


def _where(report: Report) -> str:
    if history.blank(report):
        return "an empty datadir"
    if report.position is None:
        return f"{report.data.value} data, position not known"
    return f"seqno {report.position.seqno}"


def _seen(reports: Iterable[Report]) -> tuple[str, ...]:
    return tuple(
        f"{report.node}: {report.server.value}"
        + (f", {report.cluster_status}" if report.server is Server.UP else "")
        + f", {_where(report)}"
        + (" (half transferred)" if report.data is Data.TAINTED else "")
        for report in reports
    )


def _stage(report: Report) -> str:
    return f" ({report.progress})" if report.progress else ""


__all__ = [
    "ZERO_UUID", "Ack", "Action", "Bootstrap", "Change", "Cleanse", "Close", "Confirm", "Decision", "Expect", "Facts",
    "Failure", "Join", "Open", "Position", "Recover", "Refuse", "Serve", "Stop", "Wait", "decide", "writers",
]  # fmt: skip
