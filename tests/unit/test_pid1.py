"""PID 1 in a PID namespace of its own (needs root, as the network tests do)."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
Started = Callable[..., subprocess.Popen[bytes]]

MAIN = """
import os, sys
from galerist.pid1 import Part, run
parts = [Part(f"part {number}", ("/bin/bash", "-c", text), dict(os.environ)) for number, text in enumerate(sys.argv[1:])]
assert os.getpid() == 1
raise SystemExit(run(parts[0], parts[1:]))
"""


@pytest.fixture
def pid1(tmp_path: Path) -> Iterator[Started]:
    """Starts PID 1 with the scripts given; ``init`` is its pid outside."""
    children: list[subprocess.Popen[bytes]] = []

    def start(*scripts: str) -> subprocess.Popen[bytes]:
        command = ["unshare", "--pid", "--fork", "--mount-proc", "--kill-child", sys.executable, "-c", MAIN]
        scripts = tuple(textwrap.dedent(text) for text in scripts)
        child = subprocess.Popen([*command, *scripts], cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(ROOT)})
        children.append(child)
        return child

    yield start
    for child in children:
        child.kill()
        child.wait()


def init(child: subprocess.Popen[bytes]) -> int:
    text = Path(f"/proc/{child.pid}/task/{child.pid}/children").read_text().split()
    return int(text[0])


def lines(path: Path, count: int, seconds: float = 20) -> list[str]:
    """The lines of a file once there are so many."""
    end = time.monotonic() + seconds
    while True:
        found = path.read_text().splitlines() if path.exists() else []
        if len(found) >= count or time.monotonic() > end:
            return found
        time.sleep(0.05)


def test_the_exit_code_is_that_of_the_main_part_and_the_others_end(pid1: Started, tmp_path: Path) -> None:
    child = pid1("sleep 0.5; exit 7", "trap 'echo ended > other; exit' TERM; sleep 60 & wait")
    assert child.wait(30) == 7
    assert lines(tmp_path / "other", 1) == ["ended"]


def test_sigterm_ends_the_main_part_first_and_the_orphans_in_order(pid1: Started, tmp_path: Path) -> None:
    """The orphan stands for a server that outlived its agent."""
    main = """
        (setsid bash -c 'trap "sleep 0.3; echo server >> order; exit" TERM; echo ready >> ready; sleep 60 & wait' &)
        trap 'echo agent >> order; exit 0' TERM
        echo ready >> ready; sleep 60 & wait"""
    other = "trap 'echo check >> order; exit 0' TERM; echo ready >> ready; sleep 60 & wait"
    child = pid1(main, other)
    assert len(lines(tmp_path / "ready", 3)) == 3
    os.kill(init(child), signal.SIGTERM)
    assert child.wait(30) == 0
    assert lines(tmp_path / "order", 3) == ["agent", "check", "server"]


def test_orphans_are_reaped_and_a_killed_part_comes_back(pid1: Started, tmp_path: Path) -> None:
    main = """
        echo $$ >> lives
        [ "$(wc -l < lives)" -gt 1 ] && { sleep 0.5; grep -l '^State:.Z' /proc/[0-9]*/status > zombies; exit 0; }
        for n in 1 2 3 4 5; do (setsid sleep 0.2 &); done
        sleep 0.5; kill -9 $$"""
    child = pid1(main, "echo $$ >> others; exit 3")
    assert child.wait(30) == 0
    assert len(lines(tmp_path / "lives", 2)) == 2
    assert len(lines(tmp_path / "others", 2)) >= 2  # started again, whatever it ended by
    assert (tmp_path / "zombies").read_text() == ""


def test_a_part_that_cannot_be_started_ends_no_other_and_is_tried_again(tmp_path: Path) -> None:
    """A program that comes late stands for a container that has as many processes as it may have."""
    code = """
        from galerist.pid1 import Part, run
        main = "sleep 0.2; cp $(type -P touch) late; until [ -e lives ]; do sleep 0.05; done; exit 7"
        raise SystemExit(run(Part("main", ("/bin/bash", "-c", main), {"PATH": "/bin:/usr/bin"}),
                             [Part("late", ("./late", "lives"), {})]))"""
    command = [sys.executable, "-c", textwrap.dedent(code)]
    ended = subprocess.run(command, cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(ROOT)}, timeout=30)
    assert ended.returncode == 7
