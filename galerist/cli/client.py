"""``galerist sql``: MariaDB's own client, led to the right place."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path
from typing import Any

from galerist.cli.show import as_data, opened, read
from galerist.settings import Settings

FAILED, MISSING = 1, 69


class Nowhere(Exception):
    """There is no such place; the text says why."""


def place(data: dict[str, Any], to: str, node: str | None) -> tuple[str, int]:
    """Host and port for ``write`` or ``read``, or those of a node. Raises Nowhere."""
    if node is not None:
        found = [one for one in data["members"] if one["name"] == node and one["host"]]
        if not found:
            known = ", ".join(one["name"] for one in data["members"] if one["host"]) or "none"
            raise Nowhere(f"{node} does not report (known: {known})")
        return found[0]["host"], found[0]["sql_port"]
    if data["proxies"]:
        proxy = data["proxies"][0]
        return proxy["host"], proxy[f"{to}_port"]
    usable = [one for one in data["members"] if one["state"] == "synced" and one["open"]]
    chosen = [one for one in usable if (one["role"] == "writer") == (to == "write")] or usable
    if not chosen:
        raise Nowhere("no proxy reports, and no node serves: galerist explain says why")
    return chosen[0]["host"], chosen[0]["sql_port"]


def sql_command(settings: Settings | None, dir: Path | None, to: str, node: str | None, words: tuple[str, ...]) -> int:
    """Become the client; ``words`` are its own. Returns only when that cannot be."""
    program = shutil.which("mariadb") or shutil.which("mysql")
    if program is None:
        print("galerist: there is no program mariadb: install mariadb-client", file=sys.stderr)
        return MISSING
    with opened(settings, dir) as (registry, cluster):
        data = as_data(read(registry, cluster))
    try:
        host, port = place(data, to, node)
    except Nowhere as error:
        print(f"galerist: {error}", file=sys.stderr)
        return FAILED
    options = ["--protocol=tcp", f"--host={host}", f"--port={port}"]
    if dir is not None:
        from galerist.local.layout import locate

        options.insert(0, f"--defaults-file={locate(dir, None).client}")
    sys.stdout.flush()
    return os.execv(program, [program, *options, *words])
