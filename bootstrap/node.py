"""One real node: the datadir, the stamp and the mariadbd behind :class:`bootstrap.agent.Node`."""

from __future__ import annotations

import json
import logging
import os
import secrets
import signal
import subprocess
import time
from dataclasses import dataclass, replace
from pathlib import Path

from bootstrap import accounts
from bootstrap.agent import Look
from bootstrap.facts import UNKNOWN
from galerist.files import write_atomically
from galerist.galera import datadir as disk
from galerist.galera.config import ServerConfig, authority, on_opening, render_mycnf
from galerist.galera.failures import TRANSFER_DIED, explain, reason
from galerist.galera.positions import is_zero
from galerist.galera.server import TRANSFER, Launcher, Places, Process, Recovered, end_session
from galerist.galera.sql import Live, Sql
from galerist.galera.stamp import Seen, Stamp, StampStore
from galerist.model import (
    ZERO_UUID,
    Attempt,
    Data,
    Identity,
    Malformed,
    Position,
    Report,
    Server,
    State,
    View,
    dump,
    load,
)
from galerist.settings import Secret

log = logging.getLogger("galerist.bootstrap")

STOP_PATIENCE = 1.0
"""Seconds after which a server that has not been in a Primary Component is killed: while it looks for one it does
not hear SIGTERM for half a minute, and there is nothing yet that an orderly end would save. No other is killed."""

FIRST_DELAY, LONGEST_DELAY = 1.0, 30.0
"""Seconds before the server is started again after it ended by itself; doubled each time."""

TRANSFER_PATIENCE = 20.0
"""Seconds for a joiner to end by itself whose state transfer has died; some wait for ever."""

LAST_WORDS = 16384
"""Bytes of log in which the end of a server that has served is explained; before it stands its daily life."""


@dataclass(slots=True)
class _Run:
    """A server that runs now."""

    process: Process
    run: str
    generation: str
    was_primary: bool = False
    answered: bool = False
    stopping_since: float | None = None
    log_offset: int = 0
    transfer_died: float | None = None


@dataclass(slots=True)
class _Planned:
    """A start that waits for the initialisation of the datadir."""

    child: subprocess.Popen[bytes]
    run: tuple[str, str]  # id and generation
    log_offset: int = 0


