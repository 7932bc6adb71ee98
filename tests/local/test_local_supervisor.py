"""The supervisor with trivial children: they come back, are adopted, and end."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from galerist.local import processes
from galerist.local.layout import Layout
from galerist.local.processes import Kind, Part
from galerist.local.restart import FIRST_DELAY, LONGEST_DELAY, STABLE_AFTER, Restarts
from galerist.local.supervisor import Supervisor, owner
from galerist.local.watch import children

SLEEPER = (sys.executable, "-c", "import time; print('up', flush=True); time.sleep(60)")


def test_delays_double_and_are_capped() -> None:
    history, now, delays = Restarts(), 100.0, []
    for _ in range(8):
        history = history.start(now).death(now + 0.1)
        delays.append(round(history.due - now - 0.1, 3))
        now = history.due
    assert delays[:4] == [FIRST_DELAY, 0.4, 0.8, 1.6]
    assert delays[-1] == LONGEST_DELAY
    assert history.count == 8


def test_a_stable_child_begins_anew_with_the_first_delay() -> None:
    history = Restarts(count=5, quick=5).start(100.0).death(100.0 + STABLE_AFTER)
    assert history.due == pytest.approx(100.0 + STABLE_AFTER + FIRST_DELAY)
    assert (history.count, history.quick) == (6, 1)


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    result = Layout(tmp_path)
    result.run.mkdir()
    result.logs.mkdir()
    return result


@pytest.fixture
def supervise(layout: Layout) -> Iterator[Callable[..., Supervisor]]:
    made: list[Supervisor] = []

    def make(**commands: tuple[str, ...]) -> Supervisor:
        made.append(Supervisor(layout, commands, dict(os.environ)))
        return made[-1]

    yield make
    for supervisor in made:
        for child in supervisor.children.values():
            if child.popen:
                child.popen.kill()
                child.popen.wait()


def until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline, "not within 20 s"
        time.sleep(0.02)


def test_a_killed_child_comes_back(supervise: Callable[..., Supervisor], layout: Layout) -> None:
    supervisor = supervise(one=SLEEPER)
    child = supervisor.children["one"]
    assert not supervisor.turn(0.0, True)
    first = child.process
    assert first is not None and child.popen is not None
    until(lambda: layout.log("one").read_text() == "up\n")
    os.kill(first.pid, signal.SIGKILL)
    child.popen.wait()
    assert supervisor.turn(1.0, True)  # noticed, and not due yet
    assert children(layout)["one"] == {"pid": None, "restarts": 1, "quick": 1, "exit": -9}
    supervisor.turn(1.0 + FIRST_DELAY, True)
    assert child.process is not None and child.process.pid != first.pid
    until(lambda: layout.log("one").read_text() == "up\nup\n")
    assert children(layout)["one"]["pid"] == child.process.pid


def test_each_child_has_a_session_of_its_own(supervise: Callable[..., Supervisor]) -> None:
    supervisor = supervise(one=SLEEPER)
    supervisor.turn(0.0, True)
    process = supervisor.children["one"].process
    assert process is not None
    assert os.getsid(process.pid) == process.pid


def test_only_etcd_is_started_until_it_answers(supervise: Callable[..., Supervisor]) -> None:
    supervisor = supervise(etcd=SLEEPER, n1=SLEEPER)
    assert supervisor.turn(0.0, False)
    assert supervisor.children["etcd"].process and not supervisor.children["n1"].process
    assert not supervisor.turn(0.1, True)


def test_a_program_that_cannot_be_started_is_tried_again_and_does_no_harm(
    supervise: Callable[..., Supervisor], layout: Layout
) -> None:
    supervisor = supervise(bad=("/no/such/program",), good=SLEEPER)
    assert supervisor.turn(0.0, True)
    assert supervisor.children["good"].process
    assert children(layout)["bad"]["quick"] == 1
    supervisor.turn(FIRST_DELAY, True)
    assert children(layout)["bad"]["quick"] == 2


def test_what_a_killed_supervisor_has_left_is_adopted(supervise: Callable[..., Supervisor], layout: Layout) -> None:
    orphan = subprocess.Popen(SLEEPER)
    try:
        found = processes.look(orphan.pid)
        assert found is not None
        supervisor = supervise(n1=SLEEPER)
        supervisor.adopt([Part(Kind.AGENT, "n1", found), Part(Kind.SERVER, "n1", found)])
        assert not supervisor.turn(0.0, True)
        assert supervisor.children["n1"].process == found
        assert supervisor.children["n1"].popen is None
    finally:
        orphan.kill()
        orphan.wait()
    supervisor.turn(time.monotonic(), True)
    assert supervisor.children["n1"].process is None
    assert children(layout)["n1"]["restarts"] == 1


def test_an_etcd_with_other_ports_is_ended_instead(supervise: Callable[..., Supervisor]) -> None:
    orphan = subprocess.Popen(SLEEPER)
    try:
        found = processes.look(orphan.pid)
        assert found is not None
        supervisor = supervise(etcd=(*SLEEPER, "--other"))
        supervisor.adopt([Part(Kind.ETCD, "", found)])
        assert supervisor.children["etcd"].process is None
        assert orphan.wait(10) == -signal.SIGTERM
    finally:
        orphan.kill()


def test_servers_and_haproxy_are_nobodys_children_of_ours() -> None:
    process = processes.look(os.getpid())
    assert process is not None
    assert owner(Part(Kind.SERVER, "n1", process)) is None
    assert owner(Part(Kind.HAPROXY, "", process)) is None
    assert owner(Part(Kind.CHECK, "n1", process)) == "n1-check"
