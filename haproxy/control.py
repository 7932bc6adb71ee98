"""What is said over HAProxy's two sockets, and how its answers read.

The master's socket knows the processes; a worker's (the stats socket) knows the
servers. Formats: HAProxy 2.6, management guide, "Unix Socket commands" and "Master CLI".
"""

from __future__ import annotations

import csv
import io
import ipaddress
import re
import socket
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

from haproxy.model import ProxyModel, Server

_SESSION = re.compile(r"^(?P<id>0x[0-9a-f]+): proto=\S+ .*?\bbe=(?P<proxy>\S+) srv=(?P<server>[^\s<]+) ", re.M)


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


def read_status(text: str) -> dict[tuple[str, str], str]:
    """(proxy, server) -> status (``UP``, ``UP 1/3``, ``NOLB``, ``DOWN``, ``MAINT``…), from ``show stat``."""
    rows = csv.DictReader(io.StringIO(text.removeprefix("# ")))
    return {
        (row["pxname"], row["svname"]): row["status"] or ""
        for row in rows
        if row.get("svname") not in (None, "FRONTEND", "BACKEND")
    }


@dataclass(frozen=True, slots=True)
class Session:
    """A session of a worker: its id, as ``shutdown session`` takes it, and where it goes."""

    id: str
    proxy: str
    server: str


def read_sessions(text: str) -> tuple[Session, ...]:
    """From ``show sess``; only sessions that have a server."""
    found = _SESSION.finditer(text)
    return tuple(Session(match["id"], match["proxy"], match["server"]) for match in found)


def leftovers(
    sessions: Collection[Session], status: Mapping[tuple[str, str], str], writers: tuple[str, ...]
) -> tuple[Session, ...]:
    """Which sessions of an old worker must end.

    An old worker checks nobody any more, so a session that it holds would stay on a dead
    node for ever, or on a node that is no longer the writer. ``status`` is what the
    current worker sees, ``writers`` the order of the write port. Drained nodes (NOLB)
    keep their sessions.
    """
    writer = next((name for name in writers if status.get(("write", name), "").startswith("UP")), None)

    def ends(session: Session) -> bool:
        now = status.get((session.proxy, session.server))
        if now is None or now.startswith(("DOWN", "MAINT")):
            return True
        return session.proxy == "write" and now.startswith("UP") and session.server != writer

    return tuple(session for session in sessions if ends(session))


# -- the state of servers, carried over a reload ---------------------------------------------

# Fields of version 1, in their order: management guide, "show servers state".
_STATE_FIELDS = (
    *("be_id", "be_name", "srv_id", "srv_name", "srv_addr", "srv_op_state", "srv_admin_state"),
    *("srv_uweight", "srv_iweight", "srv_time_since_last_change", "srv_check_status", "srv_check_result"),
    *("srv_check_health", "srv_check_state", "srv_agent_state", "bk_f_forced_id", "srv_f_forced_id"),
    *("srv_fqdn", "srv_port", "srvrecord", "srv_use_ssl", "srv_check_port", "srv_check_addr"),
    *("srv_agent_addr", "srv_agent_port"),
)
_KEPT = ("srv_op_state", "srv_check_status", "srv_check_result", "srv_check_health", "srv_time_since_last_change")
_BY_HAND = 0x01 | 0x08  # SRV_ADMF_FMAINT, SRV_ADMF_FDRAIN: set by a person over the socket
_INITIAL = "1"  # HCHK_STATUS_INI; with 0 the worker would never heed a check


def read_states(text: str) -> dict[tuple[str, str], dict[str, str]]:
    """(proxy, server) -> fields, from ``show servers state``; empty when it is not of version 1."""
    lines = text.strip().splitlines()
    if len(lines) < 2 or lines[0].strip() != "1" or not lines[1].startswith("# "):
        return {}
    names = lines[1][2:].split()
    rows = (dict(zip(names, line.split(" "), strict=False)) for line in lines[2:])
    return {(row.get("be_name", ""), row.get("srv_name", "")): row for row in rows}


def state_file(model: ProxyModel, running: Mapping[tuple[str, str], Mapping[str, str]]) -> str:
    """What HAProxy shall believe of the servers until it has checked them itself.

    Left to itself it takes each new server for UP, and would send clients to nodes that no
    check has passed yet. Servers that the running worker has at the same address keep what
    it knows of them (``running``, from :func:`read_states`); the others begin DOWN, and one
    good check lifts them. The other ports track the write port, so its lines are enough.
    """
    lines = ["1", "# " + " ".join(_STATE_FIELDS)]
    for number, server in enumerate(model.servers, 1):
        former = running.get(("write", server.name), {})
        fields = dict.fromkeys(_STATE_FIELDS, "0") | {
            "be_id": "1",
            "be_name": "write",
            "srv_id": str(number),
            "srv_name": server.name,
            "srv_addr": server.address,
            "srv_uweight": "1",
            "srv_iweight": "1",
            "srv_check_status": _INITIAL,
            "srv_check_state": "6",  # enabled and configured
            "srv_fqdn": "-",
            "srv_port": str(server.port),
            "srvrecord": "-",
            "srv_check_port": str(server.check_port),
            "srv_check_addr": "-",
            "srv_agent_addr": "-",
        }
        if _same(server, former):
            fields |= {name: former[name] for name in _KEPT if former.get(name, "").isdigit()}
        if former.get("srv_admin_state", "").isdigit():
            fields["srv_admin_state"] = str(int(former["srv_admin_state"]) & _BY_HAND)
        lines.append(" ".join(fields[name] for name in _STATE_FIELDS))
    return "\n".join(lines) + "\n"


def _same(server: Server, row: Mapping[str, str]) -> bool:
    named = row.get("srv_fqdn", "-")
    place = row.get("srv_addr", "") if named == "-" else named
    ports = (row.get("srv_port"), row.get("srv_check_port"))
    return _plain(place) == _plain(server.address) and ports == (str(server.port), str(server.check_port))


def _plain(address: str) -> str:
    """One spelling for each IPv6 address."""
    try:
        return str(ipaddress.ip_address(address))
    except ValueError:
        return address
