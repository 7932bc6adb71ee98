"""The agent's pass against a registry and a node made up for it."""

from __future__ import annotations

import itertools
import logging
from collections.abc import Mapping
from dataclasses import replace

import pytest

from bootstrap.agent import Agent
from bootstrap.decide import decide
from bootstrap.exchange import Who
from bootstrap.facts import UNKNOWN, Expect, Facts
from bootstrap.hands import Look
from bootstrap.tempo import tempo
from galerist.galera.stamp import Stamp
from galerist.model import (
    Attempt,
    Data,
    Endpoint,
    Generation,
    Identity,
    ProxyReport,
    Report,
    Server,
    State,
    View,
    dump,
    load,
    older,
)
from galerist.registry.contract import Lease
from tests.support.shelf import Shelf


class Hands:
    """A node that does what it is told at once, and writes down what that was."""

    def __init__(self, shelf: Shelf) -> None:
        self.seen = Look(Server.DOWN, Stamp(disk="d1"), Data.EMPTY)
        self.shelf = shelf
        self.kept: tuple[State, tuple[Report, ...]] = (State(), ())
        self.done: list[str] = []

    def look(self) -> Look:
        return self.seen

    def bootstrap(self, attempt: Attempt) -> None:
        mine = load(Report, self.shelf.values["/galerist/galera/members/n1"])
        self.done.append(f"bootstrap while published as {mine.server}")
        self.seen = replace(self.seen, server=Server.STARTING, attempting=True, stamp=Stamp("d1", attempt=attempt))

    def stop(self) -> bool:
        self.done.append("stop")
        self.seen = replace(self.seen, server=Server.DOWN)
        return True

    def recover(self) -> None:
        self.done.append("recover")

    def join(self, identity: Identity, peers: tuple[str, ...], full: bool) -> None:
        self.done.append("join")

    def remember(self, state: State, others: tuple[Report, ...]) -> None:
        self.kept = (state, others)

    def remembered(self) -> tuple[State, tuple[Report, ...]]:
        return self.kept

    def tell(self, report: Report) -> None: ...
    def furnish(self) -> None: ...
    def flush(self) -> None: ...
    def confirm(self, identity: Identity) -> None: ...
    def cleanse(self) -> None: ...
    def set_aside(self) -> None: ...
    def open(self) -> None: ...
    def close(self) -> None: ...

    def desync(self, on: bool) -> None:
        self.done.append(f"desync {on}")
        self.seen = replace(self.seen, desync=on, desynced=on)


def agent(shelf: Shelf, hands: Hands, expect: int = 1) -> Agent:
    endpoint = Endpoint("127.0.0.1", "127.0.0.1", 1, 2, 3)
    return Agent(Who("galera", "n1", endpoint, Expect(expect)), hands, shelf, clock=lambda: 0.0)


def test_not_running_is_taken_back_and_acknowledged_before_a_server_is_started() -> None:
    shelf = Shelf()
    hands = Hands(shelf)
    one = agent(shelf, hands)
    for _ in range(6):
        one.step()
    assert hands.done == ["bootstrap while published as starting"]


def test_nothing_is_started_while_the_registry_does_not_acknowledge() -> None:
    shelf = Shelf()
    hands = Hands(shelf)
    one = agent(shelf, hands)
    one.step()  # claims
    shelf.down = True
    for _ in range(6):
        one.step()
    assert hands.done == []
    assert one.decision is not None and "registry" in one.decision.sentence


def test_a_queue_is_told_when_the_node_falls_behind_not_at_every_look() -> None:
    shelf = Shelf()
    hands = Hands(shelf)
    hands.seen = replace(hands.seen, server=Server.UP, cluster_status="Primary", local_state=4, data=Data.PRESENT)
    one = agent(shelf, hands)
    told = []
    for queue in (0, 0, 7, 90, 101, 4000, 99, 0):
        hands.seen = replace(hands.seen, queue=queue)
        one.step()
        told.append(load(Report, shelf.values["/galerist/galera/members/n1"]).queue)
    assert told == [0, 0, 0, 0, 101, 101, 99, 99]


def test_a_drained_node_asks_the_proxies_whether_its_clients_are_gone() -> None:
    shelf = Shelf()
    one = agent(shelf, Hands(shelf))
    proxy = ProxyReport("p1", "h", "i", 1, 2, 3, 4, drained=("n1",))
    shelf.values["/galerist/galera/state"] = dump(State(drained=("n1",)))
    for serving, leading in (((), ()), (("n1",), ("p1",))):
        shelf.values["/galerist/galera/proxies/p1"] = dump(replace(proxy, serving=serving))
        one.step()
        assert one.facts is not None and one.facts.leading == leading


def test_a_wiped_registry_is_told_again() -> None:
    shelf = Shelf()
    one = agent(shelf, Hands(shelf), expect=3)
    one.step()
    shelf.values.clear()
    one.step()
    assert "/galerist/galera/members/n1" in shelf.values


