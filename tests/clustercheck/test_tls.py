"""The proxy with TLS that the documentation puts in front of the health endpoint, word for word."""

from __future__ import annotations

import http.client
import re
import ssl
import subprocess
import time
from pathlib import Path

from tests.clustercheck.endpoint import checking
from tests.support.certificates import make_certificates
from tests.support.ports import free_ports

DOCS = Path(__file__).parents[2] / "docs/clustercheck.md"


def test_the_documented_proxy_with_tls(tmp_path: Path) -> None:
    found = re.search(r"```\n(frontend health\n.*?)```", DOCS.read_text(), re.DOTALL)
    assert found is not None
    made = make_certificates(tmp_path)
    pem = tmp_path / "node.pem"
    pem.write_bytes(made.server_cert.read_bytes() + made.server_key.read_bytes())
    (port,) = free_ports(1)
    with checking(tmp_path / "check", tmp_path / "none.sock") as check:
        text = found[1]
        for said, here in (
            ("*:9201", f"127.0.0.1:{port}"),
            ("/etc/haproxy/node.pem", str(pem)),
            ("127.0.0.1:9200", f"127.0.0.1:{check.port}"),
        ):
            assert said in text
            text = text.replace(said, here)
        (tmp_path / "haproxy.cfg").write_text(text)
        tried = subprocess.run(["haproxy", "-c", "-f", tmp_path / "haproxy.cfg"], capture_output=True, text=True)
        assert (tried.returncode, tried.stderr) == (0, ""), "no warning either"
        proxy = subprocess.Popen(["haproxy", "-db", "-f", tmp_path / "haproxy.cfg"], stderr=subprocess.DEVNULL)
        try:
            answers = {page: ask(port, page, made.ca) for page in ("/", "/live", "/nowhere")}
        finally:
            proxy.kill()
            proxy.wait()
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
