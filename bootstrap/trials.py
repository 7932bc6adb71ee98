"""When a server that ended by itself is started again, and what is told of the last try meanwhile."""

from __future__ import annotations

import time

FIRST_DELAY, LONGEST_DELAY = 1.0, 30.0
"""Seconds before the server is started again after it ended by itself; doubled each time."""


class Trials:
    """The tries to start one server."""

    def __init__(self) -> None:
        self._failed = 0
        self._failure: tuple[str, str, float] | None = None  # sentence, remedy, time of the next try
        self._last = ""  # told, with its remedy, until the server is Synced

    @property
    def failure(self) -> tuple[str, str, float] | None:
        """Why the last try failed, what ends that, and the seconds until the next; None while one is under way."""
        if self._failure is None:
            return None
        sentence, remedy, again = self._failure
        return sentence, remedy, max(0.0, again - time.monotonic())

    def failed(self, sentence: str, remedy: str, at_once: bool = False) -> None:
        """A try has failed. ``at_once``: the first time it is repeated without delay."""
        delay = 0.0 if at_once and not self._failed else min(LONGEST_DELAY, FIRST_DELAY * 2 ** max(self._failed, 1))
        self._failed += 1
        self._failure = (sentence, remedy, time.monotonic() + delay)
        self._last = f"last time: {sentence} To end that: {remedy}"

    def begun(self) -> None:
        """The next try is under way."""
        self._failure = None

    def succeeded(self) -> None:
        self._failed, self._last = 0, ""

    def after(self, words: str) -> str:
        """What goes on, and how the last try ended."""
        return f"{words}; {self._last}" if self._last else words
