"""HTTP to the endpoints of one registry: what may have arrived, and where to try next.

Both etcd backends rest on one distinction, which client libraries blur: a request that
was certainly *not sent* may be tried elsewhere, whatever it was; one whose reply was
*lost* may have been carried out, and only an idempotent one may be tried again.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from typing import TypeVar

import urllib3
from urllib3.exceptions import (
    ConnectTimeoutError,
    HTTPError,
    NameResolutionError,
    NewConnectionError,
    ReadTimeoutError,
)

from galerist.endpoints import Access, show
from galerist.registry import tls
from galerist.registry.contract import RegistryDown, RegistryUnusable
from galerist.registry.tls import words

T = TypeVar("T")
Place = tuple[str, int]


class Trouble(Exception):
    """One try of one endpoint failed. The text names the endpoint and the cause."""


class NotSent(Trouble):
    """The request cannot have reached the registry."""


class Untrusted(NotSent):
    """The two ends do not agree on TLS; trying again does not help at this endpoint."""


class Lost(Trouble):
    """The request may have been carried out: no answer, or one that does not say."""


class Silent(Lost):
    """Nothing arrived for as long as one was ready to wait."""


class Interruptible:
    """Holds the one answer without end that a thread reads, so that another may end it."""

    def __init__(self) -> None:
        self._stream: urllib3.BaseHTTPResponse | None = None
        self._interrupted = threading.Event()

    @contextlib.contextmanager
    def held(self, answer: urllib3.BaseHTTPResponse) -> Iterator[None]:
        """Within this context ``answer`` is the stream that :meth:`interrupt` ends."""
        try:
            self.hold(answer)
            yield
        finally:
            self._stream = None
            answer.close()

    def hold(self, answer: urllib3.BaseHTTPResponse) -> None:
        """From now on ``answer`` is the stream that :meth:`interrupt` ends."""
        self._stream = answer
        if self._interrupted.is_set():  # asked for before the stream was known
            answer.close()
            raise OSError("interrupted")

    def interrupt(self) -> None:
        """End the open stream and any later one, from another thread."""
        self._interrupted.set()
        stream = self._stream
        if stream is not None:
            try:
                stream.shutdown()
            except (OSError, ValueError, RuntimeError):
                return  # it has just ended by itself


class Transport(Interruptible):
    """Connections to the endpoints of ``access``, each request sent once.

    Proxies of the environment are not used, redirects not followed, and nothing is
    retried: urllib3 would by default send a PUT again whose reply was lost.
    """

    def __init__(self, access: Access) -> None:
        super().__init__()
        self.access = access
        self._tls = tls.context(access) if access.tls else None
        self.spoken: set[Place] = set()  # has answered some day, so the two ends agree on TLS
        self.pool = urllib3.PoolManager(
            num_pools=len(access.endpoints), maxsize=2, retries=False, ssl_context=self._tls
        )

    def url(self, place: Place) -> str:
        return f"{'https' if self.access.tls else 'http'}://{show(place)}"

    def post(
        self, place: Place, path: str, body: object, headers: Mapping[str, str], timeout: float
    ) -> tuple[int, bytes]:
        """Status and body of the answer to a POST of JSON. Raises Trouble."""
        try:
            answer = self.pool.request(
                "POST",
                self.url(place) + path,
                json=body,
                headers={"Content-Type": "application/json", **headers},
                timeout=urllib3.Timeout(total=timeout),
                redirect=False,
            )
            self.spoken.add(place)
            return answer.status, answer.data
        except (HTTPError, OSError) as error:
            raise self.trouble(place, error) from error

    def stream(
        self, place: Place, path: str, body: object, headers: Mapping[str, str], quiet: float
    ) -> Iterator[bytes]:
        """The lines of an answer without end. Raises Silent after ``quiet`` seconds without
        a byte, Lost when it ends. One stream at a time; :meth:`interrupt` ends it."""
        try:
            answer = self.pool.request(
                "POST",
                self.url(place) + path,
                json=body,
                headers={"Content-Type": "application/json", **headers},
                timeout=urllib3.Timeout(connect=self.access.timeout, read=quiet),
                redirect=False,
                preload_content=False,
            )
            with self.held(answer):
                rest = b""
                for chunk in answer.stream(65536):
                    *lines, rest = (rest + chunk).split(b"\n")
                    yield from (line for line in lines if line.strip())
                if rest.strip():
                    yield rest
        except (HTTPError, OSError, ValueError) as error:  # ValueError: shut down while it was read
            raise self.trouble(place, error) from error
        raise Lost(f"{show(place)}: ended the stream")

    def close(self) -> None:
        self.pool.clear()

    def trouble(self, place: Place, error: BaseException) -> Trouble:
        """What ``error``, raised by urllib3 for one request to ``place``, means."""
        where = show(place)
        if disagreement := tls.disagreement(self.access, place, error):
            return Untrusted(f"{where}: {disagreement}")
        if (plain := unreached(place, error)) is not None:
            return plain
        # A server drops a connection without a word, too, when it does not like the
        # certificate or gets plain HTTP for TLS. That is asked for by itself.
        known = place in self.spoken
        reason = None if known and self._tls is None else tls.diagnose(self.access, place, self._tls)
        if reason and not known:
            return Untrusted(f"{where}: {reason}")
        return Lost(f"{where}: {reason or words(error)}")


def unreached(place: Place, error: BaseException) -> Trouble | None:
    """What an error of urllib3 means that speaks for itself: a name, a connection or an answer that did not come."""
    where = show(place)
    if isinstance(error, NameResolutionError):
        return NotSent(f"{where}: the name cannot be resolved")
    if isinstance(error, ConnectTimeoutError) and not isinstance(error, NewConnectionError):
        return NotSent(f"{where}: no connection in time")
    if isinstance(error, NewConnectionError):
        return NotSent(f"{where}: {words(error)}")
    if isinstance(error, ReadTimeoutError):
        return Silent(f"{where}: no answer in time")
    return None


class Failover:
    """Tries one endpoint after the other, and remembers the one that worked."""

    def __init__(self, access: Access) -> None:
        self._timeout = access.timeout
        self._order = list(access.endpoints)

    @property
    def first(self) -> Place:
        return self._order[0]

    def avoid(self, place: Place) -> None:
        """Try ``place`` last from now on."""
        self._order.remove(place)
        self._order.append(place)

    def deadline(self) -> float:
        """When a call that starts now ends at the latest (monotonic seconds)."""
        return time.monotonic() + self._timeout * len(self._order)

    def repeat(self, attempt: Callable[[Place, float], T], deadline: float | None = None) -> T:
        """The answer to an idempotent request: also tried elsewhere when a reply was lost.

        ``attempt`` gets the endpoint and its time-out in seconds. Raises RegistryDown.
        """
        return self._run(attempt, (NotSent, Lost), deadline)

    def once(self, attempt: Callable[[Place, float], T]) -> T:
        """The answer to a request that must not be carried out twice.

        Raises Lost when it may have been carried out, RegistryDown when it was not.
        """
        return self._run(attempt, (NotSent,), None)

    def _run(
        self, attempt: Callable[[Place, float], T], passable: tuple[type[Trouble], ...], deadline: float | None
    ) -> T:
        end = self.deadline() if deadline is None else deadline
        troubles: list[Trouble] = []
        for place in tuple(self._order):
            left = end - time.monotonic()
            if left <= 0:
                break
            try:
                return attempt(place, min(left, self._timeout))
            except Trouble as trouble:
                # Also after a request that must not be repeated here: the next one
                # should not run into the same wall.
                self.avoid(place)
                if not isinstance(trouble, passable):
                    raise
                troubles.append(trouble)
        if len(troubles) == len(self._order) and all(isinstance(trouble, Untrusted) for trouble in troubles):
            raise RegistryUnusable(f"the registry cannot be used: {troubles[0]}")
        causes = "; ".join(str(trouble) for trouble in troubles) or "no time was left"
        raise RegistryDown(f"no endpoint of the registry answered ({causes})")
