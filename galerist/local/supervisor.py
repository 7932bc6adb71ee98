"""The supervisor of one local cluster: starts its parts and brings back those that die.

Started by `galerist up` as ``python -m galerist.local.supervisor DIR``, which hands it the
lock on DIR and the claims on its ports as open files. It ends on SIGTERM, and everything
with it. When it is killed its children go on, and the next supervisor adopts them:
so each child has a session of its own, and is never told from its parent's death.
"""

from __future__ import annotations

import contextlib
import json
import os
import platform
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType

from galerist.files import write_atomically
from galerist.local import plan, ports, processes, render, stop
from galerist.local.layout import Layout
from galerist.local.processes import Kind, Part, Process
from galerist.local.restart import Restarts
from galerist.local.rotate import INTERVAL, rotate
from galerist.wake import Wake

TURN = 0.25  # seconds between two looks at the children; the death of an own child is noticed at once
ETCD_GRACE = 5.0  # seconds after which the others are started though etcd does not answer


@dataclass
class Child:
    """One thing to keep running."""

    name: str
    argv: tuple[str, ...]
    process: Process | None = None
    popen: subprocess.Popen[bytes] | None = None  # None: adopted, or not running
    restarts: Restarts = field(default_factory=Restarts)
    exit: int | None = None  # of the last run; negative: the signal; None: not known


def owner(part: Part) -> str | None:
    """The name of the child that this part is, None if it is nobody's child of ours."""
    match part.kind:
        case Kind.ETCD:
            return "etcd"
        case Kind.AGENT:
            return part.node
        case Kind.CHECK:
            return f"{part.node}-check"
        case Kind.WATCHER:
            return "proxy"
        case Kind.DASHBOARD:
            return "dashboard"
    return None


class Supervisor:
    """Keeps the children of one plan running. One pass of :meth:`turn` looks at everything."""

    def __init__(self, layout: Layout, commands: dict[str, tuple[str, ...]], environment: dict[str, str]) -> None:
        self.layout = layout
        self.environment = environment
        self.children = {name: Child(name, argv) for name, argv in commands.items()}
        self._reported = ""

    def adopt(self, found: list[Part]) -> None:
        """Take over what a killed supervisor has left running.

        What runs with another command line than it should have now is ended, and started
        anew by the next turn.
        """
        for part in found:
            child = self.children.get(owner(part) or "")
            if child is None or child.process is not None:
                continue
            if child.name == "etcd" and part.process.argv != child.argv:
                say(f"{part} runs with other ports than it should: ending it")
                stop.end([part], 10.0, say)
                continue
            say(f"{part} is still running: adopted")
            child.process = part.process
            child.restarts = child.restarts.start(time.monotonic())

    def replace_commands(self, commands: dict[str, tuple[str, ...]]) -> None:
        """The plan has grown: add its new children."""
        for name, argv in commands.items():
            self.children.setdefault(name, Child(name, argv))

    def turn(self, now: float, ready: bool) -> bool:
        """Notice the dead, start what is due; only etcd while not ``ready``. True if any is not running."""
        for child in self.children.values():
            self._notice(child, now)
            if child.process is None and now >= child.restarts.due and (ready or child.name == "etcd"):
                self._start(child, now)
        self._report()
        return any(child.process is None for child in self.children.values())

    def _notice(self, child: Child, now: float) -> None:
        if child.process is None:
            return
        if child.popen is not None:
            status = child.popen.poll()
            if status is None:
                return
            child.exit = status
        elif processes.alive(child.process):
            return
        else:
            child.exit = None  # adopted: only its parent was told
        child.restarts = child.restarts.death(now)
        how = "has ended" if child.exit is None else f"has ended with status {child.exit}"
        if child.exit is not None and child.exit < 0:
            how = f"was killed by {signal.Signals(-child.exit).name}"
        say(f"{child.name} (pid {child.process.pid}) {how}: starting it again in {child.restarts.due - now:.1f} s")
        child.process = child.popen = None

    def _start(self, child: Child, now: float) -> None:
        child.restarts = child.restarts.start(now)
        try:
            with self.layout.log(child.name).open("ab") as log:
                child.popen = subprocess.Popen(
                    child.argv,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    cwd=self.layout.dir,
                    env=self.environment,
                    start_new_session=True,
                )
        except OSError as error:
            child.restarts = child.restarts.death(now)
            say(f"{child.name} cannot be started: {error}")
            return
        child.process = processes.look(child.popen.pid) or Process(child.popen.pid, 0, os.getpid(), child.argv)
        say(f"{child.name} started (pid {child.popen.pid})")

    def _report(self) -> None:
        """Tell whoever shows progress; written only when something has changed."""
        text = json.dumps(
            {
                child.name: {
                    "pid": child.process.pid if child.process else None,
                    "restarts": child.restarts.count,
                    "quick": child.restarts.quick,
                    "exit": child.exit,
                }
                for child in self.children.values()
            },
            indent=1,
        )
        if text != self._reported:
            with contextlib.suppress(OSError):  # a full disk must not end the supervisor
                write_atomically(self.layout.children, text)
                self._reported = text


def say(text: str) -> None:
    print(time.strftime("%Y-%m-%d %H:%M:%S"), text, file=sys.stderr, flush=True)


def commands_of(layout: Layout) -> tuple[plan.Plan, dict[str, tuple[str, ...]]]:
    current = plan.load(layout.plan.read_text())
    return current, render.commands(current, layout)


def main(directory: str) -> int:
    layout = Layout(Path(directory))
    current, commands = commands_of(layout)
    wake = Wake()
    told: set[int] = set()

    def on_signal(number: int, frame: FrameType | None) -> None:
        told.add(number)
        wake.set()

    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD):
        signal.signal(number, on_signal)

    environment = render.environment(os.environ, layout, platform.machine())
    supervisor = Supervisor(layout, commands, environment)
    say(f"supervisor of {layout.dir} started (pid {os.getpid()})")
    supervisor.adopt(processes.parts(layout))
    begun = rotated = time.monotonic()
    ready = False
    while not told & {signal.SIGTERM, signal.SIGINT}:
        wake.clear()
        if signal.SIGHUP in told:
            told.discard(signal.SIGHUP)
            current, commands = commands_of(layout)
            supervisor.replace_commands(commands)
        now = time.monotonic()
        ready = ready or now - begun > ETCD_GRACE or ports.answers(current.port("etcd_port"))
        busy = supervisor.turn(now, ready)
        if now - rotated > INTERVAL:
            rotated = now
            with contextlib.suppress(OSError):  # a full disk must not end the supervisor
                rotate(layout.logs)
        wake.wait(0.03 if not ready else TURN if not busy else 0.1)
    say("stopping")
    left = stop.everything(layout, say, besides=os.getpid())
    say("stopped" if not left else "stopped, but still running: " + ", ".join(map(str, left)))
    layout.children.unlink(missing_ok=True)
    return 1 if left else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
