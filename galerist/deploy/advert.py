"""Where the SQL listener of a container is, seen from outside. Pure: what the Docker API says in, keys out."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

ANY = ("", "0.0.0.0", "::")


@dataclass(frozen=True, slots=True)
class Machine:
    """The machine that the container runs on, and what is to be said of it."""

    host: str
    ip: str
    unit: str
    sql_port: int


@dataclass(frozen=True, slots=True)
class Advert:
    """What to publish; nothing (``ip`` empty) for the ``reason`` given. ``running``: its processes have not ended."""

    reason: str
    running: bool = False
    host: str = ""
    ip: str = ""
    port: int = 0

    def keys(self, base: str, unit: str) -> dict[str, str]:
        """The keys below ``base``, the directory of the node."""
        if not self.ip:
            return {}
        return {
            f"{base}host": self.host,
            f"{base}ip": self.ip,
            f"{base}port": str(self.port),
            f"{base}service_instance_name": unit,
        }


def advert(container: Mapping[str, Any] | None, machine: Machine) -> Advert:
    """What the answer to "inspect container" (None: there is no such container) leads to."""
    if container is None:
        return Advert("there is no such container")
    state = container.get("State") or {}
    status = state.get("Status") or ("running" if state.get("Running") else "stopped")
    # One that waits to be started again is said to run, too, but its processes have ended
    if not state.get("Running") or state.get("Restarting"):
        return Advert(f"the container is {status}")
    if state.get("Paused"):
        return Advert("the container is paused", running=True)
    health = (state.get("Health") or state.get("Healthcheck") or {}).get("Status", "")  # podman has said Healthcheck
    if health not in ("", "none", "healthy"):
        return Advert(f"the container runs and is {health}", running=True)
    where = _listener(container, machine)
    if where is None:
        return Advert(f"the container does not publish its port {machine.sql_port}", running=True)
    return Advert("the container runs" + (" and is healthy" if health == "healthy" else ""), True, machine.host, *where)


def _listener(container: Mapping[str, Any], machine: Machine) -> tuple[str, int] | None:
    """Address and port on the machine."""
    if (container.get("HostConfig") or {}).get("NetworkMode") == "host":
        return machine.ip, machine.sql_port
    published = ((container.get("NetworkSettings") or {}).get("Ports") or {}).get(f"{machine.sql_port}/tcp") or []
    # Bound to an address of its own, it is to be reached there; to loopback, by nobody else
    for binding in sorted(published, key=lambda one: ":" in one.get("HostIp", "")):
        address = binding.get("HostIp", "")
        if address in ANY:
            return machine.ip, int(binding["HostPort"])
        if not ipaddress.ip_address(address).is_loopback:
            return address, int(binding["HostPort"])
    return None
