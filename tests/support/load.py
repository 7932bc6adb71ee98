"""Clients as they should be: they write, wait, and try once again when their connection is lost."""

from __future__ import annotations

import contextlib
import threading
import time
from dataclasses import dataclass
from typing import Any

import pymysql

from tests.support.cluster import Cluster
from tests.support.writers import TABLE

TIMEOUT = 20.0
"""Seconds that a client waits for an answer."""

_DUPLICATE = 1062
_CONNECTION = {
    0,
    1053,
    1927,
    2003,
    2006,
    2013,
    2055,
}  # what a lost connection is called: shut down, killed, refused, gone, lost


@dataclass(frozen=True)
class Write:
    """One row that a client wanted in: when it began and ended (s, monotonic), and how."""

    began: float
    ended: float
    node: str  # where it was accepted
    tries: int
    error: str = ""


class Load:
    """``count`` clients, each with a connection of its own through the write port."""

    def __init__(self, cluster: Cluster, count: int = 16, pause: float = 0.005) -> None:
        self._cluster = cluster
        self._pause = pause
        self._end = threading.Event()
        self._base = time.time_ns() // 1_000_000
        self.acknowledged: set[tuple[int, int]] = set()
        self.writes: list[Write] = []
        self._threads = [threading.Thread(target=self._run, args=(number,), daemon=True) for number in range(count)]

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        for thread in self._threads:
            thread.join(3 * TIMEOUT)
            assert not thread.is_alive(), "a client hangs"

    def wait(self, more: int, patience: float = 90.0) -> None:
        """Until so many more writes have been accepted."""
        goal = len(self.acknowledged) + more
        self._cluster.until(lambda: len(self.acknowledged) >= goal, f"{more} more writes", patience)

    def accepted(self, after: float) -> float | None:
        """When the first write that began after this moment was accepted."""
        return min((one.ended for one in tuple(self.writes) if one.began > after and not one.error), default=None)

    def errors(self) -> list[str]:
        return [one.error for one in self.writes if one.error]

    def longest(self) -> float:
        """Seconds that the longest write took, all its tries together."""
        return max(one.ended - one.began for one in self.writes)

    def pause(self, begin: float, end: float) -> float:
        """The longest time (s) between ``begin`` and ``end`` without an accepted write."""
        times = [begin, *sorted(one.ended for one in self.writes if not one.error and begin < one.ended < end), end]
        return max(later - former for former, later in zip(times, times[1:], strict=False))

    def _run(self, number: int) -> None:
        client, row = self._base * 100 + number, 0
        connection: Any = None
        node = ""
        while not self._end.is_set():
            row += 1
            began, error = time.monotonic(), ""
            tries = 0
            while tries < 2:
                tries += 1
                try:
                    if connection is None:
                        connection = self._cluster.connect(self._cluster.plan.port("write_port"), TIMEOUT)
                        with connection.cursor() as cursor:
                            cursor.execute("SELECT @@wsrep_node_name")
                            node = str(cursor.fetchone()[0])
                    with connection.cursor() as cursor:
                        cursor.execute(f"INSERT INTO {TABLE} (client, number) VALUES (%s, %s)", (client, row))
                    error = ""
                    break
                except (pymysql.MySQLError, OSError) as caught:
                    if tries > 1 and caught.args[0] == _DUPLICATE:  # the first try had got through
                        error = ""
                        break
                    error = f"{node}: {caught!r}"
                    if caught.args and isinstance(caught.args[0], int) and caught.args[0] not in _CONNECTION:
                        break  # an answer, and not the one that was wanted
                    if connection is not None:
                        with contextlib.suppress(Exception):
                            connection.close()
                    connection = None
            if not error:
                self.acknowledged.add((client, row))
            elif connection is not None:
                with contextlib.suppress(Exception):
                    connection.close()
                connection = None
            self.writes.append(Write(began, time.monotonic(), node, tries, error))
            self._end.wait(self._pause if not error else 0.05)
        if connection is not None:
            with contextlib.suppress(Exception):
                connection.close()
