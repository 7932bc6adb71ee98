"""``galerist list``, ``explain`` and ``topology``. The JSON form is a promise (docs/list.md), the tables are not."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from galerist.cli.output import STYLES, console, emit
from galerist.endpoints import show
from galerist.model import Malformed
from galerist.registry.contract import Registry, RegistryError
from galerist.settings import Settings
from galerist.view.facts import Cluster, read
from galerist.view.listing import as_data, node_state, status, writer
from galerist.view.page import headline, tone

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["Cluster", "as_data", "node_state", "opened", "read", "status", "writer"]

NOT_FOUND = 3
"""Exit code of ``explain`` for a node that nobody has heard of."""

NARROW = 80
"""Columns below which there is no room for a table of nodes."""

_LOOK = 1.0
"""Seconds between two looks of ``list -w`` when nothing wakes it."""


def list_command(settings: Settings | None, dir: Path | None, format: str, watch: bool = False) -> int:
    """``galerist list``. Returns the exit code: 0 when the registry answered."""
    if watch:
        return _follow(settings, dir, format)
    data, paused = _looked(settings, dir)
    emit(format, data, _rows(data), lambda: _print(console(), data, paused))
    return 0


def _follow(settings: Settings | None, dir: Path | None, format: str) -> int:
    """Until Ctrl-C: on a terminal the table in place, else one whenever something has changed."""
    import signal

    from galerist.wake import Wake

    wake, ending = Wake(), False

    def end(*_: object) -> None:
        nonlocal ending
        ending = True
        wake.set()
        signal.signal(signal.SIGINT, former)  # who asks twice need not wait for a registry that is silent

    former = signal.signal(signal.SIGINT, end)
    with opened(settings, dir) as (registry, name):
        from galerist.registry.keys import Keys

        shown: object = None
        screen = console()
        watch = registry.watch(Keys(name).root, wake.set)
        try:
            while not ending:
                wake.clear()
                try:
                    cluster = _read(registry, name)
                    data, paused, trouble = as_data(cluster), cluster.state.paused, ""
                except RegistryError as error:  # it may answer again
                    data, paused, trouble = None, "", str(error)
                now = (data, paused, trouble)
                if now != shown:
                    shown = now
                    _update(screen, format, data, paused, trouble)
                if not ending:
                    wake.wait(_LOOK)
                    time.sleep(0.05)  # what comes together is shown together
        finally:
            watch.close()
    raise KeyboardInterrupt


def _update(screen: Any, format: str, data: dict[str, Any] | None, paused: str, trouble: str) -> None:
    if screen.is_terminal and format == "table":
        screen.clear()
    if data is None:
        print(f"galerist: {trouble}", file=sys.stderr, flush=True)
        return
    emit(format, data, _rows(data), lambda: _print(screen, data, paused))
    sys.stdout.flush()


def explain_command(settings: Settings | None, dir: Path | None, node: str | None, format: str) -> int:
    """``galerist explain [NODE]``. Returns the exit code: 3 for a node that is not known."""
    data, paused = _looked(settings, dir)
    members = [entry for entry in data["members"] if node in (None, entry["name"])]
    if node is not None and not members:
        known = ", ".join(entry["name"] for entry in data["members"]) or "none"
        print(f"galerist: no node {node} is known in the cluster {data['cluster']} (known: {known})", file=sys.stderr)
        return NOT_FOUND
    first = headline(data, paused)
    fields = ("name", "state", "role", "reason", "evidence", "remedy")
    answer = {
        "cluster": data["cluster"],
        "status": data["status"],
        "headline": first.sentence,
        "remedy": first.command,
        "members": [{field: entry[field] for field in fields} for entry in members],
    }
    rows = [("NODE", "STATE", "ROLE", "WHY", "REMEDY")]
    rows += [(one["name"], one["state"], one["role"], one["reason"], one["remedy"] or "") for one in members]
    emit(format, answer, rows, lambda: _explain(answer, first.tone, whole=node is None))
    return 0


def topology_command(settings: Settings | None, dir: Path | None, format: str) -> int:
    """``galerist topology``: who leads whom where."""
    data, _ = _looked(settings, dir)
    rows = [("FROM", "PORT", "TO", "STATE")]
    for proxy in data["proxies"]:
        for port, names in _ways(data, proxy):
            state = {entry["name"]: entry["state"] for entry in data["members"]}
            rows += [(proxy["name"], port, name, state[name]) for name in names]
    answer = {
        "cluster": data["cluster"],
        "proxies": [
            {"name": proxy["name"], "host": proxy["host"], "ports": {port: names for port, names in _ways(data, proxy)}}
            for proxy in data["proxies"]
        ],
        "nodes": {entry["name"]: {"state": entry["state"], "role": entry["role"]} for entry in data["members"]},
    }
    emit(format, answer, rows, lambda: _tree(data))
    return 0


def _ways(data: Mapping[str, Any], proxy: Mapping[str, Any]) -> list[tuple[str, list[str]]]:
    """Where each port of a proxy leads while all health checks agree with the reports."""
    able = [
        one["name"] for one in data["members"] if one["state"] == "synced" and one["open"] and one["role"] != "drained"
    ]
    first = [data["writer"]] if data["writer"] else []
    ways = [
        (f"write {proxy['write_port']}", first),
        (f"read {proxy['read_port']}", [name for name in able if name not in first] or first),
    ]
    return [*ways, (f"all {proxy['all_port']}", able)] if proxy["all_port"] else ways


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


def _looked(settings: Settings | None, dir: Path | None) -> tuple[dict[str, Any], str]:
    """The data of ``list``, and who has paused the agents."""
    with opened(settings, dir) as (registry, name):
        cluster = _read(registry, name)
    return as_data(cluster), cluster.state.paused


def _read(registry: Registry, name: str) -> Cluster:
    try:
        return read(registry, name)
    except Malformed as error:
        from galerist.registry.contract import RegistryUnusable

        raise RegistryUnusable(f"the registry holds a record that galerist did not write: {error}") from error


def _rows(data: Mapping[str, Any]) -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = [("NODE", "ADDRESS", "STATE", "ROLE", "SEQNO", "WHY")]
    for entry in data["members"]:
        address = show((entry["host"], entry["sql_port"])) if entry["host"] else "-"
        seqno = "-" if entry["seqno"] is None else str(entry["seqno"])
        rows.append((entry["name"], address, entry["state"], entry["role"], seqno, entry["reason"]))
    return rows


def _print(screen: Console, data: Mapping[str, Any], paused: str) -> None:
    from rich.padding import Padding
    from rich.table import Table
    from rich.text import Text

    def line(*parts: str | tuple[str, str]) -> None:
        screen.print(Text.assemble(*parts), soft_wrap=True)

    colour = "green" if data["status"] == "Primary" else "red"
    where = f", generation {data['generation']} ({data['generation_id']}), uuid {data['uuid']}" if data["uuid"] else ""
    line(f"Cluster {data['cluster']}: ", (data["status"], f"bold {colour}"), where)
    first = headline(data, paused)
    line((first.sentence, f"bold {STYLES[first.tone]}"))
    if first.command:
        line(("What ends it: ", "bold"), first.command)
    if data["members"] and screen.width < NARROW:
        for entry, (name, address, state, role, seqno, why) in zip(data["members"], _rows(data)[1:], strict=True):
            line((name, "bold"), "  ", (state, STYLES[tone(entry)]), f", {role}, seqno {seqno}, {address}")
            screen.print(Padding(Text(why), (0, 0, 0, 2)))
    elif data["members"]:
        heading, *rows = _rows(data)
        table = Table(box=None, pad_edge=False, header_style="bold")
        for name in heading:
            table.add_column(name, justify="right" if name == "SEQNO" else "left", overflow="fold")
        for entry, row in zip(data["members"], rows, strict=True):
            colours = (STYLES[tone(entry)] if name == "STATE" else "" for name in heading)
            table.add_row(*(Text(cell, style=style) for cell, style in zip(row, colours, strict=True)))
        screen.print(table)
    if data["overlap"]:
        line((f"Proxies write to {' and '.join(data['overlap'])} at the same time", "red"))
    for proxy in data["proxies"]:
        words = (
            f"Proxy {proxy['name']} at {proxy['host']}: write {proxy['write_port']}, read {proxy['read_port']}, "
            f"all {proxy['all_port'] or 'off'}, statistics {proxy['stats_port']}"
        )
        line(words, (f" — {proxy['error']}" if proxy["error"] else "", "red"))


def _explain(answer: Mapping[str, Any], colour: str, whole: bool) -> None:
    from rich.markup import escape

    screen = console()
    screen.print(f"Cluster {answer['cluster']}: {answer['status']}", soft_wrap=True)
    if whole:
        screen.print(f"[bold {STYLES[colour]}]{escape(answer['headline'])}[/]", soft_wrap=True)
    for entry in answer["members"]:
        screen.print(f"\n[bold]{entry['name']}[/] ({_standing(entry)})", soft_wrap=True)
        screen.print(f"  {escape(entry['reason'] or 'Nothing has been decided yet.')}", soft_wrap=True)
        for line in entry["evidence"]:
            screen.print(f"    [dim]seen:[/] {escape(line)}", soft_wrap=True)
        if entry["remedy"]:
            screen.print(f"  [bold]What ends it:[/] {escape(entry['remedy'])}", soft_wrap=True)


def _standing(entry: Mapping[str, Any]) -> str:
    """State and role, the same word once."""
    return ", ".join(dict.fromkeys((entry["state"], entry["role"])))


def _tree(data: Mapping[str, Any]) -> None:
    from rich.text import Text
    from rich.tree import Tree

    tree = Tree(f"clients of {data['cluster']}")
    by_name = {entry["name"]: entry for entry in data["members"]}
    for proxy in data["proxies"]:
        branch = tree.add(
            f"proxy {proxy['name']} at {proxy['host']}" + (f": {proxy['error']}" if proxy["error"] else "")
        )
        for port, names in _ways(data, proxy):
            way = branch.add(port)
            for name in names:
                entry = by_name[name]
                way.add(
                    Text.assemble(name, f" {entry['host']}:{entry['sql_port']} ", (entry["state"], STYLES[tone(entry)]))
                )
            if not names:
                way.add(Text("nobody", style="red"))
    if not data["proxies"]:
        tree.add("no proxy reports")
    aside = [entry for entry in data["members"] if tone(entry) != "good"]
    if aside:
        branch = tree.add("without clients")
        for entry in aside:
            branch.add(Text.assemble(entry["name"], " ", (_standing(entry), STYLES[tone(entry)])))
    console().print(tree)
