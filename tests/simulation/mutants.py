"""``python -m tests.simulation.mutants --seed 1``: the simulation must catch every wrong variant (wrong.py).

A mutant is caught by the first schedule or scenario in which a promise is broken.
"""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from tests.simulation import survivors  # noqa: F401  # more scenarios
from tests.simulation.galera import Violation
from tests.simulation.scenarios import SCENARIOS
from tests.simulation.schedule import draw, run
from tests.simulation.wrong import MUTANTS, Mutant, Patch

BUDGET = 6000
"""Schedules within which a mutant must be caught."""

FIRST = 700
"""After that many the scenarios (scenarios.py) are played, then further schedules."""


@contextmanager
def applied(patches: list[Patch]) -> Iterator[None]:
    former = [(where, name, getattr(where, name)) for where, name, _ in patches]
    for where, name, value in patches:
        setattr(where, name, value)
    try:
        yield
    finally:
        for where, name, value in former:
            setattr(where, name, value)


def caught(mutant: Mutant, seed: int, budget: int = BUDGET) -> tuple[int | str, str] | None:
    """The scenario or the first seed that breaks a promise, and how; None if the mutant lives."""
    with applied(mutant.patches()):
        first = min(budget, FIRST)
        found = _by_chance(seed, first)
        if found is None:
            for name, play in SCENARIOS.items():
                try:
                    play()
                except Violation as violation:
                    return name, str(violation)
            found = _by_chance(seed + first, budget - first)
    return found


def _by_chance(seed: int, budget: int) -> tuple[int, str] | None:
    for number in range(seed, seed + budget):
        violation = run(draw(number)).violation
        if violation is not None and violation.promise != "MODEL":
            return number, str(violation)
    return None


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation.mutants")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", help="name of one mutant")
    parser.add_argument("--markdown", action="store_true", help="the table of docs/simulation.md")
    options = parser.parse_args()
    logging.disable(logging.CRITICAL)
    chosen = [mutant for mutant in MUTANTS if options.only in (None, mutant.name)]
    hits = 0
    if options.markdown:
        print("| case or rule | mutant | caught by | broken |\n|---|---|---|---|")
    for mutant in chosen:
        found = caught(mutant, options.seed)
        hits += found is not None
        where, text = found or ("nothing", "NOT CAUGHT")
        by = f"seed {where}" if isinstance(where, int) else where
        if options.markdown:
            print(f"| {mutant.line} | `{mutant.name}` | {by} | {text.split(':')[0]} |", flush=True)
        else:
            print(f"{mutant.name}: {by}: {text[:150]}", flush=True)
    if not options.markdown:
        print(f"{len(chosen)} mutants, {hits} caught")
    return 0 if hits == len(chosen) else 1


if __name__ == "__main__":
    sys.exit(main())
