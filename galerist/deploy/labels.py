"""``galerist labels``: keeps labels on the pods of a StatefulSet, by which Services find the writer and the readers.

Which pods are ready is kubelet's word, who comes first is the registry's: when that is away, the last known order goes
on, and that is what the labels say when none was read yet. Every pass compares what should be with the pods as they
are; changes in the registry only wake it.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from galerist.model import Malformed, State, load
from galerist.registry.contract import Registry, RegistryError, RegistryUnusable
from galerist.registry.k8sapi import Absent, Api, Conflict
from galerist.registry.keys import Keys
from galerist.registry.open import open_registry, platform
from galerist.settings import Settings
from galerist.wake import until_told

log = logging.getLogger("galerist.labels")

PERIOD = 1.0
"""Seconds between two looks at the pods: what kubelet finds out wakes nobody here."""

WRITE, READ = "galerist.io/write", "galerist.io/read"

# -- pure ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Pod:
    """A pod as it stands; ``labels`` are those of ours that it bears."""

    name: str
    uid: str
    ready: bool
    labels: frozenset[str]

    @classmethod
    def of(cls, item: Mapping[str, Any]) -> Pod:
        about = item["metadata"]
        conditions = {one["type"]: one["status"] for one in item.get("status", {}).get("conditions") or ()}
        ready = conditions.get("Ready") == "True" and "deletionTimestamp" not in about
        own = frozenset(label for label in (WRITE, READ) if (about.get("labels") or {}).get(label) == "true")
        return cls(about["name"], about["uid"], ready, own)


def wanted(state: State, ready: Collection[str]) -> dict[str, frozenset[str]]:
    """The labels of each node that shall have some: one takes the writes, the others the reads.

    One that is alone takes both. Empty where no node can take clients.
    """
    able = set(ready) - set(state.drained)
    first, *others = [name for name in state.writer if name in able] + sorted(able - set(state.writer)) or [""]
    if not first:
        return {}
    return {first: frozenset((WRITE,) if others else (WRITE, READ))} | {name: frozenset((READ,)) for name in others}


def changes(state: State, pods: Iterable[Pod]) -> list[tuple[Pod, dict[str, str | None]]]:
    """What to change, in this order: before a pod is given a label, all others have lost what they shall not have.

    When no node can take clients, the labels stay as they are: a Service leads to no pod that is not ready anyway.
    """
    pods = list(pods)
    goal = wanted(state, [pod.name for pod in pods if pod.ready])
    if not goal:
        return []
    taken = [(pod, sorted(pod.labels - goal.get(pod.name, frozenset()))) for pod in pods]
    given = [(pod, sorted(goal.get(pod.name, frozenset()) - pod.labels)) for pod in pods]
    return [(pod, dict.fromkeys(labels, None)) for pod, labels in taken if labels] + [
        (pod, dict.fromkeys(labels, "true")) for pod, labels in given if labels
    ]


# -- the rim ---------------------------------------------------------------------------------


class Labeller:
    """Labels the pods of one StatefulSet. :meth:`step` is one pass."""

    def __init__(self, settings: Settings, api: Api, registry: Registry) -> None:
        self._api, self._registry = api, registry
        self._keys = Keys(settings.cluster)
        self._prefix = f"{settings.statefulset}-"
        self._state: State | None = None
        self._trouble = ""

    def step(self) -> None:
        """One pass. What fails is told in the log, and tried again in the next pass."""
        trouble = []
        try:
            raw = self._registry.get(self._keys.state)
            self._state = load(State, raw) if raw is not None else self._state
        except (RegistryError, Malformed) as error:
            trouble.append(f"The order of writers stays as it was last known: {error}")
        try:
            pods = self._pods()
            order = self._state or State(writer=tuple(pod.name for pod in pods if WRITE in pod.labels))
            for pod, labels in changes(order, pods):
                self._patch(pod, labels)
        except (RegistryError, Conflict, Absent) as error:
            trouble.append(f"The pods' labels may be wrong: {error}")
        said = " ".join(trouble)
        if said != self._trouble:
            log.log(logging.ERROR if said else logging.INFO, "%s", said or "All is well again.")
        self._trouble = said

    def _pods(self) -> list[Pod]:
        query = urlencode({"labelSelector": "statefulset.kubernetes.io/pod-name"})
        items = self._api.repeat("GET", f"{self._api.path('api/v1', 'pods')}?{query}")["items"]
        return [pod for pod in map(Pod.of, items) if self._numbered(pod.name)]

    def _numbered(self, name: str) -> bool:
        return name.startswith(self._prefix) and name.removeprefix(self._prefix).isdecimal()

    def _patch(self, pod: Pod, labels: Mapping[str, str | None]) -> None:
        # With the uid: a pod that has taken its name since is refused, and comes with the next pass
        self._api.repeat(
            "PATCH", self._api.path("api/v1", "pods", pod.name), {"metadata": {"uid": pod.uid, "labels": labels}}
        )
        words = [f"{label} {'is given' if value else 'is taken away'}" for label, value in labels.items()]
        log.info("%s: %s.", pod.name, ", ".join(words))


def main(settings: Settings) -> int:
    """Run until SIGTERM or SIGINT; the labels stay. Returns an exit code."""
    if not settings.statefulset:
        print("galerist: labels: needs statefulset; give the name of the nodes' StatefulSet", file=sys.stderr)
        return 78
    try:
        api, registry = Api(platform(settings)), open_registry(settings)
    except RegistryUnusable as error:
        print(f"galerist: registry = {settings.registry}: {error}", file=sys.stderr)
        return 78
    wake, stop = until_told()
    labeller = Labeller(settings, api, registry)
    watch = registry.watch(Keys(settings.cluster).root, wake.set)
    try:
        while not stop.is_set():
            wake.clear()
            labeller.step()
            wake.wait(PERIOD)
    finally:
        watch.close()
        registry.close()
        api.close()
    return 0
