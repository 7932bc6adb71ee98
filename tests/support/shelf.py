"""A registry in memory, for unit tests."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping

from galerist.registry.contract import Lease, Registry, RegistryDown, Swap, Watch


class Shelf(Registry):
    """``down`` makes every call fail, ``lost`` so many swaps lose. ``log`` is for whoever keeps one."""

    def __init__(self, values: Mapping[str, str] = {}) -> None:  # noqa: B006 - copied
        self.values = dict(values)
        self.down, self.lost, self.swaps = False, 0, 0
        self.log: list[str] = []
        self.owners: dict[str, Lease] = {}

    def _ask(self) -> None:
        if self.down:
            raise RegistryDown("no endpoint answered")

    def list(self, prefix: str) -> dict[str, str]:
        self._ask()
        return {key: value for key, value in self.values.items() if key.startswith(prefix)}

    def get(self, key: str) -> str | None:
        self._ask()
        return self.values.get(key)

    def put(self, key: str, value: str) -> None:
        self._ask()
        self.values[key] = value
        self.owners.pop(key, None)

    def delete(self, key: str) -> None:
        self._ask()
        self.values.pop(key, None)
        self.owners.pop(key, None)

    def swap(self, key: str, former: str | None, value: str) -> Swap:
        self._ask()
        self.swaps += 1
        if self.lost or self.values.get(key) != former:
            self.lost = max(0, self.lost - 1)
            return Swap.LOST
        self.values[key] = value
        return Swap.WON

    def lease(self, ttl: float) -> Lease:
        shelf = self

        class Leased(Lease):
            def publish(self, values: Mapping[str, str]) -> None:
                shelf._ask()
                self._remove(but=values)
                shelf.values.update(values)
                shelf.owners.update(dict.fromkeys(values, self))
                shelf.log.append("published")

            def withdraw(self) -> None:
                shelf._ask()
                self._remove()

            def _remove(self, but: Collection[str] = ()) -> None:
                for key in [key for key, owner in shelf.owners.items() if owner is self and key not in but]:
                    del shelf.values[key], shelf.owners[key]

        return Leased()

    def watch(self, prefix: str, wake: Callable[[], None]) -> Watch:
        raise NotImplementedError("no unit test waits for a registry")

    def close(self) -> None:
        pass
