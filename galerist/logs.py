"""How galerist logs: one line per event to stderr, as text or as JSON."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import sys
import time
from collections import deque
from collections.abc import Callable
from contextvars import ContextVar
from pathlib import Path
from typing import TextIO

operation: ContextVar[str] = ContextVar("operation", default="")
"""What the lines of this thread belong to: an id that ties a decision to what it caused."""

LONGEST = 16 * 1024 * 1024
"""Bytes of ``log_file``, about; as many again are kept in ``NAME.1``."""

_COLOURS = {"WARNING": "\x1b[33m", "ERROR": "\x1b[31m", "CRITICAL": "\x1b[31m", "DEBUG": "\x1b[2m"}
# Libraries that tell of every connection at info or debug
_CHATTY = ("urllib3", "requests", "waitress", "werkzeug", "etcd")


def setup(
    level: str = "info", form: str = "text", who: str = "", stream: TextIO | None = None, file: Path | None = None
) -> None:
    """Send all logging to ``stream`` (stderr), from ``level`` on, as ``form`` text or json, and as JSON to ``file``.

    ``who`` is the node or proxy that speaks. Replaces what an earlier call has set up. A file that cannot be written
    is said once and does without.
    """
    stream = stream if stream is not None else sys.stderr
    colours = form == "text" and stream.isatty() and not os.environ.get("NO_COLOR")
    handler = logging.StreamHandler(stream)
    handler.setFormatter(_Json(who) if form == "json" else _Text(who, colours))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    if file is not None:
        _also(root, file, who)
    root.setLevel(level.upper())
    for name in _CHATTY:
        logging.getLogger(name).setLevel(logging.WARNING)


def keep(who: str, count: int = 300) -> Callable[[], str]:
    """Keep the last lines in memory as well, as text. Returns what reads them, from any thread."""
    lines: deque[str] = deque(maxlen=count)

    class Keeper(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            lines.append(self.format(record))

    keeper = Keeper()
    keeper.setFormatter(_Text(who, colours=False))
    logging.getLogger().addHandler(keeper)
    return lambda: "".join(f"{line}\n" for line in lines.copy())


def _also(root: logging.Logger, file: Path, who: str) -> None:
    from logging.handlers import WatchedFileHandler

    class Bounded(WatchedFileHandler):
        """Several processes write to the file. Whoever finds it long moves it; the others, and the courier, notice."""

        def emit(self, record: logging.LogRecord) -> None:
            self.reopenIfNeeded()
            if self.stream is not None and self.stream.tell() > LONGEST:
                with contextlib.suppress(OSError):
                    file.replace(file.with_name(f"{file.name}.1"))
            super().emit(record)

    try:
        second = Bounded(file, encoding="utf-8")
    except OSError as error:
        root.warning("log_file %s cannot be written: %s", file, error.strerror)
        return
    second.setFormatter(_Json(who))
    root.addHandler(second)


def _time(record: logging.LogRecord) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(record.created))


class _Text(logging.Formatter):
    """``2026-11-21T01:02:03Z INFO n1: sentence``"""

    def __init__(self, who: str, colours: bool) -> None:
        super().__init__()
        self._who = f"{who}: " if who else ""
        self._colours = colours

    def format(self, record: logging.LogRecord) -> str:
        text = record.getMessage()
        if record.exc_info:
            text += "\n" + self.formatException(record.exc_info)
        line = f"{_time(record)} {record.levelname} {self._who}{text}"
        colour = _COLOURS.get(record.levelname) if self._colours else None
        return f"{colour}{line}\x1b[0m" if colour else line


class _Json(logging.Formatter):
    """An object a line: ``time``, ``level``, ``who``, ``logger``, ``message`` and, if there is one,
    ``operation`` and ``exception``."""

    def __init__(self, who: str) -> None:
        super().__init__()
        self._who = who

    def format(self, record: logging.LogRecord) -> str:
        event = {
            "time": _time(record),
            "level": record.levelname.lower(),
            "who": self._who,
            "logger": record.name,
            "message": record.getMessage(),
        }
        if operation.get():
            event["operation"] = operation.get()
        if record.exc_info:
            event["exception"] = self.formatException(record.exc_info)
        return json.dumps(event, ensure_ascii=False)
