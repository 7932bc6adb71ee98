"""The kinds of values that settings have: what is accepted, and how it is read from a text.

A reader takes the text of a flag, a variable or a TOML value, and raises ValueError with
what is wrong. The remedy is the kind's ``expected``.
"""

from __future__ import annotations

import functools
import ipaddress
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from galerist.endpoints import HOST_NAME, parse_url, show


@dataclass(frozen=True, slots=True)
class Kind:
    """``natives`` are the TOML types accepted besides a string. ``path``: relative to where it was written."""

    name: str
    read: Callable[[str], Any]
    expected: str
    natives: tuple[type, ...] = ()
    path: bool = False


def _matching(pattern: str, what: str, text: str) -> str:
    if not re.fullmatch(pattern, text):
        raise ValueError(f"is not {what}")
    return text


def _integer(text: str) -> int:
    if not re.fullmatch(r"[+-]?[0-9]+", text.strip()):
        raise ValueError("is not a whole number")
    return int(text)


def _count(low: int, high: int, text: str) -> int:
    value = _integer(text)
    if not low <= value <= high:
        raise ValueError("is out of range")
    return value


def _networks(text: str) -> tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...]:
    found = []
    for item in filter(None, (item.strip() for item in text.split(","))):
        try:
            found.append(ipaddress.ip_network(item))
        except ValueError:
            raise ValueError(f"holds {item!r}, which is no network") from None
    return tuple(found)


def _binds(text: str) -> tuple[str, ...]:
    found = tuple(_bind(item.strip()) for item in text.split(",") if item.strip())
    if not found:
        raise ValueError("is no address")
    if len(set(found)) < len(found) or ("*" in found and len(found) > 1):
        raise ValueError("holds an address twice")
    return found


def _servers(text: str) -> tuple[str, ...]:
    found = []
    for item in filter(None, (item.strip() for item in text.split(","))):
        host, colon, port = item.rpartition(":")
        if not colon or (":" in host and not host.startswith("[")):
            host, port = item, "53"
        try:
            found.append((str(ipaddress.ip_address(host.strip("[]"))), _port(port)))
        except ValueError:
            raise ValueError(f"holds {item!r}, which is no address or address:port") from None
    return tuple(show(place) for place in found)


def _port_or_off(text: str) -> int:
    return 0 if text.strip().lower() in ("0", "off") else _port(text)


def _port(text: str) -> int:
    port = _integer(text)
    if not 1 <= port <= 65535:
        raise ValueError("is not a port")
    return port


