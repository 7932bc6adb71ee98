"""The loop: read the registry, model, render, compare, apply, report.

Level-triggered: whatever wakes it, it runs the same pass from the whole truth, so a
missed event costs a moment, never a server. The registry may be gone for any time: what
was known stands, health checks decide, and HAProxy is looked after all the same.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from galerist import model as records
from galerist.registry.contract import Registry, RegistryError, RegistryUnusable
from galerist.registry.keys import Keys
from galerist.wake import Wake
from haproxy.book import Book
from haproxy.control import Mute
from haproxy.herald import Herald
from haproxy.memory import recall, remember
from haproxy.model import Known, Policy, Server, model, order, understand
from haproxy.process import Haproxy, Refused
from haproxy.render import Sources, TemplateFault, render
from haproxy.runtime import Patience

log = logging.getLogger("haproxy")

EX_FAILED, EX_CONFIG = 1, 78

_PASS = 2.0  # s between passes when nothing wakes the loop
_LOOK = 0.5  # s between looks at HAProxy itself
_SOON = 0.1  # s between looks while sessions are being moved
_TOGETHER = 0.05  # s between passes: what comes together is handled together
_QUIET = 0.3  # s without a change until the files are written, at the latest after _LATE: it takes 0.1 s
_LATE = 3.0
_APART = 1.0  # s between two reloads: each leaves an old worker behind
_AGAIN = 30.0  # s until a configuration that was refused is tried again


class Fatal(Exception):
    """The watcher cannot do its work. ``code`` is the exit code, the text one sentence."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code = code


@dataclass(frozen=True, slots=True)
class Config:
    """What the watcher needs to know. ``ttl`` is in seconds."""

    cluster: str
    proxy: str
    host: str
    ip: str
    policy: Policy
    folder: Path
    binary: Path
    template: Path | None
    ttl: float
    snippets: Path | None = None
    patience: Patience = Patience()
    drop_to: str = ""  # user and group of HAProxy's workers; empty: the watcher's own


