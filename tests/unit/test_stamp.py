"""The stamp and its log of views."""

from __future__ import annotations

from pathlib import Path

import pytest

from galerist.galera.stamp import Malformed, Seen, Stamp, StampInUse, StampStore, parse_views
from galerist.model import Attempt, Generation, Identity, Position, View

UUID = "4485d2b9-e555-11f1-a9cd-cfe96997c399"
MEMBERS = "u1/n2/127.0.0.1:13312,u2/n1/127.0.0.1:13311"


def line(seqno: str = "7", primary: str = "yes", members: str = MEMBERS, run: str = "r1") -> str:
    return f"view {run} {seqno} {primary} {UUID} {members} ."


def test_a_view_belongs_to_the_generation_of_its_run() -> None:
    found = parse_views(["run r1 g1", line("3"), "run r2 g2", line("9", run="r2"), line("4")])
    assert [(seen.view.generation, seen.view.seqno) for seen in found] == [("g1", 3), ("g2", 9), ("g1", 4)]
    assert found[0] == Seen("r1", True, UUID, View("g1", 3, ("n1", "n2")))


def test_an_arbitrator_has_no_address_and_holds_no_data() -> None:
    (seen,) = parse_views(["run r1 g1", line(members=f"{MEMBERS},u3/garb/")])
    assert seen.view == View("g1", 7, ("n1", "n2"), ("garb",))


def test_a_view_without_quorum_is_not_primary() -> None:
    (seen,) = parse_views(["run r1 g1", line(primary="no")])
    assert not seen.primary


@pytest.mark.parametrize("length", range(len(line())))
def test_a_line_that_was_cut_short_does_not_count(length: int) -> None:
    assert parse_views(["run r1 g1", line()[:length]]) == ()


@pytest.mark.parametrize(
    "broken",
    [
        line(run="unknown"),
        line("seven"),
        line(members="n1"),
        line(members="u1/n1"),
        line() + " .",
        "view",
        "",
        "\0\0\0\0",
    ],
)
def test_a_broken_line_spoils_no_other(broken: str) -> None:
    assert len(parse_views(["run r1 g1", line("1"), broken, line("2")])) == 2


def test_a_run_line_that_was_cut_short_begins_no_run() -> None:
    assert parse_views(["run r1", line()]) == ()


def test_the_stamp_outlives_the_store(tmp_path: Path) -> None:
    store = StampStore(tmp_path / "stamp")
    store.prepare()
    identity = Identity(UUID, (Generation("g1", 0, "n1", "galera-g1"),))
    attempt = Attempt("g2", Position(UUID, 5), "galera-g2")
    disk = store.load().disk
    store.change(identity=identity, attempt=attempt)
    store.release()
    again = StampStore(tmp_path / "stamp")
    again.prepare()
    assert again.load() == Stamp(disk, identity, attempt)
    again.release()


def test_one_agent_looks_after_a_datadir(tmp_path: Path) -> None:
    store, other = StampStore(tmp_path), StampStore(tmp_path)
    store.prepare()
    with pytest.raises(StampInUse):
        other.prepare()
    store.release()
    other.prepare()
    other.release()


def test_the_taint_and_its_end(tmp_path: Path) -> None:
    store = StampStore(tmp_path)
    store.prepare()
    assert not store.tainted()
    store.taint_file.touch()
    assert store.tainted()
    store.cleanse()
    store.cleanse()
    assert not store.tainted()
    store.release()


def test_runs_and_views_are_read_back(tmp_path: Path) -> None:
    store = StampStore(tmp_path)
    store.prepare()
    assert store.current_run() is None
    store.begin_run("r1", "g1")
    with store.views_file.open("a") as log:
        log.write(line() + "\n")
    store.begin_run("r2", "g2")
    assert store.current_run() == ("r2", "g2")
    assert [seen.run for seen in store.views()] == ["r1"]
    store.release()


def test_a_long_log_is_cut_at_the_beginning_of_a_run(tmp_path: Path) -> None:
    store = StampStore(tmp_path)
    store.prepare()
    text = "".join(f"run r{n} g{n}\n" + "".join(line(str(s), run=f"r{n}") + "\n" for s in range(50)) for n in range(60))
    store.views_file.write_text(text)
    store.begin_run("last", "g60")
    kept = store.views()
    assert kept[-1].view == View("g59", 49, ("n1", "n2"))
    assert kept[0].view.seqno == 0
    assert len(store.views_file.read_text().splitlines()) < 2000
    assert store.current_run() == ("last", "g60")
    store.release()


def test_a_damaged_stamp_is_an_error(tmp_path: Path) -> None:
    store = StampStore(tmp_path)
    store.prepare()
    (tmp_path / "stamp.json").write_text('{"disk": 5}')
    with pytest.raises(Malformed):
        store.load()
    store.release()


def test_a_renewed_stamp_knows_nothing_of_the_former_disk(tmp_path: Path) -> None:
    store = StampStore(tmp_path)
    store.prepare()
    disk = store.load().disk
    store.begin_run("r1", "g1")
    store.taint_file.touch()
    store.renew()
    assert store.load() == Stamp(store.load().disk)
    assert store.load().disk != disk
    assert (store.tainted(), store.views(), store.current_run()) == (False, (), None)
    store.release()
