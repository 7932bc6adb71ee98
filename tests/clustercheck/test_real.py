"""The whole health endpoint, as a process, on a real mariadbd with Galera."""

from __future__ import annotations

import contextlib
import http.client
import json
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.etcd import free_ports
from tests.support.mariadb import Server, running_server

STALE = 1.5  # s
PATIENCE = 20.0  # s


class Check:
    def __init__(self, folder: Path, server_socket: Path) -> None:
        (self.port,) = free_ports(1)
        self.disabled = folder / "disabled"
        self.agent = folder / "agent.json"
        flags = {
            "check-port": self.port,
            "check-bind": "127.0.0.1",
            "check-poll": 0.1,
            "check-stale": STALE,
            "check-disabled-file": self.disabled,
            "run-dir": folder,
            "datadir": folder / "data",
            "socket": server_socket,
        }
        self.command = [sys.executable, "-m", "galerist", "clustercheck"]
        self.command += [text for name, value in flags.items() for text in (f"--{name}", str(value))]
        self.log = (folder / "log").open("w+")
        self.process = subprocess.Popen(self.command, stderr=self.log)

    def ask(self, method: str = "GET", path: str = "/") -> tuple[int, str]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
        try:
            connection.request(method, path)
            answer = connection.getresponse()
            return answer.status, answer.read().decode()
        finally:
            connection.close()

    def wait_for(self, code: int, word: str) -> float:
        """Until the endpoint says so; how long that took, in seconds."""
        began = time.monotonic()
        said = (0, "")
        while time.monotonic() < began + PATIENCE:
            with contextlib.suppress(ConnectionError):
                said = self.ask()
                if said[0] == code and word in said[1]:
                    return time.monotonic() - began
            time.sleep(0.03)
        raise AssertionError(f"expected {code} {word!r}, the last answer is {said}")

    def end(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(10)


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with running_server() as one:
        yield one


@pytest.fixture(scope="module")
def check(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Check]:
    one = Check(tmp_path_factory.mktemp("check"), server.socket)
    try:
        one.wait_for(200, "synced")
        yield one
    finally:
        one.process.kill()
        one.process.wait()
        one.log.close()


def test_synced(check: Check) -> None:
    code, text = check.ask(path="/status")
    said = json.loads(text)
    assert code == 200
    assert said["facts"]["local_state"] == 4
    assert said["facts"]["cluster_size"] == 1
    assert said["age"] < STALE


def test_rejected_queries_are_seen_although_tables_are_closed(check: Check, server: Server) -> None:
    server.query("SET GLOBAL wsrep_reject_queries=ALL")
    try:
        check.wait_for(503, "wsrep_reject_queries is ALL")
    finally:
        server.query("SET GLOBAL wsrep_reject_queries=NONE")
    check.wait_for(200, "synced")


def test_a_killed_connection_is_made_anew_within_the_poll(check: Check, server: Server) -> None:
    rows = server.query("SHOW PROCESSLIST")
    ours = [row[0] for row in rows if row[1] == "galerist_check"]
    assert len(ours) == 1  # one connection, and it is kept
    server.query(f"KILL {ours[0]}")
    end = time.monotonic() + 1.0
    while time.monotonic() < end:
        assert check.ask()[0] == 200
    rows = server.query("SHOW PROCESSLIST")
    assert [row[0] for row in rows if row[1] == "galerist_check"] != ours


def test_desync_drains(check: Check, server: Server) -> None:
    server.query("SET GLOBAL wsrep_desync=ON")
    try:
        check.wait_for(404, "wsrep_desync is ON")
    finally:
        server.query("SET GLOBAL wsrep_desync=OFF")
    check.wait_for(200, "synced")


def test_disabled_by_hand_and_the_agents_file(check: Check) -> None:
    check.disabled.write_text("upgrade of the kernel\n")
    assert check.ask() == (404, "disabled by hand: upgrade of the kernel\n")
    check.disabled.unlink()
    check.agent.write_text('{"opened": false, "reason": "waits for its view to be recorded"}')
    assert check.ask()[0] == 503
    assert "waits for its view" in check.ask()[1]
    check.agent.write_text('{"opened": true, "drained": true, "reason": "by ann"}')
    assert check.ask() == (404, "drained: by ann\n")
    check.agent.unlink()
    assert check.ask() == (200, "synced\n")


def test_head_and_options_say_what_get_says(check: Check, server: Server) -> None:
    def codes() -> set[int]:
        return {check.ask(method)[0] for method in ("GET", "HEAD", "OPTIONS")}

    assert codes() == {200}
    server.query("SET GLOBAL wsrep_reject_queries=ALL")
    try:
        check.wait_for(503, "wsrep_reject_queries")
        assert codes() == {503}
    finally:
        server.query("SET GLOBAL wsrep_reject_queries=NONE")
    check.wait_for(200, "synced")


def test_idle_clients_starve_nobody(check: Check) -> None:
    with contextlib.ExitStack() as stack:
        for number in range(50):
            idle = stack.enter_context(socket.create_connection(("127.0.0.1", check.port), 5))
            if number % 2:
                idle.sendall(b"GET / HTTP/1.1\r\nHost:")  # and half of them never finish their request
        took = []
        for _ in range(20):
            began = time.monotonic()
            assert check.ask()[0] == 200
            took.append(time.monotonic() - began)
    assert max(took) < 2.0, took  # HAProxy's own limit for a check


def test_a_hanging_server_is_down_in_time_and_comes_back(check: Check, server: Server) -> None:
    server.signal(signal.SIGSTOP)
    try:
        took = check.wait_for(503, "s old")
        assert check.ask("OPTIONS")[0] == 503
    finally:
        server.signal(signal.SIGCONT)
    assert took < STALE + 2.0
    check.wait_for(200, "synced")


def test_a_killed_server_is_down_at_once_and_comes_back(check: Check, server: Server) -> None:
    server.kill()
    took = check.wait_for(503, "cannot be asked")
    assert took < 1.5
    server.start()
    check.wait_for(200, "synced")


def test_a_port_in_use_and_a_clean_end(check: Check) -> None:
    second = subprocess.run(check.command, capture_output=True, text=True, timeout=30)
    assert second.returncode == 1
    assert f"port {check.port}" in second.stderr
    assert "Traceback" not in second.stderr
    assert len(second.stderr.strip().splitlines()) == 1
    assert check.end() == 0
    check.log.seek(0)
    log = check.log.read()
    assert "200: synced" in log
    assert "Traceback" not in log
