"""The registry: wiped, restored from an older backup."""

from __future__ import annotations

import random

from galerist.model import Identity
from galerist.registry.contract import RegistryError
from tests.faults.fleet import GRACE, Fleet
from tests.faults.kinds.plan import KILL, Fault, kind, some, until


@kind("wipe-etcd")
def _wipe_etcd(rng: random.Random, nodes: tuple[str, ...], etcds: tuple[str, ...]) -> Fault:
    hold = some(rng)
    return Fault("wipe-etcd", f"wipe-etcd {hold}s", hold, Fleet.wipe_registry)


@kind("restore-registry")
def _restore_registry(rng: random.Random, nodes: tuple[str, ...], etcds: tuple[str, ...]) -> Fault:
    """The registry turns back to a state before the newest generation, with old reports under living leases."""
    down, hold = rng.random() < 0.5, some(rng)

    def apply(fleet: Fleet) -> None:
        if not fleet.save_registry():
            return  # another fault has taken the registry away
        before = _identity(fleet)
        fleet.signal(fleet.everything(*nodes), KILL)
        until(lambda: not fleet.everything(*nodes), GRACE)
        fleet.start(*nodes)
        until(lambda: _identity(fleet) not in (None, before), 2 * GRACE)
        if down:
            fleet.signal(fleet.everything(*nodes), KILL)
            until(lambda: not fleet.everything(*nodes), GRACE)
        fleet.wipe_registry(backup=True)

    text = f"restore-registry from before the newest generation, all nodes {'killed' if down else 'serving'}, {hold}s"
    return Fault("restore-registry", text, hold, apply)


def _identity(fleet: Fleet) -> Identity | None:
    try:
        return fleet.state().identity
    except RegistryError:
        return None
