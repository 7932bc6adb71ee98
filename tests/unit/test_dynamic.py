"""Settings of running servers: what can be set, and to what."""

from __future__ import annotations

import pytest

from galerist.settings.dynamic import Unfit, differing, dump, parse, read


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("max_connections", "500", "500"),
        ("Max-Connections", " 500 ", "500"),
        ("innodb_buffer_pool_size", "4G", str(4 << 30)),
        ("long_query_time", "0.5", "0.500000"),
        ("slow_query_log", "true", "ON"),
        ("slow_query_log", "off", "OFF"),
    ],
)
def test_values_as_the_server_shows_them(name: str, text: str, value: str) -> None:
    assert read(name, text)[1] == value


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("innodb_flush_log_at_trx_commit", "2", "loses commits"),
        ("wsrep_on", "OFF", "galerist decides"),
        ("innodb_log_file_size", "1G", "restart --rolling"),
        ("max_connections", "many", "not a number"),
        ("max_connections", "1", "not within"),
        ("slow_query_log", "maybe", "neither ON nor OFF"),
        ("innodb_buffer_pool_size", "4 GB", "not a size"),
    ],
)
def test_what_cannot_be_taken_says_why(name: str, text: str, words: str) -> None:
    with pytest.raises(Unfit, match=words):
        read(name, text)


def test_what_stands_in_the_registry() -> None:
    values = {"max_connections": "500", "slow_query_log": "ON"}
    assert parse(dump(values)) == values and parse(None) == {}
    for text in ("", "[]", '{"mariadb": {"wsrep_on": "OFF"}}', '{"mariadb": []}'):
        with pytest.raises(Unfit, match="not what galerist writes"):
            parse(text)


def test_only_what_differs_is_set() -> None:
    wanted = {"max_connections": "500", "long_query_time": "0.500000", "innodb_buffer_pool_size": str(100 << 20)}
    found = {"max_connections": "151", "long_query_time": "0.500000", "innodb_buffer_pool_size": str(128 << 20)}
    assert differing(wanted, found) == {"max_connections": "500"}
    assert differing(wanted, {}) == wanted
