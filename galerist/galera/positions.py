"""Galera's positions on disk: ``grastate.dat`` and the answer of ``--wsrep-recover``.

Sources: Galera documentation, "Restarting the Cluster"; the file format is the one that
galera-4 26.4 writes. ``safe_to_bootstrap`` is not read at all: it is a hint that has
misled operators, and the positions say more.
"""

from __future__ import annotations

import re

from galerist.model import ZERO_UUID, Position

_GRASTATE = re.compile(r"^(uuid|seqno):\s*(\S+)\s*$", re.MULTILINE)
_RECOVERED = re.compile(
    r"WSREP: Recovered position:? (?:\d+-\d+-\d+,)?([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}):(-?\d+)"
)
_FOREIGN_XA = re.compile(r"Found (\d+) prepared XA transactions")


def parse_grastate(text: str) -> Position | None:
    """The position in a ``grastate.dat``; seqno -1 means that it must be recovered. None: not such a file."""
    fields = dict(_GRASTATE.findall(text))
    try:
        return Position(fields["uuid"], int(fields["seqno"]))
    except (KeyError, ValueError):
        return None


def parse_recovered(log: str) -> Position | None:
    """The position that ``mariadbd --wsrep-recover`` printed, None if it printed none.

    With GTIDs the line reads ``uuid:seqno,d-s-n`` or the other way round. A zero uuid with
    seqno -1 says that InnoDB holds no Galera position: the data never were part of a cluster.
    """
    found = _RECOVERED.findall(log)
    return Position(found[-1][0], int(found[-1][1])) if found else None


def user_xa(log: str) -> int:
    """How many XA transactions that users prepared the server found.

    InnoDB's own "in prepared state" lines come from two-phase commit with the binary log and
    mean nothing here; only the server's count names transactions that are not its own.
    """
    found = _FOREIGN_XA.findall(log)
    return int(found[-1]) if found else 0


def is_zero(position: Position) -> bool:
    """Whether this is Galera's "no position"."""
    return position.uuid == ZERO_UUID
