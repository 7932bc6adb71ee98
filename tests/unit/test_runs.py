"""The end of a server: what is asked for in order, and what is killed, by the real signals to a real process."""

from __future__ import annotations

import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from bootstrap import runs
from bootstrap.runs import Run
from galerist.galera.server import Process


@contextmanager
def deaf_to_sigterm(does: str = "sleep 0.05") -> Iterator[Run]:
    """A process that does not hear SIGTERM, as mariadbd in a state transfer, and does this again and again."""
    command = ["sh", "-c", f"trap '' TERM; echo ready; while :; do sleep 0.05; {does}; done"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as child:
        assert child.stdout is not None and child.stdout.readline() == b"ready\n"
        try:
            yield Run(Process(child.pid, child), "r1", "g1")
        finally:
            child.kill()


@pytest.fixture
def deaf() -> Iterator[Run]:
    with deaf_to_sigterm() as run:
        yield run


@pytest.mark.parametrize(
    ("ours", "was_primary", "answered", "ends"),
    [
        (True, False, False, True),
        (True, False, True, True),
        (True, True, False, True),
        (True, True, True, False),
        (False, False, False, False),
    ],
)
def test_a_stop_that_is_not_heard_is_carried_through_unless_clients_may_have_been_served(
    deaf: Run, monkeypatch: pytest.MonkeyPatch, ours: bool, was_primary: bool, answered: bool, ends: bool
) -> None:
    monkeypatch.setattr(runs, "STOP_PATIENCE", 0.1)
    monkeypatch.setattr(runs, "START_PATIENCE", 0.3)
    deaf.ours, deaf.was_primary, deaf.answered = ours, was_primary, answered
    deaf.carry_stop_through()
    assert deaf.process.running(), "nobody has told it to end"
    deaf.stop()
    deaf.carry_stop_through()
    assert deaf.process.running(), "it has a moment to end by itself"
    time.sleep(0.5)  # longer than both
    deaf.carry_stop_through()
    assert ended(deaf, 10 if ends else 0.5) is ends


@pytest.mark.parametrize(
    ("does", "ours", "ends"), [("sleep 0.05", True, True), ("echo x >&2", True, False), ("sleep 0.05", False, False)]
)
def test_a_server_that_has_served_may_write_as_long_as_it_likes_and_is_killed_when_it_does_nothing(
    monkeypatch: pytest.MonkeyPatch, does: str, ours: bool, ends: bool
) -> None:
    monkeypatch.setattr(runs, "HANG_PATIENCE", 0.3)
    with deaf_to_sigterm(does) as run:
        run.ours, run.was_primary, run.answered = ours, True, True
        run.stop()
        for _ in range(10):
            run.carry_stop_through()
            time.sleep(0.1)  # ten looks take longer than its patience
        assert ended(run, 10 if ends else 0) is ends


def ended(run: Run, patience: float) -> bool:
    """Whether it ends within so many seconds; if it does, by SIGKILL."""
    deadline = time.monotonic() + patience
    while run.process.running() and time.monotonic() < deadline:
        time.sleep(0.02)
    if run.process.running():
        return False
    assert run.process.exit_code == -signal.SIGKILL
    return True
