"""``galerist list`` and ``galerist explain``: the cluster as data, and its renderings.

The JSON form is a promise (docs/list.md); the table is for people and may change.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from galerist.model import Identity, Malformed, NodeRecord, ProxyReport, Report, Server, State, load
from galerist.registry.contract import Registry
from galerist.registry.keys import Keys
from galerist.settings import Settings

NOT_FOUND = 3
"""Exit code of ``explain`` for a node that nobody has heard of."""


@dataclass(frozen=True, slots=True)
class Cluster:
    """What the registry says of one cluster at one moment."""

    name: str
    state: State
    reports: tuple[Report, ...]
    nodes: tuple[NodeRecord, ...]
    proxies: tuple[ProxyReport, ...]


def read(registry: Registry, cluster: str) -> Cluster:
    """Read everything. Raises RegistryError, and Malformed for a state that galerist did not write."""
    keys = Keys(cluster)
    raw = registry.get(keys.state)
    return Cluster(
        cluster,
        load(State, raw) if raw is not None else State(),
        tuple(load(Report, text) for _, text in sorted(registry.list(keys.members).items())),
        tuple(load(NodeRecord, text) for _, text in sorted(registry.list(keys.nodes).items())),
        tuple(load(ProxyReport, text) for _, text in sorted(registry.list(keys.proxies).items())),
    )


# -- pure ------------------------------------------------------------------------------------


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
    }


def absent(record: NodeRecord) -> dict[str, Any]:
    """A node that has data and whose agent does not report."""
    return {
        "name": record.node, "host": None, "sql_port": None, "check_port": None, "state": "silent",
        "cluster_status": None, "uuid": None, "seqno": None, "role": "silent", "open": False,
        "server_pid": None, "agent_pid": None,
        "reason": f"The agent of {record.node} does not report; its server may run or not.",
        "evidence": [], "remedy": f"start the agent of {record.node}", "version": "",
    }  # fmt: skip


def writer(cluster: Cluster) -> str | None:
    """The first node in the order of writers that is usable."""
    usable = {report.node for report in cluster.reports if report.synced and report.opened} - set(cluster.state.drained)
    order = (*cluster.state.writer, *sorted(usable))
    return next((name for name in order if name in usable), None)


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
        "proxy": proxies[0] if proxies else None,
        "proxies": proxies,
    }


# -- commands --------------------------------------------------------------------------------


def list_command(settings: Settings | None, dir: Path | None, format: str) -> int:
    """``galerist list``. Returns the exit code: 0 when the registry answered."""
    data = as_data(_cluster(settings, dir))
    if format == "json":
        print(json.dumps(data, indent=2))
        return 0
    _console_list(data)
    return 0


def explain_command(settings: Settings | None, dir: Path | None, node: str | None, format: str) -> int:
    """``galerist explain [NODE]``. Returns the exit code: 3 for a node that is not known."""
    data = as_data(_cluster(settings, dir))
    members = [entry for entry in data["members"] if node in (None, entry["name"])]
    if node is not None and not members:
        known = ", ".join(entry["name"] for entry in data["members"]) or "none"
        print(f"galerist: no node {node} is known in the cluster {data['cluster']} (known: {known})", file=sys.stderr)
        return NOT_FOUND
    fields = ("name", "state", "role", "reason", "evidence", "remedy")
    answer = {
        "cluster": data["cluster"],
        "status": data["status"],
        "members": [{field: entry[field] for field in fields} for entry in members],
    }
    if format == "json":
        print(json.dumps(answer, indent=2))
        return 0
    _console_explain(answer)
    return 0


@contextmanager
def opened(settings: Settings | None, dir: Path | None) -> Iterator[tuple[Registry, str]]:
    """The registry and the cluster's name, from the settings or from the folder of a local cluster."""
    import click

    from galerist.registry.open import open_registry

    if settings is None:
        from galerist.local.layout import locate
        from galerist.settings import load as load_settings

        layout = locate(dir, None)
        if not layout.settings.exists():
            raise click.UsageError(f"{layout.dir} holds no cluster of `galerist up`; give the folder that it printed")
        settings = load_settings({}, {}, layout.settings, part="list")
    registry = open_registry(settings)
    try:
        yield registry, settings.cluster
    finally:
        registry.close()


def _cluster(settings: Settings | None, dir: Path | None) -> Cluster:
    try:
        with opened(settings, dir) as (registry, name):
            return read(registry, name)
    except Malformed as error:
        from galerist.registry.contract import RegistryUnusable

        raise RegistryUnusable(f"the registry holds a record that galerist did not write: {error}") from error


_STYLES = {"synced": "green", "donor": "yellow", "joining": "yellow", "joined": "yellow", "starting": "yellow"}


def _console_list(data: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    console = Console(highlight=False)
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("NODE", "ADDRESS", "STATE", "ROLE", "SEQNO", "WHY"):
        table.add_column(heading, justify="right" if heading == "SEQNO" else "left", overflow="fold")
    for entry in data["members"]:
        style = _STYLES.get(entry["state"], "red")
        address = f"{entry['host']}:{entry['sql_port']}" if entry["host"] else "-"
        seqno = "-" if entry["seqno"] is None else str(entry["seqno"])
        table.add_row(
            entry["name"], address, f"[{style}]{entry['state']}[/]", entry["role"], seqno, escape(entry["reason"])
        )
    console.print(
        f"Cluster {data['cluster']}: [bold {'green' if data['status'] == 'Primary' else 'red'}]{data['status']}[/]"
        + (f", generation {data['generation']} ({data['generation_id']}), uuid {data['uuid']}" if data["uuid"] else ""),
        soft_wrap=True,
    )
    if data["members"]:
        console.print(table)
    for proxy in data["proxies"]:
        console.print(
            f"Proxy {proxy['name']} at {proxy['host']}: write {proxy['write_port']}, read {proxy['read_port']}, "
            f"all {proxy['all_port'] or 'off'}, statistics {proxy['stats_port']}" + (f" — [red]{escape(proxy['error'])}[/]" if proxy["error"] else ""),
            soft_wrap=True,
        )  # fmt: skip


def _console_explain(answer: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.markup import escape

    console = Console(highlight=False)
    console.print(f"Cluster {answer['cluster']}: {answer['status']}", soft_wrap=True)
    for entry in answer["members"]:
        console.print(f"\n[bold]{entry['name']}[/] ({entry['state']}, {entry['role']})", soft_wrap=True)
        console.print(f"  {escape(entry['reason'] or 'Nothing has been decided yet.')}", soft_wrap=True)
        for line in entry["evidence"]:
            console.print(f"    [dim]seen:[/] {escape(line)}", soft_wrap=True)
        if entry["remedy"]:
            console.print(f"  [bold]What ends it:[/] {escape(entry['remedy'])}", soft_wrap=True)
