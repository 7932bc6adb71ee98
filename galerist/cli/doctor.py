"""``galerist doctor``: examines a machine and its cluster. What it measures here, it judges in findings.py."""

from __future__ import annotations

import dataclasses
import email.utils
import http.client
import os
import pwd
import resource
import secrets
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from galerist.cli import findings as judge
from galerist.cli.findings import Finding, Level, bad, ok, warn
from galerist.cli.output import console, emit
from galerist.endpoints import Access, show
from galerist.model import Malformed, Report
from galerist.registry.contract import RegistryError, RegistryUnusable
from galerist.registry.keys import Keys
from galerist.registry.open import access, connect
from galerist.settings import Settings, SettingsError
from galerist.view.facts import Cluster, read

if TYPE_CHECKING:
    from galerist.local.layout import Layout

FAILED = 1
_CONNECT = 2.0  # s


def doctor_command(settings: Settings, wrong: SettingsError | None, layout: Layout | None, format: str) -> int:
    """``galerist doctor``. 0 when nothing is to be mended (there may be warnings), else 1.

    ``wrong``: why the settings are not those of a node; ``layout``: of a cluster made by `galerist up`.
    """
    found = list(examine(settings, wrong, layout))
    rows = [("LEVEL", "AREA", "FINDING", "REMEDY")]
    rows += [(one.level.value, one.area, one.what, one.remedy) for one in found]
    worst = max((list(Level).index(one.level) for one in found), default=0)
    data = {"worst": list(Level)[worst].value, "findings": [dataclasses.asdict(one) for one in found]}
    emit(format, data, rows, lambda: _print(found))
    return FAILED if any(one.level is Level.BAD for one in found) else 0


def _print(found: list[Finding]) -> None:
    from rich.markup import escape

    screen = console()
    signs = {Level.OK: "[green]ok  [/]", Level.WARN: "[yellow]warn[/]", Level.BAD: "[bold red]BAD [/]"}
    area = ""
    for one in found:
        if one.area != area:
            area = one.area
            screen.print(f"[bold]{escape(area)}[/]", soft_wrap=True)
        screen.print(f"  {signs[one.level]} {escape(one.what)}", soft_wrap=True)
        if one.remedy:
            screen.print(f"       [dim]remedy:[/] {escape(one.remedy)}", soft_wrap=True)
    count = {level: sum(one.level is level for one in found) for level in Level}
    screen.print(f"{count[Level.OK]} fine, {count[Level.WARN]} worth a thought, {count[Level.BAD]} to be mended.")


def examine(settings: Settings, wrong: SettingsError | None, layout: Layout | None) -> Iterator[Finding]:
    """Everything that can be looked at from here."""
    if wrong is not None:
        for problem in wrong.problems:
            given = "" if problem.value is None else f" = {problem.value!r}"
            yield bad("settings", f"{problem.key}{given} ({problem.where or 'default'}) {problem.text}", problem.remedy)
    yield from _registry(settings)
    seen = _read(settings)
    if isinstance(seen, Cluster):
        yield from judge.cluster(seen)
        yield from _reach(seen.reports)
    if layout is None and wrong is None:
        yield from _programs(settings)
        yield from _node(settings, "node")
    elif layout is not None:
        yield from _local(settings, layout)


# -- the registry and the cluster ------------------------------------------------------------


def _registry(settings: Settings) -> Iterator[Finding]:
    to = access(settings)
    for endpoint in to.endpoints:
        began = time.monotonic()
        answer: float | str
        try:
            _try(dataclasses.replace(to, endpoints=(endpoint,)), settings.cluster)
            answer = time.monotonic() - began
        except RegistryError as error:
            answer = str(error)
        yield judge.registry("registry", show(endpoint), answer)
    yield from judge.endpoints("registry", len(to.endpoints))
    try:
        registry = connect(to)
    except RegistryUnusable:
        return
    lease = registry.lease(10.0)
    key = f"{Keys(settings.cluster).root}doctor/{secrets.token_hex(4)}"
    try:
        lease.publish({key: "looking"})
        lease.withdraw()
        yield ok("registry", "it takes what is written under a lease")
    except RegistryError as error:
        remedy = "look at etcd's alarms (etcdctl alarm list), its quota, and the rights of registry_user"
        yield bad("registry", f"it does not take what is written: {error}", remedy)
    finally:
        registry.close()


