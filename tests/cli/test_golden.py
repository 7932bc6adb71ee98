"""What the commands say of a real cluster in each state that matters at night, word for word.

The words stand in tests/cli/golden; what differs from run to run (ids, times, ports, positions) is replaced.
GOLDEN=write makes the files anew: read the difference before you commit it.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from galerist.cli.main import main
from galerist.local import ports
from tests.support.cluster import Cluster

GOLDEN = Path(__file__).parent / "golden"
WRITE = os.environ.get("GOLDEN") == "write"

_REPLACED = (
    (r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", "UUID"),
    (r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[.\d]*Z", "TIME"),
    (r"[\w.-]+@[\w.-]+ at TIME", "PERSON at TIME"),
    (r"127\.0\.0\.1:\d+", "ADDRESS"),
    (r", \d+ ahead: that is lost, and n\d will be quarantined", ""),  # by a write of a commit probe, or not
    (r"\b(?=[0-9a-f]*\d)[0-9a-f]{8}\b", "ID"),
    (r"\b\d{2,}(\.\d+)?\b", "N"),
    (r"[ \t]+", " "),
    (r"(?m)^(n\d ADDRESS .*? \w+) \d ", r"\1 N "),  # a seqno that is still small
    (r"\b\d(\.\d+)? s\b", "N s"),
    (r"\b\d ms\b", "N ms"),
)

LOOKS = ("list", "explain", "topology")

ORDERS = (
    "switchover --to n1", "drain n3 --timeout 20", "undrain n3", "restart --abort", "recover --node n1", "forget n3", "reinit n3",
    "load", "load --retry", "config show", "config unset max_connections", "sql --node n9", "logs n9",
)  # fmt: skip
"""Each changes nothing, or what the next one changes back. Without a terminal nothing is asked, so nothing that may
lose data is done."""


def galerist(*words: str) -> subprocess.CompletedProcess[str]:
    """A command in this process, which is quicker; what a user sees is the same."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = main(list(words))
    return subprocess.CompletedProcess(list(words), code, out.getvalue(), err.getvalue())


def plain(text: str) -> str:
    for pattern, word in _REPLACED:
        text = re.sub(pattern, word, text)
    return "\n".join(line.rstrip() for line in text.strip().splitlines()) + "\n"


def said(cluster: Cluster, *words: str) -> str:
    """What a command prints and how it ends."""
    run = galerist(*words, "--dir", str(cluster.layout.dir))
    assert "Traceback" not in run.stderr
    return f"$ galerist {' '.join(words)}\n{run.stdout}{run.stderr}exit code {run.returncode}\n"


def compare(name: str, text: str) -> None:
    file = GOLDEN / f"{name}.txt"
    if WRITE:
        GOLDEN.mkdir(exist_ok=True)
        file.write_text(plain(text))
    assert plain(text) == file.read_text(), f"{file} holds other words; see the head of this file"


def examined(cluster: Cluster) -> str:
    """What doctor says of the cluster; what it finds on this machine is this machine's, and how quick it is."""
    run = galerist("doctor", "--format", "tsv", "--dir", str(cluster.layout.dir))
    assert not run.stderr
    rows = [
        row
        for row in run.stdout.splitlines()
        if re.match(r"\w+\t(AREA|registry|cluster|proxy|way)", row) and " ms" not in row
    ]
    return "\n".join(["$ galerist doctor", *rows, f"exit code {run.returncode}\n"])


def _moving(data: dict[str, Any]) -> bool:
    away = ("desynced", "drained")
    return bool(data["overlap"]) or any(one["state"] in away or one["role"] in away for one in data["members"])


def look(cluster: Cluster, name: str, *more: str) -> None:
    """Every command in this state; ``more`` are those that do not fit all states."""
    texts = []
    for line in (*LOOKS, *ORDERS, *more):
        texts.append(said(cluster, *line.split()))
        if line.startswith("undrain"):
            cluster.until(lambda: not _moving(cluster.data()), "what was drained to be back, and the proxy to be calm")
    compare(name, "\n".join([*texts, examined(cluster)]))
    logged = galerist("logs", "-n", "50", "--dir", str(cluster.layout.dir))
    assert logged.returncode == 0 and len(logged.stdout.splitlines()) >= 50
    for command in ("list", "explain", "topology", "history"):
        run = galerist(command, "--format", "json", "--dir", str(cluster.layout.dir))
        assert run.returncode == 0 and json.loads(run.stdout), run.stderr
        rows = galerist(command, "--format", "tsv", "--dir", str(cluster.layout.dir)).stdout.splitlines()
        assert len({row.count("\t") for row in rows}) == 1, f"{command}: each row has the columns of its heading"


