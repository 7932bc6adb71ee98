"""The sidekick on a real engine: exact keys, how long they live, and whose they are (G2).

What it looks at is a container; whether a server runs in it is not its business.
"""

from __future__ import annotations

import re
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from galerist.model import Data, Endpoint, Report, Server, dump
from galerist.registry.open import connect
from tests.docker.engine import ROOT, Engine, until
from tests.docker.podman import Podman
from tests.support.etcd import Etcd

pytestmark = pytest.mark.docker

SECOND = 10**9  # ns, as the engine counts
HOST = "192.0.2.10"
BASE = "/components/galera/n1/"
MEMBER = "/galerist/galera/members/n1"
OTHERS = {"/components/galera/n2/ip": "192.0.2.2", "/components/galera/n2/port": "3306"}


class Sidekick:
    """`galerist discovery` as a process, the container that it looks at, and the registry that it writes to."""

    def __init__(self, engine: Engine | Podman, etcd: Etcd, folder: Path) -> None:
        self.engine, self.etcd = engine, etcd
        self.registry = connect(etcd.access("etcd3", timeout=10))
        for key, value in OTHERS.items():
            self.registry.put(key, value)
        check = {"test": ["CMD", "test", "!", "-e", "/sick"], "interval": SECOND, "timeout": 5 * SECOND, "retries": 1}
        self.container = engine.client.containers.run(
            "galerist-base",
            ["sleep", "infinity"],
            detach=True,
            name="galera-n1",
            ports={"3306/tcp": None, "4567/tcp": None},
            healthcheck=check,
        )
        self.process: subprocess.Popen[bytes] | None = None
        self.log = folder / "discovery.log"

    def start(self, ttl: int = 10) -> None:
        flags = ["--node=n1", f"--host={HOST}", f"--registry={self.etcd.url('etcd3')}", f"--ttl={ttl}"]
        command = [ROOT / ".venv/bin/galerist", "discovery", *flags, f"--docker=unix://{self.engine.socket}"]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log)

    def send(self, number: signal.Signals) -> None:
        assert self.process is not None
        self.process.send_signal(number)

    def end(self, number: signal.Signals) -> int:
        self.send(number)
        assert self.process is not None
        return self.process.wait(30)

    def keys(self) -> dict[str, str]:
        return self.registry.list("/components/galera/")

    def expected(self) -> dict[str, str]:
        self.container.reload()
        port = self.container.attrs["NetworkSettings"]["Ports"]["3306/tcp"][0]["HostPort"]
        where = {f"{BASE}host": HOST, f"{BASE}ip": HOST, f"{BASE}port": str(port)}
        return {**where, f"{BASE}service_instance_name": "galera@n1", **OTHERS}

    def stands(self) -> None:
        until(lambda: self.keys() == self.expected(), 60, self.log.read_text)

    def gone(self, seconds: float) -> None:
        until(lambda: self.keys() == OTHERS, seconds, self.log.read_text)

    def report(self, boot: str) -> None:
        """What an agent in the container would say of itself."""
        report = Report("n1", boot, Endpoint(HOST, HOST, 1, 2, 3), Server.UP, Data.PRESENT, "disk")
        self.registry.put(MEMBER, dump(report))

    def close(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()
        self.container.remove(force=True, v=True)
        self.registry.close()


@pytest.fixture(scope="module")
def sidekick(engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sidekick]:
    with Etcd() as etcd:
        made = Sidekick(engine, etcd, tmp_path_factory.mktemp("discovery"))
        yield made
        made.close()


def test_the_keys_are_those_of_the_convention(sidekick: Sidekick) -> None:
    assert sidekick.keys() == OTHERS
    sidekick.start()
    sidekick.stands()


def test_they_live_for_ten_seconds_and_are_refreshed_after_seven(sidekick: Sidekick) -> None:
    pair = sidekick.etcd.call("POST", "/v3/kv/range", {"key": "L2NvbXBvbmVudHMvZ2FsZXJhL24xL2lw"})["kvs"][0]
    left = []
    end = time.monotonic() + 16
    while time.monotonic() < end:
        about: Any = sidekick.etcd.call("POST", "/v3/lease/timetolive", {"ID": pair["lease"]})
        assert about["grantedTTL"] == "10"
        left.append(int(about.get("TTL", 0)))
        time.sleep(0.2)
    assert 1 <= min(left) <= 4, left  # 3 when the machine is idle
    assert sum(later > sooner for sooner, later in zip(left, left[1:], strict=False)) in (1, 2, 3), left


def test_a_container_that_dies_takes_its_keys_and_its_boot_along(sidekick: Sidekick) -> None:
    sidekick.report("boot1")
    sidekick.container.pause()  # the next pass comes at once, and sees the report
    sidekick.container.unpause()
    sidekick.stands()
    time.sleep(1)
    sidekick.container.kill()
    sidekick.gone(8)  # by the event, not by the end of the lease
    until(lambda: sidekick.registry.get(MEMBER) is None, 8, sidekick.log.read_text)
    assert "The boot boot1 of n1 has ended" in sidekick.log.read_text()


def test_the_report_of_another_boot_is_left_alone(sidekick: Sidekick) -> None:
    sidekick.container.start()
    sidekick.stands()
    sidekick.report("boot2")
    sidekick.container.pause()
    sidekick.container.unpause()
    sidekick.stands()
    time.sleep(1)
    # A container of the same node is started on another machine; the sidekick looks when its own has ended
    sidekick.send(signal.SIGSTOP)
    sidekick.report("elsewhere")
    sidekick.container.kill()
    sidekick.container.wait(timeout=60)
    sidekick.send(signal.SIGCONT)
    sidekick.gone(8)
    time.sleep(1)
    assert re.search('"boot": ?"elsewhere"', sidekick.registry.get(MEMBER) or "")
    sidekick.container.start()
    sidekick.stands()


def test_health_is_followed(sidekick: Sidekick) -> None:
    sidekick.container.exec_run(["touch", "/sick"])
    sidekick.gone(30)
    sidekick.container.exec_run(["rm", "/sick"])
    sidekick.stands()


def test_a_sidekick_that_is_killed_leaves_keys_that_end_by_themselves(sidekick: Sidekick) -> None:
    sidekick.end(signal.SIGKILL)
    assert sidekick.keys() == sidekick.expected()
    sidekick.gone(20)


def test_a_sidekick_that_is_ended_removes_its_own_keys_only(sidekick: Sidekick) -> None:
    sidekick.start()
    sidekick.stands()
    assert sidekick.end(signal.SIGTERM) == 0
    assert sidekick.keys() == OTHERS


def test_it_follows_a_container_of_podman(engine: Engine, tmp_path: Path) -> None:
    with Podman(engine) as podman, Etcd() as etcd:
        sidekick = Sidekick(podman, etcd, tmp_path)

        def checked() -> bool:
            """podman leaves this to a timer of systemd, of which there is none here."""
            command = podman.command("healthcheck", "run", "galera-n1")
            return subprocess.run(command, capture_output=True, timeout=60).returncode in (0, 1)

        def follows(stands: bool) -> None:
            """By the events of checks: with this TTL the next pass by itself is later."""
            until(
                lambda: checked() and sidekick.keys() == (sidekick.expected() if stands else OTHERS),
                30,
                sidekick.log.read_text,
            )

        try:
            sidekick.start(ttl=60)
            follows(stands=True)
            sidekick.container.exec_run(["touch", "/sick"])
            follows(stands=False)
            sidekick.container.exec_run(["rm", "/sick"])
            follows(stands=True)
            sidekick.report("boot1")
            sidekick.container.pause()
            sidekick.container.unpause()
            sidekick.stands()
            time.sleep(1)
            sidekick.container.kill()
            sidekick.gone(30)
            until(lambda: sidekick.registry.get(MEMBER) is None, 30, sidekick.log.read_text)
            sidekick.container.start()
            follows(stands=True)
            assert sidekick.end(signal.SIGTERM) == 0
            assert sidekick.keys() == OTHERS
        finally:
            sidekick.close()
