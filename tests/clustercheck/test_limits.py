"""What clients may do to the health endpoint: nothing that others would feel."""

from __future__ import annotations

import contextlib
import random
import re
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from clustercheck.agentcheck import agent_line
from clustercheck.verdict import Verdict
from tests.benchmarks.checks import growth
from tests.clustercheck.endpoint import Check, checking
from tests.support.ports import free_ports


@pytest.fixture(scope="module")
def check(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Check]:
    """Without a server, which no limit depends on: everything is 503."""
    folder = tmp_path_factory.mktemp("limits")
    with checking(folder, folder / "none.sock", check_agent_port=free_ports(1)[0]) as one:
        one.wait_for(503, "cannot be asked")
        yield one


def talk(port: int, said: bytes, seconds: float = 5.0) -> bytes:
    """All that comes back until the other side closes; it may do so before everything was said."""
    answer = b""
    with socket.create_connection(("127.0.0.1", port), seconds) as client:
        with contextlib.suppress(OSError):
            client.sendall(said)
            client.shutdown(socket.SHUT_WR)
        with contextlib.suppress(ConnectionError):
            while chunk := client.recv(65536):
                answer += chunk
    return answer


METHODS = ["GET", "HEAD", "OPTIONS"]

MALFORMED = {
    "no request": b"hello\r\n\r\n",
    "no version": b"GET /\r\nno colon\r\n\r\n",
    "wrong version": b"GET / HTTP/x\r\n\r\n",
    "a header without a name": b"GET / HTTP/1.1\r\n: x\r\n\r\n",
    "spaces in a name": b"GET / HTTP/1.1\r\nHost : x\r\n\r\n",
    "bare line feeds": b"GET / HTTP/1.1\nHost: x\r\n\r\n",
    "two lengths": b"GET / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
    "a length that is none": b"GET / HTTP/1.1\r\nContent-Length: +1\r\n\r\n",
    "a chunk that is none": b"GET / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    "TLS": bytes.fromhex("160301020001000100fc0303") + b"\r\n\r\n",
}


@pytest.mark.parametrize("said", MALFORMED.values(), ids=MALFORMED)
def test_malformed_requests_get_400(check: Check, said: bytes) -> None:
    assert talk(check.port, said).split(b"\r\n")[0].split()[1] == b"400"


ROOTS = ["/", "//", "/?x=/status", "http://db1:9200", "http://db1:9200/", "/#status"]
OTHERS = ["//status", "/status/", "/status//", "/./status", "/STATUS", "/%73tatus", "/%2fstatus", "/x/../status"]
OTHERS += ["/status%00", "/;", "/%ff", "http://db1/status", "http:///status", "status", "*", "/status#/", "/status?/"]


