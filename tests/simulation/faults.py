"""The kinds of faults. Each returns whether it changed anything (a fault that hits nothing does not count)."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from tests.simulation.arbitrator import strike
from tests.simulation.galera import Server
from tests.simulation.parts import ARBITRATOR
from tests.simulation.world import FAULTS, World

RESTART: tuple[float | None, ...] = (0.5, 1.0, 5.0, 15.0, 40.0, None)

Fault = Callable[[World, int, int, Random], bool]


def fault(function: Fault) -> Fault:
    FAULTS[function.__name__] = function
    return function


@fault
def kill_server(world: World, number: int, parameter: int, rng: Random) -> bool:
    runs = world.running(world.hosts[number])
    for run in runs:
        world.crash(run)
    return bool(runs)


@fault
def kill_transfer(world: World, number: int, parameter: int, rng: Random) -> bool:
    """A joiner or its donor dies while data are on the way."""
    pairs: list[Server] = []
    for run in world.galera.servers:
        if run.transfer == "sst" and run.donor is not None:
            pairs += [run, run.donor]
    if not pairs:
        return False
    world.crash(pairs[parameter % len(pairs)])
    return True


@fault
def kill_agent(world: World, number: int, parameter: int, rng: Random) -> bool:
    host = world.hosts[number]
    if host.agent is None:
        return False
    world.kill_agent(host, RESTART[parameter % 6])
    return True


@fault
def kill_node(world: World, number: int, parameter: int, rng: Random) -> bool:
    return kill_agent(world, number, parameter, rng) | kill_server(world, number, parameter, rng)


@fault
def kill_all(world: World, number: int, parameter: int, rng: Random) -> bool:
    """Total outage: everything dies, nearly at once, and comes back in some order or stays away for long."""
    hit = False
    for host in rng.sample(world.hosts, len(world.hosts)):
        hit |= kill_server(world, host.number, 0, rng)
        world.kill_agent(host, rng.choice((0.5, 1.0, 3.0, 8.0, 20.0, 60.0)))
        if rng.random() < 0.2:
            world.galera.settle()
            world.galera.progress(rng, world.now, 0.6)
            for other in world.hosts:
                world.write(other, False)
    return hit


@fault
def kill_servers(world: World, number: int, parameter: int, rng: Random) -> bool:
    """Total outage of the database; the agents live."""
    hit = False
    for host in rng.sample(world.hosts, len(world.hosts)):
        hit |= kill_server(world, host.number, 0, rng)
        if rng.random() < 0.3:
            world.galera.settle()
            world.galera.progress(rng, world.now, 0.6)
            for other in world.hosts:
                world.write(other, False)
    return hit


@fault
def stop_node(world: World, number: int, parameter: int, rng: Random) -> bool:
    host = world.hosts[number]
    if host.agent is None or host.leaving:
        return False
    host.leaving = True
    return True


@fault
def stop_all(world: World, number: int, parameter: int, rng: Random) -> bool:
    """Total stop, clean, in some order; the schedule starts them again."""
    hit = False
    for host in rng.sample(world.hosts, len(world.hosts)):
        hit |= stop_node(world, host.number, 0, rng)
        if parameter % 2:
            for _ in range(3):
                world.step(host)
                world.galera.progress(rng, world.now, 0.8)
            for other in world.hosts:
                world.write(other, False)
    return hit


def start_node(world: World, number: int, parameter: int, rng: Random) -> bool:
    """No fault, but the end of one."""
    host = world.hosts[number]
    if host.agent is not None:
        return False
    world.boot(host)
    return True


def start_all(world: World, number: int, parameter: int, rng: Random) -> bool:
    for host in world.hosts:
        start_node(world, host.number, 0, rng)
    return True


@fault
def freeze_server(world: World, number: int, parameter: int, rng: Random) -> bool:
    runs = [run for run in world.running(world.hosts[number]) if not run.frozen]
    for run in runs:
        run.frozen = True
    return bool(runs)


@fault
def freeze_agent(world: World, number: int, parameter: int, rng: Random) -> bool:
    host = world.hosts[number]
    if host.agent is None or host.frozen:
        return False
    host.frozen = True
    return True


@fault
def suspend_node(world: World, number: int, parameter: int, rng: Random) -> bool:
    """The whole host is suspended."""
    return freeze_agent(world, number, parameter, rng) | freeze_server(world, number, parameter, rng)


@fault
def slow_applier(world: World, number: int, parameter: int, rng: Random) -> bool:
    """What the server receives is neither committed nor flushed for a while."""
    runs = [run for run in world.running(world.hosts[number]) if not run.slow]
    for run in runs:
        run.slow = True
    return bool(runs)


def thaw(world: World, number: int, parameter: int, rng: Random) -> bool:
    host = world.hosts[number]
    host.frozen = False
    for run in world.running(host):
        run.frozen = run.slow = False
    if world.arbiter is not None:
        world.arbiter.freeze(False)
    return True


def _trap(world: World, number: int, mode: str, parameter: int) -> bool:
    host = world.hosts[number]
    if host.agent is None:
        return False
    host.trap = (parameter % 11, mode, parameter // 11)
    return False  # counted when it springs


@fault
def freeze_midpass(world: World, number: int, parameter: int, rng: Random) -> bool:
    """The agent is frozen between two of its requests, while everything else goes on."""
    return _trap(world, number, "freeze_midpass", parameter)


@fault
def die_midpass(world: World, number: int, parameter: int, rng: Random) -> bool:
    return _trap(world, number, "die_midpass", parameter)


@fault
def server_dies_midpass(world: World, number: int, parameter: int, rng: Random) -> bool:
    return _trap(world, number, "server_dies_midpass", parameter)


@fault
def partition(world: World, number: int, parameter: int, rng: Random) -> bool:
    """The nodes' network falls into two or three parts."""
    parts = 2 if parameter % 4 else 3
    world.galera.side = {host.number: rng.randrange(parts) for host in world.hosts}
    if world.arbiter is not None:
        world.galera.side[ARBITRATOR] = rng.randrange(parts)
    return len(set(world.galera.side.values())) > 1


