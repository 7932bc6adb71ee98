"""Names and ports of a local cluster, and the files made from them."""

import stat
import tomllib
from pathlib import Path

import pytest

from galerist.local import plan as planning
from galerist.local import prepare, render
from galerist.local.layout import LONGEST_DIR, Layout, LocalError, default_dir
from galerist.local.plan import Moved, Plan, agree, choose_ports, names, wanted_ports
from galerist.settings import load

LAYOUT = Layout(Path("/tmp/galerist-test"))


def a_plan(count: int = 3, **changes: object) -> Plan:
    nodes = names(count)
    values: dict[str, object] = {"cluster": "galera", "nodes": nodes, "ports": wanted_ports(nodes)}
    return Plan(**(values | changes))  # type: ignore[arg-type]


def test_defaults_are_distinct_for_the_largest_cluster() -> None:
    ports = wanted_ports(names(planning.MOST_NODES))
    assert len(set(ports.values())) == len(ports) == 8 + 6 * 9
    assert max(ports.values()) <= planning.LAST_PORT


def test_free_defaults_are_taken_as_they_are() -> None:
    chosen, moved = choose_ports(names(3), {}, lambda port: True)
    assert chosen == wanted_ports(names(3))
    assert chosen["write_port"] == 13306 and chosen["n1.sql_port"] == 13311
    assert moved == ()


def test_a_busy_port_moves_alone_and_is_told() -> None:
    chosen, moved = choose_ports(names(1), {}, lambda port: port not in (13306, 13406))
    assert chosen["write_port"] == 13506
    assert chosen["read_port"] == 13307
    assert moved == (Moved("write_port", 13306, 13506),)
    assert str(moved[0]) == "port 13306 (write_port) is used by another program, 13506 is taken instead"


def test_saved_ports_win_over_defaults() -> None:
    saved = wanted_ports(names(3)) | {"write_port": 20001}
    assert choose_ports(names(3), saved, lambda port: True)[0]["write_port"] == 20001


def test_a_moved_port_never_takes_what_another_part_has_saved() -> None:
    saved = wanted_ports(names(1)) | {"read_port": 13406}
    chosen, _ = choose_ports(names(1), saved, lambda port: port != 13306)
    assert chosen["read_port"] == 13406
    assert chosen["write_port"] == 13506


def test_the_same_port_saved_twice_is_mended() -> None:
    saved = wanted_ports(names(1)) | {"read_port": 13306}
    chosen, moved = choose_ports(names(1), saved, lambda port: True)
    assert len(set(chosen.values())) == len(chosen)
    assert [move.key for move in moved] == ["read_port"]


def test_no_free_port_is_an_error_and_not_an_endless_search() -> None:
    with pytest.raises(LocalError, match="no free port was found for write_port"):
        choose_ports(names(1), {}, lambda port: False)


def test_growing_keeps_the_ports_of_those_who_are_there() -> None:
    saved = wanted_ports(names(1)) | {"n1.sql_port": 25000}
    chosen, moved = choose_ports(names(3), saved, lambda port: True)
    assert chosen["n1.sql_port"] == 25000
    assert chosen["n3.sql_port"] == 13313
    assert moved == ()


def test_what_is_not_asked_for_stays() -> None:
    saved = a_plan(5, cluster="shop", sst_method="mariabackup", init_sql=("/a.sql",))
    assert agree(saved, None, None, None, (), "") == saved


def test_a_new_cluster_has_three_nodes_and_rsync() -> None:
    plan = agree(None, None, None, None, (), "mysql")
    assert (plan.cluster, plan.nodes, plan.sst_method, plan.server_user) == (
        "galera",
        ("n1", "n2", "n3"),
        "rsync",
        "mysql",
    )


@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        ((None, 0, None), 2, "choose a number from 1 to 9"),
        ((None, 10, None), 2, "choose a number from 1 to 9"),
        ((3, 2, None), 78, "--nodes 3, or begin anew with `galerist down --wipe`"),
        ((3, None, "other"), 78, "say --cluster galera, or choose another --dir"),
    ],
)
def test_what_a_cluster_cannot_become(
    arguments: tuple[int | None, int | None, str | None], code: int, text: str
) -> None:
    has, nodes, cluster = arguments
    with pytest.raises(LocalError) as caught:
        agree(a_plan(has) if has else None, nodes, cluster, None, (), "")
    assert caught.value.code == code
    assert text in str(caught.value)


def test_even_and_single_clusters_are_advised_against() -> None:
    assert planning.advice(3) is None
    assert "one node" in str(planning.advice(1))
    assert "odd number" in str(planning.advice(4))


def test_a_plan_comes_back_as_it_was_written() -> None:
    plan = a_plan(3, init_sql=("/tmp/a b.sql",), server_user="mysql")
    assert planning.load(planning.dump(plan)) == plan


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"format": 2}', '{"format": 1, "cluster": "c"}'])
def test_a_damaged_plan_is_a_value_error(text: str) -> None:
    with pytest.raises(ValueError):
        planning.load(text)


