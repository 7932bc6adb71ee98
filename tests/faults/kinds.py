"""The kinds of faults, and how they are drawn. A plan depends on nothing but the seed and the round's number."""

from __future__ import annotations

import random
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass

from galerist.model import Identity
from galerist.registry.contract import RegistryError
from tests.faults.fleet import GRACE, TTL, Fleet
from tests.faults.network import SUBNET

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


def draw(seed: int, number: int, nodes: tuple[str, ...], etcds: tuple[str, ...]) -> Plan:
    """The plan of a round. Each pass over all kinds has its own order, so that every kind has its turn."""
    names = sorted(KINDS)
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


def _some(rng: random.Random) -> float:
    return round(rng.uniform(0.5, 12.0), 1)


def _long(rng: random.Random) -> float:
    """Longer than every lease, and mostly longer than Galera waits for a silent peer."""
    return round(rng.uniform(TTL * 1.5, 14.0), 1)


# -- killing and freezing --------------------------------------------------------------------


def _node_kinds() -> None:
    """kill -9 and SIGSTOP of server, agent, both, on one node or two."""

    def pids(fleet: Fleet, node: str, what: str) -> list[int]:
        if what == "host":
            return fleet.everything(node)
        found = fleet.agent(node) if what in ("agent", "both") else []
        return found + (fleet.servers(node) if what in ("server", "both") else [])

    def make(name: str, what: str, number: signal.Signals) -> None:
        @kind(name)
        def maker(rng: random.Random, nodes: tuple[str, ...], etcds: tuple[str, ...]) -> Fault:
            victims = sorted(rng.sample(nodes, 1 if rng.random() < 0.7 else 2))
            hold = _long(rng) if number is STOP else _some(rng)
            return Fault(
                name, f"{name} {' '.join(victims)} {hold}s", hold,
                lambda fleet: fleet.signal([pid for node in victims for pid in pids(fleet, node, what)], number),
            )  # fmt: skip

    for what in ("server", "agent", "both"):
        make(f"kill-{what}", what, KILL)
    for what in ("server", "agent", "host"):
        make(f"freeze-{what}", what, STOP)


def _proxy_kinds() -> None:
    def make(name: str, what: Callable[[Fleet], list[int]], number: signal.Signals) -> None:
        @kind(name)
        def maker(rng: random.Random, nodes: tuple[str, ...], etcds: tuple[str, ...]) -> Fault:
            hold = _some(rng)
            return Fault(name, f"{name} {hold}s", hold, lambda fleet: fleet.signal(what(fleet), number))

    def watcher(fleet: Fleet) -> list[int]:
        return [pid for pid in fleet.everything("p1") if pid not in fleet.haproxies()]

    for verb, number in (("kill", KILL), ("freeze", STOP)):
        make(f"{verb}-haproxy", Fleet.haproxies, number)
        make(f"{verb}-watcher", watcher, number)


def _etcd_kinds() -> None:
    def make(name: str, everyone: bool, number: signal.Signals) -> None:
        @kind(name)
        def maker(rng: random.Random, nodes: tuple[str, ...], etcds: tuple[str, ...]) -> Fault:
            victims = etcds if everyone else (rng.choice(etcds),)
            hold = _long(rng)
            return Fault(
                name, f"{name} {' '.join(victims)} {hold}s", hold,
                lambda fleet: fleet.signal([pid for name in victims for pid in fleet.etcd(name)], number),
            )  # fmt: skip

    for verb, number in (("kill", KILL), ("freeze", STOP)):
        make(f"{verb}-etcd", False, number)
        make(f"{verb}-all-etcd", True, number)


_node_kinds()
_proxy_kinds()
_etcd_kinds()


@kind("wipe-etcd")
def _wipe_etcd(rng: random.Random, nodes: tuple[str, ...], etcds: tuple[str, ...]) -> Fault:
    hold = _some(rng)
    return Fault("wipe-etcd", f"wipe-etcd {hold}s", hold, Fleet.wipe_registry)


