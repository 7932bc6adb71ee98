"""``galerist bootstrap``: the agent of one node as a process."""

from __future__ import annotations

import logging
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import FrameType

from bootstrap import accounts, leave, load
from bootstrap.agent import Agent
from bootstrap.exchange import Who
from bootstrap.facts import Expect
from bootstrap.metrics import Meter
from bootstrap.node import LocalNode
from bootstrap.scout import Scout
from bootstrap.tempo import tempo
from bootstrap.tuning import Tuner
from galerist import logs
from galerist.endpoints import resolve
from galerist.galera.config import ServerConfig, warnings
from galerist.galera.server import Launcher, Places
from galerist.galera.stamp import StampInUse
from galerist.galera.tls import Copies, Credentials, Unfit, tried
from galerist.model import Endpoint
from galerist.notify import notify
from galerist.registry import events
from galerist.registry.contract import RegistryError, RegistryUnusable
from galerist.registry.open import open_registry, platform
from galerist.settings import Secret, Settings
from galerist.wake import Wake

log = logging.getLogger("galerist.bootstrap")

HASTE = 0.1
"""Seconds between two passes while a server comes up or goes down, which wakes nobody: not for long (Agent.hurried)."""

BREATH = 0.03
"""Seconds at least between two passes that nothing was done in, so that many events cost one pass."""

FAILED, MISSING, CONFIGURATION = 1, 69, 78


def main(settings: Settings) -> int:
    """Run the agent until SIGTERM or SIGINT; the server then leaves the cluster cleanly. Returns the exit code.

    SIGUSR1 ends the agent alone: the server runs on, and the next agent adopts it.
    """
    for path, what in ((settings.mariadbd, "mariadbd"), (settings.wsrep_provider, "the Galera provider")):
        if not Path(path).exists():
            print(
                f"galerist: {what} is missing: {path} does not exist; install mariadb-server and galera-4, or correct the "
                f"setting '{'mariadbd' if what == 'mariadbd' else 'wsrep_provider'}'",
                file=sys.stderr,
            )
            return MISSING
    for warning in warnings(settings.mariadb, settings.tls_cert is not None):
        log.warning("%s", warning)
    try:
        credentials = _credentials(settings)
    except Unfit as error:
        print(f"galerist: {error}", file=sys.stderr)
        return CONFIGURATION
    patience = tempo(settings.ttl).patience
    node = LocalNode(_config(settings), places(settings), wanted(settings), settings.stamp_dir, patience, credentials)
    try:
        if not _prepared(node, settings):
            return FAILED
    except OSError as error:
        print(f"galerist: {error.filename or settings.stamp_dir}: {error.strerror}; give it to {settings.server_user}",
              file=sys.stderr)  # fmt: skip
        return FAILED
    if (pid := node.stranger()) is not None:
        print(
            f"galerist: a server that galerist did not start runs on {settings.datadir} (pid {pid}); take it over with "
            "`galerist adopt`, or stop it first",
            file=sys.stderr,
        )
        node.release()
        return CONFIGURATION
    lost = [str(path) for path in settings.init_sql if not os.access(path, os.R_OK)]
    if lost and node.virgin():
        print(
            f"galerist: init_sql: cannot read {', '.join(lost)}; correct the path, or leave init_sql out",
            file=sys.stderr,
        )
        node.release()
        return CONFIGURATION
    if lost:  # dumps are often removed once they are loaded
        log.warning("init_sql: %s cannot be read; that matters only if it is not loaded yet.", ", ".join(lost))
    try:
        registry = open_registry(settings)
    except RegistryUnusable as error:
        print(f"galerist: registry = {settings.registry}: {error}", file=sys.stderr)
        return CONFIGURATION
    try:
        registry.get(f"/galerist/{settings.cluster}/state")
    except RegistryUnusable as error:  # a mistake in the settings, seen at once
        print(f"galerist: registry = {settings.registry}: {error}", file=sys.stderr)
        node.release()
        return CONFIGURATION
    except RegistryError as error:  # it may come later: the agent waits, and says so
        log.warning("The registry does not answer yet: %s", error)
    agent = Agent(
        Who(
            cluster=settings.cluster,
            node=settings.node,
            endpoint=_endpoint(settings),
            expect=_expect(settings),
            unit=settings.unit,
            pid=os.getpid(),
            ttl=settings.ttl,
            advertises=settings.advertise == "agent",
        ),
        node,
        registry,
        time.monotonic,
        note_time=events.now,
    )
    keys = agent.exchange.keys
    loader = load.Loader(settings.init_sql, settings.app_database, settings.socket, registry, keys, agent.boot)
    tuner = Tuner(settings.socket, settings.server_user, registry, keys, settings.node, patience)
    scout = Scout(registry, keys, settings.node, logs.keep(settings.node), settings.error_log)
    wake, meter = Wake(), Meter(time.monotonic)
    with _signals(wake) as (stop, let_go):
        watch = registry.watch(keys.root, wake.set)
        figures = _figures(settings, meter)
        try:
            _look_after(agent, loader, (tuner, scout), meter, settings, wake, stop, let_go)
            if agent.leaving and settings.statefulset:
                leave.for_good(platform(settings), settings.statefulset, registry, keys, settings.node, agent.boot)
        finally:
            figures()
            watch.close()
            loader.close()
            tuner.close()
            scout.close()
            node.release()
            registry.close()
    return 0


