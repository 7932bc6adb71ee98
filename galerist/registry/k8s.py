"""The registry in Kubernetes: a ConfigMap for each key, a Lease for each set of leased keys.

Kubernetes lets no object expire. So a leased key names its Lease, and whoever reads takes the keys of
a Lease for gone that was not renewed in time, by the API server's own clock. Whoever publishes removes
what has been expired for long.

Every write carries the resourceVersion it was decided on: one that arrives late has no effect.
"""

from __future__ import annotations

import builtins
import datetime
import hashlib
import logging
import math
import re
import secrets
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from urllib.parse import urlencode

from galerist.endpoints import Access
from galerist.registry.contract import Lease, Registry, RegistryDown, Swap, Watch
from galerist.registry.k8sapi import Absent, Api, Conflict, Gone, Json
from galerist.registry.transport import Lost, Place, Silent
from galerist.registry.watching import QUIET, WatchThread

log = logging.getLogger(__name__)

TURNS = 5
"""How often a conditional write is decided anew when somebody else writes the same key."""

GRACE = 1.0
"""Seconds for which an expired Lease still counts: as far as the clock of the API server may be behind."""

SWEEP = 60.0
"""Seconds after its end when an expired Lease and its keys are removed by whoever publishes next."""

CORE, COORDINATION = "api/v1", "apis/coordination.k8s.io/v1"

OURS = "app.kubernetes.io/managed-by"
LEASE = "galerist.io/lease"
KEY = "galerist.io/key"


@dataclass(frozen=True, slots=True)
class Entry:
    """One key as it stands in the API server."""

    key: str
    value: str
    lease: str
    name: str
    version: str

    @classmethod
    def of(cls, item: Json) -> Entry:
        about = item["metadata"]
        return cls(
            about.get("annotations", {}).get(KEY, ""),
            (item.get("data") or {}).get("value", ""),
            about.get("labels", {}).get(LEASE, ""),
            about["name"],
            about["resourceVersion"],
        )


class Store:
    """The objects, and what they mean; used by the registry and its leases."""

    def __init__(self, api: Api) -> None:
        self.api = api
        self.maps = api.path(CORE, "configmaps")
        self.leases = api.path(COORDINATION, "leases")

    def entries(self, selector: str, deadline: float | None = None) -> tuple[list[Entry], str]:
        """The keys that a label selector finds, expired ones too, and the version of the list."""
        answer = self.api.repeat("GET", f"{self.maps}?{urlencode({'labelSelector': selector})}", None, deadline)
        found = [Entry.of(item) for item in answer["items"]]
        return found, str(answer["metadata"]["resourceVersion"])

    def ends(self, deadline: float | None = None) -> dict[str, float]:
        """When each Lease of ours ends, in seconds of the API server's clock."""
        return {name: end for name, (end, _) in self.terms(deadline).items()}

    def terms(self, deadline: float | None = None) -> dict[str, tuple[float, str]]:
        """When each Lease of ours ends, and its version."""
        query = urlencode({"labelSelector": f"{OURS}=galerist"})
        answer = self.api.repeat("GET", f"{self.leases}?{query}", None, deadline)
        return {item["metadata"]["name"]: (_end(item), item["metadata"]["resourceVersion"]) for item in answer["items"]}

    def drop(self, lease: str, deadline: float, version: str = "") -> None:
        """Remove a Lease, if it has this version when one is given. Raises Conflict when it has not."""
        body: dict[str, object] = {"apiVersion": "v1", "kind": "DeleteOptions"}
        if version:
            body["preconditions"] = {"resourceVersion": version}
        try:
            self.api.repeat("DELETE", f"{self.leases}/{lease}", body, deadline)
        except Absent:
            return

    def entry(self, key: str, deadline: float | None = None) -> Entry | None:
        """The key as it stands, expired or not; None when there is no object."""
        try:
            return Entry.of(self.api.repeat("GET", f"{self.maps}/{object_name(key)}", None, deadline))
        except Absent:
            return None

    def living(self, entries: Iterable[Entry], deadline: float | None = None) -> list[Entry]:
        """Those of them that have not expired."""
        known = builtins.list(entries)
        if not any(entry.lease for entry in known):
            return known
        ends = self.ends(deadline)
        now = self.api.clock.now()
        return [entry for entry in known if not entry.lease or ends.get(entry.lease, 0.0) > now]

    def write(self, key: str, value: str, lease: str, former: Entry | None, deadline: float) -> None:
        """Write the key as it is known to stand. Raises Conflict when it stands otherwise."""
        body = _config_map(key, value, lease, former)
        if former is None:
            self.api.repeat("POST", self.maps, body, deadline)
        else:
            self._put(former, body, deadline)

    def _put(self, former: Entry, body: Json, deadline: float) -> None:
        try:
            self.api.repeat("PUT", f"{self.maps}/{former.name}", body, deadline)
        except Absent as error:
            raise Conflict(str(error)) from error

    def remove(self, entry: Entry, deadline: float) -> None:
        """Remove the key if it still stands as known. Raises Conflict when it does not."""
        body = {"apiVersion": "v1", "kind": "DeleteOptions", "preconditions": {"resourceVersion": entry.version}}
        try:
            self.api.repeat("DELETE", f"{self.maps}/{entry.name}", body, deadline)
        except Absent:
            return


