"""``galerist logs``: the logs of agents and servers, merged by time.

Those of all nodes of a cluster made by `galerist up`; else of the node on this machine.
"""

from __future__ import annotations

import datetime
import re
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

_AGENT = re.compile(r"(\d{4}-\d\d-\d\d)T(\d\d:\d\d:\d\d)Z ")
_SERVER = re.compile(r"(\d{4}-\d\d-\d\d) +(\d{1,2}:\d\d:\d\d) ")
_JSON = re.compile(r'\{"time": "(\d{4}-\d\d-\d\d)T(\d\d:\d\d:\d\d)Z"')
_MOST = 1 << 22
"""Bytes read from the end of each file."""


@dataclass(frozen=True, slots=True, order=True)
class Line:
    """``time`` is UTC, in seconds since 1970; ``text`` may have further lines that had no time of their own."""

    time: float
    who: str
    text: str


def parse(who: str, lines: Iterable[str]) -> Iterator[Line]:
    """The lines of one log. MariaDB writes local time, all else UTC. What comes before the first time is left out."""
    time, text = None, ""
    for line in lines:
        found = _moment(line)
        if found is None:
            text += f"\n{line}"
            continue
        if time is not None:
            yield Line(time, who, text)
        time, text = found, line
    if time is not None:
        yield Line(time, who, text)


def _moment(line: str) -> float | None:
    match = _AGENT.match(line) or _JSON.match(line)
    zone: datetime.tzinfo | None = datetime.UTC
    if match is None:
        match, zone = _SERVER.match(line), None
    if match is None:
        return None
    try:
        clock = datetime.datetime.strptime(f"{match[1]} {match[2]}", "%Y-%m-%d %H:%M:%S")
    except ValueError:
        return None
    return clock.replace(tzinfo=zone).timestamp()


def merged(logs: Iterable[Iterable[Line]], count: int) -> list[Line]:
    """The last ``count`` lines of all logs together; those of one second stay in the order of their log."""
    together = [line for log in logs for line in log]
    together.sort(key=lambda line: line.time)
    return together[-count:] if count else together


def tail(path: Path) -> list[str]:
    """The end of a file. Raises OSError."""
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - _MOST))
        return file.read().decode(errors="replace").splitlines()


def logs_command(files: tuple[tuple[str, Path], ...], count: int) -> int:
    """Show these files, (who, path). 1 when none of them can be read."""
    logs, wrong = [], []
    for who, path in files:
        try:
            logs.append(list(parse(who, tail(path))))
        except OSError as error:
            wrong.append(f"{path}: {error.strerror}")
    for line in merged(logs, count):
        text = line.text if re.search(rf"\b{re.escape(line.who)}:", line.text[:60]) else f"{line.who}: {line.text}"
        print(text)
    for sentence in wrong:
        print(f"galerist: {sentence}", file=sys.stderr)
    return 0 if logs else 1
