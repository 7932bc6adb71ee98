"""How commands show data: a table for people, JSON, YAML or tab-separated values for programs."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console

FORMATS = ("table", "json", "yaml", "tsv")

WIDE = 160
"""Columns where no terminal says how many there are."""

STYLES = {"good": "green", "busy": "yellow", "bad": "red"}
"""The colour of each tone; the words say the same without."""


def console() -> Console:
    """For standard output; without colours when NO_COLOR is set or nobody looks."""
    from rich.console import Console

    return Console(highlight=False, width=None if sys.stdout.isatty() else WIDE)


def emit(format: str, data: Any, rows: Sequence[tuple[str, ...]], table: Callable[[], None]) -> None:
    """Show ``data``. ``rows`` are for tsv, the heading first; ``table`` shows it to people."""
    if format == "json":
        print(json.dumps(data, indent=2))
    elif format == "yaml":
        import yaml

        yaml.safe_dump(data, sys.stdout, sort_keys=False, allow_unicode=True, width=120)
    elif format == "tsv":
        for row in rows:
            print(tsv(row))
    else:
        table()


def tsv(cells: Iterable[object]) -> str:
    """One line; what would break it is a space."""
    return "\t".join("" if cell is None else " ".join(str(cell).split()) for cell in cells)
