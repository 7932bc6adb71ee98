"""Asks the local mariadbd how it is: one thread, one connection that is kept.

Only SHOW is used. It answers in every state of a Galera node, with
``wsrep_reject_queries=ALL`` and outside a Primary Component too, where even
``SELECT @@variable`` may be refused with error 1047; and USAGE is enough for it.
"""

from __future__ import annotations

import contextlib
import logging
import math
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from clustercheck.files import AgentFile, read_disabled
from clustercheck.verdict import Facts, Probe, Status

if TYPE_CHECKING:
    import pymysql

    from galerist.settings import Secret

log = logging.getLogger("clustercheck")

_VARIABLES = (
    "read_only",
    "wsrep_on",
    "wsrep_desync",
    "wsrep_reject_queries",
    "wsrep_sst_donor_rejects_queries",
    "wsrep_sst_method",
)
# Both in one round trip. LIKE, not WHERE: the server then skips the other variables.
_QUESTION = "SHOW GLOBAL STATUS LIKE 'wsrep\\_%'; SHOW GLOBAL VARIABLES WHERE Variable_name IN ({})".format(
    ", ".join(f"'{name}'" for name in _VARIABLES)
)


@dataclass(frozen=True, slots=True)
class Source:
    """Where the poller asks. ``interval`` and ``timeout`` (per step of a poll) are in seconds."""

    socket: str
    user: str
    password: Secret | None
    agent_file: Path
    disabled_file: Path
    interval: float = 0.2
    timeout: float = 2.0


@dataclass(frozen=True, slots=True)
class _Heard:
    """The last that was heard; ``at`` is on the monotonic clock."""

    facts: Facts | None = None
    at: float = -math.inf
    trouble: str = ""
    figures: dict[str, float] = field(default_factory=dict)


@dataclass(slots=True)
class Counts:
    """What the poller itself did, for the metrics. Times are seconds."""

    polls: int = 0
    failures: int = 0
    spent: float = 0.0


class FlowControl:
    """For what share of the last seconds flow control paused this node."""

    def __init__(self, window: float = 5.0) -> None:
        self._window = window
        self._seen: deque[tuple[float, float]] = deque()  # time, nanoseconds paused since the server started

    def share(self, now: float, paused: float | None) -> float | None:
        """0 to 1; None before there are two looks to compare."""
        if paused is None or (self._seen and paused < self._seen[-1][1]):  # FLUSH STATUS, or another server
            self._seen.clear()
        if paused is None:
            return None
        self._seen.append((now, paused))
        while len(self._seen) > 2 and self._seen[1][0] <= now - self._window:
            self._seen.popleft()
        since, before = self._seen[0]
        return min(1.0, (paused - before) / 1e9 / (now - since)) if now > since else None


