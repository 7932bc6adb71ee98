"""What is shown while a local cluster comes up, and when it counts as up."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from galerist.local import progress, watch
from galerist.local.layout import Layout
from galerist.local.plan import Plan, names, wanted_ports
from galerist.local.progress import Row, Snapshot, init_row, lines, node_row, snapshot
from galerist.model import Data, Endpoint, ProxyReport, Report, Server, dump

PLAN = Plan("galera", names(2), wanted_ports(names(2)))
SYNCED = Report(
    node="n1",
    boot="b",
    endpoint=Endpoint("127.0.0.1", "127.0.0.1", 1, 2, 3),
    server=Server.UP,
    data=Data.PRESENT,
    disk="d",
    cluster_status="Primary",
    local_state=4,
    opened=True,
    reason="serves",
)
WAITING = replace(SYNCED, node="n2", server=Server.DOWN, reason="waits for n3", remedy="start n3")
PROXY = ProxyReport("local", "127.0.0.1", "127.0.0.1", 1, 2, 3, 4)


def registry(*reports: Report, proxy: ProxyReport | None = PROXY, init: object = None) -> dict[str, str]:
    values = {f"/galerist/galera/members/{report.node}": dump(report) for report in reports}
    if proxy:
        values["/galerist/galera/proxies/local"] = dump(proxy)
    if init:
        values["/galerist/galera/init"] = json.dumps(init)
    return values


def test_a_node_is_good_when_it_is_synced_and_open() -> None:
    assert node_row("n1", SYNCED, {}) == Row("n1", "Synced", "serves", None, True)
    assert node_row("n1", replace(SYNCED, opened=False), {}).state == "Synced, closed"
    assert not node_row("n1", replace(SYNCED, opened=False), {}).good
    donor = node_row("n1", replace(SYNCED, local_state=2, progress="40 %"), {})
    assert (donor.state, donor.reason, donor.good) == ("Donor/Desynced", "serves (40 %)", False)
    assert node_row("n1", replace(SYNCED, cluster_status="non-Primary"), {}).state == "non-Primary"


def test_a_node_that_waits_says_why_and_what_ends_it() -> None:
    assert node_row("n2", WAITING, {}) == Row("n2", "down", "waits for n3", "start n3", False)


def test_a_node_without_a_report_is_told_by_its_process() -> None:
    assert node_row("n1", None, {}).state == "starting"
    row = node_row("n1", None, {"quick": 2, "exit": 78, "restarts": 2})
    assert (row.state, row.reason) == ("restarting", "it ended with status 78, restarts so far: 2")


def test_the_report_of_a_process_that_is_gone_does_not_count() -> None:
    report = replace(SYNCED, agent_pid=7)
    assert node_row("n1", report, {"pid": 7}).good
    assert node_row("n1", report, {"pid": 8}).state == "starting"
    assert node_row("n1", report, {"pid": None}).state == "starting"
    reports = (report, replace(SYNCED, node="n2"))
    known = registry(*reports, proxy=replace(PROXY, watcher_pid=9))
    assert snapshot(PLAN, known, {"n1": {"pid": 7}, "proxy": {"pid": 9}}, "").good
    assert not snapshot(PLAN, known, {"n1": {"pid": 7}, "proxy": {"pid": 10}}, "").good


def test_everything_is_good_only_with_a_statement_through_the_proxy() -> None:
    known = registry(SYNCED, replace(SYNCED, node="n2"))
    assert not snapshot(PLAN, known, {}, None).good
    assert not snapshot(PLAN, known, {}, "no statement gets through").good
    assert snapshot(PLAN, known, {}, "").good


@pytest.mark.parametrize(
    "known",
    [
        registry(SYNCED),
        registry(SYNCED, WAITING),
        registry(SYNCED, replace(SYNCED, node="n2"), proxy=None),
        registry(SYNCED, replace(SYNCED, node="n2"), proxy=replace(PROXY, error="haproxy -c failed")),
        "no endpoint answered",
        {"/galerist/galera/members/n1": "{damaged"},
    ],
)
def test_anything_less_is_not_good(known: dict[str, str] | str) -> None:
    assert not snapshot(PLAN, known, {}, "").good


def test_a_silent_registry_is_shown() -> None:
    now = snapshot(PLAN, "no endpoint answered", {}, None)
    assert now.rows[0] == Row("registry", "waiting", "no endpoint answered")


def test_the_initialisation_counts_when_it_was_asked_for() -> None:
    plan = replace(PLAN, init_sql=("/a.sql",))
    reports = (SYNCED, replace(SYNCED, node="n2"))
    assert not snapshot(plan, registry(*reports), {}, "").good
    assert snapshot(plan, registry(*reports, init={"status": "done", "by": "n1"}), {}, "").good
    failed = snapshot(plan, registry(*reports, init={"status": "failed", "error": "line 3"}), {}, "")
    assert failed.hopeless == "the database initialisation has failed: line 3"
    running = init_row(json.dumps({"status": "running", "by": "n1", "percent": 41.6}))
    assert running.reason == "n1 loads it, 42 %"
    assert init_row("[1]").state == "unknown"


def test_a_child_that_refuses_its_settings_makes_waiting_hopeless() -> None:
    once = snapshot(PLAN, {}, {"n1": {"quick": 1, "exit": 78}}, None)
    again = snapshot(PLAN, {}, {"n1": {"quick": 2, "exit": 78}}, None)
    crash = snapshot(PLAN, {}, {"n1": {"quick": 9, "exit": 1}}, None)
    assert once.hopeless is None and crash.hopeless is None
    assert again.hopeless == "n1 refuses to run (exit status 78, wrong settings)"


def test_lines_tell_only_news() -> None:
    before = snapshot(PLAN, registry(SYNCED, replace(WAITING, reason="waits, position 17")), {}, None)
    same = snapshot(PLAN, registry(SYNCED, replace(WAITING, reason="waits, position 18")), {}, None)
    assert len(list(lines(None, before))) == 3
    assert list(lines(before, same)) == []
    changed = snapshot(PLAN, registry(SYNCED, replace(SYNCED, node="n2")), {}, None)
    assert list(lines(before, changed)) == ["n2       Synced         serves"]


def test_the_table_shows_texts_as_they_are() -> None:
    console = Console(width=100, record=True, file=Path("/dev/null").open("w"))  # noqa: SIM115
    console.print(progress.table(PLAN, Snapshot((Row("n1", "down", "waits for [n2]", "galerist forget n2"),))))
    shown = console.export_text()
    assert "waits for [n2]" in shown
    assert "to end it: galerist forget n2" in shown


class Looks(watch.Look):
    """A look that has its answers ready."""

    def __init__(self, *answers: Snapshot) -> None:
        self.answers = list(answers)

    def now(self) -> Snapshot:
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]


BAD = Snapshot((Row("n2", "down", "waits for n3"),))
GOOD = Snapshot((Row("n2", "Synced", "serves", good=True),))


def wait(look: watch.Look, running: bool = True, timeout: float = 5.0) -> tuple[bool, str]:
    return watch.wait(look, lambda: running, lambda now: None, timeout, pause=0.01)


def test_waiting_ends_when_all_is_good() -> None:
    assert wait(Looks(BAD, BAD, GOOD)) == (True, "")


def test_waiting_ends_with_the_reason() -> None:
    assert wait(Looks(BAD), timeout=0.05) == (False, "not ready after 0 s; n2 is down: waits for n3")
    assert wait(Looks(BAD), running=False) == (False, "the supervisor has ended")
    assert wait(Looks(replace(BAD, hopeless="no use"))) == (False, "no use")


def test_how_to_connect_names_the_ports_and_no_password() -> None:
    text = "\n".join(progress.how_to_connect(PLAN, Layout(Path("/data/c"))))
    assert "127.0.0.1:13306" in text and "mariadb --defaults-file=/data/c/client.cnf" in text
    assert "galerist down --dir /data/c" in text
