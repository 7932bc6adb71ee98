"""The cluster's history in the registry: one durable key for each event, in the order of their times."""

from __future__ import annotations

import datetime
import json
from collections.abc import Collection

from galerist.registry.contract import Registry
from galerist.registry.keys import Keys


def now() -> str:
    """The time of an event: UTC, with microseconds, so that the keys stand in order."""
    return datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def write(
    registry: Registry,
    keys: Keys,
    node: str,
    action: str,
    sentence: str,
    evidence: Collection[str] = (),
    operation: str = "",
    *,
    when: str | None = None,
    key: str = "",
) -> None:
    """Write an event. ``node`` is who tells it, ``when`` its time (now), ``key`` the end of its key (the node). Raises RegistryError."""
    when = now() if when is None else when
    event = {
        "time": when,
        "node": node,
        "action": action,
        "sentence": sentence,
        "evidence": list(evidence),
        "operation": operation,
    }
    registry.put(f"{keys.history}{when}-{key or node}", json.dumps(event, sort_keys=True))
