"""A whole cluster on hosts of its own, and what is to be seen of it."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

import pymysql

from galerist.galera.stamp import Stamp, parse_views
from galerist.model import Report, State, load
from galerist.registry.contract import Registry, RegistryError
from galerist.registry.open import open_registry
from galerist.settings import load as load_settings
from tests.faults.parts import ALL, CLUSTER, GRACE, TABLE, TTL, WRITE, Parts


class Fleet(Parts):
    """Looks at the parts from outside: by the registry, by files and processes, by SQL."""

    _registry: Registry | None = None

    def strangers(self) -> list[str]:
        """Processes that a cluster at full strength does not have."""
        found = []
        for name in self.arbitrators:
            known = {*self.agent(name), *self.garbds(name)}
            found += [f"{name}: {self.describe(pid)}" for pid in self.network.pids(name) if pid not in known]
        for node in self.nodes:
            known = {*self.agent(node), *self.servers(node), self._children[f"{node}-check"].pid}
            found += [f"{node}: {self.describe(pid)}" for pid in self.network.pids(node) if pid not in known]
            if len(self.servers(node)) != 1:
                found.append(f"{node}: {len(self.servers(node))} servers")
        return found

    def sizes(self) -> dict[str, dict[str, int]]:
        """Of every agent, health endpoint and watcher: resident memory (KiB), threads, open files."""
        found = {}
        for part in self.parts:
            if part in self.etcds or not self.running(part):
                continue
            folder = Path(f"/proc/{self._children[part].pid}")
            with contextlib.suppress(OSError):
                status = dict(
                    line.split(":", 1) for line in (folder / "status").read_text().splitlines() if ":" in line
                )
                found[part] = {
                    "pid": int(folder.name),
                    "rss": int(status["VmRSS"].split()[0]),
                    "threads": int(status["Threads"]),
                    "files": len(list((folder / "fd").iterdir())),
                }
        return found

    # -- looking -----------------------------------------------------------------------------

    @property
    def registry(self) -> Registry:
        if self._registry is None:
            self._registry = open_registry(load_settings({}, {}, self.top / "registry.toml"))
            self._stack.callback(self._registry.close)
        return self._registry

    def state(self) -> State:
        """Raises RegistryError."""
        raw = self.registry.get(self.keys.state)
        return load(State, raw) if raw is not None else State()

    def reports(self) -> dict[str, Report]:
        """What the agents that run now report. Raises RegistryError."""
        found = [load(Report, text) for text in self.registry.list(self.keys.members).values()]
        return {report.node: report for report in found if report.agent_pid in self.agent(report.node)}

    def stamp(self, node: str) -> Stamp:
        """Raises OSError, ValueError."""
        return load(Stamp, (self.home(node) / "stamp" / "stamp.json").read_text())

    def last_view(self, node: str) -> tuple[str, ...]:
        """The data nodes of the last view that the server of a node has logged. Raises OSError."""
        seen = parse_views((self.home(node) / "stamp" / "views").read_text().splitlines())
        return seen[-1].view.members if seen else ()

    def tainted(self, node: str) -> bool:
        return (self.home(node) / "stamp" / "taint").exists()

    def says(self) -> list[str]:
        """What every node says, for people."""
        lines = []
        for part in self.parts:
            if part in self._children and not self.running(part):
                lines.append(f"{part} ended with {self.exit_code(part)}")
        try:
            recorded = self.state()
            lines.append(f"state: {recorded}")
            reports = self.reports()
            for node in self.nodes:
                report = reports.get(node)
                lines.append(
                    f"{node}: {report.server} {report.cluster_status} {report.role} {report.data} at {report.position}: "
                    f"{report.reason} (seen: {'; '.join(report.evidence)}) (ends by: {report.remedy})"
                    if report is not None
                    else f"{node}: does not report"
                )
        except (RegistryError, ValueError) as error:
            lines.append(f"registry: {error}")
        return lines

    # -- SQL ---------------------------------------------------------------------------------

    def connect(self, host: str, port: int, timeout: float = 8.0) -> Any:
        """A connection of the application's account, autocommit. Raises pymysql.MySQLError, OSError."""
        return pymysql.connect(
            host=self.address(host), port=port, user="app", password=(self.top / "secrets" / "app").read_text().strip(),
            database="app", connect_timeout=3, read_timeout=timeout, write_timeout=timeout, autocommit=True,
            ssl_disabled=True,
        )  # fmt: skip

    def root(self, node: str, timeout: float = 30.0) -> Any:
        """A connection of the administrator, by the socket: no network is between."""
        return pymysql.connect(
            unix_socket=str(self.socket(node)), user="root", connect_timeout=3, read_timeout=timeout,
            write_timeout=timeout, autocommit=True, ssl_disabled=True,
        )  # fmt: skip


__all__ = ["ALL", "CLUSTER", "GRACE", "TABLE", "TTL", "WRITE", "Fleet"]
