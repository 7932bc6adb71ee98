"""Asks the local mariadbd how it is: one thread, one connection that is kept.

Only SHOW is used. It answers in every state of a Galera node, with
``wsrep_reject_queries=ALL`` and outside a Primary Component too, where even
``SELECT @@variable`` may be refused with error 1047; and USAGE is enough for it.
"""

from __future__ import annotations

import contextlib
import json
import logging
import math
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from clustercheck.verdict import Agent, Facts, Status

if TYPE_CHECKING:
    import pymysql

log = logging.getLogger("clustercheck")

_VARIABLES = (
    "read_only",
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
    password: str
    agent_file: Path
    disabled_file: Path
    interval: float = 0.5
    timeout: float = 1.0


@dataclass(frozen=True, slots=True)
class _Heard:
    """The last that was heard; ``at`` is on the monotonic clock."""

    facts: Facts | None = None
    at: float = -math.inf
    trouble: str = ""


class Poller:
    """Polls in a thread of its own; :meth:`status` never waits for the server."""

    def __init__(self, source: Source, polled: Callable[[], None] = lambda: None) -> None:
        self._source = source
        self._polled = polled
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
        heard = self._heard
        return Status(
            facts=heard.facts,
            age=time.monotonic() - heard.at,
            trouble=heard.trouble,
            disabled=read_disabled(self._source.disabled_file),
            agent=read_agent(self._source.agent_file),
        )

    def _run(self) -> None:
        while True:
            try:
                self._poll()
                self._polled()
            except Exception:  # the thread must outlive whatever a driver may raise
                log.exception("a poll failed")
            if self._stop.wait(self._source.interval):
                break
        self._drop()

    def _poll(self) -> None:
        """One pass. Whatever is not known for certain leaves the former facts to grow old."""
        import pymysql

        kept = self._connection is not None
        began = time.monotonic()
        try:
            self._heard = _Heard(self._ask(), began)
        except (pymysql.MySQLError, OSError) as error:
            self._drop()
            if hung(error):
                self._heard = replace(self._heard, trouble="")
            elif kept:  # the server may have closed just this connection
                self._poll()
            else:
                self._heard = replace(self._heard, trouble=f"{_text(error)}, socket {self._source.socket}")

    def _ask(self) -> Facts:
        connection = self._connection or self._connect()
        self._connection = connection
        rows: list[tuple[str, str]] = []
        with connection.cursor() as cursor:
            cursor.execute(_QUESTION)
            rows.extend(cursor.fetchall())
            while cursor.nextset():
                rows.extend(cursor.fetchall())
        return parse(rows)

    def _connect(self) -> pymysql.connections.Connection:
        import pymysql
        from pymysql.constants import CLIENT

        source = self._source
        return pymysql.connect(
            unix_socket=source.socket,
            user=source.user,
            password=source.password,
            connect_timeout=source.timeout,
            read_timeout=source.timeout,
            write_timeout=source.timeout,
            client_flag=CLIENT.MULTI_STATEMENTS,
            ssl_disabled=True,  # a local socket; a TLS context would take 20 ms of each attempt
            autocommit=None,  # no statement for it
            init_command="SET SESSION wsrep_sync_wait=0",  # a health check must not wait for the cluster
        )

    def _drop(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            with contextlib.suppress(Exception):
                # close() would wait for a server that hangs
                connection._force_close()  # type: ignore[attr-defined]


def parse(rows: Iterable[tuple[str, str]]) -> Facts:
    """Facts from the rows of SHOW; what is absent or odd keeps the cautious default."""
    said = {name.lower(): value for name, value in rows}
    worst = Facts()
    return Facts(
        cluster_status=said.get("wsrep_cluster_status", worst.cluster_status),
        connected=said.get("wsrep_connected") == "ON",
        ready=said.get("wsrep_ready") == "ON",
        local_state=_number(said.get("wsrep_local_state")),
        reject_queries=said.get("wsrep_reject_queries", worst.reject_queries),
        donor_rejects_queries=said.get("wsrep_sst_donor_rejects_queries") != "OFF",
        sst_method=said.get("wsrep_sst_method", worst.sst_method),
        desync=said.get("wsrep_desync") == "ON",
        read_only=said.get("read_only") == "ON",
        cluster_size=_number(said.get("wsrep_cluster_size")),
        cluster_uuid=said.get("wsrep_cluster_state_uuid", ""),
    )


def hung(error: BaseException | None) -> bool:
    """True when somebody did not answer in time, which is no proof that he is gone."""
    while error is not None:
        if isinstance(error, TimeoutError):
            return True
        error = getattr(error, "original_exception", None) or error.__cause__ or error.__context__
    return False


def read_disabled(path: Path) -> str:
    """Why this node is disabled by hand, or nothing. The content of the file is the reason."""
    try:
        text = path.read_text(errors="replace")[:200].strip()
    except (FileNotFoundError, NotADirectoryError):
        return ""
    except OSError as error:  # it is there, or it may be: the cautious answer is a drain
        return f"{path} ({error.strerror})"
    return text.splitlines()[0] if text else f"{path} exists"


def read_agent(path: Path) -> Agent | None:
    """What the agent wrote, None when there is nothing (no agent on this node, or not yet)."""
    try:
        said = json.loads(path.read_text())
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        return Agent(problem=f"{path}: {error.strerror}")
    except ValueError:
        return Agent(problem=f"{path} is no JSON")
    if not isinstance(said, dict):
        return Agent(problem=f"{path} holds no JSON object")
    flags = {name: said.get(name, False) for name in ("opened", "paused", "drained")}
    if not all(isinstance(value, bool) for value in flags.values()):
        return Agent(problem=f"{path}: opened, paused and drained must be true or false")
    return Agent(**flags, reason=str(said.get("reason") or ""))


def _number(text: str | None) -> int | None:
    try:
        return int(text) if text is not None else None
    except ValueError:
        return None


def _text(error: BaseException) -> str:
    if len(error.args) == 2 and isinstance(error.args[1], str):  # PyMySQL: (number, text)
        return error.args[1]
    return str(error) or type(error).__name__
