"""By which a person leads clients elsewhere; see galerist.cli.traffic."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from galerist.cli.making import DIR, SETTINGS, command, settings_options, settings_unless_dir

_NODE = click.Argument(["node"])


def _timeout(default: int) -> click.Option:
    words = f"Seconds to wait. [{default}]"
    return click.Option(["--timeout"], type=click.FloatRange(0), default=float(default), metavar="S", help=words)


def _traffic(name: str) -> Callable[..., int]:
    def run(
        config: Path | None,
        dir: Path | None,
        node: str | None,
        timeout: float = 0.0,
        file: Path | None = None,
        **flags: Any,
    ) -> int:
        settings = settings_unless_dir("list", config, dir, flags)
        if file is not None and node is not None:
            from galerist.cli.standing import follow

            return follow(settings, dir, node, file)
        from galerist.cli import traffic

        code: int = getattr(traffic, f"{name}_command")(settings, dir, node, timeout)
        return code

    return run


for _name, _words, _on in (
    (
        "switchover",
        "Make another node the writer. Ends when every proxy has confirmed.",
        [
            click.Option(["--to", "node"], metavar="NODE", help="The node. [the next in the order that has caught up]"),
            _timeout(15),
        ],
    ),
    (
        "drain",
        "Lead all clients away from a node and take it out of flow control. Ends when both are done.",
        [
            _NODE,
            _timeout(60),
            click.Option(
                ["--while", "file"],
                type=click.Path(path_type=Path),
                metavar="FILE",
                help='Run until it is stopped, and keep the node drained as long as this file says something but "no".',
            ),
        ],
    ),
    ("undrain", "Let a drained node have clients again.", [_NODE]),
):
    command(_name, _words, [*_on, DIR, *settings_options("list")], SETTINGS)(_traffic(_name))
