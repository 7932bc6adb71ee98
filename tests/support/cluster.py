"""A whole local cluster for tests, each part started and killed by hand: no supervisor brings anything back.

The files are those of `galerist up`, so `galerist list --dir` and its like work on it.
"""

from __future__ import annotations

import contextlib
import json
import os
import platform
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pymysql

from bootstrap.load import Initialisation
from galerist.cli.show import as_data, read
from galerist.galera.stamp import Seen, Stamp, parse_views
from galerist.local import plan as planning
from galerist.local import ports, prepare, processes, render
from galerist.local.layout import Layout
from galerist.local.plan import Plan
from galerist.local.processes import Kind, Part
from galerist.local.watch import statement
from galerist.model import load
from galerist.registry.contract import Registry, RegistryError
from galerist.registry.keys import Keys
from galerist.registry.open import open_registry
from galerist.settings import load as load_settings

PATIENCE = 120.0  # s, generous: machines differ
LOOPBACK = render.LOOPBACK

MARIADB = {"innodb_buffer_pool_size": "32M", "innodb_log_file_size": "16M"}
"""Small servers: many run at once."""


class Failed(AssertionError):
    """What was waited for did not come; the text holds what every node says."""


class Log:
    """A log file from a moment on."""

    def __init__(self, path: Path, start: int) -> None:
        self.path = path
        self.start = start

    def text(self) -> str:
        try:
            with self.path.open("rb") as file:
                file.seek(self.start)
                return file.read().decode(errors="replace")
        except FileNotFoundError:
            return ""


