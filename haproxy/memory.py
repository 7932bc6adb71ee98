"""The servers last known, for a watcher that starts while the registry is down."""

from __future__ import annotations

import dataclasses
import json
import logging
import typing
from pathlib import Path

from galerist.files import write_atomically
from haproxy.model import Server

log = logging.getLogger("haproxy")


def remember(path: Path, servers: tuple[Server, ...]) -> None:
    """Raises OSError."""
    write_atomically(path, json.dumps([dataclasses.asdict(server) for server in servers], indent=1))


def recall(path: Path) -> tuple[Server, ...]:
    """Nothing when there is no memory, or one that cannot be read."""
    try:
        return parse(json.loads(path.read_text()))
    except FileNotFoundError:
        return ()
    except (OSError, ValueError, TypeError, RecursionError) as error:
        log.warning("%s cannot be read, the registry alone counts: %s", path, error)
        return ()


def parse(value: object) -> tuple[Server, ...]:
    """Servers from JSON. Raises TypeError or ValueError for anything else."""
    if not isinstance(value, list):
        raise TypeError("it is not a list of servers")
    kinds = typing.get_type_hints(Server)
    servers = []
    needed = {field.name for field in dataclasses.fields(Server) if field.default is dataclasses.MISSING}
    for item in value:
        if not isinstance(item, dict) or not needed <= item.keys() <= kinds.keys():
            raise TypeError(f"a server has {', '.join(kinds)}, not {item!r:.80}")
        server = Server(**item)
        for name, kind in kinds.items():
            if type(getattr(server, name)) is not kind:
                raise TypeError(f"{name} of a server is {getattr(server, name)!r}, not {kind.__name__}")
        servers.append(server)
    return tuple(servers)
