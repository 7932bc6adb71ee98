"""`galerist down`: ends a local cluster cleanly, and what a killed one has left behind."""

from __future__ import annotations

import os
import shutil
import signal
import sys
import time
from pathlib import Path

from galerist.local import prepare, processes
from galerist.local import stop as stopping
from galerist.local.layout import Layout, LocalError, locate
from galerist.local.processes import Kind

# More than all phases of an orderly end together: the supervisor has its own limits.
PATIENCE = sum(patience + 10.0 for _, patience in stopping.PHASES) + 10.0


def down(dir: Path | None = None, cluster: str | None = None, wipe: bool = False, yes: bool = False) -> int:
    """Stop the cluster in ``dir``; with ``wipe`` remove its directory, after a question on a terminal
    unless ``yes``. Returns the exit status: 0 also when nothing runs."""
    layout = locate(dir, cluster)
    try:
        if wipe:
            check_wipe(layout, yes)
        status = stop(layout)
        if status == 0 and wipe:
            remove(layout)
        return status
    except LocalError as error:
        print(f"galerist down: {error}", file=sys.stderr)
        return error.code
    except OSError as error:
        print(f"galerist down: {error.filename or layout.dir}: {error.strerror}; run as the owner of the cluster",
              file=sys.stderr)  # fmt: skip
        return 1


def say(text: str) -> None:
    print(text, flush=True)


def stop(layout: Layout) -> int:
    """Stop everything in ``layout``. Returns the exit status."""
    found = processes.parts(layout)
    if not found:
        say(f"{layout.dir}: not running")
        return 0
    supervisors = [part for part in found if part.kind is Kind.SUPERVISOR]
    if supervisors:
        say(f"stopping the cluster in {layout.dir}")
        tell(layout, supervisors[0])
    else:
        say(f"no supervisor runs in {layout.dir}: ending what one has left behind")
    handle = prepare.lock(layout, 10.0)
    if handle is None:
        raise LocalError(f"{layout.dir} is being started by another `galerist up`; try again")
    try:
        left = stopping.everything(layout, say)
        layout.children.unlink(missing_ok=True)
    finally:
        os.close(handle)
    if left:
        raise LocalError("still running: " + ", ".join(map(str, left)) + "; end them by hand")
    say("stopped")
    return 0


def tell(layout: Layout, supervisor: processes.Part) -> None:
    """Let the supervisor stop its cluster, and show what it still waits for; kill it if it does not end."""
    processes.send(supervisor.process, signal.SIGTERM)
    processes.send(supervisor.process, signal.SIGCONT)
    begun = time.monotonic()
    told, last = begun, ""
    while processes.alive(supervisor.process):
        now = time.monotonic()
        if now - begun > PATIENCE:
            say(f"{supervisor} does not end: killing it")
            processes.send(supervisor.process, signal.SIGKILL)
        elif now - told > 3.0:
            told = now
            text = "waiting for " + ", ".join(map(str, next_to_end(layout) or [supervisor]))
            if text != last:
                say(text)
            last = text
        time.sleep(0.05)


def next_to_end(layout: Layout) -> list[processes.Part]:
    """What an orderly end waits for now: the parts of the first phase that is not over."""
    found = processes.parts(layout)
    phases = ([part for part in found if part.kind is kind] for kind, _ in stopping.PHASES)
    return next(filter(None, phases), [])


def check_wipe(layout: Layout, yes: bool) -> None:
    """Raise LocalError if DIR may not be removed."""
    if not layout.dir.exists():
        return
    if not layout.marker.exists():
        raise LocalError(f"{layout.dir} was not made by `galerist up`: it is not removed; remove it by hand", 78)
    if not yes and sys.stdin.isatty():
        answer = input(f"remove {layout.dir} with all databases in it? [y/N] ")
        if answer.strip().lower() not in ("y", "yes"):
            raise LocalError("nothing was stopped or removed")


def remove(layout: Layout) -> None:
    """Remove what `up` has made; the marker last, so that an interrupted removal can be done again."""
    if not layout.dir.exists():
        return
    if layout.sockets() != layout.run:
        shutil.rmtree(layout.sockets(), ignore_errors=True)
    try:
        for entry in layout.made:
            if entry.is_dir() and not entry.is_symlink():
                shutil.rmtree(entry)
            else:
                entry.unlink(missing_ok=True)
        layout.marker.unlink(missing_ok=True)
        left = sorted(entry.name for entry in layout.dir.iterdir())
    except OSError as error:
        raise LocalError(f"{layout.dir} cannot be removed: {error}") from error
    if left:
        say(f"{layout.dir} is kept for what `galerist up` has not made: {', '.join(left)}")
        return
    try:
        layout.dir.rmdir()
    except OSError:
        say(f"{layout.dir} is empty now")  # somebody else's directory, a mount point for instance
    else:
        say(f"{layout.dir} is removed")
