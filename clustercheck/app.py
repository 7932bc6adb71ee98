"""The web server of the health endpoint.

A request runs no SQL and waits for nobody: it judges what the poller heard last. So
a node that hangs cannot make its own health check hang.
"""

from __future__ import annotations

import dataclasses
import errno
import logging
import math
import signal
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from clustercheck.poller import Poller, Source
from clustercheck.verdict import Policy, Status, Verdict, verdict

if TYPE_CHECKING:
    from flask import Flask, Response
    from werkzeug.exceptions import NotFound

    from galerist.settings import Settings

log = logging.getLogger("clustercheck")

# Flask would answer OPTIONS by itself, with 200, and it is HAProxy's default health check.
_METHODS = ["GET", "HEAD", "OPTIONS"]


def create_app(status: Callable[[], Status], policy: Policy) -> Flask:
    """The WSGI application.

    ``/`` answers with the verdict's code and its reason, to GET, HEAD and OPTIONS alike;
    ``/status`` with the same code and, as JSON, what the verdict rests on.
    """
    from flask import Flask, Response, jsonify

    app = Flask("clustercheck", static_folder=None)

    def root() -> Response:
        judged = verdict(status(), policy)
        return Response(judged.reason + "\n", judged.code, mimetype="text/plain")

    def details() -> tuple[Response, int]:
        known = status()
        judged = verdict(known, policy)
        body = dataclasses.asdict(known) | {"code": judged.code, "reason": judged.reason}
        if not math.isfinite(known.age):
            body["age"] = None  # JSON has no infinity
        return jsonify(body), judged.code

    def unknown_path(_: NotFound) -> Response:
        # 404 means "drain" here: a check with a wrong path must not pass for one.
        return Response("no such page: ask / or /status\n", 400, mimetype="text/plain")

    def fresh(response: Response) -> Response:
        response.headers["Cache-Control"] = "no-store"
        return response

    app.add_url_rule("/", "root", root, methods=_METHODS, provide_automatic_options=False)
    app.add_url_rule("/status", "status", details, methods=_METHODS, provide_automatic_options=False)
    app.register_error_handler(404, unknown_path)
    app.after_request(fresh)
    return app


def listen(bind: str, port: int) -> list[socket.socket]:
    """Listening sockets for a name or an address; ``*`` is every address, IPv6 too where there
    is any. Raises OSError; its ``filename`` is the address that could not be had."""
    flags = socket.AI_PASSIVE
    found = socket.getaddrinfo(None if bind == "*" else bind.strip("[]"), port, type=socket.SOCK_STREAM, flags=flags)
    sockets: list[socket.socket] = []
    for family, kind, protocol, _, address in dict.fromkeys(found):
        try:
            one = socket.socket(family, kind, protocol)
        except OSError:  # a kernel without IPv6
            continue
        try:
            one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                one.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            one.bind(address)
            one.listen(1024)
        except OSError as error:
            one.close()
            if bind == "*" and family == socket.AF_INET6 and error.errno == errno.EADDRNOTAVAIL:
                continue  # IPv6 is there, but switched off
            for other in sockets:
                other.close()
            raise OSError(error.errno, error.strerror, f"{address[0]}, port {port}") from error
        sockets.append(one)
    return sockets


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


def main(settings: Settings) -> int:
    """Serves until SIGTERM or SIGINT. It starts before the server does and outlives it.

    Returns an exit code: 0 after a signal, 1 when the port cannot be had.
    """
    import waitress  # type: ignore[import-untyped]

    policy = Policy(stale=settings.check_stale, available_when_donor=settings.available_when_donor)
    password = settings.check_password
    source = Source(
        socket=str(settings.socket),
        user=settings.check_user,
        password=password.reveal() if password else "",
        agent_file=Path(settings.run_dir) / "agent.json",
        disabled_file=Path(settings.check_disabled_file),
        interval=settings.check_poll,
        # Two polls may hang before the facts are too old, so one slow answer is no outage.
        timeout=min(2.0, settings.check_stale / 2),
    )
    try:
        sockets = listen(settings.check_bind, settings.check_port)
    except OSError as error:
        where = error.filename or f"{settings.check_bind}, port {settings.check_port}"
        print(
            f"clustercheck cannot listen on {where}: {error.strerror}."
            " Set check_bind and check_port to an address that is free on this machine.",
            file=sys.stderr,
        )
        return 1
    poller = Poller(source, lambda: chronicle())
    chronicle = Chronicle(lambda: verdict(poller.status(), policy))
    poller.start()

    def end(*_: object) -> None:
        raise SystemExit(0)

    signal.signal(signal.SIGTERM, end)
    signal.signal(signal.SIGINT, end)
    try:
        waitress.serve(
            create_app(poller.status, policy),
            sockets=sockets,
            threads=4,
            connection_limit=1000,  # idle clients hold a connection, never a thread
            channel_timeout=30,
            cleanup_interval=5,
            asyncore_use_poll=True,  # select() stops at 1024 files
            ident=None,
            _quiet=True,
        )
    except SystemExit:
        pass  # the signal came before the loop began
    finally:
        poller.stop()
    return 0
