"""The page in a real Chromium on a real cluster: it follows what happens without reload, acts, and is accessible."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import pytest

from galerist.model import NodeRecord
from galerist.view.facts import Event
from tests.dashboard.browser import Browser, browser
from tests.dashboard.made import Still, served
from tests.support.cluster import Cluster
from tests.unit.test_show import cluster as made_up
from tests.unit.test_show import report

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with browser() as made:
        yield made


@pytest.fixture(scope="module")
def three() -> Iterator[Cluster]:
    """Three nodes with proxy and page; each test leaves them serving."""
    with Cluster(settings={"ttl": 3}) as cluster:
        cluster.up(proxy=True)
        cluster.start("dashboard")
        cluster.until(lambda: _listens(cluster), "the page is there")
        yield cluster


def _listens(cluster: Cluster) -> bool:
    from galerist.local import ports

    return ports.answers(cluster.plan.port("dashboard_port"))


def url(cluster: Cluster) -> str:
    return f"http://127.0.0.1:{cluster.plan.port('dashboard_port')}/"


def test_it_loads_in_a_second_and_says_that_all_is_well(three: Cluster, chromium: Browser) -> None:
    taken = []
    for _ in range(3):
        chromium.open(url(three))
        chromium.until(lambda: "All 3 nodes serve" in chromium.text("headline"), "the headline")
        taken.append(chromium.run("return performance.getEntriesByType('navigation')[0].loadEventEnd"))
    assert min(taken) < 1000, f"ms: {taken}"
    chromium.until(lambda: chromium.text("link-words") == "live", "the stream")
    assert len(chromium.texts(".card")) == 3
    assert sum("writer" in text for text in chromium.texts(".card")) == 1
    assert chromium.both_looks("healthy") == []
    assert chromium.complaints() == []


def test_it_follows_a_kill_and_the_recovery_without_a_reload(three: Cluster, chromium: Browser) -> None:
    chromium.open(url(three))
    chromium.run("window.mark = 'not reloaded'")
    three.kill("n3")
    server = three.server_pid("n3")
    assert server is not None
    os.kill(server, signal.SIGKILL)
    chromium.until(lambda: "silent" in chromium.card("n3"), "the page to say that n3 is silent")
    chromium.until(lambda: "2 of 3 nodes serve" in chromium.text("headline"), "the headline to say it")
    assert chromium.text("command-text") == "start the agent of n3"
    assert chromium.both_looks("one-down") == []
    three.start("n3")
    three.serving()
    chromium.until(lambda: "All 3 nodes serve" in chromium.text("headline"), "the headline to calm down")
    assert chromium.run("return window.mark") == "not reloaded"
    assert chromium.complaints() == []


def test_a_switchover_is_done_after_signing_in_and_saying_what_it_does(three: Cluster, chromium: Browser) -> None:
    chromium.open(url(three))
    chromium.until(lambda: "All 3 nodes serve" in chromium.text("headline"), "the headline")
    assert chromium.texts(".card button") == []
    chromium.click("#door")
    chromium.type("#password", "wrong")
    chromium.click("#enter [type=submit]")
    chromium.until(lambda: "not the password" in chromium.text("enter-error"), "the refusal")
    chromium.complaints()  # a browser notes each answer that is not 200
    chromium.run("document.getElementById('password').value = ''")
    chromium.type("#password", three.layout.secret("dashboard").read_text().strip())
    chromium.click("#enter [type=submit]")
    chromium.until(lambda: "Sign out" in chromium.text("door"), "to be let in")
    writer = three.data()["writer"]
    (to,) = [node for node in three.nodes if node not in (writer, "n3")][:1]
    chromium.click(f"[aria-label='Make it the writer: {to}']")
    chromium.until(
        lambda: f"{to} becomes the writer in place of {writer}." in chromium.text("ask-says"), "what it does"
    )
    assert chromium.accessibility() == []
    chromium.shot("switchover")
    assert three.data()["writer"] == writer, "nothing is done before it is confirmed"
    chromium.click("#ask-go")
    chromium.until(lambda: f"{to} takes the writes" in chromium.text("headline"), "the page to say it")
    three.until(lambda: three.through_proxy("SELECT @@wsrep_node_name") == ((to,),), f"the proxy to lead to {to}")
    chromium.until(lambda: any("A person ordered: switchover" in line for line in chromium.texts("#log li")), "the log")
    assert chromium.complaints() == []


def test_a_total_outage_half_recovered_is_drawn(three: Cluster, chromium: Browser) -> None:
    chromium.open(url(three))
    chromium.run("window.mark = 'not reloaded'")
    for node in three.nodes:
        three.kill(node)
    for pid in three.server_pids().values():
        os.kill(pid, signal.SIGKILL)
    three.start("n1", "n2")
    three.says("n1", "waiting for n3")
    three.says("n2", "waiting for n3")
    chromium.until(lambda: "nobody serves" in chromium.text("headline"), "the headline")
    chromium.until(lambda: any("has not reported" in lane for lane in chromium.texts(".lane")), "the drawing")
    chromium.until(lambda: "waiting for n3" in chromium.text("detail"), "the reason")
    assert "galerist recover" in chromium.text("command-text")
    assert chromium.both_looks("outage") == []
    three.start("n3")
    three.serving()
    chromium.until(lambda: "All 3 nodes serve" in chromium.text("headline"), "the headline to calm down")
    assert chromium.run("return [window.mark, document.getElementById('recovery').hidden]") == ["not reloaded", True]
    assert chromium.complaints() == []


def test_a_registry_that_is_gone_is_said_and_the_page_stays(three: Cluster, chromium: Browser) -> None:
    chromium.open(url(three))
    three.signal("etcd", signal.SIGSTOP)
    try:
        chromium.until(lambda: "registry does not answer" in chromium.text("headline"), "the headline")
        assert len(chromium.texts(".card")) == 3, "what was known last is still shown"
        assert "start etcd" in chromium.text("command-text")
        assert chromium.both_looks("no-registry") == []
    finally:
        three.signal("etcd", signal.SIGCONT)
    chromium.until(lambda: "All 3 nodes serve" in chromium.text("headline"), "the headline to calm down")


def test_a_hundred_nodes_and_a_thousand_events_are_drawn_without_getting_slow(chromium: Browser) -> None:
    still = Still()
    names = [f"n{number:03}" for number in range(100)]
    events = tuple(
        Event(f"2026-01-01T00:{at // 60 % 60:02}:{at % 60:02}.{at:06}Z", names[at % 100], "join", f"Event number {at}.")
        for at in range(1000)
    )
    gone = tuple(NodeRecord(name, "d", True) for name in names[95:])

    def many(reason: str) -> None:
        reports = tuple(report(name, reason=f"{reason} {name}", opened=True) for name in names[:95])
        still.show(made_up(*reports, nodes=gone), events, sparks={name: [1.0, 5.0, 2.0] * 20 for name in names})

    many("first")
    with served(still) as address:
        chromium.open(address)
        chromium.until(lambda: chromium.text("link-words") == "live", "the stream")
        assert len(chromium.texts(".card")) == 100
        assert chromium.run("return document.querySelectorAll('#log li').length") == 1000
        chromium.run(
            "window.slow = []; new PerformanceObserver((list) => window.slow.push(...list.getEntries()"
            ".map((one) => one.duration))).observe({type: 'longtask'})"
        )
        for turn in range(10):
            many(f"turn {turn}")
            chromium.until(lambda turn=turn: f"turn {turn} n000" in chromium.card("n000"), "the change")
        slow = chromium.run("return window.slow")
        assert sum(slow) < 10 * 500, f"ten changes of everything blocked the page for {slow} ms"
        assert chromium.accessibility("#nodes > :first-child") == [], "one for all: they are made by the same few lines"
        chromium.look(1280)
        chromium.shot("hundred")
    assert chromium.complaints() == []
