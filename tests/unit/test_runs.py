"""The end of a server: what is asked for in order, and what is killed, by the real signals to a real process."""

from __future__ import annotations

import signal
import subprocess
import time
from collections.abc import Iterator

import pytest

from bootstrap import runs
from bootstrap.runs import Run
from galerist.galera.server import Process


@pytest.fixture
def deaf() -> Iterator[Run]:
    """A process that does not hear SIGTERM, as mariadbd in a state transfer."""
    command = ["sh", "-c", "trap '' TERM; echo ready; while :; do sleep 0.05; done"]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None and child.stdout.readline() == b"ready\n"
        yield Run(Process(child.pid, child), "r1", "g1")
        child.kill()


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
    deadline = time.monotonic() + (10 if ends else 0.5)
    while deaf.process.running() and time.monotonic() < deadline:
        time.sleep(0.02)
    assert deaf.process.running() is not ends
    assert not ends or deaf.process.exit_code == -signal.SIGKILL
