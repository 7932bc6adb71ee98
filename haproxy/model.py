"""What the proxy should look like: a pure function of the registry and of what it looked like.

A server that was once there stays until its node is deregistered: a lapsed lease, a
registry that is down, empty or wiped prove nothing about a node. Whether it gets
clients is decided by its health check alone.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace

from galerist import model as records

# Both end up in HAProxy's configuration, so nothing that means something there may pass.
_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9_.-]{0,62}[A-Za-z0-9])?", re.ASCII)
_FIRST, _APART = 1_000_000_000, 1_000_000  # ids where order matters; others fit before, between and after
_HOST = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_.-]{0,252}[A-Za-z0-9_.])?", re.ASCII)


@dataclass(frozen=True, slots=True)
class Server:
    """A node as the proxy sees it. ``address`` is a name or an address."""

    name: str
    address: str
    port: int
    check_port: int
    drained: bool = False  # a person wants it to have no clients

    @property
    def by_name(self) -> bool:
        """HAProxy must look its address up."""
        return not _is_address(self.address)


@dataclass(frozen=True, slots=True)
class Wire:
    """How the proxy speaks to clients, to nodes and to their health endpoints."""

    stop_after: float = 1.0  # s: an unusable node gets no new session after this
    proxy_in: bool = False  # clients (a load balancer) send the PROXY protocol
    proxy_out: str = "off"  # version that the nodes are sent: off, v1, v2
    check_ca: str = ""  # file: health checks by TLS, verified against this authority
    resolvers: tuple[str, ...] = ()  # name servers, address:port, for nodes known by name
    patience: int = 4000  # ms that a new session waits while no node takes writes

    # Two failed checks in a row are "down". Together they take at most stop_after, though
    # each of them times out: the time between two, an answer, the time until the second, its answer.
    @property
    def inter(self) -> int:
        """Milliseconds between two checks."""
        return round(300 * self.stop_after)

    @property
    def fastinter(self) -> int:
        """Milliseconds between the first failed check and the next."""
        return round(100 * self.stop_after)

    @property
    def timeout(self) -> int:
        """Milliseconds for one check."""
        return round(300 * self.stop_after)


@dataclass(frozen=True, slots=True)
class Policy:
    """Where the proxy listens: addresses (``0.0.0.0``, ``::``, names) and ports. ``all_port`` 0: not at all."""

    binds: tuple[str, ...]
    write_port: int
    read_port: int
    all_port: int
    stats_binds: tuple[str, ...]
    stats_port: int
    wire: Wire = Wire()


@dataclass(frozen=True, slots=True)
class Place:
    """A server in one listener: it takes new sessions if its weight is not 0. Where order
    matters, ``rank`` is HAProxy's id: the lowest that is up takes all sessions."""

    server: Server
    weight: int
    rank: int


@dataclass(frozen=True, slots=True)
class Listener:
    """One port. ``balance`` is HAProxy's algorithm."""

    name: str
    binds: tuple[str, ...]
    port: int
    balance: str
    places: tuple[Place, ...]


@dataclass(frozen=True, slots=True)
class Stats:
    binds: tuple[str, ...]
    port: int


@dataclass(frozen=True, slots=True)
class ProxyModel:
    """``servers`` are in the order of the write port: the first takes all its sessions."""

    servers: tuple[Server, ...]
    write: Listener
    read: Listener
    all: Listener | None
    stats: Stats
    wire: Wire = Wire()

    @property
    def listeners(self) -> tuple[Listener, ...]:
        """Those that lead to nodes."""
        return tuple(one for one in (self.write, self.read, self.all) if one is not None)


@dataclass(frozen=True, slots=True)
class Known:
    """What the registry holds, as far as it could be read. ``complaints`` are for people."""

    reports: Mapping[str, records.Report]
    present: frozenset[str]  # nodes with a report, also one that cannot be understood
    recorded: frozenset[str]  # nodes with a durable record
    state: records.State | None
    complaints: tuple[str, ...] = ()


def understand(members: Mapping[str, str], nodes: Collection[str], state: str | None) -> Known:
    """From raw texts. ``members`` maps a node to its report, ``nodes`` are the durable records.

    What cannot be understood is complained of and proves nothing: it removes no server.
    """
    complaints: list[str] = []
    reports: dict[str, records.Report] = {}
    for node, text in sorted(members.items()):
        try:
            report = records.load(records.Report, text)
        except records.Malformed as error:
            complaints.append(f"the report of {node} is ignored: {error}")
            continue
        if problem := unfit(node, report.endpoint):
            complaints.append(f"the report of {node} is ignored: {problem}")
            continue
        reports[node] = report
    known: records.State | None = None
    if state is not None:
        try:
            known = records.load(records.State, state)
        except records.Malformed as error:
            complaints.append(f"the cluster's state is ignored: {error}")
    return Known(reports, frozenset(members), frozenset(nodes), known, tuple(complaints))


