"""The whole watcher, as a process, with a real etcd and a real HAProxy."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

from galerist import model as records
from haproxy.process import start_time
from tests.haproxy.fakes import Client, served_by, until
from tests.haproxy.proxies import IDENTITY, Proxy
from tests.support.etcd import Etcd


def test_the_running_haproxy_follows_the_registry(proxy: Proxy) -> None:
    a, b, c = proxy.node("a"), proxy.node("b"), proxy.node("c")
    proxy.start()
    assert served_by(proxy.write) == ""
    proxy.report(a, b)
    proxy.record("a", "b", writer="ba")
    until(lambda: served_by(proxy.write) == "b", "the writer of the registry takes the writes")
    session = proxy.stack.enter_context(closing(Client(proxy.write)))
    proxy.report(c)
    until(lambda: {served_by(proxy.read) for _ in range(6)} == {"a", "c"}, "the new node takes reads")
    assert session.alive()
    proxy.record("a", "b", "c", writer="cba")
    until(lambda: served_by(proxy.write) == "c", "another writer takes the writes")
    until(lambda: not session.alive(), "the session on the former writer ends")
    proxy.registry.delete(proxy.keys.members + "a")
    proxy.registry.delete(proxy.keys.nodes + "a")
    proxy.registry.put(proxy.keys.state, records.dump(records.State(IDENTITY, None, None, ("c", "b"))))
    until(lambda: "server a " not in proxy.config.read_text(), "a deregistered node goes")


def test_it_reports_itself_and_takes_its_report_along(proxy: Proxy) -> None:
    proxy.report(proxy.node("a"))
    proxy.start()
    until(proxy.said, "the proxy reports")
    said = proxy.said()
    assert said is not None
    assert (said.host, said.write_port, said.read_port) == ("127.0.0.1", proxy.write, proxy.read)
    assert (said.all_port, said.stats_port, said.error) == (proxy.all, proxy.stats, None)
    assert proxy.process is not None
    assert said.watcher_pid == proxy.process.pid
    assert said.applied
    assert len(said.worker_pids) == 1
    service = proxy.keys.services("p1")
    assert proxy.registry.list(service) == {service + "ip": "127.0.0.1", service + "port": str(proxy.write)}
    worker = said.worker_pids[0]
    assert start_time(worker) is not None
    assert proxy.end() == 0
    assert proxy.said() is None
    assert proxy.registry.list(service) == {}
    assert start_time(worker) is None


def test_heartbeats_reload_nothing(proxy: Proxy) -> None:
    a = proxy.node("a")
    proxy.start()
    proxy.report(a)
    until(lambda: served_by(proxy.write) == "a" and proxy.settled(), "a is up")
    before = proxy.workers()
    for number in range(20):
        proxy.registry.put(proxy.keys.members + "a", a.report().replace('"boot":"boot"', f'"boot":"{number}"'))
        time.sleep(0.1)
    assert proxy.workers() == before


def test_the_registry_may_go_and_come_back_empty(proxy: Proxy, etcd: Etcd) -> None:
    a, b = proxy.node("a"), proxy.node("b")
    proxy.report(a, b)
    proxy.record("a", "b", writer="ab")
    proxy.start()
    until(lambda: served_by(proxy.write) == "a" and proxy.settled(), "a is up")
    text, before = proxy.config.read_text(), proxy.workers()
    session = proxy.stack.enter_context(closing(Client(proxy.write)))
    with etcd.frozen():
        until(lambda: "cannot be read" in proxy.log(), "the watcher has noticed")
        time.sleep(3.5)  # longer than the lease
        status = json.loads(run(proxy, "status").stdout)
        assert (status["registry"], status["servers"]) == (False, ["a", "b"])
        assert status["model_age"] > 2
        metrics = (proxy.config.parent / "galerist_proxy.prom").read_text()
        assert "galerist_proxy_registry_answers 0.0" in metrics
        (age,) = (line.split()[-1] for line in metrics.splitlines() if line.startswith("galerist_proxy_model_age_"))
        assert float(age) > 1
        assert (served_by(proxy.write), served_by(proxy.read)) == ("a", "b")
        a.code = 503  # health checks decide meanwhile
        until(lambda: served_by(proxy.write) == "b", "b takes over without the registry")
        a.code = 200
    until(lambda: proxy.said(), "the proxy reports again")
    for key in proxy.registry.list(proxy.keys.root):
        proxy.registry.delete(key)  # wiped
    until(lambda: proxy.said(), "the proxy reports to the wiped registry")
    assert proxy.config.read_text() == text
    assert proxy.workers() == before
    assert session.alive(), "a was back before its sessions would have been cut"
    # a watcher that starts now knows the servers from its own memory
    assert proxy.end() == 0
    proxy.start()
    until(lambda: served_by(proxy.write) == "a", "a serves, from memory")
    assert proxy.config.read_text() == text


def test_a_broken_template_leaves_the_last_good_one_in_force(proxy: Proxy) -> None:
    import haproxy.render

    good = haproxy.render.BUILTIN.read_text()
    proxy.template.write_text(good)
    a, b = proxy.node("a"), proxy.node("b")
    proxy.report(a)
    proxy.start("--haproxy-template", str(proxy.template))
    until(lambda: served_by(proxy.write) == "a", "a is up")
    proxy.template.write_text(good + "{{ model.wriet }}\n")
    proxy.report(b)
    line = len(good.splitlines()) + 1
    until(lambda: (said := proxy.said()) and said.error and f"mine.cfg.j2, line {line}:" in said.error, "it is told")
    until(lambda: served_by(proxy.read) == "b", "members come and go by the last good one")

    proxy.template.write_text(good + "    nonsense here\n")
    until(lambda: (said := proxy.said()) and said.error and "nonsense" in said.error, "HAProxy's error is told")
    assert proxy.end() == 0
    proxy.start("--haproxy-template", str(proxy.template))
    until(lambda: served_by(proxy.write) == "a", "the next watcher starts with the last good one")
    until(lambda: (said := proxy.said()) and said.error and "nonsense" in said.error, "and tells that it does")

    proxy.template.write_text(good + "\nlisten more\n    mode http\n")
    until(lambda: "listen more" in proxy.config.read_text(), "corrected: it comes into force")
    until(lambda: (said := proxy.said()) and said.error is None, "and nothing is complained of")


def test_a_killed_haproxy_comes_back(proxy: Proxy) -> None:
    proxy.report(proxy.node("a"))
    proxy.start()
    until(lambda: served_by(proxy.write) == "a" and proxy.settled(), "a is up")
    (worker,) = proxy.workers()
    os.kill(worker, signal.SIGKILL)
    until(lambda: start_time(worker) is None and served_by(proxy.write) == "a", "another HAProxy serves")
    until(lambda: proxy.workers() and proxy.workers() != (worker,), "and is reported")


def test_the_next_watcher_adopts_what_a_killed_one_left(proxy: Proxy) -> None:
    a, b = proxy.node("a"), proxy.node("b")
    proxy.report(a)
    proxy.start()
    until(lambda: served_by(proxy.write) == "a" and proxy.settled(), "a is up")
    before = proxy.workers()
    session = proxy.stack.enter_context(closing(Client(proxy.write)))
    proxy.kill()
    assert served_by(proxy.write) == "a", "HAProxy serves without a watcher"
    proxy.start()
    until(lambda: "adopted" in proxy.log(), "the new watcher adopts")
    proxy.report(b)
    until(lambda: served_by(proxy.read) == "b", "and keeps it in line")
    assert session.alive()
    assert set(before) <= set(proxy.workers()), "the session's old worker is still there, and reported"
    assert proxy.end() == 0
    assert all(start_time(pid) is None for pid in before)


def run(proxy: Proxy, *more: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*proxy.command, *more], capture_output=True, text=True, timeout=60)


def test_a_port_in_use_is_named(proxy: Proxy) -> None:
    with socket.create_server(("127.0.0.1", proxy.read)):
        done = run(proxy)
    assert done.returncode == 1
    assert f"port {proxy.read} of 127.0.0.1 is in use" in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr


def test_a_missing_program_is_named(proxy: Proxy) -> None:
    done = run(proxy, "--haproxy-binary", "/nowhere/haproxy")
    assert done.returncode == 69
    assert done.stderr.strip().splitlines() == [
        "galerist haproxy: there is no program /nowhere/haproxy: install haproxy, or set haproxy_binary to where it is"
    ]


def test_two_watchers_do_not_share_a_folder(proxy: Proxy) -> None:
    proxy.start()
    done = run(proxy)
    assert done.returncode == 1
    assert proxy.process is not None
    assert f"another watcher (pid {proxy.process.pid})" in done.stderr


def test_a_first_template_that_is_broken_ends_in_one_message(proxy: Proxy) -> None:
    proxy.template.write_text("global\n{{ nothing }}\n")
    done = run(proxy, "--haproxy-template", str(proxy.template))
    assert done.returncode == 78
    assert f"{proxy.template}, line 2: 'nothing' is undefined" in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr


def test_a_registry_that_is_down_at_the_start_is_waited_for(proxy: Proxy, etcd: Etcd) -> None:
    a = proxy.node("a")
    proxy.report(a)
    with etcd.frozen():
        proxy.start()
        assert served_by(proxy.write) == ""
    until(lambda: served_by(proxy.write) == "a", "once the registry answers, a is there")


def order(proxy: Proxy, *words: str) -> subprocess.CompletedProcess[str]:
    """A command of a person, as a process."""
    where = ("--registry", proxy.etcd.url("etcd3"), "--cluster", proxy.keys.root.strip("/").rpartition("/")[2])
    return subprocess.run([*proxy.command[:3], *words, *where], capture_output=True, text=True, timeout=60)


def test_a_switchover_moves_every_session_and_is_confirmed(proxy: Proxy) -> None:
    proxy.report(proxy.node("a"), proxy.node("b"), proxy.node("c"))
    proxy.record("a", "b", "c", writer="abc")
    proxy.start()
    until(lambda: served_by(proxy.write) == "a" and proxy.settled(), "a is the writer")
    until(lambda: served_by(proxy.read) in ("b", "c"), "reads are served")
    before = proxy.workers()
    writing = proxy.stack.enter_context(closing(Client(proxy.write)))
    reading = [proxy.stack.enter_context(closing(Client(proxy.read))) for _ in range(4)]
    done = order(proxy, "switchover", "--to", "c")
    assert done.returncode == 0, done.stderr
    assert "Confirmed by p1" in done.stdout
    assert served_by(proxy.write) == "c"
    assert not writing.alive()
    assert all(session.alive() for session in reading), "readers are left in peace, also those of the new writer"
    until(lambda: served_by(proxy.read) in ("a", "b"), "new readers go elsewhere")
    refused = order(proxy, "switchover", "--to", "c")
    assert (refused.returncode, "c is the writer already" in refused.stderr) == (1, True)
    assert order(proxy, "switchover").returncode == 0
    assert served_by(proxy.write) == "a"
    assert proxy.workers() == before, "nothing was reloaded"


def test_a_drained_node_is_left_and_comes_back(proxy: Proxy) -> None:
    a = proxy.node("a")
    proxy.report(a, proxy.node("b"), proxy.node("c"))
    proxy.record("a", "b", "c", writer="abc")
    proxy.start()
    until(lambda: served_by(proxy.write) == "a" and proxy.settled(), "a is the writer")
    before = proxy.workers()
    session = proxy.stack.enter_context(closing(Client(proxy.write)))
    command = ThreadPoolExecutor(1).submit(order, proxy, "drain", "a")
    until(lambda: not session.alive(), "the session is ended")
    assert not command.done(), "the node is in flow control still"
    proxy.registry.put(proxy.keys.members + "a", a.report(desync=True))
    done = command.result()
    assert done.returncode == 0, done.stderr
    assert served_by(proxy.write) == "b"
    assert {served_by(proxy.all) for _ in range(9)} == {"b", "c"}
    assert {served_by(proxy.read) for _ in range(9)} == {"c"}
    second = order(proxy, "drain", "b")
    assert (second.returncode, "2 are needed" in second.stderr) == (1, True)
    assert proxy.end() == 0
    proxy.start()
    until(lambda: served_by(proxy.all) == "b" or served_by(proxy.all) == "c", "the next watcher knows of the drain")
    assert {served_by(proxy.all) for _ in range(9)} <= {"b", "c"}
    assert order(proxy, "undrain", "a").returncode == 0
    until(lambda: {served_by(proxy.all) for _ in range(9)} == {"a", "b", "c"}, "a serves again")
    assert served_by(proxy.write) == "b", "and does not take the writes back"
    assert before != proxy.workers(), "it is another HAProxy"


def test_a_watcher_killed_in_the_middle_is_taken_over(proxy: Proxy) -> None:
    """The file is written last: what the next watcher finds runs already, or is done again."""
    a, b, c = proxy.node("a"), proxy.node("b"), proxy.node("c")
    proxy.report(a, b)
    proxy.record("a", "b", writer="ab")
    proxy.start()
    until(lambda: served_by(proxy.write) == "a" and proxy.settled(), "a is the writer")
    before = proxy.workers()
    proxy.report(c)
    proxy.record("a", "b", "c", writer="cab")
    until(lambda: served_by(proxy.write) == "c", "c takes the writes", 10)
    proxy.kill()
    proxy.record("b", "c", writer="bca")
    proxy.start()
    until(lambda: served_by(proxy.write) == "b" and proxy.settled(), "the next watcher goes on from there")
    assert proxy.workers() == before, "without a reload"