@kind("restore-registry")
def _restore_registry(rng: random.Random, nodes: tuple[str, ...], etcds: tuple[str, ...]) -> Fault:
    """The registry turns back to a state before the newest generation, with old reports under living leases."""
    down, hold = rng.random() < 0.5, _some(rng)

    def apply(fleet: Fleet) -> None:
        if not fleet.save_registry():
            return  # another fault has taken the registry away
        before = _identity(fleet)
        fleet.signal(fleet.everything(*nodes), KILL)
        _until(lambda: not fleet.everything(*nodes), GRACE)
        fleet.start(*nodes)
        _until(lambda: _identity(fleet) not in (None, before), 2 * GRACE)
        if down:
            fleet.signal(fleet.everything(*nodes), KILL)
            _until(lambda: not fleet.everything(*nodes), GRACE)
        fleet.wipe_registry(backup=True)

    text = f"restore-registry from before the newest generation, all nodes {'killed' if down else 'serving'}, {hold}s"
    return Fault("restore-registry", text, hold, apply)


def _identity(fleet: Fleet) -> Identity | None:
    try:
        return fleet.state().identity
    except RegistryError:
        return None


@kind("new-addresses")
def _new_addresses(rng: random.Random, nodes: tuple[str, ...], etcds: tuple[str, ...]) -> Fault:
    """All nodes are down, and come back with one another's addresses, or with new ones."""
    swapped, number = rng.random() < 0.5, rng.choice((KILL, TERM))

    def apply(fleet: Fleet) -> None:
        pids = fleet.everything(*nodes) if number is KILL else [pid for node in nodes for pid in fleet.agent(node)]
        fleet.signal(pids, number)
        _until(lambda: not any(fleet.servers(node) or fleet.agent(node) for node in nodes), 3 * GRACE)
        fleet.signal(fleet.everything(*nodes), KILL)
        _until(lambda: not fleet.everything(*nodes), GRACE)
        old = [fleet.address(node) for node in nodes]
        used = set(fleet.network.addresses.values())
        fresh = [address for last in range(100, 200) if (address := f"{SUBNET}.{last}") not in used]
        fleet.move(dict(zip(nodes, [*old[1:], old[0]] if swapped else fresh, strict=False)))

    how = "one another's" if swapped else "fresh"
    text = f"new-addresses {how}, after {'kill -9' if number is KILL else 'clean stops'}"
    return Fault("new-addresses", text, 0.5, apply)


@kind("kill-everything")
def _kill_everything(rng: random.Random, nodes: tuple[str, ...], etcds: tuple[str, ...]) -> Fault:
    hold = round(rng.uniform(0.5, 5.0), 1)
    return Fault(
        "kill-everything", f"kill-everything {hold}s", hold, lambda fleet: fleet.signal(fleet.everything(), KILL)
    )


@kind("stutter")
def _stutter(rng: random.Random, nodes: tuple[str, ...], etcds: tuple[str, ...]) -> Fault:
    """All nodes are killed; then, again and again, some are killed or frozen for a moment while they come back."""
    waves = []
    for _ in range(rng.randint(3, 6)):
        victims = sorted(rng.sample(nodes, rng.randint(1, len(nodes))))
        waves.append(
            (round(rng.uniform(0.3, 6.0), 1), rng.choice(("kill server", "kill host", "freeze host")), victims)
        )

    def apply(fleet: Fleet) -> None:
        fleet.signal(fleet.everything(*nodes), KILL)
        _until(lambda: not fleet.everything(*nodes), GRACE)
        for gap, what, victims in waves:
            fleet.start(*nodes)
            time.sleep(gap)
            for node in victims:
                pids = fleet.servers(node) if what == "kill server" else fleet.everything(node)
                fleet.signal(pids, STOP if what == "freeze host" else KILL)
            time.sleep(TTL + 1 if what == "freeze host" else 0.3)
            fleet.signal(fleet.everything(*nodes), signal.SIGCONT)

    text = "; ".join(f"{gap}s {what} {' '.join(victims)}" for gap, what, victims in waves)
    return Fault("stutter", f"stutter ({text})", 0.5, apply)


@kind("freeze-all-hosts")
def _freeze_all(rng: random.Random, nodes: tuple[str, ...], etcds: tuple[str, ...]) -> Fault:
    hold = _long(rng)

    def apply(fleet: Fleet) -> None:
        fleet.signal(fleet.everything(*fleet.nodes), STOP)
        time.sleep(hold)
        for node in rng_order:  # they wake up one after the other
            fleet.signal(fleet.everything(node), signal.SIGCONT)
            time.sleep(gap)

    rng_order, gap = rng.sample(nodes, len(nodes)), round(rng.uniform(0, 4), 1)
    text = f"freeze-all-hosts {hold}s, awake in the order {' '.join(rng_order)} each {gap}s"
    return Fault("freeze-all-hosts", text, 0.5, apply)


