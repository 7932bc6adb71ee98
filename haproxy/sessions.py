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
_REFUSED, _UNREACHABLE = "L4CON", "L4TOUT"


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
    return row.check == _REFUSED or row.since >= (min(stop, cut) if row.check == _UNREACHABLE else cut)


def misplaced(proxy: str, server: str, rows: Mapping[tuple[str, str], Row], leads: str | None) -> bool:
    """Whether a session of the write port is on a node that serves and is not the writer.

    One that is DOWN or drains (NOLB) is not for this rule, and while there is no writer nobody is.
    """
    row = rows.get((proxy, server))
    if proxy != WRITE or row is None or leads in (None, server):
        return False
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


@dataclass(slots=True)
class Farewell:
    """Sessions that are to end, each as soon as it is quiet, at the latest after ``grace`` seconds.

    Quiet: it has carried nothing between two looks. A statement under way is thereby
    answered first, unless it takes longer than the looks are apart. Without ``quietly`` all wait
    for the end of the grace.
    """

    grace: float
    quietly: bool = True
    _seen: dict[str, tuple[float, int]] = field(default_factory=dict)  # since when, bytes carried

    def due(self, sessions: Collection[Session], now: float) -> tuple[Session, ...]:
        """Which of ``sessions``, all that are to end, end now. ``now`` is in seconds, on any clock."""
        before, self._seen = self._seen, {}
        due = []
        for session in sessions:
            since, moved = before.get(session.id, (now, -1))
            if now - since >= self.grace or (self.quietly and moved == session.moved):
                due.append(session)
            self._seen[session.id] = (since, session.moved)
        return tuple(due)
