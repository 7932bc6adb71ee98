"""An agent that is told to let go leaves its server, and all its sessions, to the next one (M5)."""

from __future__ import annotations

import os
import signal
import subprocess

from tests.support.cluster import Cluster
from tests.support.mariadb import running_server


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


def test_a_server_that_galerist_has_never_begun_and_cannot_ask_is_left_alone() -> None:
    with running_server() as server, Cluster(1, own={"n1": {"datadir": str(server.folder / "data")}}) as one:
        one.start("etcd", "n1")
        one.until(lambda: bool(one.member("n1")), "the agent reports")
        log = one.layout.log("n1")
        one.stays(lambda: server.query("SELECT 1") == [(1,)], "the server answers", 20)  # longer than anybody waits
        one.stop("n1")
        assert "Another process has the datadir open, and is left alone" in log.read_text()
        assert server.query("SELECT 1") == [(1,)]


def test_a_server_started_by_hand_is_not_ended_because_the_one_before_it_was() -> None:
    with Cluster(1) as one:
        one.up()
        one.stop("n1")
        assert one.server_pid("n1") is None
        config = one.layout.sockets() / "n1" / "my.cnf"
        user = [f"--user={one.plan.server_user}"] if os.geteuid() == 0 else []
        by_hand = subprocess.Popen(["mariadbd", f"--defaults-file={config}", "--wsrep-new-cluster", *user])
        try:
            one.until(lambda: one.server_pid("n1") == by_hand.pid, "it runs")
            one.start("n1")
            one.serving("n1")
            assert one.server_pid("n1") == by_hand.pid
        finally:
            by_hand.kill()
            by_hand.wait()
