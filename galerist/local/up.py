"""`galerist up`: a whole cluster on this machine, for trying out and for tests."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from dataclasses import replace
from pathlib import Path
from types import FrameType, TracebackType

from galerist.local import plan as planning
from galerist.local import prepare, processes, programs, progress, render, watch
from galerist.local.layout import Layout, LocalError, locate
from galerist.local.plan import Plan
from galerist.local.ports import Claims
from galerist.local.processes import Kind, Part
from galerist.local.progress import Snapshot

TIMEOUT = 300.0  # seconds until --detach gives up waiting


def up(
    nodes: int | None = None,
    dir: Path | None = None,
    cluster: str | None = None,
    init_sql: tuple[Path, ...] = (),
    detach: bool = False,
    sst_method: str | None = None,
    timeout: float = TIMEOUT,
    tls: bool | None = None,
) -> int:
    """Start the local cluster in ``dir``, or resume it, or show it if it runs. Returns the exit status.

    None stands for what was not asked for: what ``dir`` holds already, else 3 nodes,
    the cluster ``galera`` and rsync. With ``detach``, 0 means that all nodes are Synced
    and a statement went through the proxy within ``timeout`` seconds.
    """
    layout = locate(dir, cluster)
    try:
        return _up(layout, nodes, cluster, init_sql, detach, sst_method, timeout, tls)
    except LocalError as error:
        print(f"galerist up: {error}", file=sys.stderr)
        return error.code
    except OSError as error:
        where = error.filename or layout.dir
        print(f"galerist up: {where}: {error.strerror}; mend that, or choose another --dir", file=sys.stderr)
        return 1


def _up(
    layout: Layout,
    nodes: int | None,
    cluster: str | None,
    init_sql: tuple[Path, ...],
    detach: bool,
    sst_method: str | None,
    timeout: float,
    tls: bool | None,
) -> int:
    saved = prepare.read_plan(layout)
    dumps = prepare.check_dumps(init_sql)
    plan = planning.agree(saved, nodes, cluster, sst_method, dumps, prepare.server_user(), tls)
    absent = check_programs(plan.sst_method, plan.tls)
    if absent:
        raise LocalError(absent, programs.EXIT_MISSING)
    for warning in filter(None, [planning.advice(len(plan.nodes))]):
        out(f"warning: {warning}")
    prepare.make_dir(layout, plan.server_user)
    claims = Claims(layout)
    try:
        lock = prepare.lock(layout)
        if lock is None:
            plan = join_running(layout, saved, plan, claims)
            ours = False
        else:
            try:
                plan = settle(layout, plan, claims)
                start(layout, lock, claims)
            finally:
                os.close(lock)
            ours = True
    finally:
        claims.close()
    return attend(layout, plan, detach, ours, timeout)


def check_programs(sst_method: str, tls: bool) -> str:
    """All that is missing, as a message; "" if nothing is."""
    path = render.environment(os.environ, Layout(Path("/")), "")["PATH"]
    absent = programs.missing(programs.needs(sst_method, tls), lambda name: programs.find(name, path))
    return programs.message(absent) if absent else ""


def settle(layout: Layout, plan: Plan, claims: Claims) -> Plan:
    """Choose the ports, and write all files."""
    gone = [path for path in plan.init_sql if not Path(path).exists()]
    for path in gone:
        out(f"warning: the dump {path} is gone; it is not loaded if it has not been")
    chosen, moved = planning.choose_ports(plan.nodes, plan.ports, claims.take)
    for move in moved:
        out(str(move))
    claims.keep(set(chosen.values()))
    dumps = tuple(path for path in plan.init_sql if path not in gone)
    plan = replace(plan, ports=chosen, init_sql=dumps)
    prepare.write_files(plan, layout)
    return plan


def start(layout: Layout, lock: int, claims: Claims) -> None:
    """Start the supervisor, which gets the lock and the claims as open files of its own."""
    layout.children.unlink(missing_ok=True)  # of an earlier run
    environment = {key: value for key, value in os.environ.items() if not key.startswith("GALERIST_")}
    with layout.log("supervisor").open("ab") as log:
        subprocess.Popen(
            [sys.executable, "-m", "galerist.local.supervisor", str(layout.dir)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd="/",
            env=environment,
            pass_fds=(lock, *claims.files),
            start_new_session=True,
        )


def supervisor(layout: Layout) -> Part | None:
    return next((part for part in processes.parts(layout) if part.kind is Kind.SUPERVISOR), None)


def join_running(layout: Layout, saved: Plan | None, plan: Plan, claims: Claims) -> Plan:
    """A second `up` where a supervisor runs already: at most add nodes."""
    part = None
    for _ in range(50):  # whoever holds the lock may be about to start it
        part = supervisor(layout)
        if part is not None and (saved := prepare.read_plan(layout)) is not None:
            break
        time.sleep(0.1)
    if part is None or saved is None:
        raise LocalError(f"{layout.lock} is held, but no supervisor runs; is another `galerist up` just starting?")
    out(f"{layout.dir} is already running ({part})")
    if plan.tls != saved.tls:
        word = "--tls" if plan.tls else "--no-tls"
        raise LocalError(f"{word}: nodes with and without TLS do not find together; `galerist down` first", 78)
    if len(plan.nodes) <= len(saved.nodes):
        return saved
    new = [node for node in plan.nodes if node not in saved.nodes]
    out(f"adding {', '.join(new)}")
    held = set(saved.ports.values())
    chosen, moved = planning.choose_ports(plan.nodes, saved.ports, lambda port: port in held or claims.take(port))
    for move in moved:
        out(str(move))
    grown = replace(saved, nodes=plan.nodes, ports=chosen)
    prepare.write_files(grown, layout)
    processes.send(part.process, signal.SIGHUP)
    return grown


class Screen(AbstractContextManager["Screen"]):
    """Shows snapshots: a live table on a terminal, else a line for each change."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._last: Snapshot | None = None
        self._live = None
        if sys.stdout.isatty():
            from rich.live import Live

            self._live = Live(auto_refresh=False)

    def __enter__(self) -> Screen:
        if self._live:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live:
            self._live.stop()

    def show(self, now: Snapshot) -> None:
        if self._live:
            self._live.update(progress.table(self._plan, now), refresh=True)
        else:
            for line in progress.lines(self._last, now):
                out(line)
        self._last = now

    def say(self, text: str) -> None:
        if self._live:
            self._live.console.print(text, markup=False, highlight=False, soft_wrap=True)
        else:
            out(text)


