"""What a watcher says of itself without the registry: a status for people, metrics for node-exporter's text files."""

from __future__ import annotations

import dataclasses
import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from galerist.files import write_atomically

if TYPE_CHECKING:
    from collections.abc import Iterator

    from prometheus_client.core import Metric

STATUS, METRICS = "status.json", "galerist_haproxy.prom"


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
    writing: tuple[str, ...]
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
    from prometheus_client import CollectorRegistry, write_to_textfile

    status = dataclasses.asdict(figures) | {"model_age": round(figures.model_age, 1)}
    write_atomically(folder / STATUS, json.dumps(status, indent=1))
    registry = CollectorRegistry()
    registry.register(_Collector(figures))
    write_to_textfile(str(folder / METRICS), registry)


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


class _Collector:
    def __init__(self, figures: Figures) -> None:
        self._figures = figures

    def collect(self) -> Iterator[Metric]:
        from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

        figures, names = self._figures, ["cluster", "proxy"]

        def one(kind: type[Any], name: str, text: str, value: float) -> Metric:
            family = kind(f"galerist_haproxy_{name}", text, labels=names)
            family.add_metric([figures.cluster, figures.proxy], value)
            assert isinstance(family, Metric)
            return family

        gauge, counter = GaugeMetricFamily, CounterMetricFamily
        yield one(gauge, "model_age_seconds", "Age of the last good model of the registry.", figures.model_age)
        yield one(gauge, "written_seconds", "When this was written, since 1970.", figures.written)
        yield one(gauge, "registry_up", "1 when the registry answered when it was last asked.", figures.registry)
        yield one(gauge, "servers", "Nodes in the configuration.", len(figures.servers))
        yield one(gauge, "writing_nodes", "Nodes with sessions of the write port.", len(figures.writing))
        yield one(counter, "overlaps", "Times that proxies wrote to two nodes at once.", figures.overlaps)
        yield one(gauge, "overlap_longest_seconds", "The longest of them.", figures.overlap_longest)
        yield one(counter, "reloads", "Reloads of HAProxy.", figures.reloads)
        yield one(counter, "sessions_ended", "Sessions that the watcher ended.", figures.ended)
        yield one(gauge, "refused", "1 while a wanted configuration is refused.", figures.error is not None)
