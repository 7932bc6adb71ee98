"""Commits a second of each node in the last hour, a value a minute."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

MINUTE, MINUTES = 60.0, 60


@dataclass
class _Line:
    """``values`` of whole minutes; the present one runs from ``since`` at seqno ``began``."""

    minute: int
    since: float
    began: int
    last: int
    values: deque[float | None] = field(default_factory=lambda: deque(maxlen=MINUTES))


class Sparks:
    """Keeps what the page draws. Times are seconds of any clock that does not jump back."""

    def __init__(self) -> None:
        self._lines: dict[str, _Line] = {}

    def add(self, node: str, now: float, committed: int | None) -> None:
        """A node has committed up to this seqno; None is not known."""
        if committed is None:
            return
        minute = int(now // MINUTE)
        line = self._lines.get(node)
        if line is None or committed < line.last:  # a new node, or a new history
            self._lines[node] = _Line(minute, now, committed, committed)
            return
        if minute != line.minute:
            span = now - line.since
            line.values.append((committed - line.began) / span if span > 0 else None)
            line.values.extend([None] * min(minute - line.minute - 1, MINUTES))
            line.minute, line.since, line.began = minute, now, committed
        line.last = committed

    def of(self, now: float) -> dict[str, tuple[float | None, ...]]:
        """The values of each node, oldest first; a node that has been silent for a while has gaps at the end."""
        minute = int(now // MINUTE)
        return {
            node: tuple(None if value is None else round(value, 1) for value in line.values)
            + (None,) * min(max(0, minute - line.minute - 1), MINUTES)
            for node, line in self._lines.items()
        }
