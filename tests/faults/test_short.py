"""A short round of faults on the real parts; `make faults` runs as many as one likes."""

from __future__ import annotations

import os

import pytest

from tests.faults.__main__ import main
from tests.faults.network import require


@pytest.mark.timeout(300)
def test_a_short_round_of_faults_violates_no_promise(capfd: pytest.CaptureFixture[str]) -> None:
    require()  # says what is missing, when network namespaces cannot be made here
    # the majority goes on without the registry, and the minority, which keeps it, must not form
    code = main(["--seed", "2", "--rounds", "1", "--sst", "rsync", "--kind", "cut-majority"])
    said = capfd.readouterr().out
    assert code == 0, said
    assert said.splitlines()[-1] == "1 rounds, 0 violations"


def test_without_root_it_says_what_it_needs(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert main(["--rounds", "1"]) == 1
    assert capfd.readouterr().err.startswith("faults: the fault runs need root")
