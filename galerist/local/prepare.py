"""Making DIR ready: directories, secrets, and a settings file for each part."""

from __future__ import annotations

import fcntl
import os
import pwd
import secrets
import subprocess
import time
from pathlib import Path
from typing import Any

from galerist.files import write_atomically
from galerist.local import plan as planning
from galerist.local import render
from galerist.local.layout import Layout, LocalError
from galerist.local.plan import Plan

EXIT_CONFIG = 78  # EX_CONFIG of sysexits.h


def server_user() -> str:
    """The user that mariadbd runs as when galerist is root, "" when galerist is not."""
    if os.geteuid() != 0:
        return ""
    try:
        return pwd.getpwnam("mysql").pw_name
    except KeyError:
        raise LocalError(
            "the user mysql does not exist, and mariadbd refuses to run as root; "
            "install the MariaDB server, or run `galerist up` as an ordinary user",
            69,
        ) from None


def check_dumps(dumps: tuple[Path, ...]) -> tuple[str, ...]:
    """Absolute paths of the dumps to load. Raises LocalError naming all that will not do."""
    problems = []
    for path in dumps:
        if not path.name.endswith((".sql", ".sql.gz", ".sql.zst")):
            problems.append(f"--init-sql {path}: not a name that ends in .sql, .sql.gz or .sql.zst")
            continue
        try:
            with path.open("rb"):
                pass
        except OSError as error:
            problems.append(f"--init-sql {path}: cannot be read ({error.strerror}); name a readable file")
    if problems:
        raise LocalError("\n".join(problems), EXIT_CONFIG)
    return tuple(str(path.absolute()) for path in dumps)


def read_plan(layout: Layout) -> Plan | None:
    """The plan of an existing cluster, None if there is none yet.

    Raises LocalError for a directory that is not ours, or that does not hold what it should.
    """
    try:
        text = layout.plan.read_text()
    except FileNotFoundError:
        if layout.dir.is_dir() and not layout.marker.exists() and any(layout.dir.iterdir()):
            raise LocalError(
                f"{layout.dir} is not empty and was not made by `galerist up`; choose another --dir", EXIT_CONFIG
            ) from None
        return None
    except NotADirectoryError:
        raise LocalError(f"{layout.dir} is not a directory; choose another --dir", EXIT_CONFIG) from None
    except PermissionError:
        raise LocalError(
            f"{layout.plan} cannot be read by this user; run as its owner, or choose another --dir", EXIT_CONFIG
        ) from None
    try:
        return planning.load(text)
    except ValueError as error:
        raise LocalError(
            f"{layout.plan} is damaged: {error}; restore it, or begin anew with `galerist down --wipe`", EXIT_CONFIG
        ) from error


def make_dir(layout: Layout, user: str) -> None:
    """Make DIR and what is in it, each open to whom it concerns and to nobody else."""
    open_to_server = 0o755 if user else 0o700
    try:
        layout.dir.mkdir(parents=True, exist_ok=True)
        layout.marker.touch(mode=0o600)
        layout.dir.chmod(open_to_server)
        for path, mode in (
            (layout.run, open_to_server),
            (layout.dir / "nodes", open_to_server),
            (layout.proxy, 0o700),
            (layout.logs, open_to_server),
            (layout.etcd, 0o700),
            (layout.dir / "secrets", 0o700),
            (layout.tmp, 0o700),
        ):
            path.mkdir(exist_ok=True)
            path.chmod(mode)
    except OSError as error:
        raise LocalError(
            f"{layout.dir} cannot be made: {error.strerror} ({error.filename}); choose another --dir", EXIT_CONFIG
        ) from error
    if user:
        give(layout.tmp, user)
        check_reachable(layout.dir, user)
    make_socket_dir(layout, open_to_server)


