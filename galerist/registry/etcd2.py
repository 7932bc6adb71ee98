"""The registry in etcd v2, by python-etcd.

python-etcd gets one client for each endpoint and may neither reconnect nor follow
redirects: it would send a compare-and-swap again whose reply was lost, and then report
the failure of the second as the outcome of both. Going on to the next endpoint is done
here, where it is known what may be repeated.

Like in the v3 backend, every write but the swap is conditional on the index it was
decided on, so an attempt that arrives late has no effect.
"""

from __future__ import annotations

import base64
import logging
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import etcd
import urllib3

from galerist.endpoints import Access, show
from galerist.registry.contract import Lease, Registry, RegistryDown, RegistryUnusable, Swap, Watch
from galerist.registry.tls import refuse_plain
from galerist.registry.transport import Failover, Lost, Place, Silent, Transport
from galerist.registry.watching import QUIET, WatchThread

log = logging.getLogger(__name__)
logging.getLogger("etcd").setLevel(logging.CRITICAL)  # it calls each try that failed an error

TURNS = 5
"""How often a conditional write is decided anew when somebody else writes the same key."""

OWN_DIRECTORIES = ("/components/", "/services/")
"""Below these each node or proxy has a directory to itself, which carries the TTL."""

REFUSED = (etcd.EtcdCompareFailed, etcd.EtcdAlreadyExist, etcd.EtcdKeyNotFound, etcd.EtcdNotFile)
"""The condition of a write does not hold; nothing was changed."""


class Link:
    """A python-etcd client for each endpoint, with failover, for use by one thread."""

    def __init__(self, access: Access) -> None:
        self.access = access
        self.transport = Transport(access)
        self.failover = Failover(access)
        self._clients = {place: self._client(place) for place in access.endpoints}

    def _client(self, place: Place) -> Any:
        client = etcd.Client(
            protocol="https" if self.access.tls else "http",
            host=show(place).rpartition(":")[0],
            port=place[1],
            allow_redirect=False,
            allow_reconnect=False,
        )
        client.http = Http(self.transport)
        headers = basic_auth(self.access)
        client._get_headers = lambda: headers
        # It raises when the cluster's id changes, even after a write was carried out. A
        # registry that was wiped or restored is nothing special: whoever is woken lists.
        client._check_cluster_id = lambda response: None
        return client

    def repeat(self, verb: str, /, *args: Any, deadline: float | None = None, **options: Any) -> Any:
        """The answer of python-etcd's ``verb`` for an idempotent request: an EtcdResult.
        Raises RegistryError, or what etcd answered."""
        return self.failover.repeat(
            lambda place, timeout: self.attempt(place, timeout, verb, *args, **options), deadline
        )

    def once(self, verb: str, /, *args: Any, **options: Any) -> Any:
        """The answer to a request that is sent at most once. Also raises Lost."""
        return self.failover.once(lambda place, timeout: self.attempt(place, timeout, verb, *args, **options))

    def attempt(self, place: Place, timeout: float, verb: str, /, *args: Any, **options: Any) -> Any:
        client = self._clients[place]
        client._read_timeout = urllib3.Timeout(total=timeout)
        try:
            answer = getattr(client, verb)(*args, **options)
            self.transport.spoken.add(place)
            return answer
        except etcd.EtcdConnectionFailed as error:
            raise self.transport.trouble(place, error.cause or error) from error
        except etcd.EtcdInsufficientPermissions as error:
            raise RegistryUnusable(
                f"{show(place)} refuses the user {self.access.user!r} or the password: correct registry_user "
                "and registry_password_file, or grant a role that may read and write the keys below "
                "/galerist/, /components/ and /services/"
            ) from error
        except (*REFUSED, etcd.EtcdNotDir, etcd.EtcdDirNotEmpty, etcd.EtcdEventIndexCleared):
            raise
        except etcd.EtcdException as error:
            text = str(error)
            refuse_plain(place, text)
            if text.startswith("Bad response") and "404" in text:
                raise RegistryUnusable(
                    f"{show(place)} has no v2 API (etcd 3.4 and 3.5 need --enable-v2, 3.6 removed it); use etcd3://…"
                ) from error
            raise Lost(f"{show(place)}: {text}") from error


def basic_auth(access: Access) -> dict[str, str]:
    """The header for user and password; etcd takes them as UTF-8, urllib3 writes Latin-1."""
    if not access.user:
        return {}
    both = f"{access.user}:{access.password or ''}".encode()
    return {"Authorization": f"Basic {base64.b64encode(both).decode()}"}


