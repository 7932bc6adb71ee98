from __future__ import annotations

import socket

import pytest

from galerist.endpoints import Access, only_ipv6, parse_url, show


@pytest.mark.parametrize(
    ("text", "scheme", "endpoints"),
    [
        ("etcd3://127.0.0.1:2379", "etcd3", [("127.0.0.1", 2379)]),
        ("etcd2://Registry.example", "etcd2", [("registry.example", 2379)]),
        (" etcd3://a:1,b, c:65535/ ", "etcd3", [("a", 1), ("b", 2379), ("c", 65535)]),
        ("etcd3://[::1]:4001,[fd00::A]", "etcd3", [("::1", 4001), ("fd00::a", 2379)]),
        ("etcd3://node_1.example.", "etcd3", [("node_1.example.", 2379)]),
    ],
)
def test_good(text: str, scheme: str, endpoints: list[tuple[str, int]]) -> None:
    assert parse_url(text) == (scheme, tuple(endpoints))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "no scheme"),
        ("127.0.0.1:2379", "write etcd3://127.0.0.1:2379"),
        ("https://a", "registry_tls"),
        ("zk://a", "zk:// is not a registry"),
        ("etcd3://", "names no host"),
        ("etcd3://a,,b", "comma too many"),
        ("etcd3://a:", "'' in 'a:' is not a port"),
        ("etcd3://a:0", "is not a port"),
        ("etcd3://a:65536", "is not a port"),
        ("etcd3://a:x", "is not a port"),
        ("etcd3://::1", "[::1]"),
        ("etcd3://[::1", "not an IPv6 address"),
        ("etcd3://[1.2.3.4]:1", "not an IPv6 address"),
        ("etcd3://[::1]x", "not an IPv6 address"),
        ("etcd3://a b", "neither a host name nor an address"),
        ("etcd3://reg1..example", "neither a host name nor an address"),
        (f"etcd3://{'a' * 64}", "neither a host name nor an address"),
        ("etcd3://a/v3", "has a path"),
        ("etcd3://a,A:2379", "twice"),
    ],
)
def test_bad(text: str, says: str) -> None:
    with pytest.raises(ValueError, match=r".") as caught:
        parse_url(text)
    assert says in str(caught.value)


def test_a_password_in_the_url_is_not_repeated() -> None:
    with pytest.raises(ValueError, match="registry_password_file") as caught:
        parse_url("etcd3://root:secret@a")
    assert "secret" not in str(caught.value)


def test_show() -> None:
    assert show(("::1", 1)) == "[::1]:1"
    assert show(("a", 1)) == "a:1"
    access = Access("etcd3", (("a", 1), ("::1", 2)), user="root", password="secret")
    assert repr(access) == "Access(etcd3://a:1,[::1]:2, tls=False, user='root')"


@pytest.mark.parametrize(
    ("families", "only"),
    [([socket.AF_INET6], True), ([socket.AF_INET6, socket.AF_INET], False), ([socket.AF_INET], False), ([], False)],
)
def test_a_name_that_is_reached_by_ipv6_only(families: list[int], only: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    def found(*_: object, **__: object) -> list[tuple[int]]:
        if not families:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return [(family,) for family in families]

    monkeypatch.setattr(socket, "getaddrinfo", found)
    assert only_ipv6("db1.example") is only