@fault
def isolate(world: World, number: int, parameter: int, rng: Random) -> bool:
    """One node is cut off from the others and from the registry."""
    world.galera.side = {number: 9}
    world.hosts[number].cut = True
    return True


@fault
def bridge(world: World, number: int, parameter: int, rng: Random) -> bool:
    """One node reaches all, the others are two groups that do not reach one another. The group relays, and
    stays whole; or it does not manage, and the one in the middle goes with one of them."""
    others = [host.number for host in world.hosts if host.number != number]
    rng.shuffle(others)
    middle = len(others) // 2
    world.galera.severed = {frozenset((one, other)) for one in others[:middle] for other in others[middle:]}
    world.galera.side.clear()
    if parameter % 3:
        world.galera.side = dict.fromkeys(others[:middle] if parameter % 3 == 1 else others[middle:], 7)
    return True


@fault
def one_way(world: World, number: int, parameter: int, rng: Random) -> bool:
    """What one node sends does not arrive at another, or at nobody: a connection that works one way works not at all."""
    others = [host.number for host in world.hosts if host.number != number]
    deaf = others if parameter % 2 else [rng.choice(others)]
    world.galera.severed |= {frozenset((number, other)) for other in deaf}
    if len(deaf) == len(others) or parameter % 3 == 0:
        world.galera.side[number] = 8
    return True


@fault
def new_address(world: World, number: int, parameter: int, rng: Random) -> bool:
    """A node comes back with another address, perhaps with that of a node that is away as well."""
    kill_node(world, number, parameter % 5, rng)
    host = world.hosts[number]
    away = [other for other in world.hosts if other.agent is None and other is not host and not world.running(other)]
    if away and parameter % 2:
        other = rng.choice(away)
        host.address, other.address = other.address, host.address
    else:
        host.address = world.serial("10.0.1.")
    return True


