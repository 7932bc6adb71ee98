"""Waitress, with limits on what one client may take: size, time and number of connections.

Requests are answered in the thread that reads them. None of them waits for anything, and
handing each to another thread would cost more than answering it.
"""

from __future__ import annotations

import errno
import operator
import resource
import socket
from collections import deque
from collections.abc import Callable
from typing import Any

from waitress.adjustments import Adjustments  # type: ignore[import-untyped]
from waitress.channel import HTTPChannel  # type: ignore[import-untyped]
from waitress.server import MultiSocketServer, TcpWSGIServer  # type: ignore[import-untyped]

REQUEST_TIME = 5
"""Seconds that a client has for one whole request, and that an idle connection is kept."""

CONNECTIONS = 800
"""Connections at a time. Of more, those that have waited longest without a whole request are closed."""

SPARE = 200
"""Files that connections leave to the poller, the probe, the agent's file and the agent check."""

HEADERS, BODY = 4096, 1024
"""Bytes at most; nothing here needs a body."""


class _Inline:
    """Stands where waitress expects its pool of threads."""

    def __init__(self) -> None:
        self._due: deque[HTTPChannel] = deque()

    def add_task(self, channel: HTTPChannel) -> None:
        self._due.append(channel)  # not yet: the channel holds its lock while it hands over a request

    def work(self) -> None:
        while self._due:
            channel = self._due.popleft()
            channel.service()
            if channel.connected:
                channel.handle_write()  # and close, if it was the last request

    def shutdown(self) -> None:
        self._due.clear()


class _Channel(HTTPChannel):  # type: ignore[misc]
    last_activity: float
    requests: list[Any]

    def handle_read(self) -> None:
        unfinished, since = self.request, self.last_activity
        super().handle_read()
        if unfinished is not None and self.request is unfinished:
            self.last_activity = since  # a byte now and then buys no time
        if len(self.requests) > 1:  # hundreds of them fit into a packet: one is answered, and that is the end
            del self.requests[1:]
            self.requests[0].headers["CONNECTION"] = "close"
        self.server.task_dispatcher.work()


class _Server(TcpWSGIServer):  # type: ignore[misc]
    channel_class = _Channel
    places = CONNECTIONS

    def pull_trigger(self) -> None:
        """Nobody else's loop is to be woken."""

    def readable(self) -> bool:
        if len(self._map) >= self.places:
            self._make_room()
        return bool(super().readable())

    def _make_room(self) -> None:
        waiting = [
            channel
            for channel in list(self._map.values())
            if isinstance(channel, HTTPChannel) and not channel.requests and not channel.total_outbufs_len
        ]
        waiting.sort(key=operator.attrgetter("last_activity"))
        for channel in waiting[: self.places // 10]:
            channel.will_close = True


def _places() -> int:
    """How many connections there may be at a time. Where files are short, clients must not use up those that the
    poller needs: it could not ask the server any more."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = CONNECTIONS + SPARE
    if soft < wanted and soft != resource.RLIM_INFINITY:
        soft = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    return CONNECTIONS if soft == resource.RLIM_INFINITY else max(10, min(CONNECTIONS, soft - SPARE))


def serve(application: Callable[..., Any], sockets: list[socket.socket]) -> None:
    """Until SystemExit, which a signal handler may raise."""
    places = _Server.places = _places()
    adjustments = Adjustments(
        sockets=sockets,
        connection_limit=places + SPARE // 2,
        channel_timeout=REQUEST_TIME,
        cleanup_interval=2,
        max_request_header_size=HEADERS,
        max_request_body_size=BODY,
        asyncore_use_poll=True,  # select() stops at 1024 files
        log_socket_errors=False,  # clients that go away are no news
        ident=None,
    )
    tasks = _Inline()
    channels: dict[int, Any] = {}
    for one in sockets:
        about = one.family, one.type, one.proto, one.getsockname()
        _Server(application, channels, True, one, dispatcher=tasks, adj=adjustments, bind_socket=False, sockinfo=about)
    MultiSocketServer(channels, adjustments, [], tasks).run()


def listen(bind: str, port: int) -> list[socket.socket]:
    """Listening sockets for a name or an address; ``*`` is every address, IPv6 too where there
    is any. Raises OSError; its ``filename`` is the address that could not be had."""
    flags = socket.AI_PASSIVE
    found = socket.getaddrinfo(None if bind == "*" else bind.strip("[]"), port, type=socket.SOCK_STREAM, flags=flags)
    sockets: list[socket.socket] = []
    for family, kind, protocol, _, address in dict.fromkeys(found):
        try:
            one = socket.socket(family, kind, protocol)
        except OSError:  # a kernel without IPv6
            continue
        try:
            one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                one.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            one.bind(address)
            one.listen(1024)
        except OSError as error:
            one.close()
            if bind == "*" and family == socket.AF_INET6 and error.errno == errno.EADDRNOTAVAIL:
                continue  # IPv6 is there, but switched off
            for other in sockets:
                other.close()
            raise OSError(error.errno, error.strerror, f"{address[0]}, port {port}") from error
        sockets.append(one)
    return sockets
