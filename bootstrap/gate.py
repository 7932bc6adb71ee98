"""The server's gate: who may come in, from the first accounts to the certificates that clients are shown."""

from __future__ import annotations

import logging
import secrets
from dataclasses import replace
from pathlib import Path

from bootstrap import accounts
from galerist.files import write_atomically
from galerist.galera.sql import Sql
from galerist.galera.tls import Credentials
from galerist.settings import Secret

log = logging.getLogger("galerist.bootstrap")


class Gate:
    """Methods but :meth:`tend` raise OSError when the server cannot be asked."""

    def __init__(
        self,
        sql: Sql,
        opening: tuple[tuple[str, str], ...],
        wanted: accounts.Wanted,
        password_file: Path,
        tls: Credentials | None,
    ) -> None:
        """``opening``: variables that are set when it opens. ``password_file``: where a password of root is kept that
        nobody has given."""
        self._sql, self._opening, self._wanted, self._file, self._tls = sql, opening, wanted, password_file, tls

    def before_start(self) -> None:
        """Lay the certificates where the server reads them."""
        if self._tls is not None:
            self._tls.before_start()

    def furnish(self) -> None:
        """Make the accounts. May be repeated."""
        if self._wanted.root_password is None:
            password = secrets.token_urlsafe(18)
            write_atomically(self._file, password + "\n", mode=0o600)
            self._wanted = replace(self._wanted, root_password=Secret(password))
            log.info("The password of root@localhost was generated: see %s.", self._file)
        for statement, arguments in accounts.statements(self._wanted):
            self._sql.query(statement, arguments)

    def open(self) -> None:
        if self._tls is not None:
            self._tls.tend(self._sql, opened=True)
        self._sql.set_globals((*self._opening, ("wsrep_reject_queries", "NONE")))

    def close(self) -> None:
        if self._tls is not None:
            self._tls.tend(self._sql, opened=False)
        self._sql.set_globals((("wsrep_reject_queries", "ALL_KILL"), ("require_secure_transport", "ON")))

    def tend(self, opened: bool) -> None:
        """Renew the certificates of a running server, if there are newer ones."""
        if self._tls is None:
            return
        try:
            self._tls.tend(self._sql, opened=opened)
        except OSError as error:
            log.warning("The certificates of the server could not be renewed: %s", error)
