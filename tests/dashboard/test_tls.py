"""The proxy with TLS that the documentation puts in front of the page, word for word."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from tests.dashboard.made import PASSWORD, Still, served
from tests.support.documented import proxy_with_tls
from tests.support.ports import free_ports
from tests.unit.test_show import cluster, report

DOCS = Path(__file__).parents[2] / "docs/dashboard.md"


@pytest.fixture
def still() -> Still:
    made = Still()
    made.show(cluster(report("n1", reason="first")))
    return made


@pytest.fixture
def proxied(tmp_path: Path, still: Still) -> Iterator[tuple[str, requests.Session]]:
    """The page's URL behind the documented proxy, and a client that trusts its certificate."""
    (port,) = free_ports(1)
    with served(still) as page:
        places = {"*:8443": f"127.0.0.1:{port}", "127.0.0.1:8405": page.removeprefix("http://").rstrip("/")}
        with (
            proxy_with_tls(DOCS, "dashboard", "/etc/haproxy/dashboard.pem", places, tmp_path) as made,
            requests.Session() as client,
        ):
            client.trust_env, client.verify = False, str(made.ca)
            yield until_there(client, f"https://127.0.0.1:{port}/"), client


def until_there(client: requests.Session, url: str) -> str:
    end = time.monotonic() + 20
    while True:
        try:
            client.get(url, timeout=5)
            return url
        except requests.ConnectionError:
            assert time.monotonic() < end, "the proxy does not answer"
            time.sleep(0.05)


def test_who_signs_in_over_tls_has_a_cookie_for_tls_alone_and_can_act(proxied: tuple[str, requests.Session]) -> None:
    url, client = proxied
    origin = {"Origin": url.rstrip("/")}
    entered = client.post(f"{url}session", json={"password": PASSWORD}, headers=origin, timeout=5)
    assert entered.status_code == 200
    cookie = entered.headers["Set-Cookie"]
    assert all(word in cookie for word in ("HttpOnly", "SameSite=Strict", "; Secure")), cookie
    assert entered.headers["Strict-Transport-Security"].startswith("max-age=")
    order = {"name": "switchover", "node": "n2"}
    headers = origin | {"X-Token": entered.json()["token"]}
    assert client.post(f"{url}order/give", json=order, headers=headers, timeout=5).json() == {"done": "done"}
    stranger = headers | {"Origin": "https://elsewhere.example"}
    assert client.post(f"{url}order/give", json=order, headers=stranger, timeout=5).status_code == 403


def test_changes_come_through_the_proxy_at_once(proxied: tuple[str, requests.Session], still: Still) -> None:
    url, client = proxied
    with client.get(f"{url}stream", stream=True, timeout=30) as stream:
        lines = stream.iter_lines(chunk_size=1, decode_unicode=True)
        assert any("first" in line for line in lines)
        still.show(cluster(report("n1", reason="second")))
        assert any("second" in line for line in lines)
