"""Commands by which a person leads clients from one node to another: switchover, drain, undrain.

They change the one recorded state; the proxies' watchers do the rest and say in their
reports how far they are, so a command ends when every proxy has confirmed.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from bootstrap.orders import Order, Refused
from galerist.cli.orders import FAILED, give_order
from galerist.cli.show import Cluster, node_state, opened, read, writer
from galerist.model import CAUGHT_UP, ProxyReport, Report, State
from galerist.registry.contract import Registry
from galerist.settings import Settings

CATCH_UP = 10.0
"""Seconds for which a switchover waits for a node that has write-sets to apply still."""

_LOOK = 0.1  # s


FEW = 10
"""Write-sets in the receive queue of a node that keeps up with ease. On a busy cluster flow control lets it grow to
some thirty (gcs.fc_limit) and holds it there: that is no reason to refuse anything."""


class Behind(Refused):
    """Not now: the node that would become the writer has not applied what the others have committed."""


# -- pure ------------------------------------------------------------------------------------


def usable(cluster: Cluster) -> tuple[str, ...]:
    """Nodes that may take clients, in the order of writers."""
    able = {report.node for report in cluster.reports if report.synced and report.opened} - set(cluster.state.drained)
    ranked = [name for name in cluster.state.writer if name in able]
    return (*ranked, *sorted(able - set(ranked)))


def switchover(cluster: Cluster, to: str | None) -> Order:
    """Another node becomes the writer: ``to``, else the next in the order that can and has caught up.

    Raises Refused, and Behind where waiting may help.
    """
    _established(cluster.state)
    able = usable(cluster)
    first = writer(cluster)
    queue = {report.node: report.queue for report in cluster.reports}
    if to is None:
        others = [name for name in able if name != first]
        # All members receive the same write-sets: who has none to apply has what the others have committed.
        to = next((name for name in others if queue[name] <= FEW), min(others, key=queue.__getitem__, default=None))
        if to is None:
            raise Refused(f"there is no other node that is Synced and open; the writer is {first or 'nobody'}")
    if to == first:
        raise Refused(f"{to} is the writer already")
    if to not in able:
        raise Refused(f"{to} cannot be the writer: {_why_not(cluster, to)} (could be: {', '.join(able) or 'nobody'})")
    if queue[to] > CAUGHT_UP:
        raise Behind(
            f"{to} has {queue[to]} write-sets to apply still, and clients would not find there what they wrote; "
            "try again when it has caught up (galerist explain), or choose another with --to"
        )
    says = f"{to} becomes the writer in place of {first or 'nobody'}."
    return Order((says,), state=replace(cluster.state, writer=_first(cluster.state.writer, to)))


def drain(cluster: Cluster, node: str) -> Order:
    """The node gets no clients any more, and loses those it has."""
    state = cluster.state
    _established(state)
    if node in state.drained:
        raise Refused(f"{node} is drained already; galerist undrain {node} ends that")
    _known(cluster, node)
    left = tuple(name for name in usable(cluster) if name != node)
    members = state.view.members if state.view is not None else ()
    needed = len(members) // 2 + 1 if len(members) > 2 else 1
    if len(left) < needed:
        already = f"; drained already: {', '.join(state.drained)}" if state.drained else ""
        raise Refused(
            f"it would leave {len(left)} of {len(members)} nodes to the clients ({', '.join(left) or 'none'}), and "
            f"{needed} {'is' if needed == 1 else 'are'} needed{already}"
        )
    says = [f"{node} gets no new clients; its sessions end when they are quiet or their time is over."]
    if writer(cluster) == node:
        says.append(f"{left[0]} becomes the writer first.")
    order = (*(name for name in state.writer if name != node), node)
    return Order(tuple(says), state=replace(state, writer=order, drained=tuple(sorted({*state.drained, node}))))


def undrain(cluster: Cluster, node: str) -> Order:
    """The node gets clients again, as soon as its health check lets it."""
    state = cluster.state
    if node not in state.drained:
        raise Refused(f"{node} is not drained (drained: {', '.join(state.drained) or 'none'})")
    left = tuple(name for name in state.drained if name != node)
    return Order((f"{node} gets clients again.",), state=replace(state, drained=left))


def not_led(proxies: tuple[ProxyReport, ...], to: str) -> tuple[str, ...]:
    """What still stands against "all sessions of all write ports go to this node"."""
    return tuple(
        f"{proxy.proxy} still writes to {', '.join(proxy.writing) or 'nobody'}"
        for proxy in proxies
        if proxy.writing != (to,)
    )


def not_empty(proxies: tuple[ProxyReport, ...], node: str) -> tuple[str, ...]:
    """What still stands against "no proxy has a session on this node, nor will have"."""
    return tuple(
        f"{proxy.proxy} still {'has sessions on' if node in proxy.drained else 'leads to'} {node}"
        for proxy in proxies
        if proxy.leads_to(node)
    )


def not_drained(cluster: Cluster, node: str) -> tuple[str, ...]:
    """What still stands against "drained": clients first, then the server's flow control."""
    report = next((report for report in cluster.reports if report.node == node), None)
    if node not in cluster.state.drained:
        return (f"the drain of {node} was ended meanwhile",)
    if left := not_empty(cluster.proxies, node):
        return left
    if report is None:
        return (f"the agent of {node} does not report, so nobody can take its server out of flow control",)
    if not report.primary or report.desync:
        return ()  # a server that is in no Primary Component holds nobody up
    return (f"{node} is in flow control still: {report.reason}",)


