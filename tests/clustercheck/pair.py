"""Two real servers of one cluster, and what can be done to them."""

from __future__ import annotations

import contextlib
import re
import shutil
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psutil
import pymysql

from bootstrap.accounts import Wanted, statements
from tests.support.mariadb import START_TIME, Server
from tests.support.ports import free_ports
from tests.support.threads import held


class Member(Server):
    """A server that others can join. ``weight`` is its vote."""

    def __init__(self, folder: Path, name: str, weight: int) -> None:
        folder.mkdir()
        folder.chmod(0o755)
        super().__init__(folder)
        (sst,) = free_ports(1)
        text = self.config.read_text().replace("wsrep_node_name = n1", f"wsrep_node_name = {name}")
        text = text.replace("gcache.size=8M", f"gcache.size=8M;pc.weight={weight}")
        text += f"wsrep_sst_receive_address = 127.0.0.1:{sst}\nwsrep_sst_auth = root:\nloose_innodb_io_capacity = 200\n"
        text += f"wsrep_node_incoming_address = {self.incoming}\n"
        self.config.write_text(text)
        found = re.search(r"gmcast.listen_addr=tcp://([0-9.:]+)", text)
        assert found is not None
        self.gcomm = found[1]

    @property
    def incoming(self) -> str:
        """Where it listens, as it tells the group."""
        return f"127.0.0.1:{self.sql_port}"

    @property
    def runs(self) -> bool:
        """Whether its process is there."""
        return self._process is not None and self._process.poll() is None

    def join(self, other: Member) -> None:
        """Start as a member of ``other``'s cluster; returns at once."""
        text = self.config.read_text()
        self.config.write_text(text.replace("gcomm://\n", f"gcomm://{other.gcomm}\n"))
        self._process = subprocess.Popen(
            ["mariadbd", f"--defaults-file={self.config}"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    def state(self) -> str:
        """wsrep_local_state, empty while it cannot be asked."""
        try:
            return str(self.query("SHOW STATUS LIKE 'wsrep_local_state'")[0][1])
        except pymysql.MySQLError:
            return ""

    def wait_for_state(self, state: str) -> None:
        end = time.monotonic() + START_TIME
        while self.state() != state:
            log = self.folder / "err"
            assert self._process is not None
            assert self._process.poll() is None, f"mariadbd ended:\n{log.read_text()[-4000:]}"
            assert time.monotonic() < end, f"state is {self.state()!r}, not {state}:\n{log.read_text()[-4000:]}"
            time.sleep(0.02)

    def run(self, *statements: str) -> None:
        """Statements of one session, each committed."""
        with self.session() as cursor:
            for statement in statements:
                cursor.execute(statement)

    @contextlib.contextmanager
    def session(self) -> Iterator[Any]:
        connection = pymysql.connect(unix_socket=str(self.socket), user="root", autocommit=True, read_timeout=600)
        with connection, connection.cursor() as cursor:
            yield cursor

    def furnish(self) -> None:
        """The accounts and tables that a first node gets."""
        with self.session() as cursor:
            cursor.execute("SET SESSION wsrep_on=0")
            for statement, arguments in statements(Wanted("mysql", None, check_user="galerist_check")):
                cursor.execute(statement, arguments or None)

    def end(self) -> None:
        """Kill it with what it has started."""
        if self._process is not None and self._process.poll() is None:
            children = psutil.Process(self.pid).children(recursive=True)
            self.kill()
            for child in children:
                with contextlib.suppress(psutil.NoSuchProcess):
                    child.kill()

    @contextlib.contextmanager
    def held_transfer(self) -> Iterator[None]:
        """The backup of the state transfer that this node gives stands still."""
        end = time.monotonic() + START_TIME
        while not (found := self._backups()):
            assert time.monotonic() < end, "no backup has begun"
            time.sleep(0.005)
        for one in found:
            one.suspend()
        try:
            yield
        finally:
            for one in found:
                with contextlib.suppress(psutil.NoSuchProcess):
                    one.resume()

    def _backups(self) -> list[psutil.Process]:
        found = []
        with contextlib.suppress(psutil.NoSuchProcess):
            for one in psutil.Process(self.pid).children(recursive=True):
                with contextlib.suppress(psutil.NoSuchProcess):
                    if "backup" in one.name() and "--backup" in one.cmdline():
                        found.append(one)
        return found

    @contextlib.contextmanager
    def failed_applier(self) -> Iterator[None]:
        """Its applier applies nothing more, while everything else in it goes on."""
        rows = self.query(
            "SELECT TID FROM information_schema.PROCESSLIST WHERE USER = 'system user' AND STATE NOT LIKE '%aborter%'"
        )
        threads = [int(row[0]) for row in rows]
        assert threads
        with held(threads):
            yield

    @contextlib.contextmanager
    def frozen(self) -> Iterator[None]:
        self.signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self.signal(signal.SIGCONT)

    @contextlib.contextmanager
    def half_as_fast(self) -> Iterator[None]:
        """Stopped for half of the time, a little while each."""
        enough = threading.Event()

        def slow_down() -> None:
            while not enough.wait(0.04):
                with self.frozen():
                    time.sleep(0.04)

        with ThreadPoolExecutor(1) as executor:
            slowing = executor.submit(slow_down)
            try:
                yield
            finally:
                enough.set()
            slowing.result()


@contextlib.contextmanager
def two_servers() -> Iterator[tuple[Member, Member]]:
    """The first is Synced and furnished, and keeps the quorum alone; the second is not started."""
    folder = Path(tempfile.mkdtemp(prefix="galerist-pair-", dir="/tmp"))
    folder.chmod(0o755)
    members: list[Member] = []
    try:
        members += [Member(folder / "n1", "n1", 2), Member(folder / "n2", "n2", 1)]
        members[0].start()
        members[0].furnish()
        yield members[0], members[1]
    finally:
        for member in members:
            member.end()
        shutil.rmtree(folder, ignore_errors=True)
