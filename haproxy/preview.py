"""``galerist haproxy render`` and ``diff``: the configuration, without touching anything."""

from __future__ import annotations

import difflib
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from galerist.registry.contract import Registry, RegistryError
from galerist.registry.keys import Keys
from haproxy.config import Config
from haproxy.members import read_layout
from haproxy.memory import parse, recall
from haproxy.model import Known, Server, model, order, understand
from haproxy.process import Haproxy
from haproxy.render import TemplateFault, read_sources, render
from haproxy.watcher import configure

if TYPE_CHECKING:
    from galerist.settings import Settings

EX_FAILED, EX_CONFIG = 1, 78


class Unfit(ValueError):
    """The file with facts cannot be used. The text names the file and what is wrong."""


def show(settings: Settings, action: str, facts: Path | None) -> int:
    """Print the file for these facts (``render``), or how it differs from the one in force (``diff``).

    Returns 0, or 78 for a template or facts that cannot be used. Raises RegistryError.
    """
    config = configure(settings)
    try:
        servers = _servers(settings, config, facts)
        text = _text(config, servers)
    except (TemplateFault, Unfit) as error:
        print(f"galerist haproxy {action}: {error}", file=sys.stderr)
        return EX_CONFIG
    if action == "render":
        print(text, end="" if text.endswith("\n") else "\n")
        return 0
    _diff(_in_force(config), text, config)
    return 0


def read_facts(path: Path) -> tuple[Known, tuple[Server, ...]]:
    """What the registry would hold, and the servers known before, from a JSON object with the keys ``members``
    (node: its report), ``nodes`` (names), ``state``, ``servers`` (as in ``model.json``), each of them
    optional. Raises :class:`Unfit`."""
    try:
        found = json.loads(path.read_text())
        if isinstance(found, list):  # model.json itself
            found = {"servers": found}
        if not isinstance(found, dict) or found.keys() - {"members", "nodes", "state", "servers"}:
            raise TypeError("give an object with members, nodes, state and servers")
        reports, names, state = found.get("members", {}), found.get("nodes", []), found.get("state")
        if not isinstance(reports, dict) or not isinstance(names, list):
            raise TypeError(
                "give members as an object, a node's name and its report each, and nodes as a list of names"
            )
        members = {str(node): json.dumps(report) for node, report in reports.items()}
        nodes = [str(node) for node in names]
        known = understand(members, nodes, None if state is None else json.dumps(state))
        return known, parse(found.get("servers", []))
    except OSError as error:
        raise Unfit(f"{path} cannot be read: {error.strerror}") from error
    except (ValueError, TypeError, RecursionError) as error:
        raise Unfit(f"{path} holds no facts: {error}") from error


def read_registry(registry: Registry, cluster: str) -> Known:
    """Raises RegistryError."""
    keys = Keys(cluster)

    def below(prefix: str) -> Mapping[str, str]:
        return {key.removeprefix(prefix): text for key, text in registry.list(prefix).items()}

    return understand(below(keys.members), below(keys.nodes), registry.get(keys.state))


def _servers(settings: Settings, config: Config, facts: Path | None) -> tuple[Server, ...]:
    from galerist.registry.open import open_registry

    before = recall(config.folder / "model.json") if facts is None else ()
    if facts is not None:
        known, before = read_facts(facts)
    else:
        registry = open_registry(settings)
        try:
            known = read_registry(registry, config.cluster)
        except RegistryError as error:
            if not before:
                raise
            print(f"# the registry cannot be read, these are the servers known before: {error}", file=sys.stderr)
            return before
        finally:
            registry.close()
    for complaint in known.complaints:
        print(f"# {complaint}", file=sys.stderr)
    return order(known, before)


def _text(config: Config, servers: tuple[Server, ...]) -> str:
    haproxy = Haproxy(config.binary, config.folder)
    facts = {**haproxy.facts(write=False), "cluster": config.cluster, "drop_to": config.drop_to}
    return render(model(servers, config.policy), facts, read_sources(config.template, config.snippets))


def _in_force(config: Config) -> str:
    try:
        return (config.folder / "haproxy.cfg.good").read_text()
    except FileNotFoundError:
        return ""


def _diff(former: str, text: str, config: Config) -> None:
    names = (str(config.folder / "haproxy.cfg"), "with these facts and settings")
    lines = list(difflib.unified_diff(former.splitlines(), text.splitlines(), *names, lineterm=""))
    print("\n".join(lines)) if lines else print("Nothing would change.")
    if lines:
        reload = read_layout(former).structure != read_layout(text).structure
        print(
            f"# {'This takes a reload.' if reload else 'This is done at run time, without a reload.'}", file=sys.stderr
        )
