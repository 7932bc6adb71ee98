"""What an agent can do next, and the words that go with it."""

from __future__ import annotations

from dataclasses import dataclass

from galerist.model import Claim, Identity, NodeRecord, State


@dataclass(frozen=True, slots=True)
class Wait:
    """Do nothing now."""


@dataclass(frozen=True, slots=True)
class Refuse:
    """Do nothing, and go on doing nothing until a person has acted."""


@dataclass(frozen=True, slots=True)
class Recover:
    """Ask the storage engine for the position (``--wsrep-recover``)."""


@dataclass(frozen=True, slots=True)
class Ack:
    """Acknowledge a claim: this node does not run, and knows of the claim."""

    nonce: str


@dataclass(frozen=True, slots=True)
class Change:
    """Swap the state. ``flush``: what was committed so far must be on disk first."""

    state: State
    flush: bool = False


@dataclass(frozen=True, slots=True)
class Bootstrap:
    """Start the Primary Component, closed."""

    claim: Claim
    cluster_name: str


@dataclass(frozen=True, slots=True)
class Promote:
    """Form the Primary Component with the closed server that runs, under a name of its own.

    ``peers`` are tried once, since Galera wants an address; nobody there knows the name.
    """

    claim: Claim
    cluster_name: str
    peers: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Join:
    """Start and join, closed. ``full``: only a full state transfer makes this datadir good."""

    identity: Identity
    peers: tuple[str, ...]
    full: bool


@dataclass(frozen=True, slots=True)
class Confirm:
    """The attempt is recorded: it becomes a generation of the stamp."""

    identity: Identity


@dataclass(frozen=True, slots=True)
class Cleanse:
    """The node is Synced: taint and void attempt are over."""


@dataclass(frozen=True, slots=True)
class Vouch:
    """Record that what this node's former disk held lives on in the Primary Component."""

    record: NodeRecord


@dataclass(frozen=True, slots=True)
class SetAside:
    """Move the datadir out of the way and begin with an empty one, as a person has ordered."""


@dataclass(frozen=True, slots=True)
class Open:
    """Let clients in."""


@dataclass(frozen=True, slots=True)
class Close:
    """Keep clients out of a running server."""


@dataclass(frozen=True, slots=True)
class Desync:
    """Take the server out of flow control (``wsrep_desync``), or let it back in."""

    on: bool


@dataclass(frozen=True, slots=True)
class Stop:
    """End the server that this agent looks after."""


@dataclass(frozen=True, slots=True)
class Serve:
    """All is well; watch."""


Action = (
    Wait
    | Refuse
    | Recover
    | Ack
    | Change
    | Bootstrap
    | Promote
    | Join
    | Confirm
    | Cleanse
    | Vouch
    | SetAside
    | Open
    | Close
    | Desync
    | Stop
    | Serve
)


@dataclass(frozen=True, slots=True)
class Decision:
    """What to do, why (one sentence), on what evidence, and what ends it if it is a wait."""

    action: Action
    sentence: str
    evidence: tuple[str, ...] = ()
    remedy: str | None = None
    role: str = "waiting"
