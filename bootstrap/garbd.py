"""``galerist arbitrator``: a garbd that votes where it ought to (:mod:`bootstrap.arbitrator`), and nowhere else.

Level-triggered like the agent: each pass reads the registry, and starts or ends garbd. While the registry is silent,
garbd is left as it is.
"""

from __future__ import annotations

import logging
import os
import pwd
import signal
import subprocess
import sys
import time
from pathlib import Path

from bootstrap.arbitrator import Vote, Voter
from bootstrap.tempo import tempo
from bootstrap.trials import Trials
from galerist.endpoints import only_ipv6
from galerist.galera.config import listen_address
from galerist.galera.tls import CA, CERT, KEY, Copies, Unfit, tried
from galerist.model import Malformed, Report, State, load
from galerist.notify import notify
from galerist.registry.contract import Registry, RegistryError, RegistryUnusable
from galerist.registry.keys import Keys
from galerist.registry.open import open_registry
from galerist.settings import Settings
from galerist.wake import until_told

log = logging.getLogger("galerist.arbitrator")

MISSING, CONFIGURATION = 69, 78

PATIENCE = 10.0
"""Seconds for an orderly end of garbd."""

SHARED = ("base_", "evs.", "gcs.", "gmcast.", "pc.", "protonet.", "socket.")
"""Beginnings of the provider's options that garbd understands; the others are about data."""


def options(settings: Settings, tls: Path | None) -> str:
    """The provider's options for garbd: the nodes' own, so that TLS and timers are the same. ``tls``: the folder with
    the certificate."""
    shared = {key: value for key, value in settings.provider_options if key.startswith(SHARED)}
    shared.setdefault("evs.join_retrans_period", "PT0.3S")
    listen = listen_address(only_ipv6(settings.host), settings.bind, settings.gcomm_port)
    shared |= {"gmcast.listen_addr": listen, "pc.recovery": "no"}
    if tls is not None:
        files = {"ca": CA, "cert": CERT, "key": KEY}
        shared |= {"socket.ssl": "yes"} | {f"socket.ssl_{name}": str(tls / file) for name, file in files.items()}
    return ";".join(f"{key}={value}" for key, value in shared.items())


class Garbd:
    """The process, if there is one."""

    def __init__(self, settings: Settings, copies: Copies | None) -> None:
        self._settings, self._copies = settings, copies
        self._version = 0  # of the certificate that it uses
        self._child: subprocess.Popen[bytes] | None = None
        self._trials = Trials()
        self.group: str | None = None  # in which it votes

    def start(self, vote: Vote) -> None:
        """Begin to vote, unless the last try has failed just now."""
        if self._trials.failure is not None and self._trials.failure[2] > 0:
            return
        settings, copies = self._settings, self._copies
        if copies is not None:
            try:
                copies.must()
            except OSError as error:
                self._trials.failed(f"garbd cannot be started: {error}", "correct 'tls_cert' and its like")
                log.warning("garbd cannot be started: %s", error)
                return
            self._version = copies.version
        words = [str(settings.garbd), "--name", settings.node, "--group", vote.group]
        words += [
            "--address",
            f"gcomm://{','.join(vote.peers)}",
            "--options",
            options(settings, None if copies is None else copies.folder),
        ]
        user: dict[str, object] = {}
        if os.geteuid() == 0:
            uid, gid = _owner(settings)
            user = {"user": uid, "group": gid, "extra_groups": []}
        self._child = subprocess.Popen(words, stdin=subprocess.DEVNULL, cwd="/", start_new_session=True, **user)  # type: ignore[call-overload]
        self.group = vote.group
        self._trials.begun()
        log.info("garbd started (pid %d), with %s.", self._child.pid, ", ".join(vote.peers))

    def look(self) -> None:
        """Notice that it has ended by itself."""
        if self._child is None or (code := self._child.poll()) is None:
            return
        self._child = self.group = None
        words = f"signal {-code}" if code < 0 else f"exit code {code}"
        self._trials.failed(f"garbd ended by itself ({words}).", "look at what it says above", at_once=True)
        log.warning("garbd ended by itself (%s): it is started again.", words)

    @property
    def outdated(self) -> bool:
        """It uses a certificate that has been replaced: it reads it at its start only."""
        if self._child is None or self._copies is None:
            return False
        self._copies.renew()
        return self._copies.version != self._version

    def stays(self) -> None:
        """It votes: the next failure is a first one."""
        self._trials.succeeded()

    def end(self, orderly: bool) -> None:
        """End it: with a farewell, after which the others need fewer votes, or as if it had crashed."""
        child, self._child, self.group = self._child, None, None
        if child is None:
            return
        child.send_signal(signal.SIGCONT)
        child.send_signal(signal.SIGTERM if orderly else signal.SIGKILL)
        try:
            child.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()


