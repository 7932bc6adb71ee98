"""The units under a real systemd: as programs of the machine, and as containers of an engine."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from galerist.deploy.units import Values, render
from tests.courier import sinks
from tests.docker.engine import ROOT, Engine, until

pytestmark = pytest.mark.docker

NETWORK = "galerist-units"
ENVIRONMENT = "GALERIST_APP_USER=app\nGALERIST_APP_PASSWORD=secret\nGALERIST_APP_DATABASE=shop\n"


class Machine:
    """A container that is a machine with systemd."""

    def __init__(self, engine: Engine, name: str, **more: Any) -> None:
        volumes = {"/sys/fs/cgroup": {"bind": "/sys/fs/cgroup", "mode": "rw"}, **more.pop("volumes", {})}
        self.container = engine.client.containers.run(
            "galerist-machine",
            detach=True,
            name=name,
            hostname=name,
            cap_add=["SYS_ADMIN"],
            security_opt=["seccomp=unconfined"],
            tmpfs={"/run": "", "/run/lock": "", "/tmp": ""},
            volumes=volumes,
            **more,
        )
        self.booted()

    def booted(self) -> None:
        def up() -> bool:
            code, output = self.container.exec_run(["systemctl", "is-system-running"])
            return output.decode().strip() in ("running", "degraded")

        until(up, 60, lambda: self.container.logs().decode())

    def run(self, *command: str) -> str:
        """The output of a command that must succeed."""
        code, output = self.container.exec_run(list(command))
        assert code == 0, f"{' '.join(command)}: {code} {output.decode()}"
        return str(output.decode())

    def systemctl(self, *arguments: str) -> str:
        return self.run("systemctl", *arguments)

    def active(self, unit: str) -> str:
        return str(self.container.exec_run(["systemctl", "is-active", unit])[1].decode().strip())

    def property(self, unit: str, name: str) -> str:
        return self.systemctl("show", "--value", f"--property={name}", unit).strip()

    def write(self, path: str, text: str) -> None:
        folder, here = path.rpartition("/")[0], 'mkdir -p "$1"; cat > "$2" <<"EOF_OF_TEST"\n' + text + "\nEOF_OF_TEST\n"
        self.run("bash", "-c", here, "bash", folder, path)

    def install(self, units: dict[str, str]) -> None:
        for name, text in units.items():
            self.write(f"/etc/systemd/system/{name}", text)
        self.systemctl("daemon-reload")

    def journal(self) -> str:
        return str(self.container.exec_run(["journalctl", "--no-pager", "-n", "60"])[1].decode(errors="replace"))

    def verified(self, name: str) -> None:
        """The unit as an instance of its own: only so does systemd look at what a template names."""
        made = f"/tmp/verify/{name.replace('@.', '@n1.')}"
        self.run("bash", "-c", f"mkdir -p /tmp/verify && cp '/etc/systemd/system/{name}' '{made}'")
        code, (_, errors) = self.container.exec_run(["systemd-analyze", "verify", made], demux=True)
        assert (code, errors) == (0, None), (name, errors)


@pytest.fixture(scope="module")
def registry(engine: Engine) -> Iterator[str]:
    network = engine.client.networks.create(NETWORK)
    command = "etcd --enable-v2 --listen-client-urls=http://0.0.0.0:2379 --advertise-client-urls=http://registry:2379"
    container = engine.client.containers.run(
        "galerist-etcd", command, detach=True, name="u-registry", hostname="registry", network=NETWORK,
        ports={"2379/tcp": 22379},
    )  # fmt: skip
    yield "registry"
    container.remove(force=True, v=True)
    network.remove()


@pytest.fixture(scope="module")
def machine(engine: Engine, registry: str) -> Iterator[Machine]:
    made = Machine(engine, "db1", network=NETWORK)
    values = Values(registry=f"etcd3://{registry}", expect="n1", write_port=13306, read_port=13307)
    made.write("/etc/galerist/galerist.env", ENVIRONMENT)
    made.install(render("systemd", values))
    yield made
    made.container.remove(force=True, v=True)


def server(machine: Machine) -> str:
    return machine.run("pgrep", "-x", "mariadbd").strip()


def agent(machine: Machine) -> str:
    return machine.property("galera-agent@n1", "MainPID")


def serving(machine: Machine, seconds: float = 90) -> None:
    def query() -> bool:
        client = ["mariadb", "--no-defaults", "-h127.0.0.1", "-P13306", "-uapp", "-psecret", "shop", "-Ne", "SELECT 1"]
        return machine.run(*client).strip() == "1"

    until(query, seconds, machine.journal)


def test_systemd_finds_nothing_wrong(machine: Machine) -> None:
    for name in render("systemd", Values()):
        machine.verified(name)


def test_a_node_and_a_proxy_start(machine: Machine) -> None:
    machine.systemctl("enable", "--now", "galera@n1.service", "galera-haproxy.service")
    serving(machine)
    for unit in ("galera@n1", "galera-agent@n1", "galera-check@n1", "galera-haproxy"):
        assert machine.active(unit) == "active", unit
    assert "Synced" in machine.property("galera-agent@n1", "StatusText")
    owners = {line.split()[0] for line in machine.run("ps", "-eo", "user:20,comm").splitlines() if "mariadbd" in line}
    assert owners == {"mysql"}
    status = machine.run("cat", f"/proc/{agent(machine)}/status")
    assert re.search(r"^NoNewPrivs:\t1$", status, re.M)
    assert re.search(r"^CapBnd:\t0+$", status, re.M)


def test_restarting_the_agent_leaves_the_server_as_it_was(machine: Machine) -> None:
    was = server(machine), agent(machine)
    machine.systemctl("restart", "galera-agent@n1")
    assert agent(machine) != was[1]
    until(lambda: "Synced" in machine.property("galera-agent@n1", "StatusText"), 60, machine.journal)
    assert server(machine) == was[0]
    serving(machine)
    assert "looking after it" in machine.journal()


def test_an_agent_that_is_killed_is_replaced_and_the_server_is_not(machine: Machine) -> None:
    was = server(machine), agent(machine)
    machine.systemctl("kill", "--kill-who=main", "--signal=SIGKILL", "galera-agent@n1")
    until(lambda: agent(machine) not in ("0", was[1]), 60, machine.journal)
    until(lambda: "Synced" in machine.property("galera-agent@n1", "StatusText"), 60, machine.journal)
    assert server(machine) == was[0]


def test_the_watchdog_replaces_a_hung_agent_and_not_the_server(machine: Machine) -> None:
    machine.write("/etc/systemd/system/galera-agent@.service.d/soon.conf", "[Service]\nWatchdogSec=5")
    machine.systemctl("daemon-reload")
    machine.systemctl("restart", "galera-agent@n1")
    was = server(machine), agent(machine)
    machine.run("kill", "-STOP", was[1])
    until(lambda: agent(machine) not in ("0", was[1]), 60, machine.journal)
    until(lambda: "Synced" in machine.property("galera-agent@n1", "StatusText"), 60, machine.journal)
    assert server(machine) == was[0]
    serving(machine)


def test_a_server_that_is_killed_is_started_again(machine: Machine) -> None:
    was = server(machine)
    machine.run("kill", "-9", was)
    until(lambda: server(machine) != was, 60, machine.journal)
    serving(machine)


def test_stopping_the_node_stops_its_server_in_order(machine: Machine) -> None:
    machine.systemctl("stop", "galera@n1")
    assert machine.property("galera@n1", "Result") == "success"  # not by the time-out
    assert [machine.active(f"galera-{name}@n1") for name in ("agent", "check")] == ["inactive", "inactive"]
    assert machine.container.exec_run(["pgrep", "-x", "mariadbd"])[0] == 1
    state = machine.run("cat", "/var/lib/galerist/n1/data/grastate.dat")
    assert int(re.search(r"seqno:\s+(-?\d+)", state)[1]) >= 0  # type: ignore[index]
    machine.systemctl("start", "galera@n1")
    serving(machine)


def test_restarting_the_node_restarts_its_server(machine: Machine) -> None:
    former = machine.run("pgrep", "-x", "mariadbd")
    machine.systemctl("restart", "galera@n1")
    serving(machine)
    assert machine.run("pgrep", "-x", "mariadbd") != former


def test_the_courier_ships_and_is_started_again(machine: Machine) -> None:
    sink = "/usr/local/lib/sinks.py"
    machine.write(sink, Path(sinks.__file__).read_text())
    machine.run("systemd-run", "--unit=store", "python3", sink, "relp", "2514", "/var/log/taken")
    machine.write("/etc/galerist/n1.env", "GALERIST_COURIER_TO=relp://127.0.0.1:2514")
    machine.systemctl("enable", "--now", "galera-log-courier@n1")

    def taken() -> str:
        return machine.run("cat", "/var/log/taken")

    for source in ("error", "galerist"):
        until(lambda source=source: f'"source": "{source}"' in taken(), 60, machine.journal)  # type: ignore[misc]
    was = machine.property("galera-log-courier@n1", "MainPID")
    machine.systemctl("kill", "--kill-who=main", "--signal=SIGKILL", "galera-log-courier@n1")
    until(lambda: machine.property("galera-log-courier@n1", "MainPID") not in ("0", was), 60, machine.journal)
    lines = taken().count("looking after it")
    machine.systemctl("restart", "galera-agent@n1")
    until(lambda: taken().count("looking after it") > lines, 60, machine.journal)


def test_it_all_comes_back_after_a_reboot(machine: Machine) -> None:
    machine.container.restart(timeout=120)
    machine.booted()
    serving(machine)
    log = machine.run("cat", "/var/lib/galerist/n1/data.galerist/mariadb.err")
    assert log.count("Shutdown complete") >= 2  # it was not killed
    for unit in ("galera@n1", "galera-agent@n1", "galera-check@n1", "galera-haproxy", "galera-log-courier@n1"):
        until(lambda unit=unit: machine.active(unit) == "active", 60, machine.journal)  # type: ignore[misc]


# -- fleet ---------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def fleet(engine: Engine, registry: str) -> Iterator[Machine]:
    """A machine whose units command the engine that it runs on; `docker` is the machine's own client."""
    docker = "/usr/bin/docker"
    made = Machine(
        engine,
        "core1",
        network=NETWORK,
        volumes={docker: {"bind": docker, "mode": "ro"}, str(engine.socket): {"bind": "/var/run/docker.sock"}},
    )
    gateway = made.run("bash", "-c", "getent hosts registry").split()[0].rpartition(".")[0] + ".1"
    values = Values(
        registry=f"etcd2://{gateway}:22379", expect="n1", host=gateway, socket=str(engine.socket),
        cluster="fleet", write_port=23306, read_port=23307,
    )  # fmt: skip
    made.write("/etc/galerist/galerist.env", ENVIRONMENT)
    made.write("/etc/galerist/courier.env", f"GALERIST_COURIER_TO=relp://{gateway}:2514")
    made.write(
        "/etc/systemd/system/docker.service", "[Service]\nType=oneshot\nRemainAfterExit=yes\nExecStart=/bin/true"
    )
    made.install(render("fleet", values))
    yield made
    made.run("bash", "-c", "systemctl stop 'galera*' || true")
    made.container.remove(force=True, v=True)