def _prepared(node: LocalNode, settings: Settings) -> bool:
    """Take the lock; an agent that is being replaced needs a moment to let go of it."""
    deadline = time.monotonic() + 10
    while True:
        try:
            node.prepare()
            return True
        except StampInUse as error:
            if time.monotonic() > deadline:
                print(f"galerist: {error}; one agent looks after a datadir, end the other one first", file=sys.stderr)
                return False
            time.sleep(0.2)


def _figures(settings: Settings, meter: Meter) -> Callable[[], None]:
    """Serve figures for Prometheus, if a port is set. Returns what ends it."""
    if settings.agent_metrics_port is None:
        return lambda: None
    from galerist.metrics import serve

    return serve(settings.metrics_bind, settings.agent_metrics_port, meter.figures)


def _look_after(
    agent: Agent,
    loader: load.Loader,
    besides: tuple[Tuner | Scout, ...],
    meter: Meter,
    settings: Settings,
    wake: Wake,
    stop: Wake,
    let_go: Wake,
) -> None:
    resolved, pace = time.monotonic(), tempo(settings.ttl).pace
    notify(READY="1")
    while not stop.is_set():
        if let_go.is_set():
            log.info("Letting go: the server runs on, for the next agent to adopt.")
            return
        wake.clear()
        if agent.facts is not None and agent.facts.answered and time.monotonic() - resolved > settings.ttl:
            # A container that is connected to its network anew has another address, and its processes live on.
            # Asked only while the network works: a name server that is out of reach would hold up the pass.
            agent.who = replace(agent.who, endpoint=_endpoint(settings))
            resolved = time.monotonic()
        acted = agent.step()
        meter.passed(agent.facts, agent.decision)
        notify(WATCHDOG="1", STATUS=agent.decision.sentence if agent.decision is not None else "")
        if not acted:
            loader.step(agent.decision, agent.facts)
            for one in besides:
                one.step(agent.facts)
            if wake.wait(HASTE if agent.hurried else pace):
                stop.wait(BREATH)
    log.info("Leaving: the server is being stopped.")
    notify(STOPPING="1", STATUS="Leaving: the server is being stopped.")
    while not agent.farewell():
        wake.clear()
        wake.wait(HASTE if agent.hurried else pace)


@contextmanager
def _signals(wake: Wake) -> Iterator[tuple[Wake, Wake]]:
    stop, let_go = Wake(), Wake()

    def end(_number: int, _frame: FrameType | None) -> None:
        stop.set()
        wake.set()

    def hand_over(_number: int, _frame: FrameType | None) -> None:
        let_go.set()
        wake.set()

    def look(_number: int, _frame: FrameType | None) -> None:
        wake.set()

    former = {
        signal.SIGTERM: signal.signal(signal.SIGTERM, end),
        signal.SIGINT: signal.signal(signal.SIGINT, end),
        signal.SIGCHLD: signal.signal(signal.SIGCHLD, look),
        signal.SIGHUP: signal.signal(signal.SIGHUP, look),
        signal.SIGUSR1: signal.signal(signal.SIGUSR1, hand_over),
    }
    try:
        yield stop, let_go
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)


def _expect(settings: Settings) -> Expect:
    if isinstance(settings.expect, int):
        return Expect(settings.expect)
    return Expect(len(settings.expect), tuple(settings.expect))


def _endpoint(settings: Settings) -> Endpoint:
    return Endpoint(settings.host, resolve(settings.host), settings.sql_port, settings.gcomm_port, settings.check_port)


def places(settings: Settings) -> Places:
    return Places(
        datadir=settings.datadir,
        stamp_dir=settings.stamp_dir,
        run_dir=settings.run_dir,
        socket=settings.socket,
        error_log=settings.error_log,
        mariadbd=str(settings.mariadbd),
        user=settings.server_user,
    )


def _config(settings: Settings) -> ServerConfig:
    where = places(settings)
    auth = None
    if settings.sst_method == "mariabackup":
        password = settings.sst_password.reveal() if settings.sst_password is not None else ""
        auth = Secret(f"{settings.sst_user or settings.server_user}:{password}")
    return ServerConfig(
        datadir=settings.datadir,
        socket=settings.socket,
        pid_file=where.pid_file,
        error_log=settings.error_log,
        host=settings.host,
        bind=settings.bind,
        sql_port=settings.sql_port,
        gcomm_port=settings.gcomm_port,
        ist_port=settings.ist_port,
        sst_port=settings.sst_port,
        node=settings.node,
        cluster_name="",
        cluster_address="",
        provider=settings.wsrep_provider,
        sst_method=settings.sst_method,
        notify_cmd=str(where.notify),
        sst_auth=auth,
        tls=settings.run_dir / "tls" if settings.tls_cert is not None else None,
        options=settings.mariadb,
        provider_options=settings.provider_options,
    )


def _credentials(settings: Settings) -> Credentials | None:
    """The node's certificates, tried. Raises Unfit."""
    given = tried(settings.tls_ca, settings.tls_cert, settings.tls_key)
    if given is None:
        return None
    return Credentials(Copies(given, settings.run_dir / "tls", Launcher(places(settings)).owner))


def wanted(settings: Settings) -> accounts.Wanted:
    return accounts.Wanted(
        server_user=settings.server_user,
        root_password=settings.root_password,
        root_host=settings.root_host,
        sst_user=settings.sst_user,
        sst_password=settings.sst_password,
        check_user=settings.check_user,
        check_password=settings.check_password,
        app_user=settings.app_user,
        app_password=settings.app_password,
        app_database=settings.app_database,
    )
