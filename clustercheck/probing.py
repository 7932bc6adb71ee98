"""When a late commit probe is this node's own fault. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class PeerSays:
    """What the clustercheck of another member answered. ``began_ago``: seconds since the beginning
    of its last write that went through, None if there was none or it does not probe."""

    node: str
    usable: bool
    began_ago: float | None


def explain(pending: float, flow_control: bool, ddl_runs: bool | None, queued: bool, peers: Sequence[PeerSays]) -> str:
    """What explains that a write has not gone through for ``pending`` seconds; empty when only this node can be why.

    ``ddl_runs``: a statement in total order isolation runs here, None: that cannot be said. ``queued``: it or flow control
    ended a moment ago, and what has queued up behind is applied first. The node is blamed only when another member is usable and its own write began, and went through,
    while ours waited. Two nodes can never blame themselves on account of one another: each would
    need a write of the other that began later than its own and went through.
    """
    if flow_control:
        return "flow control pauses the cluster"
    if ddl_runs is None:
        return "whether DDL is running cannot be asked"
    if ddl_runs:
        return "DDL is running"
    if not peers:
        return "no other member is known"
    if not any(peer.usable for peer in peers):
        return "no other member is usable"
    if not any(peer.usable and peer.began_ago is not None and peer.began_ago < pending for peer in peers):
        return "no write of another member went through meanwhile"
    return "DDL or flow control ended a moment ago" if queued else ""


def still_blamed(peers: Sequence[PeerSays]) -> bool:
    """Once blamed, a node stays so until its write goes through, or until nobody else can serve. (Its
    own stuck applier soon brings flow control over everybody, which must not bring it back.)"""
    return any(peer.usable for peer in peers)
