"""What the proxy should look like, from what the registry says and what was there before."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from galerist import model as records
from haproxy.model import Known, Listener, Policy, Server, model, order, understand

POLICY = Policy(("127.0.0.1",), 3306, 3307, 3308, ("127.0.0.1",), 8404)
IDENTITY = records.Identity("u", (records.Generation("g", 0, "a", "galera-g"),))
A, B, C = (Server(name, f"10.0.0.{number}", 3306, 9200) for number, name in enumerate("abc", 1))


def report(server: Server, **endpoint: object) -> records.Report:
    place = records.Endpoint(server.name, server.address, server.port, 4567, server.check_port)
    place = dataclasses.replace(place, **endpoint)  # type: ignore[arg-type]
    return records.Report(server.name, "boot", place, records.Server.UP, records.Data.PRESENT, "disk")


def known(
    *servers: Server,
    recorded: str = "abc",
    writer: str = "abc",
    view: str = "abc",
    identity: records.Identity | None = IDENTITY,
) -> Known:
    state = records.State(identity, records.View("g", 9, tuple(view)), None, tuple(writer))
    reports = {server.name: report(server) for server in servers}
    return Known(reports, frozenset(reports), frozenset(recorded), state)


NOTHING = Known({}, frozenset(), frozenset(), None)


def names(servers: tuple[Server, ...]) -> str:
    return "".join(server.name for server in servers)


def test_order_is_the_writers_then_the_others_by_name() -> None:
    assert order(known(C, B, A), ()) == (A, B, C)
    assert order(known(A, B, C, writer="cab"), ()) == (C, A, B)
    assert order(known(A, B, C, writer="c"), (A, B, C)) == (C, A, B)
    assert order(known(A, B, C, writer=""), (C, A, B)) == (A, B, C)


def test_a_lapsed_lease_removes_nobody() -> None:
    assert order(known(A), (A, B, C)) == (A, B, C)
    assert order(known(), (A, B, C)) == (A, B, C)


def test_an_empty_registry_changes_nothing() -> None:
    assert order(NOTHING, (B, A, C)) == (B, A, C)


def test_a_wiped_registry_that_fills_again_removes_nobody_and_keeps_the_order() -> None:
    # b's agent has published, before anybody has written the identity back
    partly = known(B, recorded="b", writer="", view="", identity=None)
    assert order(partly, (C, A, B)) == (C, A, B)
    # the members of the live PC have written identity and view back, but not every record yet
    assert names(order(known(A, recorded="a", writer="", view="abc"), (C, A, B))) == "abc"


def test_a_deregistered_node_goes() -> None:
    assert order(known(A, C, recorded="ac", writer="ac", view="ac"), (A, B, C)) == (A, C)
    assert order(known(A, B, C, recorded="ac", writer="ac", view="ac"), (A, B, C)) == (A, C, B), "it still reports"


@pytest.mark.parametrize("still", ["recorded", "writer", "view"])
def test_one_trace_in_the_registry_keeps_a_node(still: str) -> None:
    traces = {"recorded": "ac", "writer": "ac", "view": "ac"} | {still: "abc"}
    assert B in order(known(A, C, **traces), (A, B, C))


def test_a_new_address_is_followed() -> None:
    moved = dataclasses.replace(B, address="10.0.0.9", check_port=9299)
    assert order(known(A, moved, C), (A, B, C)) == (A, moved, C)


def test_a_name_that_its_node_takes_for_loopback_is_used_by_name() -> None:
    one = report(A, host="db1", ip="127.0.1.1")
    assert order(Known({"a": one}, frozenset("a"), frozenset(), None), ())[0].address == "db1"
    local = report(A, host="127.0.0.1", ip="127.0.0.1")
    assert order(Known({"a": local}, frozenset("a"), frozenset(), None), ())[0].address == "127.0.0.1"
    nameless = report(A, host="db1", ip="")
    assert order(Known({"a": nameless}, frozenset("a"), frozenset(), None), ())[0].address == "db1"


def test_what_cannot_be_understood_is_told_and_removes_nobody() -> None:
    found = understand({"a": records.dump(report(A)), "b": "{", "c": records.dump(report(C))}, ["a"], "no state")
    assert set(found.reports) == {"a", "c"}
    assert found.present == {"a", "b", "c"}
    assert found.state is None
    assert len(found.complaints) == 2
    assert "report of b" in found.complaints[0]
    assert order(found, (A, B, C)) == (A, B, C)


@pytest.mark.parametrize(
    ("node", "endpoint"),
    [
        ("a b", {}),
        ("a\n    server evil 10.6.6.6:1", {}),
        ("a", {"ip": "10.0.0.1 backup"}),
        ("a", {"ip": "", "host": 'x"y'}),
        ("a", {"ip": "", "host": ""}),
        ("a", {"sql_port": 0}),
        ("a", {"check_port": 65536}),
    ],
)
def test_nothing_that_means_something_to_haproxy_comes_in(node: str, endpoint: dict[str, object]) -> None:
    found = understand({node: records.dump(report(A, **endpoint))}, [], None)
    assert not found.reports
    assert len(found.complaints) == 1


def weights(listener: Listener) -> str:
    return " ".join(f"{place.server.name}{place.weight}" for place in listener.places)


def test_ports() -> None:
    made = model((A, B, C), POLICY)
    assert weights(made.write) == "a1 b1 c1"
    assert [place.rank for place in made.write.places] == sorted({place.rank for place in made.write.places})
    assert weights(made.read) == "a0 b1 c1"
    assert weights(made.all) == "a1 b1 c1"
    alone = model((A,), POLICY)
    assert weights(alone.read) == "a1"
    assert model((), POLICY).write.places == ()


def test_a_drained_node_takes_nothing() -> None:
    one = dataclasses.replace(A, drained=True)
    made = model((one, B, C), POLICY)
    assert weights(made.write) == weights(made.all) == "a0 b1 c1"
    assert weights(made.read) == "a0 b0 c1", "b is the writer"
    assert weights(model((one, B), POLICY).read) == "a0 b1"


def test_a_drain_is_read_from_the_state_and_survives_a_registry_that_is_gone() -> None:
    state = known(A, B, C).state
    assert state is not None
    listing = dataclasses.replace(known(A, B, C), state=dataclasses.replace(state, drained=("b",)))
    drained = order(listing, ())
    assert [server.name for server in drained if server.drained] == ["b"]
    assert order(NOTHING, drained) == drained
    wiped = Known({"b": report(B)}, frozenset("b"), frozenset(), records.State())
    assert order(wiped, drained) == drained
    assert not any(server.drained for server in order(known(A, B, C), drained)), "undrained"


NAMES = st.sampled_from("abcde")
LISTINGS = st.builds(
    lambda reported, recorded, writer, view, established: known(
        *(Server(name, "10.0.0.1", 1, 2) for name in sorted(reported)),
        recorded="".join(recorded),
        writer="".join(writer),
        view="".join(view),
        identity=IDENTITY if established else None,
    ),
    st.sets(NAMES),
    st.sets(NAMES),
    st.lists(NAMES, unique=True),
    st.sets(NAMES),
    st.booleans(),
)


@given(st.lists(st.tuples(LISTINGS, st.booleans()), max_size=6))
def test_no_recorded_node_is_ever_lost_and_all_proxies_agree(listings: list[tuple[Known, bool]]) -> None:
    """Over any series of listings, of which one proxy misses some: recorded nodes stay, each
    server is there once, and after a common listing the common servers stand in one order."""
    one: tuple[Server, ...] = ()
    other: tuple[Server, ...] = ()
    for listing, missed in listings:
        before = {server.name for server in one}
        one = order(listing, one)
        after = [server.name for server in one]
        assert len(after) == len(set(after))
        assert before & listing.recorded <= set(after)
        assert set(listing.reports) <= set(after)
        if not missed:
            other = order(listing, other)
            if listing.state is not None and listing.state.identity is not None:
                common = set(one) & set(other)
                assert [s for s in one if s in common] == [s for s in other if s in common]
