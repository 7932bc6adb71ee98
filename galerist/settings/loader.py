"""Reads flags, environment and file into Settings, and collects everything that is wrong."""

from __future__ import annotations

import difflib
import os
import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from galerist.settings import userconf
from galerist.settings.checks import cross_checks
from galerist.settings.problems import Problem, Secret, SettingsError, bare
from galerist.settings.schema import FIELDS, Field, Settings

PREFIX = "GALERIST_"
CONFIG_VARIABLE = "GALERIST_CONFIG"

# What Docker links and Kubernetes add for a service that happens to be called galerist…
_SERVICE_LINK = re.compile(r"\w+_(SERVICE_HOST|SERVICE_PORT\w*|PORT_\d+_(TCP|UDP|SCTP)\w*)")


@dataclass(frozen=True, slots=True)
class _Given:
    """A value as it was written: by which key, where, and the folder that relative paths start from."""

    key: str
    value: Any
    where: str
    base: Path


def load(
    flags: Mapping[str, str | None], environ: Mapping[str, str], file: Path | None, part: str | None = None
) -> Settings:
    """The settings, checked.

    ``flags`` holds texts by key (``sql_port``, ``root_password_file``); None is not given. An empty
    variable counts as not given. With ``part`` (a sub-command) secrets that it does not take are
    None and files that it does not take need not exist, so that one file serves all machines and
    users. Relative paths start from the folder of the file they are written in, else from the
    working directory. Raises :class:`SettingsError` with all problems.
    """
    problems: list[Problem] = []
    table = _read_toml(file, problems) if file is not None else {}
    mariadb_table = table.pop("mariadb", {})
    _unknown(flags, environ, table, file, problems)

    values: dict[str, Any] = {}
    bad: set[str] = set()
    origins: dict[str, str] = {}
    for field in FIELDS:
        concerned = part is None or part in field.parts
        before = len(problems)
        given = _given(field, flags, environ, table, file, problems)
        value = _read(field, given, concerned, problems) if given is not None else None
        if len(problems) > before:
            bad.add(field.name)
        if given is None or field.name in bad:
            value = field.default(values)
        values[field.name] = value
        origins[field.name] = given.where if given is not None else "default"

    options: userconf.Options = ()
    provider_options: tuple[tuple[str, str], ...] = ()
    if part in (None, "bootstrap", "arbitrator"):
        folder = values["mariadb_conf_dir"]
        options, provider_options = userconf.collect(folder, mariadb_table, str(file), problems)
    problems += cross_checks(values, bad, origins)
    if problems:
        raise SettingsError(tuple(problems))
    return Settings(**values, mariadb=options, provider_options=provider_options)


def _read_toml(file: Path, problems: list[Problem]) -> dict[str, Any]:
    try:
        with file.open("rb") as stream:
            return tomllib.load(stream)
    except OSError as error:
        why = (error.strerror or str(error)).lower()
        problems.append(
            Problem("config", str(file), "", f"cannot be read: {why}", "give a readable TOML file with --config")
        )
    except tomllib.TOMLDecodeError as error:
        problems.append(Problem("config", str(file), "", f"is not TOML: {error}", "correct that line"))
    except UnicodeDecodeError as error:
        problems.append(Problem("config", str(file), "", f"is not UTF-8 (byte {error.start})", "save it as UTF-8"))
    return {}


def _keys() -> set[str]:
    return {field.name for field in FIELDS} | {field.key for field in FIELDS}


def _unknown(
    flags: Mapping[str, str | None],
    environ: Mapping[str, str],
    table: Mapping[str, Any],
    file: Path | None,
    problems: list[Problem],
) -> None:
    keys = _keys()
    for key in flags:
        if key not in keys or (key in {field.name for field in FIELDS if field.secret}):
            problems.append(_stranger(key, "flag", keys, lambda known: "--" + known.replace("_", "-")))
    for variable, value in environ.items():
        if not variable.startswith(PREFIX) or variable == CONFIG_VARIABLE:
            continue
        if variable.removeprefix(PREFIX).lower() in keys and variable == variable.upper():
            continue
        if _SERVICE_LINK.fullmatch(variable) or re.match(r"(tcp|udp|sctp)://", value):
            continue
        key = variable.removeprefix(PREFIX).lower()
        problems.append(_stranger(key, "environment", keys, lambda known: PREFIX + known.upper(), shown=variable))
    for key in table:
        if key not in keys:
            problems.append(_stranger(key, str(file), keys | {"mariadb"}, str))


def _stranger(key: str, where: str, keys: Iterable[str], spell: Any, shown: str | None = None) -> Problem:
    near = difflib.get_close_matches(key.replace("-", "_").lower(), sorted(keys), n=1)
    remedy = f"did you mean {spell(near[0])}?" if near else "remove it; docs/settings.md lists all keys"
    return Problem(shown or key, None, where, "is not a setting of galerist", remedy)


