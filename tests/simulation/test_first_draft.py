"""The schedules that broke the first draft, and the mutants that go back to it."""

from __future__ import annotations

import logging

import pytest

from tests.simulation import survivors  # noqa: F401  # more scenarios
from tests.simulation.mutants import caught
from tests.simulation.scenarios import SCENARIOS
from tests.simulation.wrong import MUTANTS, Mutant

IN_TESTS = 400
"""Schedules per mutant in the tests, before the scenarios; make mutants gives them more."""

LATE = {"ahead_is_overwritten", "no_nonce", "opens_without_the_registry", "hung_server_counts_as_down"}
"""Mutants for which so few are not enough."""


@pytest.fixture(autouse=True)
def quiet(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.CRITICAL)


@pytest.mark.parametrize("name", SCENARIOS)
def test_a_schedule_that_broke_the_first_draft(name: str) -> None:
    assert SCENARIOS[name]() is None  # a broken promise is raised


@pytest.mark.parametrize("mutant", [m for m in MUTANTS if m.name not in LATE], ids=lambda mutant: mutant.name)
def test_a_mutant_is_caught(mutant: Mutant) -> None:
    assert caught(mutant, 1, IN_TESTS) is not None
