"""``galerist restart``: servers one after the other, the writer last, each only while all others are well.

Where it has come to stands in the registry (:class:`galerist.model.Restart`), so whoever calls it again goes
on with it. :func:`following` is pure and level-triggered: from what is known to the one next thing to do.
"""

from __future__ import annotations

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

PATIENCE = 600.0
"""Seconds for one thing to come about: a node to lose its clients, or to be Synced again."""

_LOOK = 0.2  # s
_GONE_WRONG = ("refused", "quarantined", "superseded", "failed")


# -- pure ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Wait:
    """Look again later."""

    sentence: str


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


def begin(cluster: Cluster, nodes: tuple[str, ...], who: str) -> Order:
    """A new restart of ``nodes``, of all for (). The writer comes last. Raises Refused."""
    state = cluster.state
    if state.restart is not None:
        left = ", ".join(state.restart.left) or "none"
        raise Refused(
            f"a restart by {state.restart.who} is unfinished (left: {left}); galerist restart --rolling goes on with it, "
            "galerist restart --abort ends it"
        )
    known = {report.node for report in cluster.reports}
    strangers = [node for node in nodes if node not in known]
    if strangers:
        raise Refused(f"{strangers[0]} does not report (known: {', '.join(sorted(known)) or 'none'})")
    first = writer(cluster)
    chosen = sorted(set(nodes) or known, key=lambda node: (node == first, node))
    bad = _unwell(cluster, "")
    if bad:
        raise Refused(bad)
    order = Restart(tuple(chosen), who)
    says = f"{', '.join(chosen)} restart one after the other; clients are led away from each before."
    return Order((says,), state=replace(state, restart=order))


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
        return Halt(f"the agent of {node} does not report")
    if order.pid:
        return _ordered(cluster, order, report)
    bad = _unwell(cluster, "")
    if bad:
        return Wait(bad) if _passes(cluster) else Halt(bad)
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
    if report.server_pid == order.pid and report.server is Server.UP and report.synced:
        if report.boot != order.boot:  # another agent has adopted the same server: the order was for the former
            return Give(Order((), state=replace(state, restart=replace(order, boot=report.boot))))
        return Wait(f"{node}: its server is stopping")
    if report.server_pid != order.pid and report.synced and report.opened:
        drained = tuple(name for name in state.drained if name != order.drained)
        onward = replace(order, left=order.left[1:], boot="", pid=0, drained="")
        return Give(Order((f"{node}: Synced again.",), state=replace(state, drained=drained, restart=onward)))
    return Wait(f"{node}: {report.reason or 'its server is starting'}")


def _unwell(cluster: Cluster, besides: str) -> str:
    """What stands against taking a node away now: all members must be Synced and open."""
    reports = {report.node: report for report in cluster.reports}
    members = cluster.state.view.members if cluster.state.view is not None else ()
    for node in sorted({*members, *reports}):
        report = reports.get(node)
        if node == besides:
            continue
        if report is None:
            return f"{node} does not report"
        if not (report.synced and report.opened):
            return f"{node} is {node_state(report)}: {report.reason}"
    return ""


def _passes(cluster: Cluster) -> bool:
    """Whether what stands against it ends by itself: a node that transfers or catches up."""
    passing = ("donor", "joined", "joining", "starting", "synced")
    reports = {report.node: report for report in cluster.reports}
    members = cluster.state.view.members if cluster.state.view is not None else ()
    return set(members) <= set(reports) and all(node_state(report) in passing for report in reports.values())


# -- command ---------------------------------------------------------------------------------


def restart_command(
    settings: Settings | None, dir: Path | None, nodes: tuple[str, ...], rolling: bool, stop: bool, timeout: float
) -> int:
    """``galerist restart``. 0 when all are restarted, 1 when it has halted or was refused, 2 for wrong use."""
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
            code = give(registry, cluster, name, lambda seen: begin(seen, nodes, person()))
            if code:
                return code
        return _roll(registry, cluster, timeout)


def _roll(registry: Registry, cluster: str, timeout: float) -> int:
    said, since = "", time.monotonic()
    while True:
        try:
            raw, seen = look(registry, cluster)
            step = following(seen)
            if isinstance(step, Give):
                assert step.order.state is not None
                event = step.order.says[0] if step.order.says else ""
                if carry_out(registry, Keys(cluster), raw, step.order, "restart", person(), quietly=True) and event:
                    print(event, flush=True)
                    since = time.monotonic()
                continue  # a swap that was lost is looked at anew
        except RegistryError as error:
            step = Wait(f"the registry does not answer: {error}")
        if isinstance(step, Done):
            return 0
        if isinstance(step, Wait) and time.monotonic() - since > timeout:
            step = Halt(f"after {timeout:g} s still: {step.sentence}")
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
