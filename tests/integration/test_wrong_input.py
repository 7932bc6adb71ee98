"""What is set up wrongly ends in one clear message and its exit code, or is told by the agent that goes on trying."""

from __future__ import annotations

import contextlib
import json
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.cluster import Cluster, galerist


def lines_of(run: subprocess.CompletedProcess[str]) -> list[str]:
    """What was said, which is no traceback."""
    assert "Traceback" not in run.stderr, run.stderr
    return run.stderr.strip().splitlines()


@contextlib.contextmanager
def busy(port: int) -> Iterator[None]:
    """Somebody else's program on a port: takes connections and closes them."""
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", port))
        listener.listen()
        yield


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('registry = "http://127.0.0.1:2379"', ("registry", "http://127.0.0.1:2379", "etcd3://")),
        ('registry = "etcd3://127.0.0.1:notaport"', ("registry", "notaport")),
        ("sqlport = 3306", ("sqlport", "sql_port")),
        ('root_password_file = "/nonexistent/root"', ("root_password_file", "/nonexistent/root")),
        ('root_password_file = "/tmp"', ("root_password_file", "/tmp", "directory")),
        ("sql_port = 99999", ("sql_port", "99999")),
        ('[mariadb]\nwsrep_on = "OFF"', ("wsrep_on",)),
    ],
)
def test_a_wrong_setting_is_one_line_with_key_and_value(tmp_path: Path, text: str, words: tuple[str, ...]) -> None:
    config = tmp_path / "galerist.toml"
    config.write_text(text + "\n")
    run = galerist("bootstrap", "--config", str(config))
    assert run.returncode == 78
    (line,) = lines_of(run)
    assert all(word in line for word in words), line


def test_all_mistakes_are_told_at_once(tmp_path: Path) -> None:
    config = tmp_path / "galerist.toml"
    config.write_text('sqlport = 3306\nsst_method = "xtrabackup"\ncluster = "Shop!"\n')
    run = galerist("bootstrap", "--config", str(config), "--ttl", "soon")
    assert run.returncode == 78
    said = lines_of(run)
    assert len(said) == 4
    assert all(any(word in line for line in said) for word in ("sqlport", "xtrabackup", "Shop!", "soon"))


def test_a_password_file_that_this_user_may_not_read() -> None:
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        Path(folder).chmod(0o755)
        secret = Path(folder) / "root"
        secret.write_text("secret\n")
        secret.chmod(0)
        program = (
            "import os, sys, galerist.settings, galerist.logs, galerist.registry.contract, galerist.cli.main as cli\n"
            "if os.geteuid() == 0: os.setgid(65534); os.setuid(65534)\n"  # root may read everything
            "sys.exit(cli.main(['bootstrap', '--server-user', 'mysql', '--root-password-file', sys.argv[1]]))"
        )
        run = subprocess.run(
            [sys.executable, "-c", program, str(secret)], capture_output=True, text=True, check=False, timeout=60
        )
    assert run.returncode == 78, run.stderr
    (line,) = lines_of(run)
    assert "root_password_file" in line and str(secret) in line and "secret\n" not in line
    assert "ermission denied" in line or "readable" in line, line


def test_a_registry_that_does_not_answer_is_named_by_those_that_ask_once() -> None:
    for command in ("list", "explain"):
        run = galerist(command, "--registry", "etcd3://127.0.0.1:1")
        assert run.returncode == 1
        (line,) = lines_of(run)
        assert "127.0.0.1:1" in line and "refused" in line


@pytest.mark.parametrize(
    ("key", "words"),
    [
        ("wsrep_provider", ("the Galera provider is missing", "install")),
        ("mariadbd", ("mariadbd is missing", "install")),
    ],
)
def test_a_missing_program_is_named(key: str, words: tuple[str, ...]) -> None:
    with Cluster(1, own={"n1": {key: "/nonexistent/thing"}}) as one:
        run = galerist("bootstrap", "--config", str(one.layout.node_settings("n1")))
    assert run.returncode == 69
    (line,) = lines_of(run)
    assert all(word in line for word in (*words, "/nonexistent/thing", f"'{key}'")), line


def test_the_ports_of_a_node_are_in_use() -> None:
    with Cluster(1) as one:
        one.start("etcd")
        with busy(one.plan.port("sql_port", "n1")):
            one.start("n1")
            one.says("n1", "the port for SQL is in use by another program", "change the setting 'sql_port'")
        one.serving()
        one.stop("n1")
        with busy(one.plan.port("gcomm_port", "n1")):
            one.start("n1")
            entry = one.says("n1", "the port for group communication is in use", "change the setting 'gcomm_port'")
            assert entry["state"] in ("stopped", "starting"), "it goes on trying"
            assert not entry["open"]
            shown = galerist("explain", "n1", "--dir", str(one.layout.dir), "--format", "json")
            assert json.loads(shown.stdout)["members"][0]["name"] == "n1"
        one.serving()
        with busy(one.plan.port("check_port", "n1")):
            run = galerist("clustercheck", "--config", str(one.layout.node_settings("n1")))
        assert run.returncode == 1
        said = lines_of(run)
        assert any(str(one.plan.port("check_port", "n1")) in line and "in use" in line for line in said), said


def test_an_agent_for_a_datadir_that_has_one_already() -> None:
    with Cluster(1) as one:
        one.up()
        run = galerist("bootstrap", "--config", str(one.layout.node_settings("n1")))
        assert run.returncode == 1
        (line,) = lines_of(run)
        assert "another" in line and "lock" in line
        assert one.member("n1")["state"] == "synced"


def test_an_option_that_the_server_does_not_know() -> None:
    with Cluster(1, mariadb={"innodb_bufer_pool_size": "1G"}) as one:
        one.start("etcd", "n1")
        one.says(
            "n1", "unknown variable 'innodb_bufer_pool_size=1G'", "correct 'mariadb_conf_dir' or the [mariadb] table"
        )


def test_a_broken_provider() -> None:
    with Cluster(1) as one:
        library = one.top / "broken.so"
        library.write_text("no library")
        library.chmod(0o755)
        one.own["n1"] = {"wsrep_provider": str(library)}
        one.write_files()
        one.start("etcd", "n1")
        one.says("n1", "the Galera provider could not be loaded", str(library), "correct the setting 'wsrep_provider'")


def test_wrong_credentials_for_state_transfers() -> None:
    with Cluster(2, sst_method="mariabackup") as two:
        two.start("etcd", "n1")
        two.start("n2")
        two.until(lambda: two.member("n1").get("open"), "the first node is open")
        two.root("n1", "ALTER USER galerist_sst@localhost IDENTIFIED BY 'another'")
        entry = two.says("n2", "the donor n1 could not make its backup, most likely for wrong SST credentials")
        text = f"{entry['reason']} {entry['remedy']}"
        assert "'sst_user' and 'sst_password'" in text, text
        assert two.tainted("n2"), "what it had is gone by now"
        password = two.layout.secret("sst").read_text().strip()
        two.root("n1", f"ALTER USER galerist_sst@localhost IDENTIFIED BY '{password}'")
        two.serving()
        assert not two.tainted("n2")


def test_a_port_of_the_proxy_is_in_use() -> None:
    with Cluster(1) as one:
        one.up()
        port = one.plan.port("write_port")
        with busy(port):
            one.start("proxy")
            one.until(
                lambda: (
                    str(port) in one.layout.log("proxy").read_text() and "in use" in one.layout.log("proxy").read_text()
                ),
                "the port is named",
                60,
            )
            log = one.layout.log("proxy").read_text()
            assert "Traceback" not in log, log
