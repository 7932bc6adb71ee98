"""Clients that try a statement once more when their connection is lost, as drivers and pools do; and not twice."""

from __future__ import annotations

import contextlib
import threading
import time
from typing import Any

import pymysql

from tests.support.cluster import Cluster

_LOST = (0, 2006, 2013, 2055, 1053, 1927)  # what clients call a lost connection
_DUPLICATE = 1062  # of a retry: the first try was committed, only its answer was lost


class Retrying:
    """``count`` clients that insert through the write port all the time. ``failed``: statements that failed twice,
    or for another reason than a lost connection; ``done``: those that did not; ``lost``: connections lost."""

    def __init__(self, cluster: Cluster, count: int = 4) -> None:
        self._cluster = cluster
        self._port = cluster.plan.port("write_port")
        self._end = threading.Event()
        self.failed: list[str] = []
        self.done: set[tuple[int, int]] = set()
        self.lost = 0
        self._threads = [threading.Thread(target=self._run, args=(number,), daemon=True) for number in range(count)]

    def __enter__(self) -> Retrying:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        for thread in self._threads:
            thread.join(60)
            assert not thread.is_alive(), "a client hangs"

    def _run(self, client: int) -> None:
        connection: Any = None
        row = 0
        while not self._end.is_set():
            row += 1
            for last in (False, True):
                try:
                    if connection is None:
                        connection = self._cluster.connect(self._port)
                    with connection.cursor() as cursor:
                        cursor.execute("INSERT INTO acks (client, number) VALUES (%s, %s)", (client, row))
                    self.done.add((client, row))
                    break
                except (pymysql.MySQLError, OSError) as error:
                    code = error.args[0] if error.args else 0
                    if last and code == _DUPLICATE:
                        self.done.add((client, row))
                        break
                    with contextlib.suppress(Exception):
                        connection.close()
                    connection = None
                    self.lost += 1
                    if last or code not in _LOST:
                        self.failed.append(f"{'second' if last else 'first'} try: {error!r}")
                        break
            time.sleep(0.005)
