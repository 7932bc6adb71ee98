"""``galerist config show | set | unset | edit``: settings of running servers, for the whole cluster."""

from __future__ import annotations

import json
import os
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

from galerist.cli.orders import CHANGED, FAILED, USAGE, person, record
from galerist.cli.output import console, emit
from galerist.cli.show import opened
from galerist.registry.contract import Registry, RegistryUnusable, Swap
from galerist.registry.keys import Keys
from galerist.settings import Settings, dynamic
from galerist.settings.dynamic import VARIABLES, Unfit

Values = dict[str, str]


def show_command(settings: Settings | None, dir: Path | None, format: str) -> int:
    """What is set, and which nodes have it."""
    with opened(settings, dir) as (registry, cluster):
        raw, values = _read(registry, cluster)
        told = _told(registry, Keys(cluster), raw)
        members = sorted(key.rpartition("/")[2] for key in registry.list(Keys(cluster).members))
    data = {"mariadb": values, "nodes": {node: told.get(node, "not applied yet" if values else "") for node in members}}
    rows = [("NAME", "VALUE", "WHAT")]
    rows += [(name, value, VARIABLES[name].help) for name, value in values.items()]
    emit(format, data, rows, lambda: _print(values, data["nodes"]))
    return 0


def _print(values: Values, nodes: Mapping[str, str]) -> None:
    from rich.markup import escape

    screen = console()
    if not values:
        screen.print("Nothing is set for the whole cluster. galerist config edit lists what can be.")
    for name, value in values.items():
        screen.print(f"[bold]{name}[/] = {value}   [dim]{VARIABLES[name].help}[/]", soft_wrap=True)
    for node, words in nodes.items():
        if words:
            screen.print(f"  {node}: {escape(words)}", soft_wrap=True)


def _told(registry: Registry, keys: Keys, raw: str | None) -> dict[str, str]:
    """What the agents say of it, in words."""
    found = {}
    for key, text in registry.list(keys.tuned).items():
        try:
            said = json.loads(text)
            trouble = "; ".join(f"{name}: {why}" for name, why in said["trouble"].items())
            state = "applied" if said["config"] == raw else "not applied yet"
        except (ValueError, KeyError, TypeError, AttributeError):
            trouble, state = "", "not applied yet"
        found[key.rpartition("/")[2]] = trouble or state
    return found


def set_command(settings: Settings | None, dir: Path | None, pairs: tuple[str, ...]) -> int:
    """``NAME=VALUE…``. Exit code 2 for one that cannot be taken."""
    try:
        wanted = dict(dynamic.read(*_split(pair)) for pair in pairs)
    except Unfit as error:
        print(f"galerist: {error}", file=sys.stderr)
        return USAGE
    return _change(settings, dir, lambda values: values | wanted)


def unset_command(settings: Settings | None, dir: Path | None, names: tuple[str, ...]) -> int:
    """The servers keep the value until their next restart, which begins with the option file's."""
    gone = {name.lower().replace("-", "_") for name in names}

    def without(values: Values) -> Values:
        if strangers := sorted(gone - values.keys()):
            raise Unfit(f"{', '.join(strangers)}: not set for the cluster (set are: {', '.join(values) or 'none'})")
        return {name: value for name, value in values.items() if name not in gone}

    code = _change(settings, dir, without)
    if code == 0:
        print("Running servers keep the value until their next restart: galerist restart --rolling")
    return code


def edit_command(settings: Settings | None, dir: Path | None) -> int:
    """All of it in the editor, again as long as it cannot be taken. What cannot be taken in the end is kept in a file."""
    import click

    with opened(settings, dir) as (registry, cluster):
        raw, values = _read(registry, cluster)
    text, trouble = _as_text(values), ""
    while True:
        edited = click.edit(_noted(trouble) + text, extension=".conf")
        if edited is None or _lines(edited) == _lines(text):
            if trouble:
                return _kept(text, trouble, USAGE)
            print("Nothing was changed.")
            return 0
        text = edited.removeprefix(_noted(trouble))
        try:
            wanted = dict(dynamic.read(*_split(line)) for line in _lines(text))
            break
        except Unfit as error:
            trouble = str(error)
    with opened(settings, dir) as (registry, cluster):
        code = _swap(registry, cluster, raw, values, wanted)
        return code if code == 0 else _kept(text, CHANGED, code)


def _as_text(values: Values) -> str:
    text = "# NAME = VALUE, a line each. Lines that begin with # do not count.\n"
    text += "".join(f"{name} = {value}\n" for name, value in values.items())
    return text + "".join(f"# {one.name}: {one.help}\n" for one in VARIABLES.values() if one.name not in values)


def _noted(trouble: str) -> str:
    return f"# This cannot be taken: {trouble}\n# Mend it, or leave it as it is to give up.\n" if trouble else ""


def _lines(text: str) -> list[str]:
    return [line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]


def _kept(text: str, why: str, code: int) -> int:
    """Nobody's typing is lost."""
    number, path = tempfile.mkstemp(prefix="galerist-config-", suffix=".conf")
    with os.fdopen(number, "w") as file:
        file.write(text)
    print(f"galerist: {why}. Nothing was changed; your text is kept in {path}", file=sys.stderr)
    return code


def _split(pair: str) -> tuple[str, str]:
    name, equals, value = pair.partition("=")
    if not equals:
        raise Unfit(f"{pair!r} is not NAME=VALUE")
    return name, value


def _read(registry: Registry, cluster: str) -> tuple[str | None, Values]:
    raw = registry.get(Keys(cluster).config)
    try:
        return raw, dynamic.parse(raw)
    except Unfit as error:
        raise RegistryUnusable(str(error)) from error


def _change(settings: Settings | None, dir: Path | None, change: Callable[[Values], Values]) -> int:
    with opened(settings, dir) as (registry, cluster):
        raw, values = _read(registry, cluster)
        try:
            wanted = change(values)
        except Unfit as error:
            print(f"galerist: {error}", file=sys.stderr)
            return FAILED
        code = _swap(registry, cluster, raw, values, wanted)
        if code:
            print(f"galerist: {CHANGED}", file=sys.stderr)
        return code


def _swap(registry: Registry, cluster: str, raw: str | None, values: Values, wanted: Values) -> int:
    """From ``values``, as they stood in ``raw``, to what is wanted; 1 when they have changed meanwhile."""
    keys, wanted = Keys(cluster), dict(sorted(wanted.items()))
    if wanted == values:
        print("That is how it is already.")
        return 0
    if registry.swap(keys.config, raw, dynamic.dump(wanted)) is not Swap.WON:
        return FAILED
    says = [
        f"{name} = {wanted.get(name, 'not set')}"
        for name in sorted({*values, *wanted})
        if values.get(name) != wanted.get(name)
    ]
    record(registry, keys, f"A person set: {', '.join(says)}.", (), person())
    print("\n".join(says) + "\nThe agents apply it within seconds, without a restart: galerist config show")
    return 0