class Kubernetes(Registry):
    """See the contract. Raises RegistryUnusable without credentials."""

    def __init__(self, access: Access) -> None:
        self._access = access
        self._store = Store(Api(access))
        self._api = self._store.api

    def list(self, prefix: str) -> dict[str, str]:
        deadline = self._api.failover.deadline()
        entries, _ = self._store.entries(below(prefix), deadline)
        living = self._store.living(entries, deadline)
        return {entry.key: entry.value for entry in living if entry.key.startswith(prefix)}

    def get(self, key: str) -> str | None:
        deadline = self._api.failover.deadline()
        entry = self._store.entry(key, deadline)
        living = self._store.living([entry] if entry else [], deadline)
        return living[0].value if living else None

    def put(self, key: str, value: str) -> None:
        deadline = self._api.failover.deadline()
        for _ in range(TURNS):
            former = self._store.entry(key, deadline)
            if former is not None and (former.value, former.lease) == (value, ""):
                return
            try:
                self._store.write(key, value, "", former, deadline)
                return
            except Conflict:
                continue
        raise _busy(key)

    def delete(self, key: str) -> None:
        deadline = self._api.failover.deadline()
        for _ in range(TURNS):
            entry = self._store.entry(key, deadline)
            if entry is None:
                return
            try:
                self._store.remove(entry, deadline)
                return
            except Conflict:
                continue
        raise _busy(key)

    def swap(self, key: str, former: str | None, value: str) -> Swap:
        path = f"{self._store.maps}/{object_name(key)}"
        for _ in range(TURNS):
            try:
                entry = self._look(path)
                living = self._store.living([entry] if entry else [])
                if (living[0].value if living else None) != former:
                    return Swap.LOST
                body = _config_map(key, value, "", entry)
                self._api.once("PUT" if entry else "POST", path if entry else self._store.maps, body)
                return Swap.WON
            except (Conflict, Absent):
                continue  # refused for certain: look again
            except Lost as trouble:
                log.warning("whether %s was changed is not known: %s", key, trouble)
                return Swap.UNKNOWN
        return Swap.UNKNOWN

    def _look(self, path: str) -> Entry | None:
        try:
            return Entry.of(self._api.once("GET", path))
        except Absent:
            return None

    def lease(self, ttl: float) -> Lease:
        return KubernetesLease(self._store, ttl)

    def watch(self, prefix: str, wake: Callable[[], None]) -> Watch:
        api = Api(self._access)  # connections of its own, as it has a thread of its own
        store = Store(api)
        quiet = QUIET * api.access.timeout

        def follow(place: Place) -> Iterator[None]:
            entries, version = store.entries(below(prefix))
            leases = {entry.lease for entry in entries}
            alive = {name: end for name, end in store.ends().items() if name in leases}
            yield  # whatever comes after this version is told by the server
            heard = time.monotonic()
            while (left := heard + quiet - time.monotonic()) > 0:
                # No event tells of the end of a Lease: the first one to end is waited for, until whoever is woken
                # must find that it has ended: the clock by which he lists may be behind this one
                first = min((end + GRACE - api.clock.now() for end in alive.values()), default=left)
                query = {"labelSelector": below(prefix), "resourceVersion": version}
                try:
                    for event in api.watch(place, store.maps, query, min(left, max(0.1, first))):
                        entry = Entry.of(event["object"])
                        version, heard = entry.version, time.monotonic()
                        yield
                        if (
                            entry.lease and entry.lease not in leases
                        ):  # it is made after its keys: when it ends is asked for soon
                            leases.add(entry.lease)
                            alive[entry.lease] = api.clock.now()
                            break
                except Gone:
                    return
                except Silent:
                    ends, now = store.ends(), api.clock.now() - GRACE
                    over = [name for name, end in alive.items() if ends.get(name, 0.0) <= now]
                    alive = {name: end for name, end in ends.items() if name in leases and end > now}
                    if over:
                        yield

        return WatchThread(prefix, api.failover, follow, api.interrupt, api.close, wake)

    def close(self) -> None:
        self._api.close()


