"""May this node be given clients? A pure, total function of what is known about it.

Three answers, in HAProxy's words (``http-check disable-on-404``):

* 200: send it clients;
* 404: send it no new ones, the sessions it has may live (drain);
* 503: it is of no use, its sessions are cut.

What is not known counts as bad: a state galerist has never heard of is 503. Where a drain
would take the last usable node (as far as its agent knows), it stays, unless a person drained it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field

OK, DRAIN, DOWN = 200, 404, 503

# wsrep_local_state; Galera calls 2 "Donor/Desynced" for a donor and for wsrep_desync=ON alike.
DONOR, JOINED, SYNCED = 2, 3, 4
_STATES = {0: "initialized", 1: "joining", 2: "donor/desynced", 3: "joined", 4: "synced"}

TRANSFERRING = ("donor", "desynced", "joined")
"""Causes of a drain that a state transfer has, or that end like one: what the classic scripts call a donor."""


@dataclass(frozen=True, slots=True)
class Facts:
    """What the server said of itself in one poll. The defaults are what to assume when it
    left something out: the worst, wherever the verdict depends on it."""

    cluster_status: str = "unknown"  # wsrep_cluster_status
    connected: bool = False  # wsrep_connected
    ready: bool = False  # wsrep_ready
    replicates: bool = False  # wsrep_on
    local_state: int | None = None  # wsrep_local_state
    reject_queries: str = "unknown"  # wsrep_reject_queries
    donor_rejects_queries: bool = True  # wsrep_sst_donor_rejects_queries
    sst_method: str = "unknown"  # wsrep_sst_method
    desync: bool = True  # wsrep_desync
    read_only: bool = True  # read_only
    members: tuple[str, ...] = ()  # wsrep_incoming_addresses: the listeners of the members of this component
    cluster_size: int | None = None  # wsrep_cluster_size
    cluster_uuid: str = ""  # wsrep_cluster_state_uuid; shown only
    recv_queue: int | None = None  # wsrep_local_recv_queue: write-sets received and not applied yet
    flow_control: float | None = None  # share of the last seconds for which flow control paused, 0 to 1


@dataclass(frozen=True, slots=True)
class Peer:
    """Another member, as the agent last heard of it. ``usable``: synced, and opened to clients.
    ``incoming`` is how its server names its listener to the group, empty where that is not known."""

    node: str
    host: str
    port: int
    check_port: int
    usable: bool
    incoming: str = ""


@dataclass(frozen=True, slots=True)
class Agent:
    """What the agent of this node wrote for its clustercheck. ``problem`` says why its file
    could not be understood. ``peers`` is None where the agent has not heard of any registry;
    ``heard_ago`` (seconds, None: not known) is how long ago it last heard of them."""

    opened: bool = False
    paused: bool = False  # the agent decides nothing for now; the node serves on
    drained: bool = False
    reason: str = ""
    problem: str = ""
    node: str = ""
    host: str = ""
    port: int = 0
    writer: tuple[str, ...] = ()  # the order of nodes for the write port; nodes not in it come last, by name
    peers: tuple[Peer, ...] | None = None
    heard_ago: float | None = None


@dataclass(frozen=True, slots=True)
class Probe:
    """How the commit probe fares.

    ``state``: ``off`` (``note`` says why), ``resting`` (the node is in no state to be probed),
    ``ok``, ``explained`` (late, and ``note`` says what explains it), ``late``. Times are seconds:
    ``pending`` is for how long the present write has waited, ``took`` how long the last one
    that went through took, and ``began_ago`` how long ago that one began.
    """

    state: str = "off"
    note: str = ""
    pending: float | None = None
    took: float | None = None
    began_ago: float | None = None


@dataclass(frozen=True, slots=True)
class Status:
    """All that the verdict rests on.

    ``age`` is the age of ``facts`` in seconds. ``trouble`` says why the server can certainly
    not be asked now (no socket, refused); a server that merely does not answer has no
    trouble, its facts grow old. ``disabled`` is the reason why it is disabled by hand, or
    empty. ``agent`` is None where no agent has written anything: then the server's own
    facts decide. ``figures`` are the server's wsrep status variables that are numbers.
    """

    facts: Facts | None = None
    age: float = math.inf
    trouble: str = ""
    disabled: str = ""
    agent: Agent | None = None
    probe: Probe = Probe()
    figures: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Policy:
    """What the settings say. ``stale``: facts older than this many seconds are worth nothing.
    ``max_queue`` (write-sets) and ``max_flow_control`` (share of time) drain a node that is beyond them."""

    stale: float = 0.9
    available_when_donor: bool = False
    available_when_read_only: bool = False
    max_queue: int | None = None
    max_flow_control: float | None = None
    donor_code: int = DRAIN  # what the classic scripts answer instead of 404 and 503
    down_code: int = DOWN
    hung: float = 60.0  # seconds after which a server that answers nothing is given up by /live


@dataclass(frozen=True, slots=True)
class Verdict:
    code: int  # 200, 404 or 503
    reason: str  # one line
    cause: str = ""  # one word


def verdict(status: Status, policy: Policy) -> Verdict:
    """Total: any ``status`` gives a verdict. 503 goes before 404, since a drain keeps sessions."""
    if found := _down(status, policy):
        return Verdict(DOWN, line(found[1]), found[0])
    kept = ""
    for cause, reason, ordered in _drains(status, policy):
        if ordered or others(status, policy) != ():
            return Verdict(DRAIN, line(reason), cause)
        kept = kept or f"{reason}; stays, since no other node is usable"
    if kept:
        return Verdict(OK, line(kept), "last")
    if _state(status) == SYNCED:
        return Verdict(OK, "synced", "synced")
    return Verdict(OK, "donor, open to clients by available_when_donor", "donor")


def answered(judged: Verdict, policy: Policy) -> int:
    """The status code to answer with: settings may want what the classic scripts say."""
    if judged.code == DOWN:
        return policy.down_code
    if judged.code == DRAIN and judged.cause in TRANSFERRING:
        return policy.donor_code
    return judged.code


def others(status: Status, policy: Policy) -> tuple[Peer, ...] | None:
    """The other members that can serve; None where nobody has said who the others are.

    What the registry said last may be old. The server itself knows who is in its component.
    """
    agent, facts = status.agent, status.facts
    if agent is None or agent.peers is None:
        return None
    usable = tuple(peer for peer in agent.peers if peer.usable)
    if facts is None or facts.cluster_status != "Primary" or not 0 <= status.age <= policy.stale:
        return usable
    if facts.cluster_size == 1:
        return ()
    return tuple(peer for peer in usable if not (facts.members and peer.incoming) or peer.incoming in facts.members)


def _down(status: Status, policy: Policy) -> tuple[str, str] | None:
    facts, agent = status.facts, status.agent
    if status.trouble:
        return "unreachable", f"mariadbd cannot be asked: {status.trouble}"
    if facts is None or math.isinf(status.age):
        return "unasked", "mariadbd has not answered yet"
    if not 0 <= status.age <= policy.stale:  # also when the age is no number
        return "stale", f"mariadbd does not answer: facts are {status.age:.1f} s old, at most {policy.stale:g} s count"
    if facts.cluster_status != "Primary":
        return "non-primary", f"cluster status is {facts.cluster_status}, not Primary"
    if not facts.connected:
        return "disconnected", "wsrep_connected is OFF"
    if not facts.ready:
        return "not-ready", "wsrep_ready is OFF"
    if not facts.replicates:
        return "alone", "wsrep_on is OFF: what is written here reaches no other node"
    if agent is not None and agent.problem:
        return "agent", f"the agent's file cannot be understood: {agent.problem}"
    if agent is not None and not agent.opened:
        return "closed", f"not opened by its agent yet{_because(agent.reason)}"
    if facts.reject_queries != "NONE":
        return "rejects", f"wsrep_reject_queries is {facts.reject_queries}"
    if facts.local_state not in (DONOR, JOINED, SYNCED):
        return "state", f"state is {_name(facts.local_state)}"
    if facts.local_state == DONOR and facts.donor_rejects_queries and not facts.desync:
        return "donor", "donor, and wsrep_sst_donor_rejects_queries is ON"
    return None


def _drains(status: Status, policy: Policy) -> Iterator[tuple[str, str, bool]]:
    """Cause, reason, and whether it holds for the last usable node too."""
    facts, agent = status.facts, status.agent
    if status.disabled:
        yield "disabled", f"disabled by hand: {status.disabled}", True
    if agent is not None and agent.drained:
        yield "drained", f"drained{_because(agent.reason)}", True
    if facts is None:
        return
    if facts.read_only and not policy.available_when_read_only:
        # A person or a tool ordered it, and a write port that refuses writes helps nobody.
        yield "read-only", "read_only is ON", True
    if facts.desync:
        yield "desynced", "wsrep_desync is ON", False
    elif facts.local_state == JOINED:
        # On its way from donor back to synced: clients that outlived the donation need not go now.
        yield "joined", "joined, and still catching up", False
    elif facts.local_state == DONOR:
        if not policy.available_when_donor:
            yield "donor", "donor of a state transfer, or stopped by a backup or a lock of all tables", False
        elif facts.sst_method != "mariabackup":
            yield "donor", f"donor of a state transfer by {facts.sst_method}, which blocks it", False
    if policy.max_queue is not None and facts.recv_queue is not None and facts.recv_queue > policy.max_queue:
        yield "queue", f"{facts.recv_queue} write-sets wait to be applied, at most {policy.max_queue} may", False
    if policy.max_flow_control is not None and (facts.flow_control or 0.0) > policy.max_flow_control:
        share, most = facts.flow_control or 0.0, policy.max_flow_control
        yield "flow-control", f"flow control paused it for {share:.0%} of the time, at most {most:.0%} may be", False
    # Only where somebody is known to be better off: silence about the others proves nothing.
    if status.probe.state == "late" and others(status, policy):
        yield "probe", f"commits hang: {status.probe.note}", False


def _state(status: Status) -> int | None:
    return None if status.facts is None else status.facts.local_state


def _name(state: int | None) -> str:
    return "unknown" if state is None else f"{_STATES.get(state, 'unknown')} ({state})"


def _because(reason: str) -> str:
    return f": {reason}" if reason else ""


def line(reason: str) -> str:
    """One line of printable ASCII: it goes into an HTTP body and into HAProxy's log."""
    text = " ".join(reason.split())[:300]
    return "".join(char if char.isascii() and char.isprintable() else "?" for char in text)
