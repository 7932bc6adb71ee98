"""The running worker, over its stats socket: what it has, what is changed in it, which sessions end.

Level-triggered: each call compares what is wanted with what HAProxy says of itself, so a
step that was lost, done by halves or undone by somebody is done at the next call.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from haproxy import members, sessions
from haproxy.control import Row, Session, ask, read_busy, read_queues, read_rows, read_sessions
from haproxy.members import MANAGED, Layout, Plan
from haproxy.moving import Mover, order, silenced
from haproxy.sessions import WRITE, Farewell

_EXPECTED = ("New server registered.", "Server deleted.", "Server still has connections attached to it")
HOLDS = "lua.galerist_wait"
"""In a configuration that lets new sessions wait; without it they would be refused."""

_TOLD = 100  # sessions asked for at once
_ROUNDS = 4  # a step may make room for another


@dataclass(frozen=True, slots=True)
class Patience:
    """Seconds. ``stop``: after how long an unusable node gets no new sessions. ``cut``: how long it
    keeps those it has. ``grace``: how long a session on a former writer may go on when it was moved by
    order. ``drain``: how long sessions on a drained node may."""

    stop: float = 1.0
    cut: float = 5.0
    grace: float = 2.0
    drain: float = 30.0


@functools.lru_cache(maxsize=8)
def layout(text: str) -> Layout:
    return members.read_layout(text)


class Runtime:
    """One worker's stats socket. ``rows`` are as they were last read."""

    def __init__(self, socket: Path, patience: Patience) -> None:
        self._socket = socket
        self._patience = patience
        self._moving = Farewell(patience.grace)
        self._stray = Farewell(0.1 * patience.stop)  # two writers: never for a whole check interval
        self.mover = Mover(patience.grace)
        self._draining = Farewell(patience.drain, quietly=False)
        self._since: dict[tuple[str, str], tuple[bool, float]] = {}  # whether down, and first seen so
        self.rows: Mapping[tuple[str, str], Row] = {}
        self._queues: frozenset[str] = frozenset()
        self.leaving: frozenset[tuple[str, str]] = frozenset()

    def look(self) -> Mapping[tuple[str, str], Row]:
        """Raises :class:`haproxy.control.Mute`."""
        states, stat = ask(self._socket, "show servers state"), ask(self._socket, "show stat")
        rows, self._queues = read_rows(states, stat), read_queues(stat)
        # HAProxy counts whole seconds, and up to one too many: what was seen here counts as far as it goes.
        now, before = time.monotonic(), self._since
        self._since = {}
        for key, row in rows.items():
            down = row.status.startswith("DOWN")
            former, began = before.get(key, (down, now))
            self._since[key] = (down, began if former == down else now)
        self.rows = {
            key: replace(row, since=max(now - self._since[key][1], row.since - 1.0)) for key, row in rows.items()
        }
        return self.rows

    def align(self, wanted: Layout, former: Layout, elsewhere: Collection[str] = ()) -> str:
        """Do all that can be done now. The reason if a reload is needed instead, else nothing;
        ``leaving`` are then the servers that wait for their sessions to end, and while ``mover.held``
        the writer is still to be moved. ``elsewhere``: nodes that other proxies write to. Raises Mute."""
        target = order(wanted)
        now = time.monotonic()
        for _ in range(2):  # a move that nobody need wait for begins and ends at once
            rows = self.look()
            held = HOLDS in wanted.structure and self.mover.look(rows, target, elsewhere, now)
            if reason := self._align(silenced(wanted) if held else wanted, former, rows):
                return reason
            if not held:
                self._call_the_queue()
                break
        return ""

    def _call_the_queue(self) -> None:
        """A session that came in the very moment in which no server had a weight is queued, and HAProxy 2.6 does not
        look at its queue when a weight changes: it would wait for the end of another session, or for 3 s in vain.
        When a server's maxconn is set, to whatever it is, HAProxy does look."""
        for (proxy, server), row in self.rows.items():
            if proxy in self._queues and row.up and row.weight:
                ask(self._socket, f"set maxconn server {proxy}/{server} {row.limit}")

    def _align(self, wanted: Layout, former: Layout, rows: Mapping[tuple[str, str], Row]) -> str:
        complaints: list[str] = []
        steps: tuple[tuple[str, str], ...] = ()
        left = Plan()
        for _ in range(_ROUNDS):
            left = members.plan(wanted, former, rows)
            if left.reload or not left.steps or left.steps == steps:
                break
            steps = left.steps
            for _, command in steps:
                answer = ask(self._socket, command)
                complaints += [line for line in answer.splitlines() if line and not line.startswith(_EXPECTED)]
            rows = self.look()
        self.leaving = left.leaving
        stuck = [command for server, command in left.steps if tuple(server.split("/", 1)) not in left.leaving]
        if stuck and not left.reload:
            return f"HAProxy does not take {stuck[0]!r} at run time: {'; '.join(list(dict.fromkeys(complaints))[:3]) or 'it says nothing'}"
        return left.reload

    def end_sessions(self, drained: frozenset[str], urgent: bool = False) -> int:
        """End what must end, by the rows as last read; how many sessions. ``urgent``: another proxy
        writes to another node already. Raises Mute."""
        ended = 0
        held = self.mover.held
        leads = self.mover.to if held else sessions.writer(self.rows)
        going: set[tuple[str, str]] = set()
        stray: set[tuple[str, str]] = set()
        draining: set[tuple[str, str]] = set()
        for (proxy, server), row in self.rows.items():
            if proxy not in MANAGED or not row.sessions:
                continue
            if sessions.lost(row, self._patience.stop, self._patience.cut):
                ask(self._socket, f"shutdown sessions server {proxy}/{server}")
                ended += row.sessions
            elif sessions.misplaced(proxy, server, self.rows, leads):
                (stray if urgent or not held else going).add((proxy, server))
            elif (proxy, server) in self.leaving:
                going.add((proxy, server))
            elif server in drained:
                draining.add((proxy, server))
        now = time.monotonic()
        found = self._sessions(going | stray, draining)
        for farewell, servers in ((self._moving, going), (self._stray, stray), (self._draining, draining)):
            for session in farewell.due([one for one in found if (one.proxy, one.server) in servers], now):
                ask(self._socket, f"shutdown session {session.id}")
                ended += 1
        self.busy = held or bool(going or stray)
        return ended

    def _sessions(self, moving: set[tuple[str, str]], others: set[tuple[str, str]]) -> tuple[Session, ...]:
        """The sessions on these servers, the ``moving`` ones with what they have carried. All that there are to
        tell of thousands would be megabytes, at each look."""
        if not moving and not others:
            return ()
        listed = read_sessions(ask(self._socket, "show sess"))
        there = [one.id for one in listed if (one.proxy, one.server) in moving]
        told: list[Session] = []
        for first in range(0, len(there), _TOLD):
            told += read_busy(
                ask(self._socket, "; ".join(f"show sess {name}" for name in there[first : first + _TOLD]))
            )
        return (
            *(one for one in told if (one.proxy, one.server) in moving),
            *(one for one in listed if (one.proxy, one.server) in others - moving),
        )

    busy = False
    """Sessions of the write port are being moved: look again soon."""

    def writing(self) -> tuple[str, ...]:
        """Who takes new sessions of the write port, then who else still has some, by name."""
        leads = sessions.writer(self.rows)
        others = sorted(n for (p, n), row in self.rows.items() if p == WRITE and row.sessions and n != leads)
        return ((leads,) if leads is not None else ()) + tuple(others)

    def serving(self) -> tuple[str, ...]:
        """The nodes with sessions of any port, by name."""
        return tuple(sorted({n for (p, n), row in self.rows.items() if p in MANAGED and row.sessions}))
