"""An agent that is told to let go leaves its server, and all its sessions, to the next one (M5)."""

from __future__ import annotations

import signal

from tests.support.cluster import Cluster


def test_the_next_agent_adopts_the_server_and_its_sessions() -> None:
    with Cluster(1) as one:
        one.up()
        session = one.connect(one.plan.port("sql_port", "n1"))
        with session.cursor() as cursor:
            cursor.execute("CREATE TABLE kept (id INT PRIMARY KEY)")
            cursor.execute("SET @mine = 4711")
        process, agent = one.server_pid("n1"), one.pid("n1")
        one.signal("n1", signal.SIGUSR1)
        assert one.exit_code("n1") == 0
        with session.cursor() as cursor:  # nobody looks after it, and it serves
            cursor.execute("INSERT INTO kept VALUES (1)")
        one.start("n1")
        one.serving("n1")
        assert (one.server_pid("n1"), one.pid("n1") != agent) == (process, True)
        with session.cursor() as cursor:
            cursor.execute("SELECT @mine, COUNT(*) FROM kept")
            assert cursor.fetchone() == (4711, 1)
        session.close()
