"""May this node be given clients? A pure, total function of what is known about it.

Three answers, in HAProxy's words (``http-check disable-on-404``):

* 200: send it clients;
* 404: send it no new ones, the sessions it has may live (drain);
* 503: it is of no use, its sessions are cut.

What is not known counts as bad: a state galerist has never heard of is 503.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

OK, DRAIN, DOWN = 200, 404, 503

# wsrep_local_state; Galera calls 2 "Donor/Desynced" for a donor and for wsrep_desync=ON alike.
_DONOR, _JOINED, _SYNCED = 2, 3, 4
_STATES = {0: "initialized", 1: "joining", 2: "donor/desynced", 3: "joined", 4: "synced"}


@dataclass(frozen=True, slots=True)
class Facts:
    """What the server said of itself in one poll. The defaults are what to assume when it
    left something out: the worst, wherever the verdict depends on it."""

    cluster_status: str = "unknown"  # wsrep_cluster_status
    connected: bool = False  # wsrep_connected
    ready: bool = False  # wsrep_ready
    local_state: int | None = None  # wsrep_local_state
    reject_queries: str = "unknown"  # wsrep_reject_queries
    donor_rejects_queries: bool = True  # wsrep_sst_donor_rejects_queries
    sst_method: str = "unknown"  # wsrep_sst_method
    desync: bool = False  # wsrep_desync
    read_only: bool = False  # read_only; shown only, its meaning depends on the port
    cluster_size: int | None = None  # wsrep_cluster_size; shown only
    cluster_uuid: str = ""  # wsrep_cluster_state_uuid; shown only


@dataclass(frozen=True, slots=True)
class Agent:
    """What the agent of this node wrote for its clustercheck. ``problem`` says why its file
    could not be understood."""

    opened: bool = False
    paused: bool = False  # the agent decides nothing for now; the node serves on
    drained: bool = False
    reason: str = ""
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Status:
    """All that the verdict rests on.

    ``age`` is the age of ``facts`` in seconds. ``trouble`` says why the server can certainly
    not be asked now (no socket, refused); a server that merely does not answer has no
    trouble, its facts grow old. ``disabled`` is the reason why it is disabled by hand, or
    empty. ``agent`` is None where no agent has written anything: then the server's own
    facts decide.
    """

    facts: Facts | None = None
    age: float = math.inf
    trouble: str = ""
    disabled: str = ""
    agent: Agent | None = None


@dataclass(frozen=True, slots=True)
class Policy:
    """``stale``: facts older than this many seconds are worth nothing."""

    stale: float = 5.0
    available_when_donor: bool = False


@dataclass(frozen=True, slots=True)
class Verdict:
    code: int
    reason: str  # one line


def verdict(status: Status, policy: Policy) -> Verdict:
    """Total: any ``status`` gives a verdict. 503 goes before 404, since a drain keeps sessions."""
    if reason := _down(status, policy):
        return Verdict(DOWN, _line(reason))
    if reason := _drain(status, policy):
        return Verdict(DRAIN, _line(reason))
    return Verdict(OK, "synced" if _state(status) == _SYNCED else "donor, open to clients by available_when_donor")


def _down(status: Status, policy: Policy) -> str:
    facts, agent = status.facts, status.agent
    if status.trouble:
        return f"mariadbd cannot be asked: {status.trouble}"
    if facts is None or math.isinf(status.age):
        return "mariadbd has not answered yet"
    if not 0 <= status.age <= policy.stale:  # also when the age is no number
        return f"mariadbd does not answer: facts are {status.age:.1f} s old, at most {policy.stale:g} s count"
    if facts.cluster_status != "Primary":
        return f"cluster status is {facts.cluster_status}, not Primary"
    if not facts.connected:
        return "wsrep_connected is OFF"
    if not facts.ready:
        return "wsrep_ready is OFF"
    if agent is not None and agent.problem:
        return f"the agent's file cannot be understood: {agent.problem}"
    if agent is not None and not agent.opened:
        return f"not opened by its agent yet{_because(agent.reason)}"
    if facts.reject_queries != "NONE":
        return f"wsrep_reject_queries is {facts.reject_queries}"
    if facts.local_state not in (_DONOR, _JOINED, _SYNCED):
        return f"state is {_name(facts.local_state)}"
    if facts.local_state == _DONOR and facts.donor_rejects_queries and not facts.desync:
        return "donor, and wsrep_sst_donor_rejects_queries is ON"
    return ""


def _drain(status: Status, policy: Policy) -> str:
    facts, agent = status.facts, status.agent
    if status.disabled:
        return f"disabled by hand: {status.disabled}"
    if agent is not None and agent.drained:
        return f"drained{_because(agent.reason)}"
    if facts is not None and facts.desync:
        return "wsrep_desync is ON"
    if _state(status) == _JOINED:
        # On its way from donor back to synced: clients that outlived the donation need not go now.
        return "joined, and still catching up"
    if facts is not None and facts.local_state == _DONOR:
        if not policy.available_when_donor:
            return "donor of a state transfer"
        if facts.sst_method != "mariabackup":
            return f"donor of a state transfer by {facts.sst_method}, which blocks it"
    return ""


def _state(status: Status) -> int | None:
    return None if status.facts is None else status.facts.local_state


def _name(state: int | None) -> str:
    return "unknown" if state is None else f"{_STATES.get(state, 'unknown')} ({state})"


def _because(reason: str) -> str:
    return f": {reason}" if reason else ""


def _line(reason: str) -> str:
    """One line of printable ASCII: it goes into an HTTP body and into HAProxy's log."""
    text = " ".join(reason.split())[:300]
    return "".join(char if char.isascii() and char.isprintable() else "?" for char in text)
