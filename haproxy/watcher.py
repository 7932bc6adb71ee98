"""The sub-command ``haproxy``: settings in, signals, one lock, an exit code out."""

from __future__ import annotations

import fcntl
import grp
import ipaddress
import os
import pwd
import signal
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from galerist.registry.contract import RegistryUnusable
from haproxy.config import Config
from haproxy.loop import EX_CONFIG, EX_FAILED, Fatal, Watcher
from haproxy.model import Policy, Wire
from haproxy.runtime import Patience

if TYPE_CHECKING:
    from galerist.settings import Settings

EX_UNAVAILABLE = 69

WAIT = 2.0  # s that new sessions wait for a writer, beyond the time that a move by order may take
_SOCKET_PATH = 85  # bytes: HAProxy adds a suffix while it binds, and 107 is the kernel's limit


def main(settings: Settings) -> int:
    """Runs until SIGTERM or SIGINT, which end HAProxy too; SIGHUP asks for a pass now.

    Returns an exit code: 0 after a signal, 1 for a failure (a port in use, another watcher in
    the same folder), 69 without the program haproxy, 78 for settings that cannot work.
    """
    from galerist.registry.open import open_registry

    try:
        if settings.haproxy_reload == "child" and not os.access(settings.haproxy_binary, os.X_OK):
            raise Fatal(
                EX_UNAVAILABLE,
                f"there is no program {settings.haproxy_binary}: install haproxy, or set haproxy_binary to where it is",
            )
        config = configure(settings)
        with prepare(config.folder):
            registry = open_registry(settings)
            try:
                watcher = Watcher(config, registry)
                _on_signals(watcher)
                end = _figures(settings, watcher)
                try:
                    watcher.run()
                finally:
                    end()
            finally:
                registry.close()
    except RegistryUnusable as error:
        print(f"galerist haproxy: {error}", file=sys.stderr)
        return EX_CONFIG
    except Fatal as error:
        print(f"galerist haproxy: {error}", file=sys.stderr)
        return error.code
    return 0


def _figures(settings: Settings, watcher: Watcher) -> Callable[[], None]:
    """Serve figures for Prometheus, if a port is set. Returns what ends it."""
    if settings.proxy_metrics_port is None:
        return lambda: None
    from galerist.metrics import serve

    return serve(settings.metrics_bind, settings.proxy_metrics_port, watcher.figures)


def configure(settings: Settings) -> Config:
    """The watcher's own configuration from the settings."""
    return Config(
        cluster=settings.cluster,
        proxy=settings.proxy,
        host=settings.proxy_host,
        ip=_resolve(settings.proxy_host),
        policy=Policy(
            binds=addresses(*settings.proxy_bind),
            write_port=settings.write_port,
            read_port=settings.read_port,
            all_port=settings.all_port,
            stats_binds=addresses(settings.stats_bind),
            stats_port=settings.stats_port,
            wire=Wire(
                settings.proxy_stop_after,
                settings.proxy_protocol_in,
                settings.proxy_protocol_out,
                str(settings.proxy_check_ca or ""),
                settings.proxy_resolvers,
                round(1000 * (settings.proxy_move_grace + WAIT)),
            ),
        ),
        patience=Patience(
            settings.proxy_stop_after, settings.proxy_cut_after, settings.proxy_move_grace, settings.proxy_drain_grace
        ),
        folder=settings.haproxy_dir,
        binary=settings.haproxy_binary,
        template=settings.haproxy_template,
        snippets=settings.haproxy_snippets,
        ttl=settings.ttl,
        reload=settings.haproxy_reload,
        drop_to=_unprivileged(),
    )


def addresses(*binds: str) -> tuple[str, ...]:
    """What to listen on: ``*`` is every IPv4 address and, where this machine has IPv6, every IPv6 one."""
    if binds != ("*",):
        return tuple(bind.strip("[]") for bind in binds)
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::", 0))
    except OSError:
        return ("0.0.0.0",)
    return ("0.0.0.0", "::")


def prepare(folder: Path) -> TextIO:
    """Make the folder, and the lock that keeps a second watcher out; it is held while the
    returned file is open. Raises :class:`Fatal`."""
    if len(os.fsencode(folder / "master.sock")) > _SOCKET_PATH:
        raise Fatal(EX_CONFIG, f"haproxy_dir {folder} is too long for Unix sockets: choose a shorter one")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = (folder / "watcher.lock").open("a+")
    except OSError as error:
        raise Fatal(EX_CONFIG, f"haproxy_dir {folder} cannot be written: {error.strerror}") from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        lock.seek(0)
        holder = lock.read().strip() or "unknown"
        lock.close()
        raise Fatal(EX_FAILED, f"another watcher (pid {holder}) looks after haproxy_dir {folder}") from None
    lock.truncate(0)
    lock.write(f"{os.getpid()}\n")
    lock.flush()
    return lock


def _on_signals(watcher: Watcher) -> None:
    def end(*_: object) -> None:
        watcher.stop.set()
        watcher.wake.set()

    def again(*_: object) -> None:
        watcher.now.set()
        watcher.wake.set()

    actions: dict[signal.Signals, Callable[..., None]] = {
        signal.SIGTERM: end,
        signal.SIGINT: end,
        signal.SIGHUP: again,
    }
    for number, action in actions.items():
        signal.signal(number, action)


def _resolve(host: str) -> str:
    """The address for readers that want one; a name that does not resolve now is given as it is."""
    try:
        return str(ipaddress.ip_address(host))
    except ValueError:
        pass
    try:
        return str(socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)[0][4][0])
    except OSError:
        return host


def _unprivileged() -> str:
    """Whom HAProxy's workers run as when the watcher is root: the package's own user."""
    if os.geteuid() != 0:
        return ""
    try:
        pwd.getpwnam("haproxy")
        grp.getgrnam("haproxy")
    except KeyError:
        return ""
    return "haproxy"
