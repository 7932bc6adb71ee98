"""The entry: one command line, one exit code."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

import click

from galerist.cli.commands import config, daemons, local, orders, traffic, views  # noqa: F401 (each adds its commands)
from galerist.cli.making import EX_FAILED, galerist
from galerist.settings import SettingsError

EX_CONFIG = 78
EX_INTERRUPTED = 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; the exit code. Mistakes of the user end in a message, never in a traceback."""
    from galerist.registry.contract import RegistryError

    try:
        code = galerist.main(args=arguments, prog_name="galerist", standalone_mode=False)
        return code if isinstance(code, int) else 0
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        return error.exit_code
    except click.UsageError as error:  # in one line: who wants the usage asks for it
        command = error.ctx.command_path if error.ctx is not None else "galerist"
        print(f"galerist: {error.format_message().rstrip('.')}; see {command} --help", file=sys.stderr)
        return error.exit_code
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except SettingsError as error:
        print(error, file=sys.stderr)
        return EX_CONFIG
    except RegistryError as error:
        print(f"galerist: {error}", file=sys.stderr)
        if hint := _local(sys.argv[1:] if arguments is None else arguments):
            print(hint, file=sys.stderr)
        return EX_FAILED
    except (KeyboardInterrupt, click.Abort):
        return EX_INTERRUPTED


def _local(arguments: Sequence[str]) -> str:
    """Where a cluster of `galerist up` lies that the user may have meant; "" when there is none, or he named a place."""
    from galerist.local.layout import locate

    named = any(word.startswith(("--dir", "--registry", "--config")) for word in arguments)
    if named or "GALERIST_REGISTRY" in os.environ or "GALERIST_CONFIG" in os.environ:
        return ""
    layout = locate(None, None)
    return f"A cluster of `galerist up` lies in {layout.dir}: add --dir {layout.dir}" if layout.plan.exists() else ""


def clustercheck() -> int:
    """The program ``clustercheck``: the sub-command of that name."""
    return main(["clustercheck", *sys.argv[1:]])


if __name__ == "__main__":
    sys.exit(main())
