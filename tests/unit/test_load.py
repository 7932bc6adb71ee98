"""When the dumps are loaded, and when a load has died. The load itself is tested on real servers."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bootstrap.facts import Expect, Facts
from bootstrap.load import Initialisation, due, orphaned, read_record
from galerist.model import Data, Endpoint, Report, Server, State, View, dump

VIEW = View("g1", 5, ("n1", "n2", "n3"))


def report(node: str) -> Report:
    return Report(
        node=node, boot=f"boot-{node}", endpoint=Endpoint("h", "h", 1, 2, 3), server=Server.UP, data=Data.PRESENT,
        disk=f"disk-{node}", cluster_status="Primary", local_state=4, opened=True, view=VIEW,
    )  # fmt: skip


FACTS = Facts(
    cluster="galera", me=report("n1"), expect=Expect(3), nonce="x", answered=True,
    state=State(view=VIEW, writer=("n1", "n2", "n3")), others=(report("n2"), report("n3")),
)  # fmt: skip
RUNNING = Initialisation("running", by="n2", boot="boot-n2")


def test_the_writer_of_a_full_cluster_begins() -> None:
    assert due(FACTS, None)


def test_it_begins_again_only_by_order() -> None:
    assert due(FACTS, Initialisation("retry"))
    assert not any(due(FACTS, Initialisation(status)) for status in ("running", "done", "failed"))


@pytest.mark.parametrize(
    "facts",
    [
        replace(FACTS, answered=False),
        replace(FACTS, me=replace(FACTS.me, opened=False)),
        replace(FACTS, me=replace(FACTS.me, local_state=2)),
        replace(FACTS, me=replace(FACTS.me, cluster_status="non-Primary")),
        replace(FACTS, expect=Expect(4)),
        replace(FACTS, state=replace(FACTS.state, view=None)),
        replace(FACTS, state=replace(FACTS.state, view=replace(VIEW, seqno=6))),
        replace(FACTS, state=replace(FACTS.state, writer=("n2", "n1", "n3"))),
        replace(FACTS, state=replace(FACTS.state, writer=())),
    ],
)
def test_nobody_else_begins(facts: Facts) -> None:
    assert not due(facts, None)


def test_an_arbitrator_does_not_make_the_size() -> None:
    view = View("g1", 5, ("n1", "n2"), ("garb",))
    facts = replace(FACTS, me=replace(FACTS.me, view=view), state=replace(FACTS.state, view=view))
    assert not due(facts, None)


def test_a_load_is_orphaned_when_its_boot_reports_no_more() -> None:
    again = replace(report("n2"), boot="later")
    assert not orphaned(FACTS, RUNNING)
    assert orphaned(replace(FACTS, others=(again, report("n3"))), RUNNING)
    assert orphaned(replace(FACTS, others=(report("n3"),)), RUNNING)


def test_silence_of_the_registry_proves_nothing() -> None:
    assert not orphaned(replace(FACTS, others=(), answered=False), RUNNING)


def test_a_load_that_has_ended_is_no_orphan() -> None:
    facts = replace(FACTS, others=())
    assert not any(orphaned(facts, replace(RUNNING, status=status)) for status in ("done", "failed", "retry"))


def test_a_record_that_cannot_be_read_counts_as_failed() -> None:
    assert read_record(None) is None
    assert read_record(dump(RUNNING)) == RUNNING
    found = read_record("scribble")
    assert found is not None
    assert found.status == "failed"
