"""What a folder holds, on made-up folders."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from galerist.galera.datadir import begun_from, check_movable, inspect, mark, opened_by, set_aside
from galerist.galera.stamp import Stamp
from galerist.model import ZERO_UUID, Attempt, Data, Generation, Identity, Position

UUID = "4485d2b9-e555-11f1-a9cd-cfe96997c399"
NEW = Stamp("disk")
OURS = Stamp("disk", identity=Identity(UUID, (Generation("g1", 0, "n1", "galera-g1"),)))


def folder(path: Path, *names: str, state: tuple[str, int] | None = None) -> Path:
    """A datadir with these entries; a name that ends in / is a folder."""
    path.mkdir()
    for name in names:
        if name.endswith("/"):
            (path / name).mkdir()
        else:
            (path / name).touch()
    if state is not None:
        (path / "grastate.dat").write_text(f"# GALERA saved state\nversion: 2.1\nuuid: {state[0]}\nseqno: {state[1]}\n")
    return path


@pytest.mark.parametrize("names", [(), ("lost+found/",), ("galera.cache", "grastate.dat"), ("sst_in_progress",)])
def test_nothing_of_worth_is_empty(tmp_path: Path, names: tuple[str, ...]) -> None:
    assert inspect(folder(tmp_path / "d", *names), NEW, tainted=False).data is Data.EMPTY


def test_a_folder_that_is_not_there_is_empty(tmp_path: Path) -> None:
    assert inspect(tmp_path / "none", NEW, tainted=False).data is Data.EMPTY


def test_a_clean_stop(tmp_path: Path) -> None:
    found = inspect(folder(tmp_path / "d", "mysql/", "ibdata1", state=(UUID, 12)), OURS, tainted=False)
    assert (found.data, found.position, found.problem) == (Data.PRESENT, Position(UUID, 12), None)


@pytest.mark.parametrize("state", [(UUID, -1), (ZERO_UUID, -1), (ZERO_UUID, 3), None])
def test_a_position_that_must_be_recovered(tmp_path: Path, state: tuple[str, int] | None) -> None:
    found = inspect(folder(tmp_path / "d", "mysql/", "ibdata1", state=state), OURS, tainted=False)
    assert (found.data, found.position, found.problem) == (Data.PRESENT, None, None)


def test_the_taint_goes_before_all_else(tmp_path: Path) -> None:
    found = inspect(folder(tmp_path / "d", "mysql/", "ibdata1", state=(UUID, 12)), OURS, tainted=True)
    assert (found.data, found.position) == (Data.TAINTED, None)


def test_a_transfer_into_a_foreign_folder_was_cut_off(tmp_path: Path) -> None:
    there = folder(tmp_path / "d", "mysql/", "ibdata1", "sst_in_progress", state=(UUID, 12))
    assert inspect(there, NEW, tainted=False).data is Data.TAINTED
    assert inspect(there, OURS, tainted=False).data is Data.PRESENT  # our own taint would say so


def test_what_galerist_initialised_and_nobody_opened_is_empty(tmp_path: Path) -> None:
    there = folder(tmp_path / "d", "mysql/", "ibdata1")
    mark(there, Stamp("disk"))
    assert inspect(there, Stamp("disk", fresh=True), tainted=False).data is Data.EMPTY
    assert inspect(there, Stamp("disk", OURS.identity, fresh=True), tainted=False).data is Data.PRESENT


def test_data_that_somebody_put_where_a_bootstrap_was_begun_are_no_leftovers(tmp_path: Path) -> None:
    there = folder(tmp_path / "d", "mysql/", "ibdata1", state=(UUID, 12))
    for attempt in (None, Attempt("g2", None, "galera-g2")):
        assert inspect(there, Stamp("disk", attempt=attempt, fresh=True), tainted=False).data is Data.PRESENT
    mark(there, Stamp("another disk"))  # a copy of what was made elsewhere
    assert inspect(there, Stamp("disk", fresh=True), tainted=False).data is Data.PRESENT


@pytest.mark.parametrize("stamp", [NEW, OURS, Stamp("disk", attempt=Attempt("g2", None, "galera-g2"))])
def test_data_without_system_tables_is_not_touched(tmp_path: Path, stamp: Stamp) -> None:
    found = inspect(folder(tmp_path / "d", "ibdata1", "precious/"), stamp, tainted=False)
    assert found.data is Data.UNREADABLE
    assert "ibdata1" in (found.problem or "")


def test_somebody_elses_files_are_not_touched(tmp_path: Path) -> None:
    found = inspect(folder(tmp_path / "d", "thesis.txt"), NEW, tainted=False)
    assert found.data is Data.UNREADABLE
    assert "thesis.txt" in (found.problem or "")


def test_a_file_is_no_datadir(tmp_path: Path) -> None:
    (tmp_path / "d").touch()
    assert inspect(tmp_path / "d", NEW, tainted=False).data is Data.UNREADABLE


def test_looking_changes_nothing(tmp_path: Path) -> None:
    there = folder(tmp_path / "d", "mysql/", "ibdata1", "sst_in_progress", "gvwstate.dat", state=(UUID, -1))
    before = sorted((path.name, path.stat().st_mtime_ns) for path in there.iterdir())
    inspect(there, OURS, tainted=False)
    assert sorted((path.name, path.stat().st_mtime_ns) for path in there.iterdir()) == before


def test_nobody_has_it_open(tmp_path: Path) -> None:
    assert opened_by(tmp_path / "none") is None
    assert opened_by(folder(tmp_path / "d", "mysql/", "ibdata1")) is None


LOCKER = """
import fcntl, sys
held = open(sys.argv[1], "r+")
fcntl.lockf(held, fcntl.LOCK_EX)
print("locked", flush=True)
sys.stdin.read()
"""


def test_a_lock_on_the_tablespace_is_seen(tmp_path: Path) -> None:
    """InnoDB holds a POSIX lock, which only another process can see."""
    there = folder(tmp_path / "d", "ibdata1")
    command = [sys.executable, "-c", LOCKER, str(there / "ibdata1")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "locked\n"
        assert opened_by(there) == child.pid
        child.kill()
    assert opened_by(there) is None


def test_a_program_that_is_no_server_is_not_taken_for_one(tmp_path: Path) -> None:
    there = folder(tmp_path / "d", "mysql/", "ibdata1")
    with subprocess.Popen(["sleep", "60"], cwd=there) as child:
        try:
            assert opened_by(there) is None
        finally:
            child.kill()


def test_a_datadir_is_set_aside_whole(tmp_path: Path) -> None:
    there = folder(tmp_path / "data", "mysql/", "ibdata1")
    kept = set_aside(there)
    assert kept is not None
    assert (kept.parent, sorted(entry.name for entry in kept.iterdir())) == (tmp_path, ["ibdata1", "mysql"])
    assert not there.exists()
    assert set_aside(there) is None
    there.mkdir()
    assert set_aside(there) is None


def test_a_datadir_on_another_volume_stays_there_by_its_link(tmp_path: Path) -> None:
    (tmp_path / "volume").mkdir()
    there = folder(tmp_path / "volume/data", "mysql/", "ibdata1")
    (tmp_path / "data").symlink_to(there)
    kept = set_aside(tmp_path / "data")
    assert kept is not None
    assert kept.parent == tmp_path / "volume"
    assert (kept / "ibdata1").exists()
    assert list((tmp_path / "data").iterdir()) == list(there.iterdir()) == []


def test_a_mount_point_cannot_be_set_aside_and_it_is_said_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = folder(tmp_path / "data", "mysql/", "ibdata1")
    check_movable(there)
    monkeypatch.setattr("os.path.ismount", lambda path: path == there)
    with pytest.raises(OSError, match="is a mount point .*: end the agent, move all that is in it elsewhere"):
        check_movable(there)
    check_movable(folder(tmp_path / "empty", "lost+found/"))


def test_a_bootstrap_that_was_killed_before_its_first_view_knows_where_it_began(tmp_path: Path) -> None:
    began = Position(UUID, 5403)
    tried = Stamp("disk", identity=OURS.identity, attempt=Attempt("a4c443ea", began, "galera-a4c443ea"))
    ours = folder(tmp_path / "ours", "mysql/", "ibdata1", state=(UUID, -1))
    assert begun_from(ours, tried) == began
    assert begun_from(ours, OURS) is None, "it began nothing"
    assert begun_from(folder(tmp_path / "put", "mysql/", "ibdata1"), tried) is None, "data that somebody has put there"
    assert begun_from(folder(tmp_path / "other", "mysql/", state=(ZERO_UUID, -1)), tried) is None
