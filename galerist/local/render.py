"""The files and command lines that a plan leads to. Pure: text in, text out."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping

from galerist.deploy.tls import Places
from galerist.local.layout import Layout
from galerist.local.plan import Plan

LOOPBACK = "127.0.0.1"
APP = "app"  # user and database
ETCD, CLIENT = "etcd", "client"  # holders of certificates, besides the nodes


def toml(values: Mapping[str, object]) -> str:
    """A flat TOML document. JSON's strings, numbers, booleans and arrays of them are TOML's, DEL excepted."""
    lines = [
        f"{key} = {json.dumps(value, ensure_ascii=False)}".replace("\x7f", "\\u007f") for key, value in values.items()
    ]
    return "# Written by `galerist up` at each start; changes made here are lost.\n" + "\n".join(lines) + "\n"


def registry(plan: Plan) -> str:
    return f"etcd3://{LOOPBACK}:{plan.port('etcd_port')}"


def common_settings(plan: Plan, layout: Layout) -> dict[str, object]:
    values: dict[str, object] = {"cluster": plan.cluster, "registry": registry(plan)}
    return values | _certificate(plan, layout, CLIENT, "registry")


def _certificate(plan: Plan, layout: Layout, holder: str, prefix: str) -> dict[str, object]:
    """The settings ``<prefix>_ca``, ``_cert`` and ``_key`` of a cluster with TLS."""
    if not plan.tls:
        return {}
    places = Places(layout.tls)
    files = {"ca": places.ca, "cert": places.cert(holder), "key": places.key(holder)}
    return {f"{prefix}_{what}": str(path) for what, path in files.items()}


def server_options(plan: Plan) -> str:
    """The table of a node's settings file with options for mariadbd."""
    return "\n[mariadb]\nrequire_secure_transport = true\n" if plan.tls else ""


def node_settings(plan: Plan, layout: Layout, node: str) -> dict[str, object]:
    """For `galerist bootstrap` and `galerist clustercheck` of one node."""
    values = common_settings(plan, layout) | _certificate(plan, layout, node, "tls")
    values |= {"node": node, "host": LOOPBACK, "bind": LOOPBACK, "unit": f"galera@{node}"}
    values |= {
        key: plan.port(key, node)
        for key in ("sql_port", "gcomm_port", "ist_port", "sst_port", "check_port", "agent_metrics_port")
    }
    values |= {
        "check_bind": LOOPBACK,
        "metrics_bind": LOOPBACK,
        "datadir": str(layout.datadir(node)),
        "stamp_dir": str(layout.node(node) / "stamp"),
        "run_dir": str(layout.sockets() / node),
        "error_log": str(layout.error_log(node)),
        "expect": ",".join(plan.nodes),
        "sst_method": plan.sst_method,
        "sst_user": "galerist_sst",
        "app_user": APP,
        "app_database": APP,
    }
    if plan.server_user:
        values["server_user"] = plan.server_user
    values |= {f"{name}_password_file": str(layout.secret(name)) for name in ("root", "sst", "check", "app")}
    if plan.init_sql:
        values["init_sql"] = list(plan.init_sql)
    return values


def proxy_settings(plan: Plan, layout: Layout) -> dict[str, object]:
    """For `galerist haproxy`."""
    values = common_settings(plan, layout)
    values |= {"proxy": "local", "proxy_host": LOOPBACK, "proxy_bind": LOOPBACK, "stats_bind": LOOPBACK}
    values |= {
        key: plan.port(key) for key in ("write_port", "read_port", "all_port", "stats_port", "proxy_metrics_port")
    }
    values["metrics_bind"] = LOOPBACK
    values["haproxy_dir"] = str(layout.haproxy())
    return values


def dashboard_settings(plan: Plan, layout: Layout) -> dict[str, object]:
    """For `galerist dashboard`."""
    values = common_settings(plan, layout) | {"dashboard_bind": LOOPBACK, "dashboard_port": plan.port("dashboard_port")}
    return values | {"dashboard_password_file": str(layout.secret("dashboard"))}


