"""A Lease of Kubernetes that a lost request makes at the wrong moment. tests/registry has the contract, on a real API server."""

from __future__ import annotations

from typing import Any, cast

from galerist.registry.k8s import KubernetesLease, Store
from galerist.registry.k8sapi import Absent, Api, Conflict


class Late:
    """An API server in which the Lease that an earlier request asked for appears between two others."""

    def __init__(self) -> None:
        self.made = False
        self.asked: list[str] = []
        self.failover = self.clock = self

    def deadline(self) -> float:
        return 0.0

    def now(self) -> float:
        return 0.0

    def path(self, group: str, resource: str) -> str:
        return resource

    def repeat(self, method: str, path: str, body: object = None, deadline: float | None = None) -> dict[str, Any]:
        if path.startswith("leases") and method in ("PATCH", "POST"):
            self.asked.append(method)
            there, self.made = self.made, True
            if there is (method == "POST"):
                raise Conflict("already exists") if there else Absent("not found")
        return {"items": [], "metadata": {"resourceVersion": "1"}}


def test_a_lease_that_is_there_after_all_is_renewed() -> None:
    api = Late()
    KubernetesLease(Store(cast(Api, api)), 10).publish({})
    assert api.asked == ["PATCH", "POST", "PATCH"]
