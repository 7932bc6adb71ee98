"""From what runs to what is wanted: pure, against a model of HAProxy's own rules."""

from __future__ import annotations

from dataclasses import dataclass, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from haproxy.control import Row
from haproxy.members import Layout, plan, read_layout
from haproxy.model import Policy, Server, model
from haproxy.render import render
from haproxy.states import state_file

POLICY = Policy(("127.0.0.1",), 3306, 3307, 3308, ("127.0.0.1",), 8404)
FACTS = {"cluster": "g", "admin_socket": "/a", "state_file": "/s", "socket_mode": "600", "wait_file": "", "drop_to": ""}
A, B, C, D = (Server(name, f"10.0.0.{number}", 3306, 9200) for number, name in enumerate("abcd", 1))


def layout(*servers: Server, text: str = "") -> Layout:
    return read_layout(render(model(servers, POLICY), FACTS) + text)


@dataclass
class Fake:
    """HAProxy as far as members go: refuses what the real one refuses."""

    rows: dict[tuple[str, str], Row]

    def do(self, line: str) -> None:
        for command in line.split("; "):
            verb, what, target, *rest = command.replace("shutdown sessions server", "shutdown sessions").split()
            key = (target.split("/")[0], target.split("/")[1])
            row = self.rows.get(key)
            if (verb, what) == ("add", "server"):
                assert row is None, f"{target} is there already"
                host, _, port = rest[0].rpartition(":")
                number = int(rest[rest.index("id") + 1]) if "id" in rest else self._free(key[0])
                assert 0 < number < 2**31
                assert number not in [r.id for (p, _), r in self.rows.items() if p == key[0]], "the id is taken"
                check = int(rest[rest.index("port") + 1])
                assert rest[-2:] == ["weight", "0"], "it must not take clients yet"
                self.rows[key] = Row(
                    number, host.strip("[]"), "-", int(port), check, 0, True, False, "MAINT", "INI", "", 0, 0
                )
                continue
            assert row is not None, f"no such server: {command}"
            match (verb, what, *rest):
                case ("del", "server"):
                    assert row.maint
                    if not row.sessions:
                        del self.rows[key]
                case ("shutdown", "sessions"):
                    pass  # they end a little later
                case ("enable", "health"):
                    pass
                case ("enable", "server") | ("set", "server", "state", "ready"):
                    self.rows[key] = replace(row, maint=False, running=True, status="UP")
                case ("set", "server", "state", "maint"):
                    self.rows[key] = replace(row, maint=True, running=False, status="MAINT")
                case ("set", "server", "health", "down"):
                    assert row.weight == 0, "clients might be sent there in between"
                    self.rows[key] = replace(row, running=False, status="DOWN")
                case ("set", "server", "weight", number_):
                    self.rows[key] = replace(row, weight=int(number_))
                case _:
                    raise AssertionError(command)

    def _free(self, proxy: str) -> int:
        taken = {row.id for (p, _), row in self.rows.items() if p == proxy}
        return next(number for number in range(1, 10_000) if number not in taken)

    def start(self, wanted: Layout) -> Fake:
        """As after a start with that configuration."""
        for proxy, lines in wanted.servers.items():
            for number, line in enumerate(lines, 1):
                self.rows[proxy, line.name] = Row(
                    line.rank or number, line.address, "-", line.port, line.check_port or 0, line.weight,
                    False, True, "UP", "L7OK", "200", 9, 0,
                )  # fmt: skip
        return self

    def follow(self, wanted: Layout, former: Layout) -> str:
        """Until nothing is left but sessions; what waits for them, or why a reload is needed."""
        steps: tuple[tuple[str, str], ...] = ()
        for _ in range(5):
            made = plan(wanted, former, self.rows)
            if made.reload or not made.steps or made.steps == steps:
                return made.reload or " ".join(sorted("/".join(server) for server in made.leaving))
            steps = made.steps
            for _, step in steps:
                self.do(step)
        raise AssertionError("it never comes to rest")

    def end_sessions(self) -> None:
        for key, row in self.rows.items():
            if row.weight == 0 or row.maint:
                self.rows[key] = replace(row, sessions=0)

    def order(self) -> str:
        usable = [
            (row.id, name)
            for (proxy, name), row in self.rows.items()
            if proxy == "write" and row.weight and not row.maint
        ]
        return "".join(name for _, name in sorted(usable))

    def busy(self, *servers: str) -> None:
        for server in servers:
            proxy, _, name = server.partition("/")
            self.rows[proxy, name] = replace(self.rows[proxy, name], sessions=3)


