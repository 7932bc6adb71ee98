"""The loop: read the registry, model, render, compare, apply, report.

Level-triggered: whatever wakes it, it runs the same pass from the whole truth, so a
missed event costs a moment, never a server. The registry may be gone for any time: what
was known stands, health checks decide, and HAProxy is looked after all the same.
"""

from __future__ import annotations

import logging
import math
import os
import time
from collections.abc import Iterator, Mapping

from galerist import model as records
from galerist.metrics import Figure
from galerist.registry.contract import Registry
from galerist.registry.keys import Keys
from galerist.wake import Wake
from haproxy import figures, metrics, sessions
from haproxy.book import Book
from haproxy.config import Config
from haproxy.control import Mute
from haproxy.elsewhere import Elsewhere
from haproxy.exchange import Exchange
from haproxy.figures import Figures
from haproxy.filing import Filer
from haproxy.memory import recall, remember
from haproxy.model import Server, model, order
from haproxy.moving import Overlap
from haproxy.process import Haproxy, Refused
from haproxy.render import Sources, TemplateFault, render

log = logging.getLogger("haproxy")

EX_FAILED, EX_CONFIG = 1, 78

_LOOK = 0.5  # s between looks at HAProxy itself, when it says nothing
_EAR = 0.05  # s until it is heard when it says that a server went up or down
_SOON = 0.02  # s between looks while sessions are being moved
_TOGETHER = 0.05  # s between passes: what comes together is handled together
_APART = 1.0  # s between two reloads: each leaves an old worker behind
_WRITE = 1.0  # s between two writings of the figures, at the least
_AGAIN = 30.0  # s until a configuration that was refused is tried again


