"""Thousands of sessions at once, on one event loop: what threads would be too heavy for."""

from __future__ import annotations

import asyncio
import resource
import threading
import time
from typing import Any

from tests.haproxy.fakes import Node

_AT_ONCE = 100  # sessions that are being opened


def raise_limit() -> int:
    """As many open files for this process as it may have; that number."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


class Loop:
    """An event loop in a thread."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()

    def run(self, coroutine: Any, patience: float = 120.0) -> Any:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(patience)

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)


class LightNode(Node):
    """A node whose SQL port serves all its sessions from the loop."""

    def __init__(self, name: str, loop: Loop) -> None:
        super().__init__(name)
        heavy = self._servers.pop(0)
        heavy.shutdown()
        heavy.server_close()
        self._loop = loop
        self._light = loop.run(self._listen())
        self.port = self._light.sockets[0].getsockname()[1]

    async def _listen(self) -> asyncio.Server:
        node = self

        class Echo(asyncio.Protocol):
            def connection_made(self, transport: Any) -> None:
                self.transport = transport
                transport.write(f"{node.name}\n".encode())

            def data_received(self, data: bytes) -> None:
                self.transport.write(data)

        return await asyncio.get_running_loop().create_server(Echo, "127.0.0.1", 0, backlog=1024)

    def close(self) -> None:
        async def end() -> None:
            self._light.close()

        self._loop.run(end())
        super().close()


class Session(asyncio.Protocol):
    """One client. ``ended`` is when it lost its connection (s, monotonic), or None."""

    def __init__(self) -> None:
        self.node, self.echoed, self.ended = "", 0, None
        self.ready = asyncio.get_running_loop().create_future()
        self.transport: Any = None
        self._heard = b""

    ended: float | None

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        if self.node:
            self.echoed += len(data)
            return
        self._heard += data
        name, newline, _ = self._heard.partition(b"\n")
        if newline:
            self.node = name.decode()
            self.ready.set_result(True)

    def connection_lost(self, _: Exception | None) -> None:
        self.ended = time.monotonic()
        if not self.ready.done():
            self.ready.set_result(False)


class Crowd:
    """``count`` sessions through ``ports``, in turn, that stay open."""

    def __init__(self, loop: Loop, ports: tuple[int, ...], count: int) -> None:
        self._loop = loop
        self.sessions: list[Session] = loop.run(self._open(ports, count))

    async def _open(self, ports: tuple[int, ...], count: int) -> list[Session]:
        gate = asyncio.Semaphore(_AT_ONCE)

        async def one(number: int) -> Session:
            async with gate:
                make = asyncio.get_running_loop().create_connection
                _, session = await make(Session, "127.0.0.1", ports[number % len(ports)])
                await session.ready
                return session

        return await asyncio.gather(*(one(number) for number in range(count)))

    def speak(self) -> None:
        """Each session that is still open says something."""

        async def say() -> None:
            for session in self.sessions:
                if session.ended is None:
                    session.transport.write(b"?")

        self._loop.run(say())

    def open(self) -> list[Session]:
        return [session for session in self.sessions if session.ended is None]

    def lost(self) -> list[Session]:
        return [session for session in self.sessions if session.ended is not None]

    def close(self) -> None:
        async def end() -> None:
            for session in self.sessions:
                session.transport.abort()

        self._loop.run(end())
