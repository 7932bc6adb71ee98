"""What a fault is, and how kinds are registered."""

from __future__ import annotations

import random
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass

from tests.faults.fleet import TTL, Fleet

KILL, STOP, TERM = signal.SIGKILL, signal.SIGSTOP, signal.SIGTERM

Apply = Callable[[Fleet], None]


@dataclass(frozen=True)
class Fault:
    """``kind`` with all that was drawn for it in ``text``. ``hold``: seconds until everything is healed."""

    kind: str
    text: str
    hold: float
    apply: Apply


Maker = Callable[[random.Random, tuple[str, ...], tuple[str, ...]], Fault]
KINDS: dict[str, Maker] = {}

ALONE = frozenset({"wipe-disk", "crash-in-transfer"})
"""A disk is lost here. With another fault that takes the rest down, no node may start without a person (rule 4)."""

ARBITRATED = frozenset({"kill-arbitrator", "freeze-arbitrator"})
"""Kinds for clusters with an arbitrator."""

HARMLESS = (
    "kill-haproxy", "freeze-haproxy", "kill-watcher", "freeze-watcher", "kill-etcd", "freeze-etcd", "kill-all-etcd",
    "freeze-all-etcd", "wipe-etcd",
)  # fmt: skip
"""Kinds that take no node down: these may go with a lost disk."""


def kind(name: str) -> Callable[[Maker], Maker]:
    def keep(maker: Maker) -> Maker:
        KINDS[name] = maker
        return maker

    return keep


@dataclass(frozen=True)
class Plan:
    """The faults of a round: ``first`` together; and ``later`` seconds after all is healed, into the recovery, ``then``."""

    first: tuple[Fault, ...]
    then: Fault | None = None
    later: float = 0.0

    @property
    def kinds(self) -> tuple[str, ...]:
        return tuple(fault.kind for fault in (*self.first, *((self.then,) if self.then else ())))

    def __str__(self) -> str:
        text = " + ".join(fault.text for fault in self.first)
        return f"{text}, then after {self.later}s {self.then.text}" if self.then else text


def some(rng: random.Random) -> float:
    return round(rng.uniform(0.5, 12.0), 1)


def long(rng: random.Random) -> float:
    """Longer than every lease, and mostly longer than Galera waits for a silent peer."""
    return round(rng.uniform(TTL * 1.5, 14.0), 1)


def until(condition: Callable[[], bool], patience: float, pace: float = 0.1) -> bool:
    """Wait for a condition, and go on without it: another fault may stand in its way."""
    deadline = time.monotonic() + patience
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(pace)
    return True
