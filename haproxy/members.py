"""Which servers the running HAProxy shall have, and the commands that bring it there.

The rendered configuration is the one truth: its ``server`` lines in the listeners that
galerist manages say what must run, whatever template they come from. What differs in
them is done over the runtime socket; what differs elsewhere needs a reload. Pure.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from galerist.endpoints import show
from haproxy.control import Row

MANAGED = ("write", "read", "all")
"""The listeners whose servers come and go without a reload."""

STEP = 1_000_000
"""Between the ids of neighbours where order matters, so that others fit in between."""

_SECTION = re.compile(r"(global|defaults|listen|frontend|backend|resolvers|peers|mailers|userlist|program|cache)\b")
_LAST_ID = 2**31 - 1
_NOT_AT_RUN_TIME = {"init-addr": 2}  # where the address is no name it means nothing


@dataclass(frozen=True, slots=True)
class Line:
    """A server as the configuration has it. ``args`` are its options, those of
    ``default-server`` first, without weight and id; ``rank`` is its id, None where order does
    not matter. ``plain``: it can be made at run time (an address, no quotes, no variables)."""

    name: str
    address: str
    port: int
    args: tuple[str, ...]
    rank: int | None
    weight: int
    plain: bool = True

    @property
    def check_port(self) -> int | None:
        found = [self.args[i + 1] for i, arg in enumerate(self.args[:-1]) if arg == "port"]
        return int(found[-1]) if found and found[-1].isdigit() else None


@dataclass(frozen=True, slots=True)
class Layout:
    """A configuration in two parts. Where ``structure`` differs, a reload is needed.
    ``servers`` are in the order of the text, or by rank where they have one."""

    structure: str
    servers: Mapping[str, tuple[Line, ...]]


def read_layout(text: str) -> Layout:
    """Take the managed servers out of a configuration. Never fails: what is no plain line stays structure."""
    structure: list[str] = []
    servers: dict[str, list[Line]] = {}
    common: tuple[str, ...] = ()  # of the section defaults
    own: tuple[str, ...] = ()
    listener = ""
    for raw in text.splitlines():
        words = raw.partition("#")[0].split()
        if words and _SECTION.match(words[0]):
            listener = words[1] if words[0] in ("listen", "backend") and len(words) > 1 else words[0]
            common, own = (() if words[0] == "defaults" else common), ()
            if listener in MANAGED:
                servers.setdefault(listener, [])
        elif words[:1] == ["default-server"] and listener == "defaults":
            common += tuple(words[1:])
        elif words[:1] == ["default-server"]:
            own += tuple(words[1:])
        elif words[:1] == ["server"] and listener in MANAGED and (line := _line(words, common + own)):
            servers[listener].append(line)
            continue
        structure.append(raw)
    return Layout("\n".join(structure), {name: _sorted(lines) for name, lines in servers.items()})


def _line(words: Sequence[str], defaults: tuple[str, ...]) -> Line | None:
    if len(words) < 3:
        return None
    host, _, port = words[2].rpartition(":")
    if not port.isdigit():
        return None
    host = host.removeprefix("[").removesuffix("]")
    args = [*defaults, *words[3:]]
    numbers = {"id": "", "weight": "1"}
    for key in numbers:
        while key in args[:-1]:
            at = args.index(key)
            numbers[key] = args[at + 1]
            del args[at : at + 2]
    for key, length in _NOT_AT_RUN_TIME.items():
        while key in args:
            at = args.index(key)
            del args[at : at + length]
    plain = plain_address(host) != "" and not set(" ".join(words)) & set("\"'\\$;<")
    if not all(value.isdigit() for value in numbers.values() if value):
        return None
    rank = int(numbers["id"]) if numbers["id"] else None
    return Line(words[1], host, int(port), tuple(args), rank, int(numbers["weight"]), plain)


def _sorted(lines: list[Line]) -> tuple[Line, ...]:
    if any(line.rank is None for line in lines):
        return tuple(lines)
    return tuple(sorted(lines, key=lambda line: line.rank or 0))


def plain_address(host: str) -> str:
    """One spelling for each address; empty for a name."""
    try:
        return str(ipaddress.ip_address(host))
    except ValueError:
        return ""


# -- from what runs to what is wanted ----------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Plan:
    """``steps`` are all that can be done now, in this order: server, and a line of commands.
    ``leaving`` are servers that must lose their sessions before they can be moved or go.
    ``reload``: why it cannot be done at run time, or nothing."""

    steps: tuple[tuple[str, str], ...] = ()
    leaving: frozenset[tuple[str, str]] = frozenset()
    reload: str = ""

    @property
    def done(self) -> bool:
        return not (self.steps or self.leaving or self.reload)


def plan(wanted: Layout, former: Layout, rows: Mapping[tuple[str, str], Row]) -> Plan:
    """What is left to do. ``former`` is the configuration that the rows came from, as far as it
    is known: it alone tells the options of a server, which HAProxy does not show."""
    if wanted.structure != former.structure:
        return Plan(reload="the configuration differs in more than servers")
    steps: list[tuple[str, str]] = []
    leaving: set[tuple[str, str]] = set()
    for listener, lines in wanted.servers.items():
        mine = {name: row for (proxy, name), row in rows.items() if proxy == listener}
        before = {line.name: line for line in former.servers.get(listener, ())}
        part = _listener(listener, lines, before, mine)
        if part.reload:
            return part
        steps += part.steps
        leaving |= part.leaving
    return Plan(tuple(steps), frozenset(leaving))


def _listener(listener: str, lines: tuple[Line, ...], before: Mapping[str, Line], rows: Mapping[str, Row]) -> Plan:
    steps: list[tuple[str, str]] = []
    leaving: set[tuple[str, str]] = set()
    for line in lines:
        old = before.get(line.name, line)
        if line.name in rows and (old.args != line.args or (old.rank is None) != (line.rank is None)):
            return Plan(reload=f"the options of {listener}/{line.name} differ")
    right = [line for line in lines if line.name in rows and _same_place(line, rows[line.name])]
    stay = set(_kept(right, rows)) if lines and lines[0].rank is not None else {line.name for line in right}
    for name in sorted(rows.keys() - {line.name for line in lines}):
        steps.append((f"{listener}/{name}", _gone(f"{listener}/{name}")))
        leaving.add((listener, name))
    ids = _ids(lines, stay, rows)
    for line in lines:
        server, row = f"{listener}/{line.name}", rows.get(line.name)
        if line.name in stay and row is not None:
            steps += [(server, command) for command in _put_right(server, line, row)]
            continue
        if row is not None and row.sessions:
            leaving.add((listener, line.name))
            if row.weight:
                steps.append((server, f"set server {server} weight 0"))
            continue
        if not line.plain:
            return Plan(reload=f"{server} cannot be made at run time: its line has a name, quotes or variables")
        number = ids.get(line.name)
        if line.rank is not None and number is None:
            return Plan(reload=f"no id is left for {server} between those of its neighbours")
        known_up = row is not None and row.running and not row.maint and _same_place(line, row)
        step = _made(server, line, number, known_up)
        steps.append((server, f"{_removed(server)}; {step}" if row is not None else step))
    return Plan(tuple(steps), frozenset(leaving))


def _put_right(server: str, line: Line, row: Row) -> list[str]:
    if row.maint and row.weight == 0 and line.weight:  # left so by a removal that was given up; not by a person
        return [f"set server {server} state ready; {_unproven(server, line)}"]
    return [] if row.weight == line.weight else [f"set server {server} weight {line.weight}"]


def _gone(server: str) -> str:
    return (
        f"set server {server} weight 0; set server {server} state maint; "
        f"shutdown sessions server {server}; del server {server}"
    )


def _removed(server: str) -> str:
    return f"set server {server} weight 0; set server {server} state maint; del server {server}"


def _made(server: str, line: Line, number: int | None, known_up: bool) -> str:
    """A new server takes nothing before its weight is set, and that is last: HAProxy would take it for up."""
    place = show((line.address, line.port)) + (f" id {number}" if number is not None else "")
    words = " ".join(("add server", server, place, *line.args, "weight 0"))
    health = f"enable health {server}; " if "check" in line.args else ""
    ready = f"set server {server} weight {line.weight}" if known_up or not health else _unproven(server, line)
    return f"{words}; {health}enable server {server}; {ready}"


def _unproven(server: str, line: Line) -> str:
    return f"set server {server} health down; set server {server} weight {line.weight}"


def _same_place(line: Line, row: Row) -> bool:
    if plain_address(line.address):
        same = plain_address(line.address) == plain_address(row.address) and row.fqdn == "-"
    else:
        same = row.fqdn == line.address
    return same and line.port == row.port and line.check_port in (None, row.check_port)


def _kept(lines: Sequence[Line], rows: Mapping[str, Row]) -> list[str]:
    """Which servers keep their ids: the heaviest run of them whose ids rise in the wanted order.

    Moving one ends its sessions, so those with sessions weigh more, and the first of all
    most: it is to take the sessions, the others are to lose theirs.
    """
    best: list[tuple[int, list[str]]] = []
    for index, line in enumerate(lines):
        row = rows[line.name]
        weight = 1 if not row.sessions else 1000 if index else 1_000_000
        run = max(
            (best[i] for i, other in enumerate(lines[:index]) if rows[other.name].id < row.id),
            key=lambda candidate: candidate[0],
            default=(0, []),
        )
        best.append((run[0] + weight, [*run[1], line.name]))
    return max(best, key=lambda candidate: candidate[0], default=(0, []))[1]


def _ids(lines: Sequence[Line], stay: set[str], rows: Mapping[str, Row]) -> dict[str, int]:
    """Ids for those that do not stay, between those of their neighbours; some are missing where there is no room."""
    if not lines or lines[0].rank is None:
        return {}
    taken = {row.id for row in rows.values()}
    given: dict[str, int] = {}
    position = 0
    while position < len(lines):
        end = position
        while end < len(lines) and lines[end].name not in stay:
            end += 1
        run = lines[position:end]
        low = rows[lines[position - 1].name].id if position else None
        high = rows[lines[end].name].id if end < len(lines) else None
        if low is None and high is None:
            low, width = (lines[0].rank or STEP) - STEP, STEP
        elif low is None:
            assert high is not None
            width = min(STEP, high // (len(run) + 1))
            low = high - width * (len(run) + 1)
        else:
            room = (high if high is not None else _LAST_ID) - low
            width = min(STEP, room // (len(run) + 1))
        for index, line in enumerate(run, 1):
            number = low + width * index
            while width > 1 and number in taken:  # by one that is still to go
                number -= max(1, width // 16)
            if width > 0 and number not in taken and 0 < number <= _LAST_ID:
                given[line.name] = number
                taken.add(number)
        position = end + 1
    return given
