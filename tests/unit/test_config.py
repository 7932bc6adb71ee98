"""The server's option file: what it says, and that the real server reads it so."""

from __future__ import annotations

import getpass
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pymysql
import pytest

from galerist.galera.config import (
    ServerConfig,
    authority,
    cluster_address,
    on_opening,
    quote,
    render_mycnf,
    warnings,
)
from galerist.settings import Secret
from tests.support.ports import free_ports


def config(folder: Path = Path("/srv/x"), **changes: Any) -> ServerConfig:
    values: dict[str, Any] = {
        "datadir": folder / "data",
        "socket": folder / "db.sock",
        "pid_file": folder / "db.pid",
        "error_log": folder / "db.err",
        "host": "db1.example",
        "bind": "*",
        "sql_port": 3306,
        "gcomm_port": 4567,
        "ist_port": 4568,
        "sst_port": 4444,
        "node": "n1",
        "cluster_name": "galera-01234567",
        "cluster_address": cluster_address([("db2.example", 4567), ("fd00::3", 4567)]),
        "provider": Path("/usr/lib/galera/libgalera_smm.so"),
        "sst_method": "mariabackup",
        "notify_cmd": "/srv/x/notify",
    }
    return ServerConfig(**values | changes)


def read_back(text: str, tmp_path: Path, *groups: str) -> dict[str, str]:
    """The options as MariaDB's own tool reads them; the last of several wins."""
    file = tmp_path / "my.cnf"
    file.write_text(text)
    command = ["my_print_defaults", f"--defaults-file={file}", *groups]
    lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    options = {}
    for line in lines:
        name, _, value = line.removeprefix("--").partition("=")
        options[name] = value
    return options


def provider_options(options: dict[str, str]) -> dict[str, str]:
    return dict(item.split("=", 1) for item in options["wsrep_provider_options"].split(";"))


def test_the_donors_are_asked_in_their_order_and_then_anybody(tmp_path: Path) -> None:
    text = render_mycnf(config(donors=("n3", "n2")))
    assert read_back(text, tmp_path, "mysqld")["wsrep_sst_donor"] == "n3,n2,"
    assert "wsrep_sst_donor" not in render_mycnf(config())


def test_the_server_starts_closed(tmp_path: Path) -> None:
    users = (("event_scheduler", "ON"), ("loose-require-secure-transport", "OFF"))
    options = read_back(render_mycnf(config(options=users)), tmp_path, "mysqld")
    closed = ("wsrep_reject_queries", "require_secure_transport", "ssl", "event_scheduler", "skip_slave_start")
    assert [options[name] for name in closed] == ["ALL", "ON", "OFF", "OFF", "ON"]
    assert "loose-require-secure-transport" not in options
    assert "init_file" not in options


def test_certificates_are_for_replication_transfers_and_at_last_for_clients(tmp_path: Path) -> None:
    text = render_mycnf(config(tls=Path("/run/tls")))
    server, transfer = read_back(text, tmp_path, "mysqld"), read_back(text, tmp_path, "sst")
    assert server["ssl"] == "ON"
    assert (server["ssl_ca"], server["ssl_cert"], server["ssl_key"]) == (
        "/run/tls/ca.pem",
        "/run/tls/listen-cert.pem",
        "/run/tls/listen-key.pem",
    )
    given = provider_options(server)
    assert [given[f"socket.ssl{what}"] for what in ("", "_ca", "_cert", "_key")] == [
        "yes",
        "/run/tls/ca.pem",
        "/run/tls/cert.pem",
        "/run/tls/key.pem",
    ]
    assert {key: transfer[key] for key in ("encrypt", "ssl-mode", "tca", "tcert", "tkey")} == {
        "encrypt": "3",
        "ssl-mode": "VERIFY_CA",
        "tca": "/run/tls/ca.pem",
        "tcert": "/run/tls/cert.pem",
        "tkey": "/run/tls/key.pem",
    }


def test_addresses_are_where_others_reach_the_node(tmp_path: Path) -> None:
    options = read_back(render_mycnf(config()), tmp_path, "mysqld")
    assert options["wsrep_cluster_address"] == "gcomm://db2.example:4567,[fd00::3]:4567"
    assert options["wsrep_node_address"] == "db1.example:4567"
    assert options["wsrep_node_incoming_address"] == "db1.example:3306"
    assert options["wsrep_sst_receive_address"] == "db1.example:4444"
    assert provider_options(options) == {
        "gcache.recover": "yes",
        "evs.join_retrans_period": "PT0.3S",
        "gmcast.listen_addr": "tcp://0.0.0.0:4567",
        "ist.recv_addr": "db1.example:4568",
        "ist.recv_bind": "0.0.0.0:4568",
        "pc.recovery": "no",
    }