def client_cnf(plan: Plan, layout: Layout, password: str) -> str:
    """An option file for MariaDB's clients that leads to the write port."""
    return (
        "# Written by `galerist up`: mariadb --defaults-file=<this file>\n"
        "[client]\n"
        "protocol = tcp\n"
        f"host = {LOOPBACK}\n"
        f"port = {plan.port('write_port')}\n"
        f"user = {APP}\n"
        f"password = {password}\n"
        + (f"ssl-ca = {Places(layout.tls).ca}\nssl-verify-server-cert\n" if plan.tls else "")
        + "\n"
        "[mysql]\n"
        f"database = {APP}\n"
    )


def galerist(*arguments: str) -> tuple[str, ...]:
    """The command line of a part of galerist, in this same Python."""
    return (sys.executable, "-m", "galerist", *arguments)


def commands(plan: Plan, layout: Layout, etcd: str = "etcd") -> dict[str, tuple[str, ...]]:
    """The command line of every child of the supervisor, by name, in the order of starting."""
    client = f"{'https' if plan.tls else 'http'}://{LOOPBACK}:{plan.port('etcd_port')}"
    peer = f"http://{LOOPBACK}:{plan.port('etcd_peer_port')}"  # it has no peers
    places = Places(layout.tls)
    certificates = (
        f"--cert-file={places.cert(ETCD)}",
        f"--key-file={places.key(ETCD)}",
        f"--trusted-ca-file={places.ca}",
        "--client-cert-auth",
    )
    result: dict[str, tuple[str, ...]] = {
        "etcd": (
            etcd,
            f"--data-dir={layout.etcd}",
            *(certificates if plan.tls else ()),
            f"--listen-client-urls={client}",
            f"--advertise-client-urls={client}",
            f"--listen-peer-urls={peer}",
            f"--initial-advertise-peer-urls={peer}",
            f"--initial-cluster=default={peer}",
            "--auto-compaction-retention=1h",
            "--logger=zap",
            "--log-outputs=stderr",
            "--log-level=warn",
        )
    }
    for node in plan.nodes:
        result[node] = galerist("bootstrap", "--config", str(layout.node_settings(node)))
    result["proxy"] = galerist("haproxy", "--config", str(layout.proxy_settings))
    for node in plan.nodes:
        result[f"{node}-check"] = galerist("clustercheck", "--config", str(layout.node_settings(node)))
    result["dashboard"] = galerist("dashboard", "--config", str(layout.dashboard_settings))
    return result


def environment(environ: Mapping[str, str], layout: Layout, machine: str) -> dict[str, str]:
    """The environment of the children.

    Settings of the caller (``GALERIST_*``, ``ETCD_*``) would overrule the files made for
    each child, so they are left out.
    """
    result = {key: value for key, value in environ.items() if not key.startswith(("GALERIST_", "ETCD_", "MYSQL_"))}
    # Ordinary users do not have sbin in their path, where Debian keeps mariadbd and haproxy.
    directories = [part for part in result.get("PATH", "").split(":") if part]
    extra = [part for part in ("/usr/local/sbin", "/usr/sbin", "/usr/bin", "/sbin", "/bin") if part not in directories]
    result["PATH"] = ":".join(directories + extra)
    result["TMPDIR"] = str(layout.tmp)  # the caller's may be closed to the user that mariadbd runs as
    result["PYTHONUNBUFFERED"] = "1"
    result["PYTHONSAFEPATH"] = "1"  # nothing is imported from the working directory
    for key in ("NO_PROXY", "no_proxy"):
        result[key] = ",".join(filter(None, (result.get(key), LOOPBACK, "localhost")))
    if machine == "aarch64":
        result["ETCD_UNSUPPORTED_ARCH"] = "arm64"  # etcd 3.4 refuses to start there without
    return result
