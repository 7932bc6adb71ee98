"""A proxy with TLS, word for word as a page of the documentation has it."""

from __future__ import annotations

import contextlib
import re
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path

from tests.support.certificates import Certificates, make_certificates


@contextlib.contextmanager
def proxy_with_tls(
    page: Path, frontend: str, pem: str, places: Mapping[str, str], folder: Path
) -> Iterator[Certificates]:
    """HAProxy with the block of ``page`` that begins with that frontend. ``pem`` is the file of its certificate there,
    ``places`` what else stands for something else here. HAProxy has no objection to it, no warning either."""
    found = re.search(rf"```\n(frontend {frontend}\n.*?)```", page.read_text(), re.DOTALL)
    assert found is not None
    made = make_certificates(folder)
    mine = folder / "proxy.pem"
    mine.write_bytes(made.server_cert.read_bytes() + made.server_key.read_bytes())
    text = found[1]
    for said, here in (*places.items(), (pem, str(mine))):
        assert said in text
        text = text.replace(said, here)
    config = folder / "haproxy.cfg"
    config.write_text(text)
    tried = subprocess.run(["haproxy", "-c", "-f", config], capture_output=True, text=True)
    assert (tried.returncode, tried.stderr) == (0, "")
    proxy = subprocess.Popen(["haproxy", "-db", "-f", config], stderr=subprocess.DEVNULL)
    try:
        yield made
    finally:
        proxy.kill()
        proxy.wait()
