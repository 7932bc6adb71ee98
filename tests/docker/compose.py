"""images/compose.yaml on an engine: up, down, and what its containers say."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Mapping
from typing import Any

from tests.docker.engine import ROOT, Engine, until

NODES = ("n1", "n2", "n3")
REGISTRY = ("etcd1", "etcd2", "etcd3")
PROXIES = ("proxy1", "proxy2")
PASSWORD = "only for 'this' test"
FORMED = 300.0  # s, generous: machines differ


class Compose:
    """The compose file as a project of its own."""

    def __init__(self, engine: Engine, project: str, environ: Mapping[str, str] | None = None) -> None:
        self.engine, self.project = engine, project
        self.environ = {
            "NODE_IMAGE": "galerist-node",
            "PROXY_IMAGE": "galerist-proxy",
            "ETCD_IMAGE": "galerist-etcd",
            "MARIADB_ROOT_PASSWORD": PASSWORD,
            **(environ or {}),
        }

    def __call__(self, *arguments: str) -> str:
        command = ("docker-compose", "-f", str(ROOT / "images/compose.yaml"), "-p", self.project, *arguments)
        return self.engine.run(*command, environ=self.environ)

    def container(self, service: str) -> Any:
        labels = [f"com.docker.compose.project={self.project}", f"com.docker.compose.service={service}"]
        (found,) = self.engine.client.containers.list(all=True, filters={"label": labels})
        return found

    def network(self) -> Any:
        return self.engine.client.networks.get(f"{self.project}_default")

    def address(self, service: str) -> str:
        networks = self.container(service).attrs["NetworkSettings"]["Networks"]
        return str(networks[f"{self.project}_default"]["IPAddress"])

    def inside(self, service: str, *command: str) -> str:
        """The output of a command that must succeed."""
        code, output = self.container(service).exec_run(list(command), environment={"MYSQL_PWD": PASSWORD})
        assert code == 0, f"{service}: {' '.join(command)}: {code} {output.decode()}"
        return str(output.decode())

    def sql(self, service: str, statement: str, *options: str) -> list[list[str]]:
        """Rows; without options over the server's socket, by the account of the server's own user."""
        output = self.inside(service, "mariadb", "-N", "--connect-timeout=3", *options, "-e", statement)
        return [line.split("\t") for line in output.splitlines()]

    def via(self, proxy: str, statement: str, port: int = 3306, client: str = "n1") -> list[list[str]]:
        """Rows, as root through a proxy; asked by the client program of one of the nodes."""
        return self.sql(client, statement, f"--host={proxy}", f"--port={port}", "--user=root")

    def status(self, node: str) -> dict[str, str]:
        return {name: value for name, value in self.sql(node, "SHOW STATUS LIKE 'wsrep_%'")}

    def listed(self) -> dict[str, Any]:
        """What `galerist list` says."""
        return dict(json.loads(self.inside("n1", "galerist", "list", "--format", "json")))

    def keys(self, prefix: str = "/components/galera/") -> dict[str, str]:
        """What the registry holds below a prefix."""
        lines = self.inside("etcd1", "etcdctl", "get", "--prefix", prefix).splitlines()
        return dict(zip(lines[::2], lines[1::2], strict=True))

    def formed(self, size: int = 3, seconds: float = FORMED) -> None:
        """Wait until each node is Synced, open, and sees ``size`` members."""

        def ready(node: str) -> bool:
            status = self.status(node)
            seen = (status["wsrep_cluster_status"], status["wsrep_local_state"], status["wsrep_cluster_size"])
            code, _ = self.container(node).exec_run(["clustercheck", "--once"])
            return seen == ("Primary", "4", str(size)) and code == 0

        for node in NODES:
            until(lambda node=node: ready(node), seconds, lambda node=node: f"{node}:\n{self.logs(node)}")  # type: ignore[misc]

    def logs(self, service: str, tail: int = 25) -> str:
        return str(self.container(service).logs(tail=tail).decode(errors="replace"))

    def crash(self, service: str) -> None:
        """Kill PID 1 of a container from outside: unlike `docker kill` that is no wish of a person."""
        os.kill(self.container(service).attrs["State"]["Pid"], signal.SIGKILL)

    def close(self) -> None:
        self("down", "--volumes", "--timeout", "1")
