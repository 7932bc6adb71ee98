"""One id from a person's order, or from a decision, to all that it caused."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from bootstrap import decisions as rules
from bootstrap.decisions import Decision
from bootstrap.operations import continues, shared
from galerist.model import Claim, NodeRecord, Position, Restart, Server, State
from tests.unit.test_agent import Hands, Shelf, agent
from tests.unit.test_decide import OLD, UUID, facts, report

CLAIM = Claim("a", "boot-a", "c1a1b1c1", Position(UUID, 10), ("a", "b"))
WAITS = Decision(rules.Wait(), "Waiting.")


def test_a_claim_ties_all_nodes_together_from_claiming_to_record() -> None:
    claiming = Decision(rules.Change(State(identity=OLD, claim=CLAIM)), "a claims.")
    assert shared(claiming, facts(report("a"))) == CLAIM.nonce
    standing = State(identity=OLD, claim=CLAIM)
    assert shared(Decision(rules.Ack(CLAIM.nonce), "Acknowledged."), facts(report("b"), state=standing)) == CLAIM.nonce
    recording = Decision(rules.Change(State(identity=OLD)), "Recorded.")
    assert shared(recording, facts(report("a"), state=standing)) == CLAIM.nonce
    assert shared(WAITS, facts(report("a"))) == ""


def test_what_a_person_orders_ties_the_node_that_obeys() -> None:
    order = Restart(("a", "b"), "jo", "boot-a", 7, operation="0123abcd")
    for node, tied in (("a", "0123abcd"), ("b", "")):
        assert shared(WAITS, facts(report(node), state=State(identity=OLD, restart=order))) == tied
    drained = replace(order, boot="", pid=0)  # its clients are led away yet
    assert shared(WAITS, facts(report("a"), state=State(identity=OLD, restart=drained))) == ""
    record = NodeRecord("a", "disk-a", True, reinit="disk-a", operation="4567abcd")
    assert shared(Decision(rules.SetAside(), "By order."), facts(report("a"), nodes=(record,))) == "4567abcd"


@pytest.mark.parametrize(
    ("server", "opened", "goes_on"),
    [(Server.DOWN, False, False), (Server.STARTING, False, True), (Server.UP, False, True), (Server.UP, True, False)],
)
def test_from_its_start_until_it_serves_a_node_does_one_thing(server: Server, opened: bool, goes_on: bool) -> None:
    assert continues(facts(report("a", server=server, opened=opened))) == goes_on


def test_the_agent_writes_the_claim_and_the_start_under_one_id() -> None:
    shelf = Shelf()
    one = agent(shelf, Hands(shelf))
    events = []
    for _ in range(6):
        one.step()
        events += [json.loads(text) for key, text in shelf.values.items() if "/history/" in key]
    state = json.loads(shelf.values["/galerist/galera/state"])
    assert {"change", "bootstrap"} <= {event["action"] for event in events}
    assert {event["operation"] for event in events} == {state["claim"]["nonce"]} == {one.operation}
