"""`galerist labels` on a real API server, with the rights of its own account. tests/kubernetes/test_pods.py has real pods."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator

import pytest
import yaml

from galerist.deploy.labels import READ, WRITE, Labeller
from galerist.endpoints import Access
from galerist.model import Generation, Identity, State, dump
from galerist.registry.contract import Registry, RegistryUnusable
from galerist.registry.k8sapi import Api
from galerist.registry.keys import Keys
from galerist.registry.open import connect
from galerist.settings import load
from tests.kubernetes.cluster import ROOT, ApiServer
from tests.kubernetes.test_rights import token, without
from tests.registry.conftest import until

pytestmark = pytest.mark.kubernetes

NAMESPACE = "labels"
TEXT = (ROOT / "manifests/overlays/labels/labels.yaml").read_text()
RBAC = [one for one in yaml.safe_load_all(TEXT) if one["kind"] != "Deployment"]
ROLE = next(one for one in RBAC if one["kind"] == "Role")
VERBS = [(rule["resources"][0], verb) for rule in ROLE["rules"] for verb in rule["verbs"]]
NODES = ("galera-0", "galera-1", "galera-2")
STATE = State(Identity("uuid", (Generation("aaaaaaaa", 0, "galera-0", "galera"),)), writer=NODES)


class Pods:
    """Pods that no kubelet runs; the tests say which are ready."""

    def __init__(self, server: ApiServer) -> None:
        self._server = server
        for name in (*NODES, "galera-proxy-0"):
            self.make(name)

    def make(self, name: str) -> None:
        about = {"name": name, "namespace": NAMESPACE, "labels": {"statefulset.kubernetes.io/pod-name": name}}
        spec = {"containers": [{"name": "node", "image": "galerist-node"}]}
        pod = {"apiVersion": "v1", "kind": "Pod", "metadata": about, "spec": spec}
        self._server.kubectl("create", "-f", "-", input=json.dumps(pod))

    def ready(self, name: str, ready: bool = True) -> None:
        pod = json.loads(self._server.kubectl("get", "pod", name, "-n", NAMESPACE, "-o", "json"))
        pod["status"]["conditions"] = [{"type": "Ready", "status": str(ready)}]
        path = f"/api/v1/namespaces/{NAMESPACE}/pods/{name}/status"
        self._server.kubectl("replace", "--raw", path, "-f", "-", input=json.dumps(pod))

    def with_label(self, label: str) -> list[str]:
        found = self._server.kubectl("get", "pods", "-n", NAMESPACE, "-l", f"{label}=true", "-o", "name")
        return [line.removeprefix("pod/") for line in found.split()]

    def delete(self, name: str) -> None:
        self._server.kubectl("delete", "pod", name, "-n", NAMESPACE, "--grace-period=0", "--force")


@pytest.fixture(scope="module")
def namespace(etcd: ApiServer) -> None:
    etcd.kubectl("create", "namespace", NAMESPACE)
    etcd.kubectl("apply", "-n", NAMESPACE, "-f", "-", input=yaml.safe_dump_all(RBAC))


@pytest.fixture
def pods(etcd: ApiServer, namespace: None) -> Iterator[Pods]:
    made = Pods(etcd)
    for name in (*NODES, "galera-proxy-0"):
        made.ready(name)
    yield made
    etcd.kubectl("delete", "pods", "--all", "-n", NAMESPACE, "--grace-period=0", "--force")


@pytest.fixture
def account(etcd: ApiServer, pods: Pods) -> Access:
    kubeconfig = etcd.kubeconfig(token(etcd, "galerist-labels", NAMESPACE), NAMESPACE, "labels")
    return etcd.access(kubeconfig=str(kubeconfig), namespace="")


@pytest.fixture
def record(etcd: ApiServer) -> Iterator[Registry]:
    """The registry, as the agents write it."""
    registry = connect(etcd.access(namespace=NAMESPACE))
    registry.put(Keys("galera").state, dump(STATE))
    yield registry
    registry.delete(Keys("galera").state)
    registry.close()


@pytest.fixture
def labeller(account: Access, record: Registry, pods: Pods) -> Iterator[Labeller]:
    registry, api = connect(account), Api(account)
    made = Labeller(load({"statefulset": "galera"}, {}, None, "labels"), api, registry)
    yield made
    registry.close()
    api.close()


def settled(labeller: Labeller, pods: Pods, writer: list[str], readers: list[str]) -> bool:
    """Whether the labels become these; a new binding takes a moment to be known to the API server."""

    def right() -> bool:
        labeller.step()
        return (pods.with_label(WRITE), pods.with_label(READ)) == (writer, readers)

    return bool(until(right, 20))


def test_labels_follow_the_writer_and_who_is_ready(labeller: Labeller, pods: Pods, record: Registry) -> None:
    assert settled(labeller, pods, ["galera-0"], ["galera-1", "galera-2"])
    record.put(Keys("galera").state, dump(State(STATE.identity, writer=("galera-2", "galera-0", "galera-1"))))
    assert settled(labeller, pods, ["galera-2"], ["galera-0", "galera-1"])  # a switchover
    pods.ready("galera-2", False)
    assert settled(labeller, pods, ["galera-0"], ["galera-1"])
    pods.delete("galera-2")
    pods.make("galera-2")
    pods.ready("galera-2")
    assert settled(labeller, pods, ["galera-2"], ["galera-0", "galera-1"])
    for name in NODES:
        pods.ready(name, False)
    assert settled(labeller, pods, ["galera-2"], ["galera-0", "galera-1"])  # nobody can: nothing is gained by a change
    record.delete(Keys("galera").state)
    for name in NODES:
        pods.ready(name)
    assert settled(labeller, pods, ["galera-2"], ["galera-0", "galera-1"])  # an emptied registry moves nobody


@pytest.mark.parametrize(("resource", "verb"), VERBS)
def test_every_verb_of_its_role_is_needed(
    etcd: ApiServer, account: Access, labeller: Labeller, resource: str, verb: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)  # as a watch tells of its troubles

    def refused() -> bool:
        registry = connect(account)
        watch = registry.watch(Keys("galera").root, lambda: None)
        etcd.kubectl("label", "pods", "--all", "-n", NAMESPACE, f"{WRITE}=true", "--overwrite")  # something to mend
        labeller.step()
        heard = until(lambda: f'cannot {verb} resource "{resource}"' in caplog.text, 1)
        watch.close()
        registry.close()
        return heard

    etcd.kubectl("apply", "-n", NAMESPACE, "-f", "-", input=yaml.safe_dump(without(ROLE, resource, verb)))
    try:
        assert until(refused, 30), caplog.text
    finally:
        etcd.kubectl("apply", "-n", NAMESPACE, "-f", "-", input=yaml.safe_dump_all(RBAC))


@pytest.mark.parametrize("path", ["secrets", "pods/galera-0/log", "services", "endpoints"])
def test_nothing_beyond_its_role(account: Access, path: str) -> None:
    with pytest.raises(RegistryUnusable, match="forbidden"):
        Api(account).repeat("GET", f"/api/v1/namespaces/{NAMESPACE}/{path}")
    with pytest.raises(RegistryUnusable, match="forbidden"):
        Api(account).repeat("DELETE", f"/api/v1/namespaces/{NAMESPACE}/pods/galera-0")
