"""Writing what runs to the files, beside the loop: a member's change need not wait for ``haproxy -c``."""

from __future__ import annotations

import time
from concurrent.futures import Future, ThreadPoolExecutor

from haproxy.process import Haproxy, Refused

_QUIET = 0.3  # s without a change until the files are written, at the latest after _LATE: it takes 0.1 s
_LATE = 3.0
_AGAIN = 30.0  # s until what could not be written is tried again


class Filer:
    """For use by the loop's thread. ``error`` is why the files are not what runs, or None."""

    def __init__(self, haproxy: Haproxy) -> None:
        self.error: str | None = None
        self._haproxy = haproxy
        self._pool = ThreadPoolExecutor(1)
        self._work: Future[bool] | None = None
        self._changed: tuple[float, float] | None = None  # first and last change since the files were written
        self._tried = ("", 0.0)  # what is being written, or could not be, and since when

    def changed(self) -> None:
        """What runs is no longer what the files hold."""
        now = time.monotonic()
        self._changed = (self._changed[0] if self._changed else now, now)

    def settle(self) -> None:
        """Begin to write if it is time to."""
        now, haproxy = time.monotonic(), self._haproxy
        if self._work is not None:
            if self._work.done():
                self.finish()
            return
        if self._changed and now - self._changed[1] < _QUIET and now - self._changed[0] < _LATE:
            return
        if haproxy.running() and (haproxy.applied != self._tried[0] or now - self._tried[1] >= _AGAIN):
            self._changed = None
            self._tried = (haproxy.applied, now)
            self._work = self._pool.submit(haproxy.settle)

    def finish(self) -> None:
        """Wait until the files are written, if that is under way."""
        if self._work is None:
            return
        try:
            self._work.result()
            self.error, self._tried = None, ("", 0.0)
        except (Refused, OSError) as error:
            self.error = f"what runs cannot be written to the file: {error}"
        self._work = None

    def close(self) -> None:
        self._pool.shutdown()