class Fatal(Exception):
    """The watcher cannot do its work. ``code`` is the exit code, the text one sentence."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code = code


class Watcher:
    """One proxy. :meth:`run` returns when ``stop`` is set; ``wake`` asks for a pass now."""

    def __init__(self, config: Config, registry: Registry) -> None:
        self.stop = Wake()
        self.wake = Wake()
        self.now = Wake()  # with ``wake``: try again what was refused
        self._config = config
        self._registry = registry
        self._exchange = Exchange(registry, config.cluster, config.proxy, config.ttl, self._once)
        self._haproxy = (
            Haproxy(config.binary, config.folder, config.patience)
            if config.reload == "child"
            else Elsewhere(config.binary, config.folder, config.patience, config.reload)
        )
        self._book = Book(config.template, config.snippets, config.folder / "template.json")
        self._memory = config.folder / "model.json"
        self._servers: tuple[Server, ...] = ()
        self._served: tuple[Server, ...] = ()  # as last applied
        self._error: str | None = None
        self._refused = ("", 0.0)  # the text that was refused, and when
        self._reloaded = 0.0
        self._drained: tuple[str, ...] = ()  # as applied
        self._filer = Filer(self._haproxy)
        self.overlap = Overlap()
        self._started, self._ended = time.time(), 0
        self._alive = False  # HAProxy has been started or adopted
        self._workers: tuple[int, ...] = ()
        self._said: dict[str, str] = {}
        self._figures: Figures | None = None
        self._written = 0.0  # when the figures were last written to the files

    def figures(self) -> Iterator[Figure]:
        """For Prometheus, from another thread."""
        return metrics.figures(self._figures, time.time())

    def run(self) -> None:
        """Raises :class:`Fatal` only before HAProxy runs for the first time."""
        self._servers = self._served = recall(self._memory)
        self._alive = self._haproxy.adopt()
        if self._alive:
            log.info("adopted the HAProxy that was left running")
        watch = self._registry.watch(Keys(self._config.cluster).root, self.wake.set)
        due = 0.0
        try:
            while not self.stop.is_set():
                began = time.monotonic()
                if self.wake.is_set() or began >= due or not self._haproxy.running():
                    self.wake.clear()
                    self._pass()
                    due = math.inf
                else:
                    self._look()
                    if self._exchange.reachable and self._haproxy.runtime.writing() != self._exchange.told:
                        self._publish()
                urgent = self._haproxy.runtime.busy or len(self.overlap.nodes) > 1
                due = min(due, time.monotonic() + self._exchange.pause(urgent))
                for line in self._haproxy.messages():
                    log.info("%s", line)
                self._filer.settle()
                self._once("file", self._filer.error)
                self._rest(due)
                self.stop.wait(max(0.0, began + _TOGETHER - time.monotonic()))
        finally:
            watch.close()
            self._filer.close()
            if self.stop.is_set():
                self._haproxy.stop()
                self._exchange.withdraw()

    def _rest(self, due: float) -> None:
        """Until something is to be done, or HAProxy has said something."""
        runtime, end = self._haproxy.runtime, min(due, time.monotonic() + _LOOK)
        if runtime.busy or runtime.leaving:
            self.wake.wait(_SOON)
            return
        while not self.wake.wait(_EAR) and time.monotonic() < end and not self._haproxy.spoke():
            pass

    # -- one pass ---------------------------------------------------------------------------

    def _pass(self) -> None:
        if self._alive and (not self._exchange.reachable or not self._haproxy.running()):
            self._look()  # a registry that is slow to answer must not delay this
        known = self._exchange.read()
        if known is None and self._exchange.unusable and not self._alive and not self._servers:
            raise Fatal(EX_CONFIG, str(self._exchange.unusable))
        former = self._servers
        if known is not None:
            servers = order(known, self._servers)
            if servers != self._servers:
                log.info("servers, the writer first: %s", ", ".join(server.name for server in servers) or "none")
                self._servers = servers
        if self.now.is_set():
            self.now.clear()
            self._refused = ("", 0.0)
            self._book.again()
        self._look()
        self._end_leftovers()
        if self._servers != former:
            self._remember()
        self._publish()
        self._tell_here()

    def _tell_here(self) -> None:
        """For people and metrics on this machine, whatever the registry does."""
        now = Figures(
            self._config.cluster,
            self._config.proxy,
            time.time(),
            self._started,
            self._exchange.good_at,
            self._exchange.reachable,
            tuple(server.name for server in self._servers),
            sessions.writer(self._haproxy.runtime.rows) or "",
            self._haproxy.runtime.writing(),
            self._drained,
            len(self._workers),
            self.overlap.count,
            self.overlap.longest,
            self._haproxy.reloads,
            self._ended,
            self._error or self._book.fault or self._filer.error,
        )
        written, self._figures = self._written, now
        if now.written - written < _WRITE and now.written >= written:
            return
        self._written = now.written
        try:
            figures.write(self._config.folder, now)
            self._once("figures", "")
        except OSError as error:
            self._once("figures", f"the status cannot be written: {error}")

    def _look(self) -> None:
        """Between passes: what HAProxy itself is about, without the registry."""
        self._bring_in_line()
        drained = frozenset(server.name for server in self._servers if server.drained)
        runtime, others = self._haproxy.runtime, self._exchange.elsewhere()
        try:
            if self._haproxy.running() and (ended := runtime.end_sessions(drained, runtime.mover.to in others)):
                log.info("ended %d sessions on nodes out of service, drained, or no longer the writer", ended)
                self._ended += ended
        except Mute as error:
            self._once("mute", str(error))
        if told := self.overlap.look(runtime.writing(), others, time.monotonic()):
            log.warning("%s", told)

    def _remember(self) -> None:
        try:
            remember(self._memory, self._servers)
        except OSError as error:  # a full disk is no reason to stop
            log.warning(
                "%s cannot be written, a restart without the registry would not know it: %s", self._memory, error
            )

    def _bring_in_line(self) -> None:
        """Render and apply; a mistake is reported, and the last good configuration stays."""
        wanted = model(self._servers, self._config.policy)
        haproxy, running = self._haproxy, self._haproxy.running()
        if self._alive and not running:
            self._once("ended", "HAProxy has ended")
        text, sources = "", None
        try:
            sources = self._book.sources(self._trial)
            text = render(wanted, self._facts(), sources)
            if running:
                before = haproxy.applied
                # A worker whose stats socket somebody has removed can be led again only by the next one.
                gone = "" if haproxy.admin.exists() else f"{haproxy.admin} is gone"
                reason = gone or haproxy.follow(text, self._exchange.elsewhere())
                if not reason:
                    if text != before:
                        self._filer.changed()
                    self._fine(sources)
                    return
                if text == self._refused[0] and time.monotonic() - self._refused[1] < _AGAIN:
                    return
                if time.monotonic() - self._reloaded < _APART:
                    self.wake.set()  # too soon for a reload; the next pass has the whole truth again
                    return
                log.info("HAProxy is reloaded: %s", reason)
            self._filer.finish()
            haproxy.replace(text)
            self._reloaded = time.monotonic()
            log.info("HAProxy %s", "has taken over the new configuration" if running else "is up")
            self._fine(sources)
        except Mute as error:  # it is looked at again soon
            self._once("mute", str(error))
            if not haproxy.running():
                self.stop.wait(_LOOK)
        except (TemplateFault, Refused, OSError) as error:
            if sources and not isinstance(error, OSError) and self._book.refuse(sources, str(error)):
                self.wake.set()  # once more, with the last good template
                return
            self._refused = (text, time.monotonic())
            self._error = str(error)
            if not haproxy.running():
                self._fall_back(EX_CONFIG if isinstance(error, TemplateFault) else EX_FAILED)
        self._alive = True
        if self._error:
            self._once("configuration", f"the configuration is refused, the last good one stays: {self._error}")

    def _trial(self, sources: Sources) -> str:
        """What is wrong with changed templates, on the servers that are in force now, or nothing."""
        try:
            return self._haproxy.attempt(render(model(self._served, self._config.policy), self._facts(), sources))
        except (TemplateFault, OSError) as error:
            return str(error)

    def _fine(self, sources: Sources) -> None:
        self._once("ended", "")
        self._alive = True
        self._served = self._servers
        self._book.accept(sources)
        self._drained = tuple(sorted(server.name for server in self._servers if server.drained))
        self._error, self._refused = None, ("", 0.0)
        self._once("mute", "")
        fault = self._book.fault
        self._once("configuration", fault and f"the template is refused, the last good one stays: {fault}")

    def _fall_back(self, code: int) -> None:
        """HAProxy with the last good configuration is better than none."""
        self._filer.finish()
        try:
            self._haproxy.revive()
        except (Refused, OSError) as error:
            self._error = str(error)
        if not self._haproxy.running():
            if not self._alive:
                raise Fatal(code, f"HAProxy cannot be started: {self._error}")
            self.stop.wait(_APART)  # it ran before, and will again

    def _end_leftovers(self) -> None:
        try:
            processes = self._haproxy.processes()
            if ended := self._haproxy.end_leftovers(processes):
                log.info("ended %d sessions that workers from before a reload held to nodes out of service", ended)
        except Mute as error:
            self._once("mute", str(error))
        else:
            self._once("mute", "")

    def _facts(self) -> Mapping[str, object]:
        return {**self._haproxy.facts(), "cluster": self._config.cluster, "drop_to": self._config.drop_to}

    # -- what others may know -----------------------------------------------------------------

    def _publish(self) -> None:
        config, policy = self._config, self._config.policy
        try:
            self._workers = self._haproxy.processes().alive
        except Mute:
            self._workers = ()
        report = records.ProxyReport(
            proxy=config.proxy,
            host=config.host,
            ip=config.ip,
            write_port=policy.write_port,
            read_port=policy.read_port,
            all_port=policy.all_port,
            stats_port=policy.stats_port,
            worker_pids=self._workers,
            watcher_pid=os.getpid(),
            applied=self._haproxy.digest(),
            writing=self._haproxy.runtime.writing(),
            serving=self._haproxy.runtime.serving(),
            drained=self._drained,
            error=self._error or self._book.fault or self._filer.error,
        )
        self._exchange.publish(report)
        if self._exchange.demote(self._haproxy.runtime.rows, config.patience.cut):
            self.wake.set()

    def _once(self, topic: str, text: str | None) -> None:
        """Log a trouble when it begins or changes, not at each pass."""
        former = self._said.get(topic, "")
        self._said[topic] = text or ""
        if text and text != former:
            log.warning("%s", text)
        elif former and not text:
            log.info("over: %s", former)
