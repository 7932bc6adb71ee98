"""The user's own options for mariadbd: read, merged, and refused where galerist must own them.

They come from the ``*.cnf`` files of a folder, by name, and then from the ``[mariadb]`` table of
the settings file. As in an option file, the last of several values wins, except for options that
MariaDB itself collects (``plugin_load_add``, ``replicate_do_db``).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from galerist.settings.problems import Problem

# Name (with underscores) and value; None is an option without one, such as skip_name_resolve
Options = tuple[tuple[str, str | None], ...]

_GENERATED = "galerist decides it for each start; remove it"
_CLOSED = "every node starts closed and opens by galerist's rules; remove it"


def _use(setting: str) -> str:
    return f"use the setting {setting} instead"


# Option: the remedy
OWNED: Mapping[str, str] = {
    "datadir": _use("datadir"),
    "socket": _use("socket"),
    "pid_file": _use("run_dir"),
    "port": _use("sql_port"),
    "bind_address": _use("bind"),
    "log_error": _use("error_log"),
    "user": _use("server_user"),
    "wsrep_on": _GENERATED,
    "wsrep_provider": _use("wsrep_provider"),
    "wsrep_cluster_name": _use("cluster"),
    "wsrep_cluster_address": "the registry knows the members; remove it",
    "wsrep_node_name": _use("node"),
    "wsrep_node_address": "use the settings host and gcomm_port instead",
    "wsrep_node_incoming_address": "use the settings host and sql_port instead",
    "wsrep_sst_method": _use("sst_method"),
    "wsrep_sst_auth": "use the settings sst_user and sst_password_file instead",
    "wsrep_sst_receive_address": "use the settings host and sst_port instead",
    "wsrep_notify_cmd": "galerist records the views with it; remove it",
    "wsrep_start_position": _GENERATED,
    "wsrep_recover": _GENERATED,
    "wsrep_new_cluster": _GENERATED,
    "wsrep_data_home_dir": "galerist reads Galera's state in datadir; remove it",
    "wsrep_reject_queries": _CLOSED,
    "skip_grant_tables": "it would let everybody in; remove it",
    "skip_networking": "the proxy reaches the server by TCP; remove it",
    "init_file": "use the setting init_sql instead",
    "slave_start": _CLOSED,  # only known as skip_slave_start
    **dict.fromkeys(
        ("ssl", "ssl_ca", "ssl_capath", "ssl_cert", "ssl_key", "ssl_crl", "ssl_crlpath"),
        "use the settings tls_ca, tls_cert and tls_key instead",
    ),
}

# Options with the only value that Galera and galerist can live with
FIXED: Mapping[str, str] = {
    "binlog_format": "ROW",
    "innodb_autoinc_lock_mode": "2",
    "default_storage_engine": "InnoDB",
}

OWNED_PROVIDER: Mapping[str, str] = {
    "pc.recovery": "Galera must not re-form by itself; remove it",
    "pc.bootstrap": _GENERATED,
    "pc.ignore_sb": "it allows two Primary Components; remove it",
    "pc.ignore_quorum": "it allows two Primary Components; remove it",
    "gmcast.listen_addr": "use the settings bind and gcomm_port instead",
    "gmcast.isolate": _GENERATED,
    "ist.recv_addr": "use the settings host and ist_port instead",
    "ist.recv_bind": "use the settings bind and ist_port instead",
    **dict.fromkeys(
        ("socket.ssl", "socket.ssl_ca", "socket.ssl_cert", "socket.ssl_key", "socket.ssl_reload"),
        "use the settings tls_ca, tls_cert and tls_key instead",
    ),
    "base_host": _use("host"),
    "base_port": _use("gcomm_port"),
    "base_dir": "galerist reads Galera's state in datadir; remove it",
}

# Options that are put off until the node opens; they must be spelt in full, so that this is not missed
DEFERRED = ("event_scheduler", "require_secure_transport")

_SECTIONS = ("mysqld", "mariadb", "mariadbd", "server", "galera")
_LINE = 3500  # mariadbd cuts the lines of an option file at 4096 bytes
_PREFIXES = ("loose_", "skip_", "disable_", "enable_", "maximum_", "autoset_")


def normal(name: str) -> str:
    """``Bind-Address`` as ``Bind_Address``: MariaDB takes dashes for underscores, but not upper for lower case."""
    return name.strip().replace("-", "_")


def bare(name: str) -> str:
    """The variable behind an option: ``loose-skip-wsrep-on`` is about ``wsrep_on``."""
    name = normal(name).lower()
    while True:
        prefix = next((prefix for prefix in _PREFIXES if name.startswith(prefix)), None)
        if prefix is None or name in OWNED:
            return name
        name = name.removeprefix(prefix)


def refusal(name: str, value: str | None) -> tuple[str, str] | None:
    """Why galerist does not pass this option on, and the remedy; None if it does."""
    option = bare(name)
    if option in OWNED:
        return "belongs to galerist", OWNED[option]
    if option in FIXED:
        wanted = FIXED[option]
        if normal(name) != option or value is None or value.strip().lower() != wanted.lower():
            return f"must be {wanted} in a Galera cluster", "remove it"
        return None
    # mariadbd takes any unambiguous beginning of an option's name for the option
    whole = next((name for name in (*OWNED, *FIXED, *DEFERRED) if name.startswith(option) and name != option), None)
    if whole:
        return f"abbreviates {whole}, which galerist must know of", OWNED.get(whole, "write the whole name")
    return None


def collect(
    folder: Path | None, table: Any, table_name: str, problems: list[Problem]
) -> tuple[Options, tuple[tuple[str, str], ...]]:
    """The user's options and provider options; what is wrong with them goes to ``problems``."""
    options: list[tuple[str, str | None]] = []
    provider: dict[str, str] = {}
    written: list[tuple[str, str | None, str]] = []
    for file in sorted(folder.glob("*.cnf")) if folder is not None else ():
        written += _read_cnf(file, problems)
    written += _read_table(table, f"{table_name} [mariadb]", problems)
    for name, value, where in written:
        if bare(name) == "wsrep_provider_options":
            _provider_options(value or "", where, provider, problems)
            continue
        refused = refusal(name, value)
        if refused:
            shown = value if bare(name) in FIXED else None  # wsrep_sst_auth holds a password
            problems.append(Problem(f"mariadb.{normal(name)}", shown, where, *refused))
        elif len(value or "") > _LINE:
            text = f"has {len(value or '')} characters; mariadbd reads {_LINE} of an option"
            problems.append(Problem(f"mariadb.{normal(name)}", None, where, text, "make it shorter"))
        else:
            options.append((normal(name), value))
    return tuple(options), tuple(provider.items())


