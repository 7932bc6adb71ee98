"""What a watcher says to Prometheus, over HTTP and by its text file alike. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from galerist.metrics import Figure

if TYPE_CHECKING:
    from haproxy.figures import Figures


def figures(status: Figures | None, now: float) -> Iterator[Figure]:
    """``status`` is as it was made last, None before the first; ``now`` is in seconds since 1970."""
    if status is None:
        return

    def gauge(name: str, text: str, value: float, *labels: tuple[str, str]) -> Figure:
        return Figure(f"galerist_proxy_{name}", text, value, labels)

    def counter(name: str, text: str, value: float) -> Figure:
        return Figure(f"galerist_proxy_{name}", text, value, counter=True)

    age = max(0.0, now - status.written)
    yield gauge("registry_answers", "1 while the registry answers the watcher.", status.registry)
    yield gauge("model_age_seconds", "Age of the last good model of the registry.", status.model_age + age)
    yield gauge("report_age_seconds", "Time since the watcher last looked at HAProxy.", age)
    yield gauge("servers", "Nodes that the proxy knows.", len(status.servers))
    yield gauge("workers", "HAProxy workers alive.", status.workers)
    yield gauge("error", "1 while the wanted configuration is not in force.", status.error is not None)
    yield gauge("has_writer", "1 while new sessions of the write port lead to a node.", bool(status.writer))
    yield gauge("writing", "Nodes with sessions of the write port.", len(status.writing))
    yield gauge("drained", "Nodes without clients by order.", len(status.drained))
    yield counter("reloads", "Reloads of HAProxy since the watcher started.", status.reloads)
    yield counter("overlaps", "Times that proxies wrote to two nodes at once.", status.overlaps)
    yield gauge("overlap_longest_seconds", "The longest of them.", status.overlap_longest)
    yield counter("sessions_ended", "Sessions that the watcher ended.", status.ended)
    if status.writer:
        text = "The node that takes new sessions of the write port; always 1."
        yield gauge("writer", text, 1, ("writer", status.writer))
