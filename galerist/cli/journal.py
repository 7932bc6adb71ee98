"""``galerist logs``: the logs of agents and servers, merged by time.

Of a cluster made by `galerist up` the files; else what the agents tell of theirs, by way of the registry.
"""

from __future__ import annotations

import datetime
import re
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from bootstrap.scout import LOGS
from galerist.cli.asking import Question
from galerist.cli.orders import USAGE
from galerist.cli.show import opened
from galerist.settings import Settings
from galerist.view.facts import read

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


def parse(who: str, lines: Iterable[str], zone: datetime.tzinfo | None = None) -> Iterator[Line]:
    """The lines of one log. MariaDB writes local time (of ``zone``, None: of this machine), all else UTC. What comes
    before the first time is left out."""
    time, text = None, ""
    for line in lines:
        found = _moment(line, zone)
        if found is None:
            text += f"\n{line}"
            continue
        if time is not None:
            yield Line(time, who, text)
        time, text = found, line
    if time is not None:
        yield Line(time, who, text)


def _moment(line: str, local: datetime.tzinfo | None) -> float | None:
    match, zone = _AGENT.match(line) or _JSON.match(line), local
    if match is not None:
        zone = datetime.UTC
    else:
        match = _SERVER.match(line)
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


def logs_of_files(files: tuple[tuple[str, Path], ...], count: int) -> int:
    """Show these files, (who, path). 1 when none of them can be read."""
    logs, wrong = [], []
    for who, path in files:
        try:
            logs.append(list(parse(who, tail(path))))
        except OSError as error:
            wrong.append(f"{path}: {error.strerror}")
    return _show(logs, wrong, count)


def logs_of_agents(settings: Settings, nodes: tuple[str, ...], count: int) -> int:
    """Show what the agents of these nodes, of all for (), tell of their logs. 1 when none of them tells anything."""
    with opened(settings, None) as (registry, cluster):
        question = Question(registry, cluster)
        seen = read(registry, cluster)
        reporting = {report.node for report in seen.reports}
        known = sorted(reporting | {record.node for record in seen.nodes})
        if strangers := [node for node in nodes if node not in known]:
            print(
                f"galerist: no node {strangers[0]} is known here (known: {', '.join(known) or 'none'})", file=sys.stderr
            )
            return USAGE
        chosen = nodes or tuple(known)
        question.put(LOGS)
        answers = question.answers(tuple(node for node in chosen if node in reporting))
    logs, wrong = [], []
    for node in chosen:
        if node not in answers:
            wrong.append(
                f"{node} does not tell; on its machine: journalctl, or the container's logs, and the server's error_log"
            )
            continue
        answer = answers[node]
        zone = datetime.timezone(datetime.timedelta(seconds=answer.zone))
        logs.append(list(parse(node, answer.agent.splitlines())))
        logs.append(list(parse(f"{node} mariadbd", answer.server.splitlines(), zone)))
    return _show(logs, wrong, count)


def _show(logs: list[list[Line]], wrong: list[str], count: int) -> int:
    for line in merged(logs, count):
        text = line.text if re.search(rf"\b{re.escape(line.who)}:", line.text[:60]) else f"{line.who}: {line.text}"
        print(text)
    for sentence in wrong:
        print(f"galerist: {sentence}", file=sys.stderr)
    return 0 if logs else 1
