"""Questions to all agents at once, by way of the registry; see bootstrap.scout."""

from __future__ import annotations

import secrets
import time
from contextlib import suppress

from bootstrap.scout import Answer
from galerist.model import Malformed, load
from galerist.registry.contract import Registry
from galerist.registry.keys import Keys

PATIENCE = 8.0
"""Seconds until an agent counts as not answering: its own look takes four at most."""


class Question:
    """One question, which stands until it is withdrawn, or for a little longer than the patience."""

    def __init__(self, registry: Registry, cluster: str) -> None:
        self._registry, self._keys = registry, Keys(cluster)
        self._key = self._keys.questions + secrets.token_hex(4)
        self._lease = registry.lease(2 * PATIENCE)

    def put(self, what: str) -> None:
        """Raises RegistryError."""
        self._lease.publish({self._key: what})

    def answers(self, nodes: tuple[str, ...]) -> dict[str, Answer]:
        """What these agents answer within a few seconds; the question is withdrawn. Raises RegistryError."""
        deadline = time.monotonic() + PATIENCE
        while True:
            found = {}
            for key, text in self._registry.list(self._keys.answers).items():
                with suppress(Malformed):
                    answer = load(Answer, text)
                    if self._key in answer.asked:
                        found[key.removeprefix(self._keys.answers)] = answer
            if found.keys() >= set(nodes) or time.monotonic() > deadline:
                self._lease.withdraw()
                return found
            time.sleep(0.2)
