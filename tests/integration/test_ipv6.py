"""Nodes that know one another by IPv6 addresses."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.support.cluster import Cluster


@pytest.mark.parametrize("sst_method", ["rsync", "mariabackup"])
def test_nodes_at_ipv6_addresses_form_a_cluster_transfer_and_are_led_to(sst_method: str) -> None:
    with Cluster(2, sst_method=sst_method, settings={"host": "::1", "bind": "*", "check_bind": "*", "ttl": 3.0}) as two:
        two.up(proxy=True)
        two.sql("n1", "CREATE TABLE app.words (id INT PRIMARY KEY) SELECT 6 AS id")
        assert two.same_everywhere("SELECT id FROM app.words") == ((6,),)
        two.stop("n2")
        two.sql("n1", "INSERT INTO app.words VALUES (7)")
        two.up("n2")
        assert two.same_everywhere("SELECT id FROM app.words ORDER BY id") == ((6,), (7,))
        command = [sys.executable, "-m", "galerist", "list", "--dir", str(two.layout.dir)]
        said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        assert f"[::1]:{two.plan.port('sql_port', 'n1')}" in said
