"""The configuration: what HAProxy itself thinks of it, and how faults in a template are told."""

from __future__ import annotations

import dataclasses
import subprocess
from pathlib import Path

import pytest

from haproxy.model import Policy, Server, Wire, model
from haproxy.render import TemplateFault, blame, read_sources, render
from tests.support.certificates import make_certificates

POLICY = Policy(("0.0.0.0", "::"), 3306, 3307, 3308, ("127.0.0.1",), 8404)
SERVERS = (Server("a", "10.0.0.1", 3306, 9200), Server("b", "fd00::2", 3306, 9200), Server("c", "db3.lan", 3306, 9201))


def facts(folder: Path) -> dict[str, object]:
    (folder / "state").write_text("1\n")
    return {
        "cluster": "g",
        "admin_socket": folder / "a.sock",
        "state_file": folder / "state",
        "socket_mode": "600",
        "wait_file": "",
        "drop_to": "",
    }


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
        render(model(SERVERS, POLICY), facts(tmp_path), read_sources(template))
    assert f"{template}, line {line}:" in str(caught.value)


def test_a_missing_template_is_named(tmp_path: Path) -> None:
    with pytest.raises(TemplateFault, match="gone.j2"):
        render(model(SERVERS, POLICY), facts(tmp_path), read_sources(tmp_path / "gone.j2"))


def check(text: str, folder: Path) -> str:
    """What HAProxy says of it; empty when it takes it."""
    config = folder / "haproxy.cfg"
    config.write_text(text)
    done = subprocess.run(["haproxy", "-c", "-f", str(config)], capture_output=True, text=True)
    return "" if done.returncode == 0 else done.stderr


def test_the_port_for_all_nodes_is_there_only_when_asked_for(tmp_path: Path) -> None:
    text = render(model(SERVERS, dataclasses.replace(POLICY, all_port=0)), facts(tmp_path))
    assert "listen all" not in text
    assert check(text, tmp_path) == ""


def test_what_the_settings_add(tmp_path: Path) -> None:
    ca = make_certificates(tmp_path).ca
    wire = Wire(2.0, True, "v2", str(ca), ("10.0.0.2:53", "[fd00::53]:53"))
    text = render(model(SERVERS, dataclasses.replace(POLICY, wire=wire)), facts(tmp_path))
    assert check(text, tmp_path) == ""
    lines = [line.strip() for line in text.splitlines()]
    assert "default-server inter 600ms fastinter 200ms fall 2 rise 1 check init-addr libc,last,none" in lines
    assert "bind 0.0.0.0:3306 accept-proxy" in lines
    assert "default-server send-proxy-v2" in lines
    assert f"default-server check-ssl verify required ca-file {ca}" in lines
    assert "server b [fd00::2]:3306 port 9200 weight 1" in lines, "an address is not looked up"
    assert "server c db3.lan:3306 port 9201 weight 1 resolvers galerist" in lines


def snippets(folder: Path, **texts: str) -> Path:
    place = folder / "snippets"
    place.mkdir()
    for name, text in texts.items():
        (place / f"{name}.cfg").write_text(text)
    return place


def test_snippets_stand_in_their_sections(tmp_path: Path) -> None:
    place = snippets(
        tmp_path,
        **{"global": "    maxconn 1000", "defaults": "    default-server inter 7s\n", "all": "    maxconn 7\n"},
        write="    # {{ model.servers[0].name }}\n    fullconn 99\n",
        more="listen mine\n    bind 127.0.0.1:9999\n",
    )
    text = render(model(SERVERS, POLICY), facts(tmp_path), read_sources(None, place))
    assert check(text, tmp_path) == ""
    part = text.partition("listen write")[2].partition("listen read")[0]
    assert "    # a\n    fullconn 99\n" in part
    assert "fullconn" not in text.replace(part, "")
    assert text.index("default-server inter 7s") > text.index("default-server inter 300ms")


def test_a_fault_in_a_snippet_has_a_file_and_a_line(tmp_path: Path) -> None:
    place = snippets(tmp_path, read="    # fine\n    {{ wrong }}\n")
    with pytest.raises(TemplateFault, match=f"{place}/read.cfg, line 2: 'wrong' is undefined"):
        render(model(SERVERS, POLICY), facts(tmp_path), read_sources(None, place))
    (place / "read.cfg").rename(place / "raed.cfg")
    with pytest.raises(TemplateFault, match="did you mean read.cfg?"):
        read_sources(None, place)


def test_haproxys_complaint_is_led_back_to_the_snippet(tmp_path: Path) -> None:
    place = snippets(tmp_path, write="    # fine\n    nonsense here\n")
    text = render(model(SERVERS, POLICY), facts(tmp_path), read_sources(None, place))
    said = blame(check(text, tmp_path), str(tmp_path / "haproxy.cfg"), text)
    assert f"'nonsense here', line 2 of {place}/write.cfg] : unknown keyword 'nonsense'" in said
