"""How commands are made: flags from the settings, shared options, examples. Nothing heavy is imported here."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from galerist import __version__
from galerist.cli.examples import EXAMPLES
from galerist.settings import FIELDS, Field, Settings, load

EX_FAILED = 1

SETTINGS = (
    "A flag --some-key may be given as GALERIST_SOME_KEY in the environment, or as some_key in the file of --config. "
    "The flag goes over the environment, the environment over the file. All keys: docs/settings.md."
)
"""The last words of the help of each command that takes settings."""

CONFIG = click.Option(
    ["--config"],
    envvar="GALERIST_CONFIG",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="File with settings (TOML).",
)
DIR = click.Option(
    ["--dir"], type=click.Path(path_type=Path), metavar="DIR", help="Folder of a cluster made by `galerist up`."
)
FORMAT = click.Option(
    ["--format"], type=click.Choice(["table", "json", "yaml", "tsv"]), default="table", help="How it is shown."
)
CLUSTER = click.Option(["--cluster"], metavar="NAME", help="Name of the cluster. [galera]")


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(__version__, prog_name="galerist", message="%(prog)s %(version)s")
def galerist() -> None:
    """Galera clusters that start, heal and explain themselves."""


def examples(name: str) -> str:
    """The end of the help of a command."""
    return "\b\nExamples:\n" + "\n".join(f"  {line}" for line in EXAMPLES[name].strip().splitlines())


def command(
    name: str, help: str, parameters: list[click.Parameter], epilog: str = ""
) -> Callable[[Callable[..., int]], Callable[..., int]]:
    """Make a function a command of galerist; it gets ``parameters`` by name and returns the exit code."""

    def add(run: Callable[..., int]) -> Callable[..., int]:
        galerist.add_command(
            click.Command(
                name,
                callback=run,
                params=parameters,
                help=help,
                epilog=f"{examples(name)}\n\n{epilog}",
                short_help=help.partition(".")[0] + ".",
            )
        )
        return run

    return add


def settings_options(part: str) -> list[click.Parameter]:
    """--config, and a flag for each setting that the part knows."""
    return [CONFIG, *(_option(field) for field in FIELDS if part in field.parts)]


def _option(field: Field) -> click.Option:
    if field.type_text == "true|false":
        names = [field.flag, f"--no-{field.flag[2:]}"]
        return click.Option(["/".join(names), field.key], default=None, is_flag=True, help=_help(field))
    metavar = "FILE" if field.secret else field.type_text.upper().replace(" ", "-")
    return click.Option([field.flag, field.key], metavar=metavar, help=_help(field))


def _help(field: Field) -> str:
    text = f"file with the {field.help}" if field.secret else field.help
    text = text[0].upper() + text[1:]
    return f"{text}. [{field.default_text}]" if field.default_text else f"{text}."


def texts(flags: dict[str, Any]) -> dict[str, str | None]:
    """What the flags say, as the settings read it."""
    return {key: str(value).lower() if isinstance(value, bool) else value for key, value in flags.items()}


def load_settings(part: str, config: Path | None, flags: dict[str, Any]) -> Settings:
    """Of flags, environment and file. Raises SettingsError."""
    return load(texts(flags), os.environ, config, part)


def log(settings: Settings, who: str) -> None:
    """Log as the settings say."""
    from galerist import logs

    logs.setup(settings.log_level, settings.log_format, who, file=settings.log_file)


def settings_unless_dir(part: str, config: Path | None, dir: Path | None, flags: dict[str, Any]) -> Settings | None:
    """The registry is found by the settings, or (None) by the folder of a local cluster."""
    if dir is None:
        settings = load_settings(part, config, flags)
        log(settings, "")
        return settings
    given = [key for key, value in flags.items() if value is not None and not key.startswith("log_")]
    if given:
        raise click.UsageError(f"--dir and --{given[0].replace('_', '-')} exclude one another")
    return None
