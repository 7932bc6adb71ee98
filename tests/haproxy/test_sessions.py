"""Which sessions end, and when."""

from __future__ import annotations

from dataclasses import replace

import pytest

from haproxy.control import Row, Session
from haproxy.sessions import Farewell, leftovers, lost, writer

UP = Row(10, "10.0.0.1", "-", 3306, 9200, 1, False, True, "UP", "L7OK", "200", 60, 1)


def row(status: str, since: int = 60, check: str = "L7STS", code: str = "503", weight: int = 1) -> Row:
    return replace(UP, status=status, since=since, check=check, code=code, weight=weight)


def test_the_writer_is_the_lowest_that_can_take_sessions() -> None:
    rows = {("write", "a"): replace(UP, id=30), ("write", "b"): replace(UP, id=20), ("read", "c"): replace(UP, id=1)}
    assert writer(rows) == "b"
    assert writer(rows | {("write", "b"): row("DOWN")}) == "a"
    assert writer(rows | {("write", "b"): replace(UP, id=20, weight=0)}) == "a"
    assert writer({("read", "c"): UP}) is None


@pytest.mark.parametrize(
    ("state", "ended"),
    [
        (UP, False),
        (row("UP 1/2"), False),
        (row("NOLB", code="404"), False),  # drains
        (row("DOWN", code="404"), False),  # drains, and had not been up before
        (row("DOWN", 2), False),  # it may be a stall
        (row("DOWN 1/3", 5), True),
        (row("DOWN", 0, "L4CON", ""), True),  # nobody is there
        (row("DOWN", 0, "L4TOUT", ""), False),  # two packets may be lost
        (row("DOWN", 1, "L4TOUT", ""), True),
        (row("DOWN", 0, "HANA", ""), True),  # a client was refused
        (row("DOWN", 0, "L7TOUT", ""), False),
        (row("MAINT", 0), True),
        (None, True),
    ],
)
def test_when_a_node_loses_its_sessions(state: Row | None, ended: bool) -> None:
    assert lost(state, 1.0, 5.0) is ended


@pytest.mark.parametrize(
    ("a", "b", "ended"),
    [
        (UP, UP, "write/b"),  # the writer is back, or the order has changed
        (row("DOWN"), UP, "write/a read/a"),
        (row("DOWN", 1), UP, ""),
        (row("NOLB", code="404"), UP, ""),
        (row("UP", weight=0), UP, "write/a"),  # to be moved, or drained
        (row("MAINT"), UP, "write/a read/a"),
        (row("DOWN"), row("DOWN"), "write/a read/a write/b read/b"),
        (None, UP, "write/a read/a"),  # no longer there at all
    ],
)
def test_leftovers(a: Row | None, b: Row, ended: str) -> None:
    sessions = [Session(f"{proxy}/{server}", proxy, server) for server in "ab" for proxy in ("write", "read")]
    rows = {(proxy, "b"): replace(b, id=20) for proxy in ("write", "read")}
    if a is not None:
        rows |= {(proxy, "a"): a for proxy in ("write", "read")}
    assert " ".join(session.id for session in leftovers(sessions, rows, 1.0, 5.0)) == ended


def test_a_session_ends_when_it_is_quiet_or_late() -> None:
    farewell = Farewell(grace=5.0)

    def due(now: float, **carried: tuple[int, int]) -> str:
        found = [Session(name, "write", "a", sent, received) for name, (sent, received) in carried.items()]
        return " ".join(session.id for session in farewell.due(found, now))

    assert due(0.0, x=(7, 7), y=(7, 7), q=(1, 1)) == ""
    assert due(0.05, x=(7, 7), y=(7, 7), q=(2, 1)) == ""
    assert due(0.1, x=(7, 7), y=(9, 9), q=(2, 1)) == "x", "it is quiet"
    assert due(0.2, y=(11, 9), z=(1, 1), q=(2, 1)) == "", "q waits for its answer"
    assert due(5.0, y=(20, 9), z=(2, 2), q=(3, 2)) == "y q", "their time is over"
    assert due(5.1, z=(3, 3)) == ""
    assert due(5.2) == ""
    assert due(5.3, z=(3, 3)) == "", "it went away meanwhile, and is new"


def test_a_drained_session_has_all_its_time() -> None:
    farewell = Farewell(grace=5.0, quietly=False)
    session = Session("x", "read", "a", 7, 7)
    assert farewell.due([session], 0.0) == farewell.due([session], 4.9) == ()
    assert farewell.due([session], 5.0) == (session,)
