"""Ports for the servers of tests, which nobody else takes before they listen."""

from __future__ import annotations

import contextlib
import itertools
import random
import socket
from collections.abc import Iterator

_FIRST, _BLOCK, _BLOCKS = 20000, 100, 120  # below what the kernel gives to clients (ip_local_port_range)


def free_ports(count: int, host: str = "127.0.0.1") -> list[int]:
    """Ports that nobody listens on, all different, and given out once only while the others of the block last."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    found: list[int] = []
    for port in _ports:
        with socket.socket(family) as one, contextlib.suppress(OSError):
            one.bind((host, port))
            found.append(port)
        if len(found) == count:
            return found
    raise AssertionError("no end of ports")


def _block() -> Iterator[int]:
    """The ports of a block of this process's own, over and over. A name of an abstract socket stands for the block:
    it belongs to the same network namespace as the ports, and the kernel lets it go when the process ends."""
    blocks = list(range(_BLOCKS))
    random.SystemRandom().shuffle(blocks)
    for block in blocks:
        name = socket.socket(socket.AF_UNIX)
        try:
            name.bind(f"\0galerist-test-ports-{block}")
        except OSError:
            name.close()
            continue
        first = _FIRST + block * _BLOCK
        with name:
            yield from itertools.cycle(range(first, first + _BLOCK))
    raise AssertionError("other tests hold all blocks of ports")


_ports = _block()
