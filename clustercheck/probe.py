"""The commit probe: a write of the node's own row, to find out whether commits hang.

Two threads, both off the path of requests. One writes; it has one connection and never more
than one write under way, since a commit that hangs can neither be killed nor timed out. The
other looks, while a write is late, for what explains it.
"""

from __future__ import annotations

import contextlib
import logging
import math
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from clustercheck.poller import Source, connect, hung
from clustercheck.probing import PeerSays, explain, still_blamed
from clustercheck.verdict import OK, Policy, Probe, Status, verdict

if TYPE_CHECKING:
    import pymysql

log = logging.getLogger("clustercheck")

_WRITE = "INSERT INTO galerist.probe (node, written) VALUES (%s, NOW(6)) ON DUPLICATE KEY UPDATE written = NOW(6)"
_SESSION = ", autocommit=1, innodb_lock_wait_timeout=10, lock_wait_timeout=10"
_DDL_RUNS = "SELECT galerist.ddl_runs()"

_MISSING = {1044, 1045, 1049, 1142, 1143, 1146, 1305, 1370}
"""Errors that say there is no table, no function or no right to it: a cluster made by an older galerist."""

_NO_ANSWER_OF_A_COMMIT = {1205}
"""The row is locked, by a former write of ours that hangs: so does this one."""

LOOK_AGAIN = 60.0
"""Seconds after which a table that was missing is looked for again."""

FLOW_CONTROL = 0.05
"""Share of the last seconds from which on flow control counts as an explanation."""


@dataclass(frozen=True, slots=True)
class Rhythm:
    """``interval`` between two writes and ``late``, when a write counts as late: seconds."""

    interval: float = 5.0
    late: float = 5.0


class Prober:
    """Probes in threads of its own; :meth:`probe` never waits.

    ``observed`` is the node's status without the probe, ``ask_peers`` asks the other members.
    """

    def __init__(
        self,
        source: Source,
        node: str,
        rhythm: Rhythm,
        policy: Policy,
        observed: Callable[[], Status],
        ask_peers: Callable[[Status], Sequence[PeerSays]],
    ) -> None:
        self._source, self._node, self._rhythm, self._policy = source, node, rhythm, policy
        self._observed, self._ask_peers = observed, ask_peers
        self._stop = threading.Event()
        self._since: float | None = None  # when the present write began
        self._last: tuple[float, float] | None = None  # beginning and duration of the last that went through
        self._off = ""
        self._resting = "not begun"
        self._judged: tuple[float, str] | None = None  # the write judged, and what explains it (empty: nothing)
        self._held_up = -math.inf  # when DDL or flow control was last seen to
        self._connection: pymysql.connections.Connection | None = None
        self._asking: pymysql.connections.Connection | None = None

    def start(self) -> None:
        for work, name in ((self._write_on, "probe"), (self._judge_on, "probe judge")):
            threading.Thread(target=work, name=name, daemon=True).start()

    def stop(self) -> None:
        """No more writes. One that hangs is left to the end of the process."""
        self._stop.set()

    def probe(self) -> Probe:
        """How it fares now."""
        now = time.monotonic()
        since, last, judged = self._since, self._last, self._judged
        pending = None if since is None else now - since
        took, ago = (last[1], now - last[0]) if last is not None else (None, None)
        if self._off:
            return Probe("off", self._off)
        if since is not None and judged is not None and judged[0] == since:
            note = judged[1] or f"a write has waited for {now - since:.0f} s, and others' went through meanwhile"
            return Probe("explained" if judged[1] else "late", note, pending, took, ago)
        if since is None and (self._resting or last is None):
            return Probe("resting", self._resting, pending, took, ago)
        return Probe("ok", "", pending, took, ago)

    # -- writing -----------------------------------------------------------------------------

    def _write_on(self) -> None:
        pause = 0.0
        while not self._stop.wait(pause):
            try:
                pause = self._once()
            except Exception:  # the thread must outlive whatever a driver may raise
                log.exception("the commit probe failed")
                self._drop()
                self._since = None
                pause = self._rhythm.interval
        self._drop()

    def _once(self) -> float:
        """One write, where the node is in a state for it; seconds until the next."""
        import pymysql

        status = self._observed()
        judged = verdict(status, self._policy)
        # On a donor or a desynced node a write may hang by right, and a read-only node refuses it.
        facts = status.facts
        fit = judged.code == OK and judged.cause == "synced" and facts is not None and not facts.read_only
        self._resting = "" if fit or self._since is not None else f"not while {judged.reason}"
        if not fit and self._since is None:
            return 1.0
        began = self._since if self._since is not None else time.monotonic()
        try:
            connection = self._connection or connect(self._source, None, _SESSION)
            self._connection = connection
            self._since = began
            with connection.cursor() as cursor:
                cursor.execute(_WRITE, (self._node,))
        except (pymysql.MySQLError, OSError) as error:
            return self._failed(error)
        self._last, self._since, self._off = (began, time.monotonic() - began), None, ""
        return self._rhythm.interval

    def _failed(self, error: Exception) -> float:
        number = error.args[0] if error.args and isinstance(error.args[0], int) else 0
        if number in _NO_ANSWER_OF_A_COMMIT:
            return 0.5  # the same write goes on
        self._since = None
        if number in _MISSING:
            reason = f"there is no table galerist.probe that {self._source.user} may write to ({error.args[-1]})"
            if not self._off:
                log.warning("No commit probe: %s", reason)
            self._off = reason
            self._drop()
            return LOOK_AGAIN
        self._resting = f"the last write failed: {error.args[-1] if error.args else type(error).__name__}"
        self._drop()  # also after a refusal that is none of ours: a new session knows nothing of it
        return self._rhythm.interval

    # -- judging -----------------------------------------------------------------------------

    def _judge_on(self) -> None:
        while not self._stop.wait(0.25):
            try:
                self._judge()
            except Exception:
                log.exception("judging the commit probe failed")

    def _judge(self) -> None:
        since = self._since
        if since is None or time.monotonic() - since < self._rhythm.late:
            self._judged = None
            return
        status = self._observed()
        pending = time.monotonic() - since  # before the others are asked: what they say is younger than that
        peers = self._ask_peers(status)
        blamed = self._judged == (since, "")
        if blamed:
            explained = "" if still_blamed(peers) else "no other member is usable"
        else:
            facts = status.facts
            flow = facts is not None and (facts.flow_control or 0.0) > FLOW_CONTROL
            ddl, now = self._ddl_runs(), time.monotonic()
            if flow or ddl:
                self._held_up = now
            explained = explain(pending, flow, ddl, now - self._held_up < self._rhythm.late, peers)
        if self._since == since:  # else it went through meanwhile
            self._judged = since, explained

    def _ddl_runs(self) -> bool | None:
        """Whether DDL runs in total order isolation here, None when that cannot be asked."""
        import pymysql

        try:
            connection = self._asking or connect(self._source, self._source.timeout)
            self._asking = connection
            with connection.cursor() as cursor:
                cursor.execute(_DDL_RUNS)
                row: Any = cursor.fetchone()
            return bool(row[0])
        except (pymysql.MySQLError, OSError, TypeError) as error:
            if not hung(error):
                log.debug("whether DDL runs cannot be asked: %s", error)
            _close(self._asking)
            self._asking = None
            return None

    def _drop(self) -> None:
        _close(self._connection)
        self._connection = None


def _close(connection: pymysql.connections.Connection | None) -> None:
    if connection is not None:
        with contextlib.suppress(Exception):
            connection._force_close()  # type: ignore[attr-defined]  # close() would wait for a server that hangs
