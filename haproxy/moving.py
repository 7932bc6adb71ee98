"""How the write port goes from one node to another without two writers. Pure.

By order (a switchover, a drain): new sessions are *held*, those on the former writer end, and
when no proxy has any left, the new writer takes over. When the writer fails there is nothing
to wait for: HAProxy itself goes to the next node at once, and the recorded order follows.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace

from galerist.model import ProxyReport, State
from haproxy import sessions
from haproxy.control import Row
from haproxy.members import Layout
from haproxy.sessions import WRITE

_SLACK = 1.0  # s for other proxies, beyond the grace that their sessions have


@dataclass(slots=True)
class Mover:
    """``grace``: seconds that sessions of a former writer may go on. ``held``: new sessions wait."""

    grace: float
    held: bool = False
    to: str | None = None  # where the write port leads when the move is over
    _since: float = field(default=0.0)

    def look(
        self, rows: Mapping[tuple[str, str], Row], order: Sequence[str], elsewhere: Collection[str], now: float
    ) -> bool:
        """Whether new sessions are held. ``order``: nodes that may have the write port, the wanted one first.
        ``elsewhere``: nodes that other proxies write to. ``now`` is in seconds, on any clock."""
        self.to = next((name for name in order if _serves(rows.get((WRITE, name)))), None)
        leads = sessions.writer(rows)
        if not self.held:
            self.held = None not in (self.to, leads) and self.to != leads
            self._since = now
            return self.held
        left = any(row.sessions and name != self.to for (proxy, name), row in rows.items() if proxy == WRITE)
        over = now - self._since
        if self.to is None or over >= self.grace + _SLACK or not (left or set(elsewhere) - {self.to}):
            self.held = False
        return self.held


def silenced(layout: Layout) -> Layout:
    """The same, with no node for new sessions of the write port."""
    lines = tuple(replace(line, weight=0) for line in layout.servers.get(WRITE, ()))
    return replace(layout, servers={**layout.servers, WRITE: lines})


def order(layout: Layout) -> tuple[str, ...]:
    """The nodes that may have the write port, in the wanted order."""
    return tuple(line.name for line in layout.servers.get(WRITE, ()) if line.weight)


def elsewhere(proxies: Collection[ProxyReport]) -> tuple[str, ...]:
    """The nodes that these proxies write to."""
    return tuple(sorted({node for proxy in proxies for node in proxy.writing}))


def demoted(state: State, rows: Mapping[tuple[str, str], Row], cut: float) -> State | None:
    """The state in which the order of writers follows this proxy's failover, None where it does already.

    Nodes before the one that leads here go last, if they cannot be reached, refuse connections, or
    have taken no new sessions for ``cut`` seconds. A stall that passes changes nothing.
    """
    leads = sessions.writer(rows)
    if state.identity is None or leads not in state.writer:
        return None
    before = [name for name in state.writer[: state.writer.index(leads)] if name not in state.drained]
    gone = [name for name in before if _passed_over(rows.get((WRITE, name)), cut)]
    if not gone:
        return None
    return replace(state, writer=(*(name for name in state.writer if name not in gone), *gone))


def _passed_over(row: Row | None, cut: float) -> bool:
    if row is None or row.up or row.maint:
        return False
    if row.status.startswith("DOWN") and row.check in (*sessions.REFUSED, sessions.UNREACHABLE):
        return True
    return row.status.startswith(("DOWN", "NOLB")) and row.since >= cut


def _serves(row: Row | None) -> bool:
    return row is not None and row.running and not row.maint


@dataclass(slots=True)
class Overlap:
    """How long two nodes at a time get sessions of write ports, as far as this proxy knows. Seconds."""

    nodes: tuple[str, ...] = ()  # now; fewer than two: there is none
    count: int = 0
    last: float = 0.0
    longest: float = 0.0
    _since: float = field(default=0.0)

    def look(self, here: Collection[str], elsewhere: Collection[str], now: float) -> str:
        """What is worth telling, or nothing."""
        before, self.nodes = self.nodes, tuple(sorted({*here, *elsewhere}))
        if len(self.nodes) > 1 and len(before) < 2:
            self._since = now
            self.count += 1
        elif len(before) > 1 and len(self.nodes) < 2:
            self.last = now - self._since
            self.longest = max(self.longest, self.last)
            return f"{' and '.join(before)} had sessions of write ports at the same time for {self.last:.2f} s"
        return ""
