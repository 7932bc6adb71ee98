"""Brings a running server in line with the settings that a person has given for the whole cluster.

Level-triggered like all else: what differs is set, also after a restart of the server. How it went is told in
``tuned/<node>``, for ``galerist config show``.
"""

from __future__ import annotations

import json
import logging
import os
import time
from pathlib import Path

from bootstrap.facts import Facts
from galerist.galera.sql import Sql
from galerist.registry.contract import Registry, RegistryError
from galerist.registry.keys import Keys
from galerist.settings import dynamic

log = logging.getLogger("galerist.tuning")

PACE = 2.0
"""Seconds between two looks."""


class Tuner:
    """Tunes one server by its socket. :meth:`step` costs a look into the registry, and no more when all is as it should."""

    def __init__(self, socket: Path, user: str, registry: Registry, keys: Keys, node: str, patience: float) -> None:
        self._sql = Sql(socket, "root" if os.geteuid() == 0 else user, patience)
        self._registry, self._keys, self._node = registry, keys, node
        self._looked = 0.0
        self._told: str | None = None
        self._trouble: dict[str, str] = {}
        self._tuned: tuple[str | None, int | None] = (None, None)  # the config, and the server that has it

    def close(self) -> None:
        self._sql.close()

    def step(self, facts: Facts | None) -> None:
        """One look; nothing while the server does not serve, the registry is silent, or the agents are paused."""
        now = time.monotonic()
        if facts is None or not (facts.answered and facts.me.opened and facts.me.synced) or facts.state.paused:
            return
        if now - self._looked < PACE:
            return
        self._looked = now
        try:
            text = self._registry.get(self._keys.config)
            if text is None and self._told is None or (text, facts.me.server_pid) == self._tuned:
                return
            trouble = self._tune(text)
            for name in trouble.keys() - self._trouble.keys():
                log.warning("%s could not be set by order: %s", name, trouble[name])
            self._trouble = trouble
            self._tell(text, trouble)
            self._tuned = (None, None) if trouble else (text, facts.me.server_pid)
        except (RegistryError, OSError) as error:
            log.debug("the server is tuned later: %s", error)

    def _tune(self, text: str | None) -> dict[str, str]:
        """Set what differs. What could not be set, with the reason."""
        try:
            wanted = dynamic.parse(text)
        except dynamic.Unfit as error:
            return {"config": str(error)}
        names = ",".join(f"'{name}'" for name in wanted) or "''"
        rows = self._sql.query(f"SHOW GLOBAL VARIABLES WHERE Variable_name IN ({names})")
        trouble = {}
        for name, value in dynamic.differing(wanted, {str(name): str(found) for name, found in rows}).items():
            plain: object = (
                value if not value.replace(".", "", 1).isdigit() else float(value) if "." in value else int(value)
            )
            try:
                self._sql.query(f"SET GLOBAL {name} = %s", (plain,))
                log.info("%s is %s now, by order.", name, value)
            except OSError as error:
                trouble[name] = str(error)
        return trouble

    def _tell(self, text: str | None, trouble: dict[str, str]) -> None:
        said = json.dumps({"config": text, "trouble": trouble}, sort_keys=True)
        if said != self._told:
            self._registry.put(self._keys.tuned + self._node, said)
            self._told = said
