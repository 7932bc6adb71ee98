"""Clients that insert rows of their own all the time, and remember what was acknowledged."""

from __future__ import annotations

import contextlib
import threading
import time
from dataclasses import dataclass, field

import pymysql

from tests.faults.fleet import ALL, TABLE, WRITE, Fleet

PAUSE = 0.02  # s between two inserts of one client


@dataclass
class Client:
    """One client: where it writes to, and what it was told."""

    number: int
    host: str
    port: int
    acknowledged: set[int] = field(default_factory=set)
    times: list[float] = field(default_factory=list)  # s, monotonic, of every acknowledgement
    errors: int = 0
    last_error: str = ""

    @property
    def proxied(self) -> bool:
        return self.host == "p1" and self.port == WRITE


class Clients:
    """Two clients of the proxy's write port, one of its port for all nodes, and one of each node directly.

    The clients of round ``r`` have the numbers ``1000 * r`` and up.
    """

    def __init__(self, fleet: Fleet, round_number: int) -> None:
        self._fleet = fleet
        self._end = threading.Event()
        places = [("p1", WRITE), ("p1", WRITE), ("p1", ALL), *((node, 3306) for node in fleet.nodes)]
        base = 1000 * (round_number + 1)
        self.all = [Client(base + number, host, port) for number, (host, port) in enumerate(places)]
        self._threads = [threading.Thread(target=self._run, args=(client,), daemon=True) for client in self.all]

    def __enter__(self) -> Clients:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.end()

    def end(self) -> None:
        self._end.set()
        for thread in self._threads:
            if thread.is_alive():
                thread.join(60)
                assert not thread.is_alive(), "a client hangs"

    def count(self) -> int:
        return sum(len(client.acknowledged) for client in self.all)

    def through_proxy(self) -> list[float]:
        """When statements through the write port were acknowledged."""
        return sorted(when for client in self.all if client.proxied for when in tuple(client.times))

    def _run(self, client: Client) -> None:
        connection, row = None, 0
        while not self._end.is_set():
            row += 1
            try:
                if connection is None:
                    connection = self._fleet.connect(client.host, client.port)
                with connection.cursor() as cursor:
                    cursor.execute(f"INSERT INTO {TABLE} (client, number) VALUES (%s, %s)", (client.number, row))
                client.acknowledged.add(row)
                client.times.append(time.monotonic())
                self._end.wait(PAUSE)
            except (pymysql.MySQLError, OSError) as error:
                client.errors += 1
                client.last_error = repr(error)
                if connection is not None:
                    with contextlib.suppress(Exception):
                        connection._force_close()
                connection = None
                self._end.wait(0.1)
        if connection is not None:
            with contextlib.suppress(Exception):
                connection.close()
