"""What a service manager wants to hear (sd_notify(3)): ready, alive, and one sentence."""

from __future__ import annotations

import os
import socket
from contextlib import suppress


def notify(**values: str) -> None:
    """Send ``READY="1"`` and its like to systemd; nothing where no service manager listens."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address.startswith(("/", "@")):
        return
    text = "\n".join(f"{key}={value}" for key, value in values.items())
    # A manager that does not listen is no reason to stop
    with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender:
        sender.setblocking(False)
        sender.sendto(text.encode(), "\0" + address[1:] if address[0] == "@" else address)
