"""What a person orders in a schedule (rule 11): the real orders of bootstrap/orders.py, given in a careful way.

Careful is: a node is forgotten only once its disk is destroyed, and nothing is recovered while
somebody serves. What an order says may be lost is no longer asked of the cluster afterwards.
"""

from __future__ import annotations

from dataclasses import replace
from random import Random

from bootstrap import orders
from bootstrap.orders import Order, Refused
from galerist.model import NodeRecord, Report, Restart, State
from galerist.registry.keys import Keys
from tests.simulation import fast
from tests.simulation.faults import RESTART, fault, kill_node
from tests.simulation.world import FAULTS, NAMES, RESUME, Disk, Host, World

KEYS = Keys("galera")

GIVEN_UP = "is given up by order: the person was told that it may be lost"


def read(world: World) -> tuple[str | None, State, tuple[Report, ...], tuple[NodeRecord, ...]]:
    raw = world.store.durable.get(KEYS.state)
    state = fast.load(State, raw) if raw is not None else State()
    reports: list[Report] = [fast.load(Report, text) for _, text in sorted(world.store.list(KEYS.members).items())]
    records: list[NodeRecord] = [
        fast.load(NodeRecord, text) for _, text in sorted(world.store.list(KEYS.nodes).items())
    ]
    return raw, state, tuple(reports), tuple(records)


def give(world: World, order: Order) -> None:
    """What `galerist recover` and its like do once the person has confirmed."""
    if order.state is not None:
        world.store.durable[KEYS.state] = fast.dump(order.state)
        world.store.late = [entry for entry in world.store.late if entry[0] != KEYS.state]
    for record in order.put:
        world.store.durable[KEYS.nodes + record.node] = fast.dump(record)
    for node in order.delete:
        world.store.durable.pop(KEYS.nodes + node, None)


def anywhere(world: World, without: Disk | None = None) -> set[str]:
    """Every write-set on a disk that can be started from; what is in memory only may be gone in a moment."""
    good = [host.disk for host in world.hosts if host.disk is not without and not host.disk.taint]
    return {ident for disk in good for ident in disk.log}


def _host(world: World, number: int) -> Host:
    return world.hosts[number % len(world.hosts)]


@fault
def order_recover(world: World, number: int, parameter: int, rng: Random) -> bool:
    """Start from this node, whatever the others hold."""
    host = _host(world, number)
    _, state, reports, _ = read(world)
    boots = {report.node: report.boot for report in reports}
    for server in world.galera.servers:  # who serves, or runs without a word, is looked after first
        other = world.hosts[server.number]
        unseen = other.agent is None or boots.get(other.name) != other.agent.boot
        if unseen or not server.awake or (not server.rejects and server.group is not None and server.group.primary):
            return False
    if not world.registry_up:
        return False
    try:
        order = orders.recover(state, reports, host.name, f"{next(world.tokens):08x}")
    except Refused:
        return False
    assert order.number is not None
    running = world.running(host)
    log = running[0].log if running else host.disk.log
    world.waive(set(log[: order.number]) if order.number else set(), GIVEN_UP)
    world.disks_lost = True  # a node that was ahead is quarantined from now on: a person has to see to it
    give(world, order)
    return True


@fault
def order_forget(world: World, number: int, parameter: int, rng: Random) -> bool:
    """A disk is destroyed, and its node forgotten; later it comes back empty, or never."""
    host = _host(world, number)
    if not world.registry_up:
        return False
    _, state, reports, records = read(world)
    kill_node(world, host.number, 5, rng)
    reports = tuple(report for report in reports if report.node != host.name)
    host.disk = Disk(host.number, world.serial("disk"))
    host.restart_at = None if (again := RESTART[parameter % 6]) is None else world.now + again
    world.disks_lost = True
    try:
        order = orders.forget(state, reports, records, host.name)
    except Refused:
        return True  # the disk is lost all the same
    world.waive(anywhere(world), GIVEN_UP)
    give(world, order)
    return True


@fault
def order_reinit(world: World, number: int, parameter: int, rng: Random) -> bool:
    """The datadir of a node may be set aside. Careful: only where it is refused or quarantined, or nothing is lost."""
    host = _host(world, number)
    if not world.registry_up:
        return False
    _, state, reports, records = read(world)
    try:
        order = orders.reinit(state, reports, records, host.name)
    except Refused:
        return False
    alone = set(host.disk.log) & world.galera.precious - anywhere(world, host.disk)
    if alone:
        return False
    host.disk.may_go = True
    give(world, order)
    return True


@fault
def order_restart(world: World, number: int, parameter: int, rng: Random) -> bool:
    """A server is to end and to be started again. The order stands on: it is for this very server."""
    host = _host(world, number)
    if not world.registry_up:
        return False
    _, state, reports, _ = read(world)
    serving = {report.node: report for report in reports if report.synced and report.opened}
    report = serving.pop(host.name, None)
    if report is None or not serving or report.server_pid is None:
        return False
    world.may_end.add(report.server_pid)
    order = Restart((host.name,), "a person", report.boot, report.server_pid)
    give(world, Order((), state=replace(state, restart=order)))
    return True


@fault
def order_pause(world: World, number: int, parameter: int, rng: Random) -> bool:
    _, state, _, _ = read(world)
    if state.paused or not world.registry_up:
        return False
    give(world, orders.pause(state, "a person"))
    return True


def resume(world: World) -> None:
    _, state, _, _ = read(world)
    if state.paused:
        give(world, orders.resume(state))


def order_resume(world: World, number: int, parameter: int, rng: Random) -> bool:
    if world.registry_up:
        resume(world)
    return True


FAULTS["order_resume"] = order_resume
RESUME[0] = resume
ORDERS = ("order_forget", "order_pause", "order_recover", "order_reinit")

__all__ = ["NAMES", "ORDERS", "order_resume", "resume"]