class Cluster:
    """One cluster in a directory of its own; gone with all its processes after ``with``.

    ``settings`` go into the settings file of every node, ``own`` into that of the node
    named; a value None takes a key out. ``mariadb`` are options of all servers.
    """

    def __init__(
        self,
        nodes: int = 3,
        *,
        cluster: str = "galera",
        sst_method: str = "rsync",
        init_sql: Sequence[Path] = (),
        settings: Mapping[str, object] | None = None,
        own: Mapping[str, Mapping[str, object]] | None = None,
        mariadb: Mapping[str, str] | None = None,
    ) -> None:
        self.top = Path(tempfile.mkdtemp(prefix="galerist-it-", dir="/tmp"))
        self.top.chmod(0o755)  # mariadbd runs as another user when we are root
        self.layout = Layout(self.top / "c")
        self._claims = ports.Claims(self.layout)
        self._children: dict[str, subprocess.Popen[bytes]] = {}
        self._registry: Registry | None = None
        self.settings = dict(settings or {})
        self.own = {node: dict(values) for node, values in (own or {}).items()}
        self.mariadb = {**MARIADB, **(mariadb or {})}
        dumps = tuple(str(path) for path in init_sql)
        wanted = planning.agree(None, nodes, cluster, sst_method, dumps, prepare.server_user())
        prepare.make_dir(self.layout, wanted.server_user)
        chosen, _ = planning.choose_ports(wanted.nodes, {}, self._claims.take)
        self._claims.keep(set(chosen.values()))
        self.plan = Plan(cluster, wanted.nodes, chosen, sst_method, dumps, wanted.server_user)
        self.nodes = self.plan.nodes
        self.keys = Keys(cluster)
        self._count_bytes()
        self.write_files()

    def _count_bytes(self) -> None:
        """Stand before rsync in everybody's PATH, so that donors write down how much they send."""
        self._tools = self.top / "tools"
        self._tools.mkdir()
        program = self._tools / "rsync"
        real = shutil.which("rsync") or "/usr/bin/rsync"
        log = self._tools / "$$"
        program.write_text(
            "#!/bin/sh\n"
            f'case " $* " in *--daemon*|*--version*) exec {real} "$@" ;; esac\n'
            f'exec {real} --log-file="{log}" --log-file-format= "$@"\n'
        )
        program.chmod(0o755)
        self._tools.chmod(0o777)  # for the user that mariadbd runs as

    def bytes_sent(self) -> int:
        """How many bytes rsync has sent in full transfers, and to say that none is needed, so far."""
        texts = [path.read_text(errors="replace") for path in self._tools.glob("[0-9]*")]
        return sum(
            int(found.replace(",", "")) for text in texts for found in re.findall(r"\bsent ([0-9,]+) bytes", text)
        )

    def write_files(self) -> None:
        """Write all settings files; those of nodes get what was given for them."""
        prepare.write_files(self.plan, self.layout)
        for node in self.nodes:
            values = render.node_settings(self.plan, self.layout, node) | self.settings | self.own.get(node, {})
            text = render.toml({key: value for key, value in values.items() if value is not None})
            text += "\n[mariadb]\n" + "".join(f"{key} = {json.dumps(value)}\n" for key, value in self.mariadb.items())
            self.layout.node_settings(node).write_text(text)
        proxy = render.proxy_settings(self.plan, self.layout)
        if "ttl" in self.settings:
            proxy["ttl"] = self.settings["ttl"]
        self.layout.proxy_settings.write_text(render.toml(proxy))

    def __enter__(self) -> Cluster:
        return self

    def __exit__(self, *_: object) -> None:
        if self._registry is not None:
            self._registry.close()
        self.kill_everything()
        self._claims.close()
        shutil.rmtree(self.layout.sockets(), ignore_errors=True)
        shutil.rmtree(self.top, ignore_errors=True)

    # -- starting and ending parts -----------------------------------------------------------

    def start(self, *names: str) -> None:
        """Start parts by name, at the same instant: ``etcd``, ``n1``, ``n1-check``, ``proxy``."""
        commands = render.commands(self.plan, self.layout)
        environment = render.environment(os.environ, self.layout, platform.machine())
        environment["PATH"] = f"{self._tools}:{environment['PATH']}"
        for name in names:
            former = self._children.get(name)
            assert former is None or former.poll() is not None, f"{name} still runs"
            with self.layout.log(name).open("ab") as log:
                self._children[name] = subprocess.Popen(
                    commands[name],
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    cwd=self.layout.dir,
                    env=environment,
                    start_new_session=True,
                )
        if "etcd" in names:
            self.until(lambda: ports.answers(self.plan.port("etcd_port")), "etcd answers")

    def up(self, *nodes: str, proxy: bool = False, patience: float = PATIENCE) -> None:
        """Start etcd, the agents of ``nodes`` (default all) and the proxy with its checks, as far as they
        do not run, and wait until all these nodes serve."""
        if not self.running("etcd"):
            self.start("etcd")
        wanted = [*(nodes or self.nodes)]
        if proxy:
            wanted += ["proxy", *(f"{node}-check" for node in nodes or self.nodes)]
        self.start(*(name for name in wanted if not self.running(name)))
        self.serving(*nodes, patience=patience)
        if proxy:
            self.until(self._led, "the proxy leads to every node, and to the writer", patience)

    def _led(self) -> bool:
        """Whether the proxy has heard of everything."""
        if statement(self.plan, self.layout) != "":
            return False
        return self.through_proxy("SELECT @@wsrep_node_name") == ((self.data()["writer"],),)

    def running(self, name: str) -> bool:
        """Whether a part that was started here runs."""
        child = self._children.get(name)
        return child is not None and child.poll() is None

    def pid(self, name: str) -> int:
        assert self.running(name), f"{name} does not run"
        return self._children[name].pid

    def exit_code(self, name: str, patience: float = 60.0) -> int:
        """The exit code of a part, once it has ended."""
        try:
            return self._children[name].wait(patience)
        except subprocess.TimeoutExpired:
            raise Failed(f"{name} has not ended within {patience} s\n{self.state()}") from None

    def signal(self, name: str, number: signal.Signals) -> None:
        os.kill(self.pid(name), number)

    def kill(self, name: str) -> None:
        """kill -9 of one part; a server it looks after goes on."""
        self.signal(name, signal.SIGKILL)
        self._children[name].wait()

    def stop(self, *nodes: str) -> None:
        """Clean ends of agents, one after the other."""
        for node in nodes:
            self.signal(node, signal.SIGTERM)
            assert self.exit_code(node) == 0, self.state()

    def server_pid(self, node: str) -> int | None:
        """The mariadbd of a node, found by what it runs."""
        found = [part.process.pid for part in self.parts(Kind.SERVER) if part.node == node]
        return found[0] if found else None

    def server_pids(self) -> dict[str, int]:
        return {part.node: part.process.pid for part in self.parts(Kind.SERVER)}

    def kill_server(self, node: str) -> None:
        pid = self.server_pid(node)
        assert pid is not None, f"no server of {node} runs"
        os.kill(pid, signal.SIGKILL)
        self.until(lambda: processes.look(pid) is None, f"the server of {node} is gone")

    def parts(self, *kinds: Kind) -> list[Part]:
        return [part for part in processes.parts(self.layout) if not kinds or part.kind in kinds]

    def mine(self) -> list[processes.Process]:
        """Everything that runs for this cluster: its parts, and helpers such as those of a state transfer."""
        return [process for process in processes.scan() if processes.touches(process, self.layout)]

    def kill_everything(self) -> None:
        """kill -9 of every process of this cluster, as nearly at once as a loop can do it."""
        for _ in range(100):
            pids = {part.process.pid for part in self.parts()} | {process.pid for process in self.mine()}
            for pid in sorted(pids):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            for child in self._children.values():
                child.poll()
            if not pids:
                return
            time.sleep(0.05)
        raise Failed("processes cannot be killed: " + ", ".join(map(str, self.mine())))

    # -- looking -----------------------------------------------------------------------------

    @property
    def registry(self) -> Registry:
        if self._registry is None:
            self._registry = open_registry(load_settings({}, {}, self.layout.settings))
        return self._registry

    def data(self) -> dict[str, Any]:
        """What ``galerist list --format json`` prints."""
        return as_data(read(self.registry, self.plan.cluster))

    def members(self) -> dict[str, dict[str, Any]]:
        """The members by name, only as far as the agents that run now report them. {} without a registry."""
        try:
            found = self.data()["members"]
        except RegistryError:
            return {}
        pids = {node: self._children[node].pid for node in self.nodes if self.running(node)}
        return {entry["name"]: entry for entry in found if pids.get(entry["name"]) == entry["agent_pid"]}

    def member(self, node: str) -> dict[str, Any]:
        """One member, {} while its present agent does not report."""
        return self.members().get(node, {})

    def reason(self, node: str) -> str:
        return str(self.member(node).get("reason", ""))

    def init(self) -> Initialisation | None:
        raw = self.registry.get(self.keys.init)
        return load(Initialisation, raw) if raw is not None else None

    def stamp(self, node: str) -> Stamp:
        return load(Stamp, (self.layout.node(node) / "stamp" / "stamp.json").read_text())

    def views(self, node: str) -> tuple[Seen, ...]:
        return parse_views((self.layout.node(node) / "stamp" / "views").read_text().splitlines())

    def tainted(self, node: str) -> bool:
        return (self.layout.node(node) / "stamp" / "taint").exists()

    def error_log(self, node: str, start: int = 0) -> Log:
        return Log(self.layout.error_log(node), start)

    def mark(self, node: str) -> Log:
        """The server's log from now on."""
        path = self.layout.error_log(node)
        return Log(path, path.stat().st_size if path.exists() else 0)

    def mark_agent(self, node: str) -> Log:
        """The agent's log from now on."""
        path = self.layout.log(node)
        return Log(path, path.stat().st_size if path.exists() else 0)

    def state(self) -> str:
        """Everything that helps to see why something did not come, for people."""
        lines = [f"cluster in {self.layout.dir}; running: {', '.join(map(str, self.parts()))}"]
        try:
            data = self.data()
            lines.append(f"{data['status']}, generation {data['generation']}, uuid {data['uuid']}")
            for entry in data["members"]:
                lines.append(
                    f"{entry['name']} {entry['state']} {entry['role']} seqno {entry['seqno']}: {entry['reason']}"
                )
                lines += [f"    seen: {line}" for line in entry["evidence"]]
                lines += [f"    ends by: {entry['remedy']}"] if entry["remedy"] else []
        except (RegistryError, ValueError) as error:
            lines.append(f"registry: {error}")
        for name in self._children:
            code = self._children[name].poll()
            tail = Log(self.layout.log(name), 0).text().splitlines()[-8:] if name in self.nodes else []
            lines += [f"-- {name} ({'running' if code is None else f'ended with {code}'})", *tail]
        for node in self.nodes:
            text = self.error_log(node).text()
            tail = [line for line in text.splitlines() if re.search(r"\[(ERROR|Warning)\]", line)][-5:]
            lines += [f"-- mariadbd of {node}", *tail]
        return "\n".join(lines)

    # -- waiting -----------------------------------------------------------------------------

    def until(self, condition: Callable[[], object], what: str, patience: float = PATIENCE) -> None:
        """Wait for a condition; fail with what every node says."""
        deadline = time.monotonic() + patience
        while not condition():
            if time.monotonic() > deadline:
                raise Failed(f"{what}: not within {patience:.0f} s\n{self.state()}")
            time.sleep(0.1)

    def serving(self, *nodes: str, patience: float = PATIENCE) -> None:
        """Wait until these nodes (default all) are Synced and open, in one view that holds them all."""
        wanted = set(nodes or self.nodes)
        deadline = time.monotonic() + patience
        while True:
            found = self.members()
            good = {
                name
                for name, entry in found.items()
                # not what an agent that was killed has reported: its lease outlives it
                if entry["state"] == "synced"
                and entry["open"]
                and (not self.running(name) or entry["agent_pid"] == self.pid(name))
            }
            if wanted <= good:
                return
            ended = [name for name in wanted if not self.running(name)]
            final = [
                name for name in wanted if found.get(name, {}).get("state") in ("quarantined", "refused", "superseded")
            ]
            if ended or final or time.monotonic() > deadline:
                raise Failed(f"{sorted(wanted - good)} do not serve (ended: {ended}, refused: {final})\n{self.state()}")
            time.sleep(0.1)

    def says(self, node: str, *words: str, patience: float = PATIENCE) -> dict[str, Any]:
        """Wait until a node's reason or remedy holds all these words; the member."""

        def said() -> bool:
            entry = self.member(node)
            text = f"{entry.get('reason')} {entry.get('remedy')}"
            return all(word in text for word in words)

        self.until(said, f"{node} says {' … '.join(words)}", patience)
        return self.member(node)

    def stays(self, condition: Callable[[], object], what: str, seconds: float) -> None:
        """Fail as soon as a condition no longer holds during the next ``seconds``."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            assert condition(), f"{what}: no longer\n{self.state()}"
            time.sleep(0.2)

    # -- SQL ---------------------------------------------------------------------------------

    def connect(self, port: int, timeout: float = 20.0) -> Any:
        """A connection of the application's account, autocommit. Raises pymysql.MySQLError."""
        return pymysql.connect(
            host=LOOPBACK,
            port=port,
            user=render.APP,
            password=self.layout.secret("app").read_text().strip(),
            database=render.APP,
            connect_timeout=int(timeout),
            read_timeout=timeout,
            write_timeout=timeout,
            autocommit=True,
        )

    def sql(self, node: str, statement: str, causal: bool = False) -> tuple[tuple[Any, ...], ...]:
        """One statement of the application on a node, past the proxy.

        ``causal``: after all that the cluster had committed by now (wsrep_sync_wait); without
        it a node may still have to apply what another has acknowledged.
        """
        with self.connect(self.plan.port("sql_port", node)) as connection, connection.cursor() as cursor:
            if causal:
                cursor.execute("SET SESSION wsrep_sync_wait = 1")
            cursor.execute(statement)
            return tuple(cursor.fetchall())

    def through_proxy(self, statement: str, port: str = "write_port") -> tuple[tuple[Any, ...], ...] | None:
        """One statement through the proxy; None if it fails."""
        try:
            with self.connect(self.plan.port(port), timeout=5.0) as connection, connection.cursor() as cursor:
                cursor.execute(statement)
                return tuple(cursor.fetchall())
        except (pymysql.MySQLError, OSError):
            return None

    def root(self, node: str, statement: str) -> tuple[tuple[Any, ...], ...]:
        """One statement by the socket, as the administrator."""
        user = "root" if os.geteuid() == 0 else load_settings({}, {}, self.layout.node_settings(node)).server_user
        socket = self.layout.sockets() / node / "mariadb.sock"
        connection = pymysql.connect(unix_socket=str(socket), user=user, autocommit=True)
        with connection, connection.cursor() as cursor:
            cursor.execute(statement)
            return tuple(cursor.fetchall())

    def same_everywhere(self, statement: str, nodes: Iterable[str] = ()) -> tuple[tuple[Any, ...], ...]:
        """The result of a query that must be the same on all nodes."""
        results = {node: self.sql(node, statement, causal=True) for node in nodes or self.nodes}
        first = next(iter(results.values()))
        assert all(result == first for result in results.values()), results
        return first

    # -- what went over the network ----------------------------------------------------------

    def assert_incremental(self, node: str, log: Log) -> None:
        """By its log, the server of ``node`` came back by an incremental transfer."""
        text = log.text()
        full = re.search(r"SST completed on joiner|Proceeding with SST", text)
        assert full is None, f"{node} has taken a full transfer\n{text}"
        assert "IST completed on joiner" in text and "IST received: " in text, text
        assert not self.tainted(node), f"{node} is tainted"


