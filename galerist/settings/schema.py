"""Every key: its kind, default, help, and the sub-commands that take it."""

from __future__ import annotations

import dataclasses
import os
import pwd
import shutil
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import Any

from galerist.settings import kinds
from galerist.settings.kinds import Kind
from galerist.settings.problems import Secret
from galerist.settings.userconf import Options

PARTS = (
    "bootstrap", "arbitrator", "clustercheck", "haproxy", "discovery", "labels", "courier", "dashboard", "list", "explain",
)  # fmt: skip
_NODE = ("bootstrap", "clustercheck")
_AGENT = ("bootstrap",)
_VOTE = ("arbitrator",)
_CHECK = ("clustercheck",)
_PROXY = ("haproxy",)
_PAGE = ("dashboard",)
_SIDEKICK = ("discovery",)
_LABELS = ("labels",)
_COURIER = ("courier",)

Default = Callable[[Mapping[str, Any]], Any]


@dataclass(frozen=True, slots=True)
class Field:
    """One key. ``default`` computes the default from the keys above it, ``default_text`` describes it.

    ``must_exist``: a path that must be readable when a sub-command that takes it starts.
    """

    name: str
    kind: Kind
    default: Default
    default_text: str
    help: str
    parts: tuple[str, ...]
    must_exist: bool = False

    @property
    def secret(self) -> bool:
        return self.kind is kinds.SECRET

    @property
    def type_text(self) -> str:
        return self.kind.name

    @property
    def key(self) -> str:
        """The key by which it is given as a flag: secrets are given as a file."""
        return f"{self.name}_file" if self.secret else self.name

    @property
    def flag(self) -> str:
        return "--" + self.key.replace("_", "-")

    @property
    def variable(self) -> str:
        return "GALERIST_" + self.key.upper()


def _setting(
    kind: Kind,
    default: object,
    help: str,
    parts: tuple[str, ...] = PARTS,
    *,
    default_text: str | None = None,
    must_exist: bool = False,
) -> Any:
    compute: Default = default if callable(default) else lambda _values: default
    if default_text is None:
        default_text = str(default).lower() if isinstance(default, bool) else str(default)
    return dataclasses.field(metadata={"field": (kind, compute, default_text, help, parts, must_exist)})


def _secret(help: str, parts: tuple[str, ...]) -> Any:
    return _setting(kinds.SECRET, None, help, parts, default_text="")


def _file(help: str, parts: tuple[str, ...] = PARTS, must_exist: bool = True) -> Any:
    return _setting(kinds.PATH, None, help, parts, default_text="", must_exist=must_exist)


def _hostname(_values: Mapping[str, Any]) -> str:
    return socket.gethostname() or "localhost"


def _short_hostname(_values: Mapping[str, Any]) -> str:
    return (socket.gethostname() or "localhost").partition(".")[0]


def _server_user(_values: Mapping[str, Any]) -> str:
    if os.geteuid() == 0:
        return "mysql"  # mariadbd refuses to run as root, and rsync would drop to nobody
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        return str(os.geteuid())


def _provider(_values: Mapping[str, Any]) -> Path:
    folders = ("galera", "galera-4", "x86_64-linux-gnu/galera", "aarch64-linux-gnu/galera")
    places = [Path(lib) / folder / "libgalera_smm.so" for lib in ("/usr/lib", "/usr/lib64") for folder in folders]
    return next((place for place in places if place.exists()), places[0])


def _program(name: str) -> Default:
    def find(_values: Mapping[str, Any]) -> Path:
        path = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin", "/usr/bin", "/usr/libexec"])
        return Path(shutil.which(name, path=path) or f"/usr/sbin/{name}")

    return find


