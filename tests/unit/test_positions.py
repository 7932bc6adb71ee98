"""Reading Galera's positions: texts as real servers write them."""

from __future__ import annotations

import pytest

from galerist.galera.positions import is_zero, parse_grastate, parse_recovered, user_xa
from galerist.model import ZERO_UUID, Position

UUID = "4485d2b9-e555-11f1-a9cd-cfe96997c399"
STAMP = "2026-11-21  2:52:21 0 [Note] "


def grastate(uuid: str, seqno: str) -> str:
    return f"# GALERA saved state\nversion: 2.1\nuuid:    {uuid}\nseqno:   {seqno}\nsafe_to_bootstrap: 0\n"


def test_a_clean_stop_leaves_the_position() -> None:
    assert parse_grastate(grastate(UUID, "4711")) == Position(UUID, 4711)


def test_a_crash_leaves_minus_one() -> None:
    assert parse_grastate(grastate(UUID, "-1")) == Position(UUID, -1)


def test_an_unsafe_state_has_the_zero_uuid() -> None:
    found = parse_grastate(grastate(ZERO_UUID, "-1"))
    assert found is not None
    assert is_zero(found)
    assert not is_zero(Position(UUID, -1))


@pytest.mark.parametrize(
    "text", ["", "\0" * 100, f"uuid: {UUID}\n", "seqno: 3\n", grastate(UUID, "many"), grastate(UUID, "")]
)
def test_what_is_no_grastate_says_nothing(text: str) -> None:
    assert parse_grastate(text) is None


@pytest.mark.parametrize(
    ("said", "seqno"),
    [
        (f"WSREP: Recovered position: {UUID}:12", 12),
        (f"WSREP: Recovered position: {UUID}:12,0-1-345", 12),
        (f"WSREP: Recovered position: 0-1-345,{UUID}:12", 12),
        (f"WSREP: Recovered position {UUID}:0", 0),
        (f"WSREP: Recovered position: {UUID}:-1", -1),
    ],
)
def test_the_recovered_position_with_and_without_a_gtid(said: str, seqno: int) -> None:
    assert parse_recovered(f"{STAMP}InnoDB: started\n{STAMP}{said}\n{STAMP}end\n") == Position(UUID, seqno)


def test_the_last_answer_counts() -> None:
    log = "".join(f"{STAMP}WSREP: Recovered position: {UUID}:{seqno}\n" for seqno in (3, 9))
    assert parse_recovered(log) == Position(UUID, 9)


def test_no_answer_is_none() -> None:
    assert parse_recovered(f"{STAMP}InnoDB: Operating system error number 13\n") is None
    assert parse_recovered(f"{STAMP}WSREP: Recovered position: {UUID[:-1]}:5\n") is None


def test_two_phase_commits_of_the_server_itself_are_no_users_transactions() -> None:
    own = f"{STAMP}InnoDB: Transaction 123 in prepared state after recovery\n"
    assert user_xa(own) == 0
    assert user_xa(f"{own}{STAMP}Found 2 prepared XA transactions\n") == 2
