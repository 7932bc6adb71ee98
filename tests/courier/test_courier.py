"""Every line of every log arrives, in order, whatever is killed or stopped on the way; and the disk holds no more than it may."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.support.cluster import galerist
from tests.support.etcd import free_ports

pytestmark = pytest.mark.timeout(500)

PATIENCE = 180.0  # s, generous: machines differ
SCHEMES = {"bulk": "http://127.0.0.1:{port}/logs", "relp": "relp://127.0.0.1:{port}", "tcp": "tcp://127.0.0.1:{port}"}
SECURE = {"bulk": "https://localhost:{port}/logs", "relp": "relps://localhost:{port}", "tcp": "tls://localhost:{port}"}


def until(condition: Callable[[], object], what: str) -> None:
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end, f"{what}: not within {PATIENCE} s"
        time.sleep(0.1)


class Bench:
    """A node's logs, a courier, and a store of one kind."""

    def __init__(self, top: Path, kind: str, megabytes: int = 64, secure: bool = False) -> None:
        self.top, self.kind = top, kind
        (self.port,) = free_ports(1)
        self.taken = top / "taken"
        self.logs = {"error": top / "mariadb.err", "slow": top / "slow.log", "galerist": top / "galerist.log"}
        self.written: dict[str, list[str]] = {source: [] for source in self.logs}
        self.config = top / "galerist.toml"
        self.config.write_text(
            f'cluster = "shop"\nnode = "n1"\nstamp_dir = "{top}"\ncourier_dir = "{top}/courier"\n'
            f'log_file = "{self.logs["galerist"]}"\ncourier_queue = {megabytes}\n'
            f'courier_to = "{(SECURE if secure else SCHEMES)[kind].format(port=self.port)}"\n'
        )
        self.environ = dict(os.environ)
        if secure:
            made = galerist("tls", "init", "--out", str(top / "tls"), "store", "courier")
            assert made.returncode == 0, made.stderr
            self.environ["SINK_TLS"] = str(top / "tls/store")
            names = {"ca": "ca.pem", "cert": "courier.pem", "key": "courier.key"}
            self.config.write_text(
                self.config.read_text()
                + "".join(f'courier_{key} = "{top}/tls/{name}"\n' for key, name in names.items())
            )
        self.store: subprocess.Popen[bytes] | None = None
        self.courier: subprocess.Popen[bytes] | None = None
        for path in self.logs.values():
            path.touch()

    def begin_store(self) -> None:
        command = [sys.executable, "-m", "tests.courier.sinks", self.kind, str(self.port), str(self.taken)]
        with (self.top / "store.log").open("ab") as log:
            self.store = subprocess.Popen(command, stderr=log, cwd=Path(__file__).parents[2], env=self.environ)

    def begin_courier(self) -> None:
        with (self.top / "courier.log").open("ab") as log:
            self.courier = subprocess.Popen(
                [sys.executable, "-m", "galerist", "courier", "--config", str(self.config)], stderr=log, cwd="/"
            )

    def kill_store(self) -> None:
        assert self.store is not None
        self.store.kill()
        self.store.wait()

    def rsyslog(self) -> int | None:
        try:
            pid = int((self.top / "courier/rsyslogd.pid").read_text())
        except (OSError, ValueError):
            return None
        return pid if psutil.pid_exists(pid) else None

    def write(self, source: str, count: int, size: int = 0) -> None:
        """More lines of one log, each with a number of its own."""
        texts = []
        with self.logs[source].open("a") as log:
            for number in range(len(self.written[source]), len(self.written[source]) + count):
                text, line = _line(source, number, size)
                texts.append(text)
                log.write(line)
        self.written[source] += texts

    def arrived(self) -> list[dict[str, Any]]:
        with contextlib.suppress(FileNotFoundError):
            return [json.loads(line) for line in self.taken.read_text().splitlines() if line.endswith("}")]
        return []

    def missing(self) -> dict[str, list[str]]:
        there = {(one["source"], key) for one in self.arrived() if (key := _key(one["message"]))}
        return {
            source: [text for text in texts if (source, text) not in there] for source, texts in self.written.items()
        }

    def all_arrive(self) -> None:
        def done() -> bool:
            return not any(self.missing().values())

        try:
            until(done, "every line arrives")
        except AssertionError:
            short = {source: (len(texts), texts[:3]) for source, texts in self.missing().items()}
            logs = [(self.top / name).read_text()[-2000:] for name in ("courier.log", "store.log")]
            raise AssertionError(f"{short}\n" + "\n".join(logs)) from None

    def waiting(self) -> int:
        """Bytes on disk that wait to be sent."""
        total = 0
        for path in (self.top / "courier").glob("waiting*"):
            with contextlib.suppress(FileNotFoundError):
                total += path.stat().st_size
        return total

    def end(self) -> None:
        for child in (self.courier, self.store):
            if child is not None and child.poll() is None:
                child.send_signal(signal.SIGCONT)
                child.kill()
                child.wait()
        if (pid := self.rsyslog()) is not None and str(self.top) in " ".join(psutil.Process(pid).cmdline()):
            os.kill(pid, signal.SIGKILL)