@dataclass(frozen=True, kw_only=True, slots=True)
class Settings:
    """All settings, checked. Times are seconds, paths are absolute. Secrets are None where not given."""

    cluster: str = _setting(kinds.CLUSTER, "galera", "name of the cluster")
    # -- registry
    registry: str = _setting(kinds.REGISTRY, "etcd3://127.0.0.1:2379", "where the registry is")
    registry_ca: Path | None = _file("certificate authority of the registry's servers; implies TLS")
    registry_cert: Path | None = _file("client certificate for the registry; implies TLS")
    registry_key: Path | None = _file("key of the client certificate")
    registry_tls: bool = _setting(
        kinds.BOOLEAN,
        lambda values: any(values.get(f"registry_{name}") for name in ("ca", "cert", "key")),
        "speak TLS to the registry",
        default_text="true when registry_ca or registry_cert is given",
    )
    registry_user: str = _setting(kinds.ACCOUNT, "", "user of the registry")
    registry_password: Secret | None = _secret("password of the registry's user", PARTS)
    registry_kubeconfig: Path | None = _file("kubeconfig for k8s://; without it the pod's own account, or $KUBECONFIG")
    registry_timeout: float = _setting(kinds.seconds(0.1, 60), 2.0, "longest wait for one answer of the registry")
    ttl: float = _setting(
        kinds.seconds(2, 3600),
        10.0,
        "life of what is published without a refresh",
        (*_NODE, *_VOTE, *_PROXY, *_SIDEKICK),
    )
    # -- node
    node: str = _setting(
        kinds.NAME,
        _short_hostname,
        "name of this node",
        (*_NODE, *_VOTE, *_SIDEKICK, *_COURIER),
        default_text="short host name",
    )
    host: str = _setting(
        kinds.HOST,
        _hostname,
        "name or address by which others reach this node",
        (*_AGENT, *_VOTE, *_SIDEKICK),
        default_text="host name",
    )
    bind: str = _setting(kinds.BIND, "*", "address the server listens on", (*_AGENT, *_VOTE))
    sql_port: int = _setting(kinds.PORT, 3306, "port for SQL", (*_NODE, *_SIDEKICK))
    gcomm_port: int = _setting(kinds.PORT, 4567, "port for group communication", (*_AGENT, *_VOTE))
    ist_port: int = _setting(kinds.PORT, 4568, "port for incremental state transfers", _AGENT)
    sst_port: int = _setting(kinds.PORT, 4444, "port for full state transfers", _AGENT)
    check_port: int = _setting(kinds.PORT, 9200, "port of the health endpoint", _NODE)
    datadir: Path = _setting(kinds.PATH, Path("/var/lib/mysql"), "folder of the data", _NODE)
    stamp_dir: Path = _setting(
        kinds.PATH,
        lambda values: Path(f"{values['datadir']}.galerist"),
        "folder of what galerist remembers, on the volume of datadir and not in it",
        _NODE,
        default_text="<datadir>.galerist",
    )
    run_dir: Path = _setting(
        kinds.PATH,
        lambda values: values["stamp_dir"] / "run",
        "folder of sockets and files that live as long as a process",
        (*_NODE, *_VOTE),
        default_text="<stamp_dir>/run",
    )
    socket: Path = _setting(
        kinds.PATH,
        lambda values: values["run_dir"] / "mariadb.sock",
        "the server's Unix socket, at most 100 bytes long",
        _NODE,
        default_text="<run_dir>/mariadb.sock",
    )
    error_log: Path = _setting(
        kinds.PATH,
        lambda values: values["stamp_dir"] / "mariadb.err",
        "the server's log",
        (*_AGENT, *_COURIER),
        default_text="<stamp_dir>/mariadb.err",
    )
    server_user: str = _setting(
        kinds.ACCOUNT,
        _server_user,
        "user that the server runs as, never root",
        (*_NODE, *_VOTE),
        default_text="mysql when galerist runs as root, else its own user",
    )
    expect: int | tuple[str, ...] = _setting(
        kinds.EXPECT, 3, "nodes that must have reported before the first start: their names, or a count", _AGENT
    )
    sst_method: str = _setting(
        kinds.choice("mariabackup", "rsync"), "mariabackup", "method of full state transfers", _AGENT
    )
    sst_user: str = _setting(
        kinds.ACCOUNT,
        "",
        "account for state transfers; without it server_user comes in by the Unix socket",
        _AGENT,
    )
    sst_password: Secret | None = _secret("password of sst_user", _AGENT)
    tls_ca: Path | None = _file(
        "authority of the certificates of all nodes; with it servers speak TLS", (*_AGENT, *_VOTE)
    )
    tls_cert: Path | None = _file(
        "this node's certificate, for clients, replication and state transfers", (*_AGENT, *_VOTE)
    )
    tls_key: Path | None = _file("key of tls_cert", (*_AGENT, *_VOTE))
    root_password: Secret | None = _secret("password of the database's root account; generated if not given", _AGENT)
    root_host: str = _setting(
        kinds.CLIENT_HOST, "", "hosts from which root may come over the network, % for all; without it none", _AGENT
    )
    check_user: str = _setting(kinds.ACCOUNT, "galerist_check", "account for health checks", _NODE)
    check_password: Secret | None = _secret("password of check_user; without it the account has none", _NODE)
    app_user: str = _setting(kinds.ACCOUNT, "", "application account that the first node makes", _AGENT)
    app_password: Secret | None = _secret("password of app_user", _AGENT)
    app_database: str = _setting(kinds.DATABASE, "", "database that the first node makes for app_user", _AGENT)
    init_sql: tuple[Path, ...] = _setting(
        kinds.DUMPS,
        (),
        "dumps and scripts loaded once, in this order, when the cluster has its size",
        _AGENT,
        default_text="",
    )
    wsrep_provider: Path = _setting(
        kinds.PATH, _provider, "the Galera library", _AGENT, default_text="libgalera_smm.so where it is found"
    )
    mariadbd: Path = _setting(
        kinds.PATH, _program("mariadbd"), "the server's program", _AGENT, default_text="mariadbd where it is found"
    )
    mariadb_conf_dir: Path | None = _file(
        "folder of *.cnf files with your own options for the server", (*_AGENT, *_VOTE)
    )
    garbd: Path = _setting(
        kinds.PATH, _program("garbd"), "the arbitrator's program", _VOTE, default_text="garbd where it is found"
    )
    unit: str = _setting(
        kinds.UNIT,
        lambda values: f"galera@{values['node']}",
        "name of this node's service, published for people",
        (*_NODE, *_SIDEKICK),
        default_text="galera@<node>",
    )
    advertise: str = _setting(
        kinds.choice("agent", "sidekick"),
        "agent",
        "who says under /components where the SQL listener is: the agent, or `galerist discovery` beside the container",
        _AGENT,
    )
    statefulset: str = _setting(
        kinds.NAME,
        "",
        "on Kubernetes, the StatefulSet whose pods are the nodes: those that a scale-down ends leave for good",
        (*_AGENT, *_LABELS),
    )
    # -- discovery
    container: str = _setting(
        kinds.CONTAINER,
        lambda values: f"galera-{values['node']}",
        "name or id of the node's container",
        _SIDEKICK,
        default_text="galera-<node>",
    )
    docker: str = _setting(
        kinds.ENGINE, "unix:///var/run/docker.sock", "where the Docker API is, podman's too", _SIDEKICK
    )
    # -- health endpoint
    check_bind: str = _setting(kinds.BIND, "*", "address the health endpoint listens on", _CHECK)
    check_poll: float = _setting(kinds.seconds(0.05, 60), 0.2, "time between two looks at the server", _CHECK)
    check_stale: float = _setting(kinds.seconds(0.1, 600), 0.9, "age at which the last look counts no more", _CHECK)
    drain_file: Path | None = _setting(
        kinds.PATH,
        None,
        "in a container, the node is drained while this file says something: a pod's annotation",
        _AGENT,
        default_text="",
    )
    check_disabled_file: Path = _setting(
        kinds.PATH,
        lambda values: values["stamp_dir"] / "disabled",
        "while this file exists the node takes no clients",
        _NODE,
        default_text="<stamp_dir>/disabled",
    )
    available_when_donor: bool = _setting(kinds.BOOLEAN, False, "send clients to a node that is a donor", _CHECK)
    available_when_read_only: bool = _setting(
        kinds.BOOLEAN, False, "send clients to a node whose read_only is ON", _CHECK
    )
    check_max_queue: int | None = _setting(
        kinds.count(0, 10**9), None, "drain a node with more write-sets than this to apply", _CHECK, default_text=""
    )
    check_max_flow_control: int | None = _setting(
        kinds.count(0, 100),
        None,
        "drain a node that flow control pauses for more than this per cent of the time",
        _CHECK,
        default_text="",
    )
    check_donor_code: str = _setting(
        kinds.choice("404", "503", "500"), "404", "status code for a donor that takes no clients", _CHECK
    )
    check_down_code: str = _setting(kinds.choice("503", "500"), "503", "status code for a node of no use", _CHECK)
    check_text: str = _setting(
        kinds.choice("reason", "classic"), "reason", "bodies: the reason, or what the classic scripts say", _CHECK
    )
    check_probe: bool = _setting(
        kinds.BOOLEAN, True, "write a row now and then to find out whether commits hang", _CHECK
    )
    check_probe_interval: float = _setting(kinds.seconds(5, 3600), 5.0, "time between two such writes", _CHECK)
    check_probe_late: float = _setting(kinds.seconds(1, 600), 5.0, "time after which such a write is late", _CHECK)
    check_networks: tuple[IPv4Network | IPv6Network, ...] = _setting(
        kinds.NETWORKS, (), "networks that may ask the health endpoint; without them all may", _CHECK, default_text=""
    )
    check_auth_user: str = _setting(kinds.ACCOUNT, "", "user that the health endpoint asks for", (*_CHECK, *_PAGE))
    check_auth_password: Secret | None = _secret("password of check_auth_user", (*_CHECK, *_PAGE))
    check_token: Secret | None = _secret("bearer token that the health endpoint asks for", (*_CHECK, *_PAGE))
    check_root_free: bool = _setting(
        kinds.BOOLEAN,
        True,
        "answer the pages /, /live and /ready without password or token, for HAProxy and Kubernetes",
        _CHECK,
    )
    check_agent_port: int | None = _setting(
        kinds.PORT, None, "port for HAProxy's agent check; none without it", _CHECK, default_text=""
    )
    # -- proxy
    proxy: str = _setting(kinds.NAME, _hostname, "name of this proxy", _PROXY, default_text="host name")
    proxy_host: str = _setting(
        kinds.HOST, lambda values: values["host"], "name or address of this proxy", _PROXY, default_text="<host>"
    )
    proxy_bind: tuple[str, ...] = _setting(
        kinds.BINDS, ("*",), "addresses the proxy listens on", _PROXY, default_text="*"
    )
    write_port: int = _setting(kinds.PORT, 3306, "port that leads to one node, the writer", _PROXY)
    read_port: int = _setting(kinds.PORT, 3307, "port that spreads reads over the other nodes", _PROXY)
    all_port: int = _setting(
        kinds.PORT_OR_OFF, 0, "port that spreads reads and writes over all nodes", _PROXY, default_text="off"
    )
    stats_port: int = _setting(kinds.PORT, 8404, "port of HAProxy's statistics", _PROXY)
    stats_bind: str = _setting(kinds.BIND, "127.0.0.1", "address of HAProxy's statistics", _PROXY)
    haproxy_dir: Path = _setting(
        kinds.PATH, Path("/var/lib/galerist/haproxy"), "folder of HAProxy's configuration and sockets", _PROXY
    )
    haproxy_binary: Path = _setting(
        kinds.PATH, _program("haproxy"), "HAProxy's program", _PROXY, default_text="haproxy where it is found"
    )
    haproxy_reload: str = _setting(
        kinds.RELOAD, "child", "child: galerist runs HAProxy; else how one that it does not run reloads", _PROXY
    )
    haproxy_template: Path | None = _file("your own Jinja2 template for HAProxy's configuration", _PROXY)
    haproxy_snippets: Path | None = _file("folder of your own lines for sections of HAProxy's configuration", _PROXY)
    proxy_stop_after: float = _setting(
        kinds.seconds(0.1, 60), 1.0, "an unusable node gets no new session after this time", _PROXY
    )
    proxy_cut_after: float = _setting(
        kinds.seconds(0, 3600), 5.0, "sessions on a node end when it has been unusable for this time", _PROXY
    )
    proxy_move_grace: float = _setting(
        kinds.seconds(0, 60), 2.0, "longest life of a session on a node that is to be the writer no more", _PROXY
    )
    proxy_drain_grace: float = _setting(
        kinds.seconds(0, 86400), 30.0, "longest life of a session on a drained node", _PROXY
    )
    proxy_protocol_in: bool = _setting(
        kinds.BOOLEAN, False, "expect the PROXY protocol from whoever connects to write, read and all", _PROXY
    )
    proxy_protocol_out: str = _setting(
        kinds.choice("off", "v1", "v2"), "off", "version of the PROXY protocol that nodes are sent", _PROXY
    )
    proxy_check_ca: Path | None = _file("certificate authority of health endpoints; implies TLS for checks", _PROXY)
    proxy_resolvers: tuple[str, ...] = _setting(
        kinds.NAME_SERVERS, (), "name servers that HAProxy asks about nodes known by name", _PROXY, default_text=""
    )
    # -- log courier
    courier_to: str = _setting(
        kinds.STORE, "", "where logs go: http(s)://, relp(s)://, tcp:// or tls://host:port", _COURIER, default_text=""
    )
    courier_dir: Path = _setting(
        kinds.PATH, Path("/var/lib/galerist/courier"), "folder of what waits to be sent, and of positions", _COURIER
    )
    courier_queue: int = _setting(
        kinds.count(8, 1_000_000), 1024, "megabytes on disk, at most, that wait to be sent", _COURIER
    )
    courier_ca: Path | None = _file("authority of the log store's certificate", _COURIER)
    courier_cert: Path | None = _file("certificate that is shown to the log store", _COURIER)
    courier_key: Path | None = _file("key of courier_cert", _COURIER)
    courier_user: str = _setting(kinds.ACCOUNT, "", "user of Elasticsearch", _COURIER)
    courier_password: Secret | None = _secret("password of courier_user", _COURIER)
    slow_log: Path = _setting(
        kinds.PATH,
        lambda values: values["stamp_dir"] / "slow.log",
        "the server's slow log, as its option slow_query_log_file says",
        _COURIER,
        default_text="<stamp_dir>/slow.log",
    )
    # -- web page
    dashboard_bind: str = _setting(kinds.BIND, "127.0.0.1", "address the web page listens on", _PAGE)
    dashboard_port: int = _setting(kinds.PORT, 8405, "port of the web page", _PAGE)
    dashboard_password: Secret | None = _secret(
        "password for orders by way of the web page; without it the page only shows", _PAGE
    )
    # -- figures for Prometheus; those of the health endpoint are on its own port, page /metrics
    agent_metrics_port: int | None = _setting(
        kinds.PORT, None, "port of the agent's figures for Prometheus; none without it", _AGENT, default_text=""
    )
    proxy_metrics_port: int | None = _setting(
        kinds.PORT, None, "port of the watcher's figures for Prometheus; none without it", _PROXY, default_text=""
    )
    metrics_bind: str = _setting(
        kinds.BIND, "*", "address that agent_metrics_port and proxy_metrics_port listen on", (*_AGENT, *_PROXY)
    )
    # -- logging
    log_level: str = _setting(kinds.choice("debug", "info", "warning", "error"), "info", "least level that is logged")
    log_format: str = _setting(kinds.choice("text", "json"), "text", "how log lines look")
    log_file: Path | None = _setting(
        kinds.PATH, None, "file that log lines go to as well, as JSON, for the courier", PARTS, default_text=""
    )
    # -- the user's options for mariadbd; not flags
    mariadb: Options = ()
    provider_options: tuple[tuple[str, str], ...] = ()


FIELDS: tuple[Field, ...] = tuple(
    Field(field.name, *field.metadata["field"]) for field in dataclasses.fields(Settings) if "field" in field.metadata
)
