"""What the poller makes of rows, files and errors, without a server."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pymysql
import pytest

from clustercheck.files import AgentFile, read_agent, read_disabled
from clustercheck.poller import FlowControl, Poller, Source, hung, numbers, parse
from clustercheck.verdict import Agent, Facts, Peer, Policy, Status, verdict

ROWS = {
    "wsrep_cluster_status": "Primary",
    "wsrep_connected": "ON",
    "wsrep_ready": "ON",
    "wsrep_local_state": "4",
    "wsrep_local_recv_queue": "7",
    "wsrep_local_recv_queue_avg": "0.25",
    "wsrep_cluster_size": "3",
    "wsrep_cluster_state_uuid": "626f29e1-e550-11f1-809a-b26019a0dd37",
    "wsrep_cert_deps_distance": "nan",
    "wsrep_reject_queries": "NONE",
    "wsrep_sst_donor_rejects_queries": "OFF",
    "wsrep_sst_method": "mariabackup",
    "wsrep_desync": "OFF",
    "read_only": "OFF",
}


def test_rows_become_facts() -> None:
    uuid = "626f29e1-e550-11f1-809a-b26019a0dd37"
    assert parse(ROWS) == Facts("Primary", True, True, 4, "NONE", False, "mariabackup", False, False, 3, uuid, 7)


def test_no_rows_are_the_worst_facts() -> None:
    assert parse({}) == Facts()
    assert parse({"wsrep_local_state": "soon"}).local_state is None


@pytest.mark.parametrize("missing", ["wsrep_cluster_status", "wsrep_connected", "wsrep_ready", "wsrep_local_state"])
def test_a_missing_row_is_never_good(missing: str) -> None:
    facts = parse({name: value for name, value in ROWS.items() if name != missing})
    assert verdict(Status(facts=facts, age=0.0), Policy()).code == 503


def test_only_finite_numbers_are_figures() -> None:
    assert numbers(ROWS) == {
        "wsrep_local_state": 4,
        "wsrep_local_recv_queue": 7,
        "wsrep_local_recv_queue_avg": 0.25,
        "wsrep_cluster_size": 3,
    }


def test_flow_control_is_a_share_of_the_last_seconds() -> None:
    flow = FlowControl(window=5.0)
    assert flow.share(100.0, 4e9) is None
    assert flow.share(101.0, 4.5e9) == pytest.approx(0.5)
    assert flow.share(106.0, 4.5e9) == pytest.approx(0.0)  # what was more than five seconds ago counts no more
    assert flow.share(106.5, 1e9) is None  # another server, or its counters were reset
    assert flow.share(107.5, None) is None


def test_the_agents_file_is_read_again_when_it_changes(tmp_path: Path) -> None:
    file = AgentFile(tmp_path / "agent.json")
    assert file.read() is None
    (tmp_path / "agent.json").write_text('{"opened": true}')
    known = file.read()
    assert known == Agent(opened=True)
    assert file.read() is known
    (tmp_path / "new").write_text('{"opened": false, "reason": "x"}')
    (tmp_path / "new").rename(tmp_path / "agent.json")
    assert file.read() == Agent(reason="x")
    (tmp_path / "agent.json").unlink()
    assert file.read() is None


def test_what_the_agent_says_of_the_members(tmp_path: Path) -> None:
    file = tmp_path / "agent.json"
    peer = {"node": "n2", "host": "10.0.0.2", "port": 3306, "check_port": 9200, "usable": True}
    said = {"opened": True, "node": "n1", "host": "10.0.0.1", "port": 3306, "writer": ["n2"], "peers": [peer]}
    file.write_text(json.dumps(said))
    known = Agent(
        opened=True,
        node="n1",
        host="10.0.0.1",
        port=3306,
        writer=("n2",),
        peers=(Peer("n2", "10.0.0.2", 3306, 9200, True),),
    )
    assert read_agent(file) == known
    file.write_text(json.dumps(said | {"peers": [{"node": "n2"}]}))
    assert read_agent(file) == Agent(opened=True)  # odd members make no node unusable


def test_agents_file(tmp_path: Path) -> None:
    file = tmp_path / "agent.json"
    assert read_agent(file) is None
    file.write_text('{"opened": true, "paused": false, "drained": false, "reason": "synced", "later": 1}')
    assert read_agent(file) == Agent(opened=True, reason="synced")
    file.write_text('{"opened": fal')
    assert "no JSON" in read_agent(file).problem  # type: ignore[union-attr]
    file.write_text("[]")
    assert "no JSON object" in read_agent(file).problem  # type: ignore[union-attr]
    file.write_text('{"opened": "yes"}')
    assert "true or false" in read_agent(file).problem  # type: ignore[union-attr]
    file.write_text("{}")
    assert read_agent(file) == Agent()


def test_disabled_file(tmp_path: Path) -> None:
    file = tmp_path / "disabled"
    assert read_disabled(file) == ""
    assert read_disabled(file / "below") == ""
    file.touch()
    assert read_disabled(file) == f"{file} exists"
    assert read_disabled(file / "below") == ""
    file.write_text("kernel upgrade\nby ann\n")
    assert read_disabled(file) == "kernel upgrade"
    (tmp_path / "folder").mkdir()
    assert "folder" in read_disabled(tmp_path / "folder")


def test_only_a_time_out_is_a_hang() -> None:
    wrapped = pymysql.OperationalError(2013, "lost")
    wrapped.__cause__ = TimeoutError()
    assert hung(wrapped)
    assert not hung(pymysql.OperationalError(1045, "Access denied"))
    assert not hung(ConnectionRefusedError())


def test_without_a_server_there_is_trouble_and_no_wait(tmp_path: Path) -> None:
    source = Source(str(tmp_path / "s.sock"), "x", "", tmp_path / "a", tmp_path / "d", interval=0.01)
    polled: list[int] = []
    poller = Poller(source, lambda: polled.append(1))
    assert verdict(poller.status(), Policy()).reason == "mariadbd has not answered yet"
    poller.start()
    try:
        while not polled:
            time.sleep(0.01)
        judged = verdict(poller.status(), Policy())
    finally:
        poller.stop()
    assert judged.code == 503
    assert "cannot be asked" in judged.reason
    assert "s.sock" in judged.reason
