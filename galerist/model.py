"""The values that galerist reasons about, and their JSON form in the registry.

All of them are immutable. The words are Galera's: a *state* is a cluster uuid
and a seqno (Galera documentation, "State Transfers"), a *view* is the member
list of a Primary Component. A *generation* is galerist's own word: one
formation of the Primary Component, from the moment a node bootstrapped it
until the last of its members stopped.
"""

from __future__ import annotations

import dataclasses
import enum
import json
import types
import typing
from dataclasses import dataclass

ZERO_UUID = "00000000-0000-0000-0000-000000000000"


class Data(enum.StrEnum):
    """What a datadir holds, as far as can be said without starting a server."""

    EMPTY = "empty"  # nothing, or only a datadir that galerist initialised and never opened
    PRESENT = "present"  # data with a Galera uuid
    STANDALONE = "standalone"  # data of a server that never was a Galera node
    TAINTED = "tainted"  # a state transfer has begun to overwrite it
    UNREADABLE = "unreadable"  # cannot be examined; never started, never overwritten


class Server(enum.StrEnum):
    """What the agent knows about its mariadbd.

    ``DOWN`` is said only while the agent holds the lock on the datadir and no
    process has it open. ``STARTING`` is said, and acknowledged by the
    registry, *before* a server is started, and until it answers SQL.
    """

    DOWN = "down"
    STARTING = "starting"
    UP = "up"


@dataclass(frozen=True, slots=True)
class Position:
    """A Galera state: cluster uuid and the seqno of the last committed write-set."""

    uuid: str
    seqno: int

    def __str__(self) -> str:
        return f"{self.uuid}:{self.seqno}"


@dataclass(frozen=True, slots=True)
class Generation:
    """One formation of the Primary Component.

    ``id`` is random (the nonce of the claim that formed it), ``begins`` the
    seqno at which it began, ``by`` the node that bootstrapped it, and
    ``cluster_name`` the ``wsrep_cluster_name`` its members run with.
    """

    id: str
    begins: int
    by: str
    cluster_name: str


@dataclass(frozen=True, slots=True)
class Identity:
    """Which cluster this is: its uuid and all its generations, oldest first."""

    uuid: str
    generations: tuple[Generation, ...]


@dataclass(frozen=True, slots=True)
class View:
    """The members of a Primary Component at one moment of one generation.

    ``seqno`` is the seqno of the configuration change that made the view, so
    views of one generation are ordered by it. ``members`` are node names,
    sorted; ``arbitrators`` (garbd) are counted for quorum but hold no data.
    """

    generation: str
    seqno: int
    members: tuple[str, ...]
    arbitrators: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Claim:
    """The right of one boot of one node to bootstrap, once, from one position.

    ``needs`` are the nodes whose acknowledgement the holder waits for. ``forced``: a person
    ordered it (``galerist recover``); then every node that reports must acknowledge.
    """

    node: str
    boot: str
    nonce: str
    position: Position | None
    needs: tuple[str, ...]
    forced: bool = False


@dataclass(frozen=True, slots=True)
class Restart:
    """A person's order to restart servers one after the other, and how far it has come.

    ``left`` are the nodes still to do, the first of them now. ``boot`` and ``pid`` are the server
    that its agent shall end: it is void for every other, so none is ended twice. ``drained`` is
    the node that was drained for it, and gets its clients back afterwards. ``operation`` ties what
    the agents do for it to the order, in logs and history.
    """

    left: tuple[str, ...]
    who: str = ""
    boot: str = ""
    pid: int = 0
    drained: str = ""
    operation: str = ""


@dataclass(frozen=True, slots=True)
class State:
    """The one durable record that is changed by compare-and-swap."""

    identity: Identity | None = None
    view: View | None = None
    claim: Claim | None = None
    writer: tuple[str, ...] = ()
    drained: tuple[str, ...] = ()  # nodes that shall have no clients, by a person's order
    paused: str = ""  # who ordered that the agents decide nothing, and when
    restart: Restart | None = None


@dataclass(frozen=True, slots=True)
class Attempt:
    """A bootstrap that has been started and is not known to be recorded."""

    nonce: str
    position: Position | None  # None: from an empty datadir
    cluster_name: str


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where a node can be reached. ``host`` is a name or an address."""

    host: str
    ip: str
    sql_port: int
    gcomm_port: int
    check_port: int


CAUGHT_UP = 100
"""Write-sets in the receive queue beyond which a node is certainly behind, so that its report is published at once:
by default flow control lets no Synced node have so many (gcs.fc_limit)."""


@dataclass(frozen=True, slots=True)
class Report:
    """What the agent of a node says about it in this boot (leased)."""

    node: str
    boot: str
    endpoint: Endpoint
    server: Server
    data: Data
    disk: str  # id of the stamp; a new disk has a new one
    position: Position | None = None  # None: not known yet, or no data
    live: bool = False  # position read from a running server, not recovered
    cluster_status: str = "Disconnected"  # wsrep_cluster_status
    local_state: int = 0  # wsrep_local_state, 4 is Synced
    opened: bool = False  # clients are let in
    desync: bool = False  # wsrep_desync is ON: nobody waits for what this node has not applied yet
    queue: int = 0  # write-sets received and not applied yet; told when it passes CAUGHT_UP, else as old as a heartbeat
    uuid: str = ZERO_UUID  # wsrep_cluster_state_uuid of a running server, else of the disk
    identity: Identity | None = None  # from the stamp: the cluster and generations it belongs to
    held: bool = True  # from the stamp: clients may have been told of commits on this disk
    attempt: Attempt | None = None
    view: View | None = None  # newest view in the stamp, of a recorded generation
    ack: str | None = None  # nonce of the claim that is acknowledged while DOWN
    problem: str | None = None  # why a node with data can be no candidate
    server_pid: int | None = None
    agent_pid: int | None = None
    role: str = ""  # bootstrapper, joiner, donor, member, stopped, quarantined ...
    reason: str = ""  # sentence of the last decision
    evidence: tuple[str, ...] = ()
    remedy: str | None = None  # the command that ends a wait
    unit: str = ""
    version: str = ""
    progress: str = ""  # for people: e.g. the stage of a state transfer

    @property
    def primary(self) -> bool:
        return self.server is Server.UP and self.cluster_status == "Primary"

    @property
    def synced(self) -> bool:
        return self.primary and self.local_state == 4

    @property
    def steady(self) -> bool:
        """Synced, or desynced by an order: in no state transfer."""
        return self.synced or (self.primary and self.local_state == 2 and self.desync)

    @property
    def caught_up(self) -> bool:
        """Has applied what it has received, but for a moment's worth."""
        return self.synced and self.queue <= CAUGHT_UP


