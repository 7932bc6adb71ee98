"""The option file that a server is started with. Pure: values in, text out."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from galerist.endpoints import show
from galerist.galera import tls
from galerist.settings import Options, Secret
from galerist.settings.userconf import DEFERRED, bare, normal

if TYPE_CHECKING:
    from jinja2 import Template


@dataclass(frozen=True, kw_only=True, slots=True)
class ServerConfig:
    """All that a server's option file depends on.

    ``host`` is how others reach the node (a name or an address, without brackets), ``ipv6`` whether that is by IPv6
    only, ``bind`` what it listens on (an address, or ``*``). ``cluster_address`` comes from :func:`cluster_address`,
    ``sst_auth`` is ``user:password``, ``donors`` the nodes to be asked for a
    state transfer before all others. ``notify_cmd`` is one shell word or a whole command. ``tls`` is the folder of
    the certificates (:mod:`galerist.galera.tls`), None for a server without TLS.
    """

    datadir: Path
    socket: Path
    pid_file: Path
    error_log: Path
    host: str
    bind: str
    sql_port: int
    gcomm_port: int
    ist_port: int
    sst_port: int
    node: str
    cluster_name: str
    cluster_address: str
    provider: Path
    sst_method: str
    notify_cmd: str
    ipv6: bool = False
    sst_auth: Secret | None = None
    tls: Path | None = None
    donors: tuple[str, ...] = ()
    options: Options = ()
    provider_options: tuple[tuple[str, str], ...] = ()


def authority(host: str, port: int) -> str:
    """``host:port``, an IPv6 address in brackets as Galera wants it."""
    return show((host, port))


def cluster_address(peers: Iterable[tuple[str, int]]) -> str:
    """The ``gcomm://`` URL of the peers' (host, gcomm port); without peers that of a new component."""
    return "gcomm://" + ",".join(authority(host, port) for host, port in peers)


def render_mycnf(node: ServerConfig) -> str:
    """The option file with which ``node`` starts: closed, and complete, so that no other file is read."""
    return _template().render(
        own=tuple(_own_options(node).items()),
        users=tuple((name, value) for name, value in node.options if bare(name) not in DEFERRED),
        # A scheduler that started DISABLED can never be switched on, one that started OFF can
        event_scheduler="DISABLED" if _last(node.options, "event_scheduler") == "DISABLED" else "OFF",
        ssl="OFF" if node.tls is None else "ON",
        transfer=_transfer_by_tls(node.tls),
        sockopt=_socat(node),
    )


def on_opening(options: Options) -> tuple[tuple[str, str], ...]:
    """The (global variable, value) pairs to set in the running server when the node opens."""
    opening = [("require_secure_transport", _last(options, "require_secure_transport") or "OFF")]
    scheduler = _last(options, "event_scheduler")
    if scheduler == "ON":
        opening.append(("event_scheduler", scheduler))
    return tuple(opening)


def warnings(options: Options, encrypted: bool = False) -> tuple[str, ...]:
    """A sentence for each of the user's options that is allowed and gives up something that galerist promises."""
    found = []
    flush = _last(options, "innodb_flush_log_at_trx_commit")
    if flush not in (None, "1"):
        found.append(
            f"innodb_flush_log_at_trx_commit={flush} LOSES ACKNOWLEDGED COMMITS when nodes crash in quick succession; "
            "galerist's promise of no lost commit holds with 1 only"
        )
    if _last(options, "innodb_doublewrite") == "OFF":
        found.append("innodb_doublewrite=OFF leaves torn pages after a crash; such a node cannot be recovered")
    if (_last(options, "innodb_flush_method") or "").lower() == "nosync":
        found.append("innodb_flush_method=nosync LOSES ACKNOWLEDGED COMMITS when a machine crashes")
    force = _last(options, "innodb_force_recovery")
    if force not in (None, "0"):
        found.append(f"innodb_force_recovery={force} is for rescuing data, not for a node of a cluster")
    if _last(options, "require_secure_transport") == "ON" and not encrypted:
        found.append(
            "require_secure_transport=ON keeps every client out that comes by TCP: the server has no TLS; give tls_cert"
        )
    return tuple(found)


def quote(value: str) -> str:
    """``value`` as an option file must hold it, so that the server and the scripts read it back as it was."""
    if value and all(char.isalnum() or char in "_-./:,*[]@%+" for char in value):
        return value
    escapes = {"\\": "\\\\", '"': '\\"', "\n": "\\n", "\r": "\\r", "\t": "\\t"}
    return '"' + "".join(escapes.get(char, char) for char in value) + '"'


