"""Logs merged by time, and where `galerist sql` leads."""

from __future__ import annotations

import datetime
import time
from dataclasses import replace
from pathlib import Path

import pytest

from galerist.cli.client import Nowhere, place
from galerist.cli.journal import logs_of_files, merged, parse
from galerist.view.listing import as_data
from tests.unit.test_show import DOWN, PROXY, cluster, report

AGENT = ["2026-11-21T05:00:01Z INFO n1: one", "a second line", "2026-11-21T05:00:03Z WARNING n1: three"]
JSON = ['{"time": "2026-11-21T05:00:02Z", "level": "info", "message": "two"}']


def test_lines_of_several_logs_are_in_the_order_of_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "Etc/GMT-2")
    time.tzset()
    try:
        server = ["no time yet", "2026-11-21  7:00:02 12 [Warning] of the server, in local time"]
        found = merged([parse("n1", AGENT), parse("n2", JSON), parse("n1 mariadbd", server)], 0)
    finally:
        monkeypatch.undo()
        time.tzset()
    assert [line.who for line in found] == ["n1", "n2", "n1 mariadbd", "n1"]
    assert found[0].text == "2026-11-21T05:00:01Z INFO n1: one\na second line"
    assert [line.text[-5:] for line in merged([parse("n1", AGENT)], 1)] == ["three"]
    (far,) = parse("n2 mariadbd", server[1:], datetime.timezone(datetime.timedelta(hours=7)))
    assert far.time == found[2].time - 5 * 3600


def test_a_log_that_cannot_be_read_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "n1.log").write_text("\n".join(AGENT))
    assert logs_of_files((("n1", tmp_path / "n1.log"), ("n2", tmp_path / "n2.log")), 10) == 0
    out, err = capsys.readouterr()
    assert out.startswith("2026-11-21T05:00:01Z INFO n1: one") and "n2.log: No such file" in err
    assert logs_of_files((("n2", tmp_path / "n2.log"),), 10) == 1


def test_sql_is_led_to_the_right_place() -> None:
    whole = as_data(cluster(report("n1"), report("n2"), proxies=(PROXY,)))
    assert place(whole, "write", None) == ("lb1", 3306)
    assert place(whole, "read", None) == ("lb1", 3307)
    assert place(whole, "write", "n1") == ("db-n1", 3306)
    bare = as_data(cluster(report("n1"), report("n2")))
    assert place(bare, "write", None) == ("db-n2", 3306)
    assert place(bare, "read", None) == ("db-n1", 3306)
    with pytest.raises(Nowhere, match="known: n1, n2"):
        place(bare, "write", "n9")
    with pytest.raises(Nowhere, match="nobody|no node serves"):
        place(as_data(cluster(replace(report("n1"), **DOWN))), "write", None)  # type: ignore[arg-type]
