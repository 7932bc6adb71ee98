"""The thread of a watch: it follows one endpoint, and goes on to the next when that fails."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator

from galerist.registry.contract import RegistryError, Watch
from galerist.registry.transport import Failover, Place, Trouble

log = logging.getLogger(__name__)

FIRST_PAUSE = 0.05  # s
LONGEST_PAUSE = 1.0  # s
STEADY = 2.0  # s: a connection that lasted so long was a good one

QUIET = 2.5
"""How many time-outs a watch may be silent before it is taken for dead and made anew."""


class WatchThread(Watch):
    """Runs ``follow(endpoint)`` again and again.

    ``follow`` connects and yields once as soon as no later change can be missed, then
    after each change. It returns when it wants to be started anew at once (nothing was
    heard for long), and raises Trouble or RegistryError when the endpoint failed.
    ``interrupt`` makes a blocked ``follow`` end; ``release`` lets go of its connections.
    """

    def __init__(
        self,
        prefix: str,
        failover: Failover,
        follow: Callable[[Place], Iterator[None]],
        interrupt: Callable[[], None],
        release: Callable[[], None],
        wake: Callable[[], None],
    ) -> None:
        self._prefix = prefix
        self._failover = failover
        self._follow = follow
        self._interrupt = interrupt
        self._release = release
        self._wake = wake
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"watch {prefix}", daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._closed.set()
        self._interrupt()
        if self._thread is not threading.current_thread():
            # A connection that is just being made cannot be cut short. Its thread ends
            # by itself within the time-out and wakes nobody any more.
            self._thread.join(0.8)

    def _run(self) -> None:
        pause = FIRST_PAUSE
        while not self._closed.is_set():
            place = self._failover.first
            began = time.monotonic()
            try:
                for _ in self._follow(place):
                    self._call()
                pause = FIRST_PAUSE
                continue
            except (Trouble, RegistryError) as error:
                log.debug("watch of %s: %s", self._prefix, error)
                self._failover.avoid(place)
            except Exception:  # a watch that dies would be silent for ever
                log.exception("watch of %s failed unexpectedly, it is made anew", self._prefix)
                self._failover.avoid(place)
            if time.monotonic() - began > STEADY:
                pause = FIRST_PAUSE
            self._closed.wait(pause)
            pause = min(2 * pause, LONGEST_PAUSE)
        self._release()

    def _call(self) -> None:
        if self._closed.is_set():
            return
        try:
            self._wake()
        except Exception:
            log.exception("the call that a change below %s has come failed", self._prefix)
