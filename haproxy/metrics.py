"""What a watcher says to Prometheus. Pure: its report in, figures out."""

from __future__ import annotations

from collections.abc import Iterator

from galerist.metrics import Figure
from galerist.model import ProxyReport


def figures(
    report: ProxyReport | None, registry_answers: bool, servers: int, reloads: int, age: float
) -> Iterator[Figure]:
    """``report`` is the last one made, None before the first; ``age`` the seconds since."""
    yield Figure("galerist_proxy_registry_answers", "1 while the registry answers the watcher.", registry_answers)
    yield Figure("galerist_proxy_servers", "Nodes that the proxy knows.", servers)
    yield Figure("galerist_proxy_reloads", "Reloads of HAProxy since the watcher started.", reloads, counter=True)
    if report is None:
        return
    yield Figure("galerist_proxy_report_age_seconds", "Time since the watcher last looked at HAProxy.", age)
    yield Figure("galerist_proxy_workers", "HAProxy workers alive.", len(report.worker_pids))
    yield Figure("galerist_proxy_error", "1 while the wanted configuration is not in force.", report.error is not None)
    yield Figure(
        "galerist_proxy_has_writer", "1 while new sessions of the write port lead to a node.", bool(report.writing)
    )
    yield Figure("galerist_proxy_drained", "Nodes without clients by order.", len(report.drained))
    for node in report.writing[:1]:
        yield Figure(
            "galerist_proxy_writer",
            "The node that takes new sessions of the write port; always 1.",
            1,
            (("writer", node),),
        )