def galerist(
    *words: str, timeout: float = 60.0, environ: Mapping[str, str] | None = None, user: int | None = None
) -> subprocess.CompletedProcess[str]:
    """Run ``galerist`` as a user does, with no settings in the environment but ``environ``."""
    base = {key: value for key, value in os.environ.items() if not key.startswith("GALERIST_")}
    return subprocess.run(
        [sys.executable, "-m", "galerist", *words],
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
        cwd="/",
        env={**base, **(environ or {})},
        user=user,
    )


def listing(folder: Path, without: Collection[str] = ()) -> dict[str, tuple[int, int, str]]:
    """Every file below a folder: size, mtime in ns, and checksum."""
    import hashlib

    found = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path.name not in without:
            seen = path.stat()
            digest = hashlib.sha256(path.read_bytes()).hexdigest()
            found[str(path.relative_to(folder))] = (seen.st_size, seen.st_mtime_ns, digest)
    return found


class TaintWatch:
    """Looks at the taint of one node all the time: ``seen`` says whether it was ever there."""

    def __init__(self, cluster: Cluster, node: str) -> None:
        self._path = cluster.layout.node(node) / "stamp" / "taint"
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.seen = False

    def __enter__(self) -> TaintWatch:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._end.wait(0.005):
            self.seen = self.seen or self._path.exists()
