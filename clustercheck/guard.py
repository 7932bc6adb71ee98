"""Who may ask: networks, a password, a token. Pure."""

from __future__ import annotations

import base64
import binascii
import hmac
import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

FREE = ("/", "/live", "/ready")
"""What HAProxy and kubelet ask, which know no token: a 401 on ``/live`` has the node killed."""


@dataclass(frozen=True, slots=True)
class Guard:
    """``networks``: empty allows everybody. ``user`` and ``password`` are for basic, ``token`` for
    bearer authentication; either is enough where both are given. ``root_free``: :data:`FREE` asks for neither."""

    networks: tuple[Network, ...] = ()
    user: str = ""
    password: str = ""
    token: str = ""
    root_free: bool = True

    def refuses(self, address: str, path: str, authorization: str) -> int | None:
        """403 for a stranger's address, 401 for who is not known, None for a welcome guest."""
        if self.networks and not _inside(address, self.networks):
            return 403
        if not (self.password or self.token) or (self.root_free and path in FREE):
            return None
        return None if self._known(authorization) else 401

    def _known(self, authorization: str) -> bool:
        scheme, _, rest = authorization.partition(" ")
        if scheme.lower() == "bearer" and self.token:
            return _same(rest.strip(), self.token)
        if scheme.lower() == "basic" and self.password:
            try:
                said = base64.b64decode(rest.strip(), validate=True).decode()
            except (binascii.Error, ValueError):
                return False
            return _same(said, f"{self.user}:{self.password}")
        return False

    def headers(self) -> dict[str, str]:
        """What to send to a member that asks for the same."""
        if self.token:
            return {"Authorization": f"Bearer {self.token}"}
        if self.password:
            said = base64.b64encode(f"{self.user}:{self.password}".encode()).decode()
            return {"Authorization": f"Basic {said}"}
        return {}


def _same(one: str, other: str) -> bool:
    return hmac.compare_digest(one.encode(), other.encode())


def _inside(address: str, networks: Sequence[Network]) -> bool:
    try:
        guest = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return False
    guest = getattr(guest, "ipv4_mapped", None) or guest
    return any(guest.version == network.version and guest in network for network in networks)
