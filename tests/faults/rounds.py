"""One round: faults under clients, healing, and what must be true afterwards."""

from __future__ import annotations

import collections
import json
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pymysql

from galerist.model import Generation, Identity
from galerist.registry.contract import RegistryError
from tests.faults.clients import Clients
from tests.faults.fleet import GRACE, TABLE, Fleet
from tests.faults.kinds import Fault, Plan
from tests.faults.probe import Prober, two_primaries

PATIENCE = 300.0  # s from the healing to full strength; it takes seconds, but 150 s where 38 processes want two cores
SETTLED = 2.0  # s before the faults, so that there is something to lose
STEADY = 3.0  # s for which full strength must last: a cut that ended just now may be noticed only afterwards
FINAL = ("quarantined", "refused", "superseded")  # roles that only a person ends


@dataclass
class Result:
    """What came out of one round. Times are seconds; None: it did not come."""

    seed: int
    number: int
    plan: Plan | str | None
    violations: list[str] = field(default_factory=list)
    acknowledged: int = 0
    gap: float | None = None  # the longest time without an acknowledgement through the proxy
    writes: float | None = None  # from the healing to the first acknowledgement through the proxy
    full: float | None = None  # from the healing to full strength
    generations: int = 0  # new ones
    full_transfers: int = 0
    notes: dict[str, Any] = field(default_factory=dict)
    kinds: tuple[str, ...] = ()  # of the plan's faults

    def __post_init__(self) -> None:
        if isinstance(self.plan, Plan):
            self.kinds = self.plan.kinds

    def as_json(self) -> str:
        return json.dumps(vars(self), indent=1, default=str)


class Ledger:
    """What earlier rounds left: rows per client, the cluster's uuid, its generations."""

    def __init__(self) -> None:
        self.rows: dict[int, int] = {}
        self.uuid: str | None = None
        self.generations: tuple[Generation, ...] = ()


def begin(fleet: Fleet, prober: Prober, ledger: Ledger) -> None:
    """Form the cluster from nothing. Raises AssertionError with what the nodes say."""
    fleet.start(*fleet.parts)
    deadline = time.monotonic() + PATIENCE
    while (lacking := weakness(fleet, prober)) is not None:
        assert time.monotonic() < deadline, "\n".join([f"the cluster does not form: {lacking}", *fleet.says()])
        time.sleep(0.2)
    with fleet.root(fleet.nodes[0]) as connection, connection.cursor() as cursor:
        cursor.execute(f"CREATE TABLE app.{TABLE} (client BIGINT, number INT, PRIMARY KEY (client, number))")
    identity = fleet.state().identity
    assert identity is not None
    ledger.uuid, ledger.generations = identity.uuid, identity.generations


def play(fleet: Fleet, prober: Prober, ledger: Ledger, seed: int, number: int, plan: Plan) -> Result:
    """One round on a cluster at full strength."""
    result = Result(seed, number, plan)
    prober.forget()
    start, before = time.monotonic(), sum(_transfers(fleet, node) for node in fleet.nodes)
    result.notes["began"] = time.strftime("%H:%M:%S")
    with Clients(fleet, number) as clients:
        time.sleep(SETTLED)
        _strike(fleet, result, plan.first, number % 4 * 0.7)
        if plan.then is not None:
            time.sleep(plan.later)
            _strike(fleet, result, (plan.then,), 0.0)
        healed = time.monotonic()
        result.notes["healed"] = time.strftime("%H:%M:%S")
        _recover(fleet, prober, clients, result, healed)
        time.sleep(0.5)
        clients.end()
    result.notes["seconds"] = round(time.monotonic() - start, 1)
    result.acknowledged = clients.count()
    times = clients.through_proxy()
    result.gap = (
        round(max((later - former for former, later in zip(times, times[1:], strict=False)), default=0), 1)
        if times
        else None
    )
    result.notes["clients"] = {
        f"{client.number} {client.host}:{client.port}": [len(client.acknowledged), client.errors, client.last_error]
        for client in clients.all
    }
    if result.full is not None:
        result.violations += rows(fleet, clients, ledger) + lineage(fleet, ledger, result) + leftovers(fleet)
    result.notes["sizes"] = fleet.sizes()
    spans = prober.spans()
    for one, other in two_primaries(spans)[:5]:
        result.violations.append(f"P1: two Primary Components took writes at the same time: {one} and {other}")
    result.notes["spans"] = [
        (round(span.begin - start, 2), round(span.end - start, 2), span.node, str(span.answer)) for span in spans
    ]
    result.full_transfers = sum(_transfers(fleet, node) for node in fleet.nodes) - before
    return result