def test_ipv6_addresses_get_brackets(tmp_path: Path) -> None:
    text = render_mycnf(config(host="fd00::1", ipv6=True, bind="fd00::1"))
    options = read_back(text, tmp_path, "mysqld", "sst")
    assert options["wsrep_node_address"] == "[fd00::1]:4567"
    assert options["bind_address"] == "fd00::1"
    assert options["sockopt"] == "bind=[fd00::1]"
    assert provider_options(options)["gmcast.listen_addr"] == "tcp://[fd00::1]:4567"
    assert provider_options(options)["ist.recv_bind"] == "[fd00::1]:4568"
    everywhere = read_back(render_mycnf(config(host="db1.example", ipv6=True)), tmp_path, "mysqld", "sst")
    assert everywhere["sockopt"] == "pf=ip6"
    assert provider_options(everywhere)["gmcast.listen_addr"] == "tcp://[::]:4567"


def test_a_new_component_has_no_peers() -> None:
    assert cluster_address([]) == "gcomm://"
    assert authority("::1", 1) == "[::1]:1"


def test_state_transfers_listen_where_the_server_does(tmp_path: Path) -> None:
    assert read_back(render_mycnf(config(bind="127.0.0.1")), tmp_path, "sst")["sockopt"] == "bind=127.0.0.1"
    assert "sockopt" not in read_back(render_mycnf(config()), tmp_path, "sst")


def test_the_users_options_come_last_and_provider_options_are_merged(tmp_path: Path) -> None:
    users = (("innodb_flush_log_at_trx_commit", "2"), ("skip_name_resolve", None), ("sql_mode", "A B"))
    provider = (("gcache.size", "1G"), ("gcache.recover", "no"), ("pc.recovery", "yes"))
    options = read_back(render_mycnf(config(options=users, provider_options=provider)), tmp_path, "mysqld")
    assert options["innodb_flush_log_at_trx_commit"] == "2"
    assert options["skip_name_resolve"] == ""
    assert options["sql_mode"] == "A B"
    merged = provider_options(options)
    assert (merged["gcache.size"], merged["gcache.recover"], merged["pc.recovery"]) == ("1G", "no", "no")


@pytest.mark.parametrize(
    "value",
    ["plain", "", "a b", "a#b", "it's", 'say "x"', "back\\slash", "\\n", "a;b", "'", '"', "tab\there", "ü#", "{{"],
)
def test_every_password_is_read_back_as_it_was(tmp_path: Path, value: str) -> None:
    options = read_back(render_mycnf(config(sst_auth=Secret(f"sst:{value}"))), tmp_path, "mysqld")
    assert options["wsrep_sst_auth"] == f"sst:{value}"
    assert read_back(f"[g]\nkey = {quote(value)}\n", tmp_path, "g") == {"key": value}


def test_a_password_is_not_in_the_repr() -> None:
    assert "hunter2" not in repr(config(sst_auth=Secret("sst:hunter2")))


@pytest.mark.parametrize(
    ("users", "expected"),
    [
        ((), (("require_secure_transport", "OFF"),)),
        ((("event-scheduler", "1"),), (("require_secure_transport", "OFF"), ("event_scheduler", "ON"))),
        ((("event_scheduler", None),), (("require_secure_transport", "OFF"), ("event_scheduler", "ON"))),
        ((("event_scheduler", "ON"), ("skip_event_scheduler", None)), (("require_secure_transport", "OFF"),)),
        ((("event_scheduler", "disabled"),), (("require_secure_transport", "OFF"),)),
        ((("require_secure_transport", "true"),), (("require_secure_transport", "ON"),)),
    ],
)
def test_what_is_set_on_opening(
    users: tuple[tuple[str, str | None], ...], expected: tuple[tuple[str, str], ...]
) -> None:
    assert on_opening(users) == expected


def test_a_scheduler_that_shall_stay_disabled_starts_so(tmp_path: Path) -> None:
    options = read_back(render_mycnf(config(options=(("event_scheduler", "DISABLED"),))), tmp_path, "mysqld")
    assert options["event_scheduler"] == "DISABLED"


