"""``galerist tls``: certificates for a trial."""

from __future__ import annotations

import sys
from pathlib import Path

from galerist.deploy.tls import Refused, init
from galerist.settings import kinds


def make(renew: bool, out: Path, days: int, holders: tuple[str, ...]) -> int:
    """Write what was asked for into ``out``; the exit code. ``holders`` are ``NAME[=HOST,…]``."""
    try:
        wanted = dict(_holder(text) for text in holders)
    except ValueError as error:
        print(f"galerist: {error}", file=sys.stderr)
        return 2
    try:
        written = init(out, wanted, days, renew)
    except Refused as error:
        print(f"galerist: {error}", file=sys.stderr)
        return 1
    except OSError as error:
        print(f"galerist: {error.filename or out}: {error.strerror}; choose another --out", file=sys.stderr)
        return 1
    print("\n".join(map(str, written)) or "nothing is missing; `galerist tls renew` makes certificates anew")
    return 0


def _holder(text: str) -> tuple[str, tuple[str, ...]]:
    name, _, rest = text.partition("=")
    hosts = tuple(filter(None, rest.split(",")))
    for kind, value in ((kinds.NAME, name), *((kinds.HOST, host) for host in hosts)):
        try:
            kind.read(value)
        except ValueError as error:
            raise ValueError(f"{text}: {value!r} {error}; {kind.expected}") from None
    return name, hosts
