"""Credentials and rights: just enough, renewed while running, and a sentence where they do not suffice."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from bootstrap.leave import fetch
from galerist.endpoints import Access
from galerist.registry.contract import Registry, RegistryError, RegistryUnusable, Swap
from galerist.registry.k8s import SWEEP, Kubernetes
from galerist.registry.k8sapi import Api
from galerist.registry.open import connect
from tests.kubernetes.cluster import ROOT, ApiServer
from tests.registry.conftest import Wakes, until
from tests.registry.relay import Relay

pytestmark = pytest.mark.kubernetes

RBAC = (ROOT / "manifests/base/rbac.yaml").read_text()
ROLE = next(one for one in yaml.safe_load_all(RBAC) if one["kind"] == "Role")
VERBS = [(rule["resources"][0], verb) for rule in ROLE["rules"] for verb in rule["verbs"]]
NAMESPACE = "rights"


@pytest.fixture(scope="module")
def namespace(etcd: ApiServer) -> Iterator[str]:
    etcd.kubectl("create", "namespace", NAMESPACE)
    etcd.kubectl("apply", "-n", NAMESPACE, "-f", "-", input=RBAC)
    yield NAMESPACE
    etcd.kubectl("delete", "namespace", NAMESPACE, "--wait=false")


def token(server: ApiServer, account: str = "galerist", namespace: str = NAMESPACE) -> str:
    path = f"/api/v1/namespaces/{namespace}/serviceaccounts/{account}/token"
    request = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {"expirationSeconds": 3600}}
    answer = server.kubectl("create", f"--raw={path}", "-f", "-", input=json.dumps(request))
    return str(json.loads(answer)["status"]["token"])


@pytest.fixture
def account(etcd: ApiServer, namespace: str) -> Access:
    """The access of the service account."""
    kubeconfig = etcd.kubeconfig(token(etcd), namespace, "account")
    return etcd.access(kubeconfig=str(kubeconfig), namespace="")


def use_everything(access: Access, root: str) -> None:
    """Every call of the contract, the removal of an old lease, and what a node asks that is stopped."""
    with contextlib.suppress(LookupError):  # there is none here
        fetch(access, "galera")
    registry = connect(access)
    assert isinstance(registry, Kubernetes)
    wakes = Wakes()
    watch = None
    try:
        registry.put(f"{root}a", "one")
        assert registry.swap(f"{root}a", "one", "two") is Swap.WON
        assert registry.get(f"{root}a") == "two"
        old = registry.lease(1)
        old.publish({f"{root}members/old": "x"})
        registry._api.clock._offsets.append(registry._api.clock._offsets[-1] + SWEEP + 10)
        lease = registry.lease(30)
        lease.publish({f"{root}members/new": "x"})
        lease.publish({f"{root}members/new": "y"})
        assert registry.list(root) == {f"{root}a": "two", f"{root}members/new": "y"}
        watch = registry.watch(root, wakes)
        if not wakes.after(0, 3):
            raise AssertionError("the watch does not stand")
        count = wakes.settle(0.3)
        if wakes.after(count, 1.5):
            raise AssertionError("the watch is made anew all the time")
        registry.put(f"{root}a", "three")
        assert wakes.after(count, 3)
        lease.withdraw()
        registry.delete(f"{root}a")
        assert registry.list(root) == {}
    finally:
        if watch is not None:
            watch.close()
        registry.close()


def test_the_role_suffices(account: Access, root: str) -> None:
    use_everything(account, root)


def without(role: dict[str, Any], resource: str, verb: str) -> dict[str, Any]:
    """The role without one verb."""
    less = [
        {**rule, "verbs": [one for one in rule["verbs"] if (rule["resources"][0], one) != (resource, verb)]}
        for rule in role["rules"]
    ]
    return {**role, "rules": [rule for rule in less if rule["verbs"]]}  # none at all would not be valid


@pytest.mark.parametrize(("resource", "verb"), VERBS)
def test_every_verb_of_the_role_is_needed(
    etcd: ApiServer, account: Access, namespace: str, root: str, resource: str, verb: str
) -> None:
    etcd.kubectl("apply", "-n", namespace, "-f", "-", input=yaml.safe_dump(without(ROLE, resource, verb)))
    try:
        refused = until(lambda: _refused(account, root, resource, verb), 20)
    finally:
        etcd.kubectl("apply", "-n", namespace, "-f", "-", input=RBAC)
    assert refused
    assert until(lambda: _works(account, root), 20)


def _refused(access: Access, root: str, resource: str, verb: str) -> bool:
    try:
        use_everything(access, root)
    except RegistryUnusable as error:
        return f'cannot {verb} resource "{resource}"' in str(error) and "rbac.yaml" in str(error)
    except AssertionError:
        return verb == "watch"  # its thread says so in the log, and tries on
    return False


def _works(access: Access, root: str) -> bool:
    registry = connect(access)
    try:
        registry.put(f"{root}a", "x")
        for key in registry.list(root):
            registry.delete(key)
        return True
    except RegistryError:
        return False
    finally:
        registry.close()


@pytest.mark.parametrize(
    "path",
    [
        f"/api/v1/namespaces/{NAMESPACE}/secrets",
        f"/api/v1/namespaces/{NAMESPACE}/pods",
        f"/apis/apps/v1/namespaces/{NAMESPACE}/statefulsets",
        f"/apis/apps/v1/namespaces/{NAMESPACE}/statefulsets/another",
        f"/apis/rbac.authorization.k8s.io/v1/namespaces/{NAMESPACE}/roles",
        "/api/v1/namespaces/default/configmaps",
        "/api/v1/configmaps",
        "/api/v1/nodes",
    ],
)
def test_nothing_beyond_the_role(account: Access, path: str) -> None:
    with pytest.raises(RegistryUnusable, match="forbidden"):
        Api(account).repeat("GET", path)


def test_a_token_that_was_rotated_is_read_again(etcd: ApiServer, namespace: str, root: str, tmp_path: Path) -> None:
    etcd.kubectl("create", "serviceaccount", "former", "-n", namespace)
    etcd.kubectl(
        "create", "rolebinding", "former", "-n", namespace, "--role=galerist", f"--serviceaccount={namespace}:former"
    )
    file = tmp_path / "token"
    file.write_text(token(etcd, "former"))
    kubeconfig = etcd.kubeconfig("", namespace, "rotated")
    made: dict[str, Any] = yaml.safe_load(kubeconfig.read_text())
    made["users"][0]["user"] = {"tokenFile": str(file)}
    kubeconfig.write_text(yaml.safe_dump(made))
    registry = connect(etcd.access(kubeconfig=str(kubeconfig), namespace=""))
    assert until(lambda: _put(registry, f"{root}a"))
    wakes = Wakes()
    watch = registry.watch(root, wakes)
    assert wakes.after(0)
    etcd.kubectl("delete", "serviceaccount", "former", "-n", namespace)  # and with it its tokens
    with pytest.raises(RegistryUnusable, match="refuses the credentials"):
        until(lambda: registry.get(f"{root}a") is None, 30)
    file.write_text(token(etcd))
    assert registry.get(f"{root}a") == "x"
    count = wakes.settle()
    registry.put(f"{root}a", "y")
    assert wakes.after(count)
    watch.close()
    registry.close()


def _put(registry: Registry, key: str) -> bool:
    try:
        registry.put(key, "x")
        return True
    except RegistryUnusable:
        return False  # the binding has not reached the authorizer yet


def test_in_a_pod_the_credentials_are_where_kubernetes_puts_them(
    etcd: ApiServer, namespace: str, root: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from kubernetes.config import incluster_config

    from galerist.registry import k8sapi

    for name, text in (("token", token(etcd)), ("namespace", namespace)):
        (tmp_path / name).write_text(text)
    monkeypatch.setattr(incluster_config, "SERVICE_TOKEN_FILENAME", str(tmp_path / "token"))
    monkeypatch.setattr(incluster_config, "SERVICE_CERT_FILENAME", str(etcd.directory / "server.crt"))
    monkeypatch.setattr(k8sapi, "NAMESPACE_FILE", str(tmp_path / "namespace"))
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", etcd.place[0])
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", str(etcd.place[1]))
    registry = connect(Access("k8s", (("", 0),)))
    registry.put(f"{root}a", "x")
    assert "galerist.io/key: " + f"{root}a" in etcd.kubectl("get", "configmaps", "-n", namespace, "-o", "yaml")
    registry.delete(f"{root}a")
    registry.close()


def test_what_cannot_work_is_said_in_a_sentence(etcd: ApiServer, namespace: str, tmp_path: Path) -> None:
    good = etcd.access(namespace=namespace)
    cases = (
        (replace(good, kubeconfig=str(tmp_path / "nowhere")), "correct registry_kubeconfig"),
        (replace(good, kubeconfig=str(etcd.kubeconfig("wrong", name="wrong"))), "refuses the credentials"),
        (replace(good, endpoints=(("no-such-place", 0),)), "make the namespace"),
    )
    for access, words in cases:
        with pytest.raises(RegistryUnusable, match=words):
            connect(access).put("/galerist/x/a", "x")


def test_a_swap_whose_reply_is_lost_is_unknown_and_sent_once(etcd: ApiServer, root: str) -> None:
    relay = Relay(etcd.place)
    near = etcd.access(kubeconfig=str(etcd.kubeconfig(name="relayed", port=relay.place[1])))
    client, direct = connect(near), connect(etcd.access())
    direct.put(f"{root}state", "zero")
    assert client.get(f"{root}state") == "zero"
    relay.deaf = True
    assert client.swap(f"{root}state", "zero", "one") is Swap.UNKNOWN
    relay.deaf = False
    assert direct.get(f"{root}state") in ("zero", "one")
    assert client.swap(f"{root}state", direct.get(f"{root}state"), "two") is Swap.WON
    for one in (client, direct):
        one.close()
    relay.close()
