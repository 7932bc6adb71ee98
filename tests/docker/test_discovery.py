"""The sidekick on a real engine: exact keys, how long they live, and whose they are (G2)."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.docker.engine import ROOT, Engine, until

pytestmark = pytest.mark.docker

NETWORK = "galerist-discovery"
SECOND = 10**9  # ns, as the engine counts
N2 = {"/components/galera/n2/ip": "192.0.2.2", "/components/galera/n2/port": "3306"}


class Sidekick:
    """`galerist discovery` as a process in the engine's network, and the registry that it writes to."""

    def __init__(self, engine: Engine, folder: Path) -> None:
        self.engine = engine
        network = engine.client.networks.create(NETWORK)
        self.gateway = network.attrs["IPAM"]["Config"][0].get("Gateway") or _gateway(engine)
        command = "etcd --listen-client-urls=http://0.0.0.0:2379 --advertise-client-urls=http://registry:2379"
        options = {"detach": True, "network": NETWORK}
        self.registry = engine.client.containers.run(
            "galerist-etcd", command, name="d-registry", hostname="registry", ports={"2379/tcp": 12379}, **options
        )
        self.url = f"etcd3://{self.gateway}:12379"
        settings = {"GALERIST_REGISTRY": self.url, "GALERIST_EXPECT": "1", "GALERIST_NODE": "n1"}
        check = {"test": ["CMD", "clustercheck", "--once"], "interval": SECOND, "timeout": 5 * SECOND, "retries": 2}
        self.node = engine.client.containers.run(
            "galerist-node",
            name="galera-n1",
            hostname="n1",
            ports={"3306/tcp": None},
            healthcheck=check,
            environment={**settings, "GALERIST_ADVERTISE": "sidekick", "MARIADB_ROOT_PASSWORD": "r"},
            **options,
        )
        self.process: subprocess.Popen[bytes] | None = None
        self.log = folder / "discovery.log"

    def start(self) -> None:
        flags = [
            "--node=n1",
            f"--host={self.gateway}",
            f"--registry={self.url}",
            f"--docker=unix://{self.engine.socket}",
        ]
        command = [str(ROOT / ".venv/bin/galerist"), "discovery", *flags]
        with self.log.open("ab") as log:
            self.process = self.engine.inside(command, stdout=log, stderr=log)

    def end(self, number: signal.Signals) -> int:
        assert self.process is not None
        self.process.send_signal(number)
        return self.process.wait(30)

    def etcdctl(self, *arguments: str) -> str:
        code, output = self.registry.exec_run(["etcdctl", *arguments])
        assert code == 0, output.decode()
        return str(output.decode())

    def keys(self, prefix: str = "/components/galera/") -> dict[str, str]:
        lines = self.etcdctl("get", "--prefix", prefix).splitlines()
        return dict(zip(lines[::2], lines[1::2], strict=True))

    def port(self) -> str:
        self.node.reload()
        return str(self.node.attrs["NetworkSettings"]["Ports"]["3306/tcp"][0]["HostPort"])

    def expected(self) -> dict[str, str]:
        base = "/components/galera/n1/"
        where = {f"{base}host": self.gateway, f"{base}ip": self.gateway, f"{base}port": self.port()}
        return {**where, f"{base}service_instance_name": "galera@n1", **N2}

    def close(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()
        for container in (self.node, self.registry):
            container.remove(force=True, v=True)
        self.engine.client.networks.get(NETWORK).remove()


def _gateway(engine: Engine) -> str:
    subnet = engine.client.networks.get(NETWORK).attrs["IPAM"]["Config"][0]["Subnet"]
    return str(subnet.rpartition(".")[0] + ".1")


@pytest.fixture(scope="module")
def sidekick(engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sidekick]:
    made = Sidekick(engine, tmp_path_factory.mktemp("discovery"))
    yield made
    made.close()


def healthy(node: Any) -> bool:
    node.reload()
    return bool(node.attrs["State"]["Health"]["Status"] == "healthy")


def test_the_agent_leaves_the_keys_to_its_sidekick(sidekick: Sidekick) -> None:
    until(lambda: healthy(sidekick.node), 120, lambda: sidekick.node.logs(tail=20).decode())
    assert sidekick.keys() == {}
    assert "/galerist/galera/members/n1" in sidekick.keys("/galerist/")
    for key, value in N2.items():
        sidekick.etcdctl("put", key, value)


def test_the_keys_are_those_of_the_convention_and_lead_to_the_server(sidekick: Sidekick, engine: Engine) -> None:
    sidekick.start()
    until(lambda: sidekick.keys() == sidekick.expected(), 30, lambda: sidekick.log.read_text())
    client = [
        "mariadb",
        "--no-defaults",
        f"-h{sidekick.gateway}",
        f"-P{sidekick.port()}",
        "-uroot",
        "-pr",
        "-e",
        "SELECT 1",
    ]
    assert engine.inside(client, stdout=subprocess.DEVNULL).wait(20) == 0


def test_they_live_for_ten_seconds_and_are_refreshed_after_seven(sidekick: Sidekick) -> None:
    key = json.loads(sidekick.etcdctl("get", "/components/galera/n1/ip", "-w", "json"))["kvs"][0]
    lease = f"{int(key['lease']):x}"
    left = []
    end = time.monotonic() + 16
    while time.monotonic() < end:
        about = json.loads(sidekick.etcdctl("lease", "timetolive", lease, "-w", "json"))
        assert about["granted-ttl"] == 10
        left.append(about["ttl"])
        time.sleep(0.2)
    assert min(left) >= 1  # 3 when the machine is idle
    assert min(left) <= 4  # not refreshed all the time
    assert sum(later > sooner for sooner, later in zip(left, left[1:], strict=False)) in (1, 2, 3)


def test_a_container_that_dies_takes_its_keys_and_its_boot_along(sidekick: Sidekick) -> None:
    member = "/galerist/galera/members/n1"
    boot = json.loads(sidekick.keys(member)[member])["boot"]
    began = time.monotonic()
    sidekick.node.kill()
    until(lambda: sidekick.keys() == N2, 8, lambda: sidekick.log.read_text())
    until(lambda: sidekick.keys(member) == {}, 8, lambda: sidekick.log.read_text())
    assert time.monotonic() - began < 8  # by the event, not by the end of the lease
    assert f"The boot {boot} of n1 has ended" in sidekick.log.read_text()
    sidekick.node.start()
    until(lambda: sidekick.keys() == sidekick.expected(), 90, lambda: sidekick.log.read_text())
    assert json.loads(sidekick.keys(member)[member])["boot"] != boot


def test_health_is_followed(sidekick: Sidekick) -> None:
    sidekick.node.exec_run(["clustercheck", "--disable", "a test"])
    until(lambda: sidekick.keys() == N2, 60, lambda: sidekick.log.read_text())
    sidekick.node.exec_run(["clustercheck", "--enable"])
    until(lambda: sidekick.keys() == sidekick.expected(), 60, lambda: sidekick.log.read_text())


def test_a_sidekick_that_is_killed_leaves_keys_that_end_by_themselves(sidekick: Sidekick) -> None:
    sidekick.end(signal.SIGKILL)
    assert sidekick.keys() == sidekick.expected()
    until(lambda: sidekick.keys() == N2, 15)


def test_a_sidekick_that_is_ended_removes_its_own_keys_only(sidekick: Sidekick) -> None:
    sidekick.start()
    until(lambda: sidekick.keys() == sidekick.expected(), 30, lambda: sidekick.log.read_text())
    assert sidekick.end(signal.SIGTERM) == 0
    assert sidekick.keys() == N2
