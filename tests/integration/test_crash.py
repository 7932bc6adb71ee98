"""What is killed comes back, by an incremental transfer, with every row that was acknowledged."""

from __future__ import annotations

import contextlib
import http.client
import json
import signal
from collections.abc import Iterator

import pymysql
import pytest

from galerist.local.processes import Kind
from galerist.model import State, load
from tests.support.cluster import LOOPBACK, Cluster, TaintWatch, galerist
from tests.support.writers import Writers, assert_complete, make_table

TTL = 3.0  # s; short, so that outages can outlast every lease

SMALL = 20_000  # bytes; the mere word that no full transfer is needed, with its keys


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with Cluster(settings={"ttl": TTL}) as three:
        three.up(proxy=True)
        make_table(three, "n1")
        sent = three.bytes_sent()
        assert sent > 2_000_000, "two full transfers, as a measure for what follows"
        three.sql("n1", "CREATE TABLE filler (id INT PRIMARY KEY, text LONGTEXT)")
        for number in range(8):
            three.sql("n1", f"INSERT INTO filler VALUES ({number}, REPEAT('x', 1000000))")
        three.sql("n1", "CREATE TABLE leavers (node VARCHAR(10) PRIMARY KEY)")
        yield three


@pytest.fixture
def three(cluster: Cluster) -> Cluster:
    """Three nodes that serve, behind the proxy; the same ones for all tests of this file."""
    cluster.up(proxy=True)
    return cluster


def test_list_tells_what_it_promises(three: Cluster) -> None:
    run = galerist("list", "--dir", str(three.layout.dir), "--format", "json")
    assert run.returncode == 0, run.stderr
    data = json.loads(run.stdout)
    assert (data["cluster"], data["status"], data["uuid"]) == ("galera", "Primary", three.data()["uuid"])
    assert data["generation"] == 1
    for entry in data["members"]:
        node = entry["name"]
        assert (entry["state"], entry["cluster_status"], entry["uuid"]) == ("synced", "Primary", data["uuid"])
        assert (entry["host"], entry["sql_port"]) == (LOOPBACK, three.plan.port("sql_port", node))
        assert entry["check_port"] == three.plan.port("check_port", node)
        assert (entry["server_pid"], entry["agent_pid"]) == (three.server_pid(node), three.pid(node))
        assert entry["seqno"] >= 3 and entry["role"] and entry["reason"]
    assert {key: data["proxy"][key] for key in ("write_port", "read_port", "all_port", "stats_port")} == {
        key: three.plan.port(key) for key in ("write_port", "read_port", "all_port", "stats_port")
    }
    workers = {part.process.pid for part in three.parts(Kind.HAPROXY)}
    assert data["proxy"]["host"] == LOOPBACK and set(data["proxy"]["worker_pids"]) <= workers
    assert data["proxy"]["worker_pids"]


def test_a_drained_node_says_so_itself_to_every_proxy(three: Cluster) -> None:
    """Also to those that galerist does not manage, and while its registry is down."""

    def ask(node: str, page: str = "/") -> tuple[int, str]:
        connection = http.client.HTTPConnection(LOOPBACK, three.plan.port("check_port", node), timeout=10)
        with contextlib.closing(connection):
            connection.request("GET", page)
            answer = connection.getresponse()
            return answer.status, answer.read().decode()

    def drained() -> bool:
        return ask("n3") == (404, "drained: galerist undrain n3 ends that\n")

    def listed() -> set[str]:
        return {peer["node"] for peer in json.loads(ask("n1", "/peers")[1])["peers"]}

    def desynced(node: str) -> str:
        ((_, value),) = three.root(node, "SHOW GLOBAL VARIABLES LIKE 'wsrep_desync'")
        return str(value)

    directory = ("--dir", str(three.layout.dir))
    three.until(lambda: ask("n3")[0] == 200, "n3 is usable")
    run = galerist("drain", "n3", *directory)
    assert run.returncode == 0, run.stderr
    assert "Done: n3 has no clients" in run.stdout
    assert desynced("n3") == "ON", "the command ends when nobody waits for it any more"
    assert [entry["state"] for entry in three.data()["members"]] == ["synced", "synced", "desynced"]
    assert drained()
    run = galerist("drain", "n2", *directory)
    assert run.returncode == 1 and "2 are needed; drained already: n3" in run.stderr
    three.until(lambda: listed() == {"n1", "n2"}, "n1 names no drained node")
    assert (ask("n3", "/read")[0], ask("n3", "/live")[0], ask("n1")[0]) == (404, 200, 200)
    three.kill("etcd")
    three.kill("n3")
    three.kill("n2")
    three.kill_server("n2")
    three.start("n3")
    three.stays(drained, "the next agent knows of it without the registry", 5.0)
    three.until(lambda: listed() == {"n1"}, "n1 names nobody whom its server knows to have left")
    assert json.loads(ask("n1", "/peers")[1])["heard_ago"] > 5.0
    three.start("etcd")
    three.start("n2")
    three.serving("n1", "n2")
    three.until(lambda: three.member("n3")["state"] == "desynced", "n3 reports again")
    assert drained() and desynced("n3") == "ON"
    three.root("n2", "SET GLOBAL wsrep_desync=ON")
    run = galerist("undrain", "n3", *directory)
    assert run.returncode == 0, run.stderr
    three.until(lambda: ask("n3") == (200, "synced\n"), "n3 is usable again")
    assert (desynced("n3"), desynced("n2")) == ("OFF", "ON"), "what a person has set by hand stays"
    three.root("n2", "SET GLOBAL wsrep_desync=OFF")
    three.until(lambda: listed() == {"n1", "n2", "n3"}, "n1 names n3 again")