# -- the network -----------------------------------------------------------------------------


def _sides(rng: random.Random, nodes: tuple[str, ...]) -> tuple[list[str], list[str]]:
    """A minority and the rest."""
    few = sorted(rng.sample(nodes, rng.randint(1, (len(nodes) - 1) // 2)))
    return few, [node for node in nodes if node not in few]


@kind("cut-minority")
def _cut_minority(rng: random.Random, nodes: tuple[str, ...], etcds: tuple[str, ...]) -> Fault:
    few, many = _sides(rng, nodes)
    hold, how = _long(rng), rng.choice(("from the other nodes", "from all others", "unplugged"))

    def apply(fleet: Fleet) -> None:
        if how == "unplugged":
            for node in few:
                fleet.network.unplug(node)
        else:
            fleet.network.part(few, many if how == "from the other nodes" else [*many, *etcds, "p1", "client"])

    return Fault("cut-minority", f"cut-minority {' '.join(few)} {how} {hold}s", hold, apply)


@kind("cut-majority")
def _cut_majority(rng: random.Random, nodes: tuple[str, ...], etcds: tuple[str, ...]) -> Fault:
    """The majority loses registry and proxy as well; the minority keeps them."""
    few, many = _sides(rng, nodes)
    hold, members = _long(rng), rng.choice((etcds, etcds[:2]))
    text = f"cut-majority {' '.join(many)} from {' '.join((*few, *members))} and p1 {hold}s"
    return Fault("cut-majority", text, hold, lambda fleet: fleet.network.part(many, [*few, *members, "p1"]))


@kind("shatter")
def _shatter(rng: random.Random, nodes: tuple[str, ...], etcds: tuple[str, ...]) -> Fault:
    """No two nodes reach one another: no quorum anywhere."""
    hold = _long(rng)

    def apply(fleet: Fleet) -> None:
        for number, node in enumerate(nodes):
            fleet.network.part([node], nodes[number + 1 :])

    return Fault("shatter", f"shatter {hold}s", hold, apply)


@kind("bridge")
def _bridge(rng: random.Random, nodes: tuple[str, ...], etcds: tuple[str, ...]) -> Fault:
    """One node reaches all; the others are two groups that do not reach one another."""
    order = rng.sample(nodes, len(nodes))
    middle = (len(order) + 1) // 2
    left, right, hold = order[1:middle], order[middle:], _long(rng)
    text = f"bridge {order[0]} between {' '.join(left)} and {' '.join(right)} {hold}s"
    return Fault("bridge", text, hold, lambda fleet: fleet.network.part(left, right))


@kind("one-way")
def _one_way(rng: random.Random, nodes: tuple[str, ...], etcds: tuple[str, ...]) -> Fault:
    """What one node sends does not arrive: at one other node, at all, or at the registry."""
    source = rng.choice(nodes)
    others = [node for node in nodes if node != source]
    targets = rng.choice(([rng.choice(others)], others, list(etcds), [*others, *etcds]))
    hold, back = _long(rng), rng.random() < 0.3

    def apply(fleet: Fleet) -> None:
        for target in targets:
            fleet.network.cut(*((target, source) if back else (source, target)))

    way = f"from {' '.join(targets)} to {source}" if back else f"from {source} to {' '.join(targets)}"
    return Fault("one-way", f"one-way nothing {way} {hold}s", hold, apply)


@kind("split-etcd")
def _split_etcd(rng: random.Random, nodes: tuple[str, ...], etcds: tuple[str, ...]) -> Fault:
    alone, hold, some = rng.choice(etcds), _long(rng), sorted(rng.sample(nodes, rng.randint(0, len(nodes))))

    def apply(fleet: Fleet) -> None:
        fleet.network.part([alone], [name for name in etcds if name != alone])
        fleet.network.part(some, [name for name in etcds if name != alone])

    text = f"split-etcd {alone} from the rest, {' '.join(some) or 'no node'} on its side {hold}s"
    return Fault("split-etcd", text, hold, apply)


@kind("loss")
def _loss(rng: random.Random, nodes: tuple[str, ...], etcds: tuple[str, ...]) -> Fault:
    where = sorted(rng.choice(([rng.choice(nodes)], list(nodes), [*nodes, *etcds])))
    hold = _long(rng)

    def apply(fleet: Fleet) -> None:
        for host in where:
            fleet.network.lose(host, 20)

    return Fault("loss", f"loss of 20 % at {' '.join(where)} {hold}s", hold, apply)


# -- stops and disks -------------------------------------------------------------------------


@kind("clean-stops")
def _clean_stops(rng: random.Random, nodes: tuple[str, ...], etcds: tuple[str, ...]) -> Fault:
    """All nodes leave cleanly in one order, each before or after the former has ended, and come in another."""
    leave, come = rng.sample(nodes, len(nodes)), rng.sample(nodes, len(nodes))
    wait, gap = rng.random() < 0.5, round(rng.uniform(0, 3), 1)

    def apply(fleet: Fleet) -> None:
        for node in leave:
            fleet.signal(fleet.agent(node), TERM)
            if wait:
                _until(lambda node=node: not fleet.running(node), GRACE)  # type: ignore[misc]
            else:
                time.sleep(gap)
        _until(lambda: not any(fleet.running(node) for node in nodes), 3 * GRACE)
        for node in come:
            fleet.start(node)
            time.sleep(gap)

    text = f"clean-stops {' '.join(leave)} {'one after the other' if wait else f'each {gap}s'}, back {' '.join(come)} each {gap}s"
    return Fault("clean-stops", text, 0.5, apply)


def _lose_disk(fleet: Fleet, node: str) -> None:
    """kill -9 of a node; once the others serve without it, and have said so, its disk is gone."""
    fleet.signal([*fleet.agent(node), *fleet.servers(node)], KILL)
    _until(lambda: not fleet.servers(node) and not fleet.agent(node), GRACE)
    rest = [name for name in fleet.nodes if name != node]
    _until(lambda: all(_sees_only(fleet, name, rest) for name in rest), GRACE)
    fleet.wipe_disk(node)


def _sees_only(fleet: Fleet, node: str, members: list[str]) -> bool:
    import pymysql

    try:
        with fleet.root(node, timeout=3.0) as connection, connection.cursor() as cursor:
            cursor.execute("SHOW GLOBAL STATUS LIKE 'wsrep_cluster_s%'")
            said = dict(cursor.fetchall())
    except (pymysql.MySQLError, OSError):
        return False
    return bool(said["wsrep_cluster_status"] == "Primary" and said["wsrep_cluster_size"] == str(len(members)))


@kind("wipe-disk")
def _wipe_disk(rng: random.Random, nodes: tuple[str, ...], etcds: tuple[str, ...]) -> Fault:
    node = rng.choice(nodes)
    return Fault("wipe-disk", f"wipe-disk {node}", 0.5, lambda fleet: _lose_disk(fleet, node))


@kind("crash-in-transfer")
def _crash_in_transfer(rng: random.Random, nodes: tuple[str, ...], etcds: tuple[str, ...]) -> Fault:
    node, who = rng.choice(nodes), rng.choice(("server", "both", "host"))
    later, hold = round(rng.uniform(0, 0.6), 2), _some(rng)

    def apply(fleet: Fleet) -> None:
        _lose_disk(fleet, node)
        fleet.start(node)
        _until(lambda: fleet.tainted(node), GRACE, 0.005)
        time.sleep(later)
        pids = fleet.everything(node) if who == "host" else fleet.servers(node)
        fleet.signal([*(fleet.agent(node) if who == "both" else ()), *pids], KILL)

    text = f"crash-in-transfer of {node}'s {who} {later}s after the taint, {hold}s"
    return Fault("crash-in-transfer", text, hold, apply)


def _until(condition: Callable[[], bool], patience: float, pace: float = 0.1) -> bool:
    """Wait for a condition, and go on without it: another fault may stand in its way."""
    deadline = time.monotonic() + patience
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(pace)
    return True


__all__ = ["KINDS", "Fault", "Plan", "draw", "single"]
