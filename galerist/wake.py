"""A flag that a signal handler may set while the main thread waits for it."""

from __future__ import annotations

import os
import select
import signal
from contextlib import suppress


class Wake:
    """Like ``threading.Event``, for one waiter, and safe in signal handlers.

    ``Event.set`` takes the lock that an interrupted ``Event.wait`` of the same thread may hold:
    a handler that calls it can hang its process for ever. Here a byte in a pipe does the waking.
    """

    def __init__(self) -> None:
        self._set = False
        self._read, self._write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._poll = select.poll()
        self._poll.register(self._read, select.POLLIN)

    def __del__(self) -> None:
        os.close(self._read)
        os.close(self._write)

    def set(self) -> None:
        """Set the flag, from any thread or handler."""
        self._set = True
        with suppress(BlockingIOError):  # full: the waiter will wake anyway
            os.write(self._write, b"!")

    def is_set(self) -> bool:
        """Whether the flag is set."""
        return self._set

    def clear(self) -> None:
        """Take the flag down. First the flag, then the pipe: what comes in between is not lost."""
        self._set = False
        with suppress(BlockingIOError):
            while os.read(self._read, 4096):
                pass

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until the flag is set, at most ``timeout`` seconds; it may return early. Whether it is set."""
        if not self._set:
            self._poll.poll(None if timeout is None else max(0.0, timeout * 1000))
        return self._set


def until_told() -> tuple[Wake, Wake]:
    """Two flags for a loop that waits for the first, and ends when the second is set: SIGTERM and SIGINT set both."""
    wake, stop = Wake(), Wake()

    def end(*_: object) -> None:
        stop.set()
        wake.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, end)
    return wake, stop