def _provider_options(text: str, where: str, into: dict[str, str], problems: list[Problem]) -> None:
    for item in filter(None, (item.strip() for item in text.split(";"))):
        key, equals, value = (part.strip() for part in item.partition("="))
        name = f"mariadb.wsrep_provider_options.{key}"
        if not equals or not re.fullmatch(r"[A-Za-z0-9_.]+", key):
            problems.append(Problem(name, None, where, "is not key=value", "write key=value, with ; between them"))
        elif key.lower() in OWNED_PROVIDER:
            problems.append(Problem(name, value, where, "belongs to galerist", OWNED_PROVIDER[key.lower()]))
        else:
            into[key] = value


def _read_table(table: Any, where: str, problems: list[Problem]) -> list[tuple[str, str | None, str]]:
    if not isinstance(table, dict):
        problems.append(Problem("mariadb", str(table), where, "is not a table", "write it as [mariadb]"))
        return []
    options: list[tuple[str, str | None, str]] = []
    for name, value in table.items():
        if not re.fullmatch(r"[A-Za-z0-9_-]+", name):
            problems.append(Problem(f"mariadb.{name}", None, where, "is no option's name", "correct the name"))
        elif normal(name) == "wsrep_provider_options" and isinstance(value, dict):
            options.append((name, ";".join(f"{key}={text}" for key, text in _flat(value)), where))
        else:
            for item in value if isinstance(value, list) else [value]:
                try:
                    options.append((name, option_text(item), where))
                except ValueError as error:
                    remedy = "give a text without line breaks, a number, true or false, or a list of these"
                    problems.append(Problem(f"mariadb.{name}", str(item), where, str(error), remedy))
    return options


