"""``galerist restart``: servers one after the other, the writer last, each only while all others are well.

Where it has come to stands in the registry (:class:`galerist.model.Restart`), so whoever calls it again goes
on with it. :func:`following` is pure and level-triggered: from what is known to the one next thing to do.
"""

from __future__ import annotations

import secrets
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path

from bootstrap.orders import Order, Refused
from galerist.cli import traffic
from galerist.cli.orders import FAILED, USAGE, carry_out, give, look, person
from galerist.cli.show import opened
from galerist.model import Report, Restart, Server
from galerist.registry.contract import Registry, RegistryError
from galerist.registry.keys import Keys
from galerist.settings import Settings
from galerist.view.facts import Cluster
from galerist.view.listing import node_state, writer

_LOOK = 0.2  # s
_GONE_WRONG = ("refused", "quarantined", "superseded", "failed")


# -- pure ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Wait:
    """Look again later. ``unwell``: for a node that may not come back by itself, so not for long."""

    sentence: str
    unwell: bool = False


@dataclass(frozen=True, slots=True)
class Give:
    """Change the state by this order, then look again."""

    order: Order


@dataclass(frozen=True, slots=True)
class Halt:
    """Something is unhealthy: a person has to look. The restart stands, and can be gone on with."""

    sentence: str


@dataclass(frozen=True, slots=True)
class Done:
    """All servers have been restarted."""


def begin(cluster: Cluster, nodes: tuple[str, ...], who: str, operation: str = "") -> Order:
    """A new restart of ``nodes``, of all for (). The writer comes last. Raises Refused."""
    state = cluster.state
    if state.restart is not None:
        left = ", ".join(state.restart.left) or "none"
        raise Refused(
            f"a restart by {state.restart.who} is unfinished (left: {left}); galerist restart --rolling goes on with it, "
            "galerist restart --abort ends it"
        )
    if state.paused:
        raise Refused(f"the agents are paused ({state.paused}), so nobody would start a server again; galerist resume")
    known = {report.node for report in cluster.reports}
    strangers = [node for node in nodes if node not in known]
    if strangers:
        raise Refused(f"{strangers[0]} does not report (known: {', '.join(sorted(known)) or 'none'})")
    first = writer(cluster)
    chosen = sorted(set(nodes) or known, key=lambda node: (node == first, node))
    bad = _unwell(cluster)
    if bad:
        raise Refused(bad)
    order = Restart(tuple(chosen), who, operation=operation)
    says = (
        f"{chosen[0]} restarts; its clients are led away before."
        if len(chosen) == 1
        else f"{', '.join(chosen)} restart one after the other; clients are led away from each before."
    )
    return Order((says,), state=replace(state, restart=order), operation=operation)


def abort(cluster: Cluster) -> Order:
    """End an unfinished restart; the node that was drained for it gets its clients back."""
    order = cluster.state.restart
    if order is None:
        raise Refused("no restart is under way")
    says = f"The restart ends; not restarted: {', '.join(order.left) or 'none'}."
    drained = tuple(node for node in cluster.state.drained if node != order.drained)
    return Order((says,), state=replace(cluster.state, restart=None, drained=drained))


def following(cluster: Cluster) -> Wait | Give | Halt | Done:
    """The next thing to do for the restart that stands in the state."""
    state, order = cluster.state, cluster.state.restart
    if order is None:
        return Done()
    if state.paused:
        return Halt(f"the agents are paused ({state.paused}); galerist resume")
    if not order.left:
        return Give(Order(("All are restarted.",), state=replace(state, restart=None)))
    node = order.left[0]
    report = next((report for report in cluster.reports if report.node == node), None)
    if report is None:
        return Wait(f"{node} does not report", unwell=True)
    if order.pid:
        return _ordered(cluster, order, report)
    bad = _unwell(cluster)
    if bad:
        return Halt(bad) if _hopeless(cluster) else Wait(bad, unwell=not _passes(cluster))
    if node not in state.drained:
        try:
            drained = traffic.drain(cluster, node).state
        except Refused as refusal:
            return Halt(f"{node} cannot be drained: {refusal}")
        assert drained is not None
        changed = replace(drained, restart=replace(order, drained=node))
        return Give(Order((f"{node}: its clients are led away.",), state=changed))
    left = traffic.not_empty(cluster.proxies, node)
    if left:
        return Wait(f"{node}: {'; '.join(left)}")
    if report.server_pid is None:
        return Wait(f"{node}: its agent does not say which server it is")
    changed = replace(state, restart=replace(order, boot=report.boot, pid=report.server_pid))
    return Give(Order((f"{node}: its server restarts.",), state=changed))