@pytest.fixture(scope="module")
def three() -> Iterator[Cluster]:
    with Cluster(settings={"ttl": 3}) as cluster:
        cluster.up(proxy=True)
        cluster.sql("n1", "CREATE TABLE app.words (id INT AUTO_INCREMENT PRIMARY KEY)")
        for _ in range(20):  # so that each position has two digits at least
            cluster.sql("n1", "INSERT INTO app.words VALUES ()")
        yield cluster


def settled(cluster: Cluster) -> None:
    """Until all serve and say so, and n1 takes the writes: a proxy may have preferred another node meanwhile."""
    cluster.serving()
    if cluster.data()["writer"] != "n1":
        moved = galerist("switchover", "--to", "n1", "--dir", str(cluster.layout.dir))
        assert moved.returncode == 0, moved.stderr + cluster.state()
    cluster.until(lambda: all("Synced, serving" in cluster.reason(node) for node in cluster.nodes), "all to be calm")


def fall(cluster: Cluster, *nodes: str) -> None:
    """kill -9 of agents and servers, until nobody reports for them."""
    for node in nodes:
        cluster.kill(node)
        cluster.kill_server(node)
    cluster.until(lambda: all(_state(cluster, node) in (None, "silent") for node in nodes), "their leases to end")


def _state(cluster: Cluster, node: str) -> str | None:
    return next((entry["state"] for entry in cluster.data()["members"] if entry["name"] == node), None)


@pytest.mark.timeout(800)
def test_each_state_in_its_words(three: Cluster) -> None:
    settled(three)
    look(three, "healthy", "resume", "restart n9", "switchover --to n9", "drain n9")
    asked = [sys.executable, "-m", "galerist", "sql", "--dir", str(three.layout.dir), "--", "-Ne", "SELECT 6 * 7"]
    assert subprocess.run(asked, capture_output=True, text=True).stdout == "42\n"

    assert galerist("pause", "--dir", str(three.layout.dir)).returncode == 0
    three.until(lambda: all("Paused by order" in three.reason(node) for node in three.nodes), "all to be paused")
    look(three, "paused", "pause", "restart n1")
    assert galerist("resume", "--dir", str(three.layout.dir)).returncode == 0
    settled(three)

    fall(three, "n3")
    three.until(lambda: three.reason("n1") == "Synced, serving, together with n2.", "n1 to see it")
    three.until(lambda: three.reason("n2") == "Synced, serving, together with n1.", "n2 to see it")
    look(three, "one-down", "resume", "restart n1", "drain n2", "undrain n2", "sql --node n3")

    fall(three, "n2")
    three.says("n1", "No quorum: waiting for n2")
    three.until(lambda: three.data()["proxies"][0]["writing"] == [], "the proxy to have nobody left")
    look(three, "non-primary", "resume", "restart n1", "drain n2", "sql --node n3")

    three.start("n2", "n3")
    settled(three)
    for node in three.nodes:
        three.kill(node)
    for pid in three.server_pids().values():
        os.kill(pid, signal.SIGKILL)
    three.until(lambda: {_state(three, node) for node in three.nodes} <= {None, "silent"}, "all leases to end")
    three.start("n1", "n2")
    three.says("n1", "waiting for n3")
    three.says("n2", "waiting for n3")
    look(three, "outage", "resume", "restart n1", "drain n2", "recover --node n3", "reinit n1")
    three.start("n3")
    settled(three)

    events = json.loads(galerist("history", "--format", "json", "--dir", str(three.layout.dir)).stdout)
    made = [event for event in events if event["node"] in three.nodes]
    untied = [event for event in made if not re.fullmatch("[0-9a-f]{8}", event["operation"])]
    assert len(made) > 10 and untied == []
    recovery = {event["action"] for event in events if event["operation"] == three.data()["generation_id"]}
    assert {"change", "bootstrap", "open"} <= recovery, "one id from the claim to the opened server"
    secrets = [file.read_text().strip() for file in (three.layout.dir / "secrets").iterdir()]
    texts = {file.name: file.read_text(errors="replace") for file in three.layout.logs.iterdir()}
    assert len(secrets) == 5 and [(name, one) for name, text in texts.items() for one in secrets if one in text] == []


