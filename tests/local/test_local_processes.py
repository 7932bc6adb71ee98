"""Which processes belong to a local cluster, and ending exactly those."""

import errno
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from galerist.local import down, prepare, processes, stop, up
from galerist.local.layout import Layout
from galerist.local.processes import Kind, Part, Process, classify, parts, touches

LAYOUT = Layout(Path("/data/c"))
PYTHON = ("/usr/bin/python3", "-m", "galerist")


def process(*argv: str, pid: int = 100, parent: int = 1, cwd: str = "/") -> Process:
    return Process(pid, 5, parent, argv, cwd)


@pytest.mark.parametrize(
    ("argv", "cwd", "kind", "node"),
    [
        (("etcd", "--data-dir=/data/c/etcd"), "/", Kind.ETCD, ""),
        ((*PYTHON, "bootstrap", "--config", "/data/c/nodes/n1/galerist.toml"), "/", Kind.AGENT, "n1"),
        (
            ("/usr/bin/python3", "/venv/bin/galerist", "clustercheck", "--config", "/data/c/nodes/n2/galerist.toml"),
            "/",
            Kind.CHECK,
            "n2",
        ),
        ((*PYTHON, "haproxy", "--config", "/data/c/proxy/galerist.toml"), "/", Kind.WATCHER, ""),
        (("/usr/sbin/haproxy", "-W", "-f", "/data/c/proxy/haproxy.cfg"), "/", Kind.HAPROXY, ""),
        (("/usr/sbin/mariadbd", "--defaults-file=/x.cnf"), "/data/c/nodes/n3/data", Kind.SERVER, "n3"),
        (("/usr/sbin/mariadbd", "--datadir=/data/c/nodes/n1/data"), "", Kind.SERVER, "n1"),
        (("/usr/bin/python3", "-m", "galerist.local.supervisor", "/data/c"), "/", Kind.SUPERVISOR, ""),
    ],
)
def test_parts_are_known(argv: tuple[str, ...], cwd: str, kind: Kind, node: str) -> None:
    one = process(*argv, cwd=cwd)
    assert classify(one, LAYOUT) == Part(kind, node, one)


@pytest.mark.parametrize(
    ("argv", "cwd"),
    [
        ((), "/data/c"),
        (("tail", "-f", "/data/c/logs/n1.log"), "/data/c"),
        (("vim", "/data/c/nodes/n1/galerist.toml"), "/data/c/nodes/n1/data"),
        (("etcd", "--data-dir=/data/c2/etcd"), "/"),
        (("etcd", "--data-dir=/data/c/etcd2"), "/"),
        (("mariadbd", "--datadir=/var/lib/mysql"), "/var/lib/mysql"),
        (("mariadbd",), "/data/c2/nodes/n1/data"),
        (("haproxy", "-f", "/etc/haproxy/haproxy.cfg"), "/data/c"),
        ((*PYTHON, "bootstrap", "--config", "/data/c2/nodes/n1/galerist.toml"), "/"),
        ((*PYTHON, "bootstrap", "--config"), "/"),
        ((*PYTHON, "down", "--dir", "/data/c"), "/"),
        ((*PYTHON, "list", "--config", "/data/c/nodes/n1/galerist.toml"), "/"),
        (("/usr/bin/python3", "-m", "galerist.local.supervisor", "/data/c2"), "/"),
    ],
)
def test_what_is_not_ours_is_left_alone(argv: tuple[str, ...], cwd: str) -> None:
    assert classify(process(*argv, cwd=cwd), LAYOUT) is None


def test_a_fork_that_still_looks_like_its_parent_does_not_count() -> None:
    argv = (*PYTHON, "bootstrap", "--config", "/data/c/nodes/n1/galerist.toml")
    agent, fork = process(*argv, pid=10), process(*argv, pid=11, parent=10)
    assert [part.process.pid for part in parts(LAYOUT, [agent, fork])] == [10]


def test_a_haproxy_worker_counts_apart_from_its_master() -> None:
    argv = ("haproxy", "-W", "-f", "/data/c/proxy/haproxy.cfg")
    found = parts(LAYOUT, [process(*argv, pid=10), process(*argv, pid=11, parent=10)])
    assert [part.process.pid for part in found] == [10, 11]


def test_whatever_mentions_the_directory_touches_it() -> None:
    assert touches(process("rsync", "--config", "/data/c/nodes/n1/data/rsync_sst.conf"), LAYOUT)
    assert touches(process("socat", "x", cwd="/data/c/nodes/n1/data"), LAYOUT)
    assert touches(process("mariadbd", "--datadir=/data/c/nodes/n1/data"), LAYOUT)
    assert not touches(process("mariadbd", "--datadir=/data/cc/nodes/n1/data", cwd="/data"), LAYOUT)


