"""A certificate authority for tests."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from galerist.deploy.tls import Places, init


@dataclass(frozen=True)
class Certificates:
    """Paths of PEM files. The server's is good for localhost, 127.0.0.1 and ::1."""

    ca: Path
    server_cert: Path
    server_key: Path
    client_cert: Path
    client_key: Path


def make_certificates(directory: Path) -> Certificates:
    """A new authority with a server's and a client's certificate, below ``directory``."""
    init(directory, {"server": (), "client": ()}, days=2)
    places = Places(directory)
    return Certificates(
        places.ca, places.cert("server"), places.key("server"), places.cert("client"), places.key("client")
    )
