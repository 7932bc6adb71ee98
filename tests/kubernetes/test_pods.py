"""The overlay `small` with real pods on two machines: they form a cluster, fail, come back, become more and fewer."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from tests.docker.engine import until
from tests.kubernetes.shop import FORMED, Shop, ready
from tests.kubernetes.shop import shop as make_shop

pytestmark = [pytest.mark.kubernetes, pytest.mark.timeout(1500)]

NODES = ("galera-0", "galera-1", "galera-2")


@pytest.fixture(scope="module")
def running() -> Iterator[Shop]:
    with make_shop() as made:
        made.formed()
        through_a_proxy(made, "CREATE TABLE IF NOT EXISTS notes (text VARCHAR(60) PRIMARY KEY)")
        yield made


@pytest.fixture
def shop(running: Shop) -> Shop:
    """The cluster as a test finds it: three nodes."""
    running.formed()
    return running


def through_a_proxy(shop: Shop, statement: str, client: str = "galera-0") -> None:
    """Carry out a statement that may be repeated, as soon as one of the proxies does it."""

    def done() -> bool:
        shop.via_proxy(statement, client=client)
        return True

    until(done, 60, shop.trouble)


def write(shop: Shop, text: str, client: str = "galera-0") -> None:
    """A row that the application is told is there."""
    through_a_proxy(shop, f"INSERT IGNORE INTO notes VALUES ('{text}')", client)


def notes(shop: Shop, pod: str) -> set[str]:
    return {text for (text,) in shop.sql(pod, "SET wsrep_sync_wait = 1; SELECT text FROM app.notes")}


def lineage(shop: Shop) -> set[str]:
    """The histories that the servers are in; one, if all is well."""
    return {shop.sql(pod, "SHOW STATUS LIKE 'wsrep_cluster_state_uuid'")[0][1] for pod in shop.pods()}


def test_the_pods_form_one_cluster(shop: Shop) -> None:
    write(shop, "formed")
    assert all(notes(shop, pod) == {"formed"} for pod in NODES)
    assert len(lineage(shop)) == 1
    listed = shop.listed()
    assert [one["state"] for one in listed["members"]] == ["synced"] * 3
    assert {pod["spec"]["nodeName"] for pod in shop.pods().values()} == set(shop.machines)
    writer = shop.via_proxy("SELECT @@wsrep_node_name")
    others = {shop.via_proxy("SELECT @@wsrep_node_name", port=3307)[0][0] for _ in range(6)}
    assert {writer[0][0], *others} == set(NODES)
    assert writer[0][0] not in others


def test_a_deleted_pod_comes_back(shop: Shop) -> None:
    before, history = shop.pods()["galera-1"]["metadata"]["uid"], lineage(shop)
    shop.kubectl("delete", "pod", "galera-1", "--wait=false")
    until(lambda: shop.pods()["galera-1"]["metadata"]["uid"] != before, FORMED, shop.trouble)
    write(shop, "one was deleted")
    shop.formed()
    assert "one was deleted" in notes(shop, "galera-1")
    assert lineage(shop) == history


def test_all_pods_deleted_at_once_lose_nothing(shop: Shop) -> None:
    write(shop, "before all were deleted")
    history = lineage(shop)
    before = {pod["metadata"]["uid"] for pod in shop.pods().values()}
    shop.kubectl("delete", "pods", "--wait=false", *NODES)
    until(lambda: before.isdisjoint(pod["metadata"]["uid"] for pod in shop.pods().values()), FORMED, shop.trouble)
    shop.formed()
    assert all("before all were deleted" in notes(shop, pod) for pod in NODES)
    assert lineage(shop) == history


def test_a_machine_that_fails_and_returns(shop: Shop) -> None:
    on = {
        name: [pod for pod, about in shop.pods().items() if about["spec"]["nodeName"] == name] for name in shop.machines
    }
    (few, one), (_, two) = sorted(on.items(), key=lambda item: len(item[1]))
    assert (len(one), len(two)) == (1, 2), on
    history = lineage(shop)
    with shop.machines[few].off():
        until(lambda: not ready(shop.pods()[one[0]]), 60, shop.trouble)  # the API server has noticed
        write(shop, "one machine was off", client=two[0])
    shop.formed()
    assert "one machine was off" in notes(shop, one[0])
    assert lineage(shop) == history


def test_the_majority_fails_and_returns(shop: Shop) -> None:
    write(shop, "before the majority failed")
    history = lineage(shop)
    on = [about["spec"]["nodeName"] for about in shop.pods().values()]
    many = max(shop.machines.values(), key=lambda machine: on.count(machine.name))
    survivor = next(pod for pod, about in shop.pods().items() if about["spec"]["nodeName"] != many.name)
    with many.off():
        until(lambda: not ready(shop.pods()[survivor]), 60, shop.trouble)
        until(lambda: shop.listed(survivor)["status"] == "non-Primary", 60, shop.trouble)
    shop.formed()
    assert all("before the majority failed" in notes(shop, pod) for pod in NODES)
    assert lineage(shop) == history


@pytest.fixture
def labelled(shop: Shop) -> Iterator[Shop]:
    """With the overlay `labels` in the place of `small`."""
    shop.apply("labels")
    shop.kubectl("delete", "deployment", "galera-proxy")
    until(lambda: not shop.listed()["proxies"], 60, shop.trouble)
    yield shop
    shop.apply("small")
    shop.kubectl("delete", "deployment", "galera-labels")


def test_services_without_proxies_follow_the_labels(labelled: Shop) -> None:
    shop = labelled

    def lead_to(writer: str) -> None:
        readers = [pod for pod in NODES if pod != writer]
        until(
            lambda: (shop.behind("galera-write"), shop.behind("galera-read")) == ([writer], readers),
            FORMED,
            lambda: f"{shop.behind('galera-write')} {shop.behind('galera-read')} {shop.trouble()}",
        )

    writer = shop.listed()["writer"]
    lead_to(writer)
    chosen = next(pod for pod in NODES if pod != writer)
    assert "No proxy reports" in shop.inside("galera-0", "galerist", "switchover", "--to", chosen)
    lead_to(chosen)
    shop.kubectl("delete", "pod", chosen, "--wait=false", "--grace-period=0", "--force")
    until(lambda: shop.behind("galera-write") not in ([], [chosen]), 60, shop.trouble)
    shop.formed()
    lead_to(shop.listed()["writer"])


def test_three_five_three(shop: Shop) -> None:
    history = lineage(shop)
    shop.kubectl("scale", "statefulset", "galera", "--replicas=5")
    shop.formed(5)
    write(shop, "with five nodes")
    assert notes(shop, "galera-4") == notes(shop, "galera-0")
    shop.kubectl("scale", "statefulset", "galera", "--replicas=3")
    shop.formed(3)
    until(lambda: [one["name"] for one in shop.listed()["members"]] == list(NODES), 60, lambda: str(shop.listed()))
    left = [event["node"] for event in json.loads(shop.inside("galera-0", "galerist", "history", "--format", "json"))
            if event["action"] == "leave"]  # fmt: skip
    assert sorted(left) == ["galera-3", "galera-4"]
    # The next total outage waits for none of those that have left
    shop.kubectl("delete", "pods", "--wait=false", "--grace-period=0", "--force", *NODES)
    shop.formed(3)
    assert all("with five nodes" in notes(shop, pod) for pod in NODES)
    # What they hold is of this history: they may come again
    shop.kubectl("scale", "statefulset", "galera", "--replicas=4")
    shop.formed(4)
    assert lineage(shop) == history
