"""Checks that concern several settings at once."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from galerist.settings.problems import Problem

SOCKET_BYTES = 100  # sun_path has 108, and mariadbd and its scripts add to it
_NODE_PORTS = ("sql_port", "gcomm_port", "ist_port", "sst_port", "check_port")
_PROXY_PORTS = ("write_port", "read_port", "all_port", "stats_port")
_OUTSIDE_DATADIR = ("stamp_dir", "run_dir", "socket", "check_disabled_file")


def cross_checks(values: Mapping[str, Any], bad: set[str], origins: Mapping[str, str]) -> list[Problem]:
    """What is wrong between settings. Keys in ``bad`` have been complained of already and count as right."""

    def problem(key: str, text: str, remedy: str, show: bool = True) -> Problem:
        return Problem(key, str(values[key]) if show else None, origins[key], text, remedy)

    def found() -> Iterator[Problem]:
        for keys in (_NODE_PORTS, _PROXY_PORTS):
            taken: dict[int, str] = {}
            for key in (key for key in keys if key not in bad and values[key]):  # 0 is off
                former = taken.setdefault(values[key], key)
                if former != key:
                    yield problem(key, f"is the port of {former} too", "give each its own port")
        if "datadir" not in bad and values["datadir"] == Path("/"):
            yield problem("datadir", "is the root of the file system", "give the data a folder of their own")
        elif "datadir" not in bad:
            for key in _OUTSIDE_DATADIR:
                if key not in bad and origins[key] != "default" and _inside(values[key], values["datadir"]):
                    text = f"lies in datadir {values['datadir']}, where a full state transfer would delete it"
                    yield problem(key, text, "give a path outside, best beside datadir on the same volume")
        length = len(str(values["socket"]).encode())
        if "socket" not in bad and length > SOCKET_BYTES:
            text = f"has {length} bytes; a Unix socket's path may have {SOCKET_BYTES}"
            yield problem("socket", text, "give a shorter socket, or a shorter run_dir")
        if values["server_user"] in ("root", "0"):
            yield problem("server_user", "the server must not run as root", "give an ordinary user such as mysql")
        for one, other in (
            ("registry_cert", "registry_key"),
            ("registry_key", "registry_cert"),
            ("courier_cert", "courier_key"),
            ("courier_key", "courier_cert"),
        ):
            if values[one] and not values[other] and other not in bad:
                yield problem(one, f"needs {other}", f"give {other} too")
        for one in ("tls_ca", "tls_cert", "tls_key"):
            for other in ("tls_ca", "tls_cert", "tls_key"):
                if values[one] and not values[other] and other not in bad:
                    yield problem(one, f"needs {other}", f"give {other} too")
        if origins["registry_tls"] != "default" and not values["registry_tls"]:
            for key in ("registry_ca", "registry_cert"):
                if values[key]:
                    yield problem("registry_tls", f"contradicts {key}", f"remove {key}, or set registry_tls to true")
        for user, password in (
            ("registry_user", "registry_password"),
            ("app_user", "app_password"),
            ("sst_user", "sst_password"),
            ("check_auth_user", "check_auth_password"),
            ("courier_user", "courier_password"),
        ):
            if origins[user] != "default" and values[user] and origins[password] == "default":
                yield problem(user, f"needs {password}", f"give {password}_file too")
            if not values[user] and values[password] and user not in bad:
                yield problem(f"{password}", f"needs {user}", f"give {user} too", show=False)
        if not {"registry_timeout", "ttl"} & bad and values["registry_timeout"] >= values["ttl"]:
            text = f"is not shorter than ttl ({values['ttl']:g} s), so one slow answer would let the lease lapse"
            yield problem("registry_timeout", text, "make it shorter, or ttl longer")
        if not {"check_poll", "check_stale"} & bad and values["check_poll"] >= values["check_stale"]:
            text = f"is not shorter than check_stale ({values['check_stale']:g} s), so the node would seem down"
            yield problem("check_poll", text, "make it shorter, or check_stale longer")

    return list(found())


def _inside(path: Path, folder: Path) -> bool:
    """Also by way of symbolic links."""
    return any(
        one == other or other in one.parents
        for one, other in ((path, folder), (Path(os.path.realpath(path)), Path(os.path.realpath(folder))))
    )
