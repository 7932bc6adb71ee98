"""A dashboard over made-up clusters: the real web server and page, and no other part."""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Iterator
from typing import Any

from waitress.server import create_server

from dashboard.collect import Collector, Shown
from dashboard.door import Door
from dashboard.web import Deeds, Refused, create_app
from galerist.view.facts import Cluster, Event
from galerist.view.page import Check, page, told

PASSWORD = "open sesame"


class Still:
    """Stands where the collector stands; it shows what it is given."""

    def __init__(self) -> None:
        self.ended = False
        self.looked = 0
        self._shown = Shown("{}", 0, "[]", 0)
        self._changed = threading.Condition()

    def show(self, cluster: Cluster, events: tuple[Event, ...] = (), **more: Any) -> None:
        text, history = json.dumps(page(cluster, **more)), json.dumps(told(events))
        with self._changed:
            self._shown = Shown(text, self._shown.page_number + 1, history, self._shown.events_number + 1)
            self._changed.notify_all()

    def look_again(self) -> None:
        self.looked += 1

    def shown(self) -> Shown:
        return self._shown

    def wait(self, than: Shown, timeout: float) -> Shown:
        with self._changed:
            self._changed.wait_for(lambda: self._shown is not than or self.ended, timeout)
            return self._shown


class Recorder:
    """Deeds that only note what was ordered."""

    def __init__(self) -> None:
        self.given: list[tuple[str, str | None, str]] = []

    def says(self, name: str, node: str | None) -> tuple[str, ...]:
        if name not in ("switchover", "pause"):
            raise KeyError(name)
        if node == "n9":
            raise Refused("no node n9 is known here")
        return (f"{node} becomes the writer in place of n1.",)

    def give(self, name: str, node: str | None, who: str) -> str:
        self.says(name, node)
        self.given.append((name, node, who))
        return "done"


def app(still: Still, password: str = PASSWORD, deeds: Deeds | None = None) -> Any:
    collector: Any = still
    assert isinstance(collector, Still) and not isinstance(collector, Collector)
    return create_app(collector, Door(password), deeds if deeds is not None else Recorder())


@contextlib.contextmanager
def served(still: Still) -> Iterator[str]:
    """The URL of a page that shows ``still``."""
    server = create_server(app(still), listen="127.0.0.1:0", threads=8, ident=None)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.effective_port}/"
    finally:
        still.ended = True
        server.close()
        thread.join(10)


__all__ = ["Check", "PASSWORD", "Recorder", "Still", "app", "served"]