def _given(
    field: Field,
    flags: Mapping[str, str | None],
    environ: Mapping[str, str],
    table: Mapping[str, Any],
    file: Path | None,
    problems: list[Problem],
) -> _Given | None:
    here = Path.cwd()
    if flags.get(field.key) is not None:
        return _Given(field.key, flags[field.key], f"flag {field.flag}", here)
    keys = (field.key, field.name) if field.secret else (field.name,)
    variables = {key: PREFIX + key.upper() for key in keys}
    levels = [
        [
            _Given(key, environ[name], f"environment {name}", here)
            for key, name in variables.items()
            if environ.get(name)
        ]
    ]
    if file is not None:
        base = file.absolute().parent
        levels.append([_Given(key, table[key], str(file), base) for key in keys if key in table])
    for level in levels:
        if len(level) > 1:
            text = f"is given twice, also as {level[1].key}"
            problems.append(Problem(level[0].key, None, level[0].where, text, "keep one of the two"))
        if level:
            return level[0]
    return None


class _Wrong(Exception):
    """A value that cannot be taken: text, remedy, and the value to show if it is not the written one."""

    def __init__(self, text: str, remedy: str, shown: str | None = None) -> None:
        super().__init__(text)
        self.text, self.remedy, self.shown = text, remedy, shown


def _read(field: Field, given: _Given, concerned: bool, problems: list[Problem]) -> Any:
    """The value, or None and a problem more."""
    try:
        if field.secret:
            return _read_secret(field, given) if concerned else None
        return _read_value(field, given, concerned)
    except _Wrong as wrong:
        shown = wrong.shown if field.secret else wrong.shown or _harmless(str(given.value))
        problems.append(Problem(given.key, shown, given.where, wrong.text, wrong.remedy))
        return None


def _harmless(text: str) -> str:
    """``text`` without the user and password that somebody may have put into a URL."""
    return re.sub(r"//[^/]*@", "//****@", text)


def _read_value(field: Field, given: _Given, concerned: bool) -> Any:
    try:
        text = _text(given.value, field.kind.natives)
        if text == "" and field.default_text == "":
            return field.default({})  # an empty text takes back what the file had set
        value = field.kind.read(text)
    except ValueError as error:
        raise _Wrong(str(error), field.kind.expected) from None
    if field.kind.path:
        paths = [_absolute(given.base, path) for path in (value if isinstance(value, tuple) else (value,))]
        if field.must_exist and concerned:
            for path in paths:
                why = _unreadable(path)
                if why:
                    remedy = "give the path of something that galerist's user may read"
                    raise _Wrong(f"cannot be read: {why}", remedy, str(path))
        return tuple(paths) if isinstance(value, tuple) else paths[0]
    return value


def _read_secret(field: Field, given: _Given) -> Secret:
    if not isinstance(given.value, str):
        raise _Wrong("is not a text", f"put the secret into a file and give {field.key}")
    secret, path = given.value, None
    if given.key == field.key:
        path = _absolute(given.base, Path(given.value))
        try:
            secret = path.read_text(encoding="utf-8")
        except OSError as error:
            why = (error.strerror or str(error)).lower()
            remedy = f"name a file in {field.key} that galerist's user may read"
            raise _Wrong(f"cannot read {path}: {why}", remedy) from None
        except UnicodeDecodeError:
            raise _Wrong(f"cannot read {path}: it is not UTF-8 text", "write the secret as text into it") from None
        secret = bare(secret)
    if not secret:
        raise _Wrong("is empty", "write the secret into it, or remove the setting")
    if re.search(r"[\x00-\x1f\x7f]", secret):
        raise _Wrong("holds a line break or a control character", "keep the secret to one line of text")
    return Secret(secret, path)


def _text(value: Any, natives: tuple[type, ...]) -> str:
    if isinstance(value, str):
        return value
    if type(value) not in natives:
        raise ValueError("has the wrong type")
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        if not all(isinstance(item, str) and "," not in item for item in value):
            raise ValueError("holds something that is not a text without commas")
        return ",".join(value)
    return str(value)


def _absolute(base: Path, path: Path) -> Path:
    return Path(os.path.abspath(base / path))  # noqa: PTH100  # resolve() would follow symlinks


def _unreadable(path: Path) -> str | None:
    """Why ``path`` cannot be read, None if it can."""
    try:
        if path.is_dir():
            next(path.iterdir(), None)
        else:
            path.open("rb").close()
    except OSError as error:
        return (error.strerror or str(error)).lower()
    return None
