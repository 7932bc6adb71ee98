"""How HAProxy's answers read, and what follows from them."""

from __future__ import annotations

from pathlib import Path

import pytest

from haproxy.control import (
    Mute,
    Processes,
    Session,
    ask,
    leftovers,
    read_processes,
    read_sessions,
    read_states,
    read_status,
    state_file,
)
from haproxy.model import Policy, Server, model

PROC = """#<PID>          <type>          <reloads>       <uptime>        <version>
10843           master          1 [failed: 2]   0d00h00m03s     2.6.12-1+deb12u4
# workers
10952           worker          0               0d00h00m00s     2.6.12-1+deb12u4
# old workers
10902           worker          1               0d00h00m03s     2.6.12-1+deb12u4
# programs

"""
SESS = """0x55cefd9c5180: proto=tcpv4 src=127.0.0.1:42550 fe=write be=write srv=n2 ts=00 epoch=0 age=1s
0x7f3084047a00: proto=sockpair src=unix:2 fe=GLOBAL be=<NONE> srv=<none> ts=00 epoch=0 age=0s calls=1
0x55cefd9c5181: proto=tcpv6 src=::1:42552 fe=read be=read srv=n-1.x ts=00 epoch=0 age=1s
"""
POLICY = Policy(("127.0.0.1",), 3306, 3307, 3308, ("127.0.0.1",), 8404)
A, B = Server("a", "10.0.0.1", 3306, 9200), Server("b", "fd00::2", 3307, 9201)


def test_processes() -> None:
    assert read_processes(PROC) == Processes(10843, 2, (10952,), (10902,))
    assert read_processes(PROC).alive == (10952, 10902)
    with pytest.raises(Mute):
        read_processes("Unknown command\n")


def test_sessions() -> None:
    assert read_sessions(SESS) == (
        Session("0x55cefd9c5180", "write", "n2"),
        Session("0x55cefd9c5181", "read", "n-1.x"),
    )


def test_status() -> None:
    text = "# pxname,svname,status,\nwrite,FRONTEND,OPEN,\nwrite,a,UP,\nwrite,b,DOWN 1/3,\nwrite,BACKEND,UP,\n"
    assert read_status(text) == {("write", "a"): "UP", ("write", "b"): "DOWN 1/3"}


@pytest.mark.parametrize(
    ("a", "b", "ended"),
    [
        ("UP", "UP", "write/b"),  # the writer is back, or the order has changed
        ("DOWN", "UP", "write/a read/a"),
        ("DOWN 1/3", "UP 1/3", "write/a read/a"),
        ("NOLB", "UP", ""),  # drained: its sessions may live
        ("MAINT", "UP", "write/a read/a"),
        ("DOWN", "DOWN", "write/a read/a write/b read/b"),
        ("DOWN", "NOLB", "write/a read/a"),
        (None, "UP", "write/a read/a"),  # no longer there at all
    ],
)
def test_leftovers(a: str | None, b: str, ended: str) -> None:
    sessions = [Session(f"{proxy}/{server}", proxy, server) for server in "ab" for proxy in ("write", "read")]
    status = {(proxy, "b"): b for proxy in ("write", "read")}
    if a is not None:
        status |= {(proxy, "a"): a for proxy in ("write", "read")}
    assert " ".join(session.id for session in leftovers(sessions, status, ("a", "b"))) == ended


def state(text: str) -> dict[str, tuple[str, str, str]]:
    rows = read_states(text)
    return {
        name: (row["srv_op_state"], row["srv_check_health"], row["srv_admin_state"]) for (_, name), row in rows.items()
    }


def test_unknown_servers_begin_down() -> None:
    assert state(state_file(model((A, B), POLICY), {})) == {"a": ("0", "0", "0"), "b": ("0", "0", "0")}


def test_known_servers_keep_their_state_at_the_same_address_only() -> None:
    running = read_states(state_file(model((A, B), POLICY), {}))
    for row in running.values():
        row |= {"srv_op_state": "2", "srv_check_health": "3", "srv_check_status": "15", "srv_admin_state": "41"}
    running["write", "b"]["srv_addr"] = "fd00:0::2"
    up = ("2", "3", "9")  # of the admin state only what a person has set
    assert state(state_file(model((A, B), POLICY), running)) == {"a": up, "b": up}
    moved = Server("a", "10.0.0.7", 3306, 9200)
    assert state(state_file(model((moved, B), POLICY), running)) == {"a": ("0", "0", "9"), "b": up}
    other_port = Server("a", "10.0.0.1", 3306, 9999)
    assert state(state_file(model((other_port,), POLICY), running)) == {"a": ("0", "0", "9")}


def test_a_server_by_name_is_known_by_its_name() -> None:
    named = Server("a", "db1.lan", 3306, 9200)
    running = read_states(state_file(model((named,), POLICY), {}))
    running["write", "a"] |= {"srv_addr": "10.0.0.3", "srv_fqdn": "db1.lan", "srv_op_state": "2"}
    assert state(state_file(model((named,), POLICY), running))["a"][0] == "2"


def test_an_unknown_version_of_the_state_is_not_guessed_at() -> None:
    assert read_states("2\n# a b\nx y\n") == {}
    assert read_states("") == {}


def test_nobody_there(tmp_path: Path) -> None:
    with pytest.raises(Mute, match="no.sock"):
        ask(tmp_path / "no.sock", "show info")