def fleet_keys(engine: Engine) -> str:
    container = engine.client.containers.get("u-registry")
    command = ["etcdctl", "ls", "--recursive", "--sort", "/components/fleet"]
    code, output = container.exec_run(command, environment={"ETCDCTL_API": "2"})
    return str(output.decode()) if code == 0 else ""


def through_the_proxy(engine: Engine, machine: Machine) -> None:
    client = ["mariadb", "--no-defaults", "-h127.0.0.1", "-P23306", "-uapp", "-psecret", "shop", "-Ne", "SELECT 1"]

    def query() -> bool:
        return engine.inside(client, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).wait(20) == 0

    until(query, 120, machine.journal)


def test_the_fleet_units_run(engine: Engine, fleet: Machine) -> None:
    for name in render("fleet", Values()):
        fleet.verified(name)
    fleet.systemctl("start", "galera@n1", "galera-haproxy@p1")
    through_the_proxy(engine, fleet)
    names = ("host", "ip", "port", "service_instance_name")
    expected = ["/components/fleet/n1", *(f"/components/fleet/n1/{name}" for name in names)]
    until(lambda: fleet_keys(engine).split() == expected, 120, lambda: fleet_keys(engine) + fleet.journal())


def test_the_courier_ships_from_a_container(engine: Engine, fleet: Machine, tmp_path: Path) -> None:
    taken = tmp_path / "taken"
    command = [sys.executable, "-m", "tests.courier.sinks", "relp", "2514", str(taken), "0.0.0.0"]
    store = engine.inside(command, cwd=ROOT)
    try:
        fleet.systemctl("start", "galera-log-courier@n1")
        for source in ("error", "galerist"):
            wanted = f'"source": "{source}"'
            until(lambda wanted=wanted: wanted in taken.read_text(), 60, fleet.journal)  # type: ignore[misc]
        fleet.systemctl("stop", "galera-log-courier@n1")
    finally:
        store.kill()
        store.wait()


