"""The kinds of faults, and how they are drawn. A plan depends on nothing but the seed and the round's number."""

from __future__ import annotations

import random

from tests.faults.kinds import disks, network, processes, registry  # noqa: F401  # they fill KINDS
from tests.faults.kinds.plan import ALONE, ARBITRATED, HARMLESS, KINDS, Fault, Plan


def draw(
    seed: int, number: int, nodes: tuple[str, ...], etcds: tuple[str, ...], arbitrators: tuple[str, ...] = ()
) -> Plan:
    """The plan of a round. Each pass over all kinds has its own order, so that every kind has its turn."""
    names = sorted(KINDS if arbitrators else KINDS.keys() - ARBITRATED)
    deck = random.Random(f"{seed}/deck/{number // len(names)}").sample(names, len(names))
    rng = random.Random(f"{seed}/{number}")
    first = deck[number % len(names)]

    def another() -> str:
        if first in ALONE:
            return rng.choice(HARMLESS)
        return rng.choice([name for name in names if name != first and (first in HARMLESS or name not in ALONE)])

    chosen = [first, another()] if rng.random() < 0.5 else [first]
    faults = tuple(KINDS[name](rng, nodes, etcds) for name in chosen)
    if rng.random() < 0.5 or ALONE & {*chosen}:
        return Plan(faults)
    then = rng.choice([name for name in names if name not in ALONE])
    return Plan(faults, KINDS[then](rng, nodes, etcds), round(rng.uniform(0, 10), 1))


def single(name: str, seed: int, number: int, nodes: tuple[str, ...], etcds: tuple[str, ...]) -> Plan:
    """One fault of a kind that was asked for by name."""
    return Plan((KINDS[name](random.Random(f"{seed}/{number}"), nodes, etcds),))


__all__ = ["ALONE", "ARBITRATED", "HARMLESS", "KINDS", "Fault", "Plan", "draw", "single"]