class Poller:
    """Polls in a thread of its own; :meth:`status` never waits for the server.

    ``probe`` says how the commit probe fares; ``polled`` is called after each poll.
    """

    def __init__(
        self, source: Source, polled: Callable[[], None] = lambda: None, probe: Callable[[], Probe] = Probe
    ) -> None:
        self._source = source
        self._polled = polled
        self._probe = probe
        self._agent = AgentFile(source.agent_file)
        self._flow = FlowControl()
        self.counts = Counts()
        self._heard = _Heard()
        self._connection: pymysql.connections.Connection | None = None
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="poller", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Ends the thread. One that waits for a server that hangs is left to the end of the process."""
        self._stop.set()
        self._thread.join(0.5)

    def status(self) -> Status:
        """What is known now. Cheap: two small files are looked at, nobody is asked."""
        return replace(self.observed(), probe=self._probe())

    def observed(self) -> Status:
        """What is known now, without the commit probe."""
        heard = self._heard
        return Status(
            facts=heard.facts,
            age=time.monotonic() - heard.at,
            trouble=heard.trouble,
            disabled=read_disabled(self._source.disabled_file),
            agent=self._agent.read(),
            figures=heard.figures,
        )

    def poll(self) -> None:
        """One pass. Whatever is not known for certain leaves the former facts to grow old."""
        began = time.monotonic()
        self.counts.polls += 1
        if not self._poll():
            self.counts.failures += 1
        self.counts.spent += time.monotonic() - began

    def close(self) -> None:
        """Let go of the connection."""
        self._drop()

    def _run(self) -> None:
        while True:
            try:
                self.poll()
                self._polled()
            except Exception:  # the thread must outlive whatever a driver may raise
                log.exception("a poll failed")
            if self._stop.wait(self._source.interval):
                break
        self._drop()

    def _poll(self, again: bool = False) -> bool:
        import pymysql

        kept = self._connection is not None
        began = time.monotonic()
        try:
            said = self._ask()
            figures = numbers(said)
            flow = self._flow.share(began, figures.get("wsrep_flow_control_paused_ns"))
            self._heard = _Heard(replace(parse(said), flow_control=flow), began, "", figures)
        except (pymysql.MySQLError, OSError) as error:
            self._drop()
            if hung(error):
                # What one server said says nothing of the next one, which may be long in coming up.
                self._heard = _Heard() if again else replace(self._heard, trouble="")
            elif kept:  # the server may have closed just this connection
                return self._poll(again=True)
            else:
                self._heard = _Heard(trouble=f"{_text(error)}, socket {self._source.socket}")
            return False
        return True

    def _ask(self) -> dict[str, str]:
        connection = self._connection or self._connect()
        self._connection = connection
        rows: list[tuple[str, str]] = []
        with connection.cursor() as cursor:
            cursor.execute(_QUESTION)
            rows.extend(cursor.fetchall())
            while cursor.nextset():
                rows.extend(cursor.fetchall())
        return {name.lower(): value for name, value in rows}

    def _connect(self) -> pymysql.connections.Connection:
        from pymysql.constants import CLIENT

        return connect(self._source, self._source.timeout, client_flag=CLIENT.MULTI_STATEMENTS)

    def _drop(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            with contextlib.suppress(Exception):
                # close() would wait for a server that hangs
                connection._force_close()  # type: ignore[attr-defined]


def connect(
    source: Source, answer_within: float | None, session: str = "", client_flag: int = 0
) -> pymysql.connections.Connection:
    """A connection over the server's socket. ``answer_within`` (seconds) bounds each statement, None does not;
    ``session`` are further variables to set. Raises pymysql.MySQLError, OSError."""
    import pymysql

    return pymysql.connect(
        unix_socket=source.socket,
        user=source.user,
        password=source.password.reread() if source.password is not None else "",
        connect_timeout=source.timeout,
        read_timeout=answer_within,
        write_timeout=source.timeout,
        ssl_disabled=True,  # a local socket; a TLS context would take 20 ms of each attempt
        client_flag=client_flag,
        autocommit=None,  # it would be a statement more
        # A health check must not wait for the cluster, nor be ended by limits that were set for clients.
        init_command=f"SET SESSION wsrep_sync_wait=0, max_statement_time=0, wait_timeout=86400{session}",
    )


def parse(said: Mapping[str, str]) -> Facts:
    """Facts from the rows of SHOW; what is absent or odd keeps the cautious default."""
    worst = Facts()
    return Facts(
        cluster_status=said.get("wsrep_cluster_status", worst.cluster_status),
        connected=said.get("wsrep_connected") == "ON",
        ready=said.get("wsrep_ready") == "ON",
        replicates=said.get("wsrep_on") == "ON",
        local_state=_number(said.get("wsrep_local_state")),
        reject_queries=said.get("wsrep_reject_queries", worst.reject_queries),
        donor_rejects_queries=said.get("wsrep_sst_donor_rejects_queries") != "OFF",
        sst_method=said.get("wsrep_sst_method", worst.sst_method),
        desync=said.get("wsrep_desync") != "OFF",
        read_only=said.get("read_only") != "OFF",  # later servers know more than ON
        members=_members(said.get("wsrep_incoming_addresses", "")),
        cluster_size=_number(said.get("wsrep_cluster_size")),
        cluster_uuid=said.get("wsrep_cluster_state_uuid", ""),
        recv_queue=_number(said.get("wsrep_local_recv_queue")),
    )


def _members(listed: str) -> tuple[str, ...]:
    """Listeners by the text of ``wsrep_incoming_addresses``; none where one of them is not named. An arbitrator has none."""
    found = tuple(one for one in listed.split(",") if one)
    return () if "AUTO" in found else found


def numbers(said: Mapping[str, str]) -> dict[str, float]:
    """The status variables that are finite numbers."""
    found: dict[str, float] = {}
    for name, value in said.items():
        with contextlib.suppress(ValueError):
            number = float(value)
            if name.startswith("wsrep_") and math.isfinite(number):
                found[name] = number
    return found


def hung(error: BaseException | None) -> bool:
    """True when somebody did not answer in time, which is no proof that he is gone."""
    while error is not None:
        if isinstance(error, TimeoutError):
            return True
        error = getattr(error, "original_exception", None) or error.__cause__ or error.__context__
    return False


def _number(text: str | None) -> int | None:
    try:
        return int(text) if text is not None else None
    except ValueError:
        return None


def _text(error: BaseException) -> str:
    if len(error.args) == 2 and isinstance(error.args[1], str):  # PyMySQL: (number, text)
        return error.args[1]
    return str(error) or type(error).__name__
