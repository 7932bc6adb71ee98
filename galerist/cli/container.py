"""The entrypoint of a container: what PID 1 starts for a node or a proxy."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path

from galerist import logs, pid1
from galerist.cli import wellknown
from galerist.settings import Settings, SettingsError, load
from galerist.settings.loader import CONFIG_VARIABLE, PREFIX
from galerist.settings.schema import FIELDS


def node(config: Path | None, flags: Mapping[str, str | None]) -> int:
    """A node: its agent, and its health endpoint beside it. Returns an exit code; raises SettingsError."""
    init = wellknown.INIT_DIR
    try:
        dumps = tuple(init.iterdir()) if init.is_dir() else ()
    except OSError as error:
        return _closed(error, init)
    found, problems = wellknown.translate(os.environ, dumps)
    if problems:
        raise SettingsError(tuple(problems))
    environ = as_environment(config, flags, {**os.environ, **found})
    settings = _checked("bootstrap", environ)
    foreign = settings.datadir.parent
    try:
        filled = (foreign / "ibdata1").exists() and not (settings.datadir / "ibdata1").exists()
    except OSError as error:  # a folder of the machine that is mounted belongs to somebody else
        return _closed(error, foreign)
    if filled:
        print(
            f"galerist: {foreign} holds the data of another image; this one keeps them in {settings.datadir}: with no "
            f"server running on them, move all files there, or set GALERIST_DATADIR",
            file=sys.stderr,
        )
        return 78
    logs.setup(settings.log_level, settings.log_format, settings.node)
    others = [_part("clustercheck", beside("clustercheck", environ))]
    if settings.drain_file is not None:
        words = ("drain", settings.node, "--while", str(settings.drain_file))
        others.append(pid1.Part("drain", (sys.executable, "-m", "galerist", *words), beside("list", environ)))
    return pid1.run(_part("bootstrap", environ), others)


def _closed(error: OSError, place: Path) -> int:
    print(
        f"galerist: {error.filename or place}: {error.strerror}; give {place} to user {os.getuid()}, as whom this "
        "container runs",
        file=sys.stderr,
    )
    return 78


def proxy(config: Path | None, flags: Mapping[str, str | None]) -> int:
    """A proxy: HAProxy and its watcher. Returns an exit code; raises SettingsError."""
    environ = as_environment(config, flags, os.environ)
    settings = _checked("haproxy", environ)
    logs.setup(settings.log_level, settings.log_format, settings.proxy)
    return pid1.run(_part("haproxy", environ))


def as_environment(config: Path | None, flags: Mapping[str, str | None], environ: Mapping[str, str]) -> dict[str, str]:
    """An environment that says what the flags say; both parts of a node read it."""
    result = dict(environ)
    if config is not None:
        result[CONFIG_VARIABLE] = str(config)
    for key, value in flags.items():
        if value is not None:
            result.pop(PREFIX + key.removesuffix("_file").upper(), None)
            result[PREFIX + key.upper()] = value
    return result


def beside(part: str, environ: Mapping[str, str]) -> dict[str, str]:
    """The environment of a part beside the agent, without the secrets that it does not take, and without the
    accounts that they belong to, which would be refused without them."""
    foreign: set[str] = set()
    for field in FIELDS:
        if field.secret and part not in field.parts:
            account = field.name.replace("_password", "_user")
            foreign |= {PREFIX + key.upper() for key in (field.name, field.key, account)}
    return {
        key: value
        for key, value in environ.items()
        if key not in foreign and (key.startswith(PREFIX) or "PASSWORD" not in key)
    }


def _checked(part: str, environ: Mapping[str, str]) -> Settings:
    """The settings as the part will see them, so that a mistake is said once and ends the container."""
    config = environ.get(CONFIG_VARIABLE)
    return load({}, environ, Path(config) if config else None, part)


def _part(name: str, environ: Mapping[str, str]) -> pid1.Part:
    return pid1.Part(name, (sys.executable, "-m", "galerist", name), environ)
