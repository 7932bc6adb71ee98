"""One client of the Kubernetes API: credentials and TLS by the package kubernetes, requests sent once.

The package's own methods would send a request again whose reply was lost, and turn each answer into
objects of a model; here its configured connection pool is used, and answers stay JSON.
"""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import replace
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urlencode, urlsplit

import urllib3
import yaml
from kubernetes import client
from kubernetes import config as untyped
from urllib3.exceptions import (
    HTTPError,
    SSLError,
)

from galerist.endpoints import Access, show
from galerist.registry.contract import RegistryDown, RegistryUnusable
from galerist.registry.tls import words
from galerist.registry.transport import (
    Failover,
    Interruptible,
    Lost,
    NotSent,
    Place,
    Trouble,
    Untrusted,
    unreached,
)

Json = Mapping[str, Any]
config: Any = untyped

NAMESPACE_FILE = "/var/run/secrets/kubernetes.io/serviceaccount/namespace"
RBAC = "bind the Role of manifests/base/rbac.yaml to it"


class Conflict(Exception):
    """The condition of a write does not hold; nothing was changed."""


class Absent(Exception):
    """There is no such object."""


class Gone(Exception):
    """What a watch should begin from is no longer known: list again."""


class _Rejected(Exception):
    """The credentials of the request are not valid (any more); nothing was changed."""


class Clock:
    """The time of the API server, never ahead of it and at most a second behind.

    Its answers carry their date in whole seconds; the best of the last few tells most.
    """

    def __init__(self) -> None:
        self._offsets: deque[float] = deque(maxlen=8)

    def heard(self, date: str | None) -> None:
        with contextlib.suppress(TypeError, ValueError):  # a proxy may have dropped it
            self._offsets.append(parsedate_to_datetime(date or "").timestamp() - time.monotonic())

    def now(self) -> float:
        """Seconds since 1970. Raises Lost when no answer has told it yet."""
        if not self._offsets:
            raise RegistryDown("the API server has not told its time yet")
        return max(self._offsets) + time.monotonic()


