"""The compose file on a real engine: it forms, and heals from what is done to its containers.

One cluster for all of them, in the order of the file. At the end no acknowledged row is missing.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator

import pytest

from tests.docker.compose import FORMED, NODES, PASSWORD, PROXIES, REGISTRY, Compose
from tests.docker.engine import Engine, until

pytestmark = pytest.mark.docker

EVERYBODY = (*NODES, *REGISTRY, *PROXIES)


class Ledger:
    """Rows written through the proxies, and acknowledged."""

    def __init__(self, compose: Compose) -> None:
        self._compose = compose
        self.written = 0
        compose.via("proxy1", "CREATE DATABASE t; CREATE TABLE t.rows (id INT PRIMARY KEY)")

    def write(self, proxy: str, client: str = "n1", seconds: float = 60) -> None:
        row = self.written + 1
        statement = f"INSERT INTO t.rows VALUES ({row})"

        def written() -> bool:
            try:
                self._compose.via(proxy, statement, client=client)
            except AssertionError as error:
                if "Duplicate entry" not in str(error):  # the answer to a former try was lost
                    raise
            return True

        until(written, seconds, f"no commit through {proxy}")
        self.written = row

    def complete(self) -> None:
        for node in NODES:
            rows = self._compose.sql(node, "SET SESSION wsrep_sync_wait=1; SELECT COUNT(*), MAX(id) FROM t.rows")
            assert rows == [[str(self.written)] * 2], node


@pytest.fixture(scope="module")
def compose(engine: Engine) -> Iterator[Compose]:
    made = Compose(engine, "galerist")
    made("up", "--detach", "--no-build")
    yield made
    made.close()


@pytest.fixture(scope="module")
def ledger(compose: Compose) -> Ledger:
    compose.formed()
    until(lambda: compose.via("proxy1", "SELECT 1"), FORMED, lambda: compose.logs("proxy1"))
    return Ledger(compose)


def other(than: str) -> str:
    """A node that is not this one, whose client program may be used meanwhile."""
    return next(node for node in NODES if node != than)


def test_the_cluster_forms(compose: Compose) -> None:
    compose.formed()
    assert len({compose.status(node)["wsrep_cluster_state_uuid"] for node in NODES}) == 1
    assert [member["name"] for member in compose.listed()["members"]] == list(NODES)
    for proxy in PROXIES:
        until(lambda proxy=proxy: leads(compose, proxy), 60, lambda proxy=proxy: compose.logs(proxy))  # type: ignore[misc]


def leads(compose: Compose, proxy: str) -> bool:
    """Whether a proxy leads writes to the writer, and reads to the others."""
    writer = compose.listed()["writer"]  # not always n1: that was the donor of the first transfer
    written = compose.via(proxy, "SELECT @@wsrep_node_name")
    read = {compose.via(proxy, "SELECT @@wsrep_node_name", port=3307)[0][0] for _ in range(4)}
    return (written, read) == ([[writer]], {*NODES} - {writer})


def test_nobody_runs_as_root_or_writes_to_the_image(compose: Compose) -> None:
    for service in (*NODES, *PROXIES):
        lines = compose.inside(service, "ps", "-eo", "user:20,comm") if service in NODES else ""
        assert "root " not in lines, lines
        container = compose.container(service)
        assert container.attrs["HostConfig"]["ReadonlyRootfs"] is True
        status = compose.inside(service, "cat", "/proc/1/status")
        assert re.search(r"^Uid:\t(\d+)", status, re.M)[1] != "0"  # type: ignore[index]
        assert re.search(r"^CapEff:\t0+$", status, re.M)
        assert re.search(r"^CapBnd:\t0+$", status, re.M)


def test_docker_sees_their_health(compose: Compose) -> None:
    for service in (*NODES, *PROXIES):
        until(lambda service=service: compose.container(service).attrs["State"]["Health"]["Status"] == "healthy", 90)  # type: ignore[misc]


def test_secrets_are_in_no_command_line_and_no_log(compose: Compose) -> None:
    for node in NODES:
        assert PASSWORD not in compose.inside(node, "ps", "-eo", "args")
        assert PASSWORD not in compose.logs(node, tail=2000)


@pytest.mark.parametrize("service", EVERYBODY)
def test_a_killed_container_comes_back(compose: Compose, ledger: Ledger, service: str) -> None:
    ledger.write("proxy1", client=other(service))
    started = compose.container(service).attrs["State"]["StartedAt"]
    compose.crash(service)
    proxy = "proxy1" if service != "proxy1" else "proxy2"
    ledger.write(proxy, client=other(service))
    until(lambda: compose.container(service).attrs["State"]["StartedAt"] != started, 60)
    compose.formed()
    ledger.write("proxy2")
    ledger.complete()


@pytest.mark.parametrize("service", EVERYBODY)
def test_a_disconnected_container_comes_back(compose: Compose, ledger: Ledger, service: str) -> None:
    container, network = compose.container(service), compose.network()
    network.disconnect(container)
    try:
        ledger.write("proxy1" if service != "proxy1" else "proxy2", client=other(service))
        if service in NODES:
            until(lambda: compose.status(service)["wsrep_cluster_status"] != "Primary", 60)
            assert compose.container(service).exec_run(["clustercheck", "--once"])[0] == 1
    finally:
        network.connect(container, aliases=[service])
    compose.formed()
    if service in NODES:  # the address may be another one now
        until(lambda: compose.keys()[f"/components/galera/{service}/ip"] == compose.address(service), 60)
    ledger.write("proxy1")
    ledger.write("proxy2")
    ledger.complete()


def test_an_agent_that_is_killed_leaves_its_server_running(compose: Compose, ledger: Ledger) -> None:
    """Also in a container: PID 1 is not the agent, and the next agent adopts the server."""
    server = compose.inside("n2", "pgrep", "-x", "mariadbd")
    agent = compose.inside("n2", "pgrep", "-f", "galerist bootstrap$").split()
    assert len(agent) == 2  # PID 1, and its child
    compose.inside("n2", "kill", "-9", agent[1])
    until(lambda: compose.inside("n2", "pgrep", "-f", "galerist bootstrap$").split()[1:] not in ([], agent[1:]), 60)
    compose.formed()
    assert compose.inside("n2", "pgrep", "-x", "mariadbd") == server
    ledger.write("proxy1")


def test_stopping_is_a_clean_leave_within_the_time_out(compose: Compose, ledger: Ledger) -> None:
    began = time.monotonic()
    compose("stop", "n3")
    assert time.monotonic() - began < 100  # stop_grace_period is 120 s, and then comes a SIGKILL
    state = compose.container("n3").attrs["State"]
    assert (state["ExitCode"], state["OOMKilled"]) == (0, False)
    until(lambda: compose.status("n1")["wsrep_cluster_size"] == "2", 10)  # at once, not by a time-out of the group
    ledger.write("proxy1")
    compose("start", "n3")
    compose.formed()
    ledger.complete()


def test_all_killed_and_started_with_other_addresses(compose: Compose, ledger: Ledger) -> None:
    before = {service: compose.address(service) for service in EVERYBODY}
    pool = compose.network().attrs["IPAM"]["Config"]
    for service in EVERYBODY:
        compose.container(service).kill()
    compose("down")  # the volumes stay
    taken = compose.engine.run("docker", "network", "create", "--subnet", pool[0]["Subnet"], "taken").strip()
    try:
        compose("up", "--detach", "--no-build")
        compose.formed()
        assert {service for service in EVERYBODY if compose.address(service) == before[service]} == set()
        keys = compose.keys()
        assert {node: keys[f"/components/galera/{node}/ip"] for node in NODES} == {
            node: compose.address(node) for node in NODES
        }
        ledger.write("proxy1")
        ledger.write("proxy2")
        ledger.complete()
    finally:
        compose.engine.run("docker", "network", "rm", taken)


def test_a_lost_volume_is_filled_by_a_node_that_is_not_the_writer(compose: Compose, ledger: Ledger) -> None:
    writer = compose.listed()["writer"]
    victim = next(node for node in NODES if node != writer)
    donor = next(node for node in NODES if node not in (writer, victim))
    compose("rm", "--stop", "--force", victim)
    compose.engine.client.volumes.get(f"{compose.project}_{victim}").remove()
    compose("up", "--detach", "--no-build", victim)
    compose.formed()
    log = compose.inside(victim, "cat", "/var/lib/mysql/data.galerist/mariadb.err")
    chosen = re.findall(r"Member \S+ \((\S+)\) requested state transfer .* Selected \S+ \(([^)]+)\)", log)
    assert chosen[-1] == (victim, donor), chosen
    ledger.write("proxy1")
    ledger.complete()
