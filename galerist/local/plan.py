"""What a local cluster consists of: its names and ports, kept in DIR/cluster.json.

Everything here is pure; whether a port is free is asked of a function.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from galerist.local.layout import LocalError

MOST_NODES = 9  # the ports of n1 to n9 stand side by side
LAST_PORT = 32767  # above begins the range that the kernel hands out to clients

SHARED_PORTS = {
    "write_port": 13306,
    "read_port": 13307,
    "all_port": 13308,
    "stats_port": 18404,
    "dashboard_port": 18405,
    "proxy_metrics_port": 18406,
    "etcd_port": 12379,
    "etcd_peer_port": 12380,
}
# Add the number of the node: n1 has 13311, 14561, 14571, 14441, 19201 and 19301.
NODE_PORTS = {
    "sql_port": 13310,
    "gcomm_port": 14560,
    "ist_port": 14570,
    "sst_port": 14440,
    "check_port": 19200,
    "agent_metrics_port": 19300,
}


@dataclass(frozen=True, slots=True)
class Plan:
    """One local cluster. ``ports`` maps ``write_port`` … and ``n1.sql_port`` … to numbers."""

    cluster: str
    nodes: tuple[str, ...]
    ports: Mapping[str, int]
    sst_method: str = "rsync"
    init_sql: tuple[str, ...] = ()
    server_user: str = ""  # "": whoever runs galerist
    tls: bool = False

    def port(self, key: str, node: str | None = None) -> int:
        return self.ports[key if node is None else f"{node}.{key}"]


@dataclass(frozen=True, slots=True)
class Moved:
    """A port that is not the one that was wanted, because somebody else has that."""

    key: str
    wanted: int
    chosen: int

    def __str__(self) -> str:
        return f"port {self.wanted} ({self.key}) is used by another program, {self.chosen} is taken instead"


def names(count: int) -> tuple[str, ...]:
    return tuple(f"n{number}" for number in range(1, count + 1))


def wanted_ports(nodes: Iterable[str]) -> dict[str, int]:
    """The default port of everything that listens."""
    wanted = dict(SHARED_PORTS)
    for number, node in enumerate(nodes, start=1):
        wanted.update({f"{node}.{key}": base + number for key, base in NODE_PORTS.items()})
    return wanted


def choose_ports(
    nodes: Iterable[str], saved: Mapping[str, int], free: Callable[[int], bool]
) -> tuple[dict[str, int], tuple[Moved, ...]]:
    """A port for everything that listens: the saved one, else the default, else the next free.

    ``free`` says whether a port may be used, each time it is asked. Raises LocalError
    when there is none left below the range of the kernel.
    """
    wanted = {key: saved.get(key, default) for key, default in wanted_ports(nodes).items()}
    reserved = set(wanted.values())
    chosen: dict[str, int] = {}
    moved: list[Moved] = []
    used: set[int] = set()
    for key, port in wanted.items():
        if port in used or not free(port):
            candidates = range(port % 100 + 10000, LAST_PORT, 100)
            later = [other for other in candidates if other > port] + [other for other in candidates if other < port]
            found = next((other for other in later if other not in reserved | used and free(other)), None)
            if found is None:
                raise LocalError(f"no free port was found for {key} on 127.0.0.1; end what listens there")
            moved.append(Moved(key, port, found))
            port = found
        used.add(port)
        chosen[key] = port
    return chosen, tuple(moved)


def agree(
    saved: Plan | None,
    nodes: int | None,
    cluster: str | None,
    sst_method: str | None,
    init_sql: tuple[str, ...],
    server_user: str,
    tls: bool | None = None,
) -> Plan:
    """The plan for what was asked for, on top of what DIR holds already; ports are still to choose.

    Raises LocalError for what an existing cluster cannot become.
    """
    if nodes is not None and not 1 <= nodes <= MOST_NODES:
        raise LocalError(f"--nodes {nodes}: choose a number from 1 to {MOST_NODES}", 2)
    if saved is None:
        method = sst_method or "rsync"
        return Plan(cluster or "galera", names(nodes or 3), {}, method, init_sql, server_user, bool(tls))
    if cluster is not None and cluster != saved.cluster:
        raise LocalError(
            f"--cluster {cluster}: this directory holds the cluster {saved.cluster}; "
            f"say --cluster {saved.cluster}, or choose another --dir",
            78,
        )
    if nodes is not None and nodes < len(saved.nodes):
        raise LocalError(
            f"--nodes {nodes}: this directory holds {len(saved.nodes)} nodes, and a node that stays away would be "
            f"waited for after the next total stop; say --nodes {len(saved.nodes)}, or begin anew "
            "with `galerist down --wipe`",
            78,
        )
    return Plan(
        saved.cluster,
        names(nodes or len(saved.nodes)),
        saved.ports,
        sst_method or saved.sst_method,
        init_sql or saved.init_sql,
        server_user,
        saved.tls if tls is None else tls,
    )


def advice(count: int) -> str | None:
    """A warning about this number of nodes, if one is due."""
    if count == 1:
        return "one node is no cluster: when it stops, everything stops (3 nodes survive the loss of one)"
    if count % 2 == 0:
        return (
            f"{count} nodes survive the loss of no more nodes than {count - 1} do, and a split in halves stops both: "
            "an odd number is better"
        )
    return None


def dump(plan: Plan) -> str:
    return json.dumps(
        {
            "format": 1,
            "cluster": plan.cluster,
            "nodes": list(plan.nodes),
            "ports": dict(plan.ports),
            "sst_method": plan.sst_method,
            "init_sql": list(plan.init_sql),
            "server_user": plan.server_user,
            "tls": plan.tls,
        },
        indent=2,
    )


def load(text: str) -> Plan:
    """The plan that :func:`dump` wrote. Raises ValueError."""
    try:
        value = json.loads(text)
        if value["format"] != 1:
            raise ValueError(f"its format is {value['format']!r}, this galerist knows 1")
        return Plan(
            str(value["cluster"]),
            tuple(str(node) for node in value["nodes"]),
            {str(key): int(port) for key, port in value["ports"].items()},
            str(value["sst_method"]),
            tuple(str(path) for path in value["init_sql"]),
            str(value["server_user"]),
            bool(value.get("tls", False)),
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{error!r} is missing or of the wrong type") from error
