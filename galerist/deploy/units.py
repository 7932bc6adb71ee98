"""Units for hosts: for fleet (containers by Docker) and for systemd (programs of the machine). Pure but for ``write``."""

from __future__ import annotations

import configparser
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from galerist.files import write_atomically
from galerist.settings import kinds

KINDS: Mapping[str, tuple[str, ...]] = {
    "fleet": (
        "galera@.service",
        "galera-discovery@.service",
        "galera-log-courier@.service",
        "galera-haproxy@.service",
    ),
    "systemd": (
        "galera@.service",
        "galera-agent@.service",
        "galera-check@.service",
        "galera-log-courier@.service",
        "galera-haproxy.service",
    ),
}

X_FLEET = ("MachineID", "MachineOf", "MachineMetadata", "Conflicts", "Global", "Replaces")
"""The keys that fleet knows in [X-Fleet] (its docs/unit-files-and-scheduling.md)."""


@dataclass(frozen=True, slots=True)
class Values:
    """What a cluster's units are filled in with. ``host``: by what others reach a machine, %H is its host name."""

    cluster: str = "galera"
    registry: str = "etcd3://127.0.0.1:2379"
    expect: str = "3"
    host: str = "%H"
    image: str = "galerist-node"
    proxy_image: str = "galerist-proxy"
    docker: str = "/usr/bin/docker"
    socket: str = "/var/run/docker.sock"
    galerist: str = "/opt/galerist/bin/galerist"
    user: str = "mysql"
    write_port: int = 3306
    read_port: int = 3307


_SETTINGS = {"cluster": kinds.CLUSTER, "registry": kinds.REGISTRY, "expect": kinds.EXPECT}


def filled_in(given: Mapping[str, Any]) -> Values:
    """The values, None standing for the default. Raises ValueError: a unit would take them for something else."""
    found: dict[str, Any] = {}
    for key, value in given.items():
        if value is None:
            continue
        if (kind := _SETTINGS.get(key)) is not None:
            try:
                kind.read(value)
            except ValueError as error:
                raise ValueError(f"--{key}: {value!r} {error}; {kind.expected}") from None
            value = "".join(value.split())  # a space in a list would end the assignment
        elif isinstance(value, str) and not re.fullmatch(r"[^\s\"'\\]+", value):
            flag = key.replace("_", "-")
            raise ValueError(f"--{flag}: {value!r} cannot stand in a unit; leave out spaces, quotes and backslashes")
        found[key] = value
    return Values(**found)


def render(kind: str, values: Values) -> dict[str, str]:
    """The units of a kind of :data:`KINDS` by their file names."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    templates = Environment(
        loader=PackageLoader("galerist.deploy"),
        undefined=StrictUndefined,
        autoescape=False,  # noqa: S701  # a unit is not HTML
        keep_trailing_newline=True,
    )
    if kind == "systemd":
        templates.globals["hardening"] = templates.get_template("systemd/hardening.j2").module.hardening  # type: ignore[attr-defined]
    return {name: templates.get_template(f"{kind}/{name}.j2").render(asdict(values)) for name in KINDS[kind]}


def write(kind: str, values: Values, folder: Path) -> list[Path]:
    """Write the units into a folder, which is made; raises OSError."""
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for name, text in render(kind, values).items():
        write_atomically(folder / name, text)
        written.append(folder / name)
    return written


def problems_of_fleet(units: Mapping[str, str]) -> list[str]:
    """What fleet would refuse or ignore in these units: a sentence each."""
    found = []
    for name, text in units.items():
        parser = configparser.ConfigParser(strict=False, interpolation=None, allow_no_value=True)
        parser.optionxform = str  # type: ignore[assignment,method-assign]
        parser.read_string(text.replace("\\\n", " "))
        if not parser.has_section("X-Fleet"):
            found.append(f"{name} has no section [X-Fleet]")
            continue
        keys = parser["X-Fleet"]
        found += [f"{name}: [X-Fleet] has no key {key}" for key in keys if key not in X_FLEET]
        if parser.has_section("Install"):
            found.append(f"{name}: fleet ignores [Install]")
        for key in ("MachineOf", "Conflicts", "Replaces"):
            target = keys.get(key, "")
            template = target.replace("@%i.", "@.").replace("@*.", "@.")
            if target and template not in units:
                found.append(f"{name}: {key}={target} names no unit of this set")
        if keys.get("MachineOf") and keys.get("Conflicts"):
            found.append(f"{name}: MachineOf and Conflicts contradict one another")
    return found
