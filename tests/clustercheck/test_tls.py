"""The proxy with TLS that the documentation puts in front of the health endpoint, word for word."""

from __future__ import annotations

import http.client
import ssl
import time
from pathlib import Path

from tests.clustercheck.endpoint import checking
from tests.support.documented import proxy_with_tls
from tests.support.ports import free_ports

DOCS = Path(__file__).parents[2] / "docs/clustercheck.md"


def test_the_documented_proxy_with_tls(tmp_path: Path) -> None:
    (port,) = free_ports(1)
    with checking(tmp_path / "check", tmp_path / "none.sock") as check:
        places = {"*:9201": f"127.0.0.1:{port}", "127.0.0.1:9200": f"127.0.0.1:{check.port}"}
        with proxy_with_tls(DOCS, "health", "/etc/haproxy/node.pem", places, tmp_path) as made:
            answers = {page: ask(port, page, made.ca) for page in ("/", "/live", "/nowhere")}
    assert {page: answer[0] for page, answer in answers.items()} == {"/": 503, "/live": 200, "/nowhere": 400}
    assert answers["/"][1].startswith("mariadbd cannot be asked")


def ask(port: int, page: str, authority: Path) -> tuple[int, str]:
    context = ssl.create_default_context(cafile=str(authority))
    end = time.monotonic() + 20
    while True:
        connection = http.client.HTTPSConnection("127.0.0.1", port, timeout=5, context=context)
        try:
            connection.request("GET", page)
            answer = connection.getresponse()
            return answer.status, answer.read().decode()
        except ConnectionError:
            assert time.monotonic() < end, "the proxy does not answer"
            time.sleep(0.05)
        finally:
            connection.close()
