"""What every backend promises when the registry answers: values and swaps."""

from __future__ import annotations

import threading

import pytest

from galerist.registry.contract import Registry, RegistryDown, RegistryUnusable, Swap
from galerist.registry.open import connect
from tests.support.etcd import Etcd
from tests.support.ports import free_ports


def test_values(registry: Registry, root: str) -> None:
    assert registry.list(root) == {}
    assert registry.get(f"{root}a") is None
    registry.put(f"{root}a", "one")
    registry.put(f"{root}b/c", "zwei & drei = fünf\n{}")
    registry.put(f"{root}empty", "")
    assert registry.get(f"{root}a") == "one"
    assert registry.get(f"{root}b") is None
    assert registry.list(root) == {f"{root}a": "one", f"{root}b/c": "zwei & drei = fünf\n{}", f"{root}empty": ""}
    assert registry.list(f"{root}b/") == {f"{root}b/c": "zwei & drei = fünf\n{}"}
    registry.put(f"{root}a", "two")
    registry.put(f"{root}a", "two")
    assert registry.get(f"{root}a") == "two"
    registry.delete(f"{root}a")
    registry.delete(f"{root}a")
    assert registry.get(f"{root}a") is None


def test_several_places_in_one_question(registry: Registry, root: str) -> None:
    registry.put(f"{root}a/x", "one")
    registry.put(f"{root}a/y", "")
    registry.put(f"{root}key", "two")
    places = (f"{root}key", f"{root}none/", f"{root}a/", f"{root}absent")
    assert registry.read(*places) == ({places[0]: "two"}, {}, {f"{root}a/x": "one", f"{root}a/y": ""}, {})
    assert registry.read() == ()


def test_a_prefix_ends_at_its_slash(registry: Registry, root: str) -> None:
    registry.put(f"{root}node/x", "in")
    registry.put(f"{root}node2", "out")
    registry.put(f"{root}node0", "out")
    assert registry.list(f"{root}node/") == {f"{root}node/x": "in"}


def test_a_swap_compares_the_whole_value(registry: Registry, root: str) -> None:
    key = f"{root}state"
    assert registry.swap(key, "anything", "no") is Swap.LOST
    assert registry.get(key) is None
    assert registry.swap(key, None, '{"a":1}') is Swap.WON
    assert registry.swap(key, None, "no") is Swap.LOST
    assert registry.swap(key, '{"a":1', "no") is Swap.LOST
    assert registry.swap(key, '{"a":1}', '{"a":2}') is Swap.WON
    assert registry.get(key) == '{"a":2}'


def test_a_swap_cares_for_the_value_not_for_its_revision(registry: Registry, root: str) -> None:
    """A registry restored from a backup has the old value under another revision."""
    key = f"{root}state"
    registry.put(key, "old")
    registry.delete(key)
    registry.put(key, "other")
    registry.put(key, "old")
    assert registry.swap(key, "old", "new") is Swap.WON
    registry.delete(key)
    assert registry.swap(key, None, "again") is Swap.WON


def test_one_of_many_swaps_wins(etcd: Etcd, scheme: str, root: str) -> None:
    clients = [connect(etcd.access(scheme, timeout=10)) for _ in range(8)]
    key = f"{root}state"
    former: str | None = None
    try:
        for turn in range(15):
            barrier = threading.Barrier(len(clients))
            results: dict[int, Swap] = {}

            def run(number: int, former: str | None, value: str) -> None:
                barrier.wait()  # noqa: B023  # joined within this turn
                results[number] = clients[number].swap(key, former, value)  # noqa: B023

            threads = [threading.Thread(target=run, args=(n, former, f"{turn} by {n}")) for n in range(8)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            winners = [number for number, result in results.items() if result is Swap.WON]
            assert len(results) == 8
            assert len(winners) == 1
            assert sorted(result.value for result in results.values()) == ["lost"] * 7 + ["won"]
            former = f"{turn} by {winners[0]}"
            assert clients[0].get(key) == former
    finally:
        for client in clients:
            client.close()


def test_a_frozen_registry_neither_wins_nor_loses(etcd: Etcd, scheme: str, root: str) -> None:
    client = connect(etcd.access(scheme, timeout=0.5))
    key = f"{root}state"
    assert client.swap(key, None, "one") is Swap.WON
    with etcd.frozen():
        assert client.swap(key, "one", "two") is Swap.UNKNOWN
        with pytest.raises(RegistryDown):
            client.get(key)
    assert client.get(key) in ("one", "two")  # whichever: that is what UNKNOWN means
    client.close()


def test_nothing_was_sent_to_a_closed_port(scheme: str, root: str) -> None:
    (port,) = free_ports(1)
    from galerist.endpoints import Access

    client = connect(Access(scheme, (("127.0.0.1", port), ("no-such-host.invalid", port)), timeout=1.0))
    for call in (
        lambda: client.swap(f"{root}state", None, "x"),
        lambda: client.get(f"{root}state"),
        lambda: client.lease(5).publish({f"{root}members/a": "x"}),
    ):
        with pytest.raises(RegistryDown) as caught:
            call()
        assert f"127.0.0.1:{port}: Connection refused" in str(caught.value)
        assert "no-such-host.invalid" in str(caught.value)
    client.close()


def test_a_key_in_the_way_of_a_directory_is_named(etcd: Etcd, root: str) -> None:
    client = connect(etcd.access("etcd2"))
    client.put(f"{root}a", "x")
    with pytest.raises(RegistryUnusable, match=f"{root}a/b"):
        client.put(f"{root}a/b", "x")
    with pytest.raises(RegistryUnusable, match="it is a directory"):
        client.put(root.rstrip("/"), "x")
    with pytest.raises(ValueError, match="empty"):
        client.swap(f"{root}a", "", "x")
    client.close()