def _try(to: Access, cluster: str) -> None:
    registry = connect(to)
    try:
        registry.get(Keys(cluster).state)
    finally:
        registry.close()


def _read(settings: Settings) -> Cluster | None:
    try:
        registry = connect(access(settings))
    except RegistryUnusable:
        return None
    try:
        return read(registry, settings.cluster)
    except (RegistryError, Malformed):  # told already, or not to be understood
        return None
    finally:
        registry.close()


def _reach(reports: tuple[Report, ...]) -> Iterator[Finding]:
    """From here to every member: its name, its ports, its clock. The other way is examined there."""
    for report in reports:
        area, place = f"way to {report.node}", report.endpoint
        yield judge.name(area, place.host, _resolve(place.host), mine=False)
        wanted = [("health endpoint", place.check_port, "check_port")]
        if report.primary:
            wanted += [("SQL", place.sql_port, "sql_port"), ("group communication", place.gcomm_port, "gcomm_port")]
        closed = [(what, port, setting) for what, port, setting in wanted if not _open(place.ip or place.host, port)]
        for what, port, setting in closed:
            remedy = f"let {place.host}:{port} through from here, start what listens there, or correct '{setting}'"
            level = Level.WARN if setting == "check_port" else Level.BAD
            yield Finding(level, area, f"the port for {what}, {port}, does not answer from here", remedy)
        if not closed:
            yield ok(area, "its ports answer: " + ", ".join(str(port) for _, port, _ in wanted))
        ahead = _clock(place.ip or place.host, place.check_port)
        if ahead is not None:
            yield judge.clock(area, report.node, ahead)


def _resolve(host: str) -> tuple[str, ...] | None:
    try:
        return tuple(sorted({str(entry[4][0]) for entry in socket.getaddrinfo(host, None)}))
    except OSError:
        return None


def _open(host: str, port: int) -> bool:
    try:
        socket.create_connection((host, port), timeout=_CONNECT).close()
    except OSError:
        return False
    return True


def _clock(host: str, port: int) -> float | None:
    """By how many seconds the clock of a health endpoint's machine is ahead, to a second; None: it does not say."""
    connection = http.client.HTTPConnection(host, port, timeout=_CONNECT)
    try:
        connection.request("HEAD", "/")
        said = connection.getresponse().getheader("Date")
        return email.utils.parsedate_to_datetime(said).timestamp() + 0.5 - time.time() if said else None
    except (OSError, ValueError, http.client.HTTPException):
        return None
    finally:
        connection.close()


# -- this machine ----------------------------------------------------------------------------


def _programs(settings: Settings) -> Iterator[Finding]:
    from galerist.local import programs

    area = "programs"
    path = os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin:/sbin"
    proxy = ("etcd", "haproxy")  # of other machines, perhaps
    needs = tuple(need for need in programs.needs(settings.sst_method) if need.names[0] not in proxy)
    for need in programs.missing(needs, lambda name: programs.find(name, path)):
        yield bad(area, f"{need.names[0]} is missing: {need.what}", f"install {need.package}")
    for program, least in ((str(settings.mariadbd), (10, 11)), (str(settings.haproxy_binary), (2, 6))):
        if shutil.which(program) is not None:
            flag = "-v" if "haproxy" in program else "--version"
            yield judge.version(area, Path(program).name, _said(program, flag), least)
    if not settings.wsrep_provider.exists():
        remedy = "install galera-4, or correct the setting 'wsrep_provider'"
        yield bad(area, f"the Galera library is missing: {settings.wsrep_provider}", remedy)


