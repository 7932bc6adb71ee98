"""Health checks as proxies make them: a new connection for each, any number at a time."""

from __future__ import annotations

import contextlib
import itertools
import os
import selectors
import shutil
import socket
import subprocess
import tempfile
import time
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

from tests.support.mariadb import Server
from tests.support.ports import free_ports

PATIENCE = 30.0
"""Seconds that a check has beyond the end of a round."""

_REQUEST = b"OPTIONS / HTTP/1.0\r\n\r\n"

# What the field runs: ask by the client, look at one variable, print an answer.
_SCRIPT = """#!/bin/bash
state=$(mariadb --no-defaults --socket={socket} --user=galerist_check --connect-timeout=10 -nNE \\
    -e "SHOW STATUS LIKE 'wsrep_local_state';" 2>/dev/null | tail -1)
if [ "$state" = 4 ]; then
    printf 'HTTP/1.1 200 OK\\r\\nContent-Type: text/plain\\r\\nConnection: close\\r\\nContent-Length: 40\\r\\n\\r\\n'
    printf 'Percona XtraDB Cluster Node is synced.\\r\\n'
else
    printf 'HTTP/1.1 503 Service Unavailable\\r\\nConnection: close\\r\\n\\r\\n'
fi
sleep 0.1  # as the field's scripts do: or the end of the connection may overtake the answer
"""

_XINETD = """defaults
{{
    log_type = FILE {folder}/log
    instances = UNLIMITED
    per_source = UNLIMITED
    cps = 100000 1
}}
service mysqlchk
{{
    type = UNLISTED
    socket_type = stream
    protocol = tcp
    wait = no
    bind = 127.0.0.1
    port = {port}
    user = {user}
    server = {folder}/check
    disable = no
}}
"""


MIXED = (
    *[b"GET / HTTP/1.0\r\n\r\n"] * 30,
    *[_REQUEST] * 30,
    b"HEAD /ready HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
    b"GET /read?max_lag=5 HTTP/1.0\r\n\r\n",
    b"GET /status HTTP/1.0\r\n\r\n",
    b"GET /peers HTTP/1.0\r\n\r\n",
    b"GET /metrics HTTP/1.0\r\n\r\n",
    b"GET /nowhere HTTP/1.0\r\n\r\n",
    b"POST / HTTP/1.0\r\nContent-Length: 3\r\n\r\nabc",
    b"\x16\x03\x01 garbage\r\n\r\n",
)
"""Everything that can be asked, and what cannot: what a leak would show in."""


def growth(port: int, process: psutil.Process, first: int, count: int) -> tuple[int, float]:
    """``count`` requests of all kinds or more, after ``first`` others: how many there were, and how many MiB
    the process has grown by meanwhile."""

    def ask(least: int) -> int:
        done = 0
        while done < least:
            done += len(load(port, 20, 1.0, requests=MIXED).latencies)
        return done

    ask(first)
    before = process.memory_info().rss
    return ask(count), (process.memory_info().rss - before) / 2**20


@dataclass(frozen=True, slots=True)
class Load:
    """Latencies are seconds from the first packet until the other side has closed the connection;
    ``wrong`` counts the answers that were not 200."""

    latencies: list[float]
    wrong: int
    seconds: float

    @property
    def rate(self) -> float:
        return len(self.latencies) / self.seconds

    def quantile(self, share: float) -> float:
        ordered = sorted(self.latencies)
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def load(port: int, at_a_time: int, seconds: float, rate: float = 0.0, requests: Sequence[bytes] = (_REQUEST,)) -> Load:
    """Checks for some seconds, ``requests`` in turn. Without ``rate`` the next begins when one has ended; with it
    they begin at fixed times, and a latency counts from when its check was due."""
    turns = itertools.cycle(requests)
    # epoll counts in milliseconds, which would come on top of each latency
    selector = selectors.SelectSelector() if rate else selectors.DefaultSelector()
    latencies: list[float] = []
    wrong = 0
    under_way = 0
    begun = time.perf_counter()
    end = begun + seconds
    due: deque[float] = deque()
    following = begun

    def start(since: float) -> None:
        nonlocal under_way
        client = socket.socket()
        client.setblocking(False)
        client.connect_ex(("127.0.0.1", port))
        selector.register(client, selectors.EVENT_WRITE, [since, b""])
        under_way += 1

    while (now := time.perf_counter()) < end or under_way:
        if now > end + PATIENCE:
            wrong += under_way  # whoever is not answered by then is not answered
            break
        if now < end and not rate:
            while under_way < at_a_time:
                start(time.perf_counter())
        while rate and following <= now and following < end:
            due.append(following)
            following += 1 / rate
        while due and under_way < at_a_time:
            start(due.popleft())
        for key, mask in selector.select(max(0.0, following - now) if rate and now < end else 0.5):
            client = key.fileobj
            assert isinstance(client, socket.socket)
            if mask & selectors.EVENT_WRITE:
                with contextlib.suppress(OSError):
                    client.send(next(turns))
                selector.modify(client, selectors.EVENT_READ, key.data)
                continue
            chunk = b""
            with contextlib.suppress(OSError):
                chunk = client.recv(4096)
            if chunk:
                key.data[1] += chunk
                continue
            latencies.append(time.perf_counter() - key.data[0])
            wrong += b" 200 " not in key.data[1][:20]
            selector.unregister(client)
            client.close()
            under_way -= 1
    for key in list(selector.get_map().values()):
        key.fileobj.close()  # type: ignore[union-attr]
    return Load(latencies, wrong, time.perf_counter() - begun)


