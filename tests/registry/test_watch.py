"""A watch wakes after every change, and after everything that may have hidden one."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator

import pytest

from galerist.endpoints import Access
from galerist.registry.contract import Registry, Watch
from galerist.registry.open import connect
from tests.registry.conftest import Wakes, until
from tests.support.etcd import Etcd
from tests.support.ports import free_ports

Watching = Callable[[Access, str], Wakes]


@pytest.fixture
def watching() -> Iterator[Watching]:
    """Starts a watch and waits for its first wake, which says that it stands."""
    watches: list[Watch] = []

    def start(access: Access, prefix: str) -> Wakes:
        wakes = Wakes()
        client = connect(access)
        watches.append(client.watch(prefix, wakes))
        client.close()  # a watch has connections of its own
        assert wakes.after(0)
        return wakes

    yield start
    for watch in watches:
        watch.close()


def wakes_by_a_put(registry: Registry, key: str, wakes: Wakes) -> float:
    """Seconds from a change to the wake; the count must have settled before."""
    count = wakes.settle()
    began = time.monotonic()
    registry.put(key, str(began))
    assert wakes.after(count)
    return time.monotonic() - began


def test_changes_wake(etcd: Etcd, registry: Registry, scheme: str, root: str, watching: Watching) -> None:
    wakes = watching(etcd.access(scheme, timeout=10), root)
    assert wakes.settle() == 1
    assert wakes_by_a_put(registry, f"{root}a", wakes) < 1
    assert wakes_by_a_put(registry, f"{root}deep/er/b", wakes) < 1
    count = wakes.settle()
    registry.put("/galerist/elsewhere", str(time.time()))
    assert not wakes.after(count, 0.5)
    registry.delete(f"{root}a")
    assert wakes.after(count, 1)


def test_the_end_of_a_lease_wakes(etcd: Etcd, registry: Registry, scheme: str, watching: Watching) -> None:
    wakes = watching(etcd.access(scheme, timeout=10), f"/components/{scheme}-ends/")
    registry.lease(1).publish({f"/components/{scheme}-ends/a/ip": "x", f"/components/{scheme}-ends/a/port": "y"})
    count = wakes.count
    while registry.list(f"/components/{scheme}-ends/"):  # whoever lists at each wake sees them go
        assert wakes.after(count, 5)
        count = wakes.count


def test_no_change_is_lost_between_wakes(etcd: Etcd, registry: Registry, scheme: str, root: str) -> None:
    """Whoever lists at each wake ends up with the last value, though the watch is made anew all the time."""
    seen: list[str | None] = []
    reader = connect(etcd.access(scheme))
    lock = threading.Lock()

    def wake() -> None:
        with lock:
            seen.append(reader.get(f"{root}a"))

    watch = reader.watch(root, wake)
    for number in range(200):
        registry.put(f"{root}a", str(number))
        if number % 50 == 25:
            watch.close()
            watch = reader.watch(root, wake)
    assert until(lambda: seen[-1:] == ["199"])
    watch.close()
    reader.close()


def test_it_survives_a_restart(etcd: Etcd, registry: Registry, scheme: str, root: str, watching: Watching) -> None:
    wakes = watching(etcd.access(scheme), root)
    count = wakes.settle()
    etcd.kill()
    time.sleep(0.5)
    assert wakes.settle() == count
    etcd.restart()
    assert wakes.after(count)
    wakes_by_a_put(registry, f"{root}a", wakes)


def test_it_survives_a_freeze(etcd: Etcd, registry: Registry, scheme: str, root: str, watching: Watching) -> None:
    wakes = watching(etcd.access(scheme, timeout=0.3), root)
    with etcd.frozen():
        time.sleep(1)  # longer than its patience of 0.75 s
        count = wakes.count
        time.sleep(1)
        assert wakes.count == count
    assert wakes.after(count)
    wakes_by_a_put(registry, f"{root}a", wakes)


def test_silence_makes_it_anew_without_haste(etcd: Etcd, scheme: str, root: str, watching: Watching) -> None:
    """A dead connection is told from a calm registry only by trying; it must not spin."""
    wakes = watching(etcd.access(scheme, timeout=0.2), root)
    began = time.monotonic()
    cpu = time.process_time()
    assert wakes.after(3)
    assert 1.0 < time.monotonic() - began < 5  # three times 2.5 time-outs
    assert time.process_time() - cpu < 0.5


def test_it_survives_a_compaction(etcd: Etcd, root: str, watching: Watching) -> None:
    registry = connect(etcd.access("etcd3"))
    wakes = watching(etcd.access("etcd3", timeout=0.4), root)
    for number in range(20):
        registry.put(f"{root}a", str(number))
    revision = etcd.call("POST", "/v3/kv/range", {"key": "AA=="})["header"]["revision"]
    etcd.call("POST", "/v3/kv/compaction", {"revision": revision, "physical": True})
    wakes_by_a_put(registry, f"{root}a", wakes)
    assert wakes.after(wakes.settle(0.2))  # made anew in the compacted registry
    wakes_by_a_put(registry, f"{root}a", wakes)
    registry.close()


def test_it_survives_a_full_history(etcd: Etcd, root: str, watching: Watching) -> None:
    """v2 keeps the last thousand events."""
    registry = connect(etcd.access("etcd2"))
    wakes = watching(etcd.access("etcd2", timeout=10), root)
    for number in range(1100):
        registry.put("/galerist/elsewhere", str(number))
    wakes_by_a_put(registry, f"{root}a", wakes)
    wakes_by_a_put(registry, f"{root}a", wakes)
    registry.close()


def test_it_goes_on_at_another_endpoint(trio: Etcd, scheme: str, root: str, watching: Watching) -> None:
    registry = connect(trio.access(scheme))
    wakes = watching(trio.access(scheme), root)
    wakes_by_a_put(registry, f"{root}a", wakes)
    count = wakes.settle()
    trio.members[0].kill()  # the one it is connected to
    try:
        assert wakes.after(count)
        wakes_by_a_put(registry, f"{root}a", wakes)
    finally:
        trio.restart(trio.members[0])
    registry.close()


def test_it_leaves_a_frozen_endpoint(trio: Etcd, scheme: str, root: str, watching: Watching) -> None:
    registry = connect(trio.access(scheme))
    wakes = watching(trio.access(scheme, timeout=0.4), root)
    with trio.members[0].frozen():
        registry.put(f"{root}a", "x")
        assert wakes.after(wakes.count)
        wakes_by_a_put(registry, f"{root}a", wakes)
    registry.close()


def test_it_leaves_a_member_without_a_leader(etcd: Etcd, scheme: str, root: str, watching: Watching) -> None:
    """Cut off from its peers a member still accepts connections, and tells nothing."""
    with Etcd(size=3, v2=True) as lonely:
        for member in lonely.members[1:]:
            member.kill()
        assert until(lambda: not lonely.members[0].has_leader())
        registry = connect(etcd.access(scheme))
        wakes = watching(Access(scheme, (lonely.members[0].place, etcd.members[0].place), timeout=1.0), root)
        for _ in range(3):  # sooner than it would lose patience, after 2.5 s
            assert wakes_by_a_put(registry, f"{root}a", wakes) < 1
        registry.close()
        registry.close()


@pytest.mark.parametrize("state", ["idle", "frozen", "closed port"])
def test_closing_is_quick_and_final(etcd: Etcd, registry: Registry, scheme: str, root: str, state: str) -> None:
    access = etcd.access(scheme, timeout=10)
    if state == "closed port":
        access = Access(scheme, (("127.0.0.1", free_ports(1)[0]),), timeout=10)
    wakes = Wakes()
    watch = connect(access).watch(root, wakes)
    if state == "idle":
        assert wakes.after(0)
    if state == "frozen":
        assert wakes.after(0)
        etcd.members[0].freeze()
    time.sleep(0.2)
    began = time.monotonic()
    watch.close()
    assert time.monotonic() - began < 1
    etcd.members[0].thaw()
    count = wakes.count
    registry.put(f"{root}a", "x")
    assert not wakes.after(count, 0.3)
    assert state == "closed port" or until(lambda: not [t for t in threading.enumerate() if t.name == f"watch {root}"])
