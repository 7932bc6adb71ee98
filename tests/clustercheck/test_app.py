"""The web application: the same truth by every method."""

from __future__ import annotations

import errno
import socket

import pytest

from clustercheck.app import Chronicle
from clustercheck.serve import listen
from clustercheck.verdict import Policy, Status, Verdict
from clustercheck.web import create_app
from tests.clustercheck.test_verdict import GOOD
from tests.support.ports import free_ports

CASES = [
    (Status(GOOD, 0.1), 200, "synced\n"),
    (Status(GOOD, 0.1, disabled="by ann"), 404, "disabled by hand: by ann\n"),
    (Status(GOOD, 9.0), 503, "mariadbd does not answer: facts are 9.0 s old, at most 0.9 s count\n"),
]


def test_a_wrong_path_is_no_drain_and_a_wrong_method_no_health() -> None:
    client = create_app(lambda: CASES[0][0], Policy()).test_client()
    assert client.get("/healthz").status_code == 400
    assert client.post("/").status_code == 405


def test_every_address_means_ipv6_too() -> None:
    (port,) = free_ports(1)
    sockets = listen("*", port)
    try:
        socket.create_connection(("127.0.0.1", port), 5).close()
        if socket.AF_INET6 in {one.family for one in sockets}:
            socket.create_connection(("::1", port), 5).close()
        assert {one.family for one in sockets} >= {socket.AF_INET}
    finally:
        for one in sockets:
            one.close()


def test_a_port_in_use_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(OSError, match="in use") as caught:
            listen("127.0.0.1", port)
    assert caught.value.errno == errno.EADDRINUSE
    assert caught.value.filename == f"127.0.0.1, port {port}"


def test_a_change_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    said = iter([Verdict(503, "5.1 s old"), Verdict(503, "5.6 s old"), Verdict(200, "synced"), Verdict(200, "synced")])
    chronicle = Chronicle(lambda: next(said))
    with caplog.at_level("INFO", "clustercheck"):
        for _ in range(4):
            chronicle()
    assert [record.getMessage() for record in caplog.records] == ["503: 5.1 s old", "200: synced"]