def spawn(code: str) -> tuple["subprocess.Popen[str]", Process]:
    """A child that has said it is ready."""
    child = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    assert child.stdout.readline() == "ready\n"
    found = processes.look(child.pid)
    assert found is not None
    return child, found


SLEEPER = "print('ready', flush=True); import time; time.sleep(60)"
DEAF = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); " + SLEEPER


def test_a_zombie_is_not_alive() -> None:
    child, found = spawn(SLEEPER)
    os.kill(child.pid, signal.SIGKILL)  # and nobody waits for it yet
    deadline = time.monotonic() + 10
    while processes.alive(found) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not processes.alive(found)
    assert child.wait() == -signal.SIGKILL


def test_a_signal_goes_only_to_the_process_that_was_meant() -> None:
    child, found = spawn(SLEEPER)
    later = Process(found.pid, found.start + 1, found.parent, found.argv)
    assert not processes.send(later, signal.SIGTERM)
    assert processes.alive(found)
    assert processes.send(found, signal.SIGTERM)
    assert child.wait(10) == -signal.SIGTERM
    assert not processes.send(found, signal.SIGTERM)


def test_a_frozen_process_is_ended_with_sigterm() -> None:
    child, found = spawn(SLEEPER)
    os.kill(child.pid, signal.SIGSTOP)
    said: list[str] = []
    assert stop.end([Part(Kind.ETCD, "", found)], 10.0, said.append) == []
    assert child.wait(1) == -signal.SIGTERM
    assert said == []


def test_a_deaf_process_is_killed_and_that_is_said() -> None:
    child, found = spawn(DEAF)
    said: list[str] = []
    assert stop.end([Part(Kind.AGENT, "n1", found)], 0.2, said.append) == []
    assert child.wait(1) == -signal.SIGKILL
    assert said == [f"agent of n1 (pid {child.pid}) has not stopped within 0 s: killing it"]


def test_the_way_in_stops_first_and_the_registry_last() -> None:
    order = [kind for kind, _ in stop.PHASES]
    assert order[0] is Kind.WATCHER and order[-1] is Kind.ETCD
    assert order.index(Kind.AGENT) < order.index(Kind.SERVER)
    assert set(order) == set(Kind) - {Kind.SUPERVISOR}


def test_down_on_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert down.down(dir=tmp_path) == 0
    assert capsys.readouterr().out == f"{tmp_path}: not running\n"


def test_wipe_keeps_its_hands_off_what_up_has_not_made(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "thesis.txt").write_text("mine")
    assert down.down(dir=tmp_path, wipe=True, yes=True) == 78
    assert "was not made by `galerist up`" in capsys.readouterr().err
    assert (tmp_path / "thesis.txt").read_text() == "mine"


def test_wipe_leaves_what_somebody_has_put_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Another cluster in a folder of its own, for instance."""
    outer, inner = Layout(tmp_path / "c"), Layout(tmp_path / "c/inner")
    for layout in (outer, inner):
        prepare.make_dir(layout, "")
        (layout.dir / "nodes/n1").mkdir()
    (outer.dir / "notes").write_text("mine")
    assert down.down(dir=outer.dir, wipe=True, yes=True) == 0
    assert sorted(entry.name for entry in outer.dir.iterdir()) == ["inner", "notes"]
    assert (inner.dir / "nodes/n1").is_dir()
    assert "is kept for what `galerist up` has not made: inner, notes" in capsys.readouterr().out
    assert down.down(dir=outer.dir, wipe=True, yes=True) == 78  # it is nobody's cluster any more


def test_a_disk_that_is_full_or_a_loop_of_links_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "loop").symlink_to("loop")
    assert up.up(dir=tmp_path / "loop", detach=True) == 1
    assert "Too many levels of symbolic links" in capsys.readouterr().err

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(prepare, "read_plan", full)
    assert up.up(dir=tmp_path / "c", detach=True) == 1
    assert (
        capsys.readouterr().err
        == f"galerist up: {tmp_path / 'c'}: No space left on device; mend that, or choose another --dir\n"
    )


def test_wipe_follows_no_links(tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    kept.mkdir()
    (kept / "file").write_text("mine")
    layout = Layout(tmp_path / "c")
    layout.dir.mkdir()
    layout.marker.touch()
    layout.node("n1").parent.symlink_to(kept)
    assert down.down(dir=layout.dir, wipe=True, yes=True) == 0
    assert not layout.dir.exists()
    assert (kept / "file").read_text() == "mine"


def test_wipe_asks_on_a_terminal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    layout = Layout(tmp_path / "c")
    layout.dir.mkdir()
    layout.marker.touch()
    answers: Callable[[str], str] = lambda question: "n"  # noqa: E731
    monkeypatch.setattr("sys.stdin.isatty", lambda: True)
    monkeypatch.setattr("builtins.input", answers)
    assert down.down(dir=layout.dir, wipe=True) == 1
    assert layout.marker.exists()