def _strike(fleet: Fleet, result: Result, faults: tuple[Fault, ...], apart: float) -> None:
    """Faults ``apart`` seconds after one another, held, and healed."""
    threads = [threading.Thread(target=_apply, args=(fault, fleet, result)) for fault in faults]
    for position, thread in enumerate(threads):
        time.sleep(apart if position else 0)  # together, or one into what the other has caused
        thread.start()
    for thread in threads:
        thread.join()
    time.sleep(max(fault.hold for fault in faults))
    fleet.heal()


def _apply(fault: Fault, fleet: Fleet, result: Result) -> None:
    try:
        fault.apply(fleet)
    except Exception as error:  # the round must not look as if it had been made
        result.violations.append(f"the fault {fault.kind} could not be made: {error!r}")


def weakness(fleet: Fleet, prober: Prober) -> str | None:
    """What is missing to full strength; None at full strength."""
    answers = dict(prober.now)
    for node, answer in answers.items():
        if answer is None:
            return f"{node} does not answer"
        if not answer.serves or answer.state != 4:
            return f"{node} is not Synced and open"
        if answer.members != fleet.nodes:
            return f"{node} is with {', '.join(answer.members)} only"
    if len({(answer.uuid, answer.conf) for answer in answers.values() if answer is not None}) != 1:
        return "the nodes are in different views"
    try:
        recorded, reports = fleet.state(), fleet.reports()
    except (RegistryError, ValueError) as error:
        return f"the registry: {error}"
    if recorded.view is None or recorded.view.members != fleet.nodes or recorded.claim is not None:
        return f"recorded are {recorded.view} and {recorded.claim}"
    for node in fleet.nodes:
        report = reports.get(node)
        if report is None or not report.opened or not report.synced:
            return f"the agent of {node} does not report it"
        if report.identity != recorded.identity:
            return f"the stamp of {node} knows another history"
        if fleet.tainted(node) or report.attempt is not None:
            return f"{node} is tainted or has an open attempt"
    if len(recorded.view.arbitrators) != len(fleet.arbitrators):
        return "the arbitrator is not in the recorded view"
    dead = [part for part in fleet.parts if not fleet.running(part)]
    return f"{', '.join(dead)} ended" if dead else None


def _recover(fleet: Fleet, prober: Prober, clients: Clients, result: Result, healed: float) -> None:
    """Wait for writes and for full strength, with nobody helping."""
    final: collections.Counter[str] = collections.Counter()
    since: float | None = None
    while result.full is None or result.writes is None:
        now = time.monotonic()
        if result.writes is None:
            after = [when for when in clients.through_proxy() if when > healed]
            if after:
                result.writes = round(after[0] - healed, 1)
        lacking = weakness(fleet, prober)
        since = None if lacking is not None else since if since is not None else now
        if result.full is None and since is not None and now - since >= STEADY:
            result.full = round(since - healed, 1)
        if result.full is not None and now - healed > result.full + GRACE and result.writes is None:
            result.violations.append("P4: no write gets through the proxy, though all nodes serve")
            result.notes["says"] = fleet.says()
            return
        try:
            for node, report in fleet.reports().items():
                final[node] = final[node] + 1 if report.role in FINAL else 0
        except (RegistryError, ValueError):
            final.clear()
        stuck = [node for node, times in final.items() if times > 100]
        ended = [part for part in fleet.parts if not fleet.running(part)]
        if (now - healed > PATIENCE or stuck or ended) and result.full is None:
            result.violations.append(f"P4: not healed after {now - healed:.0f} s: {lacking}")
            result.notes["says"] = fleet.says()
            return
        time.sleep(0.2)


