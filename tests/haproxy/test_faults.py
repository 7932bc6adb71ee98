"""What may happen to a watcher: a full disk, lost events, a thousand events at once, a socket that is gone."""

from __future__ import annotations

import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from galerist import model as records
from galerist.registry.contract import Watch
from galerist.registry.open import connect
from galerist.settings import load
from haproxy.loop import Watcher
from haproxy.watcher import configure, prepare
from tests.haproxy.fakes import Client, served_by, until
from tests.haproxy.proxies import IDENTITY, Proxy


@contextmanager
def small_disk(folder: Path) -> Iterator[None]:
    """A file system of 512 KiB, which only root can mount."""
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=512k", "tmpfs", str(folder)], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def test_a_full_disk_stops_nothing(proxy: Proxy) -> None:
    a, b = proxy.node("a"), proxy.node("b")
    proxy.report(a)
    proxy.record("a", writer="a")
    with small_disk(proxy.folder / "haproxy"):
        proxy.start()
        until(lambda: served_by(proxy.write) == "a" and proxy.settled(), "a is up")
        text = proxy.config.read_text()
        filler = proxy.config.parent / "filler"
        subprocess.run(["dd", "if=/dev/zero", f"of={filler}", "bs=1k"], capture_output=True)  # until it is full
        proxy.report(b)
        proxy.record("a", "b", writer="ba")
        until(lambda: served_by(proxy.write) == "b", "members change all the same")
        until(lambda: "No space left" in proxy.log(), "and it is told")
        assert proxy.config.read_text() == text, "the file is as it was, not half of one"
        assert not proxy.ended()
        filler.unlink()
        proxy.record("a", "b", writer="ab")
        until(lambda: served_by(proxy.write) == "a" and proxy.settled(), "with room again, the file follows", 60)
        assert proxy.end() == 0


def test_a_thousand_events_are_few_passes_and_no_reload(proxy: Proxy) -> None:
    nodes = [proxy.node(name) for name in "abc"]
    proxy.report(*nodes)
    proxy.record("a", "b", "c", writer="abc")
    proxy.start()
    until(lambda: served_by(proxy.write) == "a" and proxy.settled(), "a is up")
    before, began = proxy.workers(), time.monotonic()
    for number in range(1000):  # heartbeats of the same three nodes
        node = nodes[number % 3]
        proxy.registry.put(proxy.keys.members + node.name, node.report().replace('"boot"', f'"{number}"', 1))
    took = time.monotonic() - began
    proxy.record("a", "b", "c", writer="cab")
    until(lambda: served_by(proxy.write) == "c", "what comes after them is not kept waiting", 5)
    applied = proxy.log().count("servers, the writer first:")
    print(f"1,000 events in {took:.1f} s: {applied} changes applied")
    assert applied == 2, "at the start, and the one real change"
    assert proxy.workers() == before


class Silent(Watch):
    """A watch that never says anything."""

    def close(self) -> None:
        pass


def test_lost_events_cost_a_moment(proxy: Proxy, monkeypatch: pytest.MonkeyPatch) -> None:
    a, b = proxy.node("a"), proxy.node("b")
    proxy.report(a, b)
    proxy.record("a", "b", writer="ab")
    flags = dict(zip(proxy.command[4::2], proxy.command[5::2], strict=True))
    settings = load({key[2:].replace("-", "_"): value for key, value in flags.items()}, {}, None, "haproxy")
    config = configure(settings)
    registry = connect(proxy.etcd.access("etcd3"))
    monkeypatch.setattr(registry, "watch", lambda prefix, wake: Silent())
    watcher = Watcher(config, registry)
    with prepare(config.folder):
        thread = threading.Thread(target=watcher.run)
        thread.start()
        try:
            until(lambda: served_by(proxy.write) == "a", "a is up")
            state = records.State(IDENTITY, records.View("g", 1, ("a", "b")), None, ("b", "a"))
            proxy.registry.put(proxy.keys.state, records.dump(state))
            until(lambda: served_by(proxy.write) == "b", "the next pass has the whole truth", 10)
        finally:
            watcher.stop.set()
            watcher.wake.set()
            thread.join(30)
            registry.close()
    assert not thread.is_alive()


def test_a_stats_socket_that_is_gone_is_made_good(proxy: Proxy) -> None:
    a, b = proxy.node("a"), proxy.node("b")
    proxy.report(a)
    proxy.start()
    until(lambda: served_by(proxy.write) == "a" and proxy.settled(), "a is up")
    session = proxy.stack.enter_context(closing(Client(proxy.write)))
    (proxy.config.parent / "admin.sock").unlink()
    proxy.report(b)
    until(lambda: "admin.sock is gone" in proxy.log(), "it is told")
    assert served_by(proxy.write) == "a", "HAProxy serves on"
    until(lambda: served_by(proxy.read) == "b", "and is led again, by a new worker", 60)
    assert session.alive()