class Arbitrator:
    """Keeps garbd where the registry says that it belongs. :meth:`step` is one pass."""

    def __init__(self, settings: Settings, garbd: Garbd, registry: Registry) -> None:
        self._garbd, self._registry = garbd, registry
        self._keys = Keys(settings.cluster)
        self._voter = Voter(settings.ttl)
        self._said = ""
        self.needed = False  # members serve: an orderly end of garbd lets them go on

    def step(self) -> None:
        garbd = self._garbd
        garbd.look()
        try:
            text = self._registry.get(self._keys.state)
            state = load(State, text) if text is not None else State()
            members = self._registry.list(self._keys.members)
        except (RegistryError, Malformed) as error:
            self.say(f"The registry does not answer as it should, and all stays as it is: {error}")
            return
        found = self._voter.decide(state, _reports(members), garbd.group, time.monotonic())
        self.needed = found.serving
        self.say(found.sentence)
        if garbd.group is not None and (found.vote is None or found.vote.group != garbd.group):
            garbd.end(orderly=False)
        elif found.serving and garbd.outdated:
            log.info("garbd is started anew, with the new certificate.")
            garbd.end(orderly=True)
        if garbd.group is None and found.vote is not None:
            garbd.start(found.vote)
        elif garbd.group is not None and state.view is not None and state.view.arbitrators:
            garbd.stays()

    def say(self, sentence: str) -> None:
        if sentence != self._said:
            log.info("%s", sentence)
            self._said = sentence
        notify(WATCHDOG="1", STATUS=sentence)


def _reports(texts: dict[str, str]) -> tuple[Report, ...]:
    found = []
    for key, text in sorted(texts.items()):
        try:
            found.append(load(Report, text))
        except Malformed as error:
            log.warning("%s is ignored: %s", key, error)
    return tuple(found)


def _owner(settings: Settings) -> tuple[int, int]:
    entry = pwd.getpwnam(settings.server_user)
    return entry.pw_uid, entry.pw_gid


def _copies(settings: Settings) -> Copies | None:
    """The certificate, tried, for garbd to read. Raises Unfit."""
    given = tried(settings.tls_ca, settings.tls_cert, settings.tls_key)
    if given is None:
        return None
    return Copies(given, settings.run_dir / "arbitrator", _owner(settings) if os.geteuid() == 0 else None)


def main(settings: Settings) -> int:
    """Run until SIGTERM or SIGINT, which end garbd as well. Returns the exit code."""
    if not Path(settings.garbd).exists():
        print(
            f"galerist: garbd is missing: {settings.garbd} does not exist; install galera-arbitrator-4, or correct the "
            "setting 'garbd'",
            file=sys.stderr,
        )
        return MISSING
    try:
        registry = open_registry(settings)
    except RegistryUnusable as error:
        print(f"galerist: registry = {settings.registry}: {error}", file=sys.stderr)
        return CONFIGURATION
    try:
        copies = _copies(settings)
    except Unfit as error:
        print(f"galerist: {error}", file=sys.stderr)
        return CONFIGURATION
    wake, stop = until_told()
    signal.signal(signal.SIGCHLD, lambda *_: wake.set())
    garbd = Garbd(settings, copies)
    arbitrator = Arbitrator(settings, garbd, registry)
    watch = registry.watch(Keys(settings.cluster).root, wake.set)
    notify(READY="1")
    try:
        while not stop.is_set():
            wake.clear()
            arbitrator.step()
            if wake.wait(tempo(settings.ttl).pace):
                time.sleep(0.03)  # many events cost one pass
    finally:
        notify(STOPPING="1")
        garbd.end(orderly=arbitrator.needed)
        watch.close()
        registry.close()
    return 0
