"""How reports are told to people."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from bootstrap import history
from galerist.model import Data, Report, Server


def listed(names: Iterable[str]) -> str:
    """Names as people say them: a, b and c."""
    words = list(names)
    if len(words) < 2:
        return "".join(words)
    return f"{', '.join(words[:-1])} and {words[-1]}"


def are(those: Sequence[object]) -> str:
    return "is" if len(those) == 1 else "are"


def where(report: Report) -> str:
    if history.blank(report):
        return "an empty datadir"
    if report.position is None:
        return f"{report.data.value} data, position not known"
    return f"seqno {report.position.seqno}"


def seen(reports: Iterable[Report]) -> tuple[str, ...]:
    return tuple(
        f"{report.node}: {report.server.value}"
        + (f", {report.cluster_status}" if report.server is Server.UP else "")
        + f", {where(report)}"
        + (" (half transferred)" if report.data is Data.TAINTED else "")
        for report in reports
    )


def stage(report: Report) -> str:
    return f" ({report.progress})" if report.progress else ""
