"""What shows a cluster and changes nothing: list, topology, explain, history, doctor, logs; and the client."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from galerist.cli.making import (
    DIR,
    FORMAT,
    SETTINGS,
    command,
    load_settings,
    settings_options,
    settings_unless_dir,
)
from galerist.settings import SettingsError, load

if TYPE_CHECKING:
    from galerist.local.layout import Layout


@command(
    "list",
    "Show the members of a cluster and its proxies. JSON is documented in docs/list.md.",
    [
        click.Option(["-w", "--watch"], is_flag=True, help="Follow it until Ctrl-C."),
        DIR,
        FORMAT,
        *settings_options("list"),
    ],
    SETTINGS,
)
def _list(config: Path | None, dir: Path | None, format: str, watch: bool, **flags: Any) -> int:
    settings = settings_unless_dir("list", config, dir, flags)
    from galerist.cli.show import list_command

    return list_command(settings, dir, format, watch)


@command(
    "topology",
    "Show who leads whom where. From the proxies' ports to the nodes.",
    [DIR, FORMAT, *settings_options("list")],
    SETTINGS,
)
def _topology(config: Path | None, dir: Path | None, format: str, **flags: Any) -> int:
    settings = settings_unless_dir("list", config, dir, flags)
    from galerist.cli.show import topology_command

    return topology_command(settings, dir, format)


@command(
    "explain",
    "Say why a node is where it is. With the evidence, and with what ends a wait.",
    [click.Argument(["node"], required=False), DIR, FORMAT, *settings_options("explain")],
    SETTINGS,
)
def _explain(config: Path | None, dir: Path | None, format: str, node: str | None, **flags: Any) -> int:
    settings = settings_unless_dir("explain", config, dir, flags)
    from galerist.cli.show import explain_command

    return explain_command(settings, dir, node, format)


@command(
    "history",
    "Show what was decided and ordered, oldest first.",
    [DIR, FORMAT, *settings_options("list")],
    SETTINGS,
)
def _history(config: Path | None, dir: Path | None, format: str, **flags: Any) -> int:
    settings = settings_unless_dir("list", config, dir, flags)
    from galerist.cli.orders import history_command

    return history_command(settings, dir, format)


def _layout(dir: Path) -> Layout:
    from galerist.local.layout import locate

    layout = locate(dir, None)
    if not (layout.settings.exists() and layout.plan.exists()):
        raise click.UsageError(f"{layout.dir} holds no cluster of `galerist up`; give the folder that it printed")
    return layout


@command(
    "doctor",
    "Examine this machine and its cluster. Each finding comes with its remedy; exit code 1 when one is to be mended.",
    [DIR, FORMAT, *settings_options("list")],
    SETTINGS,
)
def _doctor(config: Path | None, dir: Path | None, format: str, **flags: Any) -> int:
    settings = settings_unless_dir("list", config, dir, flags)
    wrong = layout = None
    if dir is not None:
        layout = _layout(dir)
        settings = load({}, {}, layout.settings, part="list")
    else:
        try:
            settings = load_settings("bootstrap", config, flags)  # of a node, with its options for the server
        except SettingsError as error:
            wrong = error
    assert settings is not None
    from galerist.cli.doctor import doctor_command

    return doctor_command(settings, wrong, layout, format)


@command(
    "logs",
    "Show the logs of agents and servers, merged by time. With --dir from the files; else each agent is asked, and tells "
    "the last 16 KiB of each.",
    [
        click.Argument(["nodes"], nargs=-1, metavar="[NODE]..."),
        click.Option(
            ["-n", "--lines"], type=click.IntRange(0), default=200, help="How many, from the end; 0: all. [200]"
        ),
        DIR,
        *settings_options("list"),
    ],
    SETTINGS,
)
def _logs(config: Path | None, dir: Path | None, lines: int, nodes: tuple[str, ...], **flags: Any) -> int:
    settings = settings_unless_dir("list", config, dir, flags)
    from galerist.cli import journal

    if dir is None:
        assert settings is not None
        return journal.logs_of_agents(settings, nodes, lines)
    from galerist.local import plan

    layout = _layout(dir)
    known = plan.load(layout.plan.read_text()).nodes
    strangers = [node for node in nodes if node not in known]
    if strangers:
        raise click.UsageError(f"no node {strangers[0]} is known here (known: {', '.join(known)})")
    files: list[tuple[str, Path]] = []
    for node in nodes or known:
        files += [(node, layout.log(node)), (f"{node} mariadbd", layout.error_log(node))]
    return journal.logs_of_files(tuple(files), lines)


@command(
    "sql",
    "Open MariaDB's client in the right place. What follows -- is passed on to it.",
    [
        click.Option(["--write", "to"], flag_value="write", help="The write port. [so without any of these]"),
        click.Option(["--read", "to"], flag_value="read", help="The read port."),
        click.Option(["--node"], metavar="NODE", help="This node, past the proxy."),
        click.Argument(["words"], nargs=-1, type=click.UNPROCESSED, metavar="[-- OPTION...]"),
        DIR,
        *settings_options("list"),
    ],
    SETTINGS,
)
def _sql(
    config: Path | None, dir: Path | None, to: str | None, node: str | None, words: tuple[str, ...], **flags: Any
) -> int:
    if to is not None and node is not None:
        raise click.UsageError(f"--{to} and --node exclude one another")
    settings = settings_unless_dir("list", config, dir, flags)
    from galerist.cli.client import sql_command

    return sql_command(settings, dir, to or "write", node, words)
