"""Who may act: a password, a session, a token against forged requests."""

from __future__ import annotations

import hmac
import secrets
import threading
import time
from collections import deque
from collections.abc import Callable, MutableMapping
from typing import Any
from urllib.parse import urlsplit

TRIES, WITHIN = 5, 60.0
"""Wrong passwords in so many seconds, whoever gave them, after which nobody is let in for a while."""

LASTS = 8 * 3600.0
"""Seconds for which a session lasts."""

Session = MutableMapping[str, Any]


class Door:
    """``password`` empty: nobody is let in, and nothing can be done by way of the page."""

    def __init__(self, password: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._password, self._clock = password, clock
        self._wrong: deque[float] = deque(maxlen=TRIES)
        self._lock = threading.Lock()

    @property
    def exists(self) -> bool:
        return bool(self._password)

    def enter(self, session: Session, password: str) -> int:
        """200: let in, and the session knows it; 403: wrong; 404: there is no door; 429: too many tries."""
        if not self.exists:
            return 404
        with self._lock:
            if len(self._wrong) == TRIES and self._clock() - self._wrong[0] < WITHIN:
                return 429
            if not hmac.compare_digest(password.encode(), self._password.encode()):
                self._wrong.append(self._clock())
                return 403
        session.clear()
        session["token"], session["until"] = secrets.token_urlsafe(24), time.time() + LASTS
        return 200

    def token(self, session: Session) -> str | None:
        """The token of a session that has been let in, None for all others."""
        token, until = session.get("token"), session.get("until")
        if not self.exists or not isinstance(token, str) or not isinstance(until, float) or until < time.time():
            return None
        return token

    def allows(self, session: Session, token: str) -> bool:
        """Whether a request that changes something comes from a page of ours, for somebody let in."""
        known = self.token(session)
        return known is not None and hmac.compare_digest(known.encode(), token.encode())


def same_origin(origin: str | None, host: str) -> bool:
    """Whether a browser says that the request comes from a page of this host. Others than browsers say nothing."""
    return origin is None or urlsplit(origin).netloc == host
