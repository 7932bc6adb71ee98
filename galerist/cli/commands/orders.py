"""By which a person overrules, pauses, restarts; see galerist.cli.orders."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from galerist.cli.making import DIR, SETTINGS, command, settings_options, settings_unless_dir

_NODE = click.Argument(["node"])
_YES = click.Option(
    ["--yes"],
    is_flag=False,
    flag_value="",
    metavar="[NUMBER]",
    help="Do not ask. Where data may be lost, NUMBER is the one that the command prints.",
)


def _person(name: str) -> Callable[..., int]:
    def run(config: Path | None, dir: Path | None, yes: str | None, node: str | None = None, **flags: Any) -> int:
        settings = settings_unless_dir("list", config, dir, flags)
        from galerist.cli import orders

        body = getattr(orders, f"{name}_command")
        code: int = body(settings, dir, node, yes) if node is not None else body(settings, dir, yes)
        return code

    return run


for _name, _words, _on in (
    (
        "recover",
        "Start the cluster from one node by order, whatever other disks hold. Says first what may be lost.",
        [click.Option(["--node"], required=True, metavar="NODE", help="The node to start from.")],
    ),
    ("forget", "Stop waiting for a node that will never return.", [_NODE]),
    ("reinit", "Set a node's datadir aside, so that it joins as an empty one.", [_NODE]),
    ("pause", "Let the agents watch and decide nothing.", []),
    ("resume", "Let the agents decide again.", []),
):
    command(_name, _words, [*_on, _YES, DIR, *settings_options("list")], SETTINGS)(_person(_name))


@command(
    "restart",
    "Restart servers one after the other, the writer last. Clients are led away from each before; it halts when "
    "something stays unhealthy, and goes on when it is called again.",
    [
        click.Argument(["nodes"], nargs=-1, metavar="[NODE]..."),
        click.Option(["--rolling"], is_flag=True, help="All nodes; or go on with an unfinished restart."),
        click.Option(["--abort"], is_flag=True, help="End an unfinished restart."),
        click.Option(
            ["--timeout"], type=click.FloatRange(0), default=600.0, metavar="S", help="Seconds for each step. [600]"
        ),
        click.Option(
            ["--patience"],
            type=click.FloatRange(0),
            default=60.0,
            metavar="S",
            help="Seconds for a node that falls silent or is not well to come back. [60]",
        ),
        DIR,
        *settings_options("list"),
    ],
    SETTINGS,
)
def _restart(
    config: Path | None,
    dir: Path | None,
    nodes: tuple[str, ...],
    rolling: bool,
    abort: bool,
    timeout: float,
    patience: float,
    **flags: Any,
) -> int:
    settings = settings_unless_dir("list", config, dir, flags)
    from galerist.cli.restart import restart_command

    return restart_command(settings, dir, nodes, rolling, abort, timeout, patience)


@command(
    "load",
    "Show how the initialisation of the database went, or order a failed one to be tried again.",
    [
        click.Option(["--retry"], is_flag=True, help="Try a load again that has failed."),
        DIR,
        *settings_options("list"),
    ],
    SETTINGS,
)
def _load(config: Path | None, dir: Path | None, retry: bool, **flags: Any) -> int:
    settings = settings_unless_dir("list", config, dir, flags)
    from galerist.cli.orders import load_command

    return load_command(settings, dir, retry)
