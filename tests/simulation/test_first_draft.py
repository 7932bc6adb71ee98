"""The schedules that broke the first draft, and the mutants that go back to it."""

from __future__ import annotations

import logging

import pytest

from tests.simulation.mutants import DOCUMENT, documented, tried
from tests.simulation.scenarios import SCENARIOS
from tests.simulation.wrong import MUTANTS, Mutant

TABLE = documented(DOCUMENT.read_text())


@pytest.fixture(autouse=True)
def quiet(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.CRITICAL)


@pytest.mark.parametrize("name", SCENARIOS)
def test_a_schedule_that_broke_the_first_draft(name: str) -> None:
    assert SCENARIOS[name]() is None  # a broken promise is raised


def test_the_table_of_mutants_is_complete() -> None:
    told = {name: line for name, (line, _, _) in TABLE.items()}
    assert told == {mutant.name: mutant.line for mutant in MUTANTS}, "run: python -m tests.simulation.mutants --write"


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_a_mutant_is_caught_by_what_the_table_says(mutant: Mutant) -> None:
    _, where, broken = TABLE[mutant.name]
    violation = tried(mutant, where)
    assert violation is not None and violation.promise == broken
