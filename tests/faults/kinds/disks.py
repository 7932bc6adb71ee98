"""Disks: lost, and filled anew."""

from __future__ import annotations

import random
import time

from tests.faults.fleet import GRACE, Fleet
from tests.faults.kinds.plan import KILL, Fault, kind, some, until


def _lose_disk(fleet: Fleet, node: str) -> None:
    """kill -9 of a node; once the others serve without it, and have said so, its disk is gone."""
    fleet.signal([*fleet.agent(node), *fleet.servers(node)], KILL)
    until(lambda: not fleet.servers(node) and not fleet.agent(node), GRACE)
    rest = [name for name in fleet.nodes if name != node]
    until(lambda: all(_sees_only(fleet, name, rest) for name in rest), GRACE)
    fleet.wipe_disk(node)


def _sees_only(fleet: Fleet, node: str, members: list[str]) -> bool:
    import pymysql

    try:
        with fleet.root(node, timeout=3.0) as connection, connection.cursor() as cursor:
            cursor.execute("SHOW GLOBAL STATUS LIKE 'wsrep_cluster_s%'")
            said = dict(cursor.fetchall())
    except (pymysql.MySQLError, OSError):
        return False
    return bool(
        said["wsrep_cluster_status"] == "Primary"
        and said["wsrep_cluster_size"] == str(len(members) + len(fleet.arbitrators))
    )


@kind("wipe-disk")
def _wipe_disk(rng: random.Random, nodes: tuple[str, ...], etcds: tuple[str, ...]) -> Fault:
    node = rng.choice(nodes)
    return Fault("wipe-disk", f"wipe-disk {node}", 0.5, lambda fleet: _lose_disk(fleet, node))


@kind("crash-in-transfer")
def _crash_in_transfer(rng: random.Random, nodes: tuple[str, ...], etcds: tuple[str, ...]) -> Fault:
    node, who = rng.choice(nodes), rng.choice(("server", "both", "host"))
    later, hold = round(rng.uniform(0, 0.6), 2), some(rng)

    def apply(fleet: Fleet) -> None:
        _lose_disk(fleet, node)
        fleet.start(node)
        until(lambda: fleet.tainted(node), GRACE, 0.005)
        time.sleep(later)
        pids = fleet.everything(node) if who == "host" else fleet.servers(node)
        fleet.signal([*(fleet.agent(node) if who == "both" else ()), *pids], KILL)

    text = f"crash-in-transfer of {node}'s {who} {later}s after the taint, {hold}s"
    return Fault("crash-in-transfer", text, hold, apply)
