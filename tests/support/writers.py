"""Clients that write all the time and remember what was acknowledged to them."""

from __future__ import annotations

import contextlib
import threading
import time
from types import TracebackType

import pymysql

from tests.support.cluster import Cluster

TABLE = "acks"


class Writers:
    """``count`` clients that insert rows of their own through a port, and connect again after an error.

    ``acknowledged`` holds (client, number) of every insert that the server said it committed;
    ``errors`` the time (s, monotonic) and text of every statement or connection that failed.
    """

    def __init__(self, cluster: Cluster, count: int = 4, port: int | None = None, pause: float = 0.002) -> None:
        self._cluster = cluster
        self._port = port if port is not None else cluster.plan.port("write_port")
        self._pause = pause
        self._end = threading.Event()
        self.acknowledged: set[tuple[int, int]] = set()
        self.errors: list[tuple[float, str]] = []
        self._threads = [threading.Thread(target=self._run, args=(number,), daemon=True) for number in range(count)]
        self._base = time.time_ns() // 1_000_000  # so that a later set of clients has other rows

    def __enter__(self) -> Writers:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.end()

    def end(self) -> None:
        self._end.set()
        for thread in self._threads:
            thread.join(60)
            assert not thread.is_alive(), "a client hangs"

    def wait(self, more: int, patience: float = 60.0) -> None:
        """Until so many more inserts have been acknowledged."""
        goal = len(self.acknowledged) + more
        deadline = time.monotonic() + patience
        while len(self.acknowledged) < goal:
            if time.monotonic() > deadline:
                raise AssertionError(
                    f"{goal - len(self.acknowledged)} of {more} inserts are missing after {patience} s; "
                    f"last errors: {self.errors[-3:]}\n{self._cluster.state()}"
                )
            time.sleep(0.02)

    def _run(self, number: int) -> None:
        client, row = self._base * 100 + number, 0
        connection = None
        while not self._end.is_set():
            row += 1
            try:
                if connection is None:
                    connection = self._cluster.connect(self._port)
                with connection.cursor() as cursor:
                    cursor.execute(f"INSERT INTO {TABLE} (client, number) VALUES (%s, %s)", (client, row))
                self.acknowledged.add((client, row))
                time.sleep(self._pause)
            except (pymysql.MySQLError, OSError) as error:
                self.errors.append((time.monotonic(), repr(error)))
                if connection is not None:
                    with contextlib.suppress(Exception):
                        connection.close()
                connection = None
                time.sleep(0.05)
        if connection is not None:
            with contextlib.suppress(Exception):
                connection.close()


def make_table(cluster: Cluster, node: str) -> None:
    cluster.sql(node, f"CREATE TABLE IF NOT EXISTS {TABLE} (client BIGINT, number INT, PRIMARY KEY (client, number))")


def assert_complete(cluster: Cluster, acknowledged: set[tuple[int, int]]) -> None:
    """Every acknowledged row is on every node, and all nodes hold the same rows."""
    rows = {node: set(cluster.sql(node, f"SELECT client, number FROM {TABLE}", causal=True)) for node in cluster.nodes}
    for node, found in rows.items():
        lost = acknowledged - found
        assert not lost, f"{node} has lost {len(lost)} of {len(acknowledged)} acknowledged rows: {sorted(lost)[:5]}"
    assert len({frozenset(found) for found in rows.values()}) == 1, {node: len(found) for node, found in rows.items()}
