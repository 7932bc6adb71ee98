"""A drain that lasts as long as a file says so, such as the annotation of a pod."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from bootstrap.orders import Refused
from galerist.cli.standing import says, turn
from galerist.model import State, dump, load
from galerist.registry.keys import Keys
from tests.unit.test_agent import Shelf
from tests.unit.test_traffic import ALL, STATE

KEYS = Keys("galera")


@pytest.fixture
def shelf() -> Shelf:
    made = Shelf()
    made.values = {KEYS.members + report.node: dump(report) for report in ALL} | {KEYS.state: dump(STATE)}
    return made


def drained(shelf: Shelf) -> tuple[str, ...]:
    return load(State, shelf.values[KEYS.state]).drained


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        (None, False),
        ("", False),
        ("\n", False),
        ("no", False),
        ("False\n", False),
        ("backup, ann", True),
        ("true", True),
    ],
)
def test_what_the_file_says(tmp_path: Path, text: str | None, wanted: bool) -> None:
    file = tmp_path / "drain"
    if text is not None:
        file.write_text(text)
    assert says(file) is wanted


def test_the_drain_begins_and_ends_with_the_file(shelf: Shelf) -> None:
    assert turn(shelf, "galera", "b", wanted=False) == ()
    assert "b gets no new clients" in turn(shelf, "galera", "b", wanted=True)[0]
    assert drained(shelf) == ("b",)
    assert turn(shelf, "galera", "b", wanted=True) == (), "once"
    assert turn(shelf, "galera", "b", wanted=False) == ("b gets clients again.",)
    assert drained(shelf) == () and KEYS.standing("b") not in shelf.values
    assert turn(shelf, "galera", "b", wanted=False) == ()
    told = [text for key, text in sorted(shelf.values.items()) if key.startswith(KEYS.history)]
    assert ["b's pod" in text for text in told] == [True, True]


def test_a_persons_drain_is_left_alone(shelf: Shelf) -> None:
    shelf.values[KEYS.state] = dump(replace(STATE, drained=("b",)))
    assert turn(shelf, "galera", "b", wanted=True) == ()
    assert turn(shelf, "galera", "b", wanted=False) == ()
    assert drained(shelf) == ("b",)


def test_a_person_who_ends_it_first_leaves_no_mark_behind(shelf: Shelf) -> None:
    turn(shelf, "galera", "b", wanted=True)
    shelf.values[KEYS.state] = dump(STATE)
    assert "ended by somebody else" in turn(shelf, "galera", "b", wanted=False)[0]
    assert turn(shelf, "galera", "b", wanted=False) == ()


def test_it_is_refused_like_any_drain_and_tried_again(shelf: Shelf) -> None:
    shelf.values[KEYS.state] = dump(replace(STATE, drained=("c",)))
    with pytest.raises(Refused, match="2 are needed"):
        turn(shelf, "galera", "b", wanted=True)
    assert KEYS.standing("b") not in shelf.values
    shelf.values[KEYS.state] = dump(STATE)
    turn(shelf, "galera", "b", wanted=True)
    assert drained(shelf) == ("b",)