def test_a_registry_that_is_split_or_silent_is_one_sentence(three: Cluster) -> None:
    with tempfile.TemporaryDirectory(prefix="galerist-etcd-") as folder:
        with socket.socket() as first, socket.socket() as second, socket.socket() as third:
            for one in (first, second, third):
                one.bind(("127.0.0.1", 0))
            client, peer, other = (one.getsockname()[1] for one in (first, second, third))
        member = subprocess.Popen(
            [
                "etcd", "--name=a", f"--data-dir={folder}", f"--listen-client-urls=http://127.0.0.1:{client}",
                f"--advertise-client-urls=http://127.0.0.1:{client}", f"--listen-peer-urls=http://127.0.0.1:{peer}",
                f"--initial-advertise-peer-urls=http://127.0.0.1:{peer}",
                f"--initial-cluster=a=http://127.0.0.1:{peer},b=http://127.0.0.1:{other}", "--log-level=error",
            ],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        try:
            three.until(lambda: ports.answers(client), "the member without a majority to listen")
            url = f"etcd3://127.0.0.1:{client}"
            texts = []
            for line in (*LOOKS, "history", "pause", "resume", *ORDERS):
                run = galerist(*line.split(), "--registry", url)
                texts.append(f"$ galerist {line}\n{run.stdout}{run.stderr}exit code {run.returncode}\n")
                assert run.returncode == 1 and len(run.stderr.strip().splitlines()) == 1, run.stderr
            compare("split-registry", "\n".join(texts))
            examined = galerist("doctor", "--registry", url)
            assert examined.returncode == 1 and "does not answer" in examined.stdout
        finally:
            member.terminate()
            member.wait(10)
    three.signal("etcd", signal.SIGSTOP)
    try:
        run = galerist("list", "--dir", str(three.layout.dir))
        assert run.returncode == 1 and len(run.stderr.strip().splitlines()) == 1, run.stderr
    finally:
        three.signal("etcd", signal.SIGCONT)


def test_settings_of_running_servers(three: Cluster) -> None:
    folder = ("--dir", str(three.layout.dir))
    wrong = galerist("config", "set", "innodb_flush_log_at_trx_commit=2", *folder)
    assert wrong.returncode == 2 and "loses commits" in wrong.stderr
    pids = three.server_pids()
    assert galerist("config", "set", "max_connections=321", "long-query-time=2.5", *folder).returncode == 0
    asked = "SELECT @@GLOBAL.max_connections, @@GLOBAL.long_query_time"
    three.until(lambda: {three.sql(node, asked) for node in three.nodes} == {((321, 2.5),)}, "all servers to have it")
    assert three.server_pids() == pids, "without a restart"
    three.until(lambda: galerist("config", "show", *folder).stdout.count("applied") == 3, "all agents to say so")
    three.kill_server("n3")
    three.until(lambda: three.member("n3").get("server_pid") not in (None, pids["n3"]), "a new server of n3")
    three.serving()
    three.until(lambda: three.sql("n3", asked) == ((321, 2.5),), "a new server to have it too")
    assert galerist("config", "unset", "max_connections", *folder).returncode == 0
    shown = json.loads(galerist("config", "show", "--format", "json", *folder).stdout)
    assert shown["mariadb"] == {"long_query_time": "2.500000"}
    assert "A person set: long_query_time" in galerist("history", *folder).stdout


def test_list_follows_what_happens(three: Cluster) -> None:
    command = [sys.executable, "-m", "galerist", "list", "-w", "--format", "tsv", "--dir", str(three.layout.dir)]
    following = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert following.stdout is not None
    try:
        lines = iter(following.stdout)
        assert next(lines).startswith("NODE\t")
        assert galerist("pause", "--dir", str(three.layout.dir)).returncode == 0
        assert any("Paused by order" in line for line in lines)
    finally:
        following.send_signal(signal.SIGINT)
        assert following.wait(30) == 130
        following.stdout.close()
        galerist("resume", "--dir", str(three.layout.dir))


@pytest.mark.parametrize(
    "words",
    [
        ["list", "--format", "xml"], ["list", "extra"], ["explain", "a", "b"], ["restart"], ["restart", "--abort", "n1"],
        ["switchover", "n1"], ["drain"], ["topology", "--dir", "/nowhere/at/all"], ["doctor", "--dir", "/nowhere/at/all"],
        ["history", "--dir", "x", "--registry", "etcd3://y"],
    ],
)  # fmt: skip
def test_wrong_use_ends_with_2_and_says_why(words: list[str]) -> None:
    run = galerist(*words)
    assert run.returncode == 2, run.stderr
    (line,) = run.stderr.splitlines()
    assert line.startswith("galerist: ") and len(line) > 20