def order(known: Known, former: tuple[Server, ...]) -> tuple[Server, ...]:
    """The servers, in the order of the write port, which is the same for all proxies:
    ``State.writer``, then the others by name. Without a recorded cluster the former order stays."""
    before = {server.name: server for server in former}
    servers = {name: server for name, server in before.items() if not _deregistered(name, known)}
    for node, report in known.reports.items():
        drained = node in before and before[node].drained
        servers[node] = replace(_server(node, report.endpoint), drained=drained)
    if known.state is not None and known.state.identity is not None:
        ranked: tuple[str, ...] = known.state.writer
        drain = known.state.drained
        servers = {name: replace(server, drained=name in drain) for name, server in servers.items()}
    else:
        ranked = tuple(before) or (known.state.writer if known.state is not None else ())
    rank = {name: index for index, name in enumerate(ranked)}
    return tuple(servers[name] for name in sorted(servers, key=lambda name: (rank.get(name, len(rank)), name)))


def model(servers: tuple[Server, ...], policy: Policy) -> ProxyModel:
    """The ports over these servers.

    write: one node at a time. read: the others; where none of them can, the configuration leads
    to the write port's node.
    all: every node, for applications that know what several writers mean; only where it is asked for.
    """
    weights = [0 if server.drained else 1 for server in servers]
    writer = next((index for index, weight in enumerate(weights) if weight), None)
    reading = [0 if index == writer and sum(weights) > 1 else weight for index, weight in enumerate(weights)]

    def places(weights: list[int]) -> tuple[Place, ...]:
        ranks = range(_FIRST, _FIRST + _APART * len(servers), _APART)
        return tuple(Place(*each) for each in zip(servers, weights, ranks, strict=True))

    return ProxyModel(
        servers=servers,
        write=Listener("write", policy.binds, policy.write_port, "first", places(weights)),
        read=Listener("read", policy.binds, policy.read_port, "leastconn", places(reading)),
        all=Listener("all", policy.binds, policy.all_port, "leastconn", places(weights)) if policy.all_port else None,
        stats=Stats(policy.stats_binds, policy.stats_port),
        wire=policy.wire,
    )


def unfit(node: str, endpoint: records.Endpoint) -> str:
    """Why this cannot become a line of HAProxy's configuration, or nothing."""
    if not _NAME.fullmatch(node):
        return f"{node!r} cannot be a server's name"
    address = _address(endpoint)
    if not _is_address(address) and not _HOST.fullmatch(address):
        return f"{address!r} is neither an address nor a host name"
    for port in (endpoint.sql_port, endpoint.check_port):
        if not 0 < port < 65536:
            return f"{port} is no port"
    return ""


def _server(node: str, endpoint: records.Endpoint) -> Server:
    return Server(node, _address(endpoint), endpoint.sql_port, endpoint.check_port)


def _address(endpoint: records.Endpoint) -> str:
    """The address as the node knows it, so no look-up can fail; when it changes, the report does.

    The name instead, where the node resolves its own name to loopback, as Debian's
    ``/etc/hosts`` does (127.0.1.1): that would lead each proxy to itself.
    """
    if _is_loopback(endpoint.ip) and not _is_address(endpoint.host) and endpoint.host != "localhost":
        return endpoint.host
    return endpoint.ip or endpoint.host


def _deregistered(node: str, known: Known) -> bool:
    """True when an established cluster's registry knows nothing of the node any more.

    Each of these alone may be missing for another reason: the lease has lapsed, the
    registry was wiped and its members have only begun to write it again.
    """
    state = known.state
    if state is None or state.identity is None or node in known.present or node in known.recorded:
        return False
    return node not in state.writer and (state.view is None or node not in state.view.members)


def _is_address(text: str) -> bool:
    """Not with a zone (``fe80::1%eth0``): any text may stand there, and HAProxy knows none."""
    if "%" in text:
        return False
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _is_loopback(text: str) -> bool:
    return _is_address(text) and ipaddress.ip_address(text).is_loopback
