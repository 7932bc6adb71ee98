"""A node as HAProxy sees it: a TCP port that says its name, and a health endpoint."""

from __future__ import annotations

import contextlib
import http.server
import socket
import socketserver
import ssl
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from galerist import model as records
from haproxy.model import Server


class Node:
    """Both ports are open from the start; ``code`` is what the health endpoint answers. ``tls``: certificate
    and key of the health endpoint. ``told``: it expects the PROXY protocol and keeps what it was told."""

    def __init__(self, name: str, code: int = 200, tls: tuple[Path, Path] | None = None, told: bool = False) -> None:
        self.name = name
        self.code = code
        self.told: list[bytes] = []
        node = self

        class Hello(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                with contextlib.suppress(OSError):
                    if told:
                        node.told.append(self.request.recv(1024))
                    self.request.sendall(f"{node.name}\n".encode())
                    while data := self.request.recv(1024):
                        self.request.sendall(data)

        class Health(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                with contextlib.suppress(ConnectionError):
                    self.send_response(node.code)
                    self.send_header("Content-Length", "0")
                    self.end_headers()

            def log_message(self, *_: Any) -> None:
                pass

        self._servers = [_Server(("127.0.0.1", 0), Hello), _Server(("127.0.0.1", 0), Health)]
        if tls:
            context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
            context.load_cert_chain(*tls)
            self._servers[1].socket = context.wrap_socket(self._servers[1].socket, server_side=True)
        self.port, self.check_port = (server.server_address[1] for server in self._servers)
        for server in self._servers:
            threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    @property
    def server(self) -> Server:
        return Server(self.name, "127.0.0.1", self.port, self.check_port)

    def report(self, desync: bool = False) -> str:
        endpoint = records.Endpoint("127.0.0.1", "127.0.0.1", self.port, 4567, self.check_port)
        return records.dump(
            records.Report(
                self.name, "boot", endpoint, records.Server.UP, records.Data.PRESENT, disk="d",
                cluster_status="Primary", local_state=2 if desync else 4, opened=True,
                desync=desync,
            )
        )  # fmt: skip

    def die(self) -> None:
        """New connections are refused; the health endpoint has not noticed."""
        self._servers[0].shutdown()
        self._servers[0].server_close()

    def die_health(self) -> None:
        """The health endpoint refuses connections, as when the machine's programs are gone."""
        self._servers[1].shutdown()
        self._servers[1].server_close()

    def close(self) -> None:
        for server in self._servers:
            server.shutdown()
            server.server_close()


class _Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    block_on_close = False
    allow_reuse_address = True
    request_queue_size = 128


class Client:
    """A session through the proxy; ``served_by`` is the name that the node said."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), 5)
        self._socket.settimeout(5)
        self.served_by = self._socket.makefile().readline().strip()

    def alive(self) -> bool:
        """Whether the session still echoes."""
        try:
            self._socket.sendall(b"?")
            return self._socket.recv(1) == b"?"
        except OSError:
            return False

    def close(self) -> None:
        self._socket.close()


def served_by(port: int) -> str:
    """Who serves a new session on ``port``; empty when nobody does."""
    with contextlib.suppress(OSError), contextlib.closing(Client(port)) as client:
        return client.served_by
    return ""


def until(condition: Callable[[], object], what: str, patience: float = 20.0) -> None:
    """Wait for a condition that must come true."""
    end = time.monotonic() + patience
    while not condition():
        assert time.monotonic() < end, f"not within {patience} s: {what}"
        time.sleep(0.03)