class LocalNode:
    """See :class:`bootstrap.agent.Node`."""

    def __init__(self, config: ServerConfig, places: Places, wanted: accounts.Wanted, note_dir: Path) -> None:
        self._config, self._places, self._wanted, self._notes = config, places, wanted, note_dir
        self._launcher = Launcher(places)
        owner = self._launcher.owner if os.geteuid() == 0 else None
        self._stamps = StampStore(places.stamp_dir, owner)
        self._sql = Sql(places.socket, "root" if os.geteuid() == 0 else places.user)
        self._run: _Run | None = None
        self._planned: _Planned | None = None
        self._recovering: subprocess.Popen[bytes] | None = None
        self._recovered: Recovered | None = None
        self._failures = 0
        self._failure: tuple[str, str, float] | None = None  # sentence, remedy, time of the next try
        self._last_failure = ""  # told, with its remedy, until the server is Synced
        self._version = ""
        self._told: str | None = None
        self._members: dict[str, object] = {"writer": (), "peers": None}  # for the node's clustercheck
        self._drained: tuple[str, ...] = ()
        self._heard: float | None = None  # when the registry last answered, on the wall clock
        self._writer: tuple[str, ...] = ()
        self._hung_since: float | None = None

    def prepare(self) -> None:
        """Make folders and scripts and take the lock. Raises StampInUse, OSError."""
        self._stamps.prepare()
        self._launcher.prepare()

    def virgin(self) -> bool:
        """Whether this disk has never been part of a cluster."""
        return self._stamps.load().identity is None

    def release(self) -> None:
        """Let go of the lock and the connection."""
        self._sql.close()
        self._stamps.release()

    # -- looking -----------------------------------------------------------------------------

    def look(self) -> Look:
        try:
            stamp = self._stamps.load()
        except (OSError, Malformed) as error:
            # Without it nobody can say what the data belong to; a server that runs goes on.
            problem = f"its stamp cannot be read: {error}"
            server, status = (Server.STARTING, UNKNOWN) if self._run else (Server.DOWN, "Disconnected")
            return Look(server, Stamp(disk=""), Data.UNREADABLE, problem=problem, cluster_status=status)
        if self._run is None and self._planned is None:
            self._adopt()
        if self._planned is not None:
            self._after_initialisation()
        if self._run is not None and not self._run.process.running():
            self._ended(self._run)
        if self._run is not None:
            return self._running(self._run, stamp)
        if self._planned is not None:
            return Look(
                Server.STARTING,
                stamp,
                Data.EMPTY,
                pid=self._planned.child.pid,
                attempting=True,
                progress=self._after("initialising"),
            )
        return self._down(stamp)

    def _end_dead_joiner(self, run: _Run) -> None:
        """End a server that waits for a state transfer whose script has died, in case it does not itself."""
        if run.answered or run.was_primary or not TRANSFER_DIED.search(self._log_since(run.log_offset)):
            return
        run.transfer_died = run.transfer_died or time.monotonic()
        if time.monotonic() - run.transfer_died > TRANSFER_PATIENCE:
            log.warning("The state transfer has died, and the server waits for it: ending the server.")
            run.process.signal(signal.SIGKILL)

    def _adopt(self) -> None:
        """A server that outlived its agent goes on under this one."""
        if self._recovering is not None and self._recovering.poll() is None:
            return
        pid = disk.opened_by(self._places.datadir)
        if not pid:
            return
        log.info("A server with this datadir is running (pid %d): looking after it.", pid)
        try:
            process = Process(pid, None)
            self._run = _Run(process, *(self._stamps.current_run() or ("", "")), log_offset=self._log_size())
        except ProcessLookupError:
            self._run = None

    def _running(self, run: _Run, stamp: Stamp) -> Look:
        live: Live | None = None
        try:
            live = self._sql.live()
            if not self._version:
                self._version = str(self._sql.query("SELECT VERSION()")[0][0])
            run.answered = True
        except OSError:
            live = None  # not yet, or not any more: the process itself is watched as well
        attempting = stamp.attempt is not None and stamp.attempt.nonce == run.generation
        seen = [entry for entry in self._stamps.views() if entry.run == run.run]
        primary = [entry for entry in seen if entry.primary]
        run.was_primary = run.was_primary or bool(primary) or (live is not None and live.cluster_status == "Primary")
        data = Data.TAINTED if self._stamps.tainted() else Data.PRESENT
        if live is None:
            self._end_dead_joiner(run)
            return Look(
                Server.UP if run.answered else Server.STARTING,
                stamp,
                data if run.was_primary else self._on_disk(stamp, data),
                pid=run.process.pid,
                cluster_status=UNKNOWN if run.answered else "Disconnected",
                view=self._view(primary, None) or self._recorded_view(stamp),
                was_primary=run.was_primary,
                attempting=attempting,
                progress=self._progress(run),
            )
        if live.local_state == 4:
            self._failures, self._last_failure = 0, ""
        return Look(
            Server.UP,
            stamp,
            data,
            position=Position(live.uuid, live.committed),
            pid=run.process.pid,
            cluster_status=live.cluster_status,
            local_state=live.local_state,
            uuid=live.uuid,
            opened=not live.rejects,
            view=self._view(primary, live)
            or (None if live.cluster_status == "Primary" else self._recorded_view(stamp)),
            was_primary=run.was_primary,
            settled=not live.received,
            attempting=attempting,
            progress=live.stage if live.local_state != 4 else "",
            version=self._version,
        )

    def _on_disk(self, stamp: Stamp, data: Data) -> Data:
        if data is Data.TAINTED:
            return data
        return Data.EMPTY if not (self._places.datadir / "mysql").is_dir() or stamp.fresh else Data.PRESENT

    def _recorded_view(self, stamp: Stamp) -> View | None:
        """The newest view of any run: what this node knows of the last Primary Component while it is in none."""
        ids = {generation.id for generation in stamp.identity.generations} if stamp.identity is not None else set()
        recorded = [seen for seen in self._stamps.views() if seen.primary and seen.view.generation in ids]
        return recorded[-1].view if recorded else None

    def _view(self, primary: list[Seen], live: Live | None) -> View | None:
        """The newest view of this run. Should the provider's log have hidden its seqno, the server knows it."""
        if not primary:
            return None
        view = primary[-1].view
        if view.seqno >= 0 or live is None:
            return view
        try:
            rows = self._sql.query("SELECT view_seqno FROM mysql.wsrep_cluster")
        except OSError:
            return None
        return replace(view, seqno=int(rows[0][0])) if rows else None

    def _down(self, stamp: Stamp) -> Look:
        found = disk.inspect(self._places.datadir, stamp, self._stamps.tainted())
        position, problem, data = found.position, found.problem, found.data
        if self._recovering is not None and (code := self._recovering.poll()) is not None:
            self._recovering = None
            self._recovered = self._launcher.recovered(code)
        if data is Data.PRESENT and position is None and self._recovered is not None:
            position, problem = self._recovered.position, self._recovered.problem
            if position is not None and is_zero(position):
                data, position = Data.STANDALONE, None
        if disk.opened_by(self._places.datadir) is not None and self._recovering is None:
            return Look(Server.STARTING, stamp, data, problem="another process has the datadir open", progress="in use")
        failure = None
        if self._failure is not None:
            sentence, remedy, again = self._failure
            failure = (sentence, remedy, max(0.0, again - time.monotonic()))
        return Look(
            Server.DOWN,
            stamp,
            data,
            position=position,
            problem=problem,
            uuid=position.uuid if position is not None else ZERO_UUID,
            view=self._recorded_view(stamp),
            failure=failure,
            progress="recovering its position" if self._recovering is not None else "",
        )

    def _ended(self, run: _Run) -> None:
        self._run = None
        self._recovered = None
        self._sql.close()
        end_session(run.process.pid)  # a state transfer's helpers would keep its port
        if run.stopping_since is not None:
            return
        text = self._log_since(run.log_offset)
        code = run.process.exit_code if run.transfer_died is None else None
        sentence, remedy = explain(text[-LAST_WORDS:] if run.was_primary else text, code)
        delay = min(LONGEST_DELAY, FIRST_DELAY * 2**self._failures) if self._failures else 0.0
        self._failures += 1
        self._failure = (sentence, remedy, time.monotonic() + delay)
        self._last_failure = f"last time: {sentence} To end that: {remedy}"
        log.warning("%s", sentence)

    def _log_size(self) -> int:
        return self._places.error_log.stat().st_size if self._places.error_log.exists() else 0

    def _log_since(self, offset: int) -> str:
        try:
            with self._places.error_log.open("rb") as file:
                size = file.seek(0, os.SEEK_END)
                file.seek(max(offset if offset <= size else 0, size - 262144))
                return file.read().decode(errors="replace")
        except OSError:
            return ""

    def _progress(self, run: _Run) -> str:
        text = self._log_since(run.log_offset)
        stages = (
            ("Receiving IST", "receiving an incremental state transfer"),
            ("Requesting state transfer: success", "receiving a state transfer"),
            ("Shifting OPEN -> PRIMARY", "in the group, asking for a state transfer"),
            ("gcomm: connecting", "connecting to the members"),
        )
        words = next((words for mark, words in stages if mark in text), "starting")
        if run.transfer_died is not None and (known := reason(text)) is not None:
            return f"{words}, but: {known[0]}. To end that: {known[1]}"
        return self._after("receiving a full state transfer" if self._stamps.tainted() else words)

    def _after(self, words: str) -> str:
        """What goes on, and how the last try ended."""
        return f"{words}; {self._last_failure}" if self._last_failure else words

    # -- acting ------------------------------------------------------------------------------

    def recover(self) -> None:
        if self._recovering is not None:
            return
        self._write_config("galerist-recover", ())
        self._recovering = self._launcher.recover()

    def bootstrap(self, attempt: Attempt) -> None:
        look = self.look()
        if look.server is not Server.DOWN:
            return
        self._stamps.change(attempt=attempt)
        self._write_config(attempt.cluster_name, ())
        run = self._new_run(attempt.nonce)
        if look.data is Data.EMPTY:
            if look.stamp.fresh:  # our own, never recorded: half made, perhaps
                self._wipe_own_initialisation()
            self._stamps.change(fresh=True)
            self._planned = _Planned(self._launcher.initialise(), run, self._log_size())
            return
        self._start(run, look.position, bootstrap=True, full=False)

    def promote(self, attempt: Attempt, peers: tuple[str, ...]) -> None:
        run = self._run
        if run is None or run.stopping_since is not None:
            return
        if end_session(run.process.pid, TRANSFER):
            raise OSError("a state transfer from this server, to a node of the former component, is being ended")
        self._sql.flush()  # what the attempt says must be on disk: should the server die, the attempt counts
        live = self._sql.live()
        if not live.rejects or live.received:
            raise OSError("the server is open, or has not committed what it received")
        if attempt.position != Position(live.uuid, live.committed):
            raise OSError(f"the server is at seqno {live.committed}, not where it claimed to be")
        self._stamps.change(attempt=attempt)
        self._stamps.go_on(run.run, attempt.nonce)
        run.generation = attempt.nonce
        self._sql.regroup(attempt.cluster_name, peers)

    def join(self, identity: Identity, peers: tuple[str, ...], full: bool) -> None:
        look = self.look()
        if look.server is not Server.DOWN:
            return
        generation = identity.generations[-1]
        # Before the transfer, which moves the position past the beginnings of generations that
        # the stamp does not name yet: a crash on the way must not look like divergence.
        self._stamps.change(identity=identity, fresh=False)
        self._write_config(generation.cluster_name, peers)
        if look.data is Data.EMPTY and look.stamp.fresh:
            self._wipe_own_initialisation()
        self._start(self._new_run(generation.id), None if full else look.position, bootstrap=False, full=full)

    def _wipe_own_initialisation(self) -> None:
        import shutil

        for entry in self._places.datadir.iterdir():
            if entry.is_dir() and not entry.is_symlink():
                shutil.rmtree(entry)
            else:
                entry.unlink()

    def _new_run(self, generation: str) -> tuple[str, str]:
        run = secrets.token_hex(4)
        self._stamps.begin_run(run, generation)
        return run, generation

    def _start(self, run: tuple[str, str], position: Position | None, bootstrap: bool, full: bool) -> None:
        offset = self._log_size()
        process = self._launcher.start(run[0], position, bootstrap, full)
        self._failure = None
        self._run = _Run(process, *run, log_offset=offset)
        log.info("mariadbd started (pid %d)%s.", process.pid, " as the Primary Component" if bootstrap else "")

    def _after_initialisation(self) -> None:
        planned = self._planned
        assert planned is not None
        code = planned.child.poll()
        if code is None:
            return
        self._planned = None
        if code != 0:
            text = (self._places.run_dir / "initialise.log").read_text(errors="replace")
            sentence, remedy = explain(self._log_since(planned.log_offset) + text, code)
            self._failures += 1
            self._last_failure = f"last time: {sentence} To end that: {remedy}"
            delay = min(LONGEST_DELAY, FIRST_DELAY * 2**self._failures)
            self._failure = (f"The datadir could not be initialised. {sentence}", remedy, time.monotonic() + delay)
            return
        self._start(planned.run, None, bootstrap=True, full=False)

    def _write_config(self, cluster_name: str, peers: tuple[str, ...]) -> None:
        config = replace(
            self._config, cluster_name=cluster_name, cluster_address="gcomm://" + ",".join(peers), donors=self._donors()
        )
        self._launcher.write_config(render_mycnf(config))

    def _donors(self) -> tuple[str, ...]:
        """Those of the others that the writer's clients would miss least: the last in the order first, the writer not."""
        others = [name for name in self._writer if name != self._config.node]
        return tuple(reversed(others[1:]))

    def furnish(self) -> None:
        if self._wanted.root_password is None:
            password = secrets.token_urlsafe(18)
            write_atomically(self._notes / "root.password", password + "\n", mode=0o600)
            self._wanted = replace(self._wanted, root_password=Secret(password))
            log.info("The password of root@localhost was generated: see %s.", self._notes / "root.password")
        for statement, arguments in accounts.statements(self._wanted):
            self._sql.query(statement, arguments)

    def flush(self) -> None:
        self._sql.flush()

    def confirm(self, identity: Identity) -> None:
        self._stamps.change(identity=identity, attempt=None, fresh=False)

    def cleanse(self) -> None:
        self._stamps.cleanse()
        self._stamps.change(attempt=None, fresh=False)

    def set_aside(self) -> None:
        when = time.strftime("%Y%m%dT%H%M%S", time.gmtime())
        datadir = self._places.datadir
        kept = datadir.with_name(f"{datadir.name}.set-aside-{when}")
        # The new stamp first: should the agent end in between, the old data meet a stamp that knows
        # nothing of them, and are refused, instead of an old stamp vouching for an empty datadir.
        self._stamps.renew()
        if datadir.exists():
            datadir.rename(kept)
            log.warning("The former datadir is kept as %s; remove it when nothing in it is needed.", kept)
        self._recovered = self._failure = None

    def open(self) -> None:
        if not self._stamps.load().held:
            self._stamps.change(held=True)
        self._sql.set_globals((*on_opening(self._config.options), ("wsrep_reject_queries", "NONE")))

    def close(self) -> None:
        self._sql.set_globals((("wsrep_reject_queries", "ALL_KILL"), ("require_secure_transport", "ON")))

    def stop(self) -> None:
        run = self._run
        if self._planned is not None:
            self._planned.child.terminate()
            return
        if run is None:
            return
        now = time.monotonic()
        if run.stopping_since is None:
            run.stopping_since = now
            run.process.signal(signal.SIGCONT)
            run.process.signal(signal.SIGTERM)
        elif now - run.stopping_since > STOP_PATIENCE and not run.was_primary:
            run.process.signal(signal.SIGKILL)

    # -- small notes on disk -----------------------------------------------------------------

    def remember(self, state: State, others: tuple[Report, ...]) -> None:
        """Keep what the registry said, for a start while it is down (rule 10)."""
        self._drained = state.drained
        self._heard = time.time()
        self._writer = state.writer
        self._members = {
            "writer": state.writer,
            "peers": [
                {
                    "node": other.node,
                    "host": other.endpoint.ip or other.endpoint.host,
                    "port": other.endpoint.sql_port,
                    "check_port": other.endpoint.check_port,
                    "usable": other.synced and other.opened and other.node not in state.drained,
                    "incoming": authority(other.endpoint.host, other.endpoint.sql_port),
                }
                for other in others
            ],
        }
        stable = tuple(
            replace(report, position=None, reason="", evidence=(), remedy=None, progress="") for report in others
        )
        text = json.dumps({"state": dump(state), "others": [dump(report) for report in stable]})
        if text != self._told:
            write_atomically(self._notes / "registry.json", text, mode=0o600)
            self._told = text

    def remembered(self) -> tuple[State, tuple[Report, ...]]:
        try:
            kept = json.loads((self._notes / "registry.json").read_text())
            state, others = load(State, kept["state"]), tuple(load(Report, text) for text in kept["others"])
        except (OSError, ValueError, KeyError):
            return State(), ()
        self._drained = state.drained
        return state, others

    def tell(self, report: Report) -> None:
        drained = report.node in self._drained
        text = json.dumps(
            {
                "opened": report.opened,
                "paused": report.role == "paused",
                "drained": drained,
                "reason": f"galerist undrain {report.node} ends that" if drained and report.opened else report.reason,
                "node": report.node,
                "host": report.endpoint.ip or report.endpoint.host,
                "port": report.endpoint.sql_port,
                **self._members,
            },
            sort_keys=True,
        )
        target = self._places.run_dir / "agent.json"
        if not target.exists() or target.read_text() != text:
            write_atomically(target, text, mode=0o644)
        if self._heard is not None:
            # Its age tells how old the news of the other members are, also when this agent has died.
            os.utime(target, (self._heard, self._heard))