def state(cluster: Cluster) -> State:
    raw = cluster.registry.get(cluster.keys.state)
    assert raw is not None
    return load(State, raw)


def assert_last_view(cluster: Cluster, node: str) -> None:
    """The stamp holds the very view that the server itself keeps."""
    ((seqno,),) = cluster.root(node, "SELECT view_seqno FROM mysql.wsrep_cluster")
    rows = cluster.root(node, "SELECT node_name FROM mysql.wsrep_cluster_members")
    members = tuple(sorted(row[0] for row in rows))
    last = cluster.views(node)[-1]
    assert (last.view.seqno, last.view.members, last.primary) == (seqno, members, True)
    assert state(cluster).view == last.view


@pytest.mark.parametrize("killed", ["server", "agent", "both"])
def test_the_writer_is_killed_and_comes_back_by_ist(three: Cluster, killed: str) -> None:
    victim = three.data()["writer"]
    uuid, generation = three.data()["uuid"], three.data()["generation"]
    sent = three.bytes_sent()
    server, log = three.server_pid(victim), three.mark(victim)
    seen = len(three.views(victim))
    with Writers(three) as writers, TaintWatch(three, victim) as taint:
        writers.wait(100)
        if killed != "server":
            three.kill(victim)
        if killed != "agent":
            three.kill_server(victim)
        writers.wait(200)  # the proxy serves on, meanwhile
        if killed != "server":
            three.start(victim)
        three.serving()
        writers.wait(50)
    assert_complete(three, writers.acknowledged)
    assert (three.data()["uuid"], three.data()["generation"]) == (uuid, generation)
    if killed == "agent":
        assert three.server_pid(victim) == server, "adopted, not started anew"
        assert writers.errors == []
    else:
        assert three.server_pid(victim) != server
        three.assert_incremental(victim, log)
        assert 0 < three.bytes_sent() - sent < SMALL
        assert all(victim in entry.view.members for entry in three.views(victim)[seen:] if entry.primary)
        assert_last_view(three, victim)
    assert not taint.seen


@pytest.mark.parametrize("ahead", ["n1", "n2", "n3"])
def test_everything_is_killed_at_once_whichever_node_is_ahead(three: Cluster, ahead: str) -> None:
    uuid, generation = three.data()["uuid"], three.data()["generation"]
    behind = [node for node in three.nodes if node != ahead]
    sent = three.bytes_sent()
    with Writers(three, port=three.plan.port("sql_port", ahead)) as writers, contextlib.ExitStack() as locks:
        writers.wait(50)
        for node in behind:  # from here on they receive what is committed, and do not apply it
            connection = pymysql.connect(unix_socket=str(three.layout.sockets() / node / "mariadb.sock"), user="root")
            locks.callback(connection._force_close)
            connection.cursor().execute("FLUSH TABLES WITH READ LOCK")
        writers.wait(150)
        three.kill_everything()
    logs = {node: three.mark(node) for node in three.nodes}
    with contextlib.ExitStack() as watches:
        taints = [watches.enter_context(TaintWatch(three, node)) for node in three.nodes]
        three.up(proxy=True)
    assert_complete(three, writers.acknowledged)
    assert (three.data()["uuid"], three.data()["generation"]) == (uuid, generation + 1)
    identity = state(three).identity
    assert identity is not None and identity.generations[-1].by == ahead
    for node in behind:
        three.assert_incremental(node, logs[node])
        assert_last_view(three, node)
    assert not any(taint.seen for taint in taints)
    assert 0 < three.bytes_sent() - sent < SMALL


