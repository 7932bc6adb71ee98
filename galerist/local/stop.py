"""Ending the parts of a local cluster, in order, each part by its own pid."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterable

from galerist.local import processes
from galerist.local.layout import Layout
from galerist.local.processes import Kind, Part

Say = Callable[[str], None]

# First the way in, so that no client sees a server stop; then the nodes, all together, which
# leave their cluster and say where they stand; the registry last, since that is said to it.
# Servers are their agents' to stop: only one whose agent is gone is told directly.
PHASES: tuple[tuple[Kind, float], ...] = (
    (Kind.WATCHER, 20.0),
    (Kind.HAPROXY, 10.0),
    (Kind.AGENT, 60.0),
    (Kind.SERVER, 60.0),
    (Kind.CHECK, 10.0),
    (Kind.DASHBOARD, 10.0),
    (Kind.ETCD, 15.0),
)


def end(parts: Iterable[Part], patience: float, say: Say) -> list[Part]:
    """End these parts: SIGTERM, up to ``patience`` seconds, SIGKILL. Returns those that are left."""
    left = [part for part in parts if processes.send(part.process, signal.SIGTERM)]
    for part in left:
        processes.send(part.process, signal.SIGCONT)  # a frozen process does not hear the first signal
    left = _wait(left, patience, say)
    for part in left:
        say(f"{part} has not stopped within {patience:.0f} s: killing it")
        processes.send(part.process, signal.SIGKILL)
    return _wait(left, 10.0, say)


def _wait(parts: list[Part], patience: float, say: Say) -> list[Part]:
    begun = time.monotonic()
    told = begun
    while True:
        parts = [part for part in parts if processes.alive(part.process)]
        now = time.monotonic()
        if not parts or now - begun > patience:
            return parts
        if now - told > 10.0:
            told = now
            say(f"waiting for {', '.join(map(str, parts))}")
        time.sleep(0.05)


def everything(layout: Layout, say: Say, besides: int = 0) -> list[Part]:
    """End all parts of the cluster but the process ``besides``. Returns those that could not be ended."""
    for kind, patience in PHASES:
        found = [part for part in processes.parts(layout) if part.kind is kind]
        if found:
            say(f"stopping {', '.join(map(str, found))}")
            end(found, patience, say)
    return [part for part in processes.parts(layout) if part.process.pid != besides]
