"""The registry as the watcher reads it: whatever stands there, and however often it fails to answer."""

from __future__ import annotations

import dataclasses
import json
import threading
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from galerist import model as records
from haproxy.control import Row
from haproxy.exchange import Exchange
from haproxy.members import MANAGED, read_layout
from haproxy.model import Policy, Server, model, order
from haproxy.moving import Overlap
from haproxy.render import render
from tests.haproxy.fakes import until
from tests.haproxy.proxies import IDENTITY
from tests.support.shelf import Shelf

ROOT = "/galerist/galera/"
POLICY = Policy(("127.0.0.1",), 1, 2, 3, ("127.0.0.1",), 4)
FACTS = {
    "cluster": "c", "admin_socket": Path("/a"), "state_file": Path("/s"), "socket_mode": "600", "drop_to": "",
    "wait_file": "",
}  # fmt: skip


def exchange(shelf: Shelf) -> Exchange:
    return Exchange(shelf, "galera", "p1", 10.0, lambda topic, text: None)


def row(number: int, status: str, check: str = "L7OK") -> Row:
    return Row(number, "10.0.0.1", "-", 1, 2, 1, False, status == "UP", status, check, "", 0.0, 0)


STATE = records.State(IDENTITY, records.View("g", 1, ("a", "b")), None, ("a", "b"))
FAILED_OVER = {("write", "a"): row(1, "DOWN", "L4CON"), ("write", "b"): row(2, "UP")}


def test_a_registry_that_fails_is_asked_again_soon_then_less_often() -> None:
    shelf = Shelf()
    one = exchange(shelf)
    assert one.read() is not None and one.pause(urgent=False) == 2.0 and one.pause(urgent=True) == 0.2
    shelf.down = True
    waits = []
    for _ in range(6):
        assert one.read() is None
        waits.append(one.pause(urgent=True))
    assert waits == [0.2, 0.4, 0.8, 1.6, 2.0, 2.0]
    shelf.down = False
    assert one.read() is not None and one.pause(urgent=False) == 2.0


def test_nothing_waits_for_a_registry_that_is_frozen_but_once() -> None:
    thaw = threading.Event()

    class Frozen(Shelf):
        def get(self, key: str) -> str | None:
            thaw.wait(30)
            return super().get(key)

    shelf = Frozen()
    one = exchange(shelf)
    shelf.down = True
    assert one.read() is None
    shelf.down = False
    began = time.monotonic()
    for _ in range(5):
        assert one.read() is None and not one.reachable and one.pause(urgent=False) == 0.2
    assert time.monotonic() - began < 10
    thaw.set()
    until(lambda: one.read() is not None, "it answers again")
    assert one.reachable
    one.withdraw()


def test_a_failover_is_recorded_at_the_next_try_when_a_swap_is_lost_or_not_answered() -> None:
    """A proxy that waited for its next turn after that left two writers for seconds."""
    shelf = Shelf({f"{ROOT}state": records.dump(STATE)})
    one = exchange(shelf)
    one.read()
    shelf.lost = 1
    assert one.demote(FAILED_OVER, 5.0), "look again at once"
    one.read()
    shelf.down = True
    assert not one.demote(FAILED_OVER, 5.0) and one.pause(urgent=False) == 0.2
    shelf.down = False
    one.read()
    assert one.demote(FAILED_OVER, 5.0)
    assert records.load(records.State, shelf.values[f"{ROOT}state"]).writer == ("b", "a")
    assert shelf.swaps == 2
    one.read()
    assert not one.demote(FAILED_OVER, 5.0), "once"


# -- whatever stands in the registry --------------------------------------------------------

ENDPOINT = records.Endpoint("db.example", "10.0.0.1", 3306, 4567, 9200)
REPORT = records.Report(
    "a", "boot", ENDPOINT, records.Server.UP, records.Data.PRESENT, "d", cluster_status="Primary", local_state=4,
    opened=True,
)  # fmt: skip
PROXY = records.ProxyReport("p2", "h", "10.0.0.2", 1, 2, 3, 4, writing=("b",), serving=("a",))

NASTY = st.sampled_from(
    ["", "a", "b", "10.0.0.9", "fd00::1", "fe80::1%eth0", "fe80::1%\n    server evil 10.9.9.9:1", "db host", "x\nlisten evil",
     "a:b", "\ud800", "ä", "%", "$HOME", "'\"", "p1", "0", "#"]
)  # fmt: skip
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | NASTY,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=6,
)


@st.composite
def spoilt(draw: st.DrawFn, good: object) -> str:
    """A record in which some values, at any depth, are others; or no record at all."""
    if draw(st.integers(0, 5)) == 0:
        return draw(
            st.text(max_size=40) | st.sampled_from(["[" * 20_000, "{}", "null", "1e999", '{"endpoint": ' * 3000])
        )
    value = json.loads(records.dump(good))
    for _ in range(draw(st.integers(0, 3))):
        place = value
        while True:
            key = (
                draw(st.sampled_from(sorted(place)))
                if isinstance(place, dict)
                else draw(st.integers(0, len(place) - 1))
            )
            inner = place[key]
            if isinstance(inner, dict | list) and inner and draw(st.booleans()):
                place = inner
                continue
            place[key] = draw(NASTY if isinstance(inner, str) else JSON)
            break
    return json.dumps(value)


NAMES = st.sampled_from(["a", "b", "c", "p1", "p2"]) | NASTY
CONTENT = st.fixed_dictionaries(
    {
        "members/": st.dictionaries(NAMES, spoilt(REPORT), max_size=3),
        "nodes/": st.dictionaries(NAMES, st.text(max_size=5), max_size=3),
        "proxies/": st.dictionaries(NAMES, spoilt(PROXY), max_size=3),
    }
)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(CONTENT, st.none() | spoilt(STATE), st.booleans()), min_size=1, max_size=4), st.booleans())
def test_nothing_in_the_registry_harms_the_watcher_or_gets_into_its_configuration(
    turns: list[tuple[dict[str, dict[str, str]], str | None, bool]], failed_over: bool
) -> None:
    shelf = Shelf()
    one, overlap = exchange(shelf), Overlap()
    servers: tuple[Server, ...] = (Server("b", "10.0.0.2", 3306, 9200),)
    empty = read_layout(render(model((), POLICY), FACTS)).structure
    for now, (content, state, down) in enumerate(turns):
        shelf.values = {f"{ROOT}{kind}{name}": text for kind, found in content.items() for name, text in found.items()}
        if state is not None:
            shelf.values[f"{ROOT}state"] = state
        shelf.down = down
        known = one.read()
        while known is None and not down:
            known = one.read()
        assert known is None or not down
        if known is not None:
            servers = order(known, servers)
        made = model(servers, POLICY)
        layout = read_layout(render(made, FACTS))
        assert layout.structure == empty, "only lines of servers differ"
        for listener in MANAGED:
            assert sorted(line.name for line in layout.servers[listener]) == sorted(server.name for server in servers)
        one.publish(dataclasses.replace(PROXY, proxy="p1"))
        overlap.look(("b",), one.elsewhere(), float(now))
        one.demote(FAILED_OVER if failed_over else {}, 5.0)
        assert 0 < one.pause(urgent=False) <= 2.0


@pytest.mark.parametrize("text", ["[" * 200_000, '{"a":' * 200_000, "9" * 10_000, '"x"', "[]", "null", "7"])
def test_what_is_no_record_or_of_absurd_depth_is_malformed(text: str) -> None:
    with pytest.raises(records.Malformed):
        records.load(records.State, text)
