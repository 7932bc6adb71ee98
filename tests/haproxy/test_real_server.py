"""A real MariaDB behind the proxy that tells where its clients come from."""

from __future__ import annotations

from dataclasses import replace

import pymysql
import pytest

from galerist import model as records
from tests.haproxy.fakes import until
from tests.haproxy.proxies import Proxy
from tests.support.mariadb import running_server


def client(port: int, source: str) -> str:
    """Whom the server takes a client for that comes from this address."""
    connection = pymysql.connect(
        host="127.0.0.1", port=port, user="app", password="x", bind_address=source, connect_timeout=5, read_timeout=20
    )
    with connection, connection.cursor() as cursor:
        cursor.execute("SELECT USER()")
        return str(cursor.fetchone()[0])


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_the_server_is_told_where_its_clients_come_from(proxy: Proxy, version: str) -> None:
    with running_server() as server:
        server.query("SET GLOBAL proxy_protocol_networks='127.0.0.1'")
        for source in ("127.0.0.7", "127.0.0.9"):  # accounts for these addresses only
            server.query(f"CREATE USER app@'{source}' IDENTIFIED BY 'x'")
        node = proxy.node("a")
        report = records.load(records.Report, node.report())
        endpoint = records.Endpoint("127.0.0.1", "127.0.0.1", server.sql_port, 4567, node.check_port)
        proxy.registry.put(proxy.keys.members + "a", records.dump(replace(report, endpoint=endpoint)))
        proxy.record("a", writer="a")
        proxy.command += ["--proxy-protocol-out", version]
        proxy.start()
        until(proxy.settled, "the server is in the configuration")
        until(lambda: reached(proxy.write), "the server is up")
        assert client(proxy.write, "127.0.0.7") == "app@127.0.0.7"
        assert client(proxy.write, "127.0.0.9") == "app@127.0.0.9"
        with pytest.raises(pymysql.MySQLError):
            client(proxy.write, "127.0.0.8")


def reached(port: int) -> bool:
    try:
        client(port, "127.0.0.7")
    except pymysql.MySQLError:
        return False
    return True
