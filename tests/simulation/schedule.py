"""Schedules: what happens in which order, drawn from a seed; run, shrunk and told."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from random import Random

from bootstrap.facts import Expect
from tests.simulation import invariants
from tests.simulation.fast import texts
from tests.simulation.faults import FAULTS, ODD, RELIEFS, TOTAL
from tests.simulation.galera import Violation
from tests.simulation.people import ORDERS
from tests.simulation.world import Event, Host, World

BOUND = 600.0
"""Simulated seconds after the last fault within which everything must be well (P4)."""

RELIEF_KINDS = (*sorted(RELIEFS), "order_resume")
FAULT_KINDS = tuple(sorted({*FAULTS} - {*RELIEF_KINDS}))
ORDINARY = tuple(kind for kind in FAULT_KINDS if kind not in (*TOTAL, *ODD, *ORDERS))


@dataclass(frozen=True)
class Schedule:
    """``expect``: None for all nodes by name. ``formed``: the cluster is formed undisturbed before the first event."""

    count: int
    expect: Expect | None
    formed: bool
    events: tuple[Event, ...]


@dataclass
class Outcome:
    """What one run showed. ``violation`` is None when all promises held."""

    violation: Violation | None
    faults: Counter[str] = field(default_factory=Counter)
    trace: list[str] = field(default_factory=list)
    end: float = 0.0


THEMES: tuple[tuple[str, ...], ...] = (
    ("registry_restored", "freeze_agent", "kill_agent", "kill_server", "freeze_midpass", "registry_wiped"),
    ("slow_applier", "kill_server", "kill_node", "kill_transfer", "slow_applier"),
    ("stop_node", "kill_server", "freeze_midpass", "die_midpass", "kill_transfer", "slow_applier"),
    ("partition", "isolate", "kill_node", "suspend_node", "registry_cut"),
    ("kill_node", "kill_node", "kill_server", "server_dies_midpass", "die_midpass", "freeze_midpass"),
    ("bridge", "one_way", "kill_node", "new_address", "suspend_node"),
)
"""Kinds of faults that go well together: a third of the schedules keep to one of these."""


def draw(seed: int) -> Schedule:
    """The schedule of that seed: 3 to 5 nodes, at least 60 events and 4 faults; half have a total outage."""
    rng = Random(seed)
    count = rng.choice((3, 3, 3, 4, 5))
    length = rng.randrange(64, 100)
    total = rng.random() < 0.66
    odd = rng.random()
    odds = (
        ODD
        if odd < 0.08
        else ODD[3:]
        if odd < 0.12
        else ORDERS
        if odd < 0.22
        else (*ODD, *ORDERS)
        if odd < 0.25
        else ()
    )
    kinds: list[str] = rng.sample(ORDINARY, rng.randrange(3, 8))
    if rng.random() < 0.35:
        kinds = list(rng.choice(THEMES))
    backups = 0.06 if "registry_restored" in kinds else 0.02
    writes = rng.choice((0.12, 0.2, 0.3))
    density = rng.choice((0.08, 0.15, 0.25))
    events: list[Event] = []

    def add(kind: str) -> None:
        events.append((kind, rng.randrange(60), rng.randrange(1000), rng.randrange(1 << 30)))

    outages = {rng.randrange(10, length) for _ in range(rng.choice((1, 1, 2)))} if total else set()
    musts = set(rng.sample(range(4, length), 5))
    oddities = {rng.randrange(10, length) for _ in range(rng.choice((1, 2, 3)))} if odds else set()
    for moment in range(length):
        dice = rng.random()
        if moment in outages:
            for _ in range(rng.randrange(1, 4)):
                add("write")
            add(rng.choice(TOTAL))
            if rng.random() < 20 * backups - 0.4:
                add("backup")
            for _ in range(rng.randrange(3)):
                add(rng.choice(("start_node", "tick", "start_all", "write")))
            if set(odds) >= set(ORDERS):  # somebody sees the outage, and orders something
                for _ in range(rng.randrange(1, 4)):
                    add("tick")
                    add(rng.choice((*ORDERS, "order_recover", "order_recover")))
        elif moment in oddities:
            add("write")
            add(rng.choice(odds))
        elif moment in musts or dice < density:
            add(rng.choice(kinds))
        elif dice < density * 1.8:
            add(rng.choice(RELIEF_KINDS))
        elif dice < density * 1.8 + writes:
            add("write")
        elif dice < density * 1.8 + writes + 0.03:
            add("settle")
        elif dice < density * 1.8 + writes + 0.03 + backups:
            add("backup")
        else:
            add("tick")
    dice = rng.random()
    if dice < 0.02:  # an expectation that is too small: a mistake that must not split the cluster
        return Schedule(count, Expect(count - 1), False, tuple(events))
    return Schedule(count, Expect(count) if dice < 0.4 else None, rng.random() < 0.75, tuple(events))


def run(schedule: Schedule, tell: bool = False) -> Outcome:
    """Run a schedule against the real agent. ``tell``: keep a readable trace."""
    outcome = Outcome(None)
    world = World(schedule.count, schedule.expect, outcome.trace.append if tell else None)
    with texts():
        try:
            _run(world, schedule)
        except Violation as violation:
            outcome.violation = violation
    outcome.faults = world.faults
    outcome.end = world.now
    return outcome


def _run(world: World, schedule: Schedule) -> None:
    if schedule.formed and not world.heal(BOUND):
        raise Violation("P4", "an undisturbed first start comes to no end")
    world.log("--- the schedule begins ---")
    world.healing = False
    world.events = list(schedule.events)
    while world.next < len(world.events):
        world.next += 1
        world.apply(world.events[world.next - 1])
    world.log("--- all faults end ---")
    world.calm()
    if world.heal(BOUND):
        missing = [ident for ident in world.acked if ident not in (world.galera.servers[0].lineage.idents)]  # type: ignore[union-attr]
        if missing and not world.disks_lost:
            raise Violation("P2", f"at the end the acknowledged commits {missing} are gone")
        return
    if world.disks_lost or world.expect.count < schedule.count:
        return  # a person may be needed; P6 has been checked all along
    if all(_asks_for_what_was_set_aside(world, host) for host in world.hosts):
        return
    says = "; ".join(
        f"{host.name}: {host.agent.decision.sentence if host.agent and host.agent.decision else 'no agent'}"
        for host in world.hosts
    )
    raise Violation("P4", f"not well {BOUND:.0f} s after the last fault: {says}")


def _asks_for_what_was_set_aside(world: World, host: Host) -> bool:
    """Commits are missing that may lie in a datadir that a person has had set aside: that person must look."""
    decision = host.agent.decision if host.agent is not None else None
    aside = [other.name for other in world.hosts if other.disk.aside]
    return (
        decision is not None
        and "galerist recover" in (decision.remedy or "")
        and any(f"waiting for {name} to report" in decision.sentence for name in aside)
    )


def shrink(schedule: Schedule, fails: Callable[[Schedule], bool]) -> Schedule:
    """A schedule that still fails and has no event, or block of events, to spare."""
    events: Sequence[Event] = schedule.events
    size = max(1, len(events) // 2)
    while True:
        start, shrunk = 0, False
        while start < len(events):
            fewer = (*events[:start], *events[start + size :])
            if fails(replace(schedule, events=tuple(fewer))):
                events, shrunk = fewer, True
            else:
                start += size
        if size == 1 and not shrunk:
            break
        size = max(1, size // 2)
    return replace(schedule, events=tuple(events))


def shrunk(schedule: Schedule, violation: Violation) -> Schedule:
    """The shortest schedule found that breaks the same promise."""

    def fails(candidate: Schedule) -> bool:
        found = run(candidate).violation
        return found is not None and found.promise == violation.promise

    return shrink(schedule, fails)


__all__ = ["FAULTS", "FAULT_KINDS", "Outcome", "Schedule", "draw", "invariants", "run", "shrink", "shrunk"]