def test_the_settings_of_a_node_are_what_galerist_reads(tmp_path: Path) -> None:
    layout = Layout(tmp_path / "c")
    prepare.make_dir(layout, "")
    dump = tmp_path / 'ein "Dump" ü.sql'
    dump.write_text("SELECT 1;")
    plan = a_plan(3, init_sql=(str(dump),))
    prepare.write_files(plan, layout)
    settings = load({}, {}, layout.node_settings("n2"))
    assert settings.registry == "etcd3://127.0.0.1:12379"
    assert (settings.node, settings.host, settings.bind, settings.check_bind) == ("n2", *["127.0.0.1"] * 3)
    assert (settings.sql_port, settings.gcomm_port, settings.ist_port) == (13312, 14562, 14572)
    assert (settings.sst_port, settings.check_port) == (14442, 19202)
    assert settings.expect == ("n1", "n2", "n3")
    assert settings.datadir == layout.datadir("n2")
    assert settings.init_sql == (dump,)
    assert settings.app_password is not None
    assert settings.app_password.reveal() == layout.secret("app").read_text().strip()


def test_the_settings_of_the_proxy_are_what_galerist_reads(tmp_path: Path) -> None:
    layout = Layout(tmp_path / "c")
    prepare.make_dir(layout, "")
    prepare.write_files(a_plan(), layout)
    settings = load({}, {}, layout.proxy_settings)
    assert (settings.write_port, settings.read_port, settings.all_port, settings.stats_port) == (
        13306,
        13307,
        13308,
        18404,
    )
    assert (settings.proxy_bind, settings.stats_bind) == (("127.0.0.1",), "127.0.0.1")
    assert settings.haproxy_dir == layout.haproxy()
    assert load({}, {}, layout.settings).registry == settings.registry


def test_nothing_that_holds_a_secret_is_open_to_others(tmp_path: Path) -> None:
    layout = Layout(tmp_path / "c")
    prepare.make_dir(layout, "")
    prepare.write_files(a_plan(), layout)
    for path in (layout.client, layout.secret("root"), layout.node_settings("n1"), layout.plan):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600, path
    password = layout.secret("app").read_text().strip()
    assert f"password = {password}" in layout.client.read_text()
    assert "port = 13306" in layout.client.read_text()
    rendered = layout.node_settings("n1").read_text() + layout.proxy_settings.read_text()
    assert not [name for name in ("root", "sst", "check", "app") if layout.secret(name).read_text().strip() in rendered]


def test_secrets_outlive_a_second_start(tmp_path: Path) -> None:
    layout = Layout(tmp_path / "c")
    prepare.make_dir(layout, "")
    prepare.write_files(a_plan(), layout)
    before = layout.client.read_text()
    prepare.write_files(a_plan(), layout)
    assert layout.client.read_text() == before


def test_everything_listens_on_loopback_only() -> None:
    plan = a_plan()
    for word in render.commands(plan, LAYOUT)["etcd"]:
        assert "://" not in word or "http://127.0.0.1:" in word
    for values in (render.node_settings(plan, LAYOUT, "n1"), render.proxy_settings(plan, LAYOUT)):
        assert {value for key, value in values.items() if key.endswith(("bind", "host"))} == {"127.0.0.1"}


def test_one_child_for_each_part() -> None:
    commands = render.commands(a_plan(2), LAYOUT)
    assert list(commands) == ["etcd", "n1", "n2", "proxy", "n1-check", "n2-check", "dashboard"]
    assert commands["n2"][-3:] == ("bootstrap", "--config", "/tmp/galerist-test/nodes/n2/galerist.toml")


def test_settings_of_the_caller_do_not_reach_the_children() -> None:
    environ = {"GALERIST_CLUSTER": "other", "ETCD_NAME": "x", "PATH": "/opt/bin", "LANG": "C", "no_proxy": "a"}
    result = render.environment(environ, LAYOUT, "x86_64")
    assert "GALERIST_CLUSTER" not in result and "ETCD_NAME" not in result
    assert result["LANG"] == "C"
    assert result["PATH"].split(":")[0] == "/opt/bin" and "/usr/sbin" in result["PATH"].split(":")
    assert result["TMPDIR"] == "/tmp/galerist-test/tmp"
    assert result["no_proxy"] == "a,127.0.0.1,localhost"


def test_odd_texts_survive_toml() -> None:
    values = {"a": 'q"\\ü\x7f\t', "b": 3, "c": True, "d": ["x", "y z"]}
    assert tomllib.loads(render.toml(values)) == values


def test_sockets_of_a_long_directory_live_elsewhere() -> None:
    short = Layout(Path("/" + "d" * (LONGEST_DIR - 1)))
    long = Layout(Path("/" + "d" * LONGEST_DIR))
    assert short.sockets() == short.run and short.haproxy() == short.proxy
    assert str(long.sockets()).startswith("/tmp/galerist-")
    assert len(f"{long.haproxy()}/sixteen-letters-.1234567.tmp") <= 107
    assert long.sockets() != Layout(Path("/" + "e" * LONGEST_DIR)).sockets()


def test_default_directories(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/ada")
    assert default_dir("galera", {}, 0) == Path("/var/lib/galerist/galera")
    assert default_dir("shop", {"XDG_STATE_HOME": "/state"}, 1000) == Path("/state/galerist/shop")
    assert default_dir("shop", {"XDG_STATE_HOME": "relative"}, 1000) == Path("/home/ada/.local/state/galerist/shop")
    assert default_dir("shop", {}, 1000) == Path("/home/ada/.local/state/galerist/shop")
