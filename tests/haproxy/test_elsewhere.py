"""A HAProxy that the watcher does not run: started, restarted and stopped by somebody else."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import types
from pathlib import Path

import pytest

from haproxy.elsewhere import reloader
from haproxy.process import start_time
from haproxy.render import BUILTIN
from tests.haproxy.fakes import served_by, until
from tests.haproxy.proxies import Proxy


@pytest.mark.parametrize("way", ["socket", "pidfile"])
def test_a_haproxy_of_somebody_else_is_kept_in_line(proxy: Proxy, way: str) -> None:
    pidfile = proxy.folder / "haproxy.pid"
    proxy.template.write_text(BUILTIN.read_text())
    a, b, c = proxy.node("a"), proxy.node("b"), proxy.node("c")
    proxy.report(a, b)
    proxy.record("a", "b", writer="ab")
    with (proxy.folder / "log").open("ab") as log:
        more = ["--haproxy-reload", way if way == "socket" else f"pidfile:{pidfile}"]
        more += ["--haproxy-template", str(proxy.template)]
        proxy.process = subprocess.Popen([*proxy.command, *more], stderr=log)
    until(lambda: proxy.config.exists() and "server a " in proxy.config.read_text(), "its file is there")
    command = ["haproxy", "-W", "-f", str(proxy.config), "-p", str(pidfile)]
    command += ["-S", f"{proxy.config.parent}/master.sock,level,admin"] if way == "socket" else []

    def begin() -> subprocess.Popen[bytes]:
        one = subprocess.Popen(command, stderr=subprocess.DEVNULL, start_new_session=True)
        proxy.stack.callback(lambda: (one.kill(), one.wait()))
        return one

    theirs = begin()
    until(lambda: served_by(proxy.write) == "a", "it serves")
    proxy.report(c)
    proxy.record("a", "b", "c", writer="cab")
    until(lambda: served_by(proxy.write) == "c", "members change at run time")
    until(lambda: (said := proxy.said()) and said.worker_pids, "its worker is reported")
    before = proxy.workers()
    proxy.template.write_text(BUILTIN.read_text() + "\nlisten more\n    mode http\n")
    until(lambda: set(proxy.workers()).isdisjoint(before) or len(proxy.workers()) > 1, "it was reloaded")
    until(lambda: served_by(proxy.write) == "c", "and serves")
    os.killpg(theirs.pid, signal.SIGKILL)
    theirs.wait()
    proxy.record("a", "b", "c", writer="bca")
    theirs = begin()
    until(lambda: served_by(proxy.write) == "b", "restarted by its supervisor it ends up right")
    assert proxy.end() == 0
    assert start_time(theirs.pid) is not None, "it is not the watcher's to stop"
    os.killpg(theirs.pid, signal.SIGKILL)
    theirs.wait()


def test_a_container_is_signalled_by_dockers_api(monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[str] = []
    container = types.SimpleNamespace(kill=lambda signal: done.append(signal))

    def get(name: str) -> types.SimpleNamespace:
        done.append(name)
        return container

    client = types.SimpleNamespace(containers=types.SimpleNamespace(get=get), close=lambda: done.append("closed"))
    import docker

    monkeypatch.setattr(docker, "from_env", lambda: client)
    reloader("docker:proxy-1")()
    assert done == ["proxy-1", "SIGUSR2", "closed"]


def test_what_cannot_be_told_to_reload_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/nobody.sock")
    for way in ("docker:x", f"pidfile:{tmp_path}/none", "systemd:nobody.service"):
        with pytest.raises((OSError, RuntimeError)):
            reloader(way)()
    assert sys.modules["docker"]
