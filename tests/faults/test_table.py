"""What a run of faults leaves is what its tables say, also when it was ended before it could print them."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.faults.kinds import single
from tests.faults.rounds import Result
from tests.faults.table import main, read

NODES, ETCDS = ("n1", "n2", "n3"), ("e1", "e2", "e3")


def rounds(folder: Path, *memory: int) -> None:
    for number, rss in enumerate(memory):
        result = Result(7, number, single("shatter", 7, number, NODES, ETCDS), writes=1.0 + number, full=2.0)
        result.notes["sizes"] = {"n1": {"pid": 5, "rss": rss, "threads": 2, "files": 13}}
        (folder / f"round-{number}.json").write_text(result.as_json())


def test_rounds_are_read_back(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rounds(tmp_path, 40000, 41000, 42000)
    assert [result.kinds for result in read(tmp_path)] == [("shatter",)] * 3
    assert main([str(tmp_path)]) == 0
    said = capsys.readouterr().out
    assert "shatter                   3          0      3.0            2.0" in said
    assert "40000 > 42000" in said and said.endswith("3 rounds, 0 violations\n")


def test_growth_is_a_violation(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rounds(tmp_path, 40000, 60000)
    assert main([str(tmp_path)]) == 1
    assert "leak: rss of n1 went from 40000 to 60000 in 2 rounds" in capsys.readouterr().out