@pytest.mark.parametrize("unit", ["galera", "galera-discovery", "galera-haproxy"])
def test_a_container_that_dies_is_started_again_by_its_unit(engine: Engine, fleet: Machine, unit: str) -> None:
    name = f"{unit}-{'p1' if unit == 'galera-haproxy' else 'n1'}"
    before = engine.client.containers.get(name).id
    engine.client.containers.get(name).kill()
    until(lambda: engine.client.containers.get(name).id != before, 60, fleet.journal)
    through_the_proxy(engine, fleet)
    until(lambda: len(fleet_keys(engine).split()) == 5, 120, fleet.journal)
    assert fleet.active("galera-discovery@n1") == "active"


def test_a_reboot_ends_the_containers_in_order(engine: Engine, fleet: Machine) -> None:
    fleet.container.restart(timeout=180)
    fleet.booted()
    assert "galera-n1" not in running(engine)
    fleet.systemctl("start", "galera@n1", "galera-haproxy@p1")  # that is fleet's part
    through_the_proxy(engine, fleet)
    log = engine.client.containers.get("galera-n1").exec_run(["cat", "/var/lib/mysql/data.galerist/mariadb.err"])[1]
    assert b"Shutdown complete" in log


def test_the_discovery_goes_with_its_node(engine: Engine, fleet: Machine) -> None:
    until(lambda: len(fleet_keys(engine).split()) == 5, 120, fleet.journal)
    fleet.systemctl("stop", "galera@n1")
    until(lambda: fleet_keys(engine) == "", 15, lambda: fleet_keys(engine))
    assert "galera-n1" not in running(engine)
    until(lambda: "galera-discovery-n1" not in running(engine), 30)
    assert fleet.active("galera-discovery@n1") == "inactive"
    fleet.systemctl("stop", "galera-haproxy@p1")


def running(engine: Engine) -> list[str]:
    return [container.name for container in engine.client.containers.list()]
