"""What an arbitrator (garbd) shall vote in. Pure.

It holds no data, reports nothing, and is waited for by nobody; it has a vote in Galera's quorum. A Primary Component of
which it is the last member would let in whoever comes, also a node that lacks commits, and give it no data: so it is
ended, without a farewell, when no data-bearing member is left. It returns when one serves again.
"""

from __future__ import annotations

from dataclasses import dataclass

from bootstrap import history
from bootstrap.joining import addresses
from galerist.model import Identity, Report, Server, State, newest


@dataclass(frozen=True, slots=True)
class Vote:
    """Where to vote: ``group`` is the ``wsrep_cluster_name`` of the newest generation, ``peers`` are ``host:port``."""

    group: str
    peers: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Verdict:
    """Where to vote, or nowhere, and why. ``serving``: members serve, and would go on without this vote if it were
    given back in order. ``doubtful``: a registry that was wiped or restored may say the same."""

    vote: Vote | None
    sentence: str
    serving: bool = False
    doubtful: bool = False


def verdict(state: State, reports: tuple[Report, ...], voting: str | None) -> Verdict:
    """Where the arbitrator belongs. ``voting``: the group in which it votes now."""
    known = history.known(state.identity, reports)
    if not isinstance(known, Identity):
        return Verdict(None, "No cluster is recorded, or two of them: nothing to vote in.", doubtful=True)
    view = state.view
    for report in reports:
        view = newest(view, report.view, known.generations)
    members = view.members if view is not None else ()
    void = {report.node for report in reports if report.server is not Server.UP or _lacking(report)}
    if members and all(name in void for name in members):
        words = f"No member of the last view ({', '.join(members)}) has the whole state: no vote until one serves."
        return Verdict(None, words, doubtful=True)
    group = known.generations[-1].cluster_name
    vote = Vote(group, addresses(report for report in reports if report.server is not Server.DOWN))
    serving = ", ".join(report.node for report in reports if report.synced and history.serves(report, known))
    if serving:
        unknown = voting is not None and all(generation.cluster_name != voting for generation in known.generations)
        return Verdict(vote, f"Voting in {group}, with {serving}.", serving=True, doubtful=unknown)
    if voting == group:
        return Verdict(vote, f"Voting in {group}; no member reports that it serves.")
    return Verdict(None, "No member reports that it serves: no vote until one does.", doubtful=True)


def _lacking(report: Report) -> bool:
    """Whether this member of a Primary Component waits for a state that nobody may be there to give."""
    return report.primary and report.local_state < 2


class Voter:
    """Takes back a vote that stands on lasting evidence only. The clock is the caller's (s)."""

    def __init__(self, ttl: float) -> None:
        self._doubt = 1.5 * ttl  # by then reports that came out of a backup have lost their leases
        self._since: float | None = None

    def decide(self, state: State, reports: tuple[Report, ...], voting: str | None, now: float) -> Verdict:
        """Where to vote now."""
        found = verdict(state, reports, voting)
        same = found.vote is not None and found.vote.group == voting
        if voting is None or same or not found.doubtful:
            self._since = None
            return found
        self._since = now if self._since is None else self._since
        if now - self._since < self._doubt:
            return Verdict(Vote(voting, ()), f"Voting in {voting} for now. {found.sentence}", found.serving)
        return found
