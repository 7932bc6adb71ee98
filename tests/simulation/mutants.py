"""``python -m tests.simulation.mutants --seed 1``: the simulation must catch every wrong variant (wrong/).

A mutant is caught by the first schedule or scenario in which a promise is broken.
"""

from __future__ import annotations

import argparse
import logging
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.simulation import arbitrated, survivors  # noqa: F401  # more scenarios
from tests.simulation.galera import Violation
from tests.simulation.scenarios import SCENARIOS
from tests.simulation.schedule import draw, run
from tests.simulation.wrong import MUTANTS, Mutant, Patch

BUDGET = 6000
"""Schedules within which a mutant must be caught."""

FIRST = 100
"""After that many the scenarios are played, then further schedules."""

DOCUMENT = Path(__file__).parents[2] / "docs" / "simulation.md"
HEAD = "| case or rule | mutant | caught by | broken |\n|---|---|---|---|\n"
ROW = re.compile(r"^\| (.+) \| `(\w+)` \| (?:seed (\d+)|(\w+)) \| (\w+) \|$", re.MULTILINE)


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


def tried(mutant: Mutant, where: int | str) -> Violation | None:
    """What one seed or scenario finds wrong with a mutant."""
    with applied(mutant.patches()):
        if isinstance(where, int):
            return run(draw(where)).violation
        try:
            SCENARIOS[where]()
        except Violation as violation:
            return violation
    return None


def caught(mutant: Mutant, seed: int, budget: int = BUDGET) -> tuple[int | str, Violation] | None:
    """The scenario or the first seed that breaks a promise, and how; None if the mutant lives."""
    first = min(budget, FIRST)
    attempts: list[int | str] = [*range(seed, seed + first), *SCENARIOS, *range(seed + first, seed + budget)]
    for where in attempts:
        violation = tried(mutant, where)
        if violation is not None and violation.promise != "MODEL":
            return where, violation
    return None


def row(mutant: Mutant, where: int | str, violation: Violation) -> str:
    by = f"seed {where}" if isinstance(where, int) else where
    return f"| {mutant.line} | `{mutant.name}` | {by} | {violation.promise} |\n"


def documented(text: str) -> dict[str, tuple[str, int | str, str]]:
    """By the name of the mutant, what the table says: the case, who catches it, the promise that is broken."""
    return {name: (line, int(seed) if seed else by, broken) for line, name, seed, by, broken in ROW.findall(text)}


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation.mutants")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", help="name of one mutant")
    parser.add_argument("--write", action="store_true", help=f"renew the table in {DOCUMENT.name}")
    options = parser.parse_args()
    logging.disable(logging.CRITICAL)
    chosen = [mutant for mutant in MUTANTS if options.only in (None, mutant.name)]
    rows = []
    for mutant in chosen:
        found = caught(mutant, options.seed)
        if found is None:
            print(f"{mutant.name}: NOT CAUGHT", flush=True)
            continue
        rows.append(row(mutant, *found))
        by = f"seed {found[0]}" if isinstance(found[0], int) else found[0]
        print(f"{mutant.name}: {by}: {str(found[1])[:150]}", flush=True)
    if options.write and len(rows) == len(MUTANTS):
        text = DOCUMENT.read_text()
        before, after = text.split(HEAD)
        DOCUMENT.write_text(before + HEAD + "".join(rows) + ROW.sub("", after).lstrip("\n"))
    print(f"{len(chosen)} mutants, {len(rows)} caught")
    return 0 if len(rows) == len(chosen) else 1


if __name__ == "__main__":
    sys.exit(main())
