"""One client of the JSON gateway of etcd v3: requests, errors, user and token.

The gateway maps gRPC to POST requests with JSON bodies; keys and values are base64,
64-bit integers are strings, and fields with their default value are left out
(https://etcd.io/docs/v3.4/dev-guide/api_grpc_gateway/).
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator, Mapping
from typing import Any

from galerist.endpoints import Access, show
from galerist.registry.contract import RegistryUnusable
from galerist.registry.tls import refuse_plain
from galerist.registry.transport import Failover, Lost, NotSent, Place, Transport

Json = Mapping[str, Any]

INVALID_ARGUMENT, NOT_FOUND, PERMISSION_DENIED, UNAUTHENTICATED = 3, 5, 7, 16  # gRPC codes


class LeaseGone(Exception):
    """The lease of the request does not exist (any more); nothing was changed."""


class _Rejected(Exception):
    """The token of the request is not valid (any more); nothing was changed."""


class _NoAuthentication(Exception):
    """The registry knows no users."""


def encode(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def decode(text: str) -> str:
    return base64.b64decode(text).decode(errors="replace")


def below(prefix: str) -> dict[str, str]:
    """The range of all keys that begin with ``prefix``, which ends with a slash."""
    return {"key": encode(prefix), "range_end": encode(prefix[:-1] + chr(ord(prefix[-1]) + 1))}


class Gateway:
    """Calls of the gateway with failover, for use by one thread."""

    def __init__(self, access: Access) -> None:
        self.access = access
        self.transport = Transport(access)
        self.failover = Failover(access)
        self._token: str | None = None

    def repeat(self, path: str, body: Json, deadline: float | None = None) -> Json:
        """The answer to an idempotent request. Raises RegistryError, LeaseGone."""
        return self.failover.repeat(lambda place, timeout: self._call(place, path, body, timeout), deadline)

    def once(self, path: str, body: Json) -> Json:
        """The answer to a request that is sent at most once. Raises Lost, RegistryError."""
        return self.failover.once(lambda place, timeout: self._call(place, path, body, timeout))

    def stream(self, place: Place, path: str, body: Json, quiet: float) -> Iterator[Json]:
        """The ``result`` of each line of a streaming request. Raises Trouble, RegistryUnusable."""
        # Without a leader a member would stay silent; with this header it says so.
        headers = {"Grpc-Metadata-hasleader": "true", **self._headers(place, self.access.timeout)}
        try:
            for line in self.transport.stream(place, path, body, headers, quiet):
                answer = _parse(place, line)
                if "result" not in answer:
                    raise self._error(place, 0, answer)
                yield answer["result"]
        except (Lost, _Rejected, LeaseGone, RegistryUnusable) as error:
            self._token = None  # a watch does not say whether the token is why it ended
            if isinstance(error, (_Rejected, LeaseGone)):
                raise Lost(str(error)) from error
            raise

    def _call(self, place: Place, path: str, body: Json, timeout: float) -> Json:
        try:
            return self._post(place, path, body, self._headers(place, timeout), timeout)
        except _Rejected:  # expired, or the member was restarted: refused before it did anything
            self._token = None
        try:
            return self._post(place, path, body, self._headers(place, timeout), timeout)
        except _Rejected as error:
            self._token = None
            raise Lost(f"{show(place)}: refuses a token that it has just given ({error})") from error

    def _headers(self, place: Place, timeout: float) -> dict[str, str]:
        if not self.access.user:
            return {}
        if self._token is None:
            try:
                body = {"name": self.access.user, "password": self.access.password or ""}
                self._token = str(self._post(place, "/v3/auth/authenticate", body, {}, timeout).get("token", ""))
            except _NoAuthentication:
                return {}  # like etcd's own client: the user is ready for the day it is turned on
            except Lost as trouble:
                raise NotSent(str(trouble)) from trouble  # of the request proper
        return {"Authorization": self._token}

    def _post(self, place: Place, path: str, body: Json, headers: Mapping[str, str], timeout: float) -> Json:
        status, data = self.transport.post(place, path, body, headers, timeout)
        if status == 404 and not data.lstrip().startswith(b"{"):
            raise RegistryUnusable(
                f"{show(place)} has no v3 JSON gateway (etcd 3.4 or later has one, unless it runs "
                "with --enable-grpc-gateway=false); use etcd2:// for a server that speaks v2 only"
            )
        answer = _parse(place, data)
        if status != 200:
            raise self._error(place, status, answer)
        return answer

    def _error(self, place: Place, status: int, answer: Json) -> Exception:
        """What an error of etcd means. Its texts are part of its interface (rpctypes/error.go)."""
        error = answer.get("error", answer)
        if isinstance(error, dict):  # in a stream
            text, code = str(error.get("message", error)), int(error.get("grpc_code", 0))
        else:
            text, code = str(answer.get("message", error)), int(answer.get("code", 0))
        where = show(place)
        if "requested lease not found" in text:
            return LeaseGone(text)
        if "authentication is not enabled" in text:
            return _NoAuthentication(text)
        if code == UNAUTHENTICATED or "invalid auth token" in text or "revision of auth store is old" in text:
            return _Rejected(text)
        if "user name is empty" in text:
            return RegistryUnusable(f"{where} wants a user: set registry_user and registry_password_file")
        if "authentication failed" in text:
            return RegistryUnusable(
                f"{where} refuses the user {self.access.user!r} or the password: "
                "correct registry_user and registry_password_file"
            )
        if code == PERMISSION_DENIED or "permission denied" in text:
            return RegistryUnusable(
                f"{where} does not let the user {self.access.user!r} do this: grant a role that may "
                "read and write the keys below /galerist/, /components/ and /services/"
            )
        if code == INVALID_ARGUMENT:
            return RegistryUnusable(f"{where} refuses the request: {text}")
        return Lost(f"{where}: {text or f'HTTP status {status}'}")


def _parse(place: Place, data: bytes) -> Json:
    try:
        answer = json.loads(data)
    except ValueError:
        answer = None
    if isinstance(answer, dict):
        return answer
    text = data[:100].decode(errors="replace").strip()
    refuse_plain(place, text)
    raise Lost(f"{show(place)}: answers something that is not JSON: {text!r}")
