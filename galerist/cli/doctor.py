"""``galerist doctor``: examines a machine and its cluster. What it measures here, it judges in findings.py."""

from __future__ import annotations

import dataclasses
import os
import pwd
import resource
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from bootstrap.scout import CONNECT, REACH, walk, ways
from galerist.cli import findings as judge
from galerist.cli.asking import Question
from galerist.cli.findings import Finding, Level, bad, ok, warn
from galerist.cli.output import console, emit
from galerist.endpoints import Access, show
from galerist.model import Malformed, Report
from galerist.registry.contract import RegistryDown, RegistryError, RegistryUnusable
from galerist.registry.keys import Keys
from galerist.registry.open import access, connect
from galerist.settings import Settings, SettingsError
from galerist.view.facts import read

if TYPE_CHECKING:
    from galerist.local.layout import Layout

FAILED = 1


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
    yield from _cluster(settings)
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


def _try(to: Access, cluster: str) -> None:
    registry = connect(to)
    try:
        registry.get(Keys(cluster).state)
    finally:
        registry.close()


def _cluster(settings: Settings) -> Iterator[Finding]:
    """What the registry says of the cluster, what is reached from here, and what the agents reach of one another."""
    try:
        registry = connect(access(settings))
    except RegistryUnusable:
        return  # told already
    question, asked = Question(registry, settings.cluster), time.time()
    try:
        try:
            question.put(REACH)
            yield ok("registry", "it takes what is written under a lease")
        except RegistryDown:
            return  # told already
        except RegistryError as error:
            asked = 0.0
            remedy = "look at etcd's alarms (etcdctl alarm list), its quota, and the rights of registry_user"
            yield bad("registry", f"it does not take what is written: {error}", remedy)
        seen = read(registry, settings.cluster)
        yield from judge.cluster(seen)
        yield from _reach(seen.reports)
        if asked:
            nodes = tuple(report.node for report in seen.reports)
            yield from judge.answers(nodes, question.answers(nodes), (asked, time.time()))
    except (RegistryError, Malformed):  # told already, or not to be understood
        return
    finally:
        registry.close()


def _reach(reports: tuple[Report, ...]) -> Iterator[Finding]:
    """From here to every member: its name, and its ports."""
    walked = walk(tuple(ways(reports)))
    for report in reports:
        area = f"way to {report.node}"
        yield judge.name(area, report.endpoint.host, _resolve(report.endpoint.host), mine=False)
        yield from judge.ways(area, "here", tuple(way for way in walked if way.node == report.node))


def _resolve(host: str) -> tuple[str, ...] | None:
    try:
        return tuple(sorted({str(entry[4][0]) for entry in socket.getaddrinfo(host, None)}))
    except OSError:
        return None


def _open(host: str, port: int) -> bool:
    try:
        socket.create_connection((host, port), timeout=CONNECT).close()
    except OSError:
        return False
    return True


# -- this machine ----------------------------------------------------------------------------


def _programs(settings: Settings) -> Iterator[Finding]:
    from galerist.local import programs

    area = "programs"
    path = os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin:/sbin"
    proxy = ("etcd", "haproxy")  # of other machines, perhaps
    needs = tuple(
        need
        for need in programs.needs(settings.sst_method, settings.tls_cert is not None)
        if need.names[0] not in proxy
    )
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
