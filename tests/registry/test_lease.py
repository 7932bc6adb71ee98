"""Leased keys: they stand while they are published, and go with their owner only."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from galerist.registry.contract import Registry, RegistryDown
from galerist.registry.open import connect
from tests.registry.conftest import until
from tests.support.etcd import Etcd


@pytest.fixture
def home(root: str) -> str:
    """A cluster's name of its own, for the keys of two shapes that leases carry."""
    return root.strip("/").replace("/", "-")


def keys(home: str, ip: str = "10.0.0.1") -> dict[str, str]:
    """A member's report, and the keys of its directory."""
    return {
        f"/galerist/{home}/members/a": f"report of {ip}",
        f"/components/{home}/a/ip": ip,
        f"/components/{home}/a/port": "3306",
    }


def everything(registry: Registry, home: str) -> dict[str, str]:
    return registry.list(f"/galerist/{home}/") | registry.list(f"/components/{home}/")


@pytest.fixture
def other(etcd: Etcd, scheme: str) -> Iterator[Registry]:
    client = connect(etcd.access(scheme))
    yield client
    client.close()


def test_keys_stand_change_and_shrink(registry: Registry, home: str) -> None:
    lease = registry.lease(20)
    assert everything(registry, home) == {}
    lease.publish(keys(home))
    assert everything(registry, home) == keys(home)
    lease.publish(keys(home, "10.0.0.2"))
    assert everything(registry, home) == keys(home, "10.0.0.2")
    report = {f"/galerist/{home}/members/a": "closed"}
    lease.publish(report)
    assert everything(registry, home) == report
    lease.publish(keys(home))
    assert everything(registry, home) == keys(home)
    lease.publish({})
    assert everything(registry, home) == {}
    lease.publish(report)
    lease.withdraw()
    lease.withdraw()
    assert everything(registry, home) == {}
    lease.publish(report)
    assert everything(registry, home) == report
    lease.withdraw()


def test_keys_expire_and_return(registry: Registry, home: str) -> None:
    lease = registry.lease(1)
    lease.publish(keys(home))
    assert until(lambda: everything(registry, home) == {})
    lease.publish(keys(home))
    assert everything(registry, home) == keys(home)
    assert until(lambda: everything(registry, home) == {})
    lease.publish({f"/components/{home}/a/ip": "10.0.0.1"})
    assert everything(registry, home) == {f"/components/{home}/a/ip": "10.0.0.1"}
    assert until(lambda: everything(registry, home) == {})


def test_keys_last_as_long_as_they_are_refreshed(registry: Registry, home: str) -> None:
    lease = registry.lease(2)
    end = time.monotonic() + 3.5
    while time.monotonic() < end:
        lease.publish(keys(home))
        assert everything(registry, home) == keys(home)
        time.sleep(0.2)
    lease.withdraw()


def test_withdrawing_leaves_a_successors_keys_alone(registry: Registry, other: Registry, home: str) -> None:
    first = registry.lease(2)
    first.publish({**keys(home), f"/components/{home}/a/old": "x"})
    second = other.lease(30)
    second.publish(keys(home))  # the same values, even
    first.withdraw()
    assert everything(registry, home) == keys(home)
    time.sleep(3)
    second.publish(keys(home))
    assert everything(registry, home) == keys(home)
    second.withdraw()
    assert everything(registry, home) == {}


def test_the_end_of_a_lease_leaves_a_successors_keys_alone(registry: Registry, other: Registry, home: str) -> None:
    registry.lease(1).publish(keys(home))
    second = other.lease(30)
    second.publish(keys(home, "10.0.0.2"))
    time.sleep(2)
    assert everything(registry, home) == keys(home, "10.0.0.2")
    second.withdraw()


def test_a_refresh_repairs_what_was_removed_or_overwritten(registry: Registry, other: Registry, home: str) -> None:
    """As after the registry was restored from a backup: old reports, fresh leases."""
    lease = registry.lease(30)
    lease.publish(keys(home))
    other.delete(f"/galerist/{home}/members/a")
    other.put(f"/components/{home}/a/ip", "10.9.9.9")
    lease.publish(keys(home))
    assert everything(registry, home) == keys(home)
    other.put(f"/galerist/{home}/members/a", "an old report")
    other.delete(f"/components/{home}/a/port")
    lease.publish(keys(home))
    assert everything(registry, home) == keys(home)
    lease.withdraw()
    assert everything(registry, home) == {}


def test_a_durable_key_replaces_a_leased_one(registry: Registry, other: Registry, home: str) -> None:
    lease = registry.lease(1)
    lease.publish({f"/galerist/{home}/nodes/a": "x"})
    other.put(f"/galerist/{home}/nodes/a", "x")
    time.sleep(2)
    assert registry.get(f"/galerist/{home}/nodes/a") == "x"


def test_leases_survive_a_frozen_registry(etcd: Etcd, scheme: str, home: str) -> None:
    client = connect(etcd.access(scheme, timeout=0.4))
    lease = client.lease(1)
    lease.publish(keys(home))
    with etcd.frozen():
        began = time.monotonic()
        with pytest.raises(RegistryDown, match="no answer in time"):
            lease.publish(keys(home, "10.0.0.2"))
        with pytest.raises(RegistryDown):
            lease.publish({**keys(home, "10.0.0.2"), f"/components/{home}/a/unwanted": "x"})
        assert time.monotonic() - began < 3
        time.sleep(1)
    lease.publish(keys(home, "10.0.0.3"))
    assert everything(client, home) == keys(home, "10.0.0.3")
    assert until(lambda: everything(client, home) == {})
    client.close()