def _own_options(node: ServerConfig) -> Mapping[str, str]:
    own = {
        "datadir": str(node.datadir),
        "socket": str(node.socket),
        "pid_file": str(node.pid_file),
        "log_error": str(node.error_log),
        "port": str(node.sql_port),
        "bind_address": node.bind,
        "binlog_format": "ROW",
        "default_storage_engine": "InnoDB",
        "innodb_autoinc_lock_mode": "2",
        "innodb_flush_log_at_trx_commit": "1",
        # A proxy brings all clients from its own address: those that only knock must not shut out the others
        "max_connect_errors": "4294967295",
        "wsrep_on": "ON",
        "wsrep_provider": str(node.provider),
        "wsrep_provider_options": ";".join(f"{key}={value}" for key, value in _provider_options(node).items()),
        "wsrep_cluster_name": node.cluster_name,
        "wsrep_cluster_address": node.cluster_address,
        "wsrep_node_name": node.node,
        "wsrep_node_address": authority(node.host, node.gcomm_port),
        "wsrep_node_incoming_address": authority(node.host, node.sql_port),
        "wsrep_sst_method": node.sst_method,
        "wsrep_sst_receive_address": authority(node.host, node.sst_port),
        "wsrep_notify_cmd": node.notify_cmd,
    }
    if node.donors:
        own["wsrep_sst_donor"] = ",".join(node.donors) + ","  # the last comma: any other, if none of them can
    if node.sst_auth is not None:
        own["wsrep_sst_auth"] = node.sst_auth.reveal()
    if node.tls is not None:
        shown = {"ssl_ca": tls.CA, "ssl_cert": tls.LISTEN_CERT, "ssl_key": tls.LISTEN_KEY}
        own |= {option: str(node.tls / name) for option, name in shown.items()}
    return own


def _provider_options(node: ServerConfig) -> dict[str, str]:
    return {
        "gcache.recover": "yes",  # a node that crashed can still be a donor of an incremental transfer
        "evs.join_retrans_period": "PT0.3S",  # a joiner is in the group a second earlier than with PT1S
        **dict(node.provider_options),
        "gmcast.listen_addr": listen_address(node.ipv6, node.bind, node.gcomm_port),
        "ist.recv_addr": authority(node.host, node.ist_port),
        "ist.recv_bind": authority(_listen(node.ipv6, node.bind), node.ist_port),
        "pc.recovery": "no",  # Galera must not re-form behind galerist's back
        **_replication_by_tls(node.tls),
    }


def _replication_by_tls(folder: Path | None) -> dict[str, str]:
    if folder is None:
        return {}
    files = {"socket.ssl_ca": tls.CA, "socket.ssl_cert": tls.CERT, "socket.ssl_key": tls.KEY}
    return {"socket.ssl": "yes"} | {option: str(folder / name) for option, name in files.items()}


def _transfer_by_tls(folder: Path | None) -> tuple[tuple[str, str], ...]:
    """What the scripts of full state transfers read: both ends show a certificate of the same authority."""
    if folder is None:
        return ()
    files = (("tca", tls.CA), ("tcert", tls.CERT), ("tkey", tls.KEY))
    return ("encrypt", "3"), ("ssl-mode", "VERIFY_CA"), *((option, str(folder / name)) for option, name in files)


def listen_address(ipv6: bool, bind: str, port: int) -> str:
    """Where group communication listens. ``bind``: an address, or ``*`` for all of IPv4, or of IPv6."""
    return f"tcp://{authority(_listen(ipv6, bind), port)}"


def _listen(ipv6: bool, bind: str) -> str:
    return bind if bind != "*" else "::" if ipv6 else "0.0.0.0"


def _socat(node: ServerConfig) -> str:
    """Where a joiner's socat listens: unless it is told, on IPv4 only."""
    if node.bind == "*":
        return "pf=ip6" if node.ipv6 else ""
    return f"bind={f'[{node.bind}]' if ':' in node.bind else node.bind}"


def _last(options: Options, variable: str) -> str | None:
    """The value that the last mention of a variable gives it, booleans as ON and OFF; None if there is none."""
    value = None
    for name, text in options:
        if bare(name) == variable:
            plain = normal(name).lower().removeprefix("loose_")
            if plain.startswith(("skip_", "disable_")):
                value = "OFF"
            elif text is None:
                value = "ON"
            else:
                value = text.strip()
    if value is None or variable.startswith(("innodb_flush", "innodb_force")):
        return value
    return {"1": "ON", "TRUE": "ON", "YES": "ON", "0": "OFF", "FALSE": "OFF", "NO": "OFF"}.get(
        value.upper(), value.upper()
    )


@functools.cache
def _template() -> Template:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("galerist.galera"),
        undefined=StrictUndefined,
        autoescape=False,  # noqa: S701  # an option file is not HTML
        keep_trailing_newline=True,
    )
    environment.filters["option"] = quote
    return environment.get_template("my.cnf.j2")
