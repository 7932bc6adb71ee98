"""What is said over HAProxy's two sockets, and how its answers read.

The master's socket knows the processes; a worker's (the stats socket) knows the
servers. Formats: HAProxy 2.6, management guide, "Unix Socket commands" and "Master CLI".
"""

from __future__ import annotations

import contextlib
import csv
import re
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_FORCED_MAINT = 0x01  # SRV_ADMF_FMAINT
_SESSION = re.compile(r"^(?P<id>0x[0-9a-f]+): proto=\S+ .*?\bbe=(?P<proxy>\S+) srv=(?P<server>[^\s<]+) ", re.M)
_TOTAL = re.compile(r"^  (req|res)=0x[0-9a-f]+ \([^)]*\btotal=(\d{1,20})\)", re.M)
_BLOCK = tuple(
    re.compile(pattern, re.M)
    for pattern in (r"\A(0x[0-9a-f]+): \[", r"^  backend=([^\s<]+) \(id=", r"^  server=([^\s<]+) \(id=")
)


class Mute(Exception):
    """HAProxy did not answer on its socket in time."""


@dataclass(frozen=True, slots=True)
class Processes:
    """``workers`` take new sessions; ``old`` finish those from before a reload."""

    master: int
    failed: int  # reloads that the master could not carry out since the last good one
    workers: tuple[int, ...]
    old: tuple[int, ...]

    @property
    def alive(self) -> tuple[int, ...]:
        return self.workers + self.old


def ask(path: Path, command: str, timeout: float = 2.0) -> str:
    """The answer to one command. ``timeout`` is in seconds, per read. Raises :class:`Mute`."""
    parts: list[bytes] = []
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as peer:
            peer.settimeout(timeout)
            peer.connect(str(path))
            peer.sendall(command.encode() + b"\n")
            peer.shutdown(socket.SHUT_WR)  # the master keeps the connection for more commands otherwise
            while part := peer.recv(65536):
                parts.append(part)
    except OSError as error:
        raise Mute(f"HAProxy does not answer on {path}: {error}") from error
    return b"".join(parts).decode(errors="replace")


def read_processes(text: str) -> Processes:
    """From ``show proc`` on the master's socket. Raises :class:`Mute` for anything else."""
    master, failed, section = 0, 0, ""
    found: dict[str, list[int]] = {"# workers": [], "# old workers": []}
    for line in text.splitlines():
        words = line.split()
        if line.startswith("# "):
            section = line.strip()
        elif len(words) > 2 and words[0].isdigit() and words[1] == "master":
            master = int(words[0])
            failed = int(words[4].rstrip("]")) if len(words) > 4 and words[4].rstrip("]").isdigit() else 0
        elif len(words) > 2 and words[0].isdigit() and section in found:
            found[section].append(int(words[0]))
    if not master:
        raise Mute(f"HAProxy's master does not answer 'show proc' with a list: {text[:200]!r}")
    return Processes(master, failed, tuple(found["# workers"]), tuple(found["# old workers"]))


@dataclass(frozen=True, slots=True)
class Row:
    """A server as the running worker has it. ``fqdn`` is ``-`` where its address was given as one.

    ``status`` is ``UP``, ``UP 1/3``, ``NOLB`` (404: no new sessions), ``DOWN``, ``MAINT``, ``DRAIN`` and
    so on; ``check`` is how the last check ended (``L7OK``, ``L7STS``, ``L4CON``…) and ``code`` its HTTP
    status; ``since`` the seconds since it last went up or down.
    """

    id: int
    address: str
    fqdn: str
    port: int
    check_port: int
    weight: int
    maint: bool  # by command, not by configuration
    running: bool  # its checks pass, whatever its weight
    status: str
    check: str
    code: str
    since: float
    sessions: int
    limit: int = 0  # its maxconn, 0 for none

    @property
    def up(self) -> bool:
        return self.status.startswith("UP")


def read_rows(states: str, stat: str) -> dict[tuple[str, str], Row]:
    """(proxy, server) -> row, from ``show servers state`` and ``show stat``.

    Only servers that both know: between the two answers one may have come or gone.
    """
    rows: dict[tuple[str, str], Row] = {}
    known = read_states(states)
    for line in _table(stat):
        key = (line.get("pxname") or "", line.get("svname") or "")
        state = known.get(key)
        if state is None:
            continue
        rows[key] = Row(
            id=_number(state.get("srv_id")),
            address=state.get("srv_addr", "-"),
            fqdn=state.get("srv_fqdn", "-"),
            port=_number(state.get("srv_port")),
            check_port=_number(state.get("srv_check_port")),
            weight=_number(state.get("srv_uweight")),
            maint=bool(_number(state.get("srv_admin_state")) & _FORCED_MAINT),
            running=state.get("srv_op_state") == "2",
            status=line.get("status") or "",
            check=(line.get("check_status") or "").removeprefix("* "),
            code=line.get("check_code") or "",
            since=_number(line.get("lastchg")),
            sessions=_number(line.get("scur")),
            limit=_number(line.get("slim")),
        )
    return rows


def read_queues(stat: str) -> frozenset[str]:
    """The proxies in which sessions wait for a server, from ``show stat``."""
    return frozenset(
        line.get("pxname") or ""
        for line in _table(stat)
        if line.get("svname") == "BACKEND" and _number(line.get("qcur"))
    )


def _table(text: str) -> Iterator[dict[str, str]]:
    """The lines of a CSV with a heading, as mappings; a line that is none is left out."""
    names: list[str] = []
    for line in text.removeprefix("# ").splitlines():
        with contextlib.suppress(csv.Error):
            fields = next(csv.reader([line]), [])
            if names:
                yield dict(zip(names, fields, strict=False))
            names = names or fields


def _number(text: str | None) -> int:
    return int(text) if text is not None and text.isascii() and text.isdigit() else 0


@dataclass(frozen=True, slots=True)
class Session:
    """A session of a worker: its id, as ``shutdown session`` takes it, and where it goes.
    ``sent`` are the bytes that the client has sent, ``received`` those it was sent; 0 where that was not asked for."""

    id: str
    proxy: str
    server: str
    sent: int = 0
    received: int = 0


def read_sessions(text: str) -> tuple[Session, ...]:
    """From ``show sess``; only sessions that have a server."""
    found = _SESSION.finditer(text)
    return tuple(Session(match["id"], match["proxy"], match["server"]) for match in found)


def read_busy(text: str) -> tuple[Session, ...]:
    """From ``show sess all``, with the bytes that each session has carried."""
    sessions = []
    for block in re.split(r"^(?=0x[0-9a-f]+: \[)", text, flags=re.M):
        parts = [pattern.search(block) for pattern in _BLOCK]
        if all(parts):
            name, proxy, server = (part[1] for part in parts if part)
            found = {way: int(total) for way, total in _TOTAL.findall(block)}
            sessions.append(Session(name, proxy, server, found.get("req", 0), found.get("res", 0)))
    return tuple(sessions)


def read_states(text: str) -> dict[tuple[str, str], dict[str, str]]:
    """(proxy, server) -> fields, from ``show servers state``; empty when it is not of version 1."""
    lines = text.strip().splitlines()
    if len(lines) < 2 or lines[0].strip() != "1" or not lines[1].startswith("# "):
        return {}
    names = lines[1][2:].split()
    rows = (dict(zip(names, line.split(" "), strict=False)) for line in lines[2:])
    return {(row.get("be_name", ""), row.get("srv_name", "")): row for row in rows}
