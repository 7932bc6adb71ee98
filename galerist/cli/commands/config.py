"""Settings of running servers; see galerist.cli.config."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from galerist.cli.making import DIR, FORMAT, SETTINGS, examples, galerist, settings_options, settings_unless_dir
from galerist.settings import FIELDS

_OF_SETTINGS = {field.key for field in FIELDS if "list" in field.parts}


@galerist.group("config", short_help="Settings of running servers, for the whole cluster.", epilog=examples("config"))
def _config() -> None:
    """Settings of running servers, for the whole cluster. They are applied without a restart."""


def _add(name: str, help: str, parameters: list[click.Parameter]) -> None:
    def run(config: Path | None, dir: Path | None, **words: Any) -> int:
        flags = {key: words.pop(key) for key in list(words) if key in _OF_SETTINGS}
        settings = settings_unless_dir("list", config, dir, flags)
        from galerist.cli import config as commands

        code: int = getattr(commands, f"{name}_command")(settings, dir, **words)
        return code

    options = [*parameters, DIR, *settings_options("list")]
    _config.add_command(click.Command(name, callback=run, params=options, help=help, epilog=SETTINGS))


_add("show", "What is set, and which nodes have it.", [FORMAT])
_add(
    "set",
    "Set: NAME=VALUE. A wrong name lists those that can be set.",
    [click.Argument(["pairs"], nargs=-1, required=True, metavar="NAME=VALUE...")],
)
_add(
    "unset",
    "Set no longer; running servers keep the value until their next restart.",
    [click.Argument(["names"], nargs=-1, required=True, metavar="NAME...")],
)
_add("edit", "All of it in your editor.", [])
