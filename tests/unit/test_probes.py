"""What asks the parts whether they are well: never a database that is not asked anything."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
SQL = {3306, 3307, 3308, "sql", "write", "read"}


@pytest.mark.parametrize("name", ["nodes", "proxies"])
def test_no_probe_only_knocks_at_a_server(name: str) -> None:
    """MariaDB blocks an address that has knocked a hundred times without a word, and a proxy's is that of all clients."""
    (workload,) = [one for one in yaml.safe_load_all((ROOT / f"manifests/base/{name}.yaml").read_text()) if one]
    (container,) = workload["spec"]["template"]["spec"]["containers"]
    probes: list[dict[str, Any]] = [probe for key, probe in container.items() if key.endswith("Probe")]
    assert probes
    asked = [probe.get(how, {}).get("port") for probe in probes for how in ("tcpSocket", "httpGet")]
    assert [port for port in asked if port in SQL] == []
