"""A TCP relay before an endpoint that can swallow replies."""

from __future__ import annotations

import contextlib
import socket
import threading


class Relay:
    """Forwards to ``target``. While ``deaf`` it lets requests through, waits for the reply,
    and closes the connection instead of passing it on."""

    def __init__(self, target: tuple[str, int]) -> None:
        self.target = target
        self.deaf = False
        self.swallowed = 0
        self._server = socket.create_server(("127.0.0.1", 0))
        self.place: tuple[str, int] = ("127.0.0.1", self._server.getsockname()[1])
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._server.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                near, _ = self._server.accept()
                far = socket.create_connection(self.target)
                threading.Thread(target=self._forward, args=(near, far, False), daemon=True).start()
                threading.Thread(target=self._forward, args=(far, near, True), daemon=True).start()

    def _forward(self, source: socket.socket, sink: socket.socket, replies: bool) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                if replies and self.deaf:
                    self.swallowed += 1
                    break
                sink.sendall(data)
        for one in (source, sink):
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
