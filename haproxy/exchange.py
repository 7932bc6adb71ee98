"""The registry as one proxy uses it: everybody's reports, its own under a lease, and the order of writers.

The registry may be gone for any time; a failure is told once, in the log, and asked again soon, then less often.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import replace

from galerist import model as records
from galerist.registry.contract import Registry, RegistryError, RegistryUnusable, Swap
from galerist.registry.keys import Keys
from haproxy.control import Row
from haproxy.herald import Herald
from haproxy.model import Known, understand
from haproxy.moving import demoted, elsewhere

_PASS = 2.0  # s between readings when nothing happens
_SOON = 0.2  # s until the next one when the last has failed, then twice as long each time, or while writers differ
_EAR = 0.05  # s that are waited for a registry that has failed before
_MOVE = 1.0  # s between two changes of the order of writers by this proxy

_Content = tuple[dict[str, str], dict[str, str], str | None, dict[str, str]]  # members, nodes, the state, proxies


class Exchange:
    """``tell(topic, text)`` logs a trouble when it begins or changes. For use by one thread."""

    def __init__(
        self, registry: Registry, cluster: str, proxy: str, ttl: float, tell: Callable[[str, str], None]
    ) -> None:
        self.reachable = True  # the registry answered when it was last asked
        self.unusable: RegistryUnusable | None = None
        self.good_at = 0.0  # when it last gave a model that counts, seconds since 1970
        self._registry, self._proxy, self._tell = registry, proxy, tell
        self._keys = Keys(cluster)
        self._herald = Herald(registry, cluster, proxy, ttl)
        self._others: tuple[records.ProxyReport, ...] = ()
        self._state: tuple[str | None, records.State | None] = (None, None)  # as last read: raw, and what it says
        self._newest = records.State()  # of all that were read
        self._moved = float("-inf")
        self._failures = 0
        self._pool = ThreadPoolExecutor(1)
        self._asked: Future[_Content] | None = None

    @property
    def told(self) -> tuple[str, ...]:
        """Whom this proxy writes to, as others were told last."""
        return self._herald.told

    def elsewhere(self) -> tuple[str, ...]:
        """The nodes that other proxies write to, as far as that is known now."""
        return elsewhere(self._others) if self.reachable else ()

    def pause(self, urgent: bool) -> float:
        """Seconds until the next reading, if nothing is heard before. ``urgent``: the writers are being changed.

        What is lost on a busy machine, an answer or an event, must not cost a failover whole seconds.
        """
        if self._asked is not None:
            return _SOON
        if self._failures:
            return float(min(_PASS, _SOON * 2 ** (self._failures - 1)))
        return _SOON if urgent else _PASS

    def read(self) -> Known | None:
        """What the registry holds, None when it cannot be read."""
        try:
            found = self._found()
        except RegistryError as error:
            self.unusable = error if isinstance(error, RegistryUnusable) else None
            self._failed("registry", f"the registry cannot be read, the servers known before stay: {error}")
            return None
        if found is None:
            return None
        members, nodes, state, proxies = found
        known = understand(members, nodes, state)
        if known.state is not None and records.older(known.state, self._newest):
            # Restored from a backup: until the nodes have corrected it, no client is moved for it.
            known = replace(known, state=replace(known.state, writer=self._newest.writer))
        elif known.state is not None:
            self._newest = known.state
        if known.state is not None and known.state.identity is not None:
            self.good_at = time.time()
        self.reachable, self._failures = True, 0
        self._tell("registry", "; ".join(known.complaints))
        self._state = (state, known.state)
        self._others = tuple(
            report for name, text in proxies.items() if name != self._proxy and (report := _readable(text)) is not None
        )
        return known

    def _found(self) -> _Content | None:
        """Everything, as it stands there; None while a registry that has failed before takes its time to answer:
        nothing else waits for that. Raises RegistryError."""
        if self.reachable:
            return self._ask()
        if self._asked is None:
            self._asked = self._pool.submit(self._ask)
        wait([self._asked], _EAR)
        if not self._asked.done():
            return None
        asked, self._asked = self._asked, None
        return asked.result()

    def _ask(self) -> _Content:
        keys = self._keys
        # The proxies last: whoever has changed the order of writers has told before whom it writes to.
        members, nodes, state, proxies = self._registry.read(keys.members, keys.nodes, keys.state, keys.proxies)
        return (
            _below(members, keys.members),
            _below(nodes, keys.nodes),
            state.get(keys.state),
            _below(proxies, keys.proxies),
        )

    def publish(self, report: records.ProxyReport) -> None:
        """Say what this proxy does, unless the registry is known to be away: that would only cost time."""
        if not self.reachable:
            return
        try:
            self._herald.publish(report)
        except RegistryError as error:
            self._failed("report", f"the registry does not take this proxy's report: {error}")
        else:
            self._tell("report", "")

    def demote(self, rows: Mapping[tuple[str, str], Row], cut: float) -> bool:
        """After a failover here: the order of writers follows, for all proxies. True: look at what has become of it."""
        (raw, state), now = self._state, time.monotonic()
        if raw is None or state is None or now - self._moved < _MOVE or not self.reachable:
            return False
        wanted = demoted(state, rows, cut)
        if wanted is None:
            return False
        self._state = (None, None)
        try:
            won = self._registry.swap(self._keys.state, raw, records.dump(wanted)) is Swap.WON
            if won:
                self._moved = now
                gone = [name for name in state.writer if wanted.writer.index(name) > state.writer.index(name)]
                self._herald.note(
                    f"{wanted.writer[0]} leads the order of writers: {', '.join(gone)} cannot serve.", wanted.writer
                )
            self._tell("order", "")
        except RegistryError as error:
            self._failed("order", f"the order of writers could not be changed: {error}")
            return False
        return True

    def withdraw(self) -> None:
        """Take this proxy's report back."""
        self._pool.shutdown()  # a registry is for one thread at a time
        self._tell("report", self._herald.withdraw())

    def _failed(self, topic: str, text: str) -> None:
        self.reachable = False
        self._failures += 1
        self._tell(topic, text)


def _below(found: Mapping[str, str], prefix: str) -> dict[str, str]:
    return {key.removeprefix(prefix): value for key, value in found.items()}


def _readable(text: str) -> records.ProxyReport | None:
    try:
        return records.load(records.ProxyReport, text)
    except records.Malformed:
        return None