@dataclass(frozen=True, slots=True)
class NodeRecord:
    """Durable: whether this node's disk holds what clients may have been told is committed.

    ``held`` becomes true before the node first opens. A node that came back with a new
    disk and has joined a live Primary Component says false: what its old disk held is there.
    ``reinit`` is the disk whose datadir a person has allowed to be set aside (``galerist reinit``),
    ``operation`` the id of that order.
    """

    node: str
    disk: str
    held: bool
    reinit: str = ""
    operation: str = ""


@dataclass(frozen=True, slots=True)
class ProxyReport:
    """What a haproxy watcher says about its HAProxy (leased)."""

    proxy: str
    host: str
    ip: str
    write_port: int
    read_port: int
    all_port: int  # 0: there is none
    stats_port: int
    worker_pids: tuple[int, ...] = ()
    watcher_pid: int | None = None
    applied: str = ""  # digest of the configuration that the running workers use
    writing: tuple[str, ...] = ()  # who takes new sessions of the write port, then who else has any of them
    serving: tuple[str, ...] = ()  # nodes with sessions of any port, sorted
    drained: tuple[str, ...] = ()  # nodes that get no new clients here, by order
    error: str | None = None

    def leads_to(self, node: str) -> bool:
        """Whether clients may come to the node through this proxy, or have sessions there."""
        return node not in self.drained or node in self.serving or node in self.writing


def newest(one: View | None, other: View | None, generations: tuple[Generation, ...]) -> View | None:
    """The newer of two views, by (generation, seqno); views of unknown generations do not count."""
    order = {generation.id: index for index, generation in enumerate(generations)}
    known = [view for view in (one, other) if view is not None and view.generation in order]
    return max(known, key=lambda view: (order[view.generation], view.seqno), default=None)


def older(one: State, other: State) -> bool:
    """Whether ``one`` is from before ``other``: the cluster had fewer generations, or an earlier view of the same one.

    So looks what a registry says that was restored from a backup, until the nodes have corrected it.
    """
    if one.identity is None or other.identity is None or one.identity.uuid != other.identity.uuid:
        return False
    had, has = one.identity.generations, other.identity.generations
    if had != has:
        return has[: len(had)] == had
    return one.view is not None and other.view is not None and newest(one.view, other.view, has) != one.view


# -- JSON ------------------------------------------------------------------------------------


class Malformed(ValueError):
    """A record in the registry or on disk is not what galerist writes there."""


def dump(value: object) -> str:
    """Canonical JSON: equal values have equal texts, so whole-value swaps work."""
    return json.dumps(
        dataclasses.asdict(value),  # type: ignore[call-overload]  # only dataclasses come here
        sort_keys=True,
        separators=(",", ":"),
    )


T = typing.TypeVar("T")


def load(kind: type[T], text: str) -> T:
    """The value of type ``kind`` written by :func:`dump`.

    Unknown fields are ignored, so that versions may differ within a cluster.
    Raises :class:`Malformed`.
    """
    try:
        return _build(kind, json.loads(text))  # type: ignore[no-any-return]
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise Malformed(f"not a {kind.__name__}: {text[:200]!r} ({error})") from error


def _build(kind: typing.Any, value: typing.Any) -> typing.Any:
    origin = typing.get_origin(kind)
    if origin in (types.UnionType, typing.Union):
        if value is None:
            return None
        (kind,) = (part for part in typing.get_args(kind) if part is not types.NoneType)
        return _build(kind, value)
    if origin is tuple:
        return tuple(_build(typing.get_args(kind)[0], item) for item in value)
    if dataclasses.is_dataclass(kind):
        if not isinstance(value, dict):  # a text or a list would do for an empty record
            raise TypeError(f"{value!r:.80} is no object")
        hints = _hints(kind)
        return kind(**{name: _build(hints[name], value[name]) for name in hints if name in value})  # type: ignore[operator]
    if isinstance(kind, type) and issubclass(kind, enum.Enum):
        return kind(value)
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise TypeError(f"{value!r} is not {kind.__name__}")
    return value


_HINTS: dict[typing.Any, dict[str, typing.Any]] = {}


def _hints(kind: typing.Any) -> dict[str, typing.Any]:
    if kind not in _HINTS:
        _HINTS[kind] = typing.get_type_hints(kind)
    return _HINTS[kind]
