"""The figures of agents and watchers: what they say, and one naming scheme for all parts."""

from __future__ import annotations

import re
import socket
import urllib.request
from dataclasses import replace

import yaml

from bootstrap.decisions import Decision, Refuse, Serve, Wait
from bootstrap.facts import Expect, Facts
from bootstrap.metrics import Counts, Meter, figures
from galerist.metrics import Figure, families, serve
from galerist.model import NodeRecord
from haproxy import metrics as proxy
from haproxy.figures import Figures
from tests.monitoring.record import RULES
from tests.unit.test_show import DOWN, cluster, report

FACTS = Facts(
    "galera", report("n1"), Expect(3), "f", True, cluster().state, (report("n2"),), (NodeRecord("n1", "d", True),)
)


def values(*made: Figure) -> dict[str, float]:
    return {figure.name.removeprefix("galerist_"): float(figure.value) for figure in made}


def of(facts: Facts, decision: Decision) -> dict[str, float]:
    return values(*figures(facts, decision, Counts(3, 2, 90.0, 50.0), 100.0))


def test_an_agent_that_serves() -> None:
    said = of(FACTS, Decision(Serve(), "Synced.", role="member"))
    assert (said["agent_pass_age_seconds"], said["agent_decision_age_seconds"], said["agent_passes"]) == (10, 50, 3)
    assert [said[f"agent_server_{what}"] for what in ("up", "primary", "synced", "open")] == [1, 1, 1, 1]
    assert (said["agent_waiting"], said["agent_refused"], said["agent_registry_answers"], said["agent_seqno"]) == (
        0,
        0,
        1,
        12,
    )
    assert (said["agent_cluster_generation"], said["agent_cluster_members"], said["agent_cluster_reporting"]) == (
        2,
        3,
        2,
    )


def test_waiting_is_with_a_remedy_refusing_is_for_a_person() -> None:
    down = replace(FACTS, me=report("n1", **DOWN))
    assert of(down, Decision(Wait(), "Total stop.", remedy="start n3"))["agent_waiting"] == 1
    assert of(down, Decision(Wait(), "Joining."))["agent_waiting"] == 0
    assert of(down, Decision(Wait(), "Paused.", remedy="galerist resume", role="paused"))["agent_waiting"] == 0
    assert of(down, Decision(Refuse(), "Quarantined."))["agent_refused"] == 1


def test_what_only_the_registry_knows_is_left_out_while_it_is_silent() -> None:
    said = of(replace(FACTS, answered=False), Decision(Serve(), "Serves on."))
    assert said["agent_registry_answers"] == 0
    assert not any(name.startswith("agent_cluster") for name in said)


def test_a_meter_counts_passes_and_changes() -> None:
    now = [5.0]
    meter = Meter(lambda: now[0])
    assert values(*meter.figures())["agent_passes"] == 0
    for second, words in ((6.0, "one"), (7.0, "one"), (8.0, "two")):
        now[0] = second
        meter.passed(FACTS, Decision(Serve(), words))
    now[0] = 10.0
    said = values(*meter.figures())
    assert (said["agent_passes"], said["agent_decisions"]) == (3, 2)
    assert (said["agent_pass_age_seconds"], said["agent_decision_age_seconds"]) == (2, 2)


WATCHER = Figures(
    "galera", "p1", written=100.0, started=1.0, model_from=80.0, registry=True, servers=("n1", "n2", "n3"),
    writer="n2", writing=("n2",), drained=(), workers=2, overlaps=1, overlap_longest=0.1, reloads=2, ended=4, error=None,
)  # fmt: skip


def test_a_watcher() -> None:
    said = values(*proxy.figures(replace(WATCHER, registry=False, error="x"), 105.0))
    assert said["proxy_registry_answers"] == 0 and said["proxy_servers"] == 3 and said["proxy_reloads"] == 2
    assert said["proxy_has_writer"] == 1 and said["proxy_error"] == 1 and said["proxy_workers"] == 2
    assert (said["proxy_report_age_seconds"], said["proxy_model_age_seconds"]) == (5, 25)
    nobody = values(*proxy.figures(replace(WATCHER, writer="", writing=("n1",)), 105.0))
    assert nobody["proxy_has_writer"] == 0 and "proxy_writer" not in nobody, "sessions that are left are no writer"
    assert values(*proxy.figures(None, 105.0)) == {}


def test_they_are_served_and_a_port_that_is_taken_stops_nobody() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        taken.listen()
        serve("127.0.0.1", port, lambda: ())()
    end = serve("127.0.0.1", port, lambda: [Figure("galerist_agent_role", "Help.", 1, (("role", "member"),))])
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
            assert 'galerist_agent_role{role="member"} 1.0' in answer.read().decode()
    finally:
        end()


def all_figures() -> list[Figure]:
    agent = figures(FACTS, Decision(Serve(), "Synced."), Counts(), 0.0)
    return [*agent, *proxy.figures(WATCHER, 100.0)]


def test_one_naming_scheme() -> None:
    for figure in all_figures():
        assert re.fullmatch(r"galerist_(agent|proxy)(_[a-z]+)+", figure.name), figure.name
        assert figure.help.endswith(".") and not figure.name.endswith("_total")
    made = {family.name: family.type for family in families(all_figures())}
    assert made["galerist_agent_passes"] == "counter" and made["galerist_agent_waiting"] == "gauge"


def test_the_rules_and_the_dashboard_speak_of_figures_that_there_are() -> None:
    from clustercheck.metrics import collect
    from clustercheck.poller import Counts as Polls
    from clustercheck.verdict import Facts as Said
    from clustercheck.verdict import Policy, Probe, Status

    known = {figure.name for figure in all_figures()} | {f"{figure.name}_total" for figure in all_figures()}
    from clustercheck import metrics as check

    figures_of_wsrep = {name: 1.0 for name in (*check._GAUGES, *check._COUNTERS)}
    status = Status(Said(flow_control=0.5), 0.1, probe=Probe("late", took=1, pending=1), figures=figures_of_wsrep)
    for family in collect(status, Policy(), Polls()):
        known |= {sample.name for sample in family.samples}
    grafana = (RULES.parent / "grafana.json").read_text()
    named = set(re.findall(r"\b(?:galerist|wsrep|mariadb)_\w+", RULES.read_text() + grafana))
    assert sorted(named - known) == []
    assert len(yaml.safe_load(RULES.read_text())["groups"]) == 1