def out(text: str) -> None:
    """Print a line; whoever read our output may have gone (`galerist up | head`), which stops nothing."""
    try:
        print(text, flush=True)
    except BrokenPipeError:
        sys.stdout = Path(os.devnull).open("w")  # noqa: SIM115


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def attend(layout: Layout, plan: Plan, detach: bool, ours: bool, timeout: float) -> int:
    """Show the cluster until it is ready; when it is ours and not detached, for as long as it runs."""
    looker = watch.Look(plan, layout)
    foreground = ours and not detach
    if foreground:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, _interrupt)
    try:
        with ExitStack() as stack:
            stack.callback(looker.close)
            screen = stack.enter_context(Screen(plan))
            running = _runs(layout)
            limit = float("inf") if foreground else timeout
            good, reason = watch.wait(looker, running, screen.show, limit)
            if good:
                for line in progress.how_to_connect(plan, layout):
                    screen.say(line)
                if not foreground:
                    return 0
            else:
                _complain(layout, reason, running())
                if not foreground or not running():
                    return 1
            if foreground:
                screen.say("Ctrl-C stops the cluster.")
            while running():
                screen.show(looker.now())
                time.sleep(1.0)
    except KeyboardInterrupt:
        if not foreground:
            print(f"the cluster in {layout.dir} goes on; `galerist down --dir {layout.dir}` ends it", file=sys.stderr)
            return 130
        from galerist.local.down import stop

        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        return stop(layout)
    if processes.parts(layout):
        _complain(layout, "the supervisor has ended; what it had started still runs, looked after by nobody", False)
        return 1
    out("the cluster has been stopped")
    return 0


def _runs(layout: Layout) -> Callable[[], bool]:
    """Whether the supervisor runs; it may take a moment to appear under its own command line."""
    found: list[Part] = []
    begun = time.monotonic()

    def runs() -> bool:
        if not found:
            part = supervisor(layout)
            if part is None:
                return time.monotonic() - begun < 3.0
            found.append(part)
        return processes.alive(found[0].process)

    return runs


def _complain(layout: Layout, reason: str, running: bool) -> None:
    print(f"galerist up: {reason}", file=sys.stderr)
    quoted = (
        ["supervisor"]
        if not running
        else [name for name, child in watch.children(layout).items() if child.get("quick")]
    )
    for name in quoted:
        for line in tail(layout.log(name), 5):
            print(f"  {name}: {line}", file=sys.stderr)
    print(f"logs are in {layout.logs}", file=sys.stderr)
    if running:
        print(
            f"it goes on trying; `galerist explain --dir {layout.dir}` says why, "
            f"`galerist down --dir {layout.dir}` ends it",
            file=sys.stderr,
        )
    else:
        print(f"`galerist up --dir {layout.dir}` looks after it again", file=sys.stderr)


def tail(path: Path, lines: int) -> list[str]:
    """The last lines of a log, none if it cannot be read."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - 16384))
            return file.read().decode("utf-8", "replace").splitlines()[-lines:]
    except OSError:
        return []
