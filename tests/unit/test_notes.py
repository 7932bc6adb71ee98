"""The notes beside a node: what is in them, how old it is, and a disk that is full."""

from __future__ import annotations

import errno
import json
import os
import time
from pathlib import Path

import pytest

from bootstrap import notes
from bootstrap.notes import Notes
from galerist.model import Data, Endpoint, Report, Server, State

ME = Report("n1", "b", Endpoint("db1", "10.0.0.1", 3306, 4567, 9200), Server.UP, Data.PRESENT, "d", opened=True)
OTHER = Report("n2", "b", Endpoint("db2", "10.0.0.2", 3306, 4567, 9200), Server.UP, Data.PRESENT, "d")


def test_the_file_for_the_clustercheck_is_as_old_as_the_news_in_it(tmp_path: Path) -> None:
    told = tmp_path / "agent.json"
    one = Notes(tmp_path / "registry.json", told)
    one.tell(ME)
    assert json.loads(told.read_text())["peers"] is None
    before = time.time()
    one.remember(State(), (OTHER,))
    one.tell(ME)
    assert json.loads(told.read_text())["peers"][0]["incoming"] == "db2:3306"
    os.utime(told, (1.0, 1.0))
    one.tell(ME)  # nothing new was heard since then
    assert before - 1.0 < told.stat().st_mtime <= time.time()


def test_a_full_disk_ends_no_agent_and_is_told_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full(path: Path, text: str, mode: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    one = Notes(tmp_path / "registry.json", tmp_path / "agent.json")
    with monkeypatch.context() as patch:
        patch.setattr(notes, "write_atomically", full)
        for _ in range(3):
            one.remember(State(), (OTHER,))
            one.tell(ME)
    assert len(caplog.records) == 1
    assert "No space left on device" in caplog.text
    one.remember(State(), (OTHER,))
    one.tell(ME)
    assert json.loads((tmp_path / "agent.json").read_text())["opened"] is True
    assert Notes(tmp_path / "registry.json", tmp_path / "agent.json").remembered()[1][0].node == "n2"


def test_what_is_noted_of_a_server_outlives_the_agent_and_holds_for_no_other_process(tmp_path: Path) -> None:
    told = tmp_path / "agent.json"
    one = Notes(tmp_path / "registry.json", told)
    assert not one.marked("stopping", "17 2000")
    assert one.mark("stopping", "17 2000")
    again = Notes(tmp_path / "registry.json", told)
    assert again.marked("stopping", "17 2000") and not again.marked("answered", "17 2000")
    assert not again.marked("stopping", "17 3000"), "the same pid after a reboot"
    assert again.mark("stopping", "") and not one.marked("stopping", "17 2000")


def test_a_note_that_cannot_be_read_ends_no_agent(tmp_path: Path) -> None:
    (tmp_path / "stopping").mkdir()
    one = Notes(tmp_path / "registry.json", tmp_path / "agent.json")
    assert not one.marked("stopping", "17 2000")
    assert not one.mark("stopping", "17 2000"), "it cannot be written either, and that is told"
