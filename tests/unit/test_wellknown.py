"""The variables of the well-known MariaDB images."""

from __future__ import annotations

from pathlib import Path

import pytest

from galerist.cli.container import as_environment
from galerist.cli.wellknown import translate
from galerist.settings import load


def names(*files: str) -> list[Path]:
    return [Path("/docker-entrypoint-initdb.d") / file for file in files]


def test_nothing_is_made_of_nothing() -> None:
    assert translate({"PATH": "/bin", "MARIADB_USER": ""}, ()) == ({}, [])


@pytest.mark.parametrize("prefix", ["MARIADB_", "MYSQL_"])
def test_all_names_become_settings(prefix: str) -> None:
    given = {"ROOT_PASSWORD": "r", "DATABASE": "shop", "USER": "app", "PASSWORD": "p"}
    found, problems = translate({prefix + key: value for key, value in given.items()}, ())
    assert problems == []
    settings = load({}, found, None, "bootstrap")
    assert settings.root_password is not None
    assert settings.app_password is not None
    assert (settings.root_password.reveal(), settings.root_host) == ("r", "%")
    assert (settings.app_user, settings.app_password.reveal(), settings.app_database) == ("app", "p", "shop")


def test_secrets_come_from_files(tmp_path: Path) -> None:
    (tmp_path / "root").write_text("r\n")
    found, problems = translate({"MARIADB_ROOT_PASSWORD_FILE": str(tmp_path / "root"), "MARIADB_ROOT_HOST": "::1"}, ())
    settings = load({}, found, None, "bootstrap")
    assert settings.root_password is not None
    assert (settings.root_password.reveal(), settings.root_host, problems) == ("r", "::1", [])


def test_mariadb_goes_over_mysql_and_galerist_over_both() -> None:
    environ = {"MYSQL_DATABASE": "a", "MARIADB_DATABASE": "b", "MYSQL_ROOT_PASSWORD": "x"}
    environ["GALERIST_ROOT_PASSWORD_FILE"] = "/run/secrets/root"
    assert translate(environ, ())[0] == {"GALERIST_APP_DATABASE": "b", "GALERIST_ROOT_HOST": "%"}


def test_a_random_password_lets_root_in_from_everywhere_too() -> None:
    assert translate({"MARIADB_RANDOM_ROOT_PASSWORD": "yes"}, ()) == ({"GALERIST_ROOT_HOST": "%"}, [])
    assert translate({"MARIADB_RANDOM_ROOT_PASSWORD": "no"}, ()) == ({}, [])


def test_files_are_loaded_in_the_order_of_their_names() -> None:
    found, problems = translate({}, names("2.sql.gz", "1.sh", "README", "3.sql.zst", "10.sql", "4.sql.xz"))
    order = ["1.sh", "10.sql", "2.sql.gz", "3.sql.zst", "4.sql.xz"]
    assert found["GALERIST_INIT_SQL"].split(",") == [str(path) for path in names(*order)]
    assert problems == []
    assert [path.name for path in load({}, found, None, "bootstrap").init_sql] == order


@pytest.mark.parametrize(
    ("environ", "words"),
    [
        ({"MARIADB_ALLOW_EMPTY_ROOT_PASSWORD": "1"}, "RANDOM_ROOT_PASSWORD"),
        ({"MYSQL_PASSWORD_HASH": "*AB"}, "PASSWORD_FILE"),
        ({"MARIADB_USER": "app"}, "needs a password"),
    ],
)
def test_what_cannot_be_is_refused_with_a_remedy(environ: dict[str, str], words: str) -> None:
    (problem,) = translate(environ, ())[1]
    assert words in str(problem)
    assert next(iter(environ)) in str(problem)
    assert "*AB" not in str(problem)


def test_a_comma_in_a_name_is_refused() -> None:
    assert "comma" in str(translate({}, names("a,b.sql"))[1][0])


def test_flags_reach_all_parts() -> None:
    flags = {"node": "n2", "root_password_file": "/r", "bind": None}
    environ = as_environment(
        Path("/etc/g.toml"), flags, {"GALERIST_NODE": "n1", "GALERIST_ROOT_PASSWORD": "x", "A": "b"}
    )
    assert environ == {
        "A": "b",
        "GALERIST_CONFIG": "/etc/g.toml",
        "GALERIST_NODE": "n2",
        "GALERIST_ROOT_PASSWORD_FILE": "/r",
    }
