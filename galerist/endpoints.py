"""Where a registry is, and how it is to be spoken to."""

from __future__ import annotations

import ipaddress
import re
import socket
from dataclasses import dataclass

SCHEMES = ("etcd3", "etcd2", "k8s")
DEFAULT_PORT = 2379

_NAMESPACE = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", re.ASCII)
_LABEL = "[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"
HOST_NAME = re.compile(rf"(?=.{{1,253}}$){_LABEL}(\.{_LABEL})*\.?", re.ASCII)
"""A name that can be looked up: where a label is empty or too long, Python's resolver raises UnicodeError."""

_HOST = re.compile(r"\[(?P<address>[0-9A-Fa-f:.]+(%[A-Za-z0-9_.-]+)?)\](:(?P<port>.*))?", re.ASCII)


@dataclass(frozen=True, slots=True)
class Access:
    """All that a backend needs to know. ``timeout`` is in seconds, for one try of one endpoint.

    ``ca``, ``cert`` and ``key`` are paths of PEM files; without ``ca`` the system's
    authorities are trusted. For ``k8s`` the only endpoint is (namespace, 0), with no name for
    that of the credentials, which are those of the pod or of ``kubeconfig``.
    """

    scheme: str
    endpoints: tuple[tuple[str, int], ...]
    tls: bool = False
    ca: str | None = None
    cert: str | None = None
    key: str | None = None
    user: str | None = None
    password: str | None = None
    timeout: float = 2.0
    kubeconfig: str | None = None

    def __repr__(self) -> str:
        places = ",".join(show(endpoint) for endpoint in self.endpoints)
        return f"Access({self.scheme}://{places}, tls={self.tls}, user={self.user!r})"  # never the password


def show(endpoint: tuple[str, int]) -> str:
    """``host:port``, an IPv6 address in brackets."""
    host, port = endpoint
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def resolve(host: str) -> str:
    """The address for readers that want one; a name that does not resolve now is given as it is."""
    try:
        return str(ipaddress.ip_address(host))
    except ValueError:
        pass
    try:
        found = [str(entry[4][0]) for entry in socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)]
    except OSError:
        return host
    # Debian's /etc/hosts leads a machine's own name to 127.0.1.1, which is of no use to others
    return next((address for address in found if not ipaddress.ip_address(address).is_loopback), host)


def only_ipv6(host: str) -> bool:
    """Whether a name or an address is reached by IPv6 and not by IPv4; False for a name that does not resolve now."""
    try:
        return {entry[0] for entry in socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)} == {socket.AF_INET6}
    except OSError:
        return False


def parse_url(text: str) -> tuple[str, tuple[tuple[str, int], ...]]:
    """The scheme and the endpoints of ``etcd3://host[:port][,host[:port]...]`` or ``k8s://[namespace]``.

    Hosts are names, IPv4 addresses, or IPv6 addresses in brackets; the port is 2379
    unless given. Raises ValueError with a sentence for people.
    """
    scheme, separator, rest = text.strip().partition("://")
    if not separator:
        raise ValueError(f"{text!r} has no scheme: write etcd3://{text.strip() or 'host:2379'}")
    if scheme not in SCHEMES:
        known = ", ".join(f"{name}://" for name in SCHEMES)
        hint = "; TLS is chosen by registry_tls or registry_ca" if scheme in ("http", "https") else ""
        raise ValueError(f"{scheme}:// is not a registry that galerist knows ({known} are){hint}")
    if "@" in rest:  # the text is not repeated: it may hold a password
        raise ValueError("user and password do not belong into the URL: use registry_user and registry_password_file")
    if re.search(r"[/?#].", rest):
        raise ValueError(f"{text!r} has a path: only hosts and ports belong behind {scheme}://")
    if scheme == "k8s":
        namespace = rest.rstrip("/")
        if namespace and not _NAMESPACE.fullmatch(namespace):
            raise ValueError(f"{namespace!r} in {text!r} is no namespace: write k8s://NAMESPACE, or k8s:// in a pod")
        return scheme, ((namespace, 0),)
    endpoints = tuple(_endpoint(part.strip(), text) for part in rest.rstrip("/").split(","))
    for endpoint in endpoints:
        if endpoints.count(endpoint) > 1:
            raise ValueError(f"{text!r} names {show(endpoint)} twice")
    return scheme, endpoints


def _endpoint(part: str, text: str) -> tuple[str, int]:
    if not part:
        raise ValueError(f"{text!r} names no host, or has a comma too many")
    if part.startswith("["):
        match = _HOST.fullmatch(part)
        if match is None or match["address"].count(":") < 2:
            raise ValueError(f"{part!r} in {text!r} is not an IPv6 address in brackets: write [fd00::1]:{DEFAULT_PORT}")
        return match["address"].lower(), _port(match["port"], part)
    if part.count(":") > 1:
        raise ValueError(f"{part!r} in {text!r} looks like an IPv6 address: write it in brackets, [{part}]")
    host, colon, port = part.partition(":")
    if not HOST_NAME.fullmatch(host):
        raise ValueError(f"{host!r} in {text!r} is neither a host name nor an address")
    return host.lower(), _port(port if colon else None, part)


def _port(text: str | None, part: str) -> int:
    if text is None:
        return DEFAULT_PORT
    if not re.fullmatch("[0-9]{1,5}", text) or not 0 < int(text) < 65536:
        raise ValueError(f"{text!r} in {part!r} is not a port: give a number from 1 to 65535")
    return int(text)
