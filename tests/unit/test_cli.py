"""The command line: help, exit codes, and what reaches the commands."""

from __future__ import annotations

import json
import logging
import os
import re
import subprocess
import sys
import types
from io import StringIO
from pathlib import Path
from typing import Any

import pytest

from galerist import __version__, logs
from galerist.cli.main import galerist, main
from galerist.registry.contract import RegistryDown
from galerist.settings import FIELDS, Settings

COMMANDS = (
    "bootstrap",
    "clustercheck",
    "haproxy",
    "up",
    "down",
    "dashboard",
    "list",
    "topology",
    "restart",
    "explain",
    "version",
)


@pytest.fixture(autouse=True)
def surroundings(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in [name for name in os.environ if name.startswith("GALERIST_")]:
        monkeypatch.delenv(variable)


def stub(monkeypatch: pytest.MonkeyPatch, module: str, name: str, result: Any) -> list[tuple[Any, ...]]:
    """Put a recorder in the place of a command's entry function."""
    calls: list[tuple[Any, ...]] = []

    def record(*arguments: Any, **named: Any) -> Any:
        calls.append((*arguments, named) if named else arguments)
        if isinstance(result, BaseException):
            raise result
        return result

    replacement = types.ModuleType(module)
    setattr(replacement, name, record)
    monkeypatch.setitem(sys.modules, module, replacement)
    return calls


@pytest.mark.parametrize("command", sorted(galerist.commands))
def test_help_has_examples(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([command, "--help"]) == 0
    output = capsys.readouterr().out
    assert "Examples:" in output
    assert f"\n    galerist {command}" in output or f"\n  galerist {command}" in output


def test_help_names_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    output = capsys.readouterr().out
    assert [command for command in COMMANDS if not re.search(rf"^  {command} ", output, re.M)] == []


def test_flags_are_those_of_the_part(capsys: pytest.CaptureFixture[str]) -> None:
    for part in ("bootstrap", "clustercheck", "haproxy", "list", "explain"):
        main([part, "--help"])
        output = capsys.readouterr().out
        for field in FIELDS:
            shown = re.search(rf"{field.flag}\b(?![-/])", output) or f"{field.flag} / --no-" in output
            assert bool(shown) == (part in field.parts), (part, field.flag)
        assert not re.search(r"--\w+-password\s", output)


def test_help_is_quick() -> None:
    """0.3 s is the promise; of the processor's time, since other work may be going on here."""

    def once() -> float:
        child = subprocess.Popen([sys.executable, "-m", "galerist", "--help"], stdout=subprocess.DEVNULL)
        _, status, usage = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
        assert child.returncode == 0
        return usage.ru_utime + usage.ru_stime

    assert min(once() for _ in range(3)) < 0.3


@pytest.mark.parametrize("heavy", ["pymysql", "jinja2", "requests", "kubernetes", "docker", "etcd", "flask", "rich"])
def test_the_command_line_imports_nothing_heavy(heavy: str) -> None:
    code = f"import galerist.cli.main, galerist.registry.contract, sys; sys.exit({heavy!r} in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["version"]) == 0
    assert main(["--version"]) == 0
    first, *parts = capsys.readouterr().out.splitlines()
    assert first == parts[-1] == f"galerist {__version__}"
    assert any(re.fullmatch(r"mariadbd 1\d\.\d+\.\d+-MariaDB", part) for part in parts)


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["completion", shell]) == 0
    assert "_GALERIST_COMPLETE" in capsys.readouterr().out
    environ = os.environ | {"_GALERIST_COMPLETE": "bash_complete", "COMP_WORDS": "galerist swi", "COMP_CWORD": "1"}
    run = subprocess.run([sys.executable, "-m", "galerist"], env=environ, capture_output=True, text=True)
    assert run.stdout.strip().endswith("switchover")


@pytest.mark.parametrize(
    "arguments",
    [["no-such-command"], ["bootstrap", "--no-such-flag"], ["up", "--nodes", "x"], ["list", "--format", "x"]],
)
def test_usage_errors_exit_with_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert re.fullmatch(r"galerist: .+; see galerist( \w+)? --help", line)


def test_wrong_settings_exit_with_78_and_name_all_mistakes(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bootstrap", "--sql-port", "99999", "--registry", "http://x"]) == 78
    error = capsys.readouterr().err
    assert "sql_port = '99999' (flag --sql-port)" in error
    assert "registry = 'http://x' (flag --registry)" in error
    assert "Traceback" not in error


def test_settings_reach_the_command(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file = tmp_path / "galerist.toml"
    file.write_text("node = 'n7'\nsql_port = 1\nregistry_tls = true\n")
    monkeypatch.setenv("GALERIST_CONFIG", str(file))
    monkeypatch.setenv("GALERIST_CHECK_PORT", "2")
    calls = stub(monkeypatch, "bootstrap.run", "main", 69)
    assert main(["bootstrap", "--gcomm-port", "3", "--no-registry-tls"]) == 69
    ((settings,),) = calls
    assert isinstance(settings, Settings)
    assert (settings.node, settings.sql_port, settings.check_port, settings.gcomm_port) == ("n7", 1, 2, 3)
    assert settings.registry_tls is False


def test_clustercheck_and_haproxy_get_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    checks = stub(monkeypatch, "clustercheck.app", "main", 0)
    proxies = stub(monkeypatch, "haproxy.watcher", "main", 0)
    assert main(["clustercheck", "--available-when-donor", "--check-poll", "0.2"]) == 0
    assert main(["haproxy", "--write-port", "7"]) == 0
    assert (checks[0][0].available_when_donor, checks[0][0].check_poll) == (True, 0.2)
    assert proxies[0][0].write_port == 7


def test_up_and_down_get_what_was_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    ups = stub(monkeypatch, "galerist.local.up", "up", 3)
    downs = stub(monkeypatch, "galerist.local.down", "down", 0)
    assert main(["up", "--nodes", "5", "--dir", "d", "--init-sql", "a.sql", "--init-sql", "b.sql", "--detach"]) == 3
    assert main(["up", "--timeout", "20"]) == 3
    assert main(["down", "--wipe", "--yes"]) == 0
    asked = {"nodes": 5, "dir": Path("d"), "cluster": None, "detach": True, "sst_method": None, "tls": None}
    assert ups[0] == (asked | {"init_sql": (Path("a.sql"), Path("b.sql"))},)
    assert ups[1][0]["timeout"] == 20
    assert downs == [({"dir": None, "cluster": None, "wipe": True, "yes": True},)]


def test_list_and_explain_take_a_folder_or_a_registry(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    lists = stub(monkeypatch, "galerist.cli.show", "list_command", 0)
    assert main(["list", "--dir", "d", "--format", "json"]) == 0
    assert lists == [(None, Path("d"), "json", False)]
    assert main(["list", "--cluster", "shop"]) == 0
    assert (lists[1][0].cluster, *lists[1][1:]) == ("shop", None, "table", False)
    explains = stub(monkeypatch, "galerist.cli.show", "explain_command", 1)
    assert main(["explain", "n2", "--dir", "d"]) == 1
    assert explains == [(None, Path("d"), "n2", "table")]
    assert main(["explain", "--dir", "d", "--registry", "etcd3://x"]) == 2
    assert "exclude one another" in capsys.readouterr().err


def test_a_registry_that_does_not_answer_is_one_sentence(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    stub(monkeypatch, "galerist.cli.show", "list_command", RegistryDown("no endpoint of etcd3://x answered"))
    monkeypatch.setenv("GALERIST_REGISTRY", "etcd3://x")
    assert main(["list"]) == 1
    assert capsys.readouterr().err == "galerist: no endpoint of etcd3://x answered\n"


def test_an_interrupt_exits_with_130(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    stub(monkeypatch, "galerist.cli.show", "list_command", KeyboardInterrupt())
    assert main(["list"]) == 130
    assert "Traceback" not in capsys.readouterr().err


# -- logs ------------------------------------------------------------------------------------


@pytest.fixture
def restored_logging(monkeypatch: pytest.MonkeyPatch) -> None:
    logs.operation.set("")
    root = logging.getLogger()
    monkeypatch.setattr(root, "handlers", list(root.handlers))
    monkeypatch.setattr(root, "level", root.level)


class Terminal(StringIO):
    def isatty(self) -> bool:
        return True


def logged(stream: StringIO, form: str = "text") -> str:
    logs.setup("info", form, "n1", stream)
    logging.getLogger("bootstrap.agent").debug("unseen")
    logging.getLogger("bootstrap.agent").warning("wait for %s", "n2")
    return stream.getvalue()


def test_text_lines_carry_time_level_and_node(restored_logging: None) -> None:
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ WARNING n1: wait for n2\n", logged(StringIO()))


def test_json_lines(restored_logging: None) -> None:
    event = json.loads(logged(StringIO(), "json"))
    assert event.pop("time").endswith("Z")
    assert event == {"level": "warning", "who": "n1", "logger": "bootstrap.agent", "message": "wait for n2"}


def test_lines_of_one_operation_carry_its_id(restored_logging: None) -> None:
    former = logs.operation.set("0a1b2c3d")
    try:
        assert json.loads(logged(StringIO(), "json"))["operation"] == "0a1b2c3d"
    finally:
        logs.operation.reset(former)


def test_colours_only_on_a_terminal_that_wants_them(restored_logging: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    assert "\x1b[" in logged(Terminal())
    assert "\x1b[" not in logged(StringIO())
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b[" not in logged(Terminal())


def test_who_forgot_dir_is_told_where_his_cluster_lies(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from galerist.local import layout

    monkeypatch.setattr(layout, "default_dir", lambda *_: tmp_path)
    monkeypatch.delenv("GALERIST_REGISTRY", raising=False)

    def down(*_: Any, **__: Any) -> None:
        raise RegistryDown("no endpoint of the registry answered")

    monkeypatch.setattr("galerist.registry.open.open_registry", down)
    assert main(["list"]) == 1
    assert "--dir" not in capsys.readouterr().err
    (tmp_path / "cluster.json").touch()
    assert main(["list"]) == 1
    assert f"add --dir {tmp_path}" in capsys.readouterr().err
    assert main(["list", "--registry", "etcd3://127.0.0.1:1"]) == 1
    assert "--dir" not in capsys.readouterr().err


def test_log_lines_go_to_a_file_as_well_as_json_and_it_stays_bounded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "galerist.log"
    monkeypatch.setattr(logs, "LONGEST", 300)
    try:
        logs.setup("info", "text", "n1", StringIO(), file)
        for number in range(10):
            logging.getLogger("galerist.test").info("sentence %d", number)
        lines = [json.loads(line) for path in (tmp_path / "galerist.log.1", file) for line in path.open()]
        assert [line["message"] for line in lines] == [f"sentence {number}" for number in range(10)][-len(lines) :]
        assert len(lines) >= 3 and lines[-1]["who"] == "n1"
        assert all(path.stat().st_size < 500 for path in tmp_path.iterdir())
        stream = StringIO()
        logs.setup("info", "text", "n1", stream, tmp_path / "absent" / "x.log")
        assert "cannot be written" in stream.getvalue()
    finally:
        logging.getLogger().handlers.clear()
