"""What each page of the health endpoint answers. Pure, like the verdict that all of them rest on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from clustercheck.verdict import (
    DONOR,
    DOWN,
    DRAIN,
    OK,
    TRANSFERRING,
    Agent,
    Peer,
    Policy,
    Status,
    Verdict,
    others,
    verdict,
)

NEWS = 15.0
"""Seconds for which what the agent heard of the other members needs no date."""

Page = Callable[[Status, Policy], Verdict]


def write(status: Status, policy: Policy) -> Verdict:
    """200 on the node that the write port leads to: the first usable one in the agents' order."""
    judged = verdict(status, replace(policy, available_when_read_only=False))
    if judged.code != OK:
        return judged
    agent = status.agent
    if agent is None or not agent.node or agent.peers is None:
        return Verdict(DRAIN, "no agent has said yet which node is the writer", "writer-unknown")
    first = _writer(agent, [agent.node, *(peer.node for peer in others(status, policy) or ())])
    if first == agent.node:
        return Verdict(OK, f"the writer{_as_heard(agent)}", "writer")
    return Verdict(DRAIN, f"the writer is {first}{_as_heard(agent)}", "not-writer")


def read(status: Status, policy: Policy, max_lag: int | None = None) -> Verdict:
    """200 where reads may go: read_only does not matter. With ``max_lag`` (write-sets that wait to
    be applied) a donor or a desynced node may be read from as long as it keeps up."""
    judged = verdict(status, replace(policy, available_when_read_only=True))
    if max_lag is None or (judged.code != OK and (judged.code == DOWN or judged.cause not in TRANSFERRING)):
        return judged
    queue = status.facts.recv_queue if status.facts is not None else None
    if queue is None or queue > max_lag:
        behind = "an unknown number of" if queue is None else str(queue)
        return Verdict(DRAIN, f"{behind} write-sets wait to be applied, at most {max_lag} may", "lag")
    return Verdict(OK, f"{queue} write-sets wait to be applied", "keeps-up")


def donor(status: Status, policy: Policy) -> Verdict:
    """200 while the node is a donor or desynced and answers SQL: where backups and reports may go."""
    judged = verdict(status, policy)
    facts = status.facts
    if judged.code == DOWN or facts is None:
        return judged
    if facts.desync:
        return Verdict(OK, "desynced", "desynced")
    if facts.local_state == DONOR:
        return Verdict(OK, "donor", "donor")
    return Verdict(DRAIN, "neither donor nor desynced", "no-donor")


def live(status: Status, policy: Policy) -> Verdict:
    """503 only where a server that had answered has answered nothing for a long time.

    A server that is not there, starts, recovers or receives a state transfer is its agent's
    business: whoever kills it then begins all over.
    """
    if status.facts is not None and not status.trouble and not status.age <= policy.hung:
        return Verdict(DOWN, f"mariadbd hangs: no answer for {status.age:.0f} s", "hangs")
    return Verdict(OK, "alive", "alive")


def ready(status: Status, policy: Policy) -> Verdict:
    """The verdict, for Kubernetes; nobody is killed by it."""
    return verdict(status, policy)


PAGES: dict[str, Page] = {
    "/": verdict,
    "/write": write,
    "/read": read,
    "/donor": donor,
    "/live": live,
    "/ready": ready,
}
"""The pages whose answer is a verdict."""


def peers(status: Status, policy: Policy) -> tuple[Verdict, list[dict[str, object]]]:
    """The usable nodes, this one by its own verdict, the writer first, then by name."""
    agent = status.agent
    if agent is None or agent.peers is None or not agent.node:
        return Verdict(DOWN, "no agent has said yet who the members are", "peers-unknown"), []
    me = Peer(agent.node, agent.host, agent.port, 0, verdict(status, policy).code == OK)
    usable = [peer for peer in (me, *(others(status, policy) or ())) if peer.usable]
    usable.sort(key=lambda peer: _place(agent, peer.node))
    writer = _writer(agent, [peer.node for peer in usable])
    nodes: list[dict[str, object]] = [
        {"node": peer.node, "host": peer.host, "port": peer.port, "writer": peer.node == writer} for peer in usable
    ]
    if not nodes:
        return Verdict(DOWN, f"no node is usable{_as_heard(agent)}", "nobody"), []
    return Verdict(OK, f"{len(nodes)} usable{_as_heard(agent)}", "usable"), nodes


def _place(agent: Agent, node: str) -> tuple[int, str]:
    return (agent.writer.index(node) if node in agent.writer else len(agent.writer), node)


def _writer(agent: Agent, usable: Sequence[str]) -> str:
    """The first usable node in the order of the write port; empty when there is none."""
    return min(usable, key=lambda node: _place(agent, node), default="")


def _as_heard(agent: Agent) -> str:
    """What to add where the agent has not heard of the other members for a while."""
    ago = agent.heard_ago
    return "" if ago is None or ago < NEWS else f", as heard {ago:.0f} s ago"


CLASSIC = "Percona XtraDB Cluster Node is"


def classic(judged: Verdict) -> str:
    """The body that the classic clustercheck scripts answer with, for what searches for it."""
    if judged.code == OK:
        return f"{CLASSIC} synced."
    if judged.cause == "non-primary":
        return f"{CLASSIC} not PRIMARY."
    if judged.cause == "read-only":
        return f"{CLASSIC} read-only."
    if judged.cause == "disabled":
        return f"{CLASSIC} manually disabled."
    return f"{CLASSIC} not synced."