def _line(source: str, number: int, size: int) -> tuple[str, str]:
    key, filling = f"line-{number:06d}", "x" * size
    if source == "error":
        level = ("Note", "Warning", "ERROR")[number % 3]
        return key, f'2026-11-21  8:00:{number % 60:02d} 0 [{level}] WSREP: {key} "quoted" \\ {filling}\n'
    if source == "slow":
        text = f"# Time: 261121  8:00:00\n# User@Host: app[app] @ [127.0.0.1]\n# Query_time: 1.5\nSET timestamp=17{number:08d};\n"
        return key, f"{text}SELECT '{key}',\n  '{filling}';\n"
    event = {
        "time": "2026-11-21T08:00:00Z",
        "level": ("info", "warning")[number % 2],
        "who": "n1",
        "message": key + filling,
    }
    return key, json.dumps(event) + "\n"


def _key(message: str) -> str:
    found = re.search(r"line-\d{6}", message)
    return found[0] if found else ""


@pytest.fixture
def bench(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Bench]:
    made = Bench(tmp_path, *request.param)
    try:
        yield made
    finally:
        made.end()


PLAIN = [("bulk",), ("relp",), ("tcp",)]
BY_TLS = [(*kind, 64, True) for kind in PLAIN]


@pytest.mark.parametrize("bench", [*PLAIN, *BY_TLS], indirect=True)
def test_lines_become_objects_that_say_whence_they_come(bench: Bench) -> None:
    bench.begin_store()
    bench.begin_courier()
    for source in bench.logs:
        bench.write(source, 30)
    bench.all_arrive()
    found = {(one["source"], key): one for one in bench.arrived() if (key := _key(one["message"]))}
    assert {(one["cluster"], one["node"]) for one in found.values()} == {("shop", "n1")}
    errors = [found["error", f"line-{number:06d}"] for number in range(3)]
    assert [one["level"] for one in errors] == ["info", "warning", "error"]
    assert [one["time"] for one in errors][1] == "2026-11-21  8:00:01"
    assert '"quoted" \\ ' in errors[0]["message"]
    slow = found["slow", "line-000007"]
    assert (
        slow["message"].startswith("# User@Host:")
        and slow["message"].rstrip().endswith("';")
        and "\n" in slow["message"]
    )
    assert slow["time"] == "1700000007"
    own = found["galerist", "line-000001"]
    assert (own["level"], own["time"]) == ("warning", "2026-11-21T08:00:00Z")
    assert len({one["id"] for one in found.values()}) == 90
    assert bench.courier is not None
    bench.courier.terminate()
    assert bench.courier.wait(30) == 0
    assert bench.rsyslog() is None