def make_socket_dir(layout: Layout, mode: int) -> None:
    """The directory for sockets; one in /tmp must be ours, whoever else may write there."""
    path = layout.sockets()
    if path == layout.run:
        return
    path.mkdir(exist_ok=True)
    found = path.lstat()
    if path.is_symlink() or found.st_uid != os.geteuid():
        raise LocalError(f"{path} belongs to somebody else; choose a --dir of at most 66 bytes", EXIT_CONFIG)
    path.chmod(mode)
    layout.haproxy().mkdir(exist_ok=True)


def give(path: Path, user: str) -> None:
    account = pwd.getpwnam(user)
    os.chown(path, account.pw_uid, account.pw_gid)


def check_reachable(directory: Path, user: str) -> None:
    """Raise LocalError if ``user`` cannot get into ``directory`` by way of all that is above it.

    Asks the kernel as that user, since access lists and mount options count too.
    """
    account = pwd.getpwnam(user)
    places = [*reversed(directory.parents), directory]
    groups = os.getgrouplist(user, account.pw_gid)
    someone: dict[str, Any] = {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": groups}
    shut = subprocess.run(
        ["/bin/sh", "-c", 'for d; do test -x "$d" || { printf %s "$d"; exit 0; }; done', "sh", *map(str, places)],
        **({} if account.pw_uid == os.geteuid() else someone),
        cwd="/",
        capture_output=True,
        text=True,
        check=False,
    ).stdout
    if shut:
        raise LocalError(
            f"the user {user}, as whom mariadbd runs, cannot get into {shut}, which leads to {directory}; "
            f"choose another --dir, or let it through with: chmod o+x {shut}",
            EXIT_CONFIG,
        )


def make_secret(path: Path) -> str:
    """The secret in this file, made if there is none yet."""
    try:
        return path.read_text().splitlines()[0]
    except (FileNotFoundError, IndexError):
        secret = secrets.token_urlsafe(24)
        write_atomically(path, secret + "\n", 0o600)
        return secret


def write_files(plan: Plan, layout: Layout) -> None:
    """Everything that the parts of this plan read. The plan itself comes last."""
    passwords = {name: make_secret(layout.secret(name)) for name in ("root", "sst", "check", "app", "dashboard")}
    if plan.tls:
        make_certificates(plan, layout)
    for node in plan.nodes:
        for path in (layout.node(node), layout.sockets() / node):
            path.mkdir(exist_ok=True)
            path.chmod(0o755 if plan.server_user else 0o700)
            if plan.server_user:
                give(path, plan.server_user)
        log = layout.error_log(node)
        log.touch(mode=0o640)
        if plan.server_user:
            give(log, plan.server_user)
        text = render.toml(render.node_settings(plan, layout, node)) + render.server_options(plan)
        write_atomically(layout.node_settings(node), text, 0o600)
    write_atomically(layout.proxy_settings, render.toml(render.proxy_settings(plan, layout)), 0o600)
    write_atomically(layout.dashboard_settings, render.toml(render.dashboard_settings(plan, layout)), 0o600)
    write_atomically(layout.settings, render.toml(render.common_settings(plan, layout)), 0o600)
    write_atomically(layout.client, render.client_cnf(plan, layout, passwords["app"]), 0o600)
    write_atomically(layout.plan, planning.dump(plan) + "\n", 0o600)


def make_certificates(plan: Plan, layout: Layout) -> None:
    """What is missing of them. Raises LocalError."""
    from galerist.deploy.tls import Refused, init

    try:
        init(layout.tls, dict.fromkeys((*plan.nodes, render.ETCD, render.CLIENT), ()))
        layout.tls.chmod(0o700)  # agents hand their certificates on to servers of another user
    except (Refused, OSError) as error:
        raise LocalError(str(error), EXIT_CONFIG) from None


def lock(layout: Layout, patience: float = 0.0) -> int | None:
    """The lock on DIR as an open file, None if a supervisor (or somebody about to start one) has it.

    Tries again for ``patience`` seconds.
    """
    handle = os.open(layout.lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    deadline = time.monotonic() + patience
    while True:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return handle
        except BlockingIOError:
            if time.monotonic() >= deadline:
                os.close(handle)
                return None
            time.sleep(0.1)
