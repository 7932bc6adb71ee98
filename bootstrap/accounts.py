"""The accounts of a new cluster. Pure: what is wanted in, statements out."""

from __future__ import annotations

from dataclasses import dataclass

from galerist.settings import Secret

SST_GRANTS = "RELOAD, PROCESS, LOCK TABLES, BINLOG MONITOR, REPLICA MONITOR"
"""What mariabackup needs (MariaDB documentation, "mariadb-backup: Authentication and Privileges")."""

PROBE = (
    "CREATE DATABASE IF NOT EXISTS galerist",
    "CREATE TABLE IF NOT EXISTS galerist.probe"
    " (node VARCHAR(63) NOT NULL PRIMARY KEY, written DATETIME(6) NOT NULL) ENGINE=InnoDB",
    # How many statements in total order isolation run here, those that only wait for their turn not counted.
    # The account for health checks may not see what others do: this function tells it one number. An applier's
    # COMMAND is "Sleep" whatever it does; INFO is empty where nothing runs.
    "CREATE OR REPLACE FUNCTION galerist.ddl_runs() RETURNS INT READS SQL DATA SQL SECURITY DEFINER RETURN"
    " (SELECT COUNT(*) FROM information_schema.PROCESSLIST"
    " WHERE COALESCE(STATE, '') NOT REGEXP '^Waiting (to execute in isolation|for backup lock|for global read lock)'"
    " AND INFO REGEXP '^[[:space:]]*(/[*].*[*]/[[:space:]]*)*"
    "(ALTER|CREATE|DROP|RENAME|TRUNCATE|OPTIMIZE|REPAIR|ANALYZE|GRANT|REVOKE)[[:space:]]')",
)
"""What the commit probe writes to and asks."""

PROBE_GRANTS = ("SELECT, INSERT, UPDATE ON galerist.probe", "EXECUTE ON FUNCTION galerist.ddl_runs")


@dataclass(frozen=True, slots=True)
class Wanted:
    """The accounts to make. An empty user or a None password leaves that account out, or without a password."""

    server_user: str
    root_password: Secret | None
    root_host: str = ""
    sst_user: str = ""
    sst_password: Secret | None = None
    check_user: str = ""
    check_password: Secret | None = None
    app_user: str = ""
    app_password: Secret | None = None
    app_database: str = ""


Statement = tuple[str, tuple[str, ...]]


def statements(wanted: Wanted) -> tuple[Statement, ...]:
    """SQL and its arguments, in order; running them twice does no harm.

    The operating system's root and the server's own user come in by the Unix socket
    (``mariadb-install-db`` makes both); root has a password besides, for other ways in.
    """
    found: list[Statement] = []
    if wanted.root_password is not None:
        found.append(
            (
                "ALTER USER root@localhost IDENTIFIED VIA unix_socket OR mysql_native_password USING PASSWORD(%s)",
                (wanted.root_password.reveal(),),
            )
        )
        if wanted.root_host not in ("", "localhost"):
            account = f"root@{quote(wanted.root_host).replace('%', '%%')}"
            found += _account(account, wanted.root_password)
            found.append((f"GRANT ALL ON *.* TO {account.replace('%%', '%')} WITH GRANT OPTION", ()))
    if wanted.sst_user and wanted.sst_user != wanted.server_user:
        found += _account(f"{quote(wanted.sst_user)}@localhost", wanted.sst_password)
        found.append((f"GRANT {SST_GRANTS} ON *.* TO {quote(wanted.sst_user)}@localhost", ()))
    if wanted.check_user:
        # SHOW STATUS needs no privilege at all; writing the row of the commit probe does
        found += _account(f"{quote(wanted.check_user)}@localhost", wanted.check_password)
        found += [(text, ()) for text in PROBE]
        found += [(f"GRANT {grant} TO {quote(wanted.check_user)}@localhost", ()) for grant in PROBE_GRANTS]
    if wanted.app_database:
        found.append((f"CREATE DATABASE IF NOT EXISTS {identifier(wanted.app_database)}", ()))
    if wanted.app_user:
        account = f"{quote(wanted.app_user)}@'%%'"
        found += _account(account, wanted.app_password)
        if wanted.app_database:
            found.append((f"GRANT ALL ON {identifier(wanted.app_database)}.* TO {account.replace('%%', '%')}", ()))
    return tuple(found)


def _account(account: str, password: Secret | None) -> list[Statement]:
    if password is None:
        return [(f"CREATE OR REPLACE USER {account.replace('%%', '%')}", ())]
    return [(f"CREATE OR REPLACE USER {account} IDENTIFIED BY %s", (password.reveal(),))]


def quote(name: str) -> str:
    """A string literal for an account's name."""
    return "'" + name.replace("\\", "\\\\").replace("'", "''") + "'"


def identifier(name: str) -> str:
    """A quoted identifier."""
    return "`" + name.replace("`", "``") + "`"
