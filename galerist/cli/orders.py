"""Commands by which a person orders something of the agents. What they order stands in the registry."""

from __future__ import annotations

import dataclasses
import getpass
import secrets
import socket
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from bootstrap import orders
from bootstrap.load import order_retry, read_record
from bootstrap.orders import Order, Refused
from galerist.cli.output import emit
from galerist.cli.show import opened
from galerist.model import State, dump
from galerist.registry import events
from galerist.registry.contract import Registry, Swap
from galerist.registry.keys import Keys
from galerist.settings import Settings
from galerist.view.facts import Cluster, read, read_events

FAILED, USAGE = 1, 2


def recover_command(settings: Settings | None, dir: Path | None, node: str, yes: str | None) -> int:
    """``galerist recover --node X``: start the cluster from one node, by order."""
    nonce = secrets.token_hex(4)
    return give_order(
        settings, dir, f"recover --node {node}", yes, lambda c: orders.recover(c.state, c.reports, node, nonce)
    )


def forget_command(settings: Settings | None, dir: Path | None, node: str, yes: str | None) -> int:
    """``galerist forget NODE``: do not wait for a node that never returns."""
    return give_order(settings, dir, f"forget {node}", yes, lambda c: orders.forget(c.state, c.reports, c.nodes, node))


def reinit_command(settings: Settings | None, dir: Path | None, node: str, yes: str | None) -> int:
    """``galerist reinit NODE``: set its datadir aside and let it join as an empty one."""
    token = secrets.token_hex(4)
    return give_order(
        settings, dir, f"reinit {node}", yes, lambda c: orders.reinit(c.state, c.reports, c.nodes, node, token)
    )


def pause_command(settings: Settings | None, dir: Path | None, yes: str | None) -> int:
    """``galerist pause``."""
    who = f"{person()} at {events.now()[:19]}Z"
    return give_order(settings, dir, "pause", yes if yes is not None else "", lambda c: orders.pause(c.state, who))


def resume_command(settings: Settings | None, dir: Path | None, yes: str | None) -> int:
    """``galerist resume``."""
    return give_order(settings, dir, "resume", yes if yes is not None else "", lambda c: orders.resume(c.state))


def give_order(
    settings: Settings | None,
    dir: Path | None,
    name: str,
    yes: str | None,
    make: Callable[[Cluster], Order],
    after: Callable[[Registry, str], int] | None = None,
) -> int:
    """:func:`give` in the cluster that the flags name, then wait by ``after``. The exit code."""
    with opened(settings, dir) as (registry, cluster):
        code = give(registry, cluster, name, make, yes)
        if code:
            return code
        print("Ordered. Follow it with: galerist list")
        return 0 if after is None else after(registry, cluster)


def give(registry: Registry, cluster: str, name: str, make: Callable[[Cluster], Order], yes: str | None = "") -> int:
    """Make an order from what the registry holds, say what it does, ask unless ``yes`` answers, give it.
    The exit code."""
    raw, seen = look(registry, cluster)
    try:
        order = make(seen)
    except Refused as refusal:
        print(f"galerist: {name} is refused: {refusal}", file=sys.stderr)
        return FAILED
    for line in order.says:
        print(line)
    code = _agreed(order, yes)
    if code:
        return code
    if not carry_out(registry, Keys(cluster), raw, order, name, person()):
        print(f"galerist: {CHANGED}", file=sys.stderr)
        return FAILED
    return 0


def _agreed(order: Order, yes: str | None) -> int:
    wanted = "" if order.number is None else str(order.number)
    if yes is not None:
        if yes == wanted or not wanted:
            return 0
        print(f"galerist: --yes {wanted} is needed, to say that you know what may be lost", file=sys.stderr)
        return USAGE
    if not sys.stdin.isatty():
        print(f"galerist: not a terminal; say --yes {wanted}".rstrip() + " if you are sure", file=sys.stderr)
        return USAGE
    question = f"Type {wanted} to go on: " if wanted else "Go on? [y/N] "
    answer = input(question).strip()
    if answer == wanted if wanted else answer.lower() in ("y", "yes"):
        return 0
    print("Nothing was changed.")
    return FAILED


def look(registry: Registry, cluster: str) -> tuple[str | None, Cluster]:
    """The state as it stands in the registry, for a swap, and everything else to decide by."""
    raw = registry.get(Keys(cluster).state)
    seen = read(registry, cluster)
    if dump(seen.state) != (raw if raw is not None else dump(State())) and raw is not None:
        raw = registry.get(Keys(cluster).state)  # it changed between two reads: a swap compares with the newer one
        seen = read(registry, cluster)
    return raw, seen


CHANGED = (
    "the state of the cluster changed while you decided, or the answer was lost; look again (galerist list) and "
    "repeat the order if it is still right"
)


def carry_out(
    registry: Registry, keys: Keys, raw: str | None, order: Order, name: str, who: str, quietly: bool = False
) -> bool:
    """Write the order and, unless ``quietly``, an event of the history. False when the state is no longer ``raw``.
    Raises RegistryError."""
    if order.state is not None and registry.swap(keys.state, raw, dump(order.state)) is not Swap.WON:
        return False
    for written in order.put:
        registry.put(keys.nodes + written.node, dump(written))
    for node in order.delete:
        registry.delete(keys.nodes + node)
    if not quietly:
        record(registry, keys, f"A person ordered: {name}.", order.says, who, order.operation)
    return True


def record(
    registry: Registry, keys: Keys, sentence: str, evidence: Sequence[str], who: str, operation: str = ""
) -> None:
    """An event of the history: what a person has ordered. Raises RegistryError."""
    events.write(registry, keys, who, "order", sentence, evidence, operation or secrets.token_hex(4), key="order")


def person() -> str:
    """Who gives an order on this terminal."""
    try:
        return f"{getpass.getuser()}@{socket.gethostname()}"
    except (KeyError, OSError):
        return f"someone@{socket.gethostname()}"


def history_command(settings: Settings | None, dir: Path | None, format: str) -> int:
    """``galerist history``: what was decided and ordered, oldest first."""
    with opened(settings, dir) as (registry, cluster):
        events = read_events(registry, cluster)

    def lines() -> None:
        for event in events:
            print(f"{event.time[:19]}Z  {event.operation or '-':8}  {event.node}: {event.sentence}")

    rows = [("TIME", "OPERATION", "WHO", "ACTION", "SENTENCE")]
    rows += [(event.time, event.operation, event.node, event.action, event.sentence) for event in events]
    data = [{**dataclasses.asdict(event), "evidence": list(event.evidence)} for event in events]
    emit(format, data, rows, lines)
    return 0


def load_command(settings: Settings | None, dir: Path | None, retry: bool) -> int:
    """``galerist load``. Returns the exit code: 1 when the load has failed, or there is nothing to retry."""
    with opened(settings, dir) as (registry, cluster):
        keys = Keys(cluster)
        if retry:
            try:
                print(order_retry(registry, keys))
            except ValueError as error:
                print(f"galerist: {error}", file=sys.stderr)
                return FAILED
            return 0
        record = read_record(registry.get(keys.init))
        if record is None:
            print("No load has begun: either no dumps are given (init_sql), or the cluster has not reached its size.")
            return 0
        if record.status == "failed":
            print(f"failed: {record.error}\nRun galerist load --retry when the cause is mended.")
            return FAILED
        print(f"{record.status}: {record.percent} % of {record.file or 'the dumps'}, by {record.by}")
        return 0