def _seconds(low: float, high: float, text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        raise ValueError("is not a number of seconds") from None
    if not low <= value <= high:
        raise ValueError("is out of range")
    return value


def _boolean(text: str) -> bool:
    words = {"true": True, "yes": True, "on": True, "1": True, "false": False, "no": False, "off": False, "0": False}
    if text.strip().lower() not in words:
        raise ValueError("is neither true nor false")
    return words[text.strip().lower()]


def _choice(choices: tuple[str, ...], text: str) -> str:
    if text not in choices:
        raise ValueError("is none of the choices")
    return text


def _host(text: str) -> str:
    bare = text[1:-1] if text.startswith("[") and text.endswith("]") else text
    if ":" in bare:
        try:
            ipaddress.IPv6Address(bare.partition("%")[0])
        except ValueError:
            raise ValueError("is no IPv6 address") from None
        return bare
    if re.fullmatch(r"[0-9.]+", bare):
        try:
            ipaddress.IPv4Address(bare)
        except ValueError:
            raise ValueError("is no IPv4 address") from None
        return bare
    if not HOST_NAME.fullmatch(bare):
        raise ValueError("is neither a host name nor an address")
    return bare


def _bind(text: str) -> str:
    return text if text == "*" else _host(text)


def _path(text: str) -> Path:
    if not text or "\0" in text or "\n" in text:
        raise ValueError("is not a path")
    return Path(text)


def _dump(text: str) -> Path:
    if not text.endswith((".sql", ".sql.gz", ".sql.xz", ".sql.zst", ".sh")):
        raise ValueError("is not the name of an SQL dump or a shell script")
    return _path(text)


def _dumps(text: str) -> tuple[Path, ...]:
    return tuple(_dump(item.strip()) for item in text.split(",") if item.strip())


_NAME = r"[A-Za-z0-9]([A-Za-z0-9_.-]{0,62})?"


def _expect(text: str) -> int | tuple[str, ...]:
    if re.fullmatch(r"\s*[0-9]+\s*", text):
        count = int(text)
        if not 1 <= count <= 100:
            raise ValueError("is no count of nodes")
        return count
    names = [name.strip() for name in text.split(",")]
    for name in names:
        if not re.fullmatch(_NAME, name):
            raise ValueError(f"holds {name!r}, which is no node name")
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ValueError(f"names {', '.join(twice)} twice")
    return tuple(names)


def _registry(text: str) -> str:
    parse_url(text)
    return text


_STORE_KINDS = ("http", "https", "relp", "relps", "tcp", "tls")


def _store(text: str) -> str:
    if not text:
        return text
    try:
        url = urlsplit(text)
        port = url.port
    except ValueError:
        raise ValueError("has no port from 1 to 65535") from None
    if url.scheme not in _STORE_KINDS or not url.hostname or port == 0:
        raise ValueError("is no place for logs")
    if url.username or url.password or url.query or url.fragment:
        raise ValueError("holds more than a place")
    if url.path.strip("/") and (
        not url.scheme.startswith("http") or not re.fullmatch(r"/[a-z0-9][a-z0-9_.-]*/?", url.path)
    ):
        raise ValueError("names no index")
    _host(url.hostname)
    return text


def choice(*choices: str) -> Kind:
    return Kind("|".join(choices), functools.partial(_choice, choices), f"give one of {', '.join(choices)}")


def seconds(low: float, high: float) -> Kind:
    return Kind(
        "seconds", functools.partial(_seconds, low, high), f"give seconds from {low:g} to {high:g}", (int, float)
    )


def count(low: int, high: int) -> Kind:
    return Kind("count", functools.partial(_count, low, high), f"give a whole number from {low} to {high}", (int,))


def _text(name: str, pattern: str, expected: str) -> Kind:
    return Kind(name, functools.partial(_matching, pattern, f"a {name}"), expected)


# wsrep_cluster_name has at most 32 characters, and galerist adds nine for the generation
CLUSTER = _text(
    "cluster name",
    r"[a-z0-9]([a-z0-9-]{0,21}[a-z0-9])?",
    "give at most 23 lower-case letters, digits and inner dashes",
)
NAME = _text("name", _NAME, "give at most 63 letters, digits, '-', '_' and '.', beginning with a letter or digit")
UNIT = _text("unit name", r"[A-Za-z0-9:_.@\\-]{1,255}", "give the name of a systemd unit, without spaces")
CONTAINER = _text("container name", r"[A-Za-z0-9][A-Za-z0-9_.-]{0,254}", "give the name or the id of a container")
ENGINE = _text("engine URL", r"(unix|tcp|http|https)://\S+", "give unix:///path/of/the/socket or tcp://host:port")
ACCOUNT = _text("account name", r"([A-Za-z0-9_.-]{1,80})?", "give at most 80 letters, digits, '_', '.' and '-'")
CLIENT_HOST = _text(
    "client host", r"[A-Za-z0-9_.:%/-]{0,255}", "give a host name, an address or a pattern such as 10.0.0.% or %"
)
DATABASE = _text("database name", r"([A-Za-z0-9_$-]{1,64})?", "give at most 64 letters, digits, '_', '$' and '-'")
PLAIN = _text("text", r"[^\x00-\x1f]*", "leave out control characters")
RELOAD = _text(
    "way",
    r"child|socket|systemd:[A-Za-z0-9:_.@\\-]{1,255}|pidfile:/[^\x00-\x1f]+|docker:[A-Za-z0-9][A-Za-z0-9_.-]*",
    "give child, socket, systemd:UNIT, pidfile:/PATH or docker:CONTAINER",
)
HOST = Kind("host", _host, "give a host name or an IP address, without a port")
BIND = Kind("address", _bind, "give an IP address of this machine, or * for all")
BINDS = Kind("addresses", _binds, "give IP addresses of this machine, separated by commas, or * for all", (list,))
NAME_SERVERS = Kind(
    "addresses", _servers, "give addresses such as 10.0.0.2 or 10.0.0.2:53, separated by commas", (list,)
)
PORT_OR_OFF = Kind("port|off", _port_or_off, "give a port from 1 to 65535, or off", (int,))
PORT = Kind("port", _port, "give a port from 1 to 65535", (int,))
NETWORKS = Kind("networks", _networks, "give networks such as 10.0.0.0/8,fd00::/8 without host bits", (list,))
BOOLEAN = Kind("true|false", _boolean, "give true or false", (bool,))
PATH = Kind("path", _path, "give a path", path=True)
DUMPS = Kind("paths", _dumps, "give files that end in .sql, .sql.gz, .sql.xz, .sql.zst or .sh", (list,), path=True)
EXPECT = Kind(
    "count or names", _expect, "give a count such as 3 or the distinct node names such as n1,n2,n3", (int, list)
)
REGISTRY = Kind(
    "URL", _registry, "give etcd3://host:port or etcd2://host:port, more hosts after commas, or k8s://namespace"
)
STORE = Kind(
    "URL",
    _store,
    "give https://host:9200/index (Elasticsearch), relp://host:2514, tcp://host:5000, or the last two with TLS as "
    "relps:// and tls://",
)
SECRET = Kind("secret", str, "put the secret on the first line of a file and name that file")
