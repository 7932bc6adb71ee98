"""The manifests: valid for the oldest and the newest Kubernetes that the validator knows, and alive on a real one."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from tests.kubernetes.cluster import ROOT, ApiServer, binaries
from tests.kubernetes.rendering import OVERLAYS, rendered
from tests.registry.conftest import until

pytestmark = pytest.mark.kubernetes

OLDEST, NEWEST = "1.25", "1.37"
Objects = list[dict[str, Any]]


@pytest.fixture(scope="module")
def server() -> Iterator[ApiServer]:
    with ApiServer(binaries(), controllers=True) as made:
        yield made


@pytest.fixture(params=OVERLAYS)
def overlay(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[str, Objects]:
    return str(request.param), rendered(binaries() / "kubectl", request.param, tmp_path)


def beside(overlay: str) -> str:
    """The Deployment beside the nodes."""
    return "galera-labels" if overlay == "labels" else "galera-proxy"


def named(objects: Objects, kind: str, name: str) -> dict[str, Any]:
    return next(one for one in objects if (one["kind"], one["metadata"]["name"]) == (kind, name))


@pytest.mark.parametrize("version", [OLDEST, NEWEST])
def test_every_object_is_valid(overlay: tuple[str, Objects], version: str) -> None:
    name, objects = overlay
    assert len(objects) >= 9
    for one in objects:
        kubernetes_validate.validate(one, version, strict=True)


def test_pods_may_do_no_more_than_they_must(overlay: tuple[str, Objects]) -> None:
    found = [one for one in overlay[1] if one["kind"] in ("StatefulSet", "Deployment")]
    assert {one["metadata"]["name"] for one in found} == {"galera", beside(overlay[0])}
    for one in found:
        name, pod = one["metadata"]["name"], one["spec"]["template"]["spec"]
        user = 999 if name == "galera" else 100
        assert pod["serviceAccountName"] == ("galerist-labels" if name == "galera-labels" else "galerist")
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["runAsUser"] == user
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        for container in pod["containers"]:
            limits = container["securityContext"]
            assert limits["allowPrivilegeEscalation"] is False
            assert limits["readOnlyRootFilesystem"] is True
            assert limits["capabilities"] == {"drop": ["ALL"]}
        assert not any("hostPath" in volume for volume in pod.get("volumes", ()))
        assert not any(pod.get(key) for key in ("hostNetwork", "hostPID", "hostIPC"))


def test_the_protocol_gets_what_it_needs(overlay: tuple[str, Objects]) -> None:
    nodes = named(overlay[1], "StatefulSet", "galera")["spec"]
    assert nodes["podManagementPolicy"] == "Parallel"
    assert named(overlay[1], "Service", "galera")["spec"]["publishNotReadyAddresses"] is True
    (container,) = nodes["template"]["spec"]["containers"]
    assert container["livenessProbe"]["httpGet"]["path"] == "/live"  # never cuts a state transfer short
    settings = named(overlay[1], "ConfigMap", "galerist-settings")["data"]
    assert len(settings["GALERIST_EXPECT"].split(",")) == nodes["replicas"]
    given = {one["name"] for one in container["env"]} | set(settings)
    documented = (ROOT / "docs/settings.md").read_text()
    for variable in given:
        key = variable.removeprefix("GALERIST_").lower()
        assert re.search(rf"^\| `{key}` \|", documented, re.M), variable


def test_the_examples_name_what_there_is(tmp_path: Path) -> None:
    """No validator knows these kinds, and no operator runs here."""
    objects = rendered(binaries() / "kubectl", "tls", tmp_path)
    monitor, certificate = (
        yaml.safe_load((ROOT / f"manifests/examples/{name}.yaml").read_text())
        for name in ("service-monitor", "certificate")
    )
    chosen = monitor["spec"]["selector"]["matchLabels"].items()
    services = [
        one["metadata"]["name"]
        for one in objects
        if one["kind"] == "Service" and chosen <= one["metadata"]["labels"].items()
    ]
    assert services == ["galera"]
    (endpoint,) = monitor["spec"]["endpoints"]
    assert endpoint["port"] in {port["name"] for port in named(objects, "Service", "galera")["spec"]["ports"]}
    volumes = named(objects, "StatefulSet", "galera")["spec"]["template"]["spec"]["volumes"]
    assert certificate["spec"]["secretName"] in {volume.get("secret", {}).get("secretName") for volume in volumes}
    assert {"galera-write", "galera-read"} <= set(certificate["spec"]["dnsNames"])
    assert set(certificate["spec"]["usages"]) == {"server auth", "client auth"}  # Galera's nodes are both


def test_applied_the_controllers_make_all_pods_at_once(server: ApiServer, overlay: tuple[str, Objects]) -> None:
    name, objects = overlay
    server.kubectl("create", "namespace", name)
    applied = [{**one, "apiVersion": "policy/v1beta1"} if one["apiVersion"] == "policy/v1" else one for one in objects]
    text = yaml.safe_dump_all(applied)
    server.kubectl("apply", "-n", name, "-f", "-", input=text)
    server.kubectl("apply", "-n", name, "-f", "-", input=text)
    for one in ("statefulset/galera", f"deployment/{beside(name)}"):  # the second time nothing is rolled out
        assert server.kubectl("get", one, "-n", name, "-o", "jsonpath={.metadata.generation}") == "1"

    def pods() -> list[str]:
        found = json.loads(server.kubectl("get", "pods", "-n", name, "-o", "json"))["items"]
        return sorted(one["metadata"]["name"] for one in found)

    # None is ever ready here, as no kubelet runs: a StatefulSet in order would stop after the first
    assert until(
        lambda: [pod for pod in pods() if not pod.startswith(beside(name))] == ["galera-0", "galera-1", "galera-2"],
        60,
    )
    assert until(lambda: sum(pod.startswith(beside(name)) for pod in pods()) == 2, 60)
    claims = json.loads(server.kubectl("get", "persistentvolumeclaims", "-n", name, "-o", "json"))["items"]
    assert sorted(one["metadata"]["name"] for one in claims) == [f"data-galera-{number}" for number in range(3)]
    assert {one["spec"].get("storageClassName") for one in claims} == ({"galera-nfs"} if name == "nfs" else {None})
