"""The network: cut, lossy, with other addresses."""

from __future__ import annotations

import random

from tests.faults.fleet import GRACE, Fleet
from tests.faults.kinds.plan import KILL, TERM, Fault, kind, long, until
from tests.faults.network import SUBNET


def _sides(rng: random.Random, nodes: tuple[str, ...]) -> tuple[list[str], list[str]]:
    """A minority and the rest."""
    few = sorted(rng.sample(nodes, rng.randint(1, max(1, (len(nodes) - 1) // 2))))
    return few, [node for node in nodes if node not in few]


@kind("cut-minority")
def _cut_minority(rng: random.Random, nodes: tuple[str, ...], etcds: tuple[str, ...]) -> Fault:
    few, many = _sides(rng, nodes)
    hold, how = long(rng), rng.choice(("from the other nodes", "from all others", "unplugged"))

    def apply(fleet: Fleet) -> None:
        if how == "unplugged":
            for node in few:
                fleet.network.unplug(node)
        else:
            others = [*many, *fleet.arbitrators]
            fleet.network.part(few, others if how == "from the other nodes" else [*others, *etcds, "p1", "client"])

    return Fault("cut-minority", f"cut-minority {' '.join(few)} {how} {hold}s", hold, apply)


@kind("cut-majority")
def _cut_majority(rng: random.Random, nodes: tuple[str, ...], etcds: tuple[str, ...]) -> Fault:
    """The majority loses registry and proxy as well; the minority keeps them."""
    few, many = _sides(rng, nodes)
    hold, members = long(rng), rng.choice((etcds, etcds[:2]))
    text = f"cut-majority {' '.join(many)} from {' '.join((*few, *members))} and p1 {hold}s"
    return Fault("cut-majority", text, hold, lambda fleet: fleet.network.part(many, [*few, *members, "p1"]))


@kind("shatter")
def _shatter(rng: random.Random, nodes: tuple[str, ...], etcds: tuple[str, ...]) -> Fault:
    """No two nodes reach one another: no quorum anywhere."""
    hold = long(rng)

    def apply(fleet: Fleet) -> None:
        voters = (*nodes, *fleet.arbitrators)
        for number, node in enumerate(voters):
            fleet.network.part([node], voters[number + 1 :])

    return Fault("shatter", f"shatter {hold}s", hold, apply)


@kind("bridge")
def _bridge(rng: random.Random, nodes: tuple[str, ...], etcds: tuple[str, ...]) -> Fault:
    """One node reaches all; the others are two groups that do not reach one another."""
    order = rng.sample(nodes, len(nodes))
    middle = (len(order) + 1) // 2
    left, right, hold = order[1:middle] or order[:1], order[middle:], long(rng)  # of two, an arbitrator is the bridge
    text = f"bridge {order[0]} between {' '.join(left)} and {' '.join(right)} {hold}s"
    return Fault("bridge", text, hold, lambda fleet: fleet.network.part(left, right))


@kind("one-way")
def _one_way(rng: random.Random, nodes: tuple[str, ...], etcds: tuple[str, ...]) -> Fault:
    """What one node sends does not arrive: at one other node, at all, or at the registry."""
    source = rng.choice(nodes)
    others = [node for node in nodes if node != source]
    targets = rng.choice(([rng.choice(others)], others, list(etcds), [*others, *etcds]))
    hold, back = long(rng), rng.random() < 0.3

    def apply(fleet: Fleet) -> None:
        for target in targets:
            fleet.network.cut(*((target, source) if back else (source, target)))

    way = f"from {' '.join(targets)} to {source}" if back else f"from {source} to {' '.join(targets)}"
    return Fault("one-way", f"one-way nothing {way} {hold}s", hold, apply)


@kind("split-etcd")
def _split_etcd(rng: random.Random, nodes: tuple[str, ...], etcds: tuple[str, ...]) -> Fault:
    alone, hold, some = rng.choice(etcds), long(rng), sorted(rng.sample(nodes, rng.randint(0, len(nodes))))

    def apply(fleet: Fleet) -> None:
        fleet.network.part([alone], [name for name in etcds if name != alone])
        fleet.network.part(some, [name for name in etcds if name != alone])

    text = f"split-etcd {alone} from the rest, {' '.join(some) or 'no node'} on its side {hold}s"
    return Fault("split-etcd", text, hold, apply)


@kind("loss")
def _loss(rng: random.Random, nodes: tuple[str, ...], etcds: tuple[str, ...]) -> Fault:
    where = sorted(rng.choice(([rng.choice(nodes)], list(nodes), [*nodes, *etcds])))
    hold = long(rng)

    def apply(fleet: Fleet) -> None:
        for host in where:
            fleet.network.lose(host, 20)

    return Fault("loss", f"loss of 20 % at {' '.join(where)} {hold}s", hold, apply)


@kind("delay")
def _delay(rng: random.Random, nodes: tuple[str, ...], etcds: tuple[str, ...]) -> Fault:
    """A long way: between one node and all others, between all nodes, or to the registry."""
    where = rng.choice(([rng.choice(nodes)], list(nodes), list(etcds), [rng.choice(nodes), rng.choice(etcds)]))
    late, jitter, hold = rng.choice((0.02, 0.1, 0.3, 0.8)), rng.choice((0.0, 0.05, 0.3)), long(rng)

    def apply(fleet: Fleet) -> None:
        for host in where:
            fleet.network.delay(host, late, jitter)

    text = (
        f"delay of {1000 * late:.0f} to {1000 * (late + jitter):.0f} ms each way at {' '.join(sorted(where))} {hold}s"
    )
    return Fault("delay", text, hold, apply)


@kind("new-addresses")
def _new_addresses(rng: random.Random, nodes: tuple[str, ...], etcds: tuple[str, ...]) -> Fault:
    """All nodes are down, and come back with one another's addresses, or with new ones."""
    swapped, number = rng.random() < 0.5, rng.choice((KILL, TERM))

    def apply(fleet: Fleet) -> None:
        pids = fleet.everything(*nodes) if number is KILL else [pid for node in nodes for pid in fleet.agent(node)]
        fleet.signal(pids, number)
        until(lambda: not any(fleet.servers(node) or fleet.agent(node) for node in nodes), 3 * GRACE)
        fleet.signal(fleet.everything(*nodes), KILL)
        until(lambda: not fleet.everything(*nodes), GRACE)
        old = [fleet.address(node) for node in nodes]
        used = set(fleet.network.addresses.values())
        fresh = [address for last in range(100, 200) if (address := f"{SUBNET}.{last}") not in used]
        fleet.move(dict(zip(nodes, [*old[1:], old[0]] if swapped else fresh, strict=False)))

    how = "one another's" if swapped else "fresh"
    text = f"new-addresses {how}, after {'kill -9' if number is KILL else 'clean stops'}"
    return Fault("new-addresses", text, 0.5, apply)