class Api(Interruptible):
    """Calls of the API server for use by one thread. Raises RegistryUnusable without credentials."""

    def __init__(self, access: Access) -> None:
        super().__init__()
        self.access = access
        self.clock = Clock()
        self._load()
        parts = urlsplit(self._configuration.host)
        place = (parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80))
        self.failover = Failover(replace(access, endpoints=(place,)))

    def _load(self) -> None:
        """Read the credentials; a token in a file may have been renewed since."""
        configuration: Any = client.Configuration()
        namespace = self.access.endpoints[0][0]
        try:
            if self.access.kubeconfig is None and "KUBERNETES_SERVICE_HOST" in os.environ:
                config.load_incluster_config(client_configuration=configuration)
                if not namespace:
                    with open(NAMESPACE_FILE) as file:  # noqa: PTH123
                        namespace = file.read().strip()
            else:
                file_name = self.access.kubeconfig
                config.load_kube_config(config_file=file_name, client_configuration=configuration)
                if not namespace:
                    _, context = config.list_kube_config_contexts(config_file=file_name)
                    namespace = context["context"].get("namespace", "default")
        except (config.ConfigException, yaml.YAMLError, OSError, KeyError, TypeError, ValueError) as error:
            given = self.access.kubeconfig
            remedy = f"correct registry_kubeconfig {given}" if given else "give registry_kubeconfig"
            raise RegistryUnusable(
                f"no credentials for Kubernetes: {' '.join(words(error).split())}; run in a pod with a service "
                f"account, or {remedy}"
            ) from error
        configuration.retries = False  # a write must not be sent again behind our back
        self.namespace = namespace
        self._configuration = configuration
        self._pool: urllib3.PoolManager = client.ApiClient(configuration).rest_client.pool_manager

    def close(self) -> None:
        self._pool.clear()

    def path(self, group: str, resource: str, name: str = "") -> str:
        base = f"/{group}/namespaces/{self.namespace}/{resource}"
        return f"{base}/{name}" if name else base

    def repeat(self, method: str, path: str, body: Json | None = None, deadline: float | None = None) -> Json:
        """The answer to a request that may be repeated. Raises RegistryError, Conflict, Absent."""
        return self.failover.repeat(lambda place, timeout: self._call(place, method, path, body, timeout), deadline)

    def once(self, method: str, path: str, body: Json | None = None) -> Json:
        """The answer to a request that is sent at most once. Also raises Lost."""
        return self.failover.once(lambda place, timeout: self._call(place, method, path, body, timeout))

    def watch(self, place: Place, path: str, query: Mapping[str, str], quiet: float) -> Iterator[Json]:
        """Events from ``resourceVersion`` on. Raises Silent after ``quiet`` seconds without one, Lost, Gone."""
        timeout = urllib3.Timeout(connect=self.access.timeout, read=quiet)
        try:
            answer = self._request("GET", f"{path}?{urlencode({**query, 'watch': 'true'})}", None, timeout)
            with self.held(answer):
                if answer.status != 200:
                    raise self._error(place, answer.status, answer.read())
                rest = b""
                for chunk in answer.stream(65536):
                    *lines, rest = (rest + chunk).split(b"\n")
                    for line in lines:
                        event = json.loads(line)
                        if event.get("type") == "ERROR":
                            raise Gone(str(event.get("object", {}).get("message")))
                        yield event
        except (HTTPError, OSError, ValueError) as error:  # ValueError: shut down while it was read
            raise self._trouble(place, error) from error
        except _Rejected as error:
            self._load()
            raise Lost(f"{show(place)}: {error}") from error

    def _call(self, place: Place, method: str, path: str, body: Json | None, timeout: float) -> Json:
        try:
            return self._send(place, method, path, body, timeout)
        except _Rejected:  # a token that has been rotated: refused before it did anything
            self._load()
        try:
            return self._send(place, method, path, body, timeout)
        except _Rejected as error:
            raise RegistryUnusable(
                f"{show(place)} refuses the credentials: {error}; renew the token or the certificate"
            ) from error

    def _send(self, place: Place, method: str, path: str, body: Json | None, timeout: float) -> Json:
        try:
            answer = self._request(method, path, body, urllib3.Timeout(total=timeout))
            data = answer.read()
            answer.release_conn()
        except (HTTPError, OSError) as error:
            raise self._trouble(place, error) from error
        self.clock.heard(answer.headers.get("Date"))
        if answer.status >= 300:
            raise self._error(place, answer.status, data)
        try:
            parsed = json.loads(data)
        except ValueError:
            parsed = None
        if not isinstance(parsed, dict):
            raise Lost(f"{show(place)}: answers something that is not JSON: {data[:100]!r}")
        return parsed

    def _request(self, method: str, path: str, body: Json | None, timeout: urllib3.Timeout) -> urllib3.BaseHTTPResponse:
        headers = {"Accept": "application/json", "User-Agent": "galerist"}
        if body is not None:
            headers["Content-Type"] = "application/merge-patch+json" if method == "PATCH" else "application/json"
        for setting in self._configuration.auth_settings().values():
            headers[setting["key"]] = setting["value"]
        return self._pool.request(
            method,
            self._configuration.host + path,
            body=json.dumps(body) if body is not None else None,
            headers=headers,
            timeout=timeout,
            retries=False,
            redirect=False,
            preload_content=False,
        )

    def _error(self, place: Place, status: int, data: bytes) -> Exception:
        """What an answer means (https://kubernetes.io/docs/reference/using-api/api-concepts/)."""
        try:
            text = str(json.loads(data)["message"])
        except (ValueError, KeyError, TypeError):
            text = data[:200].decode(errors="replace").strip() or f"HTTP status {status}"
        where = show(place)
        if status == 404 and "namespaces" in text:
            return RegistryUnusable(f"{where}: {text}; make the namespace, or correct registry")
        if status == 404:
            return Absent(text)
        if status == 409:
            return Conflict(text)
        if status == 410:
            return Gone(text)
        if status == 401:
            return _Rejected(text)
        if status == 403:
            return RegistryUnusable(f"{where}: {text}; {RBAC}")
        if status == 429:  # too many requests: it was not carried out
            return NotSent(f"{where}: {text}")
        if 400 <= status < 500 and status != 408:
            return RegistryUnusable(f"{where} refuses the request: {text}")
        return Lost(f"{where}: {text}")

    def _trouble(self, place: Place, error: BaseException) -> Trouble:
        where = show(place)
        if isinstance(error, SSLError):
            return Untrusted(f"{where}: {words(error)}; correct the kubeconfig")
        return unreached(place, error) or Lost(f"{where}: {words(error)}")
