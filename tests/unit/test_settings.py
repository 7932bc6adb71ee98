"""Settings: where values come from, and what is said of wrong ones."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest

from galerist.settings import FIELDS, PARTS, Problem, Secret, Settings, SettingsError, load
from galerist.settings.document import document
from galerist.settings.userconf import refusal, unquote


def settings(
    tmp_path: Path,
    toml: str | None = None,
    flags: Mapping[str, str | None] | None = None,
    environ: Mapping[str, str] | None = None,
    part: str | None = None,
) -> Settings:
    file = None
    if toml is not None:
        file = tmp_path / "galerist.toml"
        file.write_text(toml)
    return load(flags or {}, environ or {}, file, part)


def problems(tmp_path: Path, *arguments: object, **named: object) -> tuple[Problem, ...]:
    with pytest.raises(SettingsError) as caught:
        settings(tmp_path, *arguments, **named)  # type: ignore[arg-type]
    return caught.value.problems


def only(found: tuple[Problem, ...]) -> Problem:
    assert len(found) == 1, found
    return found[0]


def test_defaults_are_right_without_anything(tmp_path: Path) -> None:
    value = settings(tmp_path)
    assert (value.cluster, value.registry, value.sql_port, value.expect) == (
        "galera",
        "etcd3://127.0.0.1:2379",
        3306,
        3,
    )
    assert value.stamp_dir == Path("/var/lib/mysql.galerist")
    assert value.socket == Path("/var/lib/mysql.galerist/run/mariadb.sock")
    assert value.check_disabled_file == Path("/var/lib/mysql.galerist/disabled")
    assert value.unit == f"galera@{value.node}"
    assert value.registry_tls is False
    assert value.root_password is None
    assert value.mariadb == ()


def test_flag_over_environment_over_file_over_default(tmp_path: Path) -> None:
    toml = "sql_port = 1001\ngcomm_port = 1002\nist_port = 1003\n"
    environ = {"GALERIST_SQL_PORT": "2001", "GALERIST_GCOMM_PORT": "2002"}
    value = settings(tmp_path, toml, {"sql_port": "3001", "gcomm_port": None}, environ)
    assert (value.sql_port, value.gcomm_port, value.ist_port, value.sst_port) == (3001, 2002, 1003, 4444)


def test_an_empty_variable_is_not_given(tmp_path: Path) -> None:
    assert settings(tmp_path, "cluster = 'shop'", None, {"GALERIST_CLUSTER": ""}).cluster == "shop"


def test_defaults_follow_what_they_are_made_of(tmp_path: Path) -> None:
    value = settings(tmp_path, None, {"datadir": "/data/a", "node": "n7", "host": "db7"})
    assert value.error_log == Path("/data/a.galerist/mariadb.err")
    assert value.unit == "galera@n7"
    assert value.proxy_host == "db7"


def test_relative_paths_start_from_the_file_that_holds_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    socket = {"socket": "/run/m.sock"}  # the folder of a test may be too long for one
    value = settings(tmp_path, "datadir = 'data'", {"haproxy_dir": "ha", **socket})
    assert value.datadir == tmp_path / "data"
    assert value.haproxy_dir == tmp_path / "elsewhere" / "ha"


@pytest.mark.parametrize(
    ("text", "value"), [("3", 3), ("n1,n2", ("n1", "n2")), (" n1 , n2 ", ("n1", "n2")), ("n1", ("n1",))]
)
def test_expect_is_a_count_or_names(tmp_path: Path, text: str, value: object) -> None:
    assert settings(tmp_path, None, {"expect": text}).expect == value


def test_expect_in_the_file_is_a_number_or_a_list(tmp_path: Path) -> None:
    assert settings(tmp_path, "expect = 5").expect == 5
    assert settings(tmp_path, "expect = ['a', 'b']").expect == ("a", "b")


def test_all_mistakes_are_reported_at_once_with_origin_and_remedy(tmp_path: Path) -> None:
    found = problems(
        tmp_path,
        "sst_method = 'xtrabackup'\nslq_port = 1\nttl = 'soon'\n",
        {"sql_port": "99999", "registry": "http://x"},
        {"GALERIST_EXPECT": "a,a", "GALERIST_BIN": "::::", "GALERIST_BIND": "1.2.3"},
    )
    shown = {problem.key: (problem.value, problem.where.split("/")[0]) for problem in found}
    assert shown == {
        "slq_port": (None, ""),
        "GALERIST_BIN": (None, "environment"),
        "sst_method": ("xtrabackup", ""),
        "ttl": ("soon", ""),
        "sql_port": ("99999", "flag --sql-port"),
        "registry": ("http://x", "flag --registry"),
        "expect": ("a,a", "environment GALERIST_EXPECT"),
        "bind": ("1.2.3", "environment GALERIST_BIND"),
    }
    assert all(problem.text and problem.remedy for problem in found)
    text = str(SettingsError(found))
    assert len(text.splitlines()) == len(found)
    assert "did you mean sql_port?" in text
    assert "did you mean GALERIST_BIND?" in text
    assert "sql_port = '99999' (flag --sql-port): is not a port; give a port from 1 to 65535" in text


def test_what_kubernetes_adds_to_the_environment_is_ignored(tmp_path: Path) -> None:
    environ = {
        "GALERIST_SERVICE_HOST": "10.0.0.1",
        "GALERIST_SERVICE_PORT_SQL": "3306",
        "GALERIST_PORT": "tcp://10.0.0.1:3306",
        "GALERIST_WEB_PORT_80_TCP_ADDR": "10.0.0.1",
        "GALERIST_CONFIG": "/etc/galerist.toml",
    }
    assert settings(tmp_path, None, None, environ) == settings(tmp_path)


def test_bad_toml_names_file_and_line(tmp_path: Path) -> None:
    found = only(problems(tmp_path, "cluster = 'a'\nsql_port == 3\n"))
    assert found.value == str(tmp_path / "galerist.toml")
    assert "line 2" in found.text


def test_a_missing_file_does_not_hide_other_mistakes(tmp_path: Path) -> None:
    with pytest.raises(SettingsError) as caught:
        load({"ttl": "x"}, {}, tmp_path / "absent.toml")
    assert [problem.key for problem in caught.value.problems] == ["config", "ttl"]


@pytest.mark.parametrize(
    ("toml", "key"),
    [
        ("cluster = true", "cluster"),
        ("cluster = 'Big'", "cluster"),
        ("cluster = 'a23456789012345678901234'", "cluster"),
        ("sql_port = true", "sql_port"),
        ("sql_port = 3306.0", "sql_port"),
        ("sql_port = 0", "sql_port"),
        ("registry_tls = 1", "registry_tls"),
        ("node = 'a/b'", "node"),
        ("host = 'db1:3306'", "host"),
        ("host = '300.1.1.1'", "host"),
        ("host = 'db1..example'", "host"),
        (f"host = '{'a' * 64}.example'", "host"),
        ("init_sql = ['a.txt']", "init_sql"),
        ("init_sql = [1]", "init_sql"),
        ("expect = 0", "expect"),
        ("app_user = 'a:b'", "app_user"),
        ("mariadb = 3", "mariadb"),
        ("sql_port = 4444", "sst_port"),
        ("write_port = 3307", "read_port"),
        ("stamp_dir = '/var/lib/mysql/stamp'", "stamp_dir"),
        ("socket = '/var/lib/mysql/mysqld.sock'", "socket"),
        (f"run_dir = '/{'x' * 90}'", "socket"),
        ("server_user = 'root'", "server_user"),
        ("registry_user = 'u'", "registry_user"),
        ("registry_password = 'u'", "registry_password"),
        ("app_user = 'u'", "app_user"),
        ("sst_user = 'u'", "sst_user"),
        ("registry_timeout = 10", "registry_timeout"),
        ("check_poll = 5", "check_poll"),
        ("log_level = 'loud'", "log_level"),
        ("registry = 'etcd3://'", "registry"),
        ("check_stale = inf", "check_stale"),
        ("ttl = nan", "ttl"),
    ],
)
def test_refused(tmp_path: Path, toml: str, key: str) -> None:
    assert only(problems(tmp_path, toml)).key == key


def test_a_client_certificate_needs_its_key_and_implies_tls(tmp_path: Path) -> None:
    for name in ("ca.pem", "cert.pem", "key.pem"):
        (tmp_path / name).write_text("x")
    toml = "registry_cert = 'cert.pem'\n"
    assert only(problems(tmp_path, toml)).key == "registry_cert"
    assert settings(tmp_path, toml + "registry_key = 'key.pem'").registry_tls is True
    found = only(problems(tmp_path, "registry_tls = false\nregistry_ca = 'ca.pem'"))
    assert (found.key, found.text) == ("registry_tls", "contradicts registry_ca")


def test_passwords_in_a_registry_url_are_not_shown(tmp_path: Path) -> None:
    found = only(problems(tmp_path, None, {"registry": "etcd3://me:hunter2@host:2379"}))
    assert "hunter2" not in str(found)


# -- secrets ---------------------------------------------------------------------------------


def test_a_secret_comes_from_its_file_and_hides_itself(tmp_path: Path) -> None:
    (tmp_path / "root").write_text("s3cret # \"'\n")
    value = settings(tmp_path, "root_password_file = 'root'")
    assert value.root_password is not None
    assert value.root_password.reveal() == "s3cret # \"'"
    assert "s3cret" not in f"{value.root_password} {value!r} {value.root_password!r}"


def test_what_must_outlive_a_transfer_is_not_in_the_datadir_by_way_of_a_link_either(tmp_path: Path) -> None:
    (tmp_path / "volume").mkdir()
    (tmp_path / "mysql").symlink_to("volume")
    found = only(
        problems(tmp_path, f"datadir = '{tmp_path}/mysql'\nstamp_dir = '{tmp_path}/volume/stamp'\nrun_dir = '/run/g'")
    )
    assert found.key == "stamp_dir"


def test_the_root_of_the_file_system_is_no_datadir(tmp_path: Path) -> None:
    found = only(problems(tmp_path, "datadir = '/'"))
    assert (found.key, found.text) == ("datadir", "is the root of the file system")


def test_a_secret_that_changes_is_read_again(tmp_path: Path) -> None:
    file = tmp_path / "p"
    file.write_text("old\n")
    value = settings(tmp_path, "check_password_file = 'p'").check_password
    assert value is not None
    for text in ("new\n", "newer"):
        file.write_text(text)
        assert (value.reread(), value.reveal()) == (text.strip(), "old")
    file.write_text("")
    assert value.reread() == "old"
    file.unlink()
    assert value.reread() == "old"
    assert Secret("given").reread() == "given"


def test_a_secret_by_environment_goes_over_the_file(tmp_path: Path) -> None:
    toml = "root_password = 'file'"
    assert settings(tmp_path, toml).root_password == Secret("file")
    assert settings(tmp_path, toml, None, {"GALERIST_ROOT_PASSWORD": "env"}).root_password == Secret("env")
    (tmp_path / "p").write_text("by file")
    environ = {"GALERIST_ROOT_PASSWORD_FILE": str(tmp_path / "p")}
    assert settings(tmp_path, toml, None, environ).root_password == Secret("by file")


def test_a_secret_is_never_a_flag(tmp_path: Path) -> None:
    found = only(problems(tmp_path, None, {"root_password": "hunter2"}))
    assert found.key == "root_password"
    assert "hunter2" not in str(found)


@pytest.mark.parametrize("content", [b"", b"\n", b"two\nlines\n", b"\xff\xfe"])
def test_unusable_secret_files(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "p").write_bytes(content)
    found = only(problems(tmp_path, None, {"root_password_file": str(tmp_path / "p")}))
    assert (found.key, found.value) == ("root_password_file", None)


def test_an_unreadable_secret_file_is_named_with_the_reason(tmp_path: Path) -> None:
    found = only(problems(tmp_path, None, {"registry_password_file": "/nonexistent/x", "registry_user": "u"}))
    assert str(found).startswith(
        "registry_password_file (flag --registry-password-file): cannot read /nonexistent/x: "
        "no such file or directory; "
    )


def test_a_secret_given_twice_in_one_place(tmp_path: Path) -> None:
    found = problems(tmp_path, "root_password = 'hunter2'\nroot_password_file = 'x'")
    assert "is given twice" in str(SettingsError(found))
    assert "hunter2" not in str(SettingsError(found))


def test_a_part_reads_only_what_it_takes(tmp_path: Path) -> None:
    toml = "root_password_file = '/nonexistent'\ninit_sql = ['/nonexistent.sql']\nhaproxy_template = '/nonexistent'\n"
    value = settings(tmp_path, toml, part="clustercheck")
    assert value.root_password is None
    assert {problem.key for problem in problems(tmp_path, toml, part="bootstrap")} == {"root_password_file"}
    assert {problem.key for problem in problems(tmp_path, toml, part="haproxy")} == {"haproxy_template"}


# -- options of MariaDB ----------------------------------------------------------------------


def test_options_of_folder_and_table_are_merged_in_order(tmp_path: Path) -> None:
    conf = tmp_path / "conf.d"
    conf.mkdir()
    (conf / "20-b.cnf").write_text("[mysqld]\nmax-connections = 20 # few\nskip-name-resolve\n")
    (conf / "10-a.cnf").write_text(
        "# comment\n[client]\nport = 1\n[mariadb]\nmax_connections=10\nsql_mode = 'A,B'\n"
        '[galera]\nft_stopword_file="/a b#c"\n'
    )
    (conf / "ignored.txt").write_text("nonsense")
    toml = (
        "mariadb_conf_dir = 'conf.d'\n[mariadb]\nmax-connections = 30\nplugin_load_add = ['x', 'y']\n"
        "log_bin = true\n[mariadb.wsrep_provider_options]\n'gcache.size' = '1G'\npc.weight = 2\n"
    )
    value = settings(tmp_path, toml)
    assert value.mariadb == (
        ("max_connections", "10"),
        ("sql_mode", "A,B"),
        ("ft_stopword_file", "/a b#c"),
        ("max_connections", "20"),
        ("skip_name_resolve", None),
        ("max_connections", "30"),
        ("plugin_load_add", "x"),
        ("plugin_load_add", "y"),
        ("log_bin", "ON"),
    )
    assert value.provider_options == (("gcache.size", "1G"), ("pc.weight", "2"))


@pytest.mark.parametrize(
    "name",
    [
        "datadir",
        "bind-address",
        "BIND_ADDRESS",
        "loose-datadir",
        "skip-wsrep-on",
        "loose_skip_wsrep_on",
        "datad",
        "wsrep_cluster_a",
        "wsrep-new-cluster",
        "init-file",
        "skip-slave-start",
        "skip-networking",
        "event_sched",
        "ssl-cert",
        "skip-binlog-format",
    ],
)
def test_what_belongs_to_galerist_is_refused(name: str) -> None:
    assert refusal(name, "x") is not None


@pytest.mark.parametrize("name", ["event_scheduler", "require-secure-transport", "init_connect", "skip-name-resolve"])
def test_what_belongs_to_the_user_is_not(name: str) -> None:
    assert refusal(name, None) is None


@pytest.mark.parametrize(("name", "value"), [("binlog_format", "row"), ("innodb-autoinc-lock-mode", "2")])
def test_fixed_options_may_be_repeated_but_not_changed(name: str, value: str) -> None:
    assert refusal(name, value) is None
    assert refusal(name, "1") is not None


def test_no_option_of_the_real_server_is_refused_by_accident() -> None:
    """A whole name that happens to be the beginning of an owned one must pass."""
    output = subprocess.run(
        ["mariadbd", "--no-defaults", "--help", "--verbose"], capture_output=True, text=True, check=True
    ).stdout
    variables = output[output.index("\nVariables (--variable-name") :].splitlines()
    names = [line.split()[0] for line in variables if line[:1].isalpha() and len(line.split()) > 1]
    assert "max-connections" in names
    accidents = {name for name in names if (refusal(name, "x") or ("",))[0].startswith("abbreviates")}
    assert accidents <= {"innodb"}  # says whether InnoDB is on at all, which Galera cannot do without


def test_an_owned_option_is_named_with_place_and_setting_and_without_its_value(tmp_path: Path) -> None:
    conf = tmp_path / "conf.d"
    conf.mkdir()
    (conf / "a.cnf").write_text(
        "[mysqld]\n\nwsrep-sst-auth = me:hunter2\n[mysqld]\nwsrep_provider_options=pc.recovery=yes\n"
    )
    found = problems(tmp_path, "mariadb_conf_dir = 'conf.d'\n[mariadb]\nport = 3\nbinlog_format = 'MIXED'\n")
    assert [(problem.key, problem.value) for problem in found] == [
        ("mariadb.wsrep_sst_auth", None),
        ("mariadb.wsrep_provider_options.pc.recovery", "yes"),
        ("mariadb.port", None),
        ("mariadb.binlog_format", "MIXED"),
    ]
    assert found[0].where == f"{conf}/a.cnf, line 3"
    assert found[2].remedy == "use the setting sql_port instead"


@pytest.mark.parametrize(
    "text",
    [
        "max_connections=1\n",
        "[mysqld]\n!includedir /etc/mysql\n",
        "[mariadb-10.11]\na=1\n",
        "[sst]\na=1\n",
        "[mysqld]\n=1\n",
    ],
)
def test_what_would_be_silently_lost_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "a.cnf").write_text(text)
    assert only(problems(tmp_path, f"mariadb_conf_dir = '{tmp_path}'")).key == "mariadb_conf_dir"


@pytest.mark.parametrize(
    "text", ["plain", "'a b'", '"a#b" # c', "a # b", r'"a\"b"', r"'a\\b'", r"a\sb", "'it'", '"', r'"a\tb"', '"a\'b#"']
)
def test_values_are_read_as_my_print_defaults_does(tmp_path: Path, text: str) -> None:
    file = tmp_path / "x.cnf"
    file.write_text(f"[g]\nkey = {text}\n")
    shown = subprocess.run(
        ["my_print_defaults", f"--defaults-file={file}", "g"], capture_output=True, text=True, check=True
    ).stdout
    assert f"--key={unquote(text)}\n" == shown


# -- the whole -------------------------------------------------------------------------------


def test_every_field_has_help_kind_and_parts() -> None:
    for field in FIELDS:
        assert field.help, field.name
        assert field.type_text, field.name
        assert set(field.parts) <= set(PARTS)
        assert field.parts, field.name


def test_the_document_is_what_the_fields_say() -> None:
    file = Path(__file__).parents[2] / "docs" / "settings.md"
    assert file.read_text() == document(), "run: python -m galerist.settings.document > docs/settings.md"


def test_the_server_never_runs_as_root_by_default(tmp_path: Path) -> None:
    expected = "mysql" if os.geteuid() == 0 else settings(tmp_path).server_user
    assert settings(tmp_path).server_user == expected != "root"
