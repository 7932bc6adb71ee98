"""The network between the hosts of a fault run does what it is told to, and is whole again afterwards."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator

import pytest

from tests.faults.network import Network, require

LATE = 0.15  # s, each way


@pytest.fixture
def network() -> Iterator[Network]:
    require()
    with Network({"a": "11", "b": "12"}) as one:
        yield one


class Echo:
    """A server on ``b`` that gives back what it gets, and a connection to it from ``a``."""

    def __init__(self, network: Network) -> None:
        with network.standing_on("b"):
            self._server = socket.create_server((network.addresses["b"], 7777))
        threading.Thread(target=self._serve, daemon=True).start()
        with network.standing_on("a"):
            self.connection = socket.create_connection((network.addresses["b"], 7777), timeout=30)

    def _serve(self) -> None:
        peer, _ = self._server.accept()
        with peer:
            while data := peer.recv(1 << 20):
                peer.sendall(data)

    def there_and_back(self, size: int = 1) -> float:
        """Seconds."""
        began = time.monotonic()
        threading.Thread(target=self.connection.sendall, args=(bytes(size),), daemon=True).start()
        while size > 0:
            size -= len(self.connection.recv(min(size, 1 << 20)))
        return time.monotonic() - began

    def close(self) -> None:
        self.connection.close()
        self._server.close()


@pytest.mark.timeout(120)
def test_a_delay_holds_for_connections_that_live_and_ends(network: Network) -> None:
    echo = Echo(network)
    try:
        assert echo.there_and_back() < 2 * LATE
        network.delay("a", LATE, 0.02)
        assert echo.there_and_back() >= 2 * LATE
        assert echo.there_and_back(3_000_000) >= 2 * LATE  # segments of any size, checksums of any kind
        network.mend()
        times = [echo.there_and_back() for _ in range(5)]
        assert min(times) < 2 * LATE, times
        assert network.pids("bridge") == []
    finally:
        echo.close()


@pytest.mark.timeout(120)
def test_a_cut_holds_and_ends(network: Network) -> None:
    echo = Echo(network)
    try:
        network.part(["a"], ["b"])
        echo.connection.settimeout(1.0)
        with pytest.raises(TimeoutError):
            echo.there_and_back()
        network.mend()
        echo.connection.settimeout(30.0)
        assert echo.connection.recv(1) == b"\0"  # sent again by TCP
    finally:
        echo.close()