def test_every_process_is_killed_under_clients_of_the_proxy(three: Cluster) -> None:
    uuid, generation = three.data()["uuid"], three.data()["generation"]
    with Writers(three, count=6) as writers:
        writers.wait(300)
        three.kill_everything()
        logs = {node: three.mark(node) for node in three.nodes}
        three.up(proxy=True, patience=300)  # the joiners race against the writers
        writers.wait(50)
    assert_complete(three, writers.acknowledged)
    assert (three.data()["uuid"], three.data()["generation"]) == (uuid, generation + 1)
    first = state(three).identity
    assert first is not None
    for node in three.nodes:
        if node != first.generations[-1].by:
            three.assert_incremental(node, logs[node])


@pytest.mark.parametrize("outage", ["killed", "frozen"])
def test_the_registry_is_away_for_longer_than_every_lease(three: Cluster, outage: str) -> None:
    pids = three.server_pids()
    config = three.layout.haproxy() / "haproxy.cfg"
    before = config.read_text()
    with Writers(three) as writers:
        writers.wait(50)
        if outage == "killed":
            three.kill("etcd")
        else:
            three.signal("etcd", signal.SIGSTOP)
        three.stays(lambda: config.read_text() == before and three.server_pids() == pids, "nothing changes", 3 * TTL)
        writers.wait(50)
        if outage == "killed":
            three.start("etcd")
        else:
            three.signal("etcd", signal.SIGCONT)
        three.serving()
        three.stays(lambda: three.server_pids() == pids, "no server is restarted", TTL)
        writers.wait(50)
    assert writers.errors == []
    assert config.read_text() == before
    assert all(three.running(name) for name in (*three.nodes, "proxy"))
    assert_complete(three, writers.acknowledged)


def test_an_emptied_registry_is_filled_again_by_the_live_nodes(three: Cluster) -> None:
    before, pids = state(three), three.server_pids()
    config = three.layout.haproxy() / "haproxy.cfg"
    servers = {f"{LOOPBACK}:{three.plan.port('sql_port', node)}" for node in three.nodes}
    records = three.registry.list(three.keys.nodes)
    with Writers(three) as writers:
        writers.wait(50)
        for prefix in (three.keys.root, three.keys.components):
            for key in three.registry.list(prefix):
                three.registry.delete(key)
        three.until(lambda: three.registry.get(three.keys.state) is not None, "the state is written back", 30)
        three.serving()
        three.until(lambda: three.registry.list(three.keys.nodes) == records, "who holds data is written back", 30)
        writers.wait(50)
    after = state(three)
    assert after == before, "the order of writers, too"
    assert three.server_pids() == pids
    assert writers.errors == []
    assert servers <= set(config.read_text().split())


def test_a_registry_restored_from_an_old_backup_is_corrected(three: Cluster) -> None:
    backup = three.registry.list(three.keys.root)
    three.kill_everything()
    three.up(proxy=True)
    now, pids = state(three), three.server_pids()
    assert now.identity is not None and load(State, backup[three.keys.state]).identity != now.identity
    with Writers(three) as writers:
        writers.wait(50)
        for key, value in backup.items():
            three.registry.put(key, value)
        three.until(lambda: state(three).identity == now.identity, "the identity is written back", 30)
        three.serving()
        three.stays(lambda: three.server_pids() == pids, "nothing is restarted", TTL)
        writers.wait(50)
    assert state(three).view == now.view
    assert state(three).writer == now.writer
    assert writers.errors == []


@pytest.mark.parametrize(
    ("leave", "come"), [(("n1", "n3", "n2"), ("n3", "n1", "n2")), (("n2", "n1", "n3"), ("n1", "n2", "n3"))]
)
def test_the_last_to_leave_is_found(three: Cluster, leave: tuple[str, ...], come: tuple[str, ...]) -> None:
    generation = three.data()["generation"]
    last = leave[-1]
    for node in leave:
        three.sql(node, f"REPLACE INTO leavers VALUES ('{node}')")
        three.stop(node)
    assert three.server_pids() == {}
    logs = {node: three.mark(node) for node in three.nodes}
    for node in come[:-1]:
        three.start(node)
        entry = three.says(node, f"waiting for {last} to report")
        assert f"start {last}" in entry["remedy"]
    assert come[-1] == last
    three.up(proxy=True)
    identity = state(three).identity
    assert identity is not None and identity.generations[-1].by == last
    assert three.data()["generation"] == generation + 1
    assert three.same_everywhere("SELECT COUNT(*) FROM leavers") == ((3,),)
    for node in come[:-1]:
        three.assert_incremental(node, logs[node])
