"""The statements that make the accounts of a new cluster."""

from __future__ import annotations

import pytest

from bootstrap.accounts import PROBE, SST_GRANTS, Wanted, identifier, quote, statements
from galerist.settings import Secret

FULL = Wanted(
    server_user="mysql",
    root_password=Secret("r00t"),
    sst_user="galerist_sst",
    sst_password=Secret("ss'; DROP"),
    check_user="galerist_check",
    check_password=Secret("chk"),
    app_user="app",
    app_password=Secret("secret"),
    app_database="shop",
)


def texts(wanted: Wanted) -> list[str]:
    return [text for text, _ in statements(wanted)]


def test_all_that_is_wanted_is_made() -> None:
    assert texts(FULL) == [
        "ALTER USER root@localhost IDENTIFIED VIA unix_socket OR mysql_native_password USING PASSWORD(%s)",
        "CREATE OR REPLACE USER 'galerist_sst'@localhost IDENTIFIED BY %s",
        f"GRANT {SST_GRANTS} ON *.* TO 'galerist_sst'@localhost",
        "CREATE OR REPLACE USER 'galerist_check'@localhost IDENTIFIED BY %s",
        *PROBE,
        "GRANT SELECT, INSERT, UPDATE ON galerist.probe TO 'galerist_check'@localhost",
        "GRANT EXECUTE ON FUNCTION galerist.ddl_runs TO 'galerist_check'@localhost",
        "CREATE DATABASE IF NOT EXISTS `shop`",
        "CREATE OR REPLACE USER 'app'@'%%' IDENTIFIED BY %s",
        "GRANT ALL ON `shop`.* TO 'app'@'%'",
    ]


def test_secrets_are_arguments_and_never_part_of_a_statement() -> None:
    secrets = ["r00t", "ss'; DROP", "chk", "secret"]
    assert [argument for _, arguments in statements(FULL) for argument in arguments] == secrets
    assert not [secret for secret in secrets for text in texts(FULL) if secret in text]


def test_a_statement_with_arguments_has_its_percent_signs_doubled() -> None:
    """PyMySQL formats a statement only when it has arguments."""
    for text, arguments in statements(FULL):
        if arguments:
            assert (text % tuple("'x'" for _ in arguments)).count("%%") == 0


def test_nothing_is_made_that_is_not_wanted() -> None:
    assert statements(Wanted("mysql", None)) == ()


def test_the_health_check_gets_no_privilege_beyond_its_own_row() -> None:
    found = texts(Wanted("mysql", None, check_user="galerist_check"))
    assert found[0] == "CREATE OR REPLACE USER 'galerist_check'@localhost"
    grants = [text for text in found if text.startswith("GRANT")]
    assert grants
    assert all(" galerist." in text and "*" not in text for text in grants)


def test_the_servers_own_user_is_left_as_it_is() -> None:
    assert statements(Wanted("mysql", None, sst_user="mysql", sst_password=Secret("x"))) == ()


def test_names_are_quoted() -> None:
    assert quote("o'hara\\") == "'o''hara\\\\'"
    assert identifier("we`ird") == "`we``ird`"
    user, *_, grant = texts(Wanted("mysql", None, check_user="a'b"))
    assert user == "CREATE OR REPLACE USER 'a''b'@localhost"
    assert grant.endswith("TO 'a''b'@localhost")


@pytest.mark.parametrize("host", ["", "localhost"])
def test_root_stays_at_home_unless_a_host_is_given(host: str) -> None:
    assert not any("root@'" in text for text in texts(Wanted("mysql", Secret("r"), root_host=host)))


def test_root_may_come_over_the_network_from_the_host_given() -> None:
    found = statements(Wanted("mysql", Secret("r"), root_host="10.0.0.%"))
    assert found[1:] == (
        ("CREATE OR REPLACE USER root@'10.0.0.%%' IDENTIFIED BY %s", ("r",)),
        ("GRANT ALL ON *.* TO root@'10.0.0.%' WITH GRANT OPTION", ()),
    )
