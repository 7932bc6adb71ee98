"""HAProxy's agent-check protocol, for proxies that galerist does not manage.

HAProxy connects, may send a text of its own, and reads one line (HAProxy documentation,
"agent-check"). ``ready`` takes back an earlier ``drain``; ``up`` an earlier ``down``.
"""

from __future__ import annotations

import contextlib
import selectors
import socket
import threading
from collections import deque
from collections.abc import Callable, Sequence

from clustercheck.verdict import DRAIN, OK, Verdict

PARTING = 64
"""Connections that are kept a while after they were answered."""


def agent_line(judged: Verdict) -> str:
    """The line for a verdict. The reason follows after #, and HAProxy shows it."""
    if judged.code == OK:
        return "up ready\n"
    if judged.code == DRAIN:
        return "up drain\n"
    return f"down ready #{judged.reason}\n"


class AgentCheck:
    """Answers on its own port in its own thread. Nothing is read, and a line of this size always
    fits into the buffer of a fresh socket, so that no client can hold it up."""

    def __init__(self, sockets: Sequence[socket.socket], judge: Callable[[], Verdict]) -> None:
        self._sockets, self._judge = sockets, judge
        self._parting: deque[socket.socket] = deque()
        threading.Thread(target=self._run, name="agent check", daemon=True).start()

    def _run(self) -> None:
        with selectors.DefaultSelector() as selector:
            for one in self._sockets:
                one.setblocking(False)
                selector.register(one, selectors.EVENT_READ)
            while True:
                for key, _ in selector.select():
                    with contextlib.suppress(OSError):
                        self._answer(key.fileobj)  # type: ignore[arg-type]

    def _answer(self, listener: socket.socket) -> None:
        client, _ = listener.accept()
        # Closed at once, with what HAProxy sends unread, it would end in a reset, and the line might be lost.
        self._parting.append(client)
        if len(self._parting) > PARTING:
            self._parting.popleft().close()
        client.setblocking(False)
        client.send(agent_line(self._judge()).encode())
        client.shutdown(socket.SHUT_WR)
