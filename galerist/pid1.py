"""PID 1 of a container: starts the parts, reaps whatever ends, passes signals on, and leaves nobody behind.

The kernel hands every orphan to PID 1, such as a server whose agent was killed, and the helpers of
a state transfer. Waiting for all of them here, and for nothing else, lets each part wait for its
own children without a race.
"""

from __future__ import annotations

import logging
import os
import signal
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

log = logging.getLogger("galerist.pid1")

PAUSES = (0.5, 30.0)
"""Seconds before a part is started again: at first, and at the longest; doubled each time."""

STEADY = 60.0
"""Seconds after which a part that ran so long is started again without delay."""

_END = {signal.SIGTERM, signal.SIGINT, signal.SIGQUIT}
_HEARD = {*_END, signal.SIGHUP, signal.SIGCHLD}


@dataclass(frozen=True, slots=True)
class Part:
    """A program that is to run in this container."""

    name: str
    argv: tuple[str, ...]
    environ: Mapping[str, str]


@dataclass(slots=True)
class _Running:
    part: Part
    pid: int | None = None
    begun: float = 0.0
    pause: float = PAUSES[0]
    again: float = 0.0  # monotonic time of the next start


def run(main: Part, others: Sequence[Part] = ()) -> int:
    """Run ``main`` and beside it ``others`` until ``main`` ends by itself; returns its exit code.

    SIGTERM and its like go to ``main``, which ends when it has done its duties; then the others
    are ended. A part that a signal has killed is started again, and so are ``others`` whatever
    they ended by. What is still there in the end gets a SIGTERM and is waited for: the engine's
    own stop time-out is the limit.
    """
    parts = [_Running(main), *(_Running(part) for part in others)]
    former = signal.pthread_sigmask(signal.SIG_BLOCK, _HEARD)
    try:
        return _look_after(parts)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, former)


def _look_after(parts: list[_Running]) -> int:
    first = parts[0]
    stopping = False
    while True:
        for one in parts:
            if one.pid is None and (not stopping or one is not first) and time.monotonic() >= one.again:
                _start(one)
        heard = signal.sigtimedwait(_HEARD, _patience(parts))
        if heard is not None and heard.si_signo != signal.SIGCHLD:
            ending = heard.si_signo in _END
            stopping = stopping or ending
            if first.pid is not None:
                os.kill(first.pid, signal.SIGTERM if ending else heard.si_signo)
            elif ending:  # between two lives: nobody is there to end what runs
                _end_all()
                return 0
        for pid, code in _reaped():
            ended = next((one for one in parts if one.pid == pid), None)
            if ended is None:
                continue
            ended.pid = None
            if ended is first and (stopping or code >= 0):
                _end_all()
                return code if code >= 0 else 128 - code
            _ended(ended, code)


def _start(one: _Running) -> None:
    argv = one.part.argv
    one.begun = time.monotonic()
    # a group of its own: Ctrl-C at a terminal reaches it through us, once
    try:
        one.pid = os.posix_spawn(
            argv[0], argv, dict(one.part.environ), setsigmask=(), setsigdef=list(_HEARD), setpgroup=0
        )
    except OSError as error:  # no more processes, no memory: what runs must not end for it
        _again(one, f"cannot be started ({error.strerror})")


def _ended(one: _Running, code: int) -> None:
    _again(one, f"was killed by signal {-code}" if code < 0 else f"ended with exit code {code}")


def _again(one: _Running, how: str) -> None:
    now = time.monotonic()
    if now - one.begun > STEADY:
        one.pause = PAUSES[0]
    one.again = now + one.pause
    log.warning("%s %s: it is started again in %g s.", one.part.name, how, one.pause)
    one.pause = min(2 * one.pause, PAUSES[1])


def _patience(parts: list[_Running]) -> float:
    due = [one.again for one in parts if one.pid is None]
    return max(0.0, min(due) - time.monotonic()) if due else 3600.0


def _reaped() -> list[tuple[int, int]]:
    """Pid and exit code (negative: the signal) of all children that have ended."""
    found: list[tuple[int, int]] = []
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return found
        if pid == 0:
            return found
        found.append((pid, os.waitstatus_to_exitcode(status)))


def _end_all() -> None:
    """Ask all that is left to end, and wait for it."""
    if os.getpid() != 1:
        return  # kill(-1) reaches all processes of a machine
    try:
        os.kill(-1, signal.SIGTERM)
        while True:
            os.waitpid(-1, 0)
    except (ProcessLookupError, ChildProcessError):
        return