@pytest.mark.parametrize("bench", BY_TLS, indirect=True)
def test_a_store_that_cannot_prove_itself_gets_nothing(bench: Bench) -> None:
    other = bench.top / "other"
    galerist("tls", "init", "--out", str(other), "store")
    (other / "ca.pem").unlink()  # this one asks for no certificate: it must be the courier that refuses
    right, bench.environ["SINK_TLS"] = bench.environ["SINK_TLS"], str(other / "store")
    bench.begin_store()
    bench.begin_courier()
    bench.write("error", 10)
    time.sleep(5)  # it tries in vain
    bench.write("error", 10)
    # Not that rsyslog runs: by RELP it gives up at once, before it has said that it is there, and is started again.
    assert bench.courier is not None and bench.courier.poll() is None, "it keeps trying"
    assert bench.arrived() == []
    bench.kill_store()
    bench.environ["SINK_TLS"] = right
    bench.begin_store()
    bench.all_arrive()


@pytest.mark.parametrize("bench", [("bulk",), ("relp",)], indirect=True)
def test_every_line_arrives_and_in_order_whatever_is_killed_or_stopped(bench: Bench) -> None:
    bench.begin_store()
    bench.begin_courier()

    def more() -> None:
        for source in bench.logs:
            bench.write(source, 60)

    more()
    until(lambda: len(bench.arrived()) > 30, "it ships")
    bench.kill_store()
    more()
    time.sleep(1.5)  # it tries in vain
    bench.begin_store()
    bench.all_arrive()

    assert bench.store is not None and bench.courier is not None
    bench.store.send_signal(signal.SIGSTOP)  # takes connections, says nothing
    more()
    time.sleep(1.5)
    bench.store.send_signal(signal.SIGCONT)
    bench.all_arrive()

    more()
    former = bench.rsyslog()
    assert former is not None
    os.kill(former, signal.SIGKILL)  # in the middle
    more()
    until(lambda: bench.rsyslog() not in (None, former), "rsyslog runs again")
    bench.all_arrive()

    more()
    bench.courier.kill()  # its rsyslog goes on, and the next courier ends that one first
    bench.courier.wait()
    orphan = bench.rsyslog()
    more()
    bench.begin_courier()
    until(lambda: bench.rsyslog() not in (None, orphan), "another rsyslog runs")
    assert orphan is None or not psutil.pid_exists(orphan)
    more()
    bench.all_arrive()

    first: dict[str, list[str]] = {source: [] for source in bench.logs}
    seen: dict[tuple[str, str], str] = {}
    for one in bench.arrived():
        key = (one["source"], _key(one["message"]))
        if not key[1]:
            continue  # the courier's own, and the times between entries
        if key not in seen:
            first[one["source"]].append(key[1])
        assert seen.setdefault(key, one["id"]) == one["id"], "the same line has the same id each time"
    assert first == bench.written, "the first arrivals of each file are in order"


@pytest.mark.parametrize("bench", [("relp", 8)], indirect=True)
def test_what_waits_is_bounded_and_nothing_of_it_is_lost(bench: Bench) -> None:
    bench.begin_courier()
    until(lambda: bench.rsyslog(), "rsyslog runs")
    bench.write("galerist", 1_500, size=10_000)  # 15 MB, nearly twice of what may wait
    until(lambda: bench.waiting() > 6_000_000, "the queue fills")
    time.sleep(3)
    assert bench.waiting() < 9_500_000
    bench.begin_store()
    bench.all_arrive()
    until(lambda: bench.waiting() < 2_000_000, "the queue empties")


def test_mistakes_are_one_message(tmp_path: Path) -> None:
    nowhere = galerist("courier", "--courier-dir", str(tmp_path))
    assert (nowhere.returncode, len(nowhere.stderr.splitlines())) == (78, 1) and "courier_to" in nowhere.stderr
    for text in ("ftp://x", "relp://", "tcp://h:0", "relp://h/index", "http://u:p@h", "http://h/UPPER"):
        wrong = galerist("courier", "--courier-to", text)
        assert wrong.returncode == 78 and "courier_to" in wrong.stderr, (text, wrong.stderr)
        assert "u:p" not in wrong.stderr
