"""``python -m tests.simulation --n 1000 --seed 1``: run schedules; ``--replay SEED`` tells one."""

from __future__ import annotations

import argparse
import logging
import sys
import time

from tests.simulation.coverage import Coverage
from tests.simulation.schedule import Schedule, draw, run, shrunk

LONG = 20_000
"""From that many schedules on, a branch, fault or pair that never happened is a failure."""

TOLD_EVERY = 1000
"""After so many schedules a long run says how far it is."""

TOLD = 3
"""That many violations are shrunk and told in full."""


def tell(schedule: Schedule, seed: int) -> None:
    outcome = run(schedule, tell=True)
    print(f"--- seed {seed}: {schedule.count} nodes, {len(schedule.events)} events, {schedule}")
    print("\n".join(outcome.trace))
    print(f"--- seed {seed}: {outcome.violation or 'no violation'}")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation")
    parser.add_argument("--n", type=int, default=1000, help="number of schedules")
    parser.add_argument("--seed", type=int, default=1, help="the first one's seed; the others follow")
    parser.add_argument("--replay", type=int, metavar="SEED", help="tell the schedule of that seed, whole")
    parser.add_argument("--quiet", action="store_true", help="no table of coverage")
    options = parser.parse_args()
    logging.disable(logging.CRITICAL)
    if options.replay is not None:
        tell(draw(options.replay), options.replay)
        return 0
    coverage, found, began = Coverage(), 0, time.monotonic()
    with coverage.counting():
        for seed in range(options.seed, options.seed + options.n):
            schedule = draw(seed)
            outcome = run(schedule)
            coverage.add(outcome)
            if outcome.violation is not None:
                found += 1
                print(f"seed {seed}: {outcome.violation}", flush=True)
                if found <= TOLD:
                    tell(shrunk(schedule, outcome.violation), seed)
            done = seed - options.seed + 1
            if done % TOLD_EVERY == 0:
                print(f"{done} done, {found} violations", file=sys.stderr, flush=True)
    if not options.quiet:
        print(coverage.table())
    zeros = coverage.zeros()
    for what in zeros:
        print(f"never happened: {what}")
    spent = time.monotonic() - began
    print(f"{spent:.0f} s, {60 * options.n / max(spent, 0.001):.0f} schedules a minute; seeds {options.seed} to {options.seed + options.n - 1}")  # fmt: skip
    print(f"{options.n} schedules, {found} violations")
    return 1 if found or (zeros and options.n >= LONG) else 0


if __name__ == "__main__":
    sys.exit(main())