def rows(fleet: Fleet, clients: Clients, ledger: Ledger) -> list[str]:
    """P2: every acknowledged row is on every node, no former row has gone, and all nodes hold the same."""
    wrong, first, counts = [], clients.all[0].number, []
    for node in fleet.nodes:
        try:
            found, count = _read(fleet, node, first)
        except (pymysql.MySQLError, OSError) as error:
            wrong.append(f"P4: {node} cannot be read though it serves: {error!r}")
            continue
        counts.append(count)
        for one in clients.all:
            lost = one.acknowledged - found[one.number]
            if lost:
                wrong.append(
                    f"P2: {node} has lost {len(lost)} of {len(one.acknowledged)} rows acknowledged to client {one.number} "
                    f"at {one.host}:{one.port}: {sorted(lost)[:5]}"
                )
        # More may come: what a client has sent into a cut, and given up, arrives when the network is whole again.
        former = {client: (count, counts[-1].get(client, 0)) for client, count in ledger.rows.items()}
        fewer = {client: (had, has) for client, (had, has) in former.items() if has < had}
        if fewer:
            wrong.append(f"P2: {node} has lost rows of earlier rounds (client: had, has): {fewer}")
        late = sum(has - had for had, has in former.values() if has > had)
        if late:
            print(f"      {node}: {late} rows of earlier rounds came after their round")
    if counts and any(count != counts[0] for count in counts):
        wrong.append(f"P1: the nodes hold different rows: {[sum(count.values()) for count in counts]}")
    if counts:
        ledger.rows = counts[0]
    return wrong


def _read(fleet: Fleet, node: str, first: int) -> tuple[dict[int, set[int]], dict[int, int]]:
    """The rows of all clients from ``first`` on, and the number of rows of every client. Raises MySQLError, OSError."""
    deadline = time.monotonic() + GRACE
    while True:
        try:
            with fleet.root(node, timeout=60.0) as connection, connection.cursor() as cursor:
                cursor.execute("SET SESSION wsrep_sync_wait = 1")
                cursor.execute(f"SELECT client, number FROM app.{TABLE} WHERE client >= %s", (first,))
                found: dict[int, set[int]] = collections.defaultdict(set)
                for client, number in cursor.fetchall():
                    found[client].add(number)
                cursor.execute(f"SELECT client, COUNT(*) FROM app.{TABLE} GROUP BY client")
                return found, dict(cursor.fetchall())
        except (pymysql.MySQLError, OSError):
            if time.monotonic() > deadline:
                raise
            time.sleep(0.5)


def lineage(fleet: Fleet, ledger: Ledger, result: Result) -> list[str]:
    """P1: one uuid for ever, and a list of generations that only grows, the same in the registry and all stamps."""
    identity = fleet.state().identity
    known: dict[str, Identity | None] = {"registry": identity} | {
        node: fleet.stamp(node).identity for node in fleet.nodes
    }
    wrong = []
    for where, one in known.items():
        if one is None or one.uuid != ledger.uuid:
            wrong.append(f"P1: {where} has the uuid {one.uuid if one else None} instead of {ledger.uuid}")
        elif one.generations[: len(ledger.generations)] != ledger.generations:
            wrong.append(f"P1: {where} has a history that does not continue the former one: {one.generations}")
        elif one != identity:
            wrong.append(f"P1: {where} has another history than the registry: {one.generations}")
    if not wrong and identity is not None:
        begins = [generation.begins for generation in identity.generations]
        if begins != sorted(begins):
            wrong.append(f"P1: generations begin at {begins}")
        result.generations = len(identity.generations) - len(ledger.generations)
        ledger.generations = identity.generations
    return wrong


def leftovers(fleet: Fleet) -> list[str]:
    """Helpers of state transfers need a moment to end; after that nothing is there that does not belong there."""
    deadline = time.monotonic() + GRACE
    while (found := fleet.strangers()) and time.monotonic() < deadline:
        time.sleep(0.3)
    return [f"left behind: {words}" for words in found]


def _transfers(fleet: Fleet, node: str) -> int:
    text = (fleet.home(node) / "mariadb.err").read_text(errors="replace")
    return text.count("SST completed on joiner")


def keep(fleet: Fleet, folder: Path) -> None:
    """Copy all logs, stamps and the registry's history, to see why."""
    import shutil

    folder.mkdir(parents=True, exist_ok=True)
    for part in fleet.parts:
        if (fleet.top / f"{part}.log").exists():
            shutil.copy(fleet.top / f"{part}.log", folder)
    for node in fleet.nodes:
        for name in ("mariadb.err", "stamp/stamp.json", "stamp/views"):
            source = fleet.home(node) / name
            if source.exists():
                shutil.copy(source, folder / f"{node}.{source.name}")
    try:
        history = fleet.registry.list(fleet.keys.root)
        (folder / "registry.json").write_text(json.dumps(history, indent=1))
    except RegistryError as error:
        (folder / "registry.json").write_text(str(error))
