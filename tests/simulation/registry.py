"""A registry with leases, whole-value swaps, outages, wiping and restoring, on the simulated clock."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from galerist.registry.contract import Lease, Registry, RegistryDown, Swap, Watch


class Store:
    """What the registry holds. ``now`` is the simulated clock."""

    def __init__(self, now: Callable[[], float]) -> None:
        self.now = now
        self.durable: dict[str, str] = {}
        self.leased: dict[str, tuple[str, int]] = {}
        self.leases: dict[int, float] = {}  # id to the time of its end
        self.late: list[tuple[str, str | None, str]] = []  # swaps that are still under way
        self._next = 0
        self.turned = float("-inf")  # when it was wiped or restored

    def expire(self) -> None:
        now = self.now()
        gone = [lease for lease, end in self.leases.items() if end <= now]
        if gone:
            for lease in gone:
                del self.leases[lease]
            self.leased = {key: entry for key, entry in self.leased.items() if entry[1] in self.leases}

    def grant(self, ttl: float) -> int:
        self._next += 1
        self.leases[self._next] = self.now() + ttl
        return self._next

    def list(self, prefix: str) -> dict[str, str]:
        self.expire()
        found = {key: value for key, value in self.durable.items() if key.startswith(prefix)}
        found.update({key: entry[0] for key, entry in self.leased.items() if key.startswith(prefix)})
        return found

    def arrive(self) -> None:
        """Swaps that were sent and never answered take effect, if they still can."""
        for key, former, value in self.late:
            if self.durable.get(key) == former:
                self.durable[key] = value
        self.late.clear()

    def wipe(self) -> None:
        self.durable.clear()
        self.leased.clear()
        self.leases.clear()
        self.late.clear()
        self.turned = self.now()

    def backup(self) -> tuple[dict[str, str], dict[str, str]]:
        self.expire()
        return dict(self.durable), {key: entry[0] for key, entry in self.leased.items()}

    def restore(self, backup: tuple[dict[str, str], dict[str, str]], ttl: float) -> None:
        """Everything is as it was, and the old reports have fresh leases."""
        self.wipe()
        self.durable = dict(backup[0])
        lease = self.grant(ttl)
        self.leased = {key: (value, lease) for key, value in backup[1].items()}


class SimRegistry(Registry):
    """One agent's client. ``point`` is called before each request and may raise RegistryDown."""

    def __init__(self, store: Store, point: Callable[[str], str | None]) -> None:
        self.store, self.point = store, point

    def list(self, prefix: str) -> dict[str, str]:
        if prefix.endswith("/history/"):
            return {}
        self.point("list")
        return self.store.list(prefix)

    def get(self, key: str) -> str | None:
        self.point("get")
        return self.store.durable.get(key)

    def put(self, key: str, value: str) -> None:
        if "/history/" in key:
            return
        self.point("put")
        self.store.durable[key] = value

    def delete(self, key: str) -> None:
        self.point("delete")
        self.store.durable.pop(key, None)

    def swap(self, key: str, former: str | None, value: str) -> Swap:
        fate = self.point("swap")
        if fate == "late":
            self.store.late.append((key, former, value))
            return Swap.UNKNOWN
        if fate == "never":
            return Swap.UNKNOWN
        if self.store.durable.get(key) != former:
            return Swap.UNKNOWN if fate == "applied" else Swap.LOST
        # a later write of the same key: what is still under way cannot take effect over it
        self.store.late = [entry for entry in self.store.late if entry[0] != key]
        self.store.durable[key] = value
        return Swap.UNKNOWN if fate == "applied" else Swap.WON

    def lease(self, ttl: float) -> Lease:
        return SimLease(self, ttl)

    def watch(self, prefix: str, wake: Callable[[], None]) -> Watch:
        raise NotImplementedError("the simulation decides who makes a pass")

    def close(self) -> None:
        pass


class SimLease(Lease):
    """Keys that vanish together."""

    def __init__(self, client: SimRegistry, ttl: float) -> None:
        self.client, self.ttl = client, ttl
        self.id: int | None = None
        self.keys: tuple[str, ...] = ()

    def publish(self, values: Mapping[str, str]) -> None:
        fate = self.client.point("publish")
        store = self.client.store
        store.expire()
        if self.id is None or self.id not in store.leases:
            self.id = store.grant(self.ttl)
        store.leases[self.id] = store.now() + self.ttl
        for key in self.keys:
            if key not in values and store.leased.get(key, ("", -1))[1] == self.id:
                del store.leased[key]
        for key, value in values.items():
            store.leased[key] = (value, self.id)
        self.keys = tuple(values)
        if fate == "lost":
            raise RegistryDown("the reply was lost")

    def withdraw(self) -> None:
        self.client.point("withdraw")
        if self.id is not None:
            self.client.store.leases.pop(self.id, None)
            self.client.store.leased = {k: e for k, e in self.client.store.leased.items() if e[1] != self.id}
