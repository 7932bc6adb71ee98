"""Which ports of 127.0.0.1 may be used, and holding on to them until their owner has started."""

from __future__ import annotations

import errno
import socket

from galerist.local.layout import Layout
from galerist.local.processes import look, touches
from galerist.local.render import LOOPBACK


class Claims:
    """Ports that this process and those it hands :attr:`files` to have claimed.

    Two `galerist up` that start together would both find the same ports free, long before
    anything listens on them. So each binds a name per port in the abstract socket
    namespace, which belongs to the same network namespace as the port, leaves no file and
    is let go by the kernel when its last holder ends.
    """

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._held: dict[int, socket.socket] = {}

    @property
    def files(self) -> tuple[int, ...]:
        """The file descriptors by which the claims are handed to a child."""
        return tuple(held.fileno() for held in self._held.values())

    def take(self, port: int) -> bool:
        """Claim a port; False if another cluster has, or if somebody not of this cluster listens there."""
        if port in self._held:
            return True
        name = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            name.bind(f"\0galerist-port-{port}")
        except OSError:
            name.close()
            return False
        if not (_free(port) or _ours(port, self._layout)):
            name.close()
            return False
        self._held[port] = name
        return True

    def keep(self, ports: set[int]) -> None:
        """Let go of all claims but these."""
        for port in set(self._held) - ports:
            self._held.pop(port).close()

    def close(self) -> None:
        self.keep(set())


def _free(port: int) -> bool:
    with socket.socket() as probe:
        # As servers do: connections that have ended a moment ago are no obstacle.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError as error:
            if error.errno in (errno.EADDRINUSE, errno.EACCES):
                return False
            raise
        return True


def _ours(port: int, layout: Layout) -> bool:
    """Whether a process that an earlier run of this cluster has left behind listens there."""
    import psutil

    for connection in psutil.net_connections("tcp"):
        if connection.status == psutil.CONN_LISTEN and connection.laddr and connection.laddr.port == port:
            process = look(connection.pid) if connection.pid else None
            if process is not None and touches(process, layout):
                return True
    return False


def answers(port: int) -> bool:
    """Whether anything accepts connections on this port of 127.0.0.1."""
    try:
        with socket.create_connection((LOOPBACK, port), timeout=1.0):
            return True
    except OSError:
        return False
