"""What the page shows, kept up to date: one thread reads the registry, one asks the health endpoints.

However many browsers look, the registry and the nodes are asked once. A registry that does not
answer takes nothing from the page but its freshness, which the page then says.
"""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass

from dashboard.sparks import Sparks
from galerist.model import Malformed, State
from galerist.registry.contract import Registry, RegistryError
from galerist.registry.keys import Keys
from galerist.view.facts import Cluster, Event, read, read_events
from galerist.view.page import Check, page, told
from galerist.view.page import Registry as Health
from galerist.wake import Wake

log = logging.getLogger("dashboard")

PACE = 2.0
"""Seconds between two looks at the registry when nothing wakes the collector."""

BREATH = 0.25
"""Seconds at least between two looks, so that many changes cost one."""

ASK = 2.0
"""Seconds between two questions to the health endpoints."""

Ask = Callable[[str, int], Check]


@dataclass(frozen=True, slots=True)
class Shown:
    """Two JSON texts, each with a number that grows when it changes."""

    page: str
    page_number: int
    events: str
    events_number: int


class Collector:
    """Collects until :meth:`stop`. Its methods may be called from any thread."""

    def __init__(self, registry: Registry, cluster: str, ask: Ask) -> None:
        self._registry, self._name, self._ask = registry, cluster, ask
        self._cluster = Cluster(cluster, State(), (), (), ())
        self._events: tuple[Event, ...] = ()
        self._health = Health(False, "It has not answered yet.")
        self._read_at = time.monotonic()
        self._checks: dict[str, Check] = {}
        self._sparks = Sparks()
        self._changed = threading.Condition()
        self._shown = Shown("{}", 0, "[]", 0)
        self._wake = Wake()
        self._end = threading.Event()
        self._threads = [
            threading.Thread(target=self._collect, name="registry", daemon=True),
            threading.Thread(target=self._check, name="health endpoints", daemon=True),
        ]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """End the threads, and let go of whoever waits."""
        self._end.set()
        self._wake.set()
        with self._changed:
            self._changed.notify_all()
        for thread in self._threads:
            thread.join(5)

    @property
    def ended(self) -> bool:
        return self._end.is_set()

    def look_again(self) -> None:
        """Read the registry now: an order has been given."""
        self._wake.set()

    def shown(self) -> Shown:
        """What there is to show."""
        with self._changed:
            return self._shown

    def wait(self, than: Shown, timeout: float) -> Shown:
        """What there is to show, as soon as it is newer, at most ``timeout`` seconds later."""
        with self._changed:
            self._changed.wait_for(lambda: self._shown is not than or self._end.is_set(), timeout)
            return self._shown

    # -- the registry ------------------------------------------------------------------------

    def _collect(self) -> None:
        watch = self._registry.watch(Keys(self._name).root, self._wake.set)
        try:
            while not self._end.is_set():
                self._wake.clear()
                self._look()
                self._publish()
                self._wake.wait(PACE)
                self._end.wait(BREATH)
        finally:
            watch.close()

    def _look(self) -> None:
        try:
            self._cluster, self._events = read(self._registry, self._name), read_events(self._registry, self._name)
            self._read_at, self._health = time.monotonic(), Health()
        except RegistryError as error:
            self._fail(f"{str(error)[:1].upper()}{str(error)[1:]}.")
        except Malformed as error:
            self._fail(f"It holds a record that galerist did not write: {error}.")

    def _fail(self, sentence: str) -> None:
        if self._health.answers:
            log.warning("The registry does not answer as it should: %s", sentence)
        self._health = Health(False, sentence, time.monotonic() - self._read_at)

    def _publish(self) -> None:
        text = json.dumps(page(self._cluster, self._checks, self._health, self._sparks.of(time.time())))
        events = json.dumps(told(self._events))
        with self._changed:
            former = self._shown
            shown = Shown(
                text,
                former.page_number + (text != former.page),
                events,
                former.events_number + (events != former.events),
            )
            if shown != former:
                self._shown = shown
                self._changed.notify_all()

    # -- the health endpoints ----------------------------------------------------------------

    def _check(self) -> None:
        with ThreadPoolExecutor(16, thread_name_prefix="ask") as pool:
            while not self._end.wait(ASK if self._checks else BREATH):
                places = {
                    report.node: (report.endpoint.ip or report.endpoint.host, report.endpoint.check_port)
                    for report in self._cluster.reports
                }
                with suppress(RuntimeError):  # the pool ends with the process
                    answers: Mapping[str, Check] = dict(
                        zip(places, pool.map(lambda place: self._ask(*place), places.values()), strict=True)
                    )
                    self._checks = dict(answers)
                    now = time.time()
                    for node, check in answers.items():
                        self._sparks.add(node, now, check.committed)
                    self._wake.set()