class Http:
    """What python-etcd uses of urllib3's PoolManager."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def request(self, *args: Any, **options: Any) -> urllib3.BaseHTTPResponse:
        answer = self._transport.pool.request(*args, **options)
        self._transport.hold(answer)
        return answer

    def request_encode_body(self, *args: Any, **options: Any) -> urllib3.BaseHTTPResponse:
        return self._transport.pool.request_encode_body(*args, **options)

    def clear(self) -> None:
        self._transport.close()


class Etcd2(Registry):
    """See the contract. An empty ``former`` cannot be compared with: ValueError."""

    def __init__(self, access: Access) -> None:
        self._link = Link(access)

    def list(self, prefix: str) -> dict[str, str]:
        try:
            root = self._link.repeat("read", prefix.rstrip("/"), recursive=True, quorum=True)
        except etcd.EtcdKeyNotFound:
            return {}
        return {leaf.key: leaf.value for leaf in root.leaves if not leaf.dir and leaf.key.startswith(prefix)}

    def get(self, key: str) -> str | None:
        node = read(self._link, key, None)
        return None if node is None or node.dir else str(node.value)

    def put(self, key: str, value: str) -> None:
        write(self._link, key, value, 0, None, self._link.failover.deadline())

    def delete(self, key: str) -> None:
        deadline = self._link.failover.deadline()
        for _ in range(TURNS):
            node = read(self._link, key, deadline)
            if node is None or node.dir or remove(self._link, key, node.modifiedIndex, deadline):
                return
        raise RegistryDown(f"{key} is being changed by somebody else all the time")

    def swap(self, key: str, former: str | None, value: str) -> Swap:
        if former == "":
            raise ValueError("etcd v2 cannot compare with an empty value")
        condition = {"prevExist": False} if former is None else {"prevValue": former}
        try:
            self._link.once("write", key, value, **condition)
        except REFUSED:
            return Swap.LOST
        except Lost as trouble:
            log.warning("whether %s was changed is not known: %s", key, trouble)
            return Swap.UNKNOWN
        return Swap.WON

    def lease(self, ttl: float) -> Lease:
        return Etcd2Lease(self._link, ttl)

    def watch(self, prefix: str, wake: Callable[[], None]) -> Watch:
        link = Link(self._link.access)
        path = prefix.rstrip("/")
        timeout = link.access.timeout

        def follow(place: Place) -> Iterator[None]:
            index = current_index(link, place, path)
            yield  # whatever comes after this index is told by the server, even if it comes before the next line
            options = {"recursive": True, "wait": True}
            wait = urllib3.Timeout(connect=timeout, read=QUIET * timeout)
            while True:
                try:
                    node = link.attempt(place, timeout, "read", path, waitIndex=index + 1, timeout=wait, **options)
                except (Silent, etcd.EtcdEventIndexCleared):
                    return
                index = int(node.modifiedIndex)
                yield

        return WatchThread(prefix, link.failover, follow, link.transport.interrupt, link.transport.close, wake)

    def close(self) -> None:
        self._link.transport.close()


class Etcd2Lease(Lease):
    """v2 has no leases: a TTL on each key, or one on a directory that the owner has to itself.

    A key is ours as long as it has the index that our last write gave it. When the
    reply to a refresh was lost this is not known: then ``withdraw`` leaves the key to
    its TTL rather than remove that of a successor.
    """

    def __init__(self, link: Link, ttl: float) -> None:
        self._link = link
        self._ttl = max(1, math.ceil(ttl))
        self._indexes: dict[str, int] = {}  # as acknowledged; 0: not known
        self._standing: dict[str, str] = {}

    def publish(self, values: Mapping[str, str]) -> None:
        deadline = self._link.failover.deadline()
        for directory in own_directories(values):
            self._touch(directory, deadline)
            self._verify(directory, deadline)
        written = []
        for key, value in values.items():
            if self._standing.get(key) == value and (own_directory(key) or self._refresh(key, deadline)):
                continue
            self._write(key, value, deadline)
            written.append(key)
        for directory in own_directories(written):
            # It may have expired meanwhile, and been made anew, without a TTL, by a write.
            self._touch(directory, deadline)
        gone = [key for key in self._indexes if key not in values]
        for key in gone:
            if not self._indexes[key] and (node := read(self._link, key, deadline)):
                self._indexes[key] = node.modifiedIndex  # not known whose it is, but nobody else lives here
        self._remove(gone, deadline)

    def withdraw(self) -> None:
        self._remove(list(self._indexes), self._link.failover.deadline())

    def _touch(self, directory: str, deadline: float) -> None:
        """Make the directory last for another TTL, or create it."""
        options = {"ttl": self._ttl, "dir": True, "deadline": deadline}
        for _ in range(TURNS):
            try:
                self._link.repeat("write", directory, None, prevExist=True, refresh=True, **options)
                return
            except etcd.EtcdKeyNotFound:
                log.debug("%s is made (anew)", directory)
            except (etcd.EtcdNotFile, etcd.EtcdNotDir) as error:
                raise RegistryUnusable(f"{directory} is a key, not a directory: remove it") from error
            try:
                self._link.repeat("write", directory, None, prevExist=False, **options)
                return
            except etcd.EtcdAlreadyExist:
                continue  # by an attempt whose reply was lost, or by a successor
        raise RegistryDown(f"{directory} is being made and removed by somebody else all the time")

    def _verify(self, directory: str, deadline: float) -> None:
        """Forget the keys of the directory that are not as we left them."""
        node = read(self._link, directory, deadline)
        found = {leaf.key: leaf.modifiedIndex for leaf in node.leaves} if node else {}
        for key in [key for key in self._standing if own_directory(key) == directory]:
            if found.get(key) != self._indexes[key]:
                del self._standing[key]
                self._indexes[key] = found.get(key, 0)

    def _refresh(self, key: str, deadline: float) -> bool:
        index = self._indexes[key]
        self._indexes[key] = 0
        try:
            node = self._link.repeat("refresh", key, self._ttl, prevIndex=index, deadline=deadline)
        except REFUSED:
            return False
        self._indexes[key] = node.modifiedIndex
        return True

    def _write(self, key: str, value: str, deadline: float) -> None:
        index, self._indexes[key] = self._indexes.get(key, 0), 0
        self._standing.pop(key, None)
        # A key gets a TTL of its own even in a directory that has one: if the request is
        # held up and arrives after the directory has gone, it must not stand for ever.
        index = write(self._link, key, value, self._ttl, index, deadline)
        if own_directory(key):
            try:
                node = self._link.repeat("write", key, value, prevIndex=index, deadline=deadline)
                index = int(node.modifiedIndex)
            except REFUSED:
                return  # it stands for a TTL; the next call finds another index and writes again
        self._indexes[key] = index
        self._standing[key] = value

    def _remove(self, keys: list[str], deadline: float) -> None:
        for key in keys:
            if self._indexes[key]:
                remove(self._link, key, self._indexes[key], deadline)
            self._standing.pop(key, None)
            del self._indexes[key]
        for directory in own_directories(keys) - own_directories(self._indexes):
            try:  # only when it is empty: a successor's keys stay
                self._link.repeat("delete", directory, dir=True, deadline=deadline)
            except (*REFUSED, etcd.EtcdDirNotEmpty):
                continue


def own_directory(key: str) -> str | None:
    """The directory of ``key`` if it belongs to one node or proxy alone."""
    return key.rpartition("/")[0] if key.startswith(OWN_DIRECTORIES) else None


def own_directories(keys: Iterable[str]) -> set[str]:
    return {directory for key in keys if (directory := own_directory(key))}


def read(link: Link, key: str, deadline: float | None) -> Any:
    """The node of ``key`` (an EtcdResult), None when there is none."""
    try:
        return link.repeat("read", key, quorum=True, deadline=deadline)
    except (etcd.EtcdKeyNotFound, etcd.EtcdNotDir):
        return None


def write(link: Link, key: str, value: str, ttl: int, index: int | None, deadline: float) -> int:
    """Write ``key`` whoever has it, beginning with the ``index`` it is believed to have (0 or
    None: absent), and return its new one. A ``ttl`` of 0 is for ever."""
    options: dict[str, Any] = {"ttl": ttl} if ttl else {}
    for _ in range(TURNS):
        condition = {"prevIndex": index} if index else {"prevExist": False}
        try:
            node = link.repeat("write", key, value, deadline=deadline, **options, **condition)
            return int(node.modifiedIndex)
        except etcd.EtcdNotDir as error:
            raise RegistryUnusable(f"{key} cannot be written: a part of its path is a key") from error
        except REFUSED:
            node = read(link, key, deadline)
            if node is not None and node.dir:
                raise RegistryUnusable(f"{key} cannot be written: it is a directory") from None
            index = node.modifiedIndex if node else None
    raise RegistryDown(f"{key} is being changed by somebody else all the time")


def remove(link: Link, key: str, index: int, deadline: float) -> bool:
    """Remove ``key`` if it still has that index; False when it has another one."""
    try:
        link.repeat("delete", key, prevIndex=index, deadline=deadline)
    except etcd.EtcdKeyNotFound:
        return True
    except REFUSED:
        return False
    return True


def current_index(link: Link, place: Place, path: str) -> int:
    """The index of the registry's newest change (of any key)."""
    try:
        return int(link.attempt(place, link.access.timeout, "read", path, quorum=True).etcd_index)
    except etcd.EtcdKeyNotFound as error:
        return int(error.payload["index"])
