"""Everything that the registry says of one cluster, read at one moment."""

from __future__ import annotations

import json
from dataclasses import dataclass

from galerist.model import Malformed, NodeRecord, ProxyReport, Report, State, load
from galerist.registry.contract import Registry
from galerist.registry.keys import Keys


@dataclass(frozen=True, slots=True)
class Cluster:
    """What the registry says of one cluster at one moment."""

    name: str
    state: State
    reports: tuple[Report, ...]
    nodes: tuple[NodeRecord, ...]
    proxies: tuple[ProxyReport, ...]


@dataclass(frozen=True, slots=True)
class Event:
    """One event of the history. ``time`` is UTC, ISO 8601; ``node`` the node or the person."""

    time: str
    node: str
    action: str
    sentence: str
    evidence: tuple[str, ...] = ()
    operation: str = ""  # ties it to the lines of the node's log


def read(registry: Registry, cluster: str) -> Cluster:
    """Read everything. Raises RegistryError, and Malformed for a record that galerist did not write."""
    keys = Keys(cluster)
    raw = registry.get(keys.state)
    return Cluster(
        cluster,
        load(State, raw) if raw is not None else State(),
        tuple(load(Report, text) for _, text in sorted(registry.list(keys.members).items())),
        tuple(load(NodeRecord, text) for _, text in sorted(registry.list(keys.nodes).items())),
        tuple(load(ProxyReport, text) for _, text in sorted(registry.list(keys.proxies).items())),
    )


def read_events(registry: Registry, cluster: str) -> tuple[Event, ...]:
    """The history, oldest first. Raises RegistryError; what cannot be understood is shown as it is."""
    return tuple(_event(text) for _, text in sorted(registry.list(Keys(cluster).history).items()))


def _event(text: str) -> Event:
    try:
        return load(Event, text)
    except Malformed:
        pass
    try:  # a time or a node that is missing is no reason to hide the sentence
        value = json.loads(text)
        return Event(
            str(value.get("time", "")),
            str(value.get("node", "")),
            str(value.get("action", "")),
            str(value.get("sentence", text)),
        )
    except (ValueError, AttributeError):
        return Event("", "", "unreadable", text)