def test_a_layout_is_read() -> None:
    read = read_layout(
        "defaults\n  default-server inter 1s check init-addr libc,none\n"
        "listen write\n  bind :1\n  server a 10.0.0.1:3306 id 7 port 9200 weight 0 # why\n"
        "  server b [fd00::2]:3306 id 3 port 9200\nlisten other\n  server x 1.1.1.1:1\n"
        "backend read\n  server c db.lan:3306\n"
    )
    a, b = reversed(read.servers["write"])
    assert (a.name, a.address, a.port, a.check_port, a.rank, a.weight) == ("a", "10.0.0.1", 3306, 9200, 7, 0)
    assert a.args == ("inter", "1s", "check", "port", "9200")
    assert (b.name, b.address, b.weight, b.plain) == ("b", "fd00::2", 1, True)
    assert not read.servers["read"][0].plain
    assert "server x" in read.structure
    assert "server a" not in read.structure


@settings(max_examples=300, deadline=None)
@given(
    st.text()
    | st.lists(
        st.sampled_from(
            [
                "listen write\n",
                " server a ",
                "1.2.3.4:5",
                " id",
                " weight",
                " x",
                "\n",
                "defaults\n",
                "default-server ",
                "init-addr",
                " port 9",
            ]
        )
    ).map("".join)
)
def test_any_configuration_is_read(text: str) -> None:
    assert set(read_layout(text).servers) <= {"write", "read", "all"}


def test_nothing_to_do_when_all_is_right() -> None:
    wanted = layout(A, B, C)
    assert plan(wanted, wanted, Fake({}).start(wanted).rows).done


def test_the_writer_moves_without_touching_its_sessions() -> None:
    fake = Fake({}).start(layout(A, B, C))
    fake.busy("write/a", "read/b")
    assert fake.follow(layout(B, A, C), layout(A, B, C)) == ""
    assert fake.order() == "bac"
    assert fake.rows["write", "a"].sessions == 3, "they are ended by the rule of one writer"
    assert fake.rows["write", "b"].running, "known to be up, it takes sessions at once"
    assert (fake.rows["read", "b"].weight, fake.rows["read", "a"].weight) == (0, 1)
    assert fake.rows["read", "b"].sessions == 3


def test_back_again_while_the_first_move_is_not_over() -> None:
    fake = Fake({}).start(layout(A, B, C))
    fake.busy("write/a")
    fake.follow(layout(B, A, C), layout(A, B, C))
    fake.busy("write/b")
    assert fake.follow(layout(A, B, C), layout(B, A, C)) == "write/b"
    assert fake.order() == "ac", "new sessions go to a at once; b is in the way and loses its own first"
    assert fake.rows["write", "a"].sessions == 3
    fake.end_sessions()
    assert fake.follow(layout(A, B, C), layout(B, A, C)) == ""
    assert fake.order() == "abc"


def test_a_node_that_goes_is_gone_when_its_sessions_are() -> None:
    fake = Fake({}).start(layout(A, B, C))
    fake.busy("write/a", "all/a")
    assert fake.follow(layout(B, C), layout(A, B, C)) == "all/a write/a"
    fake.end_sessions()
    assert fake.follow(layout(B, C), layout(A, B, C)) == ""
    assert ("all", "a") not in fake.rows


def test_a_new_address_is_a_new_server() -> None:
    fake = Fake({}).start(layout(A, B))
    moved = replace(B, address="fd00::9")
    assert fake.follow(layout(A, moved), layout(A, B)) == ""
    assert fake.rows["read", "b"].address == "fd00::9"
    assert not fake.rows["read", "b"].running, "nobody has looked at it there"
    assert plan(layout(A, replace(moved, address="FD00:0::9")), layout(A, B), fake.rows).done, "the same in other words"


