"""What the engine says of a container, and what is published for it."""

from __future__ import annotations

from typing import Any

import pytest

from galerist.deploy.advert import Advert, Machine, advert

MACHINE = Machine("db1.example", "10.0.0.1", "galera@n1", 3306)


def container(bindings: list[tuple[str, str]] | None = None, network: str = "default", **state: Any) -> dict[str, Any]:
    ports = {"3306/tcp": [{"HostIp": ip, "HostPort": port} for ip, port in bindings] if bindings else None}
    return {
        "State": {"Running": True, "Status": "running", **state},
        "HostConfig": {"NetworkMode": network},
        "NetworkSettings": {"Ports": {**ports, "4567/tcp": [{"HostIp": "", "HostPort": "1"}]}},
    }


def test_the_machine_and_its_published_port_are_told() -> None:
    found = advert(container([("0.0.0.0", "13306"), ("::", "13307")]), MACHINE)
    assert found.keys("/components/galera/n1/", "galera@n1") == {
        "/components/galera/n1/host": "db1.example",
        "/components/galera/n1/ip": "10.0.0.1",
        "/components/galera/n1/port": "13306",
        "/components/galera/n1/service_instance_name": "galera@n1",
    }


@pytest.mark.parametrize(
    ("bindings", "network", "where"),
    [
        ([("", "13306")], "default", ("10.0.0.1", 13306)),
        ([("192.0.2.7", "3306")], "default", ("192.0.2.7", 3306)),
        ([("127.0.0.1", "3306"), ("192.0.2.7", "3306")], "default", ("192.0.2.7", 3306)),
        ([("::", "13307"), ("0.0.0.0", "13306")], "default", ("10.0.0.1", 13306)),
        (None, "host", ("10.0.0.1", 3306)),
        (None, "default", ("", 0)),
        ([("127.0.0.1", "3306")], "default", ("", 0)),
        ([("::1", "3306")], "default", ("", 0)),
    ],
)
def test_the_listener(bindings: list[tuple[str, str]] | None, network: str, where: tuple[str, int]) -> None:
    found = advert(container(bindings, network), MACHINE)
    assert (found.ip, found.port) == where
    assert found.running
    assert where[0] or "does not publish its port 3306" in found.reason


@pytest.mark.parametrize(
    ("state", "published"),
    [
        ({}, True),
        ({"Health": {"Status": "healthy"}}, True),
        ({"Health": {"Status": "none"}}, True),
        ({"Health": {"Status": "starting"}}, False),
        ({"Health": {"Status": "unhealthy"}}, False),
        ({"Healthcheck": {"Status": "unhealthy"}}, False),
    ],
)
def test_health_decides(state: dict[str, Any], published: bool) -> None:
    found = advert(container([("", "3306")], **state), MACHINE)
    assert bool(found.keys("/x/", "u")) == published
    assert found.running


@pytest.mark.parametrize(
    ("state", "running"),
    [
        ({"Running": False, "Status": "exited"}, False),
        ({"Running": False}, False),
        ({"Restarting": True, "Status": "restarting"}, False),  # Docker says that it runs, between two lives
        ({"Paused": True, "Status": "paused"}, True),  # it has not ended, and may go on
    ],
)
def test_one_that_does_not_work_is_not_told(state: dict[str, Any], running: bool) -> None:
    found = advert(container([("", "3306")], **state), MACHINE)
    assert (found.ip, found.keys("/x/", "u")) == ("", {})
    assert found.running is running


def test_none_is_no_mistake() -> None:
    assert advert(None, MACHINE) == Advert("there is no such container")