class Watcher:
    """One proxy. :meth:`run` returns when ``stop`` is set; ``wake`` asks for a pass now."""

    def __init__(self, config: Config, registry: Registry) -> None:
        self.stop = Wake()
        self.wake = Wake()
        self.now = Wake()  # with ``wake``: try again what was refused
        self._config = config
        self._registry = registry
        self._keys = Keys(config.cluster)
        self._herald = Herald(registry, config.cluster, config.proxy, config.ttl)
        self._haproxy = Haproxy(config.binary, config.folder, config.patience)
        self._book = Book(config.template, config.snippets, config.folder / "template.json")
        self._memory = config.folder / "model.json"
        self._servers: tuple[Server, ...] = ()
        self._served: tuple[Server, ...] = ()  # as last applied
        self._error: str | None = None
        self._refused = ("", 0.0)  # the text that was refused, and when
        self._reloaded = 0.0
        self._changed: tuple[float, float] | None = None  # first and last change since the files were written
        self._drained: tuple[str, ...] = ()  # as applied
        self._reachable = True  # the registry answered when it was last asked
        self._file_error: str | None = None
        self._filer = ThreadPoolExecutor(1)
        self._filing: Future[bool] | None = None
        self._unfit = ("", 0.0)  # what is being written, or could not be, and since when
        self._alive = False  # HAProxy has been started or adopted
        self._said: dict[str, str] = {}

    def run(self) -> None:
        """Raises :class:`Fatal` only before HAProxy runs for the first time."""
        self._servers = self._served = recall(self._memory)
        self._alive = self._haproxy.adopt()
        if self._alive:
            log.info("adopted the HAProxy that was left running")
        watch = self._registry.watch(self._keys.root, self.wake.set)
        due = 0.0
        try:
            while not self.stop.is_set():
                began = time.monotonic()
                if self.wake.is_set() or began >= due or not self._haproxy.running():
                    self.wake.clear()
                    self._pass()
                    due = began + _PASS
                else:
                    self._look()
                    if self._reachable and self._haproxy.runtime.writing() != self._herald.told:
                        self._publish()
                for line in self._haproxy.messages():
                    log.info("%s", line)
                self._settle()
                self.wake.wait(_SOON if self._haproxy.runtime.busy or self._haproxy.runtime.leaving else _LOOK)
                self.stop.wait(max(0.0, began + _TOGETHER - time.monotonic()))
        finally:
            watch.close()
            self._filer.shutdown()
            if self.stop.is_set():
                self._haproxy.stop()
                self._once("report", self._herald.withdraw())

    # -- one pass ---------------------------------------------------------------------------

    def _pass(self) -> None:
        if self._alive and (not self._reachable or not self._haproxy.running()):
            self._look()  # a registry that is slow to answer must not delay this
        known = self._listing()
        self._reachable = known is not None
        former = self._servers
        if known is not None:
            self._once("registry", "; ".join(known.complaints))
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
        if self._reachable:  # else it would only wait once more for a registry that is down
            self._publish()

    def _look(self) -> None:
        """Between passes: what HAProxy itself is about, without the registry."""
        self._bring_in_line()
        drained = frozenset(server.name for server in self._servers if server.drained)
        try:
            if self._haproxy.running() and (ended := self._haproxy.runtime.end_sessions(drained)):
                log.info("ended %d sessions on nodes out of service, drained, or no longer the writer", ended)
        except Mute as error:
            self._once("mute", str(error))

    def _remember(self) -> None:
        try:
            remember(self._memory, self._servers)
        except OSError as error:  # a full disk is no reason to stop
            log.warning(
                "%s cannot be written, a restart without the registry would not know it: %s", self._memory, error
            )

    def _listing(self) -> Known | None:
        """What the registry holds, None when it cannot be read."""
        keys = self._keys
        try:
            members = _below(self._registry.list(keys.members), keys.members)
            nodes = _below(self._registry.list(keys.nodes), keys.nodes)
            state = self._registry.get(keys.state)
        except RegistryError as error:
            if isinstance(error, RegistryUnusable) and not self._alive and not self._servers:
                raise Fatal(EX_CONFIG, str(error)) from error
            self._once("registry", f"the registry cannot be read, the servers known before stay: {error}")
            return None
        return understand(members, nodes, state)

    def _bring_in_line(self) -> None:
        """Render and apply; a mistake is reported, and the last good configuration stays."""
        wanted = model(self._servers, self._config.policy)
        haproxy, running = self._haproxy, self._haproxy.running()
        if self._alive and not running:
            log.error("HAProxy has ended: it is started again")
        text, sources = "", None
        try:
            sources = self._book.sources(self._trial)
            text = render(wanted, self._facts(), sources)
            if running:
                before = haproxy.applied
                reason = haproxy.follow(text)
                if not reason:
                    if text != before:
                        now = time.monotonic()
                        self._changed = (self._changed[0] if self._changed else now, now)
                    self._fine(sources)
                    return
                if text == self._refused[0] and time.monotonic() - self._refused[1] < _AGAIN:
                    return
                if time.monotonic() - self._reloaded < _APART:
                    self.wake.set()  # too soon for a reload; the next pass has the whole truth again
                    return
                log.info("HAProxy is reloaded: %s", reason)
            self._filed()
            haproxy.replace(text)
            self._reloaded = time.monotonic()
            log.info("HAProxy %s", "has taken over the new configuration" if running else "is up")
            self._fine(sources)
        except Mute as error:  # it is looked at again soon
            self._once("mute", str(error))
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
        self._alive = True
        self._served = self._servers
        self._book.accept(sources)
        self._drained = tuple(sorted(server.name for server in self._servers if server.drained))
        self._error, self._refused = None, ("", 0.0)
        self._once("mute", "")
        fault = self._book.fault
        self._once("configuration", fault and f"the template is refused, the last good one stays: {fault}")

    def _settle(self) -> None:
        """Beside the loop: the files get what runs already."""
        now, haproxy = time.monotonic(), self._haproxy
        if self._filing is not None:
            if self._filing.done():
                self._filed()
            return
        if self._changed and now - self._changed[1] < _QUIET and now - self._changed[0] < _LATE:
            return
        if haproxy.running() and (haproxy.applied != self._unfit[0] or now - self._unfit[1] >= _AGAIN):
            self._changed = None
            self._unfit = (haproxy.applied, now)
            self._filing = self._filer.submit(haproxy.settle)

    def _filed(self) -> None:
        """Wait until the files are written, if that is under way, and tell how it went."""
        if self._filing is None:
            return
        try:
            self._filing.result()
            self._file_error, self._unfit = None, ("", 0.0)
        except (Refused, OSError) as error:
            self._file_error = f"what runs cannot be written to the file: {error}"
        self._filing = None
        self._once("file", self._file_error)

    def _fall_back(self, code: int) -> None:
        """HAProxy with the last good configuration is better than none."""
        self._filed()
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
        return {
            "cluster": self._config.cluster,
            "admin_socket": self._haproxy.admin,
            "socket_mode": "600",
            "state_file": self._haproxy.states,
            "drop_to": self._config.drop_to,
        }

    # -- what others may know -----------------------------------------------------------------

    def _publish(self) -> None:
        config, policy = self._config, self._config.policy
        try:
            workers = self._haproxy.processes().alive
        except Mute:
            workers = ()
        report = records.ProxyReport(
            proxy=config.proxy,
            host=config.host,
            ip=config.ip,
            write_port=policy.write_port,
            read_port=policy.read_port,
            all_port=policy.all_port,
            stats_port=policy.stats_port,
            worker_pids=workers,
            watcher_pid=os.getpid(),
            applied=self._haproxy.digest(),
            writing=self._haproxy.runtime.writing(),
            serving=self._haproxy.runtime.serving(),
            drained=self._drained,
            error=self._error or self._book.fault or self._file_error,
        )
        try:
            self._herald.publish(report)
        except RegistryError as error:
            self._reachable = False
            self._once("report", f"the registry does not take this proxy's report: {error}")
        else:
            self._once("report", "")

    def _once(self, topic: str, text: str | None) -> None:
        """Log a trouble when it begins or changes, not at each pass."""
        former = self._said.get(topic, "")
        self._said[topic] = text or ""
        if text and text != former:
            log.warning("%s", text)
        elif former and not text:
            log.info("over: %s", former)


def _below(found: Mapping[str, str], prefix: str) -> dict[str, str]:
    return {key.removeprefix(prefix): value for key, value in found.items()}
