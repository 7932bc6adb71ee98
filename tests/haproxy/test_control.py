"""How HAProxy's answers read, and what follows from them."""

from __future__ import annotations

import contextlib
import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from haproxy.control import (
    Mute,
    Processes,
    Row,
    Session,
    ask,
    read_busy,
    read_processes,
    read_queues,
    read_rows,
    read_sessions,
)
from haproxy.sessions import leftovers

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


STATES = """1
# be_id be_name srv_id srv_name srv_addr srv_op_state srv_admin_state srv_uweight srv_iweight srv_time_since_last_change srv_check_status srv_check_result srv_check_health srv_check_state srv_agent_state bk_f_forced_id srv_f_forced_id srv_fqdn srv_port srvrecord srv_use_ssl srv_check_port srv_check_addr srv_agent_addr srv_agent_port
2 write 1000 a 127.0.0.1 2 0 1 1 1 15 3 2 6 0 0 1 - 7001 - 0 7101 - - 7101
2 write 500 c fd00::2 0 1 0 0 0 1 0 0 6 0 0 1 db.lan 7003 - 0 7103 - - 7103
3 read 1 gone 127.0.0.1 0 1 0 0 0 1 0 0 6 0 0 1 - 7003 - 0 7103 - - 7103
"""
STAT = """# pxname,svname,scur,status,lastchg,check_status,check_code,
write,FRONTEND,5,OPEN,,,,
write,a,3,UP,12,* L7OK,200,
write,c,0,MAINT,7,L4CON,,
write,new,0,UP,7,INI,,
write,BACKEND,5,UP,12,,,
"""
A_ROW = Row(1000, "127.0.0.1", "-", 7001, 7101, 1, False, True, "UP", "L7OK", "200", 12, 3)
C_ROW = Row(500, "fd00::2", "db.lan", 7003, 7103, 0, True, False, "MAINT", "L4CON", "", 7, 0)


def test_rows() -> None:
    assert read_rows(STATES, STAT) == {("write", "a"): A_ROW, ("write", "c"): C_ROW}
    assert read_rows("", STAT) == read_rows(STATES, "") == {}


def test_sessions_that_wait_for_a_server() -> None:
    stat = "# pxname,svname,qcur,\nwrite,FRONTEND,,\nwrite,a,2,\nwrite,BACKEND,1,\nread,BACKEND,0,\n"
    assert read_queues(stat) == {"write"}
    assert read_queues("") == read_queues(STAT) == frozenset()


BUSY = """0x564247eaf960: [21/Nov/2026:03:18:05.445559] id=25 proto=unix_stream source=unix:1
  frontend=GLOBAL (id=0 mode=tcp), listener=? (id=1) addr=unix:1
  backend=<NONE> (id=-1 mode=-)
  server=<NONE> (id=-1)
  req=0x564247eaf980 (f=0xc08002 an=0x0 pipe=0 tofwd=-1 total=14)
0x7ff900045ff0: [21/Nov/2026:03:18:05.231936] id=23 proto=tcpv4 source=127.0.0.1:52492
  backend=write (id=2 mode=tcp) addr=127.0.0.1:33434
  server=n-1.x (id=500) addr=127.0.0.1:7003
  req=0x7ff900046010 (f=0x808000 an=0x0 pipe=0 tofwd=-1 total=30)
  res=0x7ff900046070 (f=0x80008000 an=0x0 pipe=0 tofwd=-1 total=12)
"""


def test_busy_sessions() -> None:
    assert read_busy(BUSY) == (Session("0x7ff900045ff0", "write", "n-1.x", 30, 12),)


# What HAProxy might say: its own words cut, doubled and mixed with anything.
PIECES = st.sampled_from([*re.split(r"(\s|,)", PROC + SESS + STATES + STAT + BUSY), "\x00", "-1", "9" * 30, "²", '"'])
ANSWERS = st.one_of(st.text(), st.lists(PIECES, max_size=60).map("".join))


@settings(max_examples=300, deadline=None)
@given(ANSWERS, ANSWERS)
def test_no_answer_brings_the_watcher_down(one: str, other: str) -> None:
    for text in (one, STATES + one, PROC + one):
        with contextlib.suppress(Mute):
            assert read_processes(text).master > 0
        rows = read_rows(text, STAT + other)
        assert all(row.sessions >= 0 and row.id >= 0 for row in rows.values())
        found = (*read_sessions(text), *read_busy(BUSY + text))
        assert all(session.id.startswith("0x") for session in found)
        assert set(leftovers(found, rows, 1.0, 5.0)) <= set(found)


def test_nobody_there(tmp_path: Path) -> None:
    with pytest.raises(Mute, match="no.sock"):
        ask(tmp_path / "no.sock", "show info")