def _ordered(cluster: Cluster, order: Restart, report: Report) -> Wait | Give | Halt:
    """The agent has been told to restart its server."""
    state, node = cluster.state, report.node
    if report.role in _GONE_WRONG:
        return Halt(f"{node} does not come back: {report.reason}")
    if report.server_pid == order.pid and report.server is Server.UP and report.steady:
        if report.boot != order.boot:  # another agent has adopted the same server: the order was for the former
            return Give(Order((), state=replace(state, restart=replace(order, boot=report.boot))))
        return Wait(f"{node}: its server is stopping")
    if report.server_pid != order.pid and report.steady and report.opened:
        drained = tuple(name for name in state.drained if name != order.drained)
        onward = replace(order, left=order.left[1:], boot="", pid=0, drained="")
        return Give(Order((f"{node}: Synced again.",), state=replace(state, drained=drained, restart=onward)))
    return Wait(f"{node}: {report.reason or 'its server is starting'}")


def _unwell(cluster: Cluster) -> str:
    """What stands against taking a node away now: all that hold data must be Synced and open."""
    reports = {report.node: report for report in cluster.reports}
    for node in sorted({*_members(cluster), *reports}):
        report = reports.get(node)
        if report is None:
            return f"{node} does not report: start its agent or, if it is gone for good, galerist forget {node}"
        if not (report.steady and report.opened):
            return f"{node} is {node_state(report)}: {report.reason}"
    return ""


def _hopeless(cluster: Cluster) -> bool:
    """Whether a person has to act first."""
    return any(report.role in _GONE_WRONG for report in cluster.reports)


def _passes(cluster: Cluster) -> bool:
    """Whether what stands against it ends by itself: a node that transfers or catches up."""
    passing = ("donor", "joined", "joining", "starting", "synced")
    known = {report.node for report in cluster.reports}
    return _members(cluster) <= known and all(node_state(report) in passing for report in cluster.reports)


def _members(cluster: Cluster) -> set[str]:
    """The nodes of the cluster, those that are away as well."""
    seen = cluster.state.view.members if cluster.state.view is not None else ()
    return {*seen, *(record.node for record in cluster.nodes if record.held)}


# -- command ---------------------------------------------------------------------------------


def restart_command(
    settings: Settings | None,
    dir: Path | None,
    nodes: tuple[str, ...],
    rolling: bool,
    stop: bool,
    timeout: float,
    patience: float,
) -> int:
    """``galerist restart``. 0 when all are restarted, 1 when it has halted or was refused, 2 for wrong use.

    ``timeout``: seconds for each step; ``patience``: seconds for a node that is silent or not well.
    """
    if stop and (nodes or rolling) or not (nodes or rolling or stop):
        print("galerist: say which: galerist restart NODE…, --rolling for all, or --abort", file=sys.stderr)
        return USAGE
    with opened(settings, dir) as (registry, cluster):
        unfinished = look(registry, cluster)[1].state.restart
        if stop:
            return give(registry, cluster, "restart --abort", abort)
        if unfinished is not None and rolling and not nodes:
            print(f"Going on with the restart by {unfinished.who} (left: {', '.join(unfinished.left) or 'none'}).")
        else:
            name = f"restart {' '.join(nodes) or '--rolling'}"
            token = secrets.token_hex(4)
            code = give(registry, cluster, name, lambda seen: begin(seen, nodes, person(), token))
            if code:
                return code
        return _roll(registry, cluster, timeout, patience)


def _roll(registry: Registry, cluster: str, timeout: float, patience: float) -> int:
    said, since = "", time.monotonic()
    well = since  # when all were last well
    while True:
        try:
            raw, seen = look(registry, cluster)
            step = following(seen)
            if isinstance(step, Give):
                assert step.order.state is not None
                event = step.order.says[0] if step.order.says else ""
                if carry_out(registry, Keys(cluster), raw, step.order, "restart", person(), quietly=True) and event:
                    print(event, flush=True)
                    since = well = time.monotonic()
                continue  # a swap that was lost is looked at anew
        except RegistryError as error:
            step = Wait(f"the registry does not answer: {error}")
        if isinstance(step, Done):
            return 0
        now = time.monotonic()
        if isinstance(step, Wait):
            well = well if step.unwell else now
            limit, waited = (patience, now - well) if step.unwell else (timeout, now - since)
            if waited > limit:
                step = Halt(f"after {limit:g} s still: {step.sentence}")
        if isinstance(step, Halt):
            print(
                f"galerist: the restart has halted: {step.sentence}. When that is mended: galerist restart --rolling; "
                "to end it: galerist restart --abort",
                file=sys.stderr,
            )
            return FAILED
        if step.sentence.partition(":")[0] != said:
            said = step.sentence.partition(":")[0]
            print(f"  {step.sentence}", flush=True)
        time.sleep(_LOOK)