@pytest.mark.parametrize(
    ("name", "value", "loud"),
    [
        ("innodb_flush_log_at_trx_commit", "0", True),
        ("innodb-flush-log-at-trx-commit", "2", True),
        ("innodb_flush_log_at_trx_commit", "1", False),
        ("skip_innodb_doublewrite", None, True),
        ("innodb_flush_method", "nosync", True),
        ("innodb_force_recovery", "1", True),
        ("innodb_force_recovery", "0", False),
        ("require_secure_transport", "ON", True),
        ("max_connections", "5", False),
    ],
)
def test_warnings(name: str, value: str | None, loud: bool) -> None:
    found = warnings(((name, value),))
    assert len(found) == int(loud)
    assert all(name.replace("-", "_").removeprefix("skip_") in sentence for sentence in found)


# -- the real server -------------------------------------------------------------------------


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder that the server's user may enter, unlike pytest's own."""
    path = Path(tempfile.mkdtemp(prefix="galerist-config-", dir="/tmp"))
    path.chmod(0o755)
    if os.geteuid() == 0:
        shutil.chown(path, "mysql", "mysql")
    yield path
    shutil.rmtree(path)


def test_the_real_server_is_closed_until_it_is_opened(folder: Path) -> None:
    sql_port, gcomm_port, ist_port, sst_port = free_ports(4)
    node = config(
        folder,
        host="127.0.0.1",
        bind="127.0.0.1",
        sql_port=sql_port,
        gcomm_port=gcomm_port,
        ist_port=ist_port,
        sst_port=sst_port,
        cluster_address=cluster_address([]),
        notify_cmd="",
        sst_auth=Secret("u:p#'\" \\x;"),
        options=(("event_scheduler", "ON"), ("innodb_buffer_pool_size", "16M"), ("skip_name_resolve", None)),
        provider_options=(("gcache.size", "4M"),),
    )
    file = folder / "my.cnf"
    file.write_text(render_mycnf(node))
    user = "mysql" if os.geteuid() == 0 else getpass.getuser()
    subprocess.run(
        [
            "mariadb-install-db",
            f"--defaults-file={file}",
            "--wsrep-on=OFF",
            f"--user={user}",
            "--auth-root-authentication-method=normal",
            "--skip-test-db",
        ],
        check=True,
        capture_output=True,
    )
    command = ["mariadbd", f"--defaults-file={file}", f"--user={user}", "--wsrep-new-cluster"]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        until = time.monotonic() + 30
        while True:
            assert server.poll() is None, node.error_log.read_text()
            try:
                private = pymysql.connect(unix_socket=str(node.socket), user="root")
                break
            except pymysql.err.OperationalError:
                assert time.monotonic() < until, node.error_log.read_text()
                time.sleep(0.05)
        with private.cursor() as cursor:

            def by_tcp() -> None:
                # 127.0.0.1 is none of root's hosts once names are not resolved, so an account of its own
                pymysql.connect(host="127.0.0.1", port=sql_port, user="t", password="t").close()

            cursor.execute("SHOW STATUS LIKE 'wsrep_cluster_status'")
            assert cursor.fetchone()[1] == "Primary"  # type: ignore[index]
            cursor.execute("SET SESSION wsrep_on=0")
            cursor.execute("CREATE USER t@'127.0.0.1' IDENTIFIED BY 't'")
            cursor.execute("SET SESSION wsrep_on=1")
            with pytest.raises(pymysql.err.OperationalError):
                by_tcp()
            with pytest.raises(pymysql.err.OperationalError, match="1047"):
                cursor.execute("SELECT COUNT(*) FROM mysql.user")
            cursor.execute(
                "SELECT @@event_scheduler, @@wsrep_provider_options, @@innodb_buffer_pool_size, @@max_connect_errors"
            )
            (settings,) = cursor.fetchall()
            scheduler, provider, pool, knocks = settings
            assert (scheduler, pool) == ("OFF", 16 << 20)
            assert knocks == 2**32 - 1  # with 100, a check by TCP alone has its address blocked
            assert "pc.recovery = false" in provider
            assert "gcache.size = 4M" in provider
            assert f"gmcast.listen_addr = tcp://127.0.0.1:{gcomm_port}" in provider

            for variable, value in (*on_opening(node.options), ("wsrep_reject_queries", "NONE")):
                cursor.execute(f"SET GLOBAL {variable} = {value}")
            by_tcp()
            cursor.execute("SELECT COUNT(*) FROM mysql.user")
            cursor.execute("SELECT @@event_scheduler")
            assert cursor.fetchone() == ("ON",)
        private.close()
    finally:
        server.terminate()
        server.wait(30)
