"""How often an agent looks and tells, and how long it waits for its server: all of it follows the life of its lease.

A server that hangs must cost the agent no lease: from one refresh to the next goes by at most a heartbeat, a pace (the
pass before was just too early to refresh) and one look that the server did not answer, which is less than the life.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Tempo:
    """Seconds. ``heartbeat``: after which the lease is refreshed though nothing has changed; ``pace``: between two
    passes when nothing wakes the agent; ``patience``: for one answer of the server."""

    heartbeat: float
    pace: float
    patience: float


def tempo(ttl: float) -> Tempo:
    """The tempo for leases of ``ttl`` seconds."""
    return Tempo(heartbeat=ttl / 3, pace=min(1.0, ttl / 6), patience=min(3.0, 0.3 * ttl))
