"""Members of a real HAProxy, changed at run time: no reload, whatever was done to it meanwhile."""

from __future__ import annotations

import os
import signal
from dataclasses import replace

import pytest

from haproxy.control import ask
from haproxy.model import Server, model
from haproxy.render import render
from tests.haproxy.fakes import served_by, until
from tests.haproxy.test_process import Bench, bench, client

__all__ = ["bench"]


def order(one: Bench) -> str:
    rows = [(row.id, name) for (proxy, name), row in one.haproxy.runtime.look().items() if proxy == "write"]
    return "".join(name for _, name in sorted(rows))


def test_members_come_go_and_change_places_in_one_worker(bench: Bench) -> None:
    a, b, c = bench.nodes("a", "b", "c")
    bench.apply(a)
    until(lambda: served_by(bench.write) == "a", "a is up")
    workers, session = bench.haproxy.processes().workers, client(bench, bench.write)
    assert not bench.apply(a, b, c)
    assert order(bench) == "abc"
    until(lambda: {served_by(bench.read) for _ in range(6)} == {"b", "c"}, "the new ones take reads")
    assert not bench.apply(c, a, b)
    assert session.alive(), "it is quiet, but not yet for long"
    until(lambda: bench.look_after() == 1, "new sessions wait until it has ended")
    assert not bench.apply(c, a, b)
    assert served_by(bench.write) == "c"
    assert not bench.apply(c, b)
    assert order(bench) == "cb"
    assert bench.haproxy.processes().workers == workers
    assert bench.haproxy.reloads == 0
    assert bench.haproxy.settle()
    assert bench.haproxy.config.read_text() == bench.config(c, b)


def test_a_new_member_takes_nobody_before_its_check_has_passed(bench: Bench) -> None:
    good, bad = *bench.nodes("good"), *bench.nodes("bad", code=503)
    bench.apply(good)
    ports = (bench.write, bench.read, bench.all)
    until(lambda: {served_by(port) for port in ports} == {"good"}, "good is up")
    bench.apply(bad, good)
    assert {served_by(port) for _ in range(20) for port in ports} == {"good"}


def test_what_somebody_has_undone_is_done_again(bench: Bench) -> None:
    a, b = bench.nodes("a", "b")
    bench.apply(a, b)
    until(lambda: served_by(bench.read) == "b", "b is up")
    ask(bench.haproxy.admin, "set server all/b state maint; del server all/b; set server write/a weight 0")
    assert not bench.apply(a, b)
    until(lambda: {served_by(bench.all) for _ in range(6)} == {"a", "b"}, "b is there again")
    assert served_by(bench.write) == "a"


@pytest.mark.parametrize("victim", ["master", "workers"])
def test_a_haproxy_killed_in_the_middle_ends_up_right(bench: Bench, victim: str) -> None:
    a, b, c = bench.nodes("a", "b", "c")
    bench.apply(a, b)
    until(lambda: served_by(bench.write) == "a", "a is up")
    bench.apply(c, a, b)  # nothing of this is in the file yet
    processes = bench.haproxy.processes()
    os.kill(processes.master if victim == "master" else processes.workers[0], signal.SIGKILL)
    until(lambda: not bench.haproxy.running(), "it is seen to be gone")
    assert bench.apply(c, a, b)
    assert order(bench) == "cab"
    until(lambda: served_by(bench.write) == "c", "the next one knows it all")


def test_a_start_from_an_older_file_ends_up_right(bench: Bench) -> None:
    """As when a supervisor of HAProxy's own restarts it."""
    a, b, c = bench.nodes("a", "b", "c")
    bench.apply(a, b)
    bench.haproxy.replace(bench.config(a, b))
    bench.haproxy.applied = bench.config(c, b)  # what the watcher believes to run
    reloads = bench.haproxy.reloads
    assert not bench.apply(c, b)
    assert order(bench) == "cb"
    assert bench.haproxy.reloads == reloads


def test_a_hundred_members(bench: Bench) -> None:
    nodes = bench.nodes("a", "b")
    servers = [Server(f"n{number}", f"127.1.0.{number}", 3306, 9200) for number in range(1, 99)]

    def text(*every: Server) -> str:
        facts = {**bench.haproxy.facts(), "cluster": "t", "drop_to": ""}
        return render(model(every, bench.policy), facts)

    bench.haproxy.apply(text(nodes[0].server))
    assert not bench.haproxy.apply(text(*(node.server for node in nodes), *servers))
    assert len(bench.haproxy.runtime.look()) == 300
    until(lambda: served_by(bench.write) == "a", "a is up")
    moved = [replace(server, port=3307) for server in reversed(servers)]
    assert not bench.haproxy.apply(text(nodes[1].server, *moved, nodes[0].server))
    assert {row.port for (_, name), row in bench.haproxy.runtime.look().items() if name == "n7"} == {3307}
    until(lambda: served_by(bench.write) == "b", "b is the writer")


def test_what_haproxy_does_not_take_at_run_time_is_told(bench: Bench) -> None:
    a, b = bench.nodes("a", "b")
    bench.apply(a)
    head, listener, tail = bench.config(a, b).partition("listen all")
    text = head + listener + tail.replace(f":{b.port} ", f":{b.port} track write/b ")
    assert "checks and tracking at the same time" in bench.haproxy.follow(text)
    assert bench.haproxy.applied == bench.config(a), "the loop reloads now"
