"""What one watcher needs to know."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from haproxy.model import Policy
from haproxy.runtime import Patience


@dataclass(frozen=True, slots=True)
class Config:
    """What the watcher needs to know. ``ttl`` is in seconds."""

    cluster: str
    proxy: str
    host: str
    ip: str
    policy: Policy
    folder: Path
    binary: Path
    template: Path | None
    ttl: float
    snippets: Path | None = None
    patience: Patience = Patience()
    reload: str = "child"  # or how a HAProxy that somebody else runs is told to reload
    drop_to: str = ""  # user and group of HAProxy's workers; empty: the watcher's own
