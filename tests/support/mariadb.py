"""A real mariadbd that is a Galera cluster of one, in a folder of its own."""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pymysql

from tests.support.ports import free_ports

START_TIME = 60.0  # s, generous: machines differ
_PROVIDERS = ("/usr/lib/galera/libgalera_smm.so", "/usr/lib64/galera-4/libgalera_smm.so")

_CONFIG = """
[mariadbd]
user = {user}
datadir = {folder}/data
socket = {folder}/s.sock
pid-file = {folder}/pid
log-error = {folder}/err
port = {sql}
bind-address = 127.0.0.1
innodb_buffer_pool_size = 16M
innodb_log_file_size = 8M
binlog_format = ROW
innodb_autoinc_lock_mode = 2
wsrep_on = ON
wsrep_provider = {provider}
wsrep_cluster_address = gcomm://
wsrep_cluster_name = test
wsrep_node_name = n1
wsrep_node_address = 127.0.0.1
wsrep_sst_method = mariabackup
wsrep_provider_options = gmcast.listen_addr=tcp://127.0.0.1:{gcomm};ist.recv_addr=127.0.0.1:{ist};gcache.size=8M
"""


class Server:
    """One server. root and ``galerist_check`` (USAGE only) come in by the socket, without a password."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.socket = folder / "s.sock"
        self.config = folder / "my.cnf"
        self.sql_port, gcomm, ist = free_ports(3)
        self._user = "mysql" if os.geteuid() == 0 else pwd.getpwuid(os.geteuid()).pw_name
        self._process: subprocess.Popen[bytes] | None = None
        data = folder / "data"
        data.mkdir()
        provider = next(path for path in _PROVIDERS if Path(path).exists())
        self.config.write_text(
            _CONFIG.format(user=self._user, folder=folder, provider=provider, sql=self.sql_port, gcomm=gcomm, ist=ist)
        )
        if os.geteuid() == 0:
            shutil.chown(folder, self._user)
            shutil.chown(data, self._user)
        install = ["mariadb-install-db", f"--defaults-file={self.config}", "--wsrep-on=OFF", f"--user={self._user}"]
        install += ["--auth-root-authentication-method=normal", "--skip-test-db"]
        done = subprocess.run(install, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr

    @property
    def pid(self) -> int:
        assert self._process is not None, "not started"
        return self._process.pid

    def start(self) -> None:
        """Start, and wait until it is Synced. The account for health checks is there afterwards."""
        self._process = subprocess.Popen(
            ["mariadbd", f"--defaults-file={self.config}", "--wsrep-new-cluster"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        end = time.monotonic() + START_TIME
        while True:
            with contextlib.suppress(pymysql.MySQLError):
                if self.query("SHOW STATUS LIKE 'wsrep_local_state'")[0][1] == "4":
                    break
            log = self.folder / "err"
            assert self._process.poll() is None, f"mariadbd ended:\n{log.read_text()}"
            assert time.monotonic() < end, f"mariadbd is not Synced:\n{log.read_text()}"
            time.sleep(0.05)
        self.query("CREATE USER IF NOT EXISTS galerist_check@localhost")

    def query(self, statement: str) -> list[tuple[str, ...]]:
        connection = pymysql.connect(unix_socket=str(self.socket), user="root", read_timeout=30)
        with connection, connection.cursor() as cursor:
            cursor.execute(statement)
            return list(cursor.fetchall())

    def signal(self, number: signal.Signals) -> None:
        os.kill(self.pid, number)

    def kill(self) -> None:
        """kill -9, and reap."""
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
            self._process.wait()


@contextlib.contextmanager
def running_server() -> Iterator[Server]:
    """A server that is Synced, in a folder that user mysql may enter; gone afterwards."""
    folder = Path(tempfile.mkdtemp(prefix="galerist-db-", dir="/tmp"))
    folder.chmod(0o755)
    server = None
    try:
        server = Server(folder)
        server.start()
        yield server
    finally:
        if server is not None:
            server.kill()
        shutil.rmtree(folder, ignore_errors=True)
