"""The page as a process: settings in, a collector and a web server out."""

from __future__ import annotations

import base64
import logging
import signal
import sys
from typing import TYPE_CHECKING

from dashboard.ask import ask
from dashboard.collect import Collector
from dashboard.door import Door
from galerist.registry.contract import RegistryUnusable
from galerist.view.page import Check

if TYPE_CHECKING:
    from dashboard.web import Deeds
    from galerist.settings import Settings

log = logging.getLogger("dashboard")

THREADS = 40
"""Each stream holds one; the rest answer everything else."""

FAILED, CONFIGURATION = 1, 78


def main(settings: Settings, deeds: Deeds | None) -> int:
    """Serve until SIGTERM or SIGINT. Returns an exit code: 0 after a signal, 1 when the port cannot be had."""
    from waitress.server import create_server  # type: ignore[import-untyped]

    from dashboard.web import create_app
    from galerist.registry.open import open_registry

    try:
        registry = open_registry(settings)
    except RegistryUnusable as error:
        print(f"galerist dashboard: registry = {settings.registry}: {error}", file=sys.stderr)
        return CONFIGURATION
    headers = credentials(settings)

    def question(host: str, port: int) -> Check:
        return ask(host, port, headers)

    collector = Collector(registry, settings.cluster, question)
    password = settings.dashboard_password
    app = create_app(collector, Door(password.reveal() if password is not None else ""), deeds)
    where = "0.0.0.0 [::]" if settings.dashboard_bind == "*" else settings.dashboard_bind
    listen = " ".join(f"{address}:{settings.dashboard_port}" for address in where.split())
    try:
        server = create_server(app, listen=listen, threads=THREADS, ident=None, log_socket_errors=False)
    except (OSError, ValueError) as error:
        print(
            f"galerist dashboard: cannot listen on {listen}: {getattr(error, 'strerror', None) or error}; set "
            "dashboard_bind and dashboard_port to an address that is free on this machine",
            file=sys.stderr,
        )
        registry.close()
        return FAILED

    def end(*_: object) -> None:
        raise SystemExit(0)

    signal.signal(signal.SIGTERM, end)
    signal.signal(signal.SIGINT, end)
    try:
        collector.start()
        log.info("The page is at http://%s/", listen.split()[0])
        server.run()
    except SystemExit:
        pass
    finally:
        collector.stop()
        server.close()
        registry.close()
    return 0


def credentials(settings: Settings) -> dict[str, str]:
    """What the health endpoints want to see, if they want anything."""
    if settings.check_token is not None:
        return {"Authorization": f"Bearer {settings.check_token.reveal()}"}
    if settings.check_auth_password is not None:
        said = f"{settings.check_auth_user}:{settings.check_auth_password.reveal()}"
        return {"Authorization": "Basic " + base64.b64encode(said.encode()).decode()}
    return {}
