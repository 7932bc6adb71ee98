"""The overlay `small` in the namespace `shop` of a real cluster: API server, controllers, scheduler, two machines."""

from __future__ import annotations

import contextlib
import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from tests.docker.engine import until
from tests.kubernetes.cluster import START_TIME, ApiServer, binaries
from tests.kubernetes.machines import SERVICES, Machine, network, stock
from tests.kubernetes.names import Names
from tests.kubernetes.rendering import rendered

MACHINES = 2
VOLUMES = 5
FORMED = 400.0  # s, generous: machines differ


class Shop:
    """What the tests ask of the cluster, and do to it."""

    def __init__(self, server: ApiServer, machines: dict[str, Machine]) -> None:
        self.server, self.machines = server, machines

    def kubectl(self, *words: str, input: str | None = None) -> str:
        return self.server.kubectl("-n", "shop", *words, input=input)

    def objects(self, kind: str, *words: str) -> list[dict[str, Any]]:
        return list(json.loads(self.kubectl("get", kind, *words, "-o", "json"))["items"])

    def pods(self, application: str = "galera") -> dict[str, dict[str, Any]]:
        """The pods by name."""
        found = self.objects("pods", "-l", f"app.kubernetes.io/name={application}")
        return {one["metadata"]["name"]: one for one in found}

    def ready_machines(self) -> list[str]:
        """The names of the machines that the API server holds ready."""
        return [one["metadata"]["name"] for one in self.objects("nodes") if ready(one)]

    def inside(self, pod: str, *command: str) -> str:
        """The output of a command that must succeed."""
        return self.kubectl("exec", pod, "--", *command)

    def sql(self, pod: str, statement: str, *options: str) -> list[list[str]]:
        """Rows; without options over the server's socket, by the account of the server's own user."""
        output = self.inside(pod, "mariadb", "-N", "--connect-timeout=3", *options, "-e", statement)
        return [line.split("\t") for line in output.splitlines()]

    def via_proxy(self, statement: str, port: int = 3306, client: str = "galera-0") -> list[list[str]]:
        """Rows, as the application through a proxy. No kube-proxy serves the Services' addresses."""
        proxies = [one for one in self.pods("galera-proxy").values() if ready(one)]
        assert proxies, "no proxy is ready"
        options = (
            f"--host={proxies[0]['status']['podIP']}",
            f"--port={port}",
            "--user=app",
            "--password=change-me-too",
        )
        return self.sql(client, statement, *options, "app")

    def listed(self, pod: str = "galera-0") -> dict[str, Any]:
        """What `galerist list` says."""
        return dict(json.loads(self.inside(pod, "galerist", "list", "--format", "json")))

    def behind(self, service: str) -> list[str]:
        """The pods that a Service leads to."""
        subsets = json.loads(self.kubectl("get", "endpoints", service, "-o", "json")).get("subsets", ())
        return sorted(one["targetRef"]["name"] for subset in subsets for one in subset.get("addresses", ()))

    def apply(self, overlay: str) -> None:
        """Apply an overlay, with the images of this repository, and spread over the machines: each test knows what
        fails with one of them."""
        with tempfile.TemporaryDirectory() as folder:
            objects = rendered(self.server.bin / "kubectl", overlay, Path(folder))
        for one in objects:
            if one["kind"] in ("StatefulSet", "Deployment"):
                spread = {"maxSkew": 1, "topologyKey": "kubernetes.io/hostname", "whenUnsatisfiable": "DoNotSchedule"}
                pod = one["spec"]["template"]["spec"]
                pod["topologySpreadConstraints"] = [{**spread, "labelSelector": one["spec"]["selector"]}]
                for container in pod["containers"]:
                    container["image"] += ":test"
        self.kubectl("apply", "-f", "-", input=yaml.safe_dump_all(objects))

    def formed(self, size: int = 3) -> None:
        """Wait until there are so many pods, all ready, and each server sees as many members."""
        names = [f"galera-{number}" for number in range(size)]

        def done() -> bool:
            pods = self.pods()
            assert list(pods) == names, list(pods)
            assert all(ready(one) for one in pods.values()), {name: ready(one) for name, one in pods.items()}
            for name in names:
                status = dict(self.sql(name, "SHOW STATUS LIKE 'wsrep_cluster_s%'"))
                assert status["wsrep_cluster_status"] == "Primary", (name, status)
                assert status["wsrep_cluster_size"] == str(size), (name, status)
            return True

        until(done, FORMED, self.trouble)

    def trouble(self) -> str:
        """What the pods and the machines say, for the message of a failure."""
        texts = [
            self.kubectl("get", "pods", "-o", "wide"),
            self.kubectl("get", "events", "--sort-by=.lastTimestamp")[-2000:],
        ]
        for name in self.pods():
            with contextlib.suppress(AssertionError):
                texts.append(f"{name}:\n{self.kubectl('logs', name, '--tail=8')}")
        return "\n".join(texts + [machine.log()[-1500:] for machine in self.machines.values()])


def ready(one: dict[str, Any]) -> bool:
    """Whether a pod or a machine is ready, and not on its way out."""
    conditions = {about["type"]: about["status"] for about in one["status"].get("conditions", ())}
    return conditions.get("Ready") == "True" and "deletionTimestamp" not in one["metadata"]


def volumes(server: ApiServer) -> list[dict[str, Any]]:
    """Volumes that any machine reaches, as on a network."""
    anywhere = [{"matchExpressions": [{"key": "kubernetes.io/os", "operator": "In", "values": ["linux"]}]}]
    made = []
    for number in range(VOLUMES):
        path = server.directory / "volumes" / str(number)
        path.mkdir(parents=True)
        spec = {
            "capacity": {"storage": "10Gi"},
            "accessModes": ["ReadWriteOnce"],
            "local": {"path": str(path)},
            "nodeAffinity": {"required": {"nodeSelectorTerms": anywhere}},
        }
        about = {"name": f"volume-{number}"}
        made.append({"apiVersion": "v1", "kind": "PersistentVolume", "metadata": about, "spec": spec})
    return made


@contextlib.contextmanager
def shop() -> Iterator[Shop]:
    """The cluster, with the overlay applied."""
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="galerist-store-")))
        store = stock(folder)
        stack.enter_context(network(MACHINES))
        server = stack.enter_context(ApiServer(binaries(), controllers=True, place=(SERVICES, 443)))
        names = Names(server)
        stack.callback(names.close)
        machines: dict[str, Machine] = {}
        for number in range(1, MACHINES + 1):
            machine = Machine(server, number, store)
            stack.callback(machine.close)
            machine.start()
            machines[machine.name] = machine
        made = Shop(server, machines)
        until(lambda: len(made.ready_machines()) == MACHINES, START_TIME, made.trouble)
        server.kubectl("create", "namespace", "shop")
        made.kubectl("apply", "-f", "-", input=yaml.safe_dump_all(volumes(server)))
        made.apply("small")
        yield made
