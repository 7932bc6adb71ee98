"""What `galerist doctor` makes of what it measures."""

from __future__ import annotations

from dataclasses import replace

import pytest

from galerist.cli import findings as judge
from galerist.cli.findings import GIB, Finding, Level
from galerist.model import Restart, View
from tests.unit.test_show import DOWN, PROXY, cluster, report


def test_what_is_wrong_has_a_remedy_and_what_is_fine_has_none() -> None:
    made = [
        judge.version("a", "mariadbd", "mariadbd  Ver 10.6.1-MariaDB", (10, 11)),
        judge.version("a", "mariadbd", "nothing", (10, 11)),
        judge.version("a", "mariadbd", "mariadbd  Ver 10.11.6-MariaDB", (10, 11)),
        judge.version("a", "mariadbd", "mariadbd  Ver 11.4.2-MariaDB", (10, 11)),
        judge.space("a", "/d", GIB // 2, 100 * GIB, 1.0),
        judge.space("a", "/d", 10 * GIB, 100 * GIB, 1.0),
        judge.space("a", "/d", 50 * GIB, 100 * GIB, 0.01),
        judge.space("a", "/d", 50 * GIB, 100 * GIB, 1.0),
        judge.files("a", "it", 1024), judge.files("a", "it", 8192), judge.files("a", "it", 65536),
        judge.name("a", "db1", None, True), judge.name("a", "db1", ("127.0.1.1",), True),
        judge.name("a", "db1", ("10.0.0.1",), True), judge.name("a", "127.0.0.1", ("127.0.0.1",), True),
        judge.clock("a", "n2", 60), judge.clock("a", "n2", -0.4),
        judge.registry("a", "r:2379", "refused"), judge.registry("a", "r:2379", 2.0), judge.registry("a", "r:2379", 0.01),
    ]  # fmt: skip
    levels = [one.level.value for one in made]
    assert levels == [
        "bad", "warn", "ok", "ok", "bad", "warn", "bad", "ok", "bad", "warn", "ok",
        "bad", "warn", "ok", "ok", "warn", "ok", "bad", "warn", "ok",
    ]  # fmt: skip
    assert [one for one in made if (one.level is Level.OK) != (one.remedy == "")] == []


@pytest.mark.parametrize(
    ("variables", "level"),
    [
        ({}, Level.OK),
        ({"innodb_flush_log_at_trx_commit": "2"}, Level.BAD),
        ({"innodb_doublewrite": "OFF"}, Level.BAD),
        ({"innodb_flush_method": "nosync"}, Level.BAD),
        ({"log_bin": "ON", "sync_binlog": "0"}, Level.WARN),
        ({"log_bin": "OFF", "sync_binlog": "0"}, Level.OK),
        ({"wsrep_provider_options": "a=1; pc.ignore_sb = true; b=2"}, Level.BAD),
        ({"wsrep_provider_options": "pc.ignore_sb = false; pc.ignore_quorum = false"}, Level.OK),
    ],
)
def test_settings_that_lose_commits(variables: dict[str, str], level: Level) -> None:
    assert [one.level for one in judge.durability("n1", variables)] == [level]


def test_endpoints_of_the_registry() -> None:
    assert [len(judge.endpoints("a", count)) for count in (1, 2, 3, 4, 5)] == [1, 1, 0, 1, 0]


def found(*reports: object, **fields: object) -> list[Finding]:
    return list(judge.cluster(cluster(*reports, **fields)))  # type: ignore[arg-type]


def test_a_healthy_cluster_has_nothing_to_mend() -> None:
    assert {one.level for one in found(report("n1"), report("n2"), report("n3"), proxies=(PROXY,))} == {Level.OK}


def test_what_a_cluster_may_lack_is_found() -> None:
    down = found(report("n1"), report("n2"), report("n3", **DOWN, remedy="start it"), proxies=(PROXY,))
    assert [(one.level, one.remedy) for one in down if "n3 is stopped" in one.what] == [(Level.BAD, "start it")]
    mixed = found(report("n1"), report("n2", version="11.4"), proxies=(replace(PROXY, error="port in use"),))
    assert any("2 versions" in one.what for one in mixed)
    assert any(one.level is Level.BAD and "port in use" in one.what for one in mixed)
    whole = cluster(report("n1"), report("n2"))
    even = replace(
        whole,
        state=replace(whole.state, view=View("g2", 9, ("n1", "n2")), drained=("n2",), restart=Restart(("n1",), "jo")),
    )
    words = " ".join(one.what for one in judge.cluster(even))
    for part in ("halves", "drained: n2", "restart is unfinished", "no proxy reports"):
        assert part in words
