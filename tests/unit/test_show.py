"""What `galerist list` and `galerist explain` say, on made-up registries."""

from __future__ import annotations

import io
import json
from dataclasses import replace

import pytest
from rich.console import Console

from galerist.cli import show
from galerist.model import (
    Data,
    Endpoint,
    Generation,
    Identity,
    NodeRecord,
    Position,
    ProxyReport,
    Report,
    Server,
    State,
    View,
    dump,
)
from galerist.registry.contract import Registry
from galerist.registry.keys import Keys
from galerist.view.facts import Cluster, read
from galerist.view.listing import as_data, node_state, status, writer

UUID = "4485d2b9-e555-11f1-a9cd-cfe96997c399"
IDENTITY = Identity(UUID, (Generation("g1", 0, "n1", "galera-g1"), Generation("g2", 9, "n2", "galera-g2")))
PROXY = ProxyReport("p1", "lb1", "10.0.0.9", 3306, 3307, 3308, 8404, (71, 72), 70)


def report(node: str, **fields: object) -> Report:
    base = Report(
        node=node, boot="b", endpoint=Endpoint(f"db-{node}", "10.0.0.1", 3306, 4567, 9200), server=Server.UP,
        data=Data.PRESENT, disk="d", position=Position(UUID, 12), live=True, cluster_status="Primary", local_state=4,
        opened=True, uuid=UUID, identity=IDENTITY, server_pid=11, agent_pid=10, role="member", reason="Synced.",
        evidence=("seen",), version="10.11",
    )  # fmt: skip
    return replace(base, **fields)  # type: ignore[arg-type]


def cluster(*reports: Report, **fields: object) -> Cluster:
    state = State(IDENTITY, View("g2", 10, ("n1", "n2", "n3")), None, ("n2", "n1"))
    base = Cluster("galera", state, reports or (report("n1"), report("n2")), (), ())
    return replace(base, **fields)  # type: ignore[arg-type]


DOWN = {"server": Server.DOWN, "cluster_status": "Disconnected", "local_state": 0, "opened": False}


def test_a_healthy_cluster() -> None:
    data = as_data(cluster(proxies=(PROXY,)))
    assert (data["cluster"], data["uuid"], data["generation"], data["generation_id"]) == ("galera", UUID, 2, "g2")
    assert (data["status"], data["writer"]) == ("Primary", "n2")
    assert [(one["name"], one["state"], one["role"]) for one in data["members"]] == [
        ("n1", "synced", "member"),
        ("n2", "synced", "writer"),
    ]
    assert data["members"][0]["seqno"] == 12
    assert data["proxy"] == data["proxies"][0]
    assert data["proxy"]["worker_pids"] == [71, 72]


def test_it_can_be_written_as_json() -> None:
    data = as_data(cluster(report("n1"), report("n2", position=None), nodes=(NodeRecord("n3", "d", True),)))
    assert json.loads(json.dumps(data)) == data


@pytest.mark.parametrize(
    ("reports", "expected"),
    [
        ((report("n1"), report("n2", **DOWN)), "Primary"),
        ((report("n1", identity=None),), "Primary, not recorded yet"),
        ((report("n1", identity=Identity(UUID, IDENTITY.generations[:1])),), "Primary, not recorded yet"),
        ((report("n1", cluster_status="non-Primary"),), "non-Primary"),
        ((report("n1", **{**DOWN, "server": Server.STARTING}), report("n2", **DOWN)), "starting"),
        ((report("n1", **DOWN),), "stopped"),
    ],
)
def test_the_status_of_a_cluster(reports: tuple[Report, ...], expected: str) -> None:
    assert status(cluster(*reports)) == expected


def test_a_cluster_that_nobody_reports_of() -> None:
    data = as_data(Cluster("galera", State(), (), (), ()))
    assert (data["status"], data["uuid"], data["generation"], data["writer"]) == ("nobody reports", None, 0, None)
    assert (data["members"], data["proxy"], data["proxies"]) == ([], None, [])


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, "synced"),
        ({"local_state": 2}, "donor"),
        ({"local_state": 2, "desync": True}, "desynced"),
        ({"local_state": 3}, "joined"),
        ({"local_state": 1}, "joining"),
        ({"local_state": 17}, "unknown"),
        ({"cluster_status": "non-Primary"}, "non-primary"),
        ({"server": Server.STARTING, "role": "joiner"}, "joining"),
        ({"server": Server.STARTING, "role": "bootstrapper"}, "starting"),
        (DOWN, "stopped"),
        ({**DOWN, "role": "quarantined"}, "quarantined"),
        ({"role": "hung", "cluster_status": "Unknown"}, "hung"),
    ],
)
def test_one_word_for_a_node(fields: dict[str, object], expected: str) -> None:
    assert node_state(report("n1", **fields)) == expected


def test_the_writer_is_the_first_usable_one_in_the_recorded_order() -> None:
    assert writer(cluster(report("n1"), report("n2"), report("n3"))) == "n2"
    assert writer(cluster(report("n1"), report("n2", opened=False))) == "n1"
    assert writer(cluster(report("n1"), report("n2", local_state=2))) == "n1"
    assert writer(cluster(report("n9"), report("n3"))) == "n3"
    assert writer(cluster(report("n1", **DOWN))) is None


def test_a_node_with_data_that_does_not_report_is_named() -> None:
    data = as_data(cluster(report("n1"), nodes=(NodeRecord("n1", "d", True), NodeRecord("n3", "d", True))))
    silent = data["members"][1]
    assert (silent["name"], silent["state"]) == ("n3", "silent")
    assert silent.keys() == data["members"][0].keys()
    assert silent["remedy"]


class Made(dict[str, str]):
    """What a registry holds, for reading."""

    def list(self, prefix: str) -> dict[str, str]:
        return {key: value for key, value in self.items() if key.startswith(prefix)}


def test_what_is_read_from_the_registry() -> None:
    keys = Keys("galera")
    whole = cluster(nodes=(NodeRecord("n1", "d", True),), proxies=(PROXY,))
    made = Made({keys.state: dump(whole.state), keys.nodes + "n1": dump(whole.nodes[0]), keys.proxies + "p1": dump(PROXY)})  # fmt: skip
    made.update({keys.members + one.node: dump(one) for one in whole.reports})
    registry: Registry = made  # type: ignore[assignment]  # it lists and gets, no more is asked of it
    assert read(registry, "galera") == whole
    assert read(Made(), "galera") == Cluster("galera", State(), (), (), ())  # type: ignore[arg-type]


@pytest.mark.parametrize(("width", "table"), [(50, False), (120, True)])
def test_a_narrow_terminal_gets_lines_instead_of_columns(width: int, table: bool) -> None:
    screen = Console(width=width, record=True, file=io.StringIO())
    show._print(screen, as_data(cluster(report("n1", reason="Waiting for something that has not come, " * 2))), "")
    text = screen.export_text()
    assert ("NODE" in text) == table and "db-n1:3306" in text
    reason = [line for line in text.splitlines() if "something that has not come" in line]
    assert reason and all(len(line) <= width for line in reason)