@contextlib.contextmanager
def undisturbed(process: psutil.Process) -> Iterator[bool]:
    """All threads of this process and of ``process`` go before everybody else's, ``process`` on one core;
    False where that is not allowed."""
    pids = [one.id for who in (process, psutil.Process()) for one in who.threads()]
    cores = process.cpu_affinity() or []
    try:
        for pid in pids:
            os.sched_setscheduler(pid, os.SCHED_RR, os.sched_param(10))
        for thread in process.threads():
            os.sched_setaffinity(thread.id, cores[:1])
    except PermissionError:
        yield False
    else:
        yield True
    finally:
        with contextlib.suppress(PermissionError):
            for pid in pids:
                os.sched_setscheduler(pid, os.SCHED_OTHER, os.sched_param(0))
        for thread in process.threads():
            os.sched_setaffinity(thread.id, cores)


def processor_time(process: psutil.Process) -> float:
    """Seconds, its ended children included."""
    return float(sum(process.cpu_times()[:4]))


@contextlib.contextmanager
def shell_check(server: Server) -> Iterator[tuple[int, psutil.Process]]:
    """xinetd that forks a shell that forks a client for each check: its port and process."""
    (port,) = free_ports(1)
    with tempfile.TemporaryDirectory(prefix="galerist-xinetd-", dir="/tmp") as name:
        folder = Path(name)
        folder.chmod(0o755)
        program, environment = _xinetd(folder)
        (folder / "check").write_text(_SCRIPT.format(socket=server.socket))
        (folder / "check").chmod(0o755)
        user = "root" if os.geteuid() == 0 else psutil.Process().username()
        (folder / "conf").write_text(_XINETD.format(folder=folder, port=port, user=user))
        child = subprocess.Popen(
            [program, "-dontfork", "-f", folder / "conf", "-pidfile", folder / "pid"],
            env=environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            wait_for_port(port, child)
            yield port, psutil.Process(child.pid)
        finally:
            child.terminate()
            child.wait()


def _xinetd(folder: Path) -> tuple[str, dict[str, str]]:
    """The program where it is installed; else from its package, unpacked and not installed."""
    environment = dict(os.environ)
    path = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin"])
    found = shutil.which("xinetd", path=path)
    if found is None:
        done = subprocess.run(
            ["apt-get", "download", "xinetd", "libwrap0"], cwd=folder, capture_output=True, text=True, timeout=120
        )
        assert done.returncode == 0, f"install xinetd to run this benchmark: {done.stderr}"
        for package in folder.glob("*.deb"):
            subprocess.run(["dpkg", "-x", package, folder / "unpacked"], check=True)
        found = str(folder / "unpacked/usr/sbin/xinetd")
        libraries = {str(one.parent) for one in (folder / "unpacked").rglob("libwrap.so*")}
        environment["LD_LIBRARY_PATH"] = ":".join(libraries)
    return found, environment


def wait_for_port(port: int, child: subprocess.Popen[bytes]) -> None:
    end = time.monotonic() + 20
    while True:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        assert child.poll() is None, "it has ended"
        assert time.monotonic() < end, "nobody listens"
        time.sleep(0.05)
