"""The template in force, and how a changed one is accepted.

A template that cannot be used must not keep members from coming and going: as long as the
files hold a fault, the last good ones are rendered, also after a restart of the watcher.
"""

from __future__ import annotations

import contextlib
import json
import logging
import time
from collections.abc import Callable
from pathlib import Path

from galerist.files import write_atomically
from haproxy.render import Sources, TemplateFault, read_sources

log = logging.getLogger("haproxy")

_AGAIN = 30.0  # s until files that were refused are tried again


class Book:
    """``good`` are the sources in force; ``fault`` is why the files as they stand are not, or nothing."""

    def __init__(self, template: Path | None, snippets: Path | None, keep: Path) -> None:
        self._template, self._snippets, self._keep = template, snippets, keep
        self._refused: tuple[Sources | None, float] = (None, 0.0)
        self._proven = False  # the good ones have been applied by this watcher
        self.good = self._recall()
        self.fault = ""

    def sources(self, trial: Callable[[Sources], str]) -> Sources:
        """What to render from: the files as they are now, else the last good ones.

        Changed files must pass ``trial``, which says what is wrong with them on the last good
        facts, or nothing. Raises :class:`TemplateFault` when there is nothing good.
        """
        try:
            live = read_sources(self._template, self._snippets)
        except TemplateFault as error:
            if self.good is None:
                raise
            self.fault = str(error)
            return self.good
        if self.good is None or live == self.good:
            self.fault = ""
            return self.good or live
        refused, since = self._refused
        if live == refused and time.monotonic() - since < _AGAIN:
            return self.good
        if fault := trial(live):
            self.refuse(live, fault)
            return self.good
        return live

    def accept(self, sources: Sources) -> None:
        """These are in force now."""
        if sources is self.good and self._proven:
            return
        self.good, self._proven, self.fault = sources, True, ""
        self._refused = (None, 0.0)
        kept = {"main": sources.main, "snippets": dict(sources.snippets), "texts": dict(sources.texts)}
        try:
            write_atomically(self._keep, json.dumps(kept, indent=1))
        except OSError as error:  # a full disk: a restart with broken files would not know them
            log.warning("%s cannot be written: %s", self._keep, error.strerror)

    def refuse(self, sources: Sources, why: str) -> bool:
        """These cannot be used. Whether there are other ones, which are good."""
        if self.good is None or sources is self.good:
            return False
        self._refused, self.fault = (sources, time.monotonic()), why
        return True

    def again(self) -> None:
        """Try again now what was refused."""
        self._refused = (None, 0.0)

    def _recall(self) -> Sources | None:
        """Of the same template only: a watcher that is given another one has no good one yet."""
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError, AttributeError):
            kept = json.loads(self._keep.read_text())
            sources = Sources(str(kept["main"]), dict(kept["snippets"]), dict(kept["texts"]))
            texts = {**sources.texts, **sources.snippets}
            if all(isinstance(text, str) for text in texts.values()) and set(sources.snippets.values()) <= set(texts):
                return sources if self._template and sources.main == str(self._template) else self._snipped(sources)
        return None

    def _snipped(self, sources: Sources) -> Sources | None:
        """With our own template it is the present one that counts: galerist may have been upgraded."""
        if self._template or not self._snippets or not sources.snippets:
            return None
        ours = read_sources()
        kept = {path: sources.texts[path] for path in sources.snippets.values()}
        return Sources(ours.main, sources.snippets, {**ours.texts, **kept})