def _first(order: tuple[str, ...], node: str) -> tuple[str, ...]:
    return (node, *(name for name in order if name != node))


def _established(state: State) -> None:
    if state.identity is None:
        raise Refused("the cluster has not started yet")


def _known(cluster: Cluster, node: str) -> None:
    known = {report.node for report in cluster.reports} | {record.node for record in cluster.nodes}
    if node not in known:
        raise Refused(f"no node {node} is known here (known: {', '.join(sorted(known)) or 'none'})")


def _why_not(cluster: Cluster, node: str) -> str:
    _known(cluster, node)
    report: Report | None = next((report for report in cluster.reports if report.node == node), None)
    if report is None:
        return "its agent does not report"
    if node in cluster.state.drained:
        return f"it is drained; galerist undrain {node} ends that"
    return f"it is {node_state(report)}" + ("" if report.opened else " and lets no clients in")


# -- commands --------------------------------------------------------------------------------


def switchover_command(settings: Settings | None, dir: Path | None, to: str | None, timeout: float) -> int:
    """``galerist switchover [--to NODE]``. 0 when every proxy has confirmed, else 1."""
    chosen: list[str] = []

    def make(cluster: Cluster) -> Order:
        order = switchover(cluster, to)
        assert order.state is not None
        chosen[:] = order.state.writer[:1]
        return order

    def led(cluster: Cluster) -> tuple[str, ...]:
        if cluster.state.writer[:1] != tuple(chosen):
            return (f"the order of writers has changed again: {', '.join(cluster.state.writer)}",)
        return not_led(cluster.proxies, chosen[0])

    name = "switchover" + (f" --to {to}" if to else "")
    _await_candidate(settings, dir, to)
    return give_order(settings, dir, name, "", make, _confirmation(led, timeout, "Done."))


def _await_candidate(settings: Settings | None, dir: Path | None, to: str | None) -> None:
    """Wait while the node that would be the writer is behind, at most CATCH_UP seconds."""
    deadline = time.monotonic() + CATCH_UP
    said = False
    with opened(settings, dir) as (registry, name):
        while time.monotonic() < deadline:
            try:
                switchover(read(registry, name), to)
            except Behind as reason:
                if not said:
                    print(f"Waiting at most {CATCH_UP:g} s: {reason.args[0].partition(', and')[0]}.", flush=True)
                said = True
            except Refused:
                return
            else:
                return
            time.sleep(_LOOK)


def drain_command(settings: Settings | None, dir: Path | None, node: str, timeout: float) -> int:
    """``galerist drain NODE``. 0 when no proxy has a session on it any more and it is out of flow control, else 1."""
    done = f"Done: {node} has no clients, and nobody waits for it (wsrep_desync)."
    confirm = _confirmation(lambda cluster: not_drained(cluster, node), timeout, done)
    return give_order(settings, dir, f"drain {node}", "", lambda cluster: drain(cluster, node), confirm)


def undrain_command(settings: Settings | None, dir: Path | None, node: str, timeout: float) -> int:
    """``galerist undrain NODE``."""
    return give_order(settings, dir, f"undrain {node}", "", lambda cluster: undrain(cluster, node))


def _confirmation(
    pending: Callable[[Cluster], tuple[str, ...]], timeout: float, done: str
) -> Callable[[Registry, str], int]:
    """Wait, at most ``timeout`` seconds, until nothing is pending any more, and say ``done``."""

    def confirm(registry: Registry, name: str) -> int:
        began = time.monotonic()
        while True:
            cluster = read(registry, name)
            left = pending(cluster)
            took = time.monotonic() - began
            if not left:
                print(done)
                if cluster.proxies:
                    print(f"Confirmed by {', '.join(proxy.proxy for proxy in cluster.proxies)} after {took:.1f} s.")
                else:
                    print("No proxy reports, so none can confirm.")
                return 0
            if took > timeout:
                print(f"galerist: not confirmed after {timeout:g} s: {'; '.join(left)}", file=sys.stderr)
                return FAILED
            time.sleep(_LOOK)

    return confirm
