"""What ``galerist courier`` has rsyslog do: ship logs as JSON lines. Pure.

rsyslog is the shipper: it follows the files (imfile), keeps what waits on disk, and speaks to Elasticsearch
(omelasticsearch, bulk), by RELP (omrelp) or by plain TCP (omfwd). Here its configuration is made.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from urllib.parse import urlsplit

from galerist.settings import Settings

PORTS = {"http": 9200, "https": 9200, "relp": 2514, "relps": 2514, "tcp": 5000, "tls": 5000}
"""The kinds of stores, and where they usually listen."""

SLOW = "^# (Time|User@Host):"
"""How an entry of the slow log begins, which has several lines; the time before some of them is sent by itself."""


@dataclass(frozen=True, slots=True)
class Courier:
    """All that the configuration depends on. ``files`` are (source, path, regex of an entry's first line or "")."""

    cluster: str
    node: str
    folder: Path
    kind: str
    host: str
    port: int
    index: str
    files: tuple[tuple[str, str, str], ...]
    megabytes: int = 1024
    ca: str = ""
    cert: str = ""
    key: str = ""
    user: str = ""
    password: str = ""


def courier(settings: Settings) -> Courier:
    """The courier that the settings describe; ``courier_to`` must be given."""
    url = urlsplit(settings.courier_to)
    files = [("error", str(settings.error_log), ""), ("slow", str(settings.slow_log), SLOW)]
    if settings.log_file is not None:
        files.append(("galerist", str(settings.log_file), ""))
    return Courier(
        cluster=settings.cluster,
        node=settings.node,
        folder=settings.courier_dir,
        kind=url.scheme,
        host=url.hostname or "",
        port=url.port or PORTS[url.scheme],
        index=url.path.strip("/") or "galerist",
        files=tuple(files),
        megabytes=settings.courier_queue,
        **{what: str(getattr(settings, f"courier_{what}") or "") for what in ("ca", "cert", "key", "user")},
        password=settings.courier_password.reveal() if settings.courier_password else "",
    )


def render(one: Courier) -> str:
    """rsyslog's configuration file."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    templates = Environment(
        loader=PackageLoader("galerist.deploy"),
        undefined=StrictUndefined,
        autoescape=False,  # noqa: S701  # rsyslog's configuration is not HTML
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    templates.filters["quoted"] = quoted
    values = asdict(one) | {"folder": str(one.folder)}
    return templates.get_template("courier/rsyslog.conf.j2").render(values)


def quoted(text: str) -> str:
    """A string constant of RainerScript."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("$", "\\$")
    return f'"{escaped}"'


def complaints(text: str) -> Iterable[str]:
    """What ``rsyslogd -N1`` says that is worth telling, a line each."""
    for line in text.splitlines():
        if "End of config validation" not in line and "version" not in line.split(",")[0] and line.strip():
            yield line.removeprefix("rsyslogd: ").strip()
