"""Which sessions must end though nobody has closed them. Pure.

HAProxy itself ends none: it only stops to send new ones. So a node that stalls for a
moment keeps its sessions, and they end when it has been out of service for ``cut`` seconds;
a node that refuses connections is dead, and they end at once. On the write port sessions
also end on nodes that are not the writer.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from haproxy.control import Row, Session

WRITE = "write"
REFUSED, UNREACHABLE = ("L4CON", "HANA"), "L4TOUT"  # HANA: a client's connection failed


def writer(rows: Mapping[tuple[str, str], Row]) -> str | None:
    """The node that takes new sessions of the write port: of those that can, the one with the lowest id."""
    usable = [(row.id, name) for (proxy, name), row in rows.items() if proxy == WRITE and row.up and row.weight]
    return min(usable)[1] if usable else None


def lost(row: Row | None, stop: float, cut: float) -> bool:
    """Whether the node's sessions must end whatever they do. ``stop`` and ``cut`` are seconds out of service.

    A node that refuses connections is dead. One that cannot be reached is taken for dead after
    twice as long as it takes to be down, so that a few lost packets cut nobody.
    """
    if row is None or row.status.startswith("MAINT"):
        return True
    if not row.status.startswith("DOWN") or row.code == "404":
        return False  # 404: it is drained, its sessions may live
    return row.check in REFUSED or row.since >= (min(stop, cut) if row.check == UNREACHABLE else cut)


def misplaced(proxy: str, server: str, rows: Mapping[tuple[str, str], Row], leads: str | None) -> bool:
    """Whether a session of the write port is on a node that serves and is not the writer.

    One that is DOWN is not for this rule, nor one that drains (NOLB) and is still before the writer
    in the order; and while there is no writer nobody is.
    """
    row, first = rows.get((proxy, server)), rows.get((WRITE, leads or ""))
    if proxy != WRITE or row is None or leads in (None, server):
        return False
    if row.status.startswith("NOLB"):
        return first is not None and row.id > first.id
    return row.up or row.weight == 0


def leftovers(
    sessions: Collection[Session], rows: Mapping[tuple[str, str], Row], stop: float, cut: float
) -> tuple[Session, ...]:
    """Which sessions of an old worker must end. It checks nobody any more: ``rows`` are the current worker's."""
    leads = writer(rows)
    return tuple(
        session
        for session in sessions
        if lost(rows.get((session.proxy, session.server)), stop, cut)
        or misplaced(session.proxy, session.server, rows, leads)
    )


_QUIET = 0.1  # s


@dataclass(frozen=True, slots=True)
class _Seen:
    since: float  # when it was first to end
    moved: float  # when it last carried something
    sent: int
    received: int
    asked: bool  # what it carried last was from the client


@dataclass(slots=True)
class Farewell:
    """Sessions that are to end, each as soon as it is quiet, at the latest after ``grace`` seconds.

    Quiet: it has carried nothing for a while, and what it carried last was no question without
    an answer. A statement under way is thereby answered first, unless it has begun long before.
    Without ``quietly`` all wait for the end of the grace.
    """

    grace: float
    quietly: bool = True
    _seen: dict[str, _Seen] = field(default_factory=dict)

    def due(self, sessions: Collection[Session], now: float) -> tuple[Session, ...]:
        """Which of ``sessions``, all that are to end, end now. ``now`` is in seconds, on any clock."""
        before, self._seen = self._seen, {}
        due = []
        for session in sessions:
            seen = before.get(session.id) or _Seen(now, now, session.sent, session.received, False)
            if (seen.sent, seen.received) != (session.sent, session.received):
                asked = seen.received == session.received
                seen = _Seen(seen.since, now, session.sent, session.received, asked)
            quiet = self.quietly and not seen.asked and now - seen.moved >= _QUIET
            if quiet or now - seen.since >= self.grace:
                due.append(session)
            self._seen[session.id] = seen
        return tuple(due)
