"""Processes: killed, frozen, stopped in order."""

from __future__ import annotations

import random
import signal
import time
from collections.abc import Callable

from tests.faults.fleet import GRACE, TTL, Fleet
from tests.faults.kinds.plan import KILL, STOP, TERM, Fault, kind, long, some, until


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
            hold = long(rng) if number is STOP else some(rng)
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
            hold = some(rng)
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
            hold = long(rng)
            return Fault(
                name, f"{name} {' '.join(victims)} {hold}s", hold,
                lambda fleet: fleet.signal([pid for name in victims for pid in fleet.etcd(name)], number),
            )  # fmt: skip

    for verb, number in (("kill", KILL), ("freeze", STOP)):
        make(f"{verb}-etcd", False, number)
        make(f"{verb}-all-etcd", True, number)


def _arbitrator_kinds() -> None:
    def make(name: str, number: signal.Signals) -> None:
        @kind(name)
        def maker(rng: random.Random, nodes: tuple[str, ...], etcds: tuple[str, ...]) -> Fault:
            hold = long(rng) if number is STOP else some(rng)
            return Fault(
                name, f"{name} {hold}s", hold,
                lambda fleet: fleet.signal(fleet.everything(*fleet.arbitrators), number),
            )  # fmt: skip

    make("kill-arbitrator", KILL)
    make("freeze-arbitrator", STOP)


_node_kinds()
_arbitrator_kinds()
_proxy_kinds()
_etcd_kinds()


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
        until(lambda: not fleet.everything(*nodes), GRACE)
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
    hold = long(rng)

    def apply(fleet: Fleet) -> None:
        fleet.signal(fleet.everything(*fleet.nodes), STOP)
        time.sleep(hold)
        for node in rng_order:  # they wake up one after the other
            fleet.signal(fleet.everything(node), signal.SIGCONT)
            time.sleep(gap)

    rng_order, gap = rng.sample(nodes, len(nodes)), round(rng.uniform(0, 4), 1)
    text = f"freeze-all-hosts {hold}s, awake in the order {' '.join(rng_order)} each {gap}s"
    return Fault("freeze-all-hosts", text, 0.5, apply)


@kind("clean-stops")
def _clean_stops(rng: random.Random, nodes: tuple[str, ...], etcds: tuple[str, ...]) -> Fault:
    """All nodes leave cleanly in one order, each before or after the former has ended, and come in another."""
    leave, come = rng.sample(nodes, len(nodes)), rng.sample(nodes, len(nodes))
    wait, gap = rng.random() < 0.5, round(rng.uniform(0, 3), 1)

    def apply(fleet: Fleet) -> None:
        for node in leave:
            fleet.signal(fleet.agent(node), TERM)
            if wait:
                until(lambda node=node: not fleet.running(node), GRACE)  # type: ignore[misc]
            else:
                time.sleep(gap)
        until(lambda: not any(fleet.running(node) for node in nodes), 3 * GRACE)
        for node in come:
            fleet.start(node)
            time.sleep(gap)

    text = f"clean-stops {' '.join(leave)} {'one after the other' if wait else f'each {gap}s'}, back {' '.join(come)} each {gap}s"
    return Fault("clean-stops", text, 0.5, apply)