def test_leaving_stops_the_server_also_while_the_registry_is_down() -> None:
    shelf = Shelf()
    hands = Hands(shelf)
    hands.seen = Look(Server.UP, Stamp("d1"), Data.PRESENT, cluster_status="Primary", local_state=4, opened=True)
    one = agent(shelf, hands)
    shelf.down = True
    assert not one.farewell()
    assert hands.done == ["stop"]
    assert one.farewell()


def test_an_unreadable_record_of_another_node_stops_nobody() -> None:
    shelf = Shelf()
    shelf.values["/galerist/galera/members/n2"] = "{not json"
    shelf.values["/galerist/galera/nodes/n2"] = '"neither"'
    one = agent(shelf, Hands(shelf), expect=2)
    one.step()
    assert one.decision is not None and "1 more node" in one.decision.sentence


def test_a_damaged_state_is_waited_for_and_never_overwritten() -> None:
    shelf = Shelf()
    shelf.values["/galerist/galera/state"] = "{damaged"
    hands = Hands(shelf)
    one = agent(shelf, hands)
    for _ in range(4):
        one.step()
    assert hands.done == []
    assert shelf.values["/galerist/galera/state"] == "{damaged"


@pytest.mark.parametrize("ttl", [2.0, 3.0, 10.0, 60.0])
def test_a_server_that_hangs_costs_the_agent_no_lease(ttl: float) -> None:
    now, beats = 0.0, []
    keep = tempo(ttl)

    class Hung(Hands):
        def look(self) -> Look:
            nonlocal now
            now += keep.patience
            return replace(self.seen, server=Server.UP, cluster_status=UNKNOWN)

    class Timed(Shelf):
        def lease(self, life: float) -> Lease:
            assert life == ttl

            class Leased(Lease):
                def publish(self, values: Mapping[str, str]) -> None:
                    beats.append(now)
                    shelf.values.update(values)

                def withdraw(self) -> None: ...

            return Leased()

    shelf = Timed()
    endpoint = Endpoint("127.0.0.1", "127.0.0.1", 1, 2, 3)
    one = Agent(Who("galera", "n1", endpoint, Expect(3), ttl=ttl), Hung(shelf), shelf, clock=lambda: now)
    while now < 20 * ttl:
        if not one.step():
            now += keep.pace
    gaps = [later - former for former, later in itertools.pairwise(beats)]
    assert len(beats) >= 20
    assert max(gaps) < 0.85 * ttl  # the rest is for the registry's answers


ONE, TWO = Generation("g1", 0, "n1", "galera-g1"), Generation("g2", 9, "n2", "galera-g2")


def recorded(generations: tuple[Generation, ...], seqno: int, writer: str, uuid: str = "u") -> State:
    return State(
        Identity(uuid, generations), View(generations[-1].id, seqno, ("n1", "n2")), writer=tuple(writer.split())
    )


def test_a_state_is_older_with_fewer_generations_or_an_earlier_view() -> None:
    now = recorded((ONE, TWO), 12, "n1 n2")
    assert older(recorded((ONE,), 99, "n1 n2"), now)
    assert older(recorded((ONE, TWO), 11, "n1 n2"), now)
    for other in (now, recorded((ONE, TWO), 13, ""), recorded((TWO,), 3, ""), recorded((ONE,), 3, "", "v"), State()):
        assert not older(other, now), other


@pytest.mark.parametrize("restored", [recorded((ONE,), 3, "n2 n1"), recorded((ONE, TWO), 10, "n2 n1"), None])
def test_the_order_of_writers_outlives_a_registry_that_was_emptied_or_restored(restored: State | None) -> None:
    shelf = Shelf()
    hands = Hands(shelf)
    one = agent(shelf, hands)
    shelf.values["/galerist/galera/state"] = dump(recorded((ONE, TWO), 12, "n1 n2"))
    one.step()
    if restored is None:
        del shelf.values["/galerist/galera/state"]
    else:
        shelf.values["/galerist/galera/state"] = dump(restored)
    one.step()
    assert one.facts is not None and one.facts.state.writer == ("n1", "n2")
    assert one.facts.state.identity == (restored.identity if restored is not None else None)
    shelf.values["/galerist/galera/state"] = dump(recorded((ONE, TWO), 14, "n2 n1"))
    one.step()
    assert one.facts.state.writer == ("n2", "n1")


def test_what_a_decision_rested_on_can_be_read_back_from_a_log_of_level_debug(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "galerist.bootstrap")
    shelf = Shelf()
    one = agent(shelf, Hands(shelf))
    for _ in range(4):
        one.step()
    told = [r.getMessage() for r in caplog.records if r.getMessage().startswith("decided ")]
    assert len(told) >= 3
    for line in told:
        action, _, text = line.removeprefix("decided ").partition(": ")
        assert type(decide(load(Facts, text)).action).__name__ == action
    assert any(r.getMessage().startswith('swapped, won: {"former": null') for r in caplog.records)
