"""A short round of faults on the real parts; `make faults` runs as many as one likes."""

from __future__ import annotations

import collections
import json
import os
from pathlib import Path

import pytest

from tests.faults.__main__ import main
from tests.faults.network import require
from tests.simulation.replay import Replay, refusals


@pytest.mark.timeout(300)
def test_a_short_round_of_faults_violates_no_promise(capfd: pytest.CaptureFixture[str]) -> None:
    require()  # says what is missing, when network namespaces cannot be made here
    # The majority goes on without the registry, and the minority, which keeps it, must not form. The seed cuts for 13.7 s:
    # the two of the majority may suspect the third one after the other, each after 5 s.
    code = main(["--seed", "27", "--rounds", "1", "--sst", "rsync", "--kind", "cut-majority"])
    said = capfd.readouterr().out
    assert code == 0, said
    assert said.splitlines()[-1] == "1 rounds, 0 violations"
    replayed(Path(said.splitlines()[0].rpartition(" in ")[2]) / "round-0.events")


def replayed(events: Path) -> None:
    """The model accepts the round, and not one in which the minority was Primary as well."""
    with events.open() as file:
        lines = [json.loads(line) for line in file]
    kinds = collections.Counter(line["what"] for line in lines)
    assert kinds["decided"] > 30 and kinds["swapped"] > 5 and kinds["view"] >= 6 and kinds["span"] > 6, kinds
    assert refusals(events) == []
    views = [line for line in lines if line["what"] == "view" and line["primary"]]
    whole = next(line for line in views if len(line["members"]) == 3)
    later = [line for line in lines if line["what"] == "view" and line["seqno"] > whole["seqno"]]
    (alone,) = {line["node"] for line in later if not line["primary"]}
    late = max(line["seqno"] for line in views if line["generation"] == whole["generation"])
    lie = {**whole, "node": alone, "run": "x", "members": [alone], "seqno": late + 1}
    assert list(Replay([*lines, lie]).refusals())


def test_without_root_it_says_what_it_needs(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert main(["--rounds", "1"]) == 1
    assert capfd.readouterr().err.startswith("faults: the fault runs need root")