def _said(*command: str) -> str:
    try:
        run = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    return run.stdout or run.stderr


def _node(settings: Settings, area: str) -> Iterator[Finding]:
    """The volume, the user, the options and the server of one node of this machine."""
    from galerist.galera import datadir
    from galerist.galera.config import warnings

    folder = next(path for path in (settings.datadir, *settings.datadir.parents) if path.exists())
    usage = os.statvfs(folder)
    inodes = usage.f_favail / usage.f_files if usage.f_files else 1.0
    yield judge.space(
        area, str(settings.datadir), usage.f_bavail * usage.f_frsize, usage.f_blocks * usage.f_frsize, inodes
    )
    both = (settings.datadir, settings.stamp_dir)
    if all(path.exists() for path in both) and len({path.stat().st_dev for path in both}) > 1:
        words = f"stamp_dir {settings.stamp_dir} is not on the volume of datadir"
        yield bad(area, words, "they must be lost and restored together: put stamp_dir beside datadir")
    try:
        pwd.getpwnam(settings.server_user)
    except KeyError:
        remedy = "make that user, or correct the setting 'server_user'"
        yield bad(area, f"there is no user {settings.server_user}, whom the server runs as", remedy)
    yield judge.name(area, settings.host, _resolve(settings.host), mine=True)
    for sentence in warnings(settings.mariadb):
        yield bad(area, sentence, "correct the [mariadb] table of the settings file, or mariadb_conf_dir")
    pid = datadir.opened_by(settings.datadir) if settings.datadir.exists() else None
    if not pid:
        yield judge.files(area, "what is started from here", resource.getrlimit(resource.RLIMIT_NOFILE)[1])
        for port, setting in (
            (settings.sql_port, "sql_port"),
            (settings.gcomm_port, "gcomm_port"),
            (settings.sst_port, "sst_port"),
        ):
            if _open("127.0.0.1", port):
                words = f"no server of this node runs, yet something listens on port {port}"
                yield bad(area, words, f"end that program, or change the setting '{setting}'")
        return
    with suppress(OSError):
        line = next(line for line in Path(f"/proc/{pid}/limits").read_text().splitlines() if "open files" in line)
        limit = line.split()[3]
        yield judge.files(area, f"the server (pid {pid})", 1 << 20 if limit == "unlimited" else int(limit))
    yield from _server(settings, area)


def _server(settings: Settings, area: str) -> Iterator[Finding]:
    from galerist.galera.sql import Sql

    sql = Sql(settings.socket, "root" if os.geteuid() == 0 else settings.server_user)
    try:
        names = "'innodb_flush_log_at_trx_commit','innodb_doublewrite','innodb_flush_method','log_bin','sync_binlog','wsrep_provider_options'"
        rows = sql.query(f"SHOW GLOBAL VARIABLES WHERE Variable_name IN ({names})")
        yield from judge.durability(area, {str(name): str(value) for name, value in rows})
        (row,) = sql.query("SHOW GLOBAL STATUS LIKE 'wsrep_provider_version'")
        yield ok(area, f"Galera {row[1]}")
    except (OSError, ValueError) as error:
        remedy = f"run it as root or as {settings.server_user}, on the node's machine"
        yield warn(area, f"the server's settings could not be read: {error}", remedy)
    finally:
        sql.close()


def _local(settings: Settings, layout: Layout) -> Iterator[Finding]:
    """All nodes of a cluster made by `galerist up`."""
    from galerist.local import plan as planning
    from galerist.settings import load

    yield from _programs(settings)
    for node in planning.load(layout.plan.read_text()).nodes:
        try:
            yield from _node(load({}, {}, layout.node_settings(node), part="bootstrap"), node)
        except SettingsError as error:
            yield bad(node, str(error.problems[0]), "galerist up writes this file anew")
