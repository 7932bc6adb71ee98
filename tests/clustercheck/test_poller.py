"""What the poller makes of rows, files and errors, without a server."""

from __future__ import annotations

import json
import os
import time
from dataclasses import replace
from pathlib import Path

import pymysql
import pytest

from clustercheck.files import AgentFile, read_agent, read_disabled
from clustercheck.poller import FlowControl, Poller, Source, hung, numbers, parse
from clustercheck.probe import Prober, Rhythm
from clustercheck.probing import PeerSays
from clustercheck.verdict import Agent, Facts, Peer, Policy, Status, verdict

ROWS = {
    "wsrep_cluster_status": "Primary",
    "wsrep_connected": "ON",
    "wsrep_ready": "ON",
    "wsrep_on": "ON",
    "wsrep_incoming_addresses": "db1:3306,db2:3306,",
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
    assert parse(ROWS) == Facts(
        "Primary", True, True, True, 4, "NONE", False, "mariabackup", False, False, ("db1:3306", "db2:3306"), 3, uuid, 7
    )


def test_no_rows_are_the_worst_facts() -> None:
    assert parse({}) == Facts()
    assert parse({"wsrep_local_state": "soon"}).local_state is None
    assert parse({"wsrep_incoming_addresses": "db1:3306,AUTO"}).members == ()


DECIDES = {
    "wsrep_cluster_status": 503,
    "wsrep_connected": 503,
    "wsrep_ready": 503,
    "wsrep_on": 503,
    "wsrep_local_state": 503,
    "wsrep_reject_queries": 503,
    "wsrep_desync": 404,
    "read_only": 404,
}


@pytest.mark.parametrize("name", DECIDES)
def test_a_row_that_is_missing_or_strange_is_never_good(name: str) -> None:
    for rows in ({key: value for key, value in ROWS.items() if key != name}, ROWS | {name: "NO_LOCK"}):
        assert verdict(Status(facts=parse(rows), age=0.0), Policy()).code == DECIDES[name]


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
    assert replace(file.read(), heard_ago=None) == Agent(opened=True)  # type: ignore[type-var]
    (tmp_path / "new").write_text('{"opened": false, "reason": "x"}')
    (tmp_path / "new").rename(tmp_path / "agent.json")
    assert replace(file.read(), heard_ago=None) == Agent(reason="x")  # type: ignore[type-var]
    (tmp_path / "agent.json").unlink()
    assert file.read() is None


def test_the_time_of_the_agents_file_tells_how_old_its_news_are(tmp_path: Path) -> None:
    path = tmp_path / "agent.json"
    file = AgentFile(path)
    path.write_text('{"opened": true}')
    for ago in (40.0, -40.0):  # a clock that was set back makes nothing younger than now
        os.utime(path, (time.time() - ago, time.time() - ago))
        known = file.read()
        assert known is not None
        assert known.heard_ago == pytest.approx(max(ago, 0.0), abs=5.0)


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


def test_a_peer_that_is_slow_to_answer_makes_no_earlier_write_a_later_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ours began 6 s ago; the peer's, 6.1 s before it says so, which it does after we have waited for 0.3 s."""

    def ask(_: Status) -> tuple[PeerSays, ...]:
        time.sleep(0.3)
        return (PeerSays("n2", True, 6.1),)

    source = Source(str(tmp_path / "s.sock"), "x", None, tmp_path / "a", tmp_path / "d")
    prober = Prober(source, "n1", Rhythm(), Policy(), Status, ask)
    monkeypatch.setattr(prober, "_ddl_runs", lambda: False)
    monkeypatch.setattr(prober, "_since", time.monotonic() - 6.0)
    prober._judge()
    assert prober.probe().note == "no write of another member went through meanwhile"


def test_what_queued_up_behind_ddl_has_its_time_and_then_the_node_is_blamed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = Source(str(tmp_path / "s.sock"), "x", None, tmp_path / "a", tmp_path / "d")
    running = [True]
    prober = Prober(source, "n1", Rhythm(late=0.2), Policy(), Status, lambda _: (PeerSays("n2", True, 1.0),))
    monkeypatch.setattr(prober, "_ddl_runs", lambda: running[0])
    monkeypatch.setattr(prober, "_since", time.monotonic() - 25.0)
    prober._judge()
    assert prober.probe().note == "DDL is running"
    running[0] = False
    prober._judge()
    assert (prober.probe().state, prober.probe().note) == ("explained", "DDL or flow control ended a moment ago")
    time.sleep(0.3)
    prober._judge()
    assert prober.probe().state == "late"


def test_without_a_server_there_is_trouble_and_no_wait(tmp_path: Path) -> None:
    source = Source(str(tmp_path / "s.sock"), "x", None, tmp_path / "a", tmp_path / "d", interval=0.01)
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
