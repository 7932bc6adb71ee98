"""The parts of a cluster that run until SIGTERM."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import click

from galerist.cli.making import SETTINGS, command, load_settings, log, settings_options, texts


@command(
    "bootstrap",
    "Run a node: decide how its server starts, start it, keep it, and tell the registry. Ends cleanly on SIGTERM.",
    settings_options("bootstrap"),
    SETTINGS,
)
def _bootstrap(config: Path | None, **flags: Any) -> int:
    if os.getpid() == 1:
        from galerist.cli.container import node

        return node(config, texts(flags))
    settings = load_settings("bootstrap", config, flags)
    log(settings, settings.node)
    from bootstrap.run import main

    return main(settings)


@command(
    "adopt",
    "Take over a running server that galerist did not start. Nothing is restarted; docs/three-vms.md tells how.",
    settings_options("bootstrap"),
    SETTINGS,
)
def _adopt(config: Path | None, **flags: Any) -> int:
    settings = load_settings("bootstrap", config, flags)
    from bootstrap.adopt import main

    return main(settings)


@command(
    "arbitrator",
    "Run garbd, which votes in Galera's quorum and holds no data. Follows the cluster's generations; ends on SIGTERM.",
    settings_options("arbitrator"),
    SETTINGS,
)
def _arbitrator(config: Path | None, **flags: Any) -> int:
    settings = load_settings("arbitrator", config, flags)
    log(settings, settings.node)
    from bootstrap.garbd import main

    return main(settings)


@command(
    "clustercheck",
    "Answer HTTP about the node's health. 200 is usable, 404 takes no new clients, 503 is down.",
    [
        click.Option(["--once"], is_flag=True, help="Ask once, print one HTTP answer, exit 0 for 200 and else 1."),
        click.Option(
            ["--page"],
            type=click.Choice(["/", "/write", "/read", "/donor", "/live", "/ready"]),
            help="What --once asks. [/]",
        ),
        click.Option(["--disable"], metavar="REASON", help="Take no new clients from now on, and end."),
        click.Option(["--enable"], is_flag=True, help="Take clients again, and end."),
        *settings_options("clustercheck"),
    ],
    SETTINGS,
)
def _clustercheck(
    config: Path | None, once: bool, page: str | None, disable: str | None, enable: bool, **flags: Any
) -> int:
    if once + (disable is not None) + enable > 1:
        raise click.UsageError("--once, --disable and --enable are three different things: give one of them.")
    if page is not None and not once:
        raise click.UsageError("--page is what --once asks: give --once too.")
    settings = load_settings("clustercheck", config, flags)
    if disable is not None or enable:
        from clustercheck.app import switch

        return switch(settings, disable)
    if once:
        from clustercheck.app import look_once

        return look_once(settings, page or "/")
    log(settings, settings.node)
    from clustercheck.app import main

    return main(settings)


@command(
    "haproxy",
    "Run HAProxy and keep it in line with the registry. Ends cleanly on SIGTERM. "
    "With render it prints the configuration instead, with diff how that differs from the one in force, with status "
    "what the watcher last said of itself.",
    [
        click.Argument(["action"], type=click.Choice(["run", "render", "diff", "status"]), default="run"),
        click.Option(
            ["--facts"],
            type=click.Path(path_type=Path),
            metavar="FILE",
            help="For render and diff: JSON facts to take instead of the registry's.",
        ),
        *settings_options("haproxy"),
    ],
    SETTINGS,
)
def _haproxy(config: Path | None, action: str, facts: Path | None, **flags: Any) -> int:
    if action == "status":
        from haproxy import figures

        return figures.show(load_settings("haproxy", config, flags).haproxy_dir)
    if action != "run":
        from haproxy.preview import show

        return show(load_settings("haproxy", config, flags), action, facts)
    if facts is not None:
        raise click.UsageError("--facts is for render and diff")
    if os.getpid() == 1:
        from galerist.cli.container import proxy

        return proxy(config, texts(flags))
    settings = load_settings("haproxy", config, flags)
    log(settings, settings.proxy)
    from haproxy.watcher import main

    return main(settings)


@command(
    "dashboard",
    "Serve the web page: the cluster at a glance, live. Ends on SIGTERM or Ctrl-C.",
    settings_options("dashboard"),
    SETTINGS,
)
def _dashboard(config: Path | None, **flags: Any) -> int:
    settings = load_settings("dashboard", config, flags)
    log(settings, "dashboard")
    from dashboard.app import main
    from galerist.cli.deeds import Orders

    return main(settings, Orders(settings))


@command(
    "discovery",
    "Say in the registry where a node's container is reached from outside. Follows the Docker API; ends on SIGTERM.",
    settings_options("discovery"),
    SETTINGS,
)
def _discovery(config: Path | None, **flags: Any) -> int:
    settings = load_settings("discovery", config, flags)
    log(settings, settings.node)
    from galerist.deploy.discovery import main

    return main(settings)


@command(
    "labels",
    "Keep labels on the pods of a StatefulSet, by which Services find the writer and the readers. Ends on SIGTERM.",
    settings_options("labels"),
    SETTINGS,
)
def _labels(config: Path | None, **flags: Any) -> int:
    settings = load_settings("labels", config, flags)
    log(settings, "labels")
    from galerist.deploy.labels import main

    return main(settings)


@command(
    "courier",
    "Ship the logs of a node to a log store: keeps an rsyslog running that sends each line at least once, to tcp:// and "
    "tls:// as best effort. Ends on SIGTERM; docs/courier.md tells how.",
    settings_options("courier"),
    SETTINGS,
)
def _courier(config: Path | None, **flags: Any) -> int:
    settings = load_settings("courier", config, flags)
    log(settings, settings.node)
    from galerist.deploy.shipping import main

    return main(settings)