def test_no_way_of_writing_a_path_gets_past_the_token(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("t0ken\n")
    with checking(tmp_path / "check", tmp_path / "none.sock", check_token_file=tmp_path / "token") as check:

        def codes(path: str, more: str = "") -> set[bytes]:
            heads = [talk(check.port, f"{method} {path} HTTP/1.1\r\n{more}\r\n".encode()) for method in METHODS]
            return {head.split()[1] for head in heads}

        for path in ROOTS:
            assert codes(path) == {b"503"}, path
        for path in OTHERS:
            assert codes(path) == {b"401"}, path
        known = "Authorization: Bearer t0ken\r\nHost: ["
        assert codes("http://db1/status", f"{known}\r\n") == codes("//status", f"{known}\r\n") == {b"503"}
        for path in ("/status/", "/STATUS", "/./status", "*", "/healthz"):  # no redirect, which passes for health
            assert codes(path, f"{known}\r\n") == {b"400"}, path


def test_a_packet_full_of_requests_gets_one_answer(check: Check) -> None:
    answer = talk(check.port, b"GET /openapi.json HTTP/1.1\r\n\r\n" * 200)
    assert answer.count(b"HTTP/1.1 200") == 1
    assert b"\r\nConnection: close\r\n" in answer


def test_an_older_way_to_ask_is_told_the_truth_too(check: Check) -> None:
    for said in (b"GET /\r\n\r\n", b"GET / HTTP/1.0\r\n\r\n", b"GET / HTTP/2.0\r\n\r\n"):
        assert talk(check.port, said).split()[1] == b"503"


def test_forwarded_headers_are_not_believed(tmp_path: Path) -> None:
    with checking(tmp_path / "check", tmp_path / "none.sock", check_networks="10.0.0.0/8") as check:
        for name in ("X-Forwarded-For", "X-Real-IP", "Forwarded"):
            said = f"GET /live HTTP/1.1\r\n{name}: {'for=' if name == 'Forwarded' else ''}10.0.0.1\r\n\r\n"
            assert talk(check.port, said.encode()).split()[1] == b"403"


def test_what_is_too_large_is_refused(check: Check) -> None:
    assert b" 431 " in talk(check.port, b"GET / HTTP/1.1\r\n" + b"X: " + b"y" * 6000 + b"\r\n\r\n")
    assert b" 413 " in talk(check.port, b"GET / HTTP/1.1\r\nContent-Length: 100000\r\n\r\n" + b"y" * 1000)


def test_garbage_leaves_it_unmoved(check: Check) -> None:
    chance = random.Random(5)
    for _ in range(200):
        said = chance.randbytes(chance.randrange(1, 400))
        if chance.random() < 0.5:
            said = b"GET /" + said + b" HTTP/1.1\r\n\r\n"
        answer = talk(check.port, said + b"\r\n\r\n")
        assert not answer or re.match(rb"HTTP/1\.[01] (400|431|405|501|503)", answer), (said, answer)
    assert check.ask()[0] == 503


def test_slow_clients_starve_nobody(check: Check) -> None:
    """More of them than there are places, each sending a byte now and then (slowloris)."""
    slow: list[socket.socket] = []
    took: list[float] = []
    try:
        for number in range(1100):
            client = socket.create_connection(("127.0.0.1", check.port), 5)
            client.sendall(b"GET / HTTP/1.1\r\nX-a:" if number % 2 else b"")
            client.setblocking(False)
            slow.append(client)
            if number % 50 == 49:
                for other in slow:
                    with contextlib.suppress(OSError):
                        other.send(b"b")
                began = time.monotonic()
                assert check.ask()[0] == 503
                took.append(time.monotonic() - began)
        assert max(took) < 1.0, took
        # and none of them is kept for ever, however often it sends a byte
        end = time.monotonic() + 8.0
        while time.monotonic() < end and (alive := [client for client in slow if still_open(client)]):
            time.sleep(0.5)
        assert not alive
    finally:
        for client in slow:
            client.close()


def test_clients_use_up_no_file_that_the_poller_needs(tmp_path: Path) -> None:
    with checking(tmp_path / "check", tmp_path / "none.sock", files=300) as check, contextlib.ExitStack() as stack:
        check.wait_for(503, "No such file")
        for _ in range(400):
            stack.enter_context(socket.create_connection(("127.0.0.1", check.port), 5))
        for _ in range(10):
            assert "No such file" in check.ask()[1]  # not "Too many open files"
            time.sleep(0.1)


def still_open(client: socket.socket) -> bool:
    try:
        client.send(b"b")
        return client.recv(1000) != b""
    except BlockingIOError:
        return True
    except OSError:
        return False


def test_requests_of_all_kinds_leave_nothing_behind(check: Check) -> None:
    process = psutil.Process(check.process.pid)
    files = process.num_fds()
    _, grown = growth(check.port, process, 2000, 4000)
    assert grown < 3.0
    assert process.num_fds() <= files + 1  # the poller may be at it


def test_agent_check(check: Check) -> None:
    port = int(check.flags[check.flags.index("--check-agent-port") + 1])
    for said in (b"", b"hello\n"):
        assert talk(port, said).startswith(b"down ready #mariadbd cannot be asked")
    with contextlib.ExitStack() as stack:
        for _ in range(50):
            stack.enter_context(socket.create_connection(("127.0.0.1", port), 5))
        assert talk(port, b"").startswith(b"down")


def test_agent_check_lines() -> None:
    assert agent_line(Verdict(200, "synced")) == "up ready\n"
    assert agent_line(Verdict(404, "donor")) == "up drain\n"
    assert agent_line(Verdict(503, "gone")) == "down ready #gone\n"


def test_the_programs_switch_and_the_classic_way(check: Check, tmp_path: Path) -> None:
    def run(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([*check.command, *words], capture_output=True, text=True, timeout=30)

    done = run("--disable", "kernel upgrade")
    assert (done.returncode, check.disabled.read_text()) == (0, "kernel upgrade\n")
    assert run("--enable").returncode == 0
    assert not check.disabled.exists()
    done = run("--once", "--check-text", "classic", "--check-down-code", "500")
    assert done.returncode == 1
    head, _, body = done.stdout.partition("\n\n")
    assert head.splitlines()[0] == "HTTP/1.1 500 Internal Server Error"
    assert body == "Percona XtraDB Cluster Node is not synced.\n"
    assert run("--once", "--page", "/live").returncode == 0
    assert run("--once", "--page", "/nowhere").returncode == 2
    for words in (["--page", "/live"], ["--disable", "x", "--enable"], ["--once", "--enable"]):
        assert run(*words).returncode == 2, words
    done = run("--disable", "x", "--check-disabled-file", str(tmp_path / "none/disabled"))
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert "Give it the settings of this node's clustercheck" in done.stderr


def test_once_under_inetd(check: Check) -> None:
    """Stdin and stdout are the client's socket, and the client has sent a request that nobody reads."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.sendall(b"OPTIONS / HTTP/1.0\r\n\r\n")
        with subprocess.Popen([*check.command, "--once"], stdin=theirs, stdout=theirs) as child:
            theirs.close()
            answer = b""
            while chunk := ours.recv(4096):
                answer += chunk
            assert child.wait(10) == 1
    assert answer.startswith(b"HTTP/1.1 503 Service Unavailable\r\n")
    assert int(re.search(rb"Content-Length: (\d+)", answer)[1]) == len(answer.partition(b"\r\n\r\n")[2])  # type: ignore[index]


def test_once_for_a_client_that_has_gone(check: Check) -> None:
    ours, theirs = socket.socketpair()
    ours.close()
    with theirs:
        done = subprocess.run(
            [*check.command, "--once"], stdin=theirs, stdout=theirs, stderr=subprocess.PIPE, timeout=30
        )
    assert (done.returncode, done.stderr) == (1, b"")


def test_the_log_tells_of_no_client(check: Check) -> None:
    check.log.seek(0)
    assert len(check.log.read().splitlines()) < 5
