"""A node that a scale-down ends leaves the membership for good, as if a person had said ``galerist forget``.

It does so itself, last of all, and only on evidence: its server has stopped in order, and the others have recorded, and
report, that they go on without it. In all other cases it stays a member that is away, and a person may forget it.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from typing import Any

from bootstrap.orders import Order, Refused, forget
from galerist.endpoints import Access
from galerist.model import Malformed, NodeRecord, Report, Server, State, dump, load
from galerist.registry import events
from galerist.registry.contract import Registry, RegistryError, Swap
from galerist.registry.keys import Keys

log = logging.getLogger("galerist.bootstrap")

PATIENCE = 30.0
"""Seconds for which a leaving node waits until the others have recorded that they go on without it."""

PAUSE = 0.3
"""Seconds between two looks meanwhile."""

Json = Mapping[str, Any]

# -- pure ------------------------------------------------------------------------------------


def surplus(node: str, name: str, statefulset: Json) -> bool:
    """Whether the StatefulSet ``name``, as the API server tells it, has been scaled down past the pod ``node``.

    One that is scaled to nothing, or deleted, is a cluster that is stopped: nobody leaves it.
    """
    ordinal = node.removeprefix(f"{name}-")
    if ordinal == node or not ordinal.isdecimal() or "deletionTimestamp" in statefulset["metadata"]:
        return False
    replicas = int(statefulset["spec"].get("replicas", 1))
    first = int(statefulset["spec"].get("ordinals", {}).get("start", 0))
    return replicas > 0 and int(ordinal) >= first + replicas


def parting(state: State, reports: tuple[Report, ...], nodes: tuple[NodeRecord, ...], node: str, boot: str) -> Order:
    """The order that removes ``node``, whose agent of this ``boot`` has stopped its server. Raises Refused."""
    mine = next((one for one in reports if (one.node, one.boot) == (node, boot)), None)
    others = tuple(one for one in reports if one.node != node)
    view = state.view
    if mine is None or mine.server is not Server.DOWN or mine.position is None or mine.problem is not None:
        raise Refused("the registry does not hold that its server has stopped in order")
    if view is None or node in view.members:
        raise Refused("the others have not recorded that they go on without it")
    if state.claim is not None or state.paused:
        raise Refused("a bootstrap or a person has a say in the cluster's state now")
    if not any(one.steady and one.opened and one.view == view and one.node in view.members for one in others):
        raise Refused(f"none of {', '.join(view.members)} reports that it serves in the cluster without it")
    return forget(state, others, nodes, node)


# -- the rim ---------------------------------------------------------------------------------


def fetch(access: Access, name: str) -> Json:
    """A StatefulSet as the API server tells it. Raises RegistryError, LookupError when there is none."""
    from galerist.registry.k8sapi import Absent, Api

    api = Api(access)
    try:
        return api.repeat("GET", api.path("apis/apps/v1", "statefulsets", name))
    except Absent as error:
        raise LookupError(str(error)) from error
    finally:
        api.close()


def for_good(access: Access, name: str, registry: Registry, keys: Keys, node: str, boot: str) -> None:
    """Take the node out of the membership if the StatefulSet ``name`` wants it no more. Else the log says why not."""
    try:
        if not surplus(node, name, fetch(access, name)):
            return
    except (RegistryError, LookupError, TypeError, ValueError) as error:
        log.warning(
            "Whether the StatefulSet %s wants %s back is not known, so it stays a member: %s", name, node, error
        )
        return
    end = time.monotonic() + PATIENCE
    while True:
        try:
            _part(registry, keys, node, boot)
        except (Refused, RegistryError, Malformed) as error:
            if time.monotonic() > end:
                log.warning(
                    "%s is scaled away and stays a member, since %s; galerist forget %s ends that.", node, error, node
                )
                return
            time.sleep(PAUSE)
        else:
            log.info("%s has left the membership for good: the StatefulSet %s has been scaled down.", node, name)
            return


def _part(registry: Registry, keys: Keys, node: str, boot: str) -> None:
    """Raises Refused, RegistryError, Malformed."""
    raw = registry.get(keys.state)  # read first: a swap fails if anything has changed since
    reports = tuple(load(Report, text) for text in registry.list(keys.members).values())
    nodes = tuple(load(NodeRecord, text) for text in registry.list(keys.nodes).values())
    order = parting(load(State, raw) if raw is not None else State(), reports, nodes, node, boot)
    assert order.state is not None
    if registry.swap(keys.state, raw, dump(order.state)) is not Swap.WON:
        raise Refused("the state of the cluster changed meanwhile")
    for gone in order.delete:
        registry.delete(keys.nodes + gone)
    try:
        events.write(registry, keys, node, "leave", order.says[0])
    except RegistryError as error:
        log.warning("An event could not be written to the history: %s", error)
