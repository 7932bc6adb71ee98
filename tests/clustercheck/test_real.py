"""The whole health endpoint, as a process, on a real mariadbd with Galera."""

from __future__ import annotations

import contextlib
import json
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from clustercheck.poller import Source, connect
from tests.clustercheck.endpoint import STALE, Check, checking
from tests.support.mariadb import Server, running_server
from tests.support.ports import free_ports


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with running_server() as one:
        yield one


@pytest.fixture(scope="module")
def check(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Check]:
    with checking(tmp_path_factory.mktemp("check"), server.socket, check_agent_port=free_ports(1)[0]) as one:
        one.wait_for(200, "synced")
        yield one


def test_synced(check: Check) -> None:
    code, text = check.ask(path="/status")
    said = json.loads(text)
    assert code == 200
    assert said["facts"]["local_state"] == 4
    assert said["facts"]["cluster_size"] == 1
    assert said["age"] < STALE


def test_a_cluster_made_by_an_older_galerist_has_no_probe_and_says_so(check: Check) -> None:
    end = time.monotonic() + 5
    while (probe := check.status()["probe"])["state"] != "off":
        assert time.monotonic() < end, probe
        time.sleep(0.05)
    assert "there is no table galerist.probe" in probe["note"]
    assert check.ask()[0] == 200


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


def test_a_changed_password_is_taken_from_its_file(server: Server, tmp_path: Path) -> None:
    secret = tmp_path / "password"
    secret.write_text("one\n")
    server.query("CREATE USER changing@localhost IDENTIFIED BY 'one'")
    with checking(tmp_path / "check", server.socket, check_user="changing", check_password_file=secret) as check:
        check.wait_for(200, "synced")
        server.query("ALTER USER changing@localhost IDENTIFIED BY 'two'")
        for row in server.query("SHOW PROCESSLIST"):
            if row[1] == "changing":
                server.query(f"KILL {row[0]}")
        check.wait_for(503, "Access denied")
        secret.write_text("two\n")
        check.wait_for(200, "synced")


def test_limits_that_were_set_for_clients_do_not_touch_it(server: Server, tmp_path: Path) -> None:
    """Neither ends a write of the probe that hangs, which would look as if it had not been late."""
    source = Source(str(server.socket), "galerist_check", None, tmp_path / "agent.json", tmp_path / "disabled")
    server.query("SET GLOBAL max_statement_time = 1")
    server.query("SET GLOBAL wait_timeout = 1")
    try:
        with connect(source, 10.0) as connection, connection.cursor() as cursor:
            cursor.execute("SELECT SLEEP(1.5), @@max_statement_time, @@wait_timeout")
            assert cursor.fetchone() == (0, 0.0, 86400)
    finally:
        server.query("SET GLOBAL max_statement_time = 0")
        server.query("SET GLOBAL wait_timeout = 28800")


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
