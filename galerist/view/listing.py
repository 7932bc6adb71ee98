"""The cluster as data: the JSON of ``galerist list``, which is a promise (docs/list.md). Pure."""

from __future__ import annotations

from typing import Any

from galerist.model import Identity, NodeRecord, ProxyReport, Report, Server
from galerist.view.facts import Cluster


def status(cluster: Cluster) -> str:
    """``Primary``, or what it is instead."""
    known = cluster.state.identity
    if any(report.primary and _current(report, known) for report in cluster.reports):
        return "Primary"
    if any(report.primary for report in cluster.reports):
        return "Primary, not recorded yet"
    if any(report.server is Server.UP for report in cluster.reports):
        return "non-Primary"
    if any(report.server is Server.STARTING for report in cluster.reports):
        return "starting"
    return "stopped" if cluster.reports else "nobody reports"


def _current(report: Report, identity: Identity | None) -> bool:
    return (
        identity is not None
        and report.identity is not None
        and identity.generations[-1:] == report.identity.generations[-1:]
    )


def node_state(report: Report) -> str:
    """One word for a node: its wsrep_local_state as a name when it runs."""
    if report.role in ("quarantined", "refused", "superseded", "hung"):
        return report.role
    if report.server is Server.DOWN:
        return "stopped"
    if report.server is Server.STARTING:
        return "joining" if report.role == "joiner" else "starting"
    if report.steady and report.desync:
        return "desynced"
    names = {0: "initialized", 1: "joining", 2: "donor", 3: "joined", 4: "synced"}
    return names.get(report.local_state, "unknown") if report.primary else "non-primary"


def member(report: Report, writer: str | None) -> dict[str, Any]:
    """One member as JSON data."""
    role = "writer" if report.node == writer and report.synced and report.opened else report.role
    return {
        "name": report.node,
        "host": report.endpoint.host,
        "sql_port": report.endpoint.sql_port,
        "check_port": report.endpoint.check_port,
        "state": node_state(report),
        "cluster_status": report.cluster_status,
        "uuid": report.uuid,
        "seqno": report.position.seqno if report.position is not None else None,
        "role": role,
        "open": report.opened,
        "server_pid": report.server_pid,
        "agent_pid": report.agent_pid,
        "reason": report.reason,
        "evidence": list(report.evidence),
        "remedy": report.remedy,
        "version": report.version,
        "progress": report.progress,
    }


def absent(record: NodeRecord) -> dict[str, Any]:
    """A node that has data and whose agent does not report."""
    return {
        "name": record.node, "host": None, "sql_port": None, "check_port": None, "state": "silent",
        "cluster_status": None, "uuid": None, "seqno": None, "role": "silent", "open": False,
        "server_pid": None, "agent_pid": None,
        "reason": f"The agent of {record.node} does not report; its server may run or not.",
        "evidence": [], "remedy": f"start the agent of {record.node}", "version": "", "progress": "",
    }  # fmt: skip


def writer(cluster: Cluster) -> str | None:
    """The first node in the order of writers that is usable."""
    usable = {report.node for report in cluster.reports if report.synced and report.opened} - set(cluster.state.drained)
    order = (*cluster.state.writer, *sorted(usable))
    return next((name for name in order if name in usable), None)


def overlap(proxies: tuple[ProxyReport, ...]) -> list[str]:
    """The nodes that the proxies write to, if there are several: that should pass within a second."""
    nodes = sorted({node for proxy in proxies for node in proxy.writing})
    return nodes if len(nodes) > 1 else []


def as_data(cluster: Cluster) -> dict[str, Any]:
    """The cluster as JSON data."""
    identity = cluster.state.identity
    first = writer(cluster)
    reporting = {report.node for report in cluster.reports}
    members = [member(report, first) for report in cluster.reports]
    for entry in members:
        if entry["name"] in cluster.state.drained:
            entry["role"] = "drained"
    members += [absent(record) for record in cluster.nodes if record.node not in reporting]
    proxies = [
        {
            "name": proxy.proxy,
            "host": proxy.host,
            "write_port": proxy.write_port,
            "read_port": proxy.read_port,
            "all_port": proxy.all_port or None,
            "stats_port": proxy.stats_port,
            "worker_pids": list(proxy.worker_pids),
            "watcher_pid": proxy.watcher_pid,
            "writing": list(proxy.writing),
            "error": proxy.error,
        }
        for proxy in cluster.proxies
    ]
    return {
        "cluster": cluster.name,
        "uuid": identity.uuid if identity is not None else None,
        "generation": len(identity.generations) if identity is not None else 0,
        "generation_id": identity.generations[-1].id if identity is not None else None,
        "status": status(cluster),
        "writer": first,
        "members": sorted(members, key=lambda entry: str(entry["name"])),
        "overlap": overlap(cluster.proxies),
        "proxy": proxies[0] if proxies else None,
        "proxies": proxies,
    }