class KubernetesLease(Lease):
    """All keys that name one Lease. A key belongs to the Lease it names: a successor that writes it
    names its own. The Lease is renewed last, so keys of an expired one come back together."""

    def __init__(self, store: Store, ttl: float) -> None:
        self._store = store
        self._ttl = max(1, math.ceil(ttl))
        self._name = f"galerist-{secrets.token_hex(8)}"
        self._swept = -math.inf

    def publish(self, values: Mapping[str, str]) -> None:
        deadline = self._store.api.failover.deadline()
        for _ in range(TURNS):
            own, _ = self._store.entries(f"{LEASE}={self._name}", deadline)
            standing = {entry.key: entry for entry in own}
            try:
                for key, entry in standing.items():
                    if key not in values:
                        self._store.remove(entry, deadline)
                for key, value in values.items():
                    if key not in standing or standing[key].value != value:
                        former = standing.get(key) or self._store.entry(key, deadline)
                        self._store.write(key, value, self._name, former, deadline)
                self._renew(deadline)
            except Conflict:
                continue
            self._sweep(deadline)
            return
        raise _busy(", ".join(sorted(values)))

    def withdraw(self) -> None:
        deadline = self._store.api.failover.deadline()
        for _ in range(TURNS):
            own, _ = self._store.entries(f"{LEASE}={self._name}", deadline)
            try:
                for entry in own:
                    self._store.remove(entry, deadline)
            except Conflict:
                continue
            self._store.drop(self._name, deadline)
            return
        raise _busy(self._name)

    def _renew(self, deadline: float) -> None:
        api = self._store.api
        now = datetime.datetime.fromtimestamp(api.clock.now(), datetime.UTC)
        term = {"leaseDurationSeconds": self._ttl, "renewTime": now.strftime("%Y-%m-%dT%H:%M:%S.%fZ")}
        try:
            # Nobody else writes it, so a renewal needs no condition
            api.repeat("PATCH", f"{self._store.leases}/{self._name}", {"spec": term}, deadline)
        except Absent:
            body = {
                "apiVersion": "coordination.k8s.io/v1",
                "kind": "Lease",
                "metadata": {"name": self._name, "labels": {OURS: "galerist"}},
                "spec": {"holderIdentity": self._name, **term},
            }
            api.repeat("POST", self._store.leases, body, deadline)

    def _sweep(self, deadline: float) -> None:
        """Remove Leases that ended long ago, and their keys, once in a while."""
        if time.monotonic() - self._swept < SWEEP:
            return
        self._swept = time.monotonic()
        now = self._store.api.clock.now()
        for name, (end, version) in self._store.terms(deadline).items():
            if end + SWEEP > now or name == self._name:
                continue
            try:
                for entry in self._store.entries(f"{LEASE}={name}", deadline)[0]:
                    self._store.remove(entry, deadline)
                self._store.drop(name, deadline, version)
            except Conflict:
                continue  # it lives again


def object_name(key: str) -> str:
    """The name of a key's ConfigMap: readable, and unique by a digest."""
    readable = re.sub("[^a-z0-9]+", "-", key.lower()).strip("-")[:160]
    return f"galerist-{readable}-{_digest(key)}".replace("galerist-galerist-", "galerist-")


def below(prefix: str) -> str:
    """The label that the keys below a prefix (which ends with a slash) have; a selector, too."""
    return f"galerist.io/in-{_digest(prefix)}"


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _labels(key: str, lease: str) -> dict[str, str]:
    """A label for each directory that the key is in, so that the server can list them."""
    slashes = [place + 1 for place, char in enumerate(key) if char == "/"]
    labels = {below(key[:end]): "" for end in slashes} | {OURS: "galerist"}
    return labels | ({LEASE: lease} if lease else {})


def _config_map(key: str, value: str, lease: str, former: Entry | None) -> dict[str, object]:
    about: dict[str, object] = {
        "name": object_name(key),
        "labels": _labels(key, lease),
        "annotations": {KEY: key},
    }
    if former is not None:
        about["resourceVersion"] = former.version
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": about, "data": {"value": value}}


def _end(item: Json) -> float:
    """When a Lease ends, with the grace; a Lease that somebody has damaged has ended."""
    try:
        spec = item["spec"]
        renewed = datetime.datetime.fromisoformat(spec["renewTime"]).timestamp()
        return float(renewed) + float(spec["leaseDurationSeconds"]) + GRACE
    except (KeyError, TypeError, ValueError):
        return 0.0


def _busy(what: str) -> RegistryDown:
    return RegistryDown(f"{what}: changed by somebody else all the time")
