"""Several endpoints: what may be tried elsewhere is, and nothing else."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from galerist.endpoints import Access
from galerist.registry.contract import RegistryDown, Swap
from galerist.registry.open import connect
from tests.registry.conftest import until
from tests.registry.relay import Relay
from tests.support.etcd import Etcd
from tests.support.ports import free_ports


def test_the_first_endpoint_is_dead(etcd: Etcd, scheme: str, root: str) -> None:
    dead = ("127.0.0.1", free_ports(1)[0])
    client = connect(Access(scheme, (dead, ("nowhere.invalid", 2379), etcd.members[0].place), timeout=2.0))
    assert client.swap(f"{root}state", None, "x") is Swap.WON  # refused is not sent
    assert client.get(f"{root}state") == "x"
    client.close()


def test_a_frozen_endpoint_is_left_and_remembered(trio: Etcd, scheme: str, root: str) -> None:
    client = connect(trio.access(scheme, timeout=1.0))
    client.put(f"{root}state", "one")
    with trio.members[0].frozen():
        # The frozen one may have led: then the others need a moment to elect another.
        assert client.swap(f"{root}state", "one", "two") is Swap.UNKNOWN
        assert until(lambda: client.list(root) == {f"{root}state": "one"})
        began = time.monotonic()
        assert client.swap(f"{root}state", "one", "three") is Swap.WON
        client.put(f"{root}b", "x")
        client.lease(30).publish({f"{root}members/a": "x"})
        assert time.monotonic() - began < 1  # no time-out at the frozen one
    client.close()


def test_a_swap_whose_reply_is_lost_is_unknown_and_sent_once(etcd: Etcd, scheme: str, root: str) -> None:
    """Sent again, the swap would fail by its own success: LOST would be a lie."""
    relay = Relay(etcd.members[0].place)
    client = connect(Access(scheme, (relay.place, etcd.members[0].place), timeout=2.0))
    client.put(f"{root}state", "zero")
    relay.deaf = True
    assert client.swap(f"{root}state", "zero", "one") is Swap.UNKNOWN
    assert relay.swallowed == 1
    assert client.get(f"{root}state") == "one"
    assert client.swap(f"{root}state", "one", "two") is Swap.WON  # at the other endpoint: the first is avoided
    assert relay.swallowed == 1
    client.close()
    relay.close()


def test_a_lost_reply_does_no_harm_to_other_writes(etcd: Etcd, scheme: str, root: str) -> None:
    """They are tried again, and know their own first try when they meet it."""
    relay = Relay(etcd.members[0].place)
    home = f"/components/lost-{scheme}/a/"
    keys = {f"{root}members/a": "x", f"{home}ip": "x", f"{home}port": "y"}
    client = connect(Access(scheme, (relay.place, etcd.members[0].place), timeout=2.0))
    failover = (client._gateway if scheme == "etcd3" else client._link).failover  # type: ignore[attr-defined]
    lease = client.lease(30)
    calls: list[tuple[Callable[[], None], dict[str, str]]] = [
        (lambda: client.put(f"{root}a", "one"), {f"{root}a": "one"}),
        (lambda: client.put(f"{root}a", "two"), {f"{root}a": "two"}),
        (lambda: client.delete(f"{root}a"), {}),
        (lambda: lease.publish(keys), keys),
        (lambda: lease.publish(keys), keys),
        (lambda: lease.publish({**keys, f"{home}ip": "z"}), {**keys, f"{home}ip": "z"}),
        (lambda: lease.publish({f"{home}ip": "z"}), {f"{home}ip": "z"}),
        (lease.withdraw, {}),
    ]
    for call, expected in calls:
        if failover.first != relay.place:
            failover.avoid(failover.first)
        swallowed = relay.swallowed
        relay.deaf = True
        call()
        relay.deaf = False
        assert relay.swallowed == swallowed + 1
        assert client.list(root) | client.list(home) == expected
    client.close()
    relay.close()


def test_all_calls_are_bounded(trio: Etcd, scheme: str, root: str) -> None:
    client = connect(trio.access(scheme, timeout=0.2))
    lease = client.lease(30)
    with trio.frozen():
        for call in (
            lambda: client.get(f"{root}a"),
            lambda: client.list(root),
            lambda: client.put(f"{root}a", "x"),
            lambda: client.delete(f"{root}a"),
            lambda: lease.publish({f"{root}members/a": "x", "/components/bounded/a/ip": "x"}),
        ):
            began = time.monotonic()
            with pytest.raises(RegistryDown) as caught:
                call()
            assert time.monotonic() - began < 1.2  # three endpoints, 0.2 s each
            assert str(caught.value).count("no answer in time") == 3
        assert client.swap(f"{root}a", None, "x") is Swap.UNKNOWN
    client.close()


def test_a_write_that_comes_late_changes_nothing(trio: Etcd, scheme: str, root: str) -> None:
    """The first try hangs in a frozen member; its thaw must not undo what was written since."""
    slow = connect(trio.access(scheme, timeout=1.5))
    lease = slow.lease(60)
    slow.put(f"{root}durable", "zero")
    lease.publish({f"{root}members/a": "zero"})
    late, *others = (member.place for member in trio.members)
    for key in ("durable", "members/a"):
        client = connect(Access(scheme, (late, *others), timeout=1.5))
        again = client.lease(60)
        with trio.members[0].frozen():
            if key == "durable":
                client.put(f"{root}durable", "one")
                client.put(f"{root}durable", "two")
            else:
                again.publish({f"{root}members/a": "one"})
                again.publish({f"{root}members/a": "two"})
        time.sleep(1)
        assert slow.get(f"{root}{key}") == "two"
        client.close()
    slow.close()


def test_a_member_without_a_leader_is_left(etcd: Etcd, scheme: str, root: str) -> None:
    with Etcd(size=3, v2=True) as lonely:
        for member in lonely.members[1:]:
            member.kill()
        alone = connect(Access(scheme, (lonely.members[0].place,), timeout=0.5))
        began = time.monotonic()
        with pytest.raises(RegistryDown):
            while time.monotonic() - began < 10:  # it may answer as long as it believes in its leader
                alone.get(f"{root}a")
        assert alone.swap(f"{root}a", None, "x") is Swap.UNKNOWN
        client = connect(Access(scheme, (lonely.members[0].place, etcd.members[0].place), timeout=0.5))
        client.put(f"{root}a", "x")
        assert client.swap(f"{root}a", "x", "y") is Swap.WON  # the good one is remembered
        alone.close()
        client.close()


def test_ipv6(scheme: str, root: str) -> None:
    with Etcd(v2=True, host="::1") as server:
        client = connect(server.access(scheme))
        client.put(f"{root}a", "x")
        assert client.list(root) == {f"{root}a": "x"}
        client.close()
