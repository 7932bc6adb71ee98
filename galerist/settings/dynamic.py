"""Settings of running servers that a person changes for the whole cluster, without a restart.

They stand in the registry (``config``), and each agent brings its server in line with them. Only variables
that MariaDB takes while it runs, and that cost no promise, are here.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass

_SIZE = re.compile(r"(\d+)([KMGT]?)", re.IGNORECASE)
_FACTORS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}


class Unfit(ValueError):
    """A name or a value that cannot be taken; the text says why, and what to do."""


@dataclass(frozen=True, slots=True)
class Variable:
    """One variable. ``kind``: count, size (bytes), seconds, switch (ON or OFF); numbers from ``least`` to ``most``."""

    name: str
    kind: str
    least: float
    most: float
    help: str

    def read(self, text: str) -> str:
        """``text`` as the server shows the value. Raises Unfit."""
        text = text.strip()
        if self.kind == "switch":
            word = {"1": "ON", "TRUE": "ON", "0": "OFF", "FALSE": "OFF"}.get(text.upper(), text.upper())
            if word not in ("ON", "OFF"):
                raise Unfit(f"{self.name} = {text!r} is neither ON nor OFF")
            return word
        number: float
        if self.kind == "size":
            found = _SIZE.fullmatch(text)
            if found is None:
                raise Unfit(f"{self.name} = {text!r} is not a size: write 512M or 4G")
            number = int(found[1]) * _FACTORS[found[2].upper()]
        else:
            try:
                number = float(text) if self.kind == "seconds" else int(text)
            except ValueError:
                raise Unfit(f"{self.name} = {text!r} is not a number") from None
        if not self.least <= number <= self.most:
            raise Unfit(f"{self.name} = {text!r} is not within {self.least:g} to {self.most:g}")
        return f"{number:.6f}" if self.kind == "seconds" else str(int(number))


_MIB, _GIB, _TIB = 1 << 20, 1 << 30, 1 << 40
VARIABLES: Mapping[str, Variable] = {
    one.name: one
    for one in (
        Variable("max_connections", "count", 10, 100000, "clients at a time"),
        Variable("innodb_buffer_pool_size", "size", 8 * _MIB, 16 * _TIB, "cache of data, in steps of its chunk size"),
        Variable("innodb_io_capacity", "count", 100, 10**7, "disk operations a second for background work"),
        Variable("innodb_lock_wait_timeout", "count", 1, 10**6, "seconds that a statement waits for a row"),
        Variable("interactive_timeout", "count", 1, 31536000, "seconds until an idle interactive session ends"),
        Variable("wait_timeout", "count", 1, 31536000, "seconds until an idle session ends"),
        Variable("long_query_time", "seconds", 0, 31536000, "seconds from which a statement is slow"),
        Variable("slow_query_log", "switch", 0, 0, "write slow statements into the log"),
        Variable("max_allowed_packet", "size", 16384, _GIB, "longest statement; for new sessions"),
        Variable("max_statement_time", "seconds", 0, 31536000, "longest run of a statement, 0 for no limit"),
        Variable("table_open_cache", "count", 400, 10**6, "tables kept open"),
        Variable("tmp_table_size", "size", 16384, 64 * _GIB, "largest temporary table in memory"),
        Variable("max_heap_table_size", "size", 16384, 64 * _GIB, "largest MEMORY table; for new ones"),
        Variable("wsrep_slave_threads", "count", 1, 512, "threads that apply what other nodes commit"),
        Variable("wsrep_sync_wait", "count", 0, 15, "reads wait until they are up to date; for new sessions"),
        Variable("wsrep_max_ws_rows", "count", 0, 1048576, "rows in a transaction, 0 for no limit"),
        Variable("wsrep_max_ws_size", "size", 1024, 2 * _GIB - 1, "bytes in a transaction"),
        Variable("wsrep_retry_autocommit", "count", 0, 10000, "tries of a statement that lost against another node's"),
    )
}

_UNSAFE = {
    "innodb_flush_log_at_trx_commit": "anything but 1 loses commits that clients were told of, and 1 is what galerist sets",
    "wsrep_on": "galerist decides it",
    "wsrep_reject_queries": "galerist opens and closes nodes by it",
    "wsrep_cluster_address": "galerist decides it",
    "wsrep_provider_options": "set it in the settings file, and restart",
}


def read(name: str, text: str) -> tuple[str, str]:
    """The name and the value of a setting as they stand in the registry. Raises Unfit."""
    name = name.strip().lower().replace("-", "_")
    if name in _UNSAFE:
        raise Unfit(f"{name}: {_UNSAFE[name]}")
    if name not in VARIABLES:
        raise Unfit(
            f"{name} cannot be changed in running servers by galerist; put it into the [mariadb] table of the settings "
            f"files, then galerist restart --rolling (those that can: {', '.join(sorted(VARIABLES))})"
        )
    return name, VARIABLES[name].read(text)


def parse(text: str | None) -> dict[str, str]:
    """What stands in the registry. Raises Unfit for what galerist did not write."""
    if text is None:
        return {}
    try:
        found = json.loads(text)
        return dict(sorted(read(str(name), str(value)) for name, value in found["mariadb"].items()))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise Unfit(f"the registry's config is not what galerist writes there: {error}") from error


def dump(values: Mapping[str, str]) -> str:
    """As :func:`parse` reads it."""
    return json.dumps({"mariadb": dict(values)}, sort_keys=True, separators=(",", ":"))


def differing(wanted: Mapping[str, str], found: Mapping[str, str]) -> dict[str, str]:
    """What has to be set. MariaDB rounds the buffer pool up to its chunks, which is no difference."""
    return {name: value for name, value in wanted.items() if not _same(name, value, found.get(name, ""))}


def _same(name: str, wanted: str, found: str) -> bool:
    if name == "innodb_buffer_pool_size" and found.isdigit():
        return 0 <= int(found) - int(wanted) < 128 * _MIB
    try:
        return float(wanted) == float(found)
    except ValueError:
        return wanted == found
