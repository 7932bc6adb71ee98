"""``galerist discovery``: the sidekick of one container, which says where the node's SQL listener is.

Every pass asks the engine how the container is and makes the registry say just that. Events of the
engine only wake it. When the engine does not answer, nothing is refreshed: the keys end by themselves.
"""

from __future__ import annotations

import contextlib
import logging
import sys
import threading
import time
from typing import Any

import docker
import requests

from galerist.deploy.advert import Advert, Machine, advert
from galerist.endpoints import resolve, show
from galerist.model import Malformed, Report, load
from galerist.registry.contract import Registry, RegistryError, RegistryUnusable
from galerist.registry.keys import Keys
from galerist.registry.open import open_registry
from galerist.settings import Settings
from galerist.wake import Wake, until_told

log = logging.getLogger("galerist.discovery")

REFRESH = 0.7
"""Share of the TTL after which the keys are refreshed: 7 s of 10 s."""

AGAIN = 1.0
"""Seconds until the next try when the engine or the registry did not answer."""

EVENTS = ["start", "restart", "die", "stop", "destroy", "rename", "pause", "unpause", "health_status", "died", "remove"]
"""What the engine is asked for. The last two are podman's words for "die" and "destroy"; Docker knows no such event."""

TROUBLE = (docker.errors.DockerException, requests.RequestException, OSError)


class Engine:
    """One container of an engine; connected anew after every error."""

    def __init__(self, url: str, container: str) -> None:
        self._url, self.container = url, container
        self._client: Any = None

    def inspect(self) -> Any | None:
        """What the engine knows of the container, None when there is none. Raises one of TROUBLE."""
        try:
            if self._client is None:
                self._client = docker.DockerClient(base_url=self._url, timeout=10)
            return self._client.api.inspect_container(self.container)
        except docker.errors.NotFound:
            return None
        except TROUBLE:
            self.close()
            raise

    def follow(self, wake: Wake) -> None:
        """Wake at each event of a container, and whenever one may have been missed. Never returns."""
        while True:
            with contextlib.suppress(*TROUBLE):
                client = docker.DockerClient(base_url=self._url, timeout=None)
                events = client.events(decode=True, filters={"type": "container", "event": EVENTS})
                wake.set()
                for _ in events:
                    wake.set()
            wake.set()
            time.sleep(AGAIN)

    def close(self) -> None:
        if self._client is not None:
            self._client.close()
            self._client = None


class Sidekick:
    """Keeps the keys of one node in line with its container. :meth:`step` is one pass."""

    def __init__(self, settings: Settings, engine: Engine, registry: Registry) -> None:
        self._settings, self._engine, self._registry = settings, engine, registry
        self._keys = Keys(settings.cluster)
        self._base = f"{self._keys.components}{settings.node}/"
        self._place = self._keys.sidekick(settings.node)
        self._own = f"{engine.container} on {settings.host}"
        self._ip = ""
        self._lease = registry.lease(settings.ttl)
        self._said = ""
        self._boot: str | None = None  # that has reported while this container ran
        self._published = False

    def step(self) -> float:
        """One pass. Returns the seconds until the next one is due."""
        try:
            found = advert(self._engine.inspect(), self._machine())
        except TROUBLE as error:
            self._say(f"The engine does not answer: {error}. What was published ends by itself.")
            return AGAIN
        try:
            other = self._registry.get(self._place) if found.running else None
            if other is not None and other != self._own:
                self._give_way(other)
            else:
                self._publish(found)
                self._end_boot(found)
        except RegistryError as error:
            self._say(f"The registry does not answer: {error}")
            return AGAIN
        return REFRESH * self._settings.ttl

    def _machine(self) -> Machine:
        settings = self._settings
        found = resolve(settings.host)
        if found != settings.host or not self._ip:  # a name that does not resolve now keeps its last address
            self._ip = found
        return Machine(settings.host, self._ip, settings.unit, settings.sql_port)

    def _publish(self, found: Advert) -> None:
        keys = found.keys(self._base, self._settings.unit)
        self._keep(keys | {self._place: self._own} if found.running else {})
        where = f"published {show((found.ip, found.port))}" if keys else "nothing is published"
        self._say(f"{self._engine.container}: {found.reason}; {where}.")

    def _keep(self, keys: dict[str, str]) -> None:
        if keys or self._published:
            self._published = True  # also when no answer comes
            self._lease.publish(keys)
        self._published = bool(keys)

    def _give_way(self, other: str) -> None:
        """Whose report it is that stands in the registry cannot be known: with two containers, one sidekick speaks."""
        self._keep({})
        self._boot = None
        self._say(
            f"{self._settings.node} has two containers: {other} was there first, so nothing is said of {self._own}. "
            "End one of the two, or give it a node name of its own."
        )

    def _end_boot(self, found: Advert) -> None:
        """A container that has exited ends the boot that reported from it. Of positions this says nothing."""
        key = self._keys.members + self._settings.node
        if not found.running and self._boot is None:
            return
        text = self._registry.get(key)
        try:
            boot = load(Report, text).boot if text is not None else None
        except Malformed:
            return
        if found.running:
            self._boot = boot
        elif boot == self._boot:
            self._registry.delete(key)
            log.info("The boot %s of %s has ended with its container.", boot, self._settings.node)
        if not found.running:
            self._boot = None

    def withdraw(self) -> None:
        """Remove the keys that this sidekick has published, and no other."""
        try:
            self._lease.withdraw()
        except RegistryError as error:
            log.warning("The keys could not be removed, and end by themselves: %s", error)

    def _say(self, sentence: str) -> None:
        if sentence != self._said:
            log.info("%s", sentence)
            self._said = sentence


def main(settings: Settings) -> int:
    """Run until SIGTERM or SIGINT, which remove the keys. Returns an exit code."""
    try:
        registry = open_registry(settings)
    except RegistryUnusable as error:
        print(f"galerist: registry = {settings.registry}: {error}", file=sys.stderr)
        return 78
    wake, stop = until_told()
    engine = Engine(settings.docker, settings.container)
    threading.Thread(target=engine.follow, args=(wake,), name="events", daemon=True).start()
    sidekick = Sidekick(settings, engine, registry)
    try:
        while not stop.is_set():
            wake.clear()
            wake.wait(sidekick.step())
    finally:
        sidekick.withdraw()
        engine.close()
        registry.close()
    return 0
