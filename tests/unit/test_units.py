"""Units: what is filled in, and what fleet would not understand."""

from __future__ import annotations

from pathlib import Path

import pytest

from galerist.cli.main import main
from galerist.deploy.units import KINDS, Values, problems_of_fleet, render

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(("kind", "folder"), [("fleet", "fleet-units"), ("systemd", "systemd")])
def test_the_folders_of_the_repository_hold_what_is_rendered(kind: str, folder: str) -> None:
    files = {path.name: path.read_text() for path in (ROOT / folder).glob("*.service")}
    assert files == render(kind, Values())


@pytest.mark.parametrize("kind", KINDS)
def test_all_values_reach_the_units(kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    values = ["--cluster=shop", "--registry=etcd2://reg1", "--expect=a,b", "--write-port=13306", "--host=10.0.0.9"]
    assert main(["units", "render", "--kind", kind, "--out", str(tmp_path / "new"), *values]) == 0
    written = sorted((tmp_path / "new").iterdir())
    assert sorted(capsys.readouterr().out.split()) == [str(path) for path in written]
    text = "".join(path.read_text() for path in written)
    for value in (
        "GALERIST_CLUSTER=shop",
        "etcd2://reg1",
        "GALERIST_EXPECT=a,b",
        "GALERIST_WRITE_PORT=13306",
        "10.0.0.9",
    ):
        assert value in text
    assert "{{" not in text


def test_a_machine_of_coreos_names_its_own_address() -> None:
    units = render("fleet", Values(host="${COREOS_PRIVATE_IPV4}"))
    naming = [text for text in units.values() if "${COREOS_PRIVATE_IPV4}" in text]
    assert len(naming) == 3
    assert [text for text in naming if "\nEnvironmentFile=-/etc/environment\n" not in text] == []


@pytest.mark.parametrize(
    ("flag", "words"),
    [
        ("--cluster=my shop", "--cluster: 'my shop' is not a cluster name; give at most 23"),
        ("--expect=db1,db1", "--expect: 'db1,db1' names db1 twice; give a count"),
        ("--registry=reg1:2379", "has no scheme: write etcd3://reg1:2379"),
        ("--proxy-image=galerist proxy", "--proxy-image: 'galerist proxy' cannot stand in a unit; leave out spaces"),
        ("--host=", "--host: '' cannot stand in a unit"),
    ],
)
def test_what_a_unit_would_misread_is_refused(
    flag: str, words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["units", "render", "--out", str(tmp_path / "new"), flag]) == 2
    assert words in capsys.readouterr().err
    assert not (tmp_path / "new").exists()


def test_spaces_in_a_list_are_left_out(tmp_path: Path) -> None:
    lists = ["--expect=db1, db2", "--registry=etcd3://reg1, reg2"]
    assert main(["units", "render", "--out", str(tmp_path), *lists]) == 0
    text = (tmp_path / "galera-agent@.service").read_text()
    assert "GALERIST_REGISTRY=etcd3://reg1,reg2 GALERIST_EXPECT=db1,db2\n" in text


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").touch()
    assert main(["units", "render", "--out", str(tmp_path / "file/x")]) == 1
    assert "choose another --out" in capsys.readouterr().err


def test_systemd_gives_up_no_unit_that_it_starts_again() -> None:
    for name, text in render("systemd", Values()).items():
        assert ("\nRestart=" in text) == ("\nStartLimitIntervalSec=0\n" in text), name


def test_what_a_proxy_knows_outlives_its_unit() -> None:
    """systemd empties a RuntimeDirectory whenever the unit ends, and a proxy is to start while the registry is down."""
    text = render("systemd", Values())["galera-haproxy.service"]
    assert "\nEnvironment=GALERIST_HAPROXY_DIR=/var/lib/galerist-haproxy\n" in text
    assert "\nStateDirectory=galerist-haproxy\n" in text


def test_a_node_is_stopped_and_restarted_whatever_its_agent_does() -> None:
    """As tried on systemd 252; tests/docker/test_units.py has the real units."""
    lines = render("systemd", Values())["galera@.service"].splitlines()
    starts = [line for line in lines if line.startswith("ExecStart=")]
    assert "After=galera-agent@%i.service network-online.target" in lines
    assert starts == ["ExecStart=/bin/systemctl --no-block start galera-agent@%i.service galera-check@%i.service"]
    stops = [line.removeprefix("ExecStop=") for line in lines if line.startswith("ExecStop=")]
    assert [line for line in stops if not line.startswith("-")] == [stops[1]]  # one that fails ends all the others
    # The agent's own stop comes after this unit's, so nothing here may wait for it
    waiting = [line for line in stops if "systemctl stop" in line and "galera-agent@" in line]
    assert waiting == []
    assert stops[-1] == "-/bin/systemctl --no-block stop galera-agent@%i.service"


def test_the_containers_of_fleet_come_into_a_registry_that_wants_a_password() -> None:
    """By name alone: the value stands in a file, not on docker's command line, and the node's other secrets stay there."""
    units = render("fleet", Values())
    for kind in ("discovery", "haproxy"):
        text = units[f"galera-{kind}@.service"]
        assert "\nEnvironmentFile=-/etc/galerist/galerist.env\n" in text
        assert " --env=GALERIST_REGISTRY_USER --env=GALERIST_REGISTRY_PASSWORD " in text
        assert "--env-file" not in text
    assert " --env=GALERIST_SQL_PORT " in units["galera-discovery@.service"]  # what it publishes


def test_every_unit_of_fleet_that_a_dying_node_stops_is_wanted_by_it() -> None:
    """What is bound to a unit is stopped when that fails, and not started again with it, as tried on systemd 252."""
    units = render("fleet", Values())
    bound = {name for name, text in units.items() if "\nBindsTo=galera@%i.service\n" in text}
    assert {name for name in bound if name.replace("@.", "@%i.") not in units["galera@.service"]} == set()
    assert "\nPartOf=galera@%i.service\n" in units["galera-log-courier@.service"]


def test_fleet_understands_its_units() -> None:
    assert problems_of_fleet(render("fleet", Values())) == []


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("MachineOf=", "MachinesOf=", "has no key MachinesOf"),
        ("MachineOf=galera@%i.service", "MachineOf=galaxy@%i.service", "names no unit of this set"),
        ("[X-Fleet]", "[XFleet]", "has no section"),
        ("MachineOf=galera@%i.service", "MachineOf=galera@%i.service\nConflicts=galera@*.service", "contradict"),
        ("[X-Fleet]", "[Install]\nWantedBy=x\n[X-Fleet]", "ignores [Install]"),
    ],
)
def test_what_fleet_does_not_understand_is_found(old: str, new: str, words: str) -> None:
    units = render("fleet", Values())
    name = "galera-discovery@.service"
    assert old in units[name]
    units[name] = units[name].replace(old, new)
    assert any(words in problem and name in problem for problem in problems_of_fleet(units))
