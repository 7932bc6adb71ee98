"""The agent's own connection to its server: the unix socket, the server's own OS user."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

REGROUP = 20.0
"""Seconds at most for leaving one group and entering another."""


@dataclass(frozen=True, slots=True)
class Live:
    """What a running server says of itself (SHOW STATUS LIKE 'wsrep_%')."""

    cluster_status: str
    local_state: int
    uuid: str
    committed: int
    cluster_size: int
    ready: bool
    stage: str
    rejects: bool  # wsrep_reject_queries is not NONE
    received: int = 0  # write-sets that wait to be applied
    desync: bool = False  # wsrep_desync


class Sql:
    """One persistent connection; made anew after every error.

    ``timeout`` (seconds) bounds every connect, read and write, so that a hung server costs
    a pass of the agent no more than that. Methods raise ``OSError`` when the server cannot
    be asked, with PyMySQL's text.
    """

    def __init__(self, socket: Path, user: str, timeout: float = 3.0) -> None:
        self._socket, self._user, self._timeout = socket, user, timeout
        self._connection: Any = None

    def close(self) -> None:
        """Drop the connection."""
        if self._connection is not None:
            self._connection._force_close()
            self._connection = None

    def query(
        self, statement: str, arguments: Sequence[object] = (), timeout: float | None = None
    ) -> list[tuple[Any, ...]]:
        """Run one statement in a session that neither replicates nor is refused while closed."""
        import pymysql

        try:
            if self._connection is None:
                self._connection = pymysql.connect(
                    unix_socket=str(self._socket),
                    user=self._user,
                    connect_timeout=self._timeout,
                    read_timeout=self._timeout,
                    write_timeout=self._timeout,
                    autocommit=True,
                    ssl_disabled=True,  # a unix socket needs none, and a TLS context costs 20 ms
                    init_command="SET SESSION wsrep_on=0, sql_log_bin=0, lock_wait_timeout=10",
                )
            if timeout is not None:
                self._connection._read_timeout = timeout
            with self._connection.cursor() as cursor:
                cursor.execute(statement, arguments or None)
                return list(cursor.fetchall())
        except (pymysql.MySQLError, OSError) as error:
            self.close()
            raise OSError(str(error)) from error
        finally:
            if timeout is not None and self._connection is not None:
                self._connection._read_timeout = self._timeout

    def live(self) -> Live:
        """The state of the server. Raises OSError."""
        status = dict(self.query("SHOW GLOBAL STATUS LIKE 'wsrep\\_%'"))
        names = "('wsrep_reject_queries', 'wsrep_desync')"
        variables = dict(self.query(f"SHOW GLOBAL VARIABLES WHERE Variable_name IN {names}"))
        return Live(
            cluster_status=str(status.get("wsrep_cluster_status", "Disconnected")),
            local_state=int(status.get("wsrep_local_state", 0)),
            uuid=str(status.get("wsrep_cluster_state_uuid", "")),
            committed=int(status.get("wsrep_last_committed", -1)),
            cluster_size=int(status.get("wsrep_cluster_size", 0)),
            ready=status.get("wsrep_ready") == "ON",
            stage=str(status.get("wsrep_local_state_comment", "")),
            rejects=variables.get("wsrep_reject_queries", "NONE") != "NONE",
            received=int(status.get("wsrep_local_recv_queue", 0)),
            desync=variables.get("wsrep_desync") == "ON",
        )

    def view_seqno(self) -> int | None:
        """The seqno of the newest view in the server's own record; None when it cannot be asked."""
        try:
            rows = self.query("SELECT view_seqno FROM mysql.wsrep_cluster")
        except OSError:
            return None
        return int(rows[0][0]) if rows else None

    def view(self) -> tuple[int, tuple[tuple[str, str, str], ...]] | None:
        """The seqno of the last view, and its members: uuid, name, incoming address. Raises OSError."""
        rows = self.query(
            "SELECT c.view_seqno, m.node_uuid, m.node_name, m.node_incoming_address"
            " FROM mysql.wsrep_cluster c JOIN mysql.wsrep_cluster_members m ON m.cluster_uuid = c.cluster_uuid"
        )
        return (int(rows[0][0]), tuple((str(a), str(b), str(c)) for _, a, b, c in rows)) if rows else None

    def flush(self) -> None:
        """Bring everything committed so far to disk, on this node only. Should it take longer than the time-out, the
        server goes on with it, and the next call finds less to do."""
        self.query("FLUSH NO_WRITE_TO_BINLOG ENGINE LOGS")

    def regroup(self, cluster_name: str, peers: Sequence[str]) -> None:
        """Leave the group, and form a Primary Component of another name: the process, its caches and its gcache stay.

        Galera does not connect without an address (``peers``), but need not find anybody there; with an empty one
        it would ask ``safe_to_bootstrap``. Takes about half a second.
        """
        address = f"gcomm://{','.join(peers)}?pc.wait_prim=no&pc.announce_timeout=PT0.1S"
        self.query("SET GLOBAL wsrep_cluster_name = %s", (cluster_name,))
        self.query("SET GLOBAL wsrep_cluster_address = %s", (address,), timeout=REGROUP)
        self.query("SET GLOBAL wsrep_provider_options = 'pc.bootstrap=YES'", timeout=REGROUP)

    def set_globals(self, settings: Sequence[tuple[str, str]]) -> None:
        """Set global variables in this order."""
        for name, value in settings:
            if not name.replace("_", "").isalnum():
                raise ValueError(f"not a variable: {name}")
            self.query(f"SET GLOBAL {name} = %s", (value,))
