"""What a watcher says of itself without the registry: a status for people, figures for node-exporter's text files."""

from __future__ import annotations

import dataclasses
import json
import time
from dataclasses import dataclass
from pathlib import Path

from galerist.files import write_atomically
from galerist.metrics import write_text
from haproxy import metrics

STATUS, METRICS = "status.json", "galerist_proxy.prom"


@dataclass(frozen=True)
class Figures:
    """``model_from``: when the registry last gave a model that can be used, seconds since 1970; 0: never since
    the start, the servers are from memory. ``written`` is when this was written. Times are in seconds."""

    cluster: str
    proxy: str
    written: float
    started: float
    model_from: float
    registry: bool  # it answered when it was last asked
    servers: tuple[str, ...]
    writer: str  # who takes new sessions of the write port, or nobody
    writing: tuple[str, ...]  # who has sessions of it
    drained: tuple[str, ...]
    workers: int
    overlaps: int
    overlap_longest: float
    reloads: int
    ended: int
    error: str | None

    @property
    def model_age(self) -> float:
        return max(0.0, self.written - (self.model_from or self.started))


def write(folder: Path, figures: Figures) -> None:
    """Raises OSError."""
    status = dataclasses.asdict(figures) | {"model_age": round(figures.model_age, 1)}
    write_atomically(folder / STATUS, json.dumps(status, indent=1))
    write_text(folder / METRICS, metrics.figures(figures, figures.written))


def show(folder: Path) -> int:
    """``galerist haproxy status``: what the watcher last said, and how old that is. 1 when it says nothing."""
    import sys

    try:
        said = json.loads((folder / STATUS).read_text())
        age = time.time() - float(said["written"])
        said["silent_for"] = round(max(0.0, age), 1)
        said["model_age"] = round(max(0.0, time.time() - float(said["model_from"] or said["started"])), 1)
    except (OSError, ValueError, KeyError, TypeError) as error:
        print(f"galerist haproxy status: no watcher has written {folder / STATUS}: {error}", file=sys.stderr)
        return 1
    print(json.dumps(said, indent=2))
    return 0
