"""The configuration: what HAProxy itself thinks of it, and how faults in a template are told."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from haproxy.model import Policy, Server, model
from haproxy.render import TemplateFault, render

POLICY = Policy(("0.0.0.0", "::"), 3306, 3307, 3308, ("127.0.0.1",), 8404)
SERVERS = (Server("a", "10.0.0.1", 3306, 9200), Server("b", "fd00::2", 3306, 9200), Server("c", "db3.lan", 3306, 9201))


def facts(folder: Path) -> dict[str, object]:
    (folder / "state").write_text("1\n")
    return {"cluster": "g", "admin_socket": folder / "a.sock", "state_file": folder / "state", "drop_to": ""}


@pytest.mark.parametrize("count", [0, 1, 2, 3])
def test_haproxy_takes_it(count: int, tmp_path: Path) -> None:
    config = tmp_path / "haproxy.cfg"
    config.write_text(render(model(SERVERS[:count], POLICY), facts(tmp_path)))
    done = subprocess.run(["haproxy", "-c", "-V", "-f", str(config)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "ALERT" not in done.stderr


def test_servers_and_listeners(tmp_path: Path) -> None:
    lines = [line.strip() for line in render(model(SERVERS, POLICY), facts(tmp_path)).splitlines()]
    assert "bind 0.0.0.0:3306" in lines
    assert "bind [::]:3306 v6only" in lines
    assert "bind 127.0.0.1:8404" in lines
    servers = [line for line in lines if line.startswith("server ")]
    assert servers == [
        "server a 10.0.0.1:3306 id 1000000000 port 9200 weight 1",
        "server b [fd00::2]:3306 id 1001000000 port 9200 weight 1",
        "server c db3.lan:3306 id 1002000000 port 9201 weight 1",
        "server a 10.0.0.1:3306 port 9200 weight 0",
        "server b [fd00::2]:3306 port 9200 weight 1",
        "server c db3.lan:3306 port 9201 weight 1",
        "server a 10.0.0.1:3306 port 9200 weight 1",
        "server b [fd00::2]:3306 port 9200 weight 1",
        "server c db3.lan:3306 port 9201 weight 1",
    ]


def test_the_same_model_gives_the_same_text(tmp_path: Path) -> None:
    assert render(model(SERVERS, POLICY), facts(tmp_path)) == render(model(SERVERS, POLICY), facts(tmp_path))


@pytest.mark.parametrize(
    ("text", "line", "word"),
    [
        ("ok\n{% for x in %}\n", 2, "Expected"),
        ("ok\nok\n{{ model.wriet.port }}\n", 3, "wriet"),
        ("{{ nothing }}\n", 1, "'nothing' is undefined"),
        ("ok\n{{ 1 / 0 }}\n", 2, "division"),
        ("ok\n{% include 'other.j2' %}\n", 2, "other.j2: no such template"),
    ],
)
def test_a_fault_in_a_template_has_a_file_and_a_line(text: str, line: int, word: str, tmp_path: Path) -> None:
    template = tmp_path / "mine.cfg.j2"
    template.write_text(text)
    with pytest.raises(TemplateFault, match=word) as caught:
        render(model(SERVERS, POLICY), facts(tmp_path), template)
    assert f"{template}, line {line}:" in str(caught.value)


def test_a_missing_template_is_named(tmp_path: Path) -> None:
    with pytest.raises(TemplateFault, match="gone.j2"):
        render(model(SERVERS, POLICY), facts(tmp_path), tmp_path / "gone.j2")
