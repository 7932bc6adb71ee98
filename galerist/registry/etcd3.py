"""The registry in etcd v3, by its JSON gateway.

Every write but the swap is made conditional on the revision it was decided on, so a
request that was held up (in a frozen member, say) and arrives after a later write has
no effect. That also makes it safe to try it again at another endpoint.
"""

from __future__ import annotations

import builtins
import logging
import math
from collections.abc import Callable, Iterable, Iterator, Mapping

from galerist.endpoints import Access
from galerist.registry.contract import Lease, Registry, RegistryDown, Swap, Watch
from galerist.registry.gateway import Gateway, Json, LeaseGone, below, decode, encode
from galerist.registry.transport import Lost, Place, Silent
from galerist.registry.watching import QUIET, WatchThread

log = logging.getLogger(__name__)

TURNS = 5
"""How often a conditional write is decided anew when somebody else writes the same key."""


class Etcd3(Registry):
    """See the contract. Raises RegistryUnusable for certificate files that cannot be used."""

    def __init__(self, access: Access) -> None:
        self._gateway = Gateway(access)

    def list(self, prefix: str) -> dict[str, str]:
        return _found(self._gateway.repeat("/v3/kv/range", below(prefix)))

    def get(self, key: str) -> str | None:
        pair = _pair(self._gateway.repeat("/v3/kv/range", {"key": encode(key)}))
        return None if pair is None else decode(pair.get("value", ""))

    def read(self, *places: str) -> tuple[dict[str, str], ...]:
        ranges = [{"request_range": below(place)} if place.endswith("/") else _range(place) for place in places]
        answer = self._gateway.repeat("/v3/kv/txn", {"success": ranges})
        return tuple(_found(response["response_range"]) for response in answer.get("responses", ()))

    def put(self, key: str, value: str) -> None:
        self._write(key, value)

    def delete(self, key: str) -> None:
        self._write(key, None)

    def _write(self, key: str, value: str | None) -> None:
        deadline = self._gateway.failover.deadline()
        revision = 0
        for _ in range(TURNS):
            answer = self._gateway.repeat(
                "/v3/kv/txn",
                {
                    "compare": [_unchanged(key, revision)],
                    "success": [_remove(key) if value is None else _put(key, value)],
                    "failure": [_range(key)],
                },
                deadline,
            )
            if answer.get("succeeded"):
                return
            pair = _pair(answer["responses"][0]["response_range"])
            if value is not None and pair and _is(pair, value, lease=0):
                return  # an attempt whose reply was lost had arrived
            if pair is None and value is None:
                return
            revision = 0 if pair is None else int(pair["mod_revision"])
        raise RegistryDown(f"{key} is being changed by somebody else all the time")

    def swap(self, key: str, former: str | None, value: str) -> Swap:
        compare = {"key": encode(key), "result": "EQUAL"}
        if former is None:
            compare |= {"target": "CREATE", "create_revision": "0"}
        else:
            compare |= {"target": "VALUE", "value": encode(former)}
        try:
            answer = self._gateway.once("/v3/kv/txn", {"compare": [compare], "success": [_put(key, value)]})
        except Lost as trouble:
            log.warning("whether %s was changed is not known: %s", key, trouble)
            return Swap.UNKNOWN
        return Swap.WON if answer.get("succeeded") else Swap.LOST  # false is left out

    def lease(self, ttl: float) -> Lease:
        return Etcd3Lease(self._gateway, ttl)

    def watch(self, prefix: str, wake: Callable[[], None]) -> Watch:
        gateway = Gateway(self._gateway.access)  # connections of its own, as it has a thread of its own
        quiet = QUIET * gateway.access.timeout

        def follow(place: Place) -> Iterator[None]:
            results = gateway.stream(place, "/v3/watch", {"create_request": below(prefix)}, quiet)
            heard = False
            try:
                for result in results:
                    if result.get("canceled"):
                        cause = result.get("cancel_reason") or f"compacted to {result.get('compact_revision')}"
                        raise Lost(f"the watch was ended: {cause}")
                    if result.get("created") or result.get("events"):
                        heard = True
                        yield
            except Silent:
                if not heard:
                    raise

        return WatchThread(prefix, gateway.failover, follow, gateway.transport.interrupt, gateway.transport.close, wake)

    def close(self) -> None:
        self._gateway.transport.close()


