"""Figures for Prometheus, served by a thread of its own. The library is imported where a port is set.

One naming scheme: ``galerist_<part>_<what>_<unit>``. The part is ``agent`` (of a node), ``proxy`` (a watcher) or
``check`` (a health endpoint); ``wsrep_`` are Galera's own figures. Flags are 0 or 1, times are seconds.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from prometheus_client.core import Metric

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Figure:
    """One figure. A ``counter`` only grows; Prometheus adds ``_total`` to its name."""

    name: str
    help: str
    value: float
    labels: tuple[tuple[str, str], ...] = ()
    counter: bool = False


def serve(bind: str, port: int, collect: Callable[[], Iterable[Figure]]) -> Callable[[], None]:
    """Answer ``GET /metrics`` with what ``collect`` says at that moment. Which cluster and node it is says whoever scrapes.

    Returns what ends it. A port that cannot be had is a warning in the log, no more: figures are no reason
    to leave a node alone.
    """
    from prometheus_client import CollectorRegistry, start_http_server

    class Collector:
        def collect(self) -> Iterator[Metric]:
            yield from families(collect())

    registry = CollectorRegistry(auto_describe=False)
    registry.register(Collector())
    try:
        server, thread = start_http_server(port, addr="0.0.0.0" if bind == "*" else bind.strip("[]"), registry=registry)
    except OSError as error:
        log.warning("No figures for Prometheus: port %d cannot be had: %s.", port, error.strerror)
        return lambda: None

    def end() -> None:
        server.shutdown()
        server.server_close()
        thread.join(2)

    return end


def write_text(path: Path, figures: Iterable[Figure]) -> None:
    """The same as a file for node-exporter's textfile collector. Raises OSError."""
    from prometheus_client import CollectorRegistry, write_to_textfile

    made = list(families(figures))

    class Collector:
        def collect(self) -> Iterator[Metric]:
            yield from made

    registry = CollectorRegistry(auto_describe=False)
    registry.register(Collector())
    write_to_textfile(str(path), registry)


def families(figures: Iterable[Figure]) -> Iterator[Metric]:
    """The figures as Prometheus has them; those of one name together."""
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

    made: dict[str, CounterMetricFamily | GaugeMetricFamily] = {}
    for figure in figures:
        if figure.name not in made:
            names = [name for name, _ in figure.labels]
            kind = CounterMetricFamily if figure.counter else GaugeMetricFamily
            made[figure.name] = kind(figure.name, figure.help, labels=names)
        made[figure.name].add_metric([value for _, value in figure.labels], float(figure.value))
    yield from made.values()
