"""The contract of a registry: what galerist asks of etcd v3, etcd v2 or Kubernetes.

Three results, never confused:

* the registry answered: a value, or :class:`Swap` WON or LOST;
* it did not answer: :class:`RegistryDown` is raised, nothing is known to have changed,
  except after :meth:`Registry.swap`, which says UNKNOWN instead;
* it can never answer as asked (wrong API version, refused credentials):
  :class:`RegistryUnusable`, with a sentence for people and the remedy.

Every call ends within the time-out given at construction times the number of endpoints,
and every read is a quorum read. A write that was not acknowledged may still take effect
later, but never over a later write of the same key (a swap: as long as the key holds the
former value). Keys are absolute paths such as ``/galerist/galera/state``; values are text.
"""

from __future__ import annotations

import abc
import enum
from collections.abc import Callable, Mapping


class RegistryError(Exception):
    """Base of all errors of a registry. The text is one sentence for people."""


class RegistryDown(RegistryError):
    """No endpoint answered in time. Try again later; nothing is known."""


class RegistryUnusable(RegistryError):
    """The registry answered that it cannot be used like this. Trying again does not help,
    until somebody changes the settings or the registry: a running agent goes on trying."""


class Swap(enum.Enum):
    """The outcome of a compare-and-swap."""

    WON = "won"
    LOST = "lost"
    UNKNOWN = "unknown"  # the reply was lost: read again, decide by boot id and nonce.
    # A key that still holds the former value may yet be changed by the lost request,
    # until another swap has changed it.


class Lease(abc.ABC):
    """A set of keys that vanish together ``ttl`` seconds after the last refresh.

    An expired lease is granted anew, with all its keys, by the next call. It is not
    refreshed behind the caller's back: a caller that hangs loses its keys, as it should.
    """

    @abc.abstractmethod
    def publish(self, values: Mapping[str, str]) -> None:
        """Make exactly these keys stand under the lease, and refresh it.

        Returns only when the registry has acknowledged every changed key. Keys of
        earlier calls that are not in ``values`` are removed, and keys that somebody else
        has changed or removed are written again. Raises RegistryError; what was
        written by then is not known, and the next call puts it right.
        """

    @abc.abstractmethod
    def withdraw(self) -> None:
        """Remove the keys of this lease, and no other key, even one of the same name
        that somebody else has written since. Raises RegistryError."""


class Watch(abc.ABC):
    """Calls ``wake()`` (from a thread of its own) whenever something below a prefix may
    have changed: an event, a reconnect, a compaction, anything that may hide an event.

    It carries no values: whoever is woken lists again. It never goes silent: when the
    registry is frozen or gone it keeps trying, and wakes after it got through again.
    """

    @abc.abstractmethod
    def close(self) -> None:
        """End the watch and its thread."""


class Registry(abc.ABC):
    """A client of one registry. Safe for use by one thread at a time (watches have their own)."""

    @abc.abstractmethod
    def list(self, prefix: str) -> dict[str, str]:
        """All keys below ``prefix`` (which ends with ``/``) and their values, as they stood
        at one moment where the backend can give that (etcd v3). Raises RegistryError."""

    @abc.abstractmethod
    def get(self, key: str) -> str | None:
        """The value of ``key``, None when it is absent. Raises RegistryError."""

    def read(self, *places: str) -> tuple[dict[str, str], ...]:
        """What stands at each place, in this order: below a prefix, which ends with ``/``, or at one key. As it
        stood at one moment where the backend can give that (etcd v3), else one after the other. Raises RegistryError."""
        return tuple(self.list(place) if place.endswith("/") else self._at(place) for place in places)

    def _at(self, key: str) -> dict[str, str]:
        value = self.get(key)
        return {} if value is None else {key: value}

    @abc.abstractmethod
    def put(self, key: str, value: str) -> None:
        """Write a durable key. Raises RegistryError."""

    @abc.abstractmethod
    def delete(self, key: str) -> None:
        """Remove ``key``; it may be absent. Raises RegistryError."""

    @abc.abstractmethod
    def swap(self, key: str, former: str | None, value: str) -> Swap:
        """Write ``value`` if ``key`` holds exactly ``former`` (None: is absent).

        The comparison is on the whole value, never on a revision. Never tried twice: when
        an attempt may have reached the registry and no answer came, it says UNKNOWN.
        Raises RegistryDown only when nothing can have been sent, else RegistryUnusable.
        """

    @abc.abstractmethod
    def lease(self, ttl: float) -> Lease:
        """A new, empty lease of ``ttl`` seconds. Does not talk to the registry yet."""

    @abc.abstractmethod
    def watch(self, prefix: str, wake: Callable[[], None]) -> Watch:
        """Watch everything below ``prefix``. Does not talk to the registry yet."""

    @abc.abstractmethod
    def close(self) -> None:
        """Let go of all connections. Leases stay until they expire or are withdrawn."""
