"""The page model, and the headline that the command line shares with it, on made-up registries."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from galerist.model import Claim, NodeRecord, Position, ProxyReport, Server, State, View
from galerist.view.facts import Cluster, Event, read_events
from galerist.view.listing import as_data
from galerist.view.page import Check, Headline, Registry, about, headline, page, recovery, told, waits
from tests.unit.test_show import DOWN, IDENTITY, PROXY, UUID, cluster, report


def said(whole: Cluster, registry: Registry | None = None) -> Headline:
    return headline(as_data(whole), whole.state.paused, registry)


def test_a_healthy_cluster_is_one_calm_sentence() -> None:
    whole = cluster(report("n1"), report("n2"), report("n3"))
    assert said(whole) == Headline("good", "All 3 nodes serve; n2 takes the writes.")


def test_generation_view_and_registry_are_one_line_that_stays_short() -> None:
    whole = cluster(report("n1"))
    unseen = replace(whole, state=replace(whole.state, view=None))
    assert about(unseen, Registry()) == f"generation {len(IDENTITY.generations)} · registry answers"
    view = View(IDENTITY.generations[-1].id, 27, ("n1", "n2"))
    seen = replace(whole, state=replace(whole.state, view=view))
    assert "· view of n1, n2 at seqno 27 · registry silent" in about(seen, Registry(False, "Gone."))
    many = replace(view, members=tuple(f"n{number}" for number in range(100)))
    assert "view of 100 nodes at" in about(replace(seen, state=replace(seen.state, view=many)), Registry())


def test_one_node_down_names_it_and_the_command() -> None:
    whole = cluster(report("n1"), report("n2"), nodes=(NodeRecord("n3", "d", True),))
    found = said(whole)
    assert (found.tone, found.command) == ("busy", "start the agent of n3")
    assert found.sentence == "2 of 3 nodes serve; n2 takes the writes. Not well: n3."
    assert "does not report" in found.detail


def test_a_joiner_is_no_alarm() -> None:
    whole = cluster(report("n1"), report("n2"), report("n3", server=Server.STARTING, role="joiner", opened=False))
    assert said(whole).tone == "busy"
    assert "Not well" not in said(whole).sentence


def stopped(node: str, seqno: int, **fields: object) -> object:
    return report(node, **{**DOWN, "position": Position(UUID, seqno), "role": "waiting", **fields})


def test_a_total_outage_says_who_is_waited_for_and_is_drawn() -> None:
    wait = {"reason": "Total stop: waiting for n3 to report.", "remedy": "start n3, or, if lost: galerist recover"}
    whole = cluster(stopped("n1", 10, **wait), stopped("n2", 12, **wait))  # type: ignore[arg-type]
    found = said(whole)
    assert (found.tone, found.sentence) == ("bad", "No Primary Component: nobody serves.")
    assert "waiting for n3" in found.detail and found.command == wait["remedy"]
    drawn = recovery(whole, as_data(whole))
    assert drawn is not None and drawn["members"] == ["n1", "n2", "n3"]
    assert [(lane["node"], lane["reported"], lane["words"]) for lane in drawn["lanes"]] == [
        ("n1", True, "at seqno 10, 2 behind"),
        ("n2", True, "at seqno 12, the newest"),
        ("n3", False, "has not reported"),
    ]
    assert [one["nodes"] for one in waits(as_data(whole))] == [["n1", "n2"]], "one sentence, said once"


def test_the_claimant_is_marked() -> None:
    whole = cluster(stopped("n1", 10), stopped("n2", 12))  # type: ignore[arg-type]
    claim = Claim("n2", "b", "c", Position(UUID, 12), ("n1", "n2", "n3"))
    drawn = recovery(replace(whole, state=replace(whole.state, claim=claim)), as_data(whole))
    assert drawn is not None and [lane["node"] for lane in drawn["lanes"] if lane["claims"]] == ["n2"]


def test_nothing_is_drawn_while_somebody_is_primary() -> None:
    whole = cluster()
    assert recovery(whole, as_data(whole)) is None


@pytest.mark.parametrize(
    ("whole", "tone", "words"),
    [
        (Cluster("galera", State(), (), (), ()), "bad", "No node reports"),
        (cluster(report("n1", cluster_status="non-Primary")), "bad", "No Primary Component"),
        (Cluster("galera", State(), (report("n1", **DOWN, identity=None),), (), ()), "bad", "First start"),
        (cluster(report("n1"), report("n2", local_state=2, role="donor")), "busy", "2 of 2 nodes serve"),
        (cluster(report("n1", opened=False)), "bad", "No Primary Component: nobody serves"),
        (cluster(proxies=(replace(PROXY, error="port in use"),)), "busy", "proxy p1 is in trouble"),
    ],
)
def test_other_headlines(whole: Cluster, tone: str, words: str) -> None:
    found = said(whole)
    assert found.tone == tone
    assert words in found.sentence


def test_paused_goes_before_what_is_down_and_names_the_way_out() -> None:
    whole = cluster(report("n1"), report("n2", **DOWN))
    found = said(replace(whole, state=replace(whole.state, paused="jo at 1")))
    assert (found.tone, found.command) == ("busy", "galerist resume")
    assert "jo at 1" in found.sentence


def test_a_registry_that_is_down_says_how_old_the_page_is() -> None:
    found = said(cluster(), Registry(False, "no endpoint answered.", 75))
    assert found.tone == "bad" and "75 s old" in found.detail and found.command is not None


def test_the_page_is_data_and_holds_what_the_health_endpoints_say() -> None:
    checks = {"n1": Check(404, "donor", queue=7, flow_control=0.25), "n2": Check(0, "no answer")}
    whole = cluster(proxies=(replace(PROXY, writing=("n2",), serving=("n1", "n2")),))
    shown = page(whole, checks, sparks={"n1": [1.0, None, 3.0]})
    assert json.loads(json.dumps(shown)) == shown
    assert shown["nodes"][0]["check"] == {"code": 404, "reason": "donor", "queue": 7, "flow_control": 0.25}
    assert shown["nodes"][0]["spark"] == [1.0, None, 3.0]
    assert shown["proxies"][0]["writing"] == ["n2"]


def test_a_hundred_nodes_are_no_more_work_than_they_look() -> None:
    import time

    many = tuple(report(f"n{number:03}", reason=f"Synced, {number}.") for number in range(100))
    proxies = tuple(ProxyReport(f"p{number}", "h", "i", 1, 2, 3, 4) for number in range(5))
    whole = Cluster("galera", State(IDENTITY), many, (), proxies)
    began = time.process_time()
    for _ in range(10):
        page(whole)
    assert (time.process_time() - began) / 10 < 0.1


class Made(dict[str, str]):
    def list(self, prefix: str) -> dict[str, str]:
        return {key: value for key, value in self.items() if key.startswith(prefix)}


def test_the_history_is_shown_newest_first_and_nothing_of_it_is_hidden() -> None:
    keys = "/galerist/galera/history/"
    made = Made({
        keys + "1": json.dumps({"time": "1", "node": "n1", "action": "join", "sentence": "Joining.", "evidence": ["e"]}),
        keys + "2": json.dumps({"sentence": "half"}),
        keys + "3": "not json",
    })  # fmt: skip
    events = read_events(made, "galera")  # type: ignore[arg-type]
    assert events == (
        Event("1", "n1", "join", "Joining.", ("e",)),
        Event("", "", "", "half"),
        Event("", "", "unreadable", "not json"),
    )
    assert [one["sentence"] for one in told(events)] == ["not json", "half", "Joining."]
