"""Which of the programs that a local cluster needs are missing, all in one message."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

EXIT_MISSING = 69  # EX_UNAVAILABLE of sysexits.h

PROVIDERS = (
    "/usr/lib/galera/libgalera_smm.so",
    "/usr/lib64/galera-4/libgalera_smm.so",
    "/usr/lib64/galera/libgalera_smm.so",
    "/usr/lib/galera-4/libgalera_smm.so",
    "/usr/lib/libgalera_smm.so",
)


@dataclass(frozen=True, slots=True)
class Need:
    """One of several names will do; ``what`` says what for, ``package`` what Debian calls it."""

    names: tuple[str, ...]
    what: str
    package: str


def needs(sst_method: str, tls: bool = False) -> tuple[Need, ...]:
    """What a local cluster with this kind of state transfer is made of."""
    result = [
        Need(("mariadbd", "mysqld"), "the database server", "mariadb-server"),
        Need(("mariadb-install-db", "mysql_install_db"), "to make an empty datadir", "mariadb-server"),
        Need(("mariadb", "mysql"), "the database client", "mariadb-client"),
        Need(PROVIDERS, "the Galera provider", "galera-4"),
        Need(("etcd",), "the registry", "etcd-server"),
        Need(("haproxy",), "the proxy", "haproxy"),
        Need(("ss", "lsof"), "used by the scripts for state transfers", "iproute2"),
    ]
    if sst_method == "rsync":
        result.append(Need(("rsync",), "state transfers by rsync", "rsync"))
        if tls:
            result.append(Need(("stunnel", "stunnel4"), "state transfers by rsync with TLS", "stunnel4"))
    else:
        result.append(Need(("mariadb-backup", "mariabackup"), "state transfers by mariabackup", "mariadb-backup"))
        result.append(Need(("socat",), "state transfers by mariabackup", "socat"))
    return tuple(result)


def find(name: str, path: str) -> str | None:
    """The program of this name; a name with a slash is a file."""
    if "/" in name:
        return name if Path(name).is_file() else None
    return shutil.which(name, path=path)


def missing(wanted: tuple[Need, ...], look: Callable[[str], str | None]) -> tuple[Need, ...]:
    return tuple(need for need in wanted if not any(look(name) for name in need.names))


def message(absent: tuple[Need, ...]) -> str:
    """What is missing, a line each, and what to do."""
    width = max(len(need.names[0]) for need in absent)
    lines = [f"  {need.names[0]:<{width}}  {need.what} (Debian: {need.package})" for need in absent]
    return "\n".join(
        [
            "these programs are missing or not in PATH:",
            *lines,
            "install them with your system's package manager (on Debian 12: `make setup`), then try again",
        ]
    )
