"""TLS, users, and servers that can never answer as asked: one sentence with the remedy."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from galerist.endpoints import Access
from galerist.registry.contract import Registry, RegistryError, RegistryUnusable, Swap
from galerist.registry.open import connect
from tests.registry.conftest import Wakes
from tests.support.certificates import Certificates, make_certificates
from tests.support.etcd import Etcd


@pytest.fixture(scope="module")
def secret() -> Iterator[Etcd]:
    """Lets in only root, in both APIs."""
    with Etcd(v2=True) as server:
        server.enable_users_v2("right: 'päss'")
        server.enable_users("right: 'päss'")
        yield server


@pytest.fixture(scope="module")
def encrypted(certificates: Certificates) -> Iterator[Etcd]:
    with Etcd(v2=True, tls=certificates) as server:
        yield server


def refusal(access: Access, error: type[RegistryError] = RegistryUnusable) -> str:
    """The sentence with which a call is refused."""

    def call() -> None:
        client = connect(access)
        try:
            client.get("/galerist/x")
        finally:
            client.close()

    with pytest.raises(error) as caught:
        call()
    return str(caught.value)


def works(client: Registry, root: str) -> None:
    assert client.swap(f"{root}state", None, "x") is Swap.WON
    lease = client.lease(30)
    lease.publish({f"{root}members/a": "x"})
    assert client.list(root) == {f"{root}state": "x", f"{root}members/a": "x"}
    wakes = Wakes()
    watch = client.watch(root, wakes)
    assert wakes.after(0)
    count = wakes.settle()
    lease.withdraw()
    assert wakes.after(count)
    watch.close()


def test_client_certificates(encrypted: Etcd, scheme: str, root: str) -> None:
    client = connect(encrypted.access(scheme, timeout=5))
    works(client, root)
    client.close()


def test_closing_an_encrypted_watch(encrypted: Etcd, scheme: str, root: str) -> None:
    wakes = Wakes()
    watch = connect(encrypted.access(scheme, timeout=10)).watch(root, wakes)
    assert wakes.after(0)
    watch.close()
    assert not watch._thread.is_alive()  # type: ignore[attr-defined]


def test_an_authority_that_did_not_sign_is_named(encrypted: Etcd, scheme: str, tmp_path: Path) -> None:
    other = make_certificates(tmp_path / "other")
    text = refusal(replace(encrypted.access(scheme), ca=str(other.ca)))
    assert str(other.ca) in text
    assert "registry_ca" in text
    text = refusal(replace(encrypted.access(scheme), ca=None))
    assert "no registry_ca is given" in text


def test_a_missing_or_strange_client_certificate_is_named(encrypted: Etcd, scheme: str, tmp_path: Path) -> None:
    text = refusal(replace(encrypted.access(scheme), cert=None, key=None))
    assert "registry_cert" in text
    other = make_certificates(tmp_path / "other")
    text = refusal(replace(encrypted.access(scheme), cert=str(other.client_cert), key=str(other.client_key)))
    assert str(other.client_cert) in text


def test_files_that_cannot_be_used_are_named(encrypted: Etcd, scheme: str, tmp_path: Path) -> None:
    good = encrypted.access(scheme)
    junk = tmp_path / "junk.pem"
    junk.write_text("no certificate\n")
    missing = tmp_path / "missing.pem"
    assert f"registry_ca {missing}" in refusal(replace(good, ca=str(missing)))
    assert "No such file" in refusal(replace(good, ca=str(missing)))
    assert f"registry_ca {junk}" in refusal(replace(good, ca=str(junk)))
    assert f"registry_cert {missing}" in refusal(replace(good, cert=str(missing)))
    assert f"registry_key {junk}" in refusal(replace(good, key=str(junk)))
    assert f"registry_key {good.key} is given without registry_cert" in refusal(replace(good, cert=None))


def test_tls_on_one_side_only(etcd: Etcd, encrypted: Etcd, scheme: str) -> None:
    assert "speaks no TLS" in refusal(replace(etcd.access(scheme), tls=True))
    plain = replace(encrypted.access(scheme), tls=False, ca=None, cert=None, key=None)
    assert "speaks only TLS" in refusal(plain)


def test_user_and_password(secret: Etcd, scheme: str, root: str) -> None:
    client = connect(secret.access(scheme, timeout=5, user="root", password="right: 'päss'"))
    works(client, root)
    client.close()


def test_a_wrong_password_is_named_but_not_shown(secret: Etcd, scheme: str) -> None:
    for access in (
        secret.access(scheme, timeout=5, user="root", password="wrong"),
        secret.access(scheme, timeout=5, user="nobody", password="wrong"),
        secret.access(scheme, timeout=5, user="root"),
        secret.access(scheme, timeout=5),
    ):
        text = refusal(access)
        assert "registry_user" in text
        assert "registry_password_file" in text
        assert "wrong" not in text
        assert "wrong" not in repr(access)
        client = connect(access)
        with pytest.raises(RegistryUnusable):
            client.swap("/galerist/x", None, "x")
        client.close()


def test_a_token_that_is_gone_is_renewed(secret: Etcd, root: str) -> None:
    client = connect(secret.access("etcd3", timeout=5, user="root", password="right: 'päss'"))
    client.put(f"{root}a", "one")
    secret.kill()  # tokens live in its memory
    secret.restart()
    assert client.swap(f"{root}a", "one", "two") is Swap.WON
    assert client.get(f"{root}a") == "two"
    client.close()


def test_a_user_is_no_harm_where_there_are_none(etcd: Etcd, scheme: str, root: str) -> None:
    client = connect(etcd.access(scheme, user="root", password="x"))
    client.put(f"{root}a", "one")
    assert client.get(f"{root}a") == "one"
    client.close()


def test_a_server_without_v2_is_named() -> None:
    with Etcd() as server:
        text = refusal(server.access("etcd2"))
        assert "has no v2 API (etcd 3.4 and 3.5 need --enable-v2, 3.6 removed it); use etcd3://" in text
        client = connect(server.access("etcd2"))
        with pytest.raises(RegistryUnusable, match="no v2 API"):
            client.swap("/galerist/x", None, "x")
        with pytest.raises(RegistryUnusable, match="no v2 API"):
            client.lease(5).publish({"/components/a/b/ip": "x"})
        client.close()
