"""The health endpoint as a process: settings in, a poller, a probe and a web server out."""

from __future__ import annotations

import logging
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from clustercheck.guard import Guard
from clustercheck.poller import Poller, Source
from clustercheck.verdict import Policy, Probe, Verdict, verdict

if TYPE_CHECKING:
    import socket

    from galerist.settings import Settings

log = logging.getLogger("clustercheck")


class Chronicle:
    """Logs each change of the verdict once."""

    def __init__(self, judge: Callable[[], Verdict]) -> None:
        self._judge = judge
        self._last: tuple[int, str] | None = None

    def __call__(self) -> None:
        judged = self._judge()
        key = judged.code, "".join(char for char in judged.reason if not char.isdigit())  # ages differ each time
        if key != self._last:
            self._last = key
            log.info("%d: %s", judged.code, judged.reason)


def policy_of(settings: Settings) -> Policy:
    """What the settings say about the verdict."""
    flow = settings.check_max_flow_control
    return Policy(
        stale=settings.check_stale,
        available_when_donor=settings.available_when_donor,
        available_when_read_only=settings.available_when_read_only,
        max_queue=settings.check_max_queue,
        max_flow_control=flow / 100 if flow is not None else None,
        donor_code=int(settings.check_donor_code),
        down_code=int(settings.check_down_code),
    )


def source_of(settings: Settings) -> Source:
    """Where the server and the files are."""
    return Source(
        socket=str(settings.socket),
        user=settings.check_user,
        password=settings.check_password,
        agent_file=Path(settings.run_dir) / "agent.json",
        disabled_file=Path(settings.check_disabled_file),
        interval=settings.check_poll,
        # Facts are too old long before; a new connection to a server that hangs would not be quicker.
        timeout=max(2.0, settings.check_stale),
    )


def guard_of(settings: Settings) -> Guard:
    """Who may ask."""
    password, token = settings.check_auth_password, settings.check_token
    return Guard(
        networks=settings.check_networks,
        user=settings.check_auth_user,
        password=password.reveal() if password else "",
        token=token.reveal() if token else "",
        root_free=settings.check_root_free,
    )


def switch(settings: Settings, reason: str | None) -> int:
    """Take no new clients from now on for this reason; None: take them again. Returns an exit code."""
    from galerist.files import write_atomically

    path = Path(settings.check_disabled_file)
    try:
        if reason is None:
            path.unlink(missing_ok=True)
        else:
            write_atomically(path, f"{reason}\n", mode=0o644)
    except OSError as error:
        lost = isinstance(error, FileNotFoundError)
        remedy = "Give it the settings of this node's clustercheck" if lost else "Run it as the node's own user"
        print(f"clustercheck cannot change {path}: {error.strerror}. {remedy}.", file=sys.stderr)
        return 1
    print("This node is not disabled by hand." if reason is None else f"No new clients while {path} exists.")
    return 0


def look_once(settings: Settings, page: str) -> int:
    """Print one HTTP answer on stdout. Returns an exit code: 0 for 200, else 1."""
    from clustercheck.once import once

    def write(text: bytes) -> None:
        with open(1, "wb", buffering=0, closefd=False) as out:  # nothing stays behind to fail at the exit
            out.write(text)

    return once(source_of(settings), policy_of(settings), page, settings.check_text == "classic", write)


def _listen(settings: Settings, port: int, key: str) -> list[socket.socket] | None:
    from clustercheck.serve import listen

    try:
        return listen(settings.check_bind, port)
    except OSError as error:
        where = error.filename or f"{settings.check_bind}, port {port}"
        print(
            f"clustercheck cannot listen on {where}: {error.strerror}."
            f" Set check_bind and {key} to an address that is free on this machine.",
            file=sys.stderr,
        )
        return None


def main(settings: Settings) -> int:
    """Serves until SIGTERM or SIGINT. It starts before the server does and outlives it.

    Returns an exit code: 0 after a signal, 1 when a port cannot be had.
    """
    from clustercheck.agentcheck import AgentCheck
    from clustercheck.peers import ask_peers
    from clustercheck.probe import Prober, Rhythm
    from clustercheck.serve import serve
    from clustercheck.web import create_app

    policy, source, guard = policy_of(settings), source_of(settings), guard_of(settings)
    sockets = _listen(settings, settings.check_port, "check_port")
    if sockets is None:
        return 1
    agent_port = settings.check_agent_port
    agent_sockets = _listen(settings, agent_port, "check_agent_port") if agent_port is not None else []
    if agent_sockets is None:
        return 1

    def probe() -> Probe:
        return prober.probe() if settings.check_probe else Probe("off", "switched off by check_probe")

    poller = Poller(source, lambda: chronicle(), probe)
    chronicle = Chronicle(lambda: verdict(poller.status(), policy))
    headers = guard.headers()
    prober = Prober(
        source,
        settings.node,
        Rhythm(settings.check_probe_interval, settings.check_probe_late),
        policy,
        poller.observed,
        lambda status: ask_peers(status, headers),
    )
    app = create_app(poller.status, policy, guard, settings.check_text == "classic", poller.counts)

    def end(*_: object) -> None:
        raise SystemExit(0)

    signal.signal(signal.SIGTERM, end)
    signal.signal(signal.SIGINT, end)
    try:
        poller.start()
        if settings.check_probe:
            prober.start()
        if agent_sockets:
            AgentCheck(agent_sockets, lambda: verdict(poller.status(), policy))
        serve(app, sockets)
    except SystemExit:
        pass  # the signal came before the loop began
    finally:
        prober.stop()
        poller.stop()
    return 0