def _flat(table: Mapping[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    """``gcache.size = "1G"`` is a table in a table for TOML."""
    flat: list[tuple[str, str]] = []
    for key, value in table.items():
        if isinstance(value, dict):
            flat += _flat(value, f"{prefix}{key}.")
        else:
            flat.append((prefix + key, ("yes" if value else "no") if isinstance(value, bool) else str(value)))
    return flat


def option_text(value: Any) -> str:
    """A TOML value as mariadbd reads it. Raises ValueError."""
    if isinstance(value, bool):
        return "ON" if value else "OFF"
    if isinstance(value, int | float):
        return str(value)
    if not isinstance(value, str):
        raise ValueError("has the wrong type")
    if re.search(r"[\x00-\x08\x0a-\x1f]", value):
        raise ValueError("holds a line break or a control character")
    return value


def _read_cnf(file: Path, problems: list[Problem]) -> list[tuple[str, str | None, str]]:
    """The options of one option file, by MariaDB's rules (documentation, "Option File Syntax")."""
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        why = (error.strerror or str(error)).lower() if isinstance(error, OSError) else "it is not UTF-8"
        problems.append(Problem("mariadb_conf_dir", str(file), "", f"cannot be read: {why}", "make it readable"))
        return []
    options: list[tuple[str, str | None, str]] = []
    section: str | None = None
    for number, line in enumerate((line.strip() for line in lines), 1):
        where = f"{file}, line {number}"

        def wrong(text: str, remedy: str, where: str = where) -> None:
            problems.append(Problem("mariadb_conf_dir", None, where, text, remedy))

        if not line or line[0] in "#;":
            continue
        if line.startswith("!"):
            wrong(f"{line.split()[0]} is not followed", "put the file into mariadb_conf_dir itself")
        elif line.startswith("["):
            section = line.partition("]")[0][1:].strip().lower()
            if re.fullmatch(rf"({'|'.join(_SECTIONS)})-[0-9.]+", section):
                wrong(f"[{section}] is for one version only and is not read", "use [mariadb]")
            if section == "sst":
                wrong("[sst] is not read", "use the settings sst_method, sst_user and sst_port")
        elif section is None:
            wrong("stands before any section", "begin with [mariadb]")
        elif section in _SECTIONS:
            name, equals, value = line.partition("=")
            if not re.fullmatch(r"[A-Za-z0-9_-]+", name.strip()):
                wrong(f"{name.strip()!r} is no option's name", "write name = value")
            else:
                options.append((name.strip(), unquote(value) if equals else None, where))
    return options


_ESCAPES = {"b": "\b", "t": "\t", "n": "\n", "r": "\r", "s": " ", "\\": "\\", '"': '"', "'": "'"}


def unquote(text: str) -> str:
    """A value as my_getopt reads it: comment cut off, quotes taken off, escapes undone."""
    text = _without_comment(text).strip()
    if len(text) > 1 and text[0] == text[-1] and text[0] in "\"'":
        text = text[1:-1]
    return re.sub(r"\\(.)", lambda match: _ESCAPES.get(match[1], match[0]), text)


def _without_comment(text: str) -> str:
    quote = ""
    escaped = False
    for index, char in enumerate(text):
        if char in "\"'" and not escaped and (not quote or quote == char):
            quote = "" if quote else char
        if char == "#" and not quote:
            return text[:index]
        escaped = quote != "" and char == "\\" and not escaped
    return text
