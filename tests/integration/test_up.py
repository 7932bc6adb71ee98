"""`galerist up` and `galerist down` on the real parts, as a user runs them."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from galerist.local import down, processes, render
from galerist.local import plan as planning
from galerist.local.layout import LONGEST_DIR, Layout
from galerist.local.plan import Plan
from galerist.local.processes import Kind, Part
from galerist.local.programs import find


def galerist(*words: str, timeout: float = 330) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "galerist", *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=timeout, check=False, cwd="/")


class Local:
    """A local cluster in a directory of its own."""

    def __init__(self, name: str = "c") -> None:
        self.top = Path(tempfile.mkdtemp(prefix="galerist-up-", dir="/tmp"))
        self.top.chmod(0o755)  # mariadbd runs as another user when we are root
        self.layout = Layout(self.top / name)

    def up(self, *words: str) -> subprocess.CompletedProcess[str]:
        return galerist("up", "--dir", str(self.layout.dir), "--detach", *words)

    def must_up(self, *words: str) -> str:
        run = self.up(*words)
        assert run.returncode == 0, run.stdout + run.stderr
        return run.stdout

    def down(self, *words: str) -> subprocess.CompletedProcess[str]:
        return galerist("down", "--dir", str(self.layout.dir), *words)

    def plan(self) -> Plan:
        return planning.load(self.layout.plan.read_text())

    def parts(self, *kinds: Kind) -> list[Part]:
        return [part for part in processes.parts(self.layout) if not kinds or part.kind in kinds]

    def one(self, kind: Kind, node: str = "") -> Part:
        (part,) = [part for part in self.parts(kind) if part.node == node]
        return part

    def wait_for_another(self, kind: Kind, node: str, former: processes.Process) -> None:
        def others() -> list[Part]:
            return [part for part in self.parts(kind) if part.node == node and part.process != former]

        until(others, f"another {kind} {node}")

    def sql(self, text: str, port: str = "write_port") -> str:
        program = find("mariadb", os.environ["PATH"]) or "mysql"
        run = subprocess.run(
            [program, f"--defaults-file={self.layout.client}", f"--port={self.plan().port(port)}", "-NBe", text],
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        assert run.returncode == 0, run.stderr
        return run.stdout.strip()

    def end(self) -> None:
        with contextlib.suppress(Exception):
            down.stop(self.layout)
        shutil.rmtree(self.layout.sockets(), ignore_errors=True)
        shutil.rmtree(self.top, ignore_errors=True)


@pytest.fixture(scope="module")
def three() -> Iterator[Local]:
    """Three nodes, up; each test leaves them so."""
    local = Local()
    try:
        local.must_up()
        local.sql("CREATE TABLE words (id INT AUTO_INCREMENT PRIMARY KEY, word TEXT)")
        yield local
    finally:
        local.end()


@pytest.fixture
def another(request: pytest.FixtureRequest) -> Iterator[Local]:
    local = Local(getattr(request, "param", "c"))
    try:
        yield local
    finally:
        local.end()


def until(condition: Callable[[], object], what: str, patience: float = 60) -> None:
    deadline = time.monotonic() + patience
    while not condition():
        assert time.monotonic() < deadline, f"{what}: not within {patience} s"
        time.sleep(0.1)


def test_every_port_of_the_proxy_leads_to_a_node(three: Local) -> None:
    writers = {three.sql("SELECT @@wsrep_node_name", "write_port") for _ in range(4)}
    readers = {three.sql("SELECT @@wsrep_node_name", "read_port") for _ in range(4)}
    everyone = {three.sql("SELECT @@wsrep_node_name", "all_port") for _ in range(6)}
    assert len(writers) == 1
    assert readers == {"n1", "n2", "n3"} - writers
    assert everyone == {"n1", "n2", "n3"}


def test_the_option_file_is_for_its_owner_only(three: Local) -> None:
    assert stat.S_IMODE(three.layout.client.stat().st_mode) == 0o600
    assert three.sql("SELECT CURRENT_USER(), DATABASE()").split("\t")[1] == render.APP


def test_nothing_listens_beyond_loopback(three: Local) -> None:
    pids = {process.pid for process in processes.scan() if processes.touches(process, three.layout)}
    listening = [
        connection
        for connection in psutil.net_connections("inet")
        if connection.pid in pids and connection.status == psutil.CONN_LISTEN
    ]
    assert {connection.laddr.ip for connection in listening} == {"127.0.0.1"}
    ports = {connection.laddr.port for connection in listening}
    wanted = {port for key, port in three.plan().ports.items() if not key.endswith(("ist_port", "sst_port"))}
    assert wanted <= ports <= set(three.plan().ports.values())


def test_no_secret_stands_on_a_command_line_or_in_a_log(three: Local) -> None:
    secrets = [three.layout.secret(name).read_text().strip() for name in ("root", "app", "check", "sst")]
    texts = [" ".join(process.argv) for process in processes.scan()]
    texts += [path.read_text(errors="replace") for path in three.layout.logs.iterdir()]
    assert not [secret for secret in secrets for text in texts if secret in text]


def test_a_second_up_shows_what_runs(three: Local) -> None:
    before = {part.process.pid for part in three.parts()}
    said = three.must_up()
    assert "is already running (supervisor (pid " in said
    assert f"mariadb --defaults-file={three.layout.client}" in said
    assert {part.process.pid for part in three.parts()} == before


@pytest.mark.parametrize(
    ("kind", "node"), [(Kind.ETCD, ""), (Kind.CHECK, "n1"), (Kind.WATCHER, ""), (Kind.AGENT, "n2"), (Kind.SERVER, "n3")]
)
def test_what_is_killed_comes_back(three: Local, kind: Kind, node: str) -> None:
    killed = three.one(kind, node).process
    os.kill(killed.pid, signal.SIGKILL)
    three.wait_for_another(kind, node, killed)
    three.must_up()


def test_a_killed_agent_finds_its_server_again(three: Local) -> None:
    server = three.one(Kind.SERVER, "n2").process
    agent = three.one(Kind.AGENT, "n2").process
    os.kill(agent.pid, signal.SIGKILL)
    three.wait_for_another(Kind.AGENT, "n2", agent)
    three.must_up()
    assert three.one(Kind.SERVER, "n2").process == server


def test_what_a_killed_supervisor_leaves_is_adopted(three: Local) -> None:
    os.kill(three.one(Kind.SUPERVISOR).process.pid, signal.SIGKILL)
    until(lambda: not three.parts(Kind.SUPERVISOR), "the end of the supervisor")
    before = {part.process.pid for part in three.parts()}
    three.must_up()
    after = {part.process.pid for part in three.parts() if part.kind is not Kind.SUPERVISOR}
    assert after == before
    killed = three.one(Kind.CHECK, "n3").process
    os.kill(killed.pid, signal.SIGKILL)  # adopted children come back, too
    three.wait_for_another(Kind.CHECK, "n3", killed)


def test_fewer_nodes_are_refused(three: Local) -> None:
    run = three.up("--nodes", "2")
    assert run.returncode == 78
    assert "this directory holds 3 nodes" in run.stderr


def test_everything_killed_at_once_comes_back_with_all_rows(three: Local) -> None:
    three.sql("INSERT INTO words (word) VALUES ('before the crash')")
    ports = three.plan().ports
    for part in [*three.parts(Kind.SUPERVISOR), *three.parts()]:
        with contextlib.suppress(ProcessLookupError):
            os.kill(part.process.pid, signal.SIGKILL)
    until(lambda: not three.parts(), "the end of everything")
    three.must_up()
    assert "before the crash" in three.sql("SELECT word FROM words")
    assert three.plan().ports == ports


def test_down_ends_all_and_up_resumes(three: Local) -> None:
    three.sql("INSERT INTO words (word) VALUES ('before the end')")
    secret = three.layout.client.read_text()
    run = three.down()
    assert run.returncode == 0, run.stdout + run.stderr
    assert three.parts() == []
    again = three.down()
    assert (again.returncode, again.stdout) == (0, f"{three.layout.dir}: not running\n")
    three.must_up()
    assert "before the end" in three.sql("SELECT word FROM words")
    assert three.layout.client.read_text() == secret


def test_down_ends_also_what_was_orphaned(three: Local) -> None:
    for kind in (Kind.SUPERVISOR, Kind.AGENT):
        for part in three.parts(kind):
            os.kill(part.process.pid, signal.SIGKILL)
    until(lambda: not three.parts(Kind.SUPERVISOR, Kind.AGENT), "the end of the agents")
    run = three.down()
    assert run.returncode == 0, run.stdout + run.stderr
    assert "no supervisor runs" in run.stdout
    assert "mariadbd of n1" in run.stdout
    assert three.parts() == []
    three.must_up()


@pytest.mark.parametrize("another", ["d" * LONGEST_DIR], indirect=True)
def test_one_node_in_the_foreground_in_a_long_directory_beside_a_busy_port(another: Local) -> None:
    with socket.socket() as busy:
        with contextlib.suppress(OSError):  # somebody else's, then: just as busy
            busy.bind(("127.0.0.1", planning.SHARED_PORTS["write_port"]))
            busy.listen()
        command = [sys.executable, "-m", "galerist", "up", "--nodes", "1", "--dir", str(another.layout.dir)]
        run = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd="/")
        try:
            assert run.stdout is not None
            said = []
            for line in run.stdout:
                said.append(line)
                if line.startswith("Ctrl-C"):
                    break
            text = "".join(said)
            assert "port 13306 (write_port) is used by another program" in text
            assert "warning: one node is no cluster" in text
            assert another.plan().port("write_port") != 13306
            assert another.sql("SELECT @@wsrep_node_name") == "n1"
            run.send_signal(signal.SIGINT)
            rest, _ = run.communicate(timeout=120)
        finally:
            run.kill()
            run.wait()
    assert run.returncode == 0, text + rest
    assert another.parts() == []
    assert another.layout.sockets().exists()
    wiped = another.down("--wipe")
    assert wiped.returncode == 0, wiped.stderr
    assert not another.layout.dir.exists() and not another.layout.sockets().exists()


def test_nodes_are_added_while_the_cluster_runs(another: Local) -> None:
    another.must_up("--nodes", "1", "--cluster", "growing")
    another.sql("CREATE TABLE t (a INT PRIMARY KEY) SELECT 7 AS a")
    before = another.one(Kind.SERVER, "n1").process
    assert "adding n2" in another.must_up("--nodes", "2")
    assert another.one(Kind.SERVER, "n1").process == before
    assert another.sql("SELECT @@wsrep_cluster_name LIKE 'growing-%', a FROM t", "read_port") == "1\t7"
    assert {part.node for part in another.parts(Kind.SERVER)} == {"n1", "n2"}


def test_a_dump_is_loaded_before_up_comes_back(another: Local) -> None:
    dump = another.top / "dump.sql"
    dump.write_text("CREATE TABLE app.loaded (a INT PRIMARY KEY);\nINSERT INTO app.loaded VALUES (1), (2);\n")
    another.must_up("--nodes", "1", "--init-sql", str(dump))
    assert another.sql("SELECT COUNT(*) FROM loaded") == "2"


def test_a_dump_that_fails_is_told(another: Local) -> None:
    dump = another.top / "dump.sql"
    dump.write_text("CREATE TABLE app.loaded (a INT PRIMARY KEY);\nSELECT nonsense;\n")
    run = another.up("--nodes", "1", "--init-sql", str(dump))
    assert run.returncode == 1
    assert "the database initialisation has failed" in run.stderr
    assert "nonsense" in run.stderr
    assert "Traceback" not in run.stderr