def test_what_takes_a_reload() -> None:
    fake = Fake({}).start(layout(A, B))
    assert "more than servers" in fake.follow(layout(A, B, text="listen x\n"), layout(A, B))
    named = replace(C, address="db3.lan")
    assert "cannot be made at run time" in fake.follow(layout(A, B, named), layout(A, B))
    other = read_layout(
        render(model((A, B), POLICY), FACTS).replace("id 1001000000 port", "id 1001000000 send-proxy port")
    )
    assert "options of write/b" in fake.follow(other, layout(A, B))
    crowded = {("write", name): replace(row, id=number) for number, (name, row) in enumerate(
        ((name, row) for (proxy, name), row in fake.rows.items() if proxy == "write"), 1)}  # fmt: skip
    assert "no id is left for write/c" in Fake(fake.rows | crowded).follow(layout(C, A, B), layout(A, B))


def test_a_hand_in_maintenance_stays() -> None:
    fake = Fake({}).start(layout(A, B))
    fake.do("set server read/b state maint")
    assert fake.follow(layout(A, B), layout(A, B)) == ""
    assert fake.rows["read", "b"].maint


NAMES = st.lists(st.sampled_from("abcdefg"), unique=True, min_size=1)
CHANGES = st.lists(
    st.tuples(NAMES, st.sets(st.sampled_from("abcdefg")), st.booleans(), st.booleans()), min_size=1, max_size=8
)


@settings(max_examples=200, deadline=None)
@given(CHANGES)
def test_any_series_of_changes_comes_out_right(changes: list[tuple[list[str], set[str], bool, bool]]) -> None:
    """Whatever the order, whoever has sessions, and whether those end before the next change or
    not: new sessions go to the wanted writer at once, and in the end all is as wanted."""
    former = layout(A)
    fake = Fake({}).start(former)
    for names, busy, ended, moved in changes:
        servers = [Server(name, f"10.0.{int(moved)}.{ord(name)}", 3306, 9200) for name in names]
        wanted = layout(*servers)
        fake.busy(*(f"{proxy}/{name}" for (proxy, name), row in fake.rows.items() if name in busy and row.weight))
        left = fake.follow(wanted, former)
        assert "no id" not in left, "a reload is for what cannot be done otherwise"
        first = fake.rows.get(("write", names[0]))
        if f"write/{names[0]}" not in left.split():
            assert first is not None
            assert fake.order()[0] == names[0]
        for (_, name), row in fake.rows.items():
            if name not in names:
                assert row.maint, "what goes takes nothing"
        if ended:
            fake.end_sessions()
        former = wanted
    for _ in range(4):
        left = fake.follow(former, former)
        fake.end_sessions()
    assert left == ""
    assert fake.order() == "".join(names)
    assert {name for _, name in fake.rows} == set(names)


def state(text: str) -> dict[str, tuple[str, str, str]]:
    from haproxy.control import read_states

    rows = {key: row for key, row in read_states(text).items() if key[0] == "write"}
    return {
        name: (row["srv_op_state"], row["srv_check_health"], row["srv_admin_state"]) for (_, name), row in rows.items()
    }


def rows_of(text: str) -> dict[tuple[str, str], dict[str, str]]:
    from haproxy.control import read_states

    return read_states(text)


def test_unknown_servers_begin_down() -> None:
    assert state(state_file(layout(A, B), {})) == {"a": ("0", "0", "0"), "b": ("0", "0", "0")}


def test_known_servers_keep_their_state_at_the_same_address_only() -> None:
    running = rows_of(state_file(layout(A, B), {}))
    for row in running.values():
        row |= {"srv_op_state": "2", "srv_check_health": "3", "srv_check_status": "15", "srv_admin_state": "41"}
    up = ("2", "3", "9")  # of the admin state only what a person has set
    assert state(state_file(layout(A, B), running)) == {"a": up, "b": up}
    assert state(state_file(layout(replace(A, address="10.0.0.7"), B), running)) == {"a": ("0", "0", "9"), "b": up}
    assert state(state_file(layout(replace(A, check_port=9999)), running)) == {"a": ("0", "0", "9")}


def test_a_server_by_name_is_known_by_its_name() -> None:
    named = replace(A, address="db1.lan")
    running = rows_of(state_file(layout(named), {}))
    running["write", "a"] |= {"srv_addr": "10.0.0.3", "srv_fqdn": "db1.lan", "srv_op_state": "2"}
    assert state(state_file(layout(named), running))["a"][0] == "2"


@pytest.mark.parametrize("text", ["2\n# a b\nx y\n", ""])
def test_an_unknown_version_of_the_state_is_not_guessed_at(text: str) -> None:
    assert rows_of(text) == {}
