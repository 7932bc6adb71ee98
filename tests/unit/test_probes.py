"""How Kubernetes asks the parts whether they are well, and what it does to them at their beginning and end."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
SQL = {3306, 3307, 3308, "sql", "write", "read"}


def container_of(name: str) -> dict[str, Any]:
    workload = yaml.safe_load((ROOT / f"manifests/base/{name}.yaml").read_text())
    container: dict[str, Any]
    (container,) = workload["spec"]["template"]["spec"]["containers"]
    return container


@pytest.mark.parametrize("name", ["nodes", "proxies"])
def test_no_probe_only_knocks_at_a_server(name: str) -> None:
    """MariaDB blocks an address that has knocked a hundred times without a word, and a proxy's is that of all clients."""
    container = container_of(name)
    probes: list[dict[str, Any]] = [probe for key, probe in container.items() if key.endswith("Probe")]
    assert probes
    asked = [probe.get(how, {}).get("port") for probe in probes for how in ("tcpSocket", "httpGet")]
    assert [port for port in asked if port in SQL] == []


def test_a_container_that_is_replaced_in_its_pod_is_not_disabled_by_the_end_of_the_former() -> None:
    """kubelet runs preStop for a container whose probe failed, too, and the pod's /tmp outlives that container."""
    container = container_of("nodes")
    assert "clustercheck --disable" in container["lifecycle"]["preStop"]["exec"]["command"][-1]
    (mark,) = [one["value"] for one in container["env"] if one["name"] == "GALERIST_CHECK_DISABLED_FILE"]
    assert container["lifecycle"]["postStart"]["exec"]["command"] == ["rm", "-f", mark]