@fault
def new_addresses(world: World, number: int, parameter: int, rng: Random) -> bool:
    """All nodes are down, and come back with new addresses."""
    hit = kill_all(world, number, parameter, rng)
    for host in world.hosts:
        host.address = world.serial("10.0.2.")
    return hit


@fault
def arbitrator(world: World, number: int, parameter: int, rng: Random) -> bool:
    """An arbitrator joins the cluster; or the one that is there is killed, frozen, cut off, or leaves."""
    strike(world, parameter, rng)
    return True


def connect(world: World, number: int, parameter: int, rng: Random) -> bool:
    world.galera.side.clear()
    world.galera.severed.clear()
    for host in world.hosts:
        host.cut = False
    if world.arbiter is not None:
        world.arbiter.cut = False
    return True


@fault
def registry_down(world: World, number: int, parameter: int, rng: Random) -> bool:
    was, world.registry_up = world.registry_up, False
    return was


@fault
def registry_cut(world: World, number: int, parameter: int, rng: Random) -> bool:
    was, world.hosts[number].cut = world.hosts[number].cut, True
    return not was


def registry_back(world: World, number: int, parameter: int, rng: Random) -> bool:
    world.registry_up = True
    for host in world.hosts:
        host.cut = False
    return True


@fault
def registry_wiped(world: World, number: int, parameter: int, rng: Random) -> bool:
    world.store.wipe()
    return True


@fault
def registry_restored(world: World, number: int, parameter: int, rng: Random) -> bool:
    if not world.backups:
        return False
    world.store.restore(world.backups[parameter % len(world.backups)], 10.0)
    return True


@fault
def swap_unknown(world: World, number: int, parameter: int, rng: Random) -> bool:
    world.hosts[number].fate = ("applied", "never", "late")[parameter % 3]
    return True


@fault
def publish_lost(world: World, number: int, parameter: int, rng: Random) -> bool:
    world.hosts[number].publish_fate = "lost"
    return True


@fault
def disk_wiped(world: World, number: int, parameter: int, rng: Random) -> bool:
    """The node comes back with a new, empty disk."""
    host = world.hosts[number]
    kill_node(world, number, parameter % 4, rng)
    world.disks_lost = True
    host.disk = type(host.disk)(number, world.serial("disk"))
    return True


def _other_disk(world: World, number: int, parameter: int, rng: Random) -> None:
    disk_wiped(world, number, parameter, rng)


@fault
def disk_foreign(world: World, number: int, parameter: int, rng: Random) -> bool:
    """The node comes back with the datadir of another cluster."""
    _other_disk(world, number, parameter, rng)
    disk = world.hosts[number].disk
    disk.kind, disk.uuid, disk.log = "galera", world.serial("foreign"), ["x"] * (parameter % 30)
    disk.clean = parameter % 2 == 0
    return True


@fault
def disk_standalone(world: World, number: int, parameter: int, rng: Random) -> bool:
    """The node comes back with the datadir of a server that never was in a cluster."""
    _other_disk(world, number, parameter, rng)
    world.hosts[number].disk.kind = "standalone"
    return True


@fault
def disk_unreadable(world: World, number: int, parameter: int, rng: Random) -> bool:
    """The datadir cannot be examined until somebody has mended it."""
    kill_node(world, number, parameter % 4, rng)
    world.hosts[number].disk.unreadable = True
    return True


@fault
def prepared_xa(world: World, number: int, parameter: int, rng: Random) -> bool:
    """A user's prepared XA transaction outlives a crash, until a person has ended it."""
    host = world.hosts[number]
    if host.disk.kind != "galera":
        return False
    kill_node(world, number, parameter % 4, rng)
    host.disk.prepared_xa = True
    return True


RELIEFS = {
    "start_node": start_node,
    "start_all": start_all,
    "thaw": thaw,
    "connect": connect,
    "registry_back": registry_back,
}
TOTAL = ("kill_all", "kill_servers", "new_addresses", "stop_all")
ODD = ("disk_wiped", "disk_foreign", "disk_standalone", "disk_unreadable", "prepared_xa")
FAULTS.update(RELIEFS)

__all__ = ["ODD", "RELIEFS", "TOTAL"]
