"""What a proxy tells the registry of itself, under a lease."""

from __future__ import annotations

import logging
import secrets
import time
from collections.abc import Collection

from galerist import model as records
from galerist.logs import operation
from galerist.registry import events
from galerist.registry.contract import Lease, Registry, RegistryError
from galerist.registry.keys import Keys

log = logging.getLogger("haproxy")


class Herald:
    """Publishes one proxy's report, and where its write port is while it serves."""

    def __init__(self, registry: Registry, cluster: str, proxy: str, ttl: float) -> None:
        self._keys = Keys(cluster)
        self._registry = registry
        self._proxy = proxy
        self._ttl = ttl
        self._lease: Lease = registry.lease(ttl)
        self._published: tuple[dict[str, str], float] = ({}, 0.0)  # what, and when
        self.told: tuple[str, ...] = ()  # ProxyReport.writing, as last published

    def publish(self, report: records.ProxyReport) -> None:
        """Raises RegistryError."""
        service = self._keys.services(self._proxy)
        values = {self._keys.proxies + self._proxy: records.dump(report)}
        if report.worker_pids:  # who does not serve is not announced
            values |= {service + "ip": report.ip, service + "port": str(report.write_port)}
        # Not at each pass: where a refresh is an event, it would wake the loop again.
        if values == self._published[0] and time.monotonic() - self._published[1] < self._ttl / 3:
            return
        self._published = ({}, 0.0)
        self._lease.publish(values)
        self._published = (values, time.monotonic())
        self.told = report.writing

    def note(self, sentence: str, evidence: Collection[str]) -> None:
        """One event of the cluster's history, and a line of the log that it is tied to. Raises RegistryError."""
        operation.set(secrets.token_hex(4))
        log.info("%s", sentence)
        told = [f"order of writers now: {', '.join(evidence)}"]
        events.write(self._registry, self._keys, self._proxy, "failover", sentence, told, operation.get())

    def withdraw(self) -> str:
        """Take everything back. What went wrong, or nothing."""
        try:
            self._lease.withdraw()
        except RegistryError as error:
            return f"this proxy's report stays until its lease ends: {error}"
        return ""