class Etcd3Lease(Lease):
    """All keys under one lease of etcd. A key belongs to the lease that wrote it last, so
    the end of this lease leaves a successor's keys alone."""

    def __init__(self, gateway: Gateway, ttl: float) -> None:
        self._gateway = gateway
        self._ttl = max(1, math.ceil(ttl))
        self._id = 0  # 0: none granted
        self._standing: dict[str, str] = {}  # acknowledged under this lease
        self._revisions: dict[str, int] = {}  # last known mod_revision of each key published, 0: absent
        self._doubtful: set[str] = set()  # written without an acknowledgement yet

    def publish(self, values: Mapping[str, str]) -> None:
        deadline = self._gateway.failover.deadline()
        fresh = False
        if self._doubtful - set(values):
            # A lost write of a key that is no longer wanted may still arrive. It can do so
            # only under its lease: leave that one to expire.
            self._forget()
        for _ in range(TURNS):
            try:
                if not fresh:
                    self._refresh(deadline)
                    fresh = True
                if self._write(values, deadline):
                    return
            except LeaseGone:
                self._forget()
                fresh = False
        raise RegistryDown(f"{', '.join(sorted(values))}: changed by somebody else all the time")

    def withdraw(self) -> None:
        if self._id:
            try:
                self._gateway.repeat("/v3/lease/revoke", {"ID": str(self._id)})
            except LeaseGone:
                log.debug("the lease had expired already")
        self._forget()
        self._revisions = {}

    def _forget(self) -> None:
        self._id = 0
        self._standing = {}
        self._doubtful = set()

    def _refresh(self, deadline: float) -> None:
        """Keep the lease alive, or have one granted."""
        if self._id:
            answer = self._gateway.repeat("/v3/lease/keepalive", {"ID": str(self._id)}, deadline)
            if int(answer.get("result", {}).get("TTL", 0)) > 0:
                return
            self._forget()
        # A grant that is tried twice leaves a lease without keys; it expires.
        self._id = int(self._gateway.repeat("/v3/lease/grant", {"TTL": str(self._ttl)}, deadline)["ID"])

    def _write(self, values: Mapping[str, str], deadline: float) -> bool:
        """Bring the keys to ``values`` in one transaction, on the condition that nobody else
        has touched them since (a restored registry has). False: look what there is, try again."""
        gone = [key for key in self._revisions if key not in values]
        changed = [key for key, value in values.items() if self._standing.get(key) != value]
        keys = [*values, *gone]
        if not keys:
            return True
        self._doubtful.update(changed)
        for key in changed:
            self._revisions.setdefault(key, 0)
        answer = self._gateway.repeat(
            "/v3/kv/txn",
            {
                "compare": [_unchanged(key, self._revisions.get(key, 0)) for key in keys],
                "success": [*(_put(key, values[key], self._id) for key in changed), *(_remove(key) for key in gone)],
                "failure": [_range(key) for key in keys],
            },
            deadline,
        )
        if answer.get("succeeded"):
            revision = int(answer["header"]["revision"])
            self._revisions = {key: revision if key in changed else self._revisions[key] for key in values}
            self._standing = dict(values)
            self._doubtful = set()
            return True
        self._read(keys, gone, [_pair(response["response_range"]) for response in answer["responses"]])
        # An attempt whose reply was lost may have been carried out after all.
        return not gone and all(self._standing.get(key) == value for key, value in values.items())

    def _read(self, keys: Iterable[str], gone: builtins.list[str], pairs: Iterable[Json | None]) -> None:
        self._standing = {}
        for key, pair in zip(keys, pairs, strict=True):
            own = pair is not None and int(pair.get("lease", 0)) == self._id
            self._revisions[key] = int(pair["mod_revision"]) if pair else 0
            if pair and own:
                self._standing[key] = decode(pair.get("value", ""))
            elif key in gone:
                del self._revisions[key]
                gone.remove(key)


def _put(key: str, value: str, lease: int = 0) -> Json:
    return {"request_put": {"key": encode(key), "value": encode(value), "lease": str(lease)}}


def _remove(key: str) -> Json:
    return {"request_delete_range": {"key": encode(key)}}


def _range(key: str) -> Json:
    return {"request_range": {"key": encode(key)}}


def _unchanged(key: str, revision: int) -> Json:
    return {"target": "MOD", "key": encode(key), "result": "EQUAL", "mod_revision": str(revision)}


def _found(answer: Json) -> dict[str, str]:
    return {decode(pair["key"]): decode(pair.get("value", "")) for pair in answer.get("kvs", ())}


def _pair(answer: Json) -> Json | None:
    pairs = answer.get("kvs")
    return pairs[0] if pairs else None


def _is(pair: Json, value: str, lease: int) -> bool:
    return decode(pair.get("value", "")) == value and int(pair.get("lease", 0)) == lease
