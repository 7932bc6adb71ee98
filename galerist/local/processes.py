"""The processes of one local cluster, found by what they run, not by what was written down.

A number in a file may be somebody else's process by now. What ``/proc`` says about a
process's command line and working directory is true at this moment, and finds also what
a killed supervisor or agent has left behind.
"""

from __future__ import annotations

import enum
import os
import signal
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from galerist.local.layout import Layout

PROC = Path("/proc")


class Kind(enum.StrEnum):
    """The parts of a local cluster."""

    SUPERVISOR = "supervisor"
    ETCD = "etcd"
    AGENT = "agent"
    CHECK = "clustercheck"
    WATCHER = "proxy watcher"
    HAPROXY = "haproxy"
    DASHBOARD = "dashboard"
    SERVER = "mariadbd"


@dataclass(frozen=True, slots=True)
class Process:
    """A process, told from all later ones of the same number by its start (clock ticks since boot)."""

    pid: int
    start: int
    parent: int
    argv: tuple[str, ...]
    cwd: str = ""


@dataclass(frozen=True, slots=True)
class Part:
    """A process of a local cluster: what it is, and of which node, if of one."""

    kind: Kind
    node: str
    process: Process

    def __str__(self) -> str:
        return f"{self.kind}{' of ' + self.node if self.node else ''} (pid {self.process.pid})"


def look(pid: int) -> Process | None:
    """The living process ``pid``, None if there is none or it is a zombie."""
    folder = PROC / str(pid)
    try:
        # The name of the program, in parentheses, may hold anything; what follows it may not.
        fields = (folder / "stat").read_text("utf-8", "replace").rpartition(")")[2].split()
        if fields[0] in "ZX":
            return None
        command = (folder / "cmdline").read_bytes()
    except (OSError, IndexError):
        return None
    try:
        cwd = str((folder / "cwd").readlink())
    except OSError:
        cwd = ""  # of another user: nothing that we may look at
    argv = tuple(os.fsdecode(part) for part in command.split(b"\0")[:-1])
    return Process(pid, int(fields[19]), int(fields[1]), argv, cwd)


def scan() -> list[Process]:
    """All living processes that can be seen."""
    pids = sorted(int(entry.name) for entry in PROC.iterdir() if entry.name.isdigit())
    return [process for pid in pids if (process := look(pid)) is not None]


def alive(process: Process) -> bool:
    """Whether this very process still runs."""
    now = look(process.pid)
    return now is not None and now.start == process.start


def send(process: Process, number: signal.Signals) -> bool:
    """Send a signal to this very process and no other; False if it is gone."""
    try:
        handle = os.pidfd_open(process.pid)
    except OSError:
        return False
    try:
        if not alive(process):  # the handle is on whoever has the number: look once more through it
            return False
        signal.pidfd_send_signal(handle, number)
    except ProcessLookupError:
        return False
    finally:
        os.close(handle)
    return True


def _galerist(argv: tuple[str, ...]) -> tuple[str, str] | None:
    """Sub-command and settings file of a part of galerist."""
    if "galerist" not in (*argv[2:3], *(Path(word).name for word in argv[:2])) or "--config" not in argv[:-1]:
        return None
    rest = argv[argv.index("--config") - 1 :]
    return rest[0], rest[2]


def classify(process: Process, layout: Layout) -> Part | None:
    """Which part of the cluster in ``layout`` this process is, None if none that we may end."""
    argv = process.argv
    if not argv:
        return None
    program = Path(argv[0]).name
    if program == "etcd" and f"--data-dir={layout.etcd}" in argv:
        return Part(Kind.ETCD, "", process)
    if program in ("mariadbd", "mysqld"):
        inside = (process.cwd, *(word.partition("=")[2] for word in argv[1:]))
        for place in inside:
            if place.startswith(f"{layout.dir}/nodes/"):
                return Part(Kind.SERVER, place.removeprefix(f"{layout.dir}/nodes/").split("/")[0], process)
    if program == "haproxy" and any(word.startswith(f"{layout.haproxy()}/") for word in argv[1:]):
        return Part(Kind.HAPROXY, "", process)
    if argv[-3:-1] == ("-m", "galerist.local.supervisor") and argv[-1] == str(layout.dir):
        return Part(Kind.SUPERVISOR, "", process)
    match _galerist(argv):
        case ("haproxy", settings) if settings == str(layout.proxy_settings):
            return Part(Kind.WATCHER, "", process)
        case ("dashboard", settings) if settings == str(layout.dashboard_settings):
            return Part(Kind.DASHBOARD, "", process)
        case (("bootstrap" | "clustercheck") as command, settings):
            node = Path(settings).parent.name
            if settings == str(layout.node_settings(node)):
                return Part(Kind.AGENT if command == "bootstrap" else Kind.CHECK, node, process)
    return None


def parts(layout: Layout, processes: Iterable[Process] | None = None) -> list[Part]:
    """All parts of this cluster that run now.

    A child that has been forked and does not run its own program yet looks like its
    parent: only the parent counts. HAProxy's workers count apart from their master.
    """
    found = [part for process in (scan() if processes is None else processes) if (part := classify(process, layout))]
    same = {(part.process.pid, part.kind, part.node) for part in found if part.kind is not Kind.HAPROXY}
    return [part for part in found if (part.process.parent, part.kind, part.node) not in same]


def touches(process: Process, layout: Layout) -> bool:
    """Whether a process has anything to do with DIR. Good enough to say "that is ours", not to end it."""
    places = [process.cwd, *process.argv]
    places += [word.partition("=")[2] for word in process.argv]
    bases = (str(layout.dir), str(layout.sockets()))
    return any(place == base or place.startswith(f"{base}/") for place in places for base in bases)
