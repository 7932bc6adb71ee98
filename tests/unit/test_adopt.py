"""What keeps a running server from being adopted; how its views are written down."""

from __future__ import annotations

from pathlib import Path

import pytest

from bootstrap.adopt import misfits
from galerist.galera.sql import Live
from galerist.galera.stamp import ADOPTED, StampStore
from galerist.model import View
from galerist.settings import load

LIVE = Live("Primary", 4, "u", 7, 3, True, "Synced", False)
MEMBERS = ["db1", "db2", "db3"]
VARIABLES = {
    "wsrep_node_name": "db1",
    "datadir": "/var/lib/mysql/",
    "port": "3306",
    "log_error": "/var/log/mysql/error.log",
    "have_ssl": "DISABLED",
    "wsrep_provider_options": "base_port = 4567; gmcast.listen_addr = tcp://0.0.0.0:4567; pc.recovery = true; ",
}
FLAGS = {"node": "db1", "expect": "db3,db1,db2", "error_log": "/var/log/mysql/error.log"}


def test_a_server_that_is_what_the_settings_say_fits() -> None:
    settings = load(FLAGS, {}, None, "bootstrap")
    assert misfits(settings, LIVE, VARIABLES, MEMBERS) == []
    counted = load(FLAGS | {"expect": "3"}, {}, None, "bootstrap")
    assert misfits(counted, LIVE, VARIABLES, MEMBERS) == []


@pytest.mark.parametrize(
    ("flags", "variables", "words"),
    [
        ({"node": "db9"}, {}, "its node is db1, by the settings db9: correct the setting 'node'"),
        ({"datadir": "/srv/data"}, {}, "correct the setting 'datadir'"),
        ({"sql_port": "3307"}, {}, "correct the setting 'sql_port'"),
        ({}, {"wsrep_provider_options": "gmcast.listen_addr = tcp://[::]:14567"}, "its gcomm_port is 14567"),
        ({}, {"log_error": ""}, "its error_log is not set"),
        ({"expect": "db1,db2"}, {}, "the members are db1, db2, db3: correct the setting 'expect'"),
        ({"expect": "5"}, {}, "correct the setting 'expect'"),
    ],
)
def test_each_contradiction_is_named_with_what_to_do(
    flags: dict[str, str], variables: dict[str, str], words: str
) -> None:
    found = misfits(load(FLAGS | flags, {}, None, "bootstrap"), LIVE, VARIABLES | variables, MEMBERS)
    assert len(found) == 1 and words in found[0], found


def test_a_server_without_quorum_is_not_adopted() -> None:
    alone = Live("non-Primary", 0, "u", 7, 1, False, "Initialized", False)
    (found,) = misfits(load(FLAGS, {}, None, "bootstrap"), alone, VARIABLES, MEMBERS)
    assert "wait until it is Primary and Synced" in found


def test_a_view_is_written_down_as_the_notify_script_would(tmp_path: Path) -> None:
    stamps = StampStore(tmp_path)
    stamps.prepare()
    stamps.begin_run(f"{ADOPTED}1", "g")
    stamps.note(
        f"{ADOPTED}1", "u", 7, [("x", "db2", "10.0.0.2:3306"), ("y", "db1", "10.0.0.1:3306"), ("z", "garb", "")]
    )
    (seen,) = stamps.views()
    assert (seen.run, seen.primary, seen.uuid) == (f"{ADOPTED}1", True, "u")
    assert seen.view == View("g", 7, ("db1", "db2"), ("garb",))
