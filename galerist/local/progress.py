"""What is known of a local cluster at one moment, and how it looks.

:func:`snapshot` is pure: from what the registry holds and what the supervisor says to a
:class:`Snapshot`; the table for terminals and the lines for others are made of that.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from galerist.local.layout import Layout
from galerist.local.plan import Plan
from galerist.local.render import APP, LOOPBACK
from galerist.model import Malformed, ProxyReport, Report, Server, load
from galerist.registry.keys import Keys

if TYPE_CHECKING:
    from rich.console import RenderableType

STATES = {0: "Initialized", 1: "Joining", 2: "Donor/Desynced", 3: "Joined", 4: "Synced"}
CONFIG_EXITS = {2: "usage", 69: "a program is missing", 78: "wrong settings"}  # trying again does not help


@dataclass(frozen=True, slots=True)
class Row:
    """One part, as people see it. ``good``: nothing more is waited for."""

    name: str
    state: str
    reason: str
    remedy: str | None = None
    good: bool = False


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All parts. ``hopeless`` is the reason why waiting does not help, if there is one."""

    rows: tuple[Row, ...]
    hopeless: str | None = None

    @property
    def good(self) -> bool:
        return all(row.good for row in self.rows)


def state_of(report: Report) -> str:
    """Galera's word for where a node is."""
    if report.server is not Server.UP:
        return str(report.server)
    if report.cluster_status != "Primary":
        return report.cluster_status
    state = STATES.get(report.local_state, f"state {report.local_state}")
    return state if report.opened or report.local_state != 4 else "Synced, closed"


def node_row(node: str, report: Report | None, child: Mapping[str, object]) -> Row:
    """A node by its report, or by what the supervisor knows while there is none."""
    if report is None or _former(report.agent_pid, child):
        return Row(node, *_child_words(child))
    reason = report.reason
    if report.progress and report.progress.lower() not in reason.lower():
        reason = f"{reason} ({report.progress})"
    return Row(node, state_of(report), reason, report.remedy, report.steady and report.opened)


def _former(pid: int | None, child: Mapping[str, object]) -> bool:
    """Whether a report is of an earlier process: it stays in the registry until its lease ends."""
    return pid is not None and "pid" in child and child["pid"] != pid


def _child_words(child: Mapping[str, object]) -> tuple[str, str]:
    quick, status = child.get("quick"), child.get("exit")
    if isinstance(quick, int) and quick > 0:
        how = "died" if status is None else f"ended with status {status}"
        return "restarting" if child.get(
            "pid"
        ) is None else "starting", f"it {how}, restarts so far: {child.get('restarts')}"
    return "starting", "has not reported to the registry yet"


def proxy_row(report: ProxyReport | None, child: Mapping[str, object], statement: str | None) -> Row:
    """The proxy; ``statement`` is what went wrong with a statement through it, "" if nothing, None if untried."""
    if report is None or _former(report.watcher_pid, child):
        return Row("proxy", *_child_words(child))
    if report.error:
        return Row("proxy", "failed", report.error)
    if statement is None:
        return Row("proxy", "running", "")
    if statement:
        return Row("proxy", "running", statement)
    return Row("proxy", "serving", "a statement went through each of its ports", good=True)


def init_row(text: str | None) -> Row:
    """The database initialisation, by its key in the registry."""
    try:
        value = json.loads(text) if text else {}
        status = str(value.get("status", "waiting"))
    except (ValueError, AttributeError):
        return Row("init", "unknown", f"its record in the registry is damaged: {text!r}")
    if status == "done":
        return Row("init", "done", f"loaded by {value.get('by')}", good=True)
    if status == "failed":
        return Row("init", "failed", str(value.get("error")))
    if status == "running":
        percent = value.get("percent")
        return Row("init", "running", f"{value.get('by')} loads it" + (f", {percent:.0f} %" if percent else ""))
    return Row("init", status, "waits until the cluster has reached its size")


def snapshot(
    plan: Plan, known: Mapping[str, str] | str, children: Mapping[str, Mapping[str, object]], statement: str | None
) -> Snapshot:
    """``known`` is all below the cluster's root in the registry, or why that is not known."""
    keys = Keys(plan.cluster)
    values = {} if isinstance(known, str) else known
    rows = []
    if isinstance(known, str):
        rows.append(Row("registry", "waiting", known))
    for node in plan.nodes:
        rows.append(node_row(node, _load(Report, values.get(keys.members + node)), children.get(node, {})))
    proxies = [_load(ProxyReport, value) for key, value in values.items() if key.startswith(keys.proxies)]
    rows.append(proxy_row(proxies[0] if proxies else None, children.get("proxy", {}), statement))
    init = init_row(values.get(keys.init)) if plan.init_sql else None
    if init:
        rows.append(init)
    hopeless = None
    for name, child in children.items():
        status, quick = child.get("exit"), child.get("quick")
        if isinstance(quick, int) and quick > 1 and status in CONFIG_EXITS:
            hopeless = f"{name} refuses to run (exit status {status}, {CONFIG_EXITS[status]})"
    if init and init.state == "failed":
        hopeless = f"the database initialisation has failed: {init.reason}"
    return Snapshot(tuple(rows), hopeless)


def _load(kind: type, text: str | None):  # type: ignore[no-untyped-def]  # a Report or a ProxyReport
    try:
        return None if text is None else load(kind, text)
    except Malformed:
        return None


def how_to_connect(plan: Plan, layout: Layout) -> list[str]:
    """What people want to know once the cluster is up."""
    return [
        f"write port {LOOPBACK}:{plan.port('write_port')} (one node), read port {plan.port('read_port')} (the others), "
        f"all nodes {plan.port('all_port')}, statistics http://{LOOPBACK}:{plan.port('stats_port')}/",
        f"web page http://{LOOPBACK}:{plan.port('dashboard_port')}/, password for its actions in {layout.secret('dashboard')}",
        f"user {APP}, database {APP}, password in {layout.secret(APP)}",
        f"  mariadb --defaults-file={layout.client}",
        f"  galerist list --dir {layout.dir}",
        f"  galerist down --dir {layout.dir}",
    ]


def lines(before: Snapshot | None, now: Snapshot) -> Iterable[str]:
    """A line for each part that is not as it was. Numbers that count up make no news."""
    former = {row.name: row for row in before.rows} if before else {}
    for row in now.rows:
        old = former.get(row.name)
        if old is None or (old.state, _words(old.reason)) != (row.state, _words(row.reason)):
            yield f"{row.name:<8} {row.state:<14} {row.reason}" + (f" [{row.remedy}]" if row.remedy else "")
    yield from (f"{name:<8} is fine again" for name in former if name not in {row.name for row in now.rows})


def _words(text: str) -> str:
    return re.sub(r"\d+", "#", text)


def table(plan: Plan, now: Snapshot) -> RenderableType:
    """For terminals."""
    from rich.table import Table
    from rich.text import Text

    result = Table(box=None, pad_edge=False, title=f"cluster {plan.cluster}", title_justify="left", expand=True)
    result.add_column("part", no_wrap=True)
    result.add_column("state", no_wrap=True)
    result.add_column("why", ratio=1)
    for row in now.rows:
        why = row.reason + (f"\n  to end it: {row.remedy}" if row.remedy else "")
        style = "green" if row.good else "red" if row.state in ("failed", "restarting") else "yellow"
        result.add_row(Text(row.name), Text(row.state, style=style), Text(why))
    return result
