"""When a child that has died is started again. Pure: times go in, times come out."""

from __future__ import annotations

from dataclasses import dataclass, replace

FIRST_DELAY = 0.2  # seconds
LONGEST_DELAY = 5.0
STABLE_AFTER = 10.0  # a child that has run for so long begins anew with the first delay


@dataclass(frozen=True, slots=True)
class Restarts:
    """The history of one child. Times are seconds of a clock that never goes back."""

    count: int = 0  # restarts in all
    quick: int = 0  # deaths in a row, each before the child was stable
    started: float = 0.0
    due: float = 0.0  # not to be started before

    def start(self, now: float) -> Restarts:
        return replace(self, started=now)

    def death(self, now: float) -> Restarts:
        """The child has been found dead."""
        quick = 0 if now - self.started >= STABLE_AFTER else self.quick
        delay = min(LONGEST_DELAY, FIRST_DELAY * 2**quick)
        return replace(self, count=self.count + 1, quick=quick + 1, due=now + delay)
