"""Which histories there are, and whether a node belongs to ours. Pure functions.

An equal uuid is not an equal history: the uuid survives every re-bootstrap. What tells
histories apart is the list of generations, kept in the registry and in each node's stamp.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from galerist.model import ZERO_UUID, Attempt, Data, Identity, Position, Report, Server


@dataclass(frozen=True, slots=True)
class Conflict:
    """Two histories contradict one another."""

    text: str


def has(identity: Identity, generation: str) -> bool:
    """Whether the generation with that id is recorded in ``identity``."""
    return any(known.id == generation for known in identity.generations)


def upto(identity: Identity, generation: str) -> Identity:
    """The history until (and with) that generation."""
    ids = [known.id for known in identity.generations]
    return Identity(identity.uuid, identity.generations[: ids.index(generation) + 1])


def follows(one: Identity, other: Identity) -> bool:
    """Whether ``one`` continues ``other`` or equals it."""
    return one.uuid == other.uuid and one.generations[: len(other.generations)] == other.generations


def known(recorded: Identity | None, reports: Iterable[Report]) -> Identity | Conflict | None:
    """The cluster's history from the registry and all stamps: the longest one that continues the rest.

    A registry that was wiped or restored knows less than the stamps, and a stamp carries a
    generation only after it was recorded, so a longer history is believed. With a recorded
    identity, a stamp that contradicts it is that node's problem (quarantine); without one,
    or between two continuations, nobody can say who is right.
    """
    best = recorded
    branches: list[tuple[str, Identity]] = []
    for report in reports:
        if report.identity is None or not report.identity.generations:
            continue
        if recorded is not None and not follows(report.identity, recorded):
            continue
        branches.append((report.node, report.identity))
        if best is None or len(report.identity.generations) > len(best.generations):
            best = report.identity
    for node, identity in branches:
        assert best is not None
        if not follows(best, identity):
            return Conflict(
                f"{node} has generations {', '.join(g.id for g in identity.generations)}, another node has others"
            )
    return best


def void(report: Report, identity: Identity | None) -> Attempt | None:
    """The attempt to bootstrap that was started on this node and never recorded."""
    attempt = report.attempt
    if attempt is None or (identity is not None and has(identity, attempt.nonce)):
        return None
    return attempt


def blank(report: Report) -> bool:
    """Whether the datadir holds nothing; one that galerist initialised for an unrecorded attempt counts as such."""
    return report.data is Data.EMPTY


def standing(report: Report, identity: Identity | None) -> Position | None:
    """The position that counts. A void attempt used up seqnos for views only: what counts is where it began."""
    attempt = void(report, identity)
    if attempt is not None:
        return attempt.position
    return None if blank(report) else report.position


def lineage(report: Report) -> str:
    """What cluster the data belong to, as a word; data without a Galera uuid are a lineage of their own."""
    position = standing(report, None)
    if report.data is Data.STANDALONE or position is None or position.uuid == ZERO_UUID:
        return f"standalone data of {report.node}"
    return position.uuid


def generation(report: Report, identity: Identity) -> str | None:
    """The generation that the report speaks of; None while its bootstrap is not recorded."""
    if void(report, identity) is not None:
        return None
    if report.attempt is not None:
        return report.attempt.nonce
    return report.identity.generations[-1].id if report.identity is not None and report.identity.generations else None


def serves(report: Report, identity: Identity) -> bool:
    """Whether this is a live member of the newest generation's Primary Component."""
    return report.primary and generation(report, identity) == identity.generations[-1].id


def estranged(report: Report, identity: Identity) -> str | None:
    """Why a node's data do not belong to this history (rule 3), None when they do."""
    if blank(report) or report.data is Data.TAINTED:
        return None
    position = standing(report, identity)
    if report.data is Data.STANDALONE:
        return f"the datadir of {report.node} holds data of a server that was never part of this cluster"
    if position is not None and position.uuid not in (identity.uuid, ZERO_UUID):
        return f"the datadir of {report.node} belongs to another cluster ({position.uuid})"
    own = membership(report, identity)
    if own is not None:
        strangers = [known.id for known in own.generations if not has(identity, known.id)]
        if strangers or not follows(identity, own):
            return f"{report.node} was part of generation {', '.join(strangers) or own.generations[-1].id}, which this cluster does not know"
    length = len(own.generations) if own is not None else 0
    if position is not None:
        for later in identity.generations[length:]:
            if position.seqno > later.begins:
                return (
                    f"{report.node} is at seqno {position.seqno}, beyond the beginning ({later.begins}) of generation "
                    f"{later.id}, which it was not part of: it holds commits that the cluster does not"
                )
    return None


def membership(report: Report, identity: Identity) -> Identity | None:
    """The generations that the node was part of: those of its stamp, and the one that it began itself,
    once that is known to be recorded though the stamp does not say so yet."""
    if report.attempt is not None and has(identity, report.attempt.nonce):
        own = upto(identity, report.attempt.nonce)
        if report.identity is None or follows(own, report.identity):
            return own
    return report.identity


def candidate(report: Report, identity: Identity) -> bool:
    """Whether the node may start the next generation: complete data, of the newest generation."""
    return part(report, identity) and _newest(membership(report, identity)) == _newest(identity)


def part(report: Report, identity: Identity) -> bool:
    """Whether the node's data are complete, and a beginning of this history (or all of it)."""
    return (
        report.data is Data.PRESENT
        and not blank(report)
        and report.problem is None
        and standing(report, identity) is not None
        and estranged(report, identity) is None
    )


def _newest(identity: Identity | None) -> str | None:
    return identity.generations[-1].id if identity is not None and identity.generations else None


def best(candidates: Iterable[Report], identity: Identity | None, claimed: str | None) -> Report:
    """The highest position; then a datadir without a void attempt; then a server that runs (its caches
    are warm); then the lowest name.

    ``claimed`` is the nonce of the claim that stands: the attempt that rests on it is not void.
    """

    def rank(report: Report) -> tuple[int, bool, bool, str]:
        position = standing(report, identity)
        attempt = void(report, identity)
        spoilt = attempt is not None and attempt.nonce != claimed
        return (-(position.seqno if position is not None else -1), spoilt, report.server is Server.DOWN, report.node)

    return min(candidates, key=rank)
