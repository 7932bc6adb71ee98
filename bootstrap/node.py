"""One real node: the datadir, the stamp and the mariadbd behind :class:`bootstrap.hands.Node`."""

from __future__ import annotations

import logging
import os
import secrets
from dataclasses import replace
from pathlib import Path

from bootstrap import accounts
from bootstrap.errorlog import ErrorLog
from bootstrap.facts import UNKNOWN
from bootstrap.gate import Gate
from bootstrap.hands import Look
from bootstrap.notes import Notes
from bootstrap.recovery import Recovery
from bootstrap.runs import Planned, Run
from bootstrap.trials import Trials
from galerist.endpoints import only_ipv6
from galerist.galera import datadir as disk
from galerist.galera.config import ServerConfig, on_opening, render_mycnf
from galerist.galera.failures import explain
from galerist.galera.positions import is_zero
from galerist.galera.server import TRANSFER, Launcher, Places, Process, end_session
from galerist.galera.sql import Live, Sql
from galerist.galera.stamp import ADOPTED, Seen, Stamp, StampStore, newest_recorded
from galerist.galera.tls import Credentials
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
)

log = logging.getLogger("galerist.bootstrap")

LAST_WORDS = 16384
"""Bytes of log in which the end of a server that has served is explained; before it stands its daily life."""


class LocalNode:
    """See :class:`bootstrap.hands.Node`."""

    def __init__(
        self,
        config: ServerConfig,
        places: Places,
        wanted: accounts.Wanted,
        note_dir: Path,
        patience: float,
        tls: Credentials | None = None,
    ) -> None:
        """``patience``: seconds for one answer of the server."""
        self._config, self._places = config, places
        self._notes = Notes(note_dir / "registry.json", places.run_dir / "agent.json")
        self._log = ErrorLog(places.error_log)
        self._launcher = Launcher(places)
        owner = self._launcher.owner if os.geteuid() == 0 else None
        self._stamps = StampStore(places.stamp_dir, owner)
        self._sql = Sql(places.socket, "root" if os.geteuid() == 0 else places.user, patience)
        self._gate = Gate(self._sql, on_opening(config.options), wanted, note_dir / "root.password", tls)
        self._run: Run | None = None
        self._planned: Planned | None = None
        self._recovery = Recovery(self._launcher)
        self._trials = Trials()
        self._version = ""

    def prepare(self) -> None:
        """Make folders and scripts and take the lock. Raises StampInUse, OSError."""
        self._stamps.prepare()
        self._launcher.prepare()

    def virgin(self) -> bool:
        """Whether this disk has never been part of a cluster."""
        return self._stamps.load().identity is None

    def stranger(self) -> int | None:
        """The pid of a server on this datadir that answers and that galerist has never known, None if there is none."""
        stamp = self._stamps.load()
        if stamp.identity is not None or stamp.attempt is not None:
            return None
        pid = disk.opened_by(self._places.datadir)
        if pid is None:
            return None
        try:
            self._sql.live()
        except OSError:
            return None
        return pid

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
            words, pid = self._trials.after("initialising"), self._planned.child.pid
            return Look(Server.STARTING, stamp, Data.EMPTY, pid=pid, attempting=True, progress=words)
        return self._down(stamp)

    def _adopt(self) -> None:
        """A server that outlived its agent goes on under this one."""
        if self._recovery.running():
            return
        pid = disk.opened_by(self._places.datadir)
        begun = self._stamps.current_run() if pid else None
        if not pid or begun is None:
            return  # whatever has the datadir open, galerist has never begun or adopted a server on it
        log.info("A server with this datadir is running (pid %d): looking after it.", pid)
        try:
            process = Process(pid, None)
            run = Run(process, *begun, ours=self._notes.marked("started", process.born), log_offset=self._log.size())
            run.answered = self._notes.marked("answered", process.born)
            if self._notes.marked("stopping", process.born):
                run.stop()
            self._run = run
        except (ProcessLookupError, FileNotFoundError):
            self._run = None  # it has just ended

    def _running(self, run: Run, stamp: Stamp) -> Look:
        live: Live | None = None
        try:
            live = self._sql.live()
            if not self._version:
                self._version = str(self._sql.query("SELECT VERSION()")[0][0])
            run.answered = True
            self._notes.mark("answered", run.process.born)
        except OSError:
            live = None  # not yet, or not any more: the process itself is watched as well
        if live is not None:
            self._gate.tend(opened=not live.rejects)
        if live is not None and run.run.startswith(ADOPTED):
            self._note_view(run, live)
        attempting = stamp.attempt is not None and stamp.attempt.nonce == run.generation
        seen = self._stamps.views()
        primary = [entry for entry in seen if entry.run == run.run and entry.primary]
        view = self._view(primary, live)
        if view is None and (live is None or live.cluster_status != "Primary"):
            view = newest_recorded(seen, stamp.identity)
        run.was_primary = run.was_primary or bool(primary) or (live is not None and live.cluster_status == "Primary")
        data = Data.TAINTED if self._stamps.tainted() else Data.PRESENT
        run.carry_stop_through()
        if live is None:
            if not run.answered and not run.was_primary and self._log.transfer_died(run.log_offset):
                run.bereaved()
            died = run.transfer_died is not None
            return Look(
                Server.UP if run.answered else Server.STARTING,
                stamp,
                data if run.was_primary else self._on_disk(stamp, data),
                pid=run.process.pid,
                cluster_status=UNKNOWN if run.answered else "Disconnected",
                view=view,
                was_primary=run.was_primary,
                attempting=attempting,
                progress=self._trials.after(self._log.stage(run.log_offset, died, self._stamps.tainted())),
            )
        if live.local_state == 4:
            self._trials.succeeded()
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
            view=view,
            was_primary=run.was_primary,
            desync=live.desync,
            desynced=live.desync and self._notes.marked("desynced", run.process.born),
            queue=live.received,
            attempting=attempting,
            progress=live.stage if live.local_state != 4 else "",
            version=self._version,
        )

    def _note_view(self, run: Run, live: Live) -> None:
        """Write down the view of a server that galerist did not start: it has no script that would."""
        try:
            found = self._sql.view() if live.cluster_status == "Primary" else None
            known = [entry.view.seqno for entry in self._stamps.views() if entry.run == run.run]
            if found is not None and found[0] not in known[-1:]:
                self._stamps.note(run.run, live.uuid, *found)
        except OSError as error:
            log.debug("the view is noted later: %s", error)

    def _on_disk(self, stamp: Stamp, data: Data) -> Data:
        if data is Data.TAINTED:
            return data
        return Data.EMPTY if not (self._places.datadir / "mysql").is_dir() or stamp.fresh else Data.PRESENT

    def _view(self, primary: list[Seen], live: Live | None) -> View | None:
        """The newest view of this run. Should the provider's log have hidden its seqno, the server knows it."""
        if not primary:
            return None
        view = primary[-1].view
        if view.seqno >= 0 or live is None:
            return view
        seqno = self._sql.view_seqno()
        return replace(view, seqno=seqno) if seqno is not None else None

    def _down(self, stamp: Stamp) -> Look:
        found = disk.inspect(self._places.datadir, stamp, self._stamps.tainted())
        position, problem, data = found.position, found.problem, found.data
        recovering, recovered = self._recovery.running(), self._recovery.result
        if data is Data.PRESENT and position is None and recovered is not None:
            position, problem = recovered.position, recovered.problem
            if position is not None and is_zero(position):
                position = disk.begun_from(self._places.datadir, stamp)
                data = Data.PRESENT if position else Data.STANDALONE
        if disk.opened_by(self._places.datadir) is not None and not recovering:
            return Look(Server.STARTING, stamp, data, problem="another process has the datadir open", progress="in use")
        return Look(
            Server.DOWN,
            stamp,
            data,
            position=position,
            problem=problem,
            uuid=position.uuid if position is not None else ZERO_UUID,
            view=newest_recorded(self._stamps.views(), stamp.identity),
            failure=self._trials.failure,
            progress="recovering its position" if recovering else "",
        )

    def _ended(self, run: Run) -> None:
        self._run = None
        self._recovery.forget()
        self._sql.close()
        end_session(run.process.pid)  # a state transfer's helpers would keep its port
        if run.stopping_since is not None:
            return
        text = self._log.since(run.log_offset)
        code = run.process.exit_code if run.transfer_died is None else None
        sentence, remedy = explain(text[-LAST_WORDS:] if run.was_primary else text, code)
        self._trials.failed(sentence, remedy, at_once=True)
        log.warning("%s", sentence)

    # -- acting ------------------------------------------------------------------------------

    def recover(self) -> None:
        if not self._recovery.running():
            self._write_config("galerist-recover", ())
            self._recovery.begin()

    def bootstrap(self, attempt: Attempt) -> None:
        look = self.look()
        if look.server is not Server.DOWN:
            return
        self._stamps.change(attempt=attempt, fresh=look.stamp.fresh and look.data is Data.EMPTY)
        self._write_config(attempt.cluster_name, ())
        run = self._new_run(attempt.nonce)
        if look.data is Data.EMPTY:
            if look.stamp.fresh:  # our own, never recorded: half made, perhaps
                disk.wipe(self._places.datadir)
            self._launcher.make_datadir()
            disk.mark(self._places.datadir, self._stamps.change(fresh=True))
            self._planned = Planned(self._launcher.initialise(), run, self._log.size())
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
            disk.wipe(self._places.datadir)
        self._start(self._new_run(generation.id), None if full else look.position, bootstrap=False, full=full)

    def _new_run(self, generation: str) -> tuple[str, str]:
        run = secrets.token_hex(4)
        self._stamps.begin_run(run, generation)
        return run, generation

    def _start(self, run: tuple[str, str], position: Position | None, bootstrap: bool, full: bool) -> None:
        offset = self._log.size()
        process = self._launcher.start(run[0], position, bootstrap, full)
        self._trials.begun()
        self._run = Run(process, *run, log_offset=offset)
        self._notes.mark("started", process.born)
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
            sentence, remedy = explain(self._log.since(planned.log_offset) + text, code)
            self._trials.failed(f"The datadir could not be initialised. {sentence}", remedy)
            return
        self._start(planned.run, None, bootstrap=True, full=False)

    def _write_config(self, cluster_name: str, peers: tuple[str, ...]) -> None:
        self._gate.before_start()
        config = replace(
            self._config,
            cluster_name=cluster_name,
            cluster_address="gcomm://" + ",".join(peers),
            donors=self._notes.donors(self._config.node),
            ipv6=only_ipv6(self._config.host),
        )
        self._launcher.write_config(render_mycnf(config))

    def furnish(self) -> None:
        self._gate.furnish()

    def flush(self) -> None:
        self._sql.flush()

    def confirm(self, identity: Identity) -> None:
        self._stamps.change(identity=identity, attempt=None, fresh=False)

    def cleanse(self) -> None:
        self._stamps.cleanse()
        self._stamps.change(attempt=None, fresh=False)

    def set_aside(self) -> None:
        disk.check_movable(self._places.datadir)  # while the order still stands, which is for this stamp
        # The new stamp first: should the agent end in between, the old data meet a stamp that knows
        # nothing of them, and are refused, instead of an old stamp vouching for an empty datadir.
        self._stamps.renew()
        if (kept := disk.set_aside(self._places.datadir)) is not None:
            log.warning("The former datadir is kept as %s; remove it when nothing in it is needed.", kept)
        self._recovery.forget()
        self._trials.begun()

    def open(self) -> None:
        if not self._stamps.load().held:
            self._stamps.change(held=True)
        self._gate.open()

    def close(self) -> None:
        self._gate.close()

    def desync(self, on: bool) -> None:
        # The note says that it was this agent's doing: what a person has set by hand stays.
        if self._run is None:
            return
        if on and not self._notes.mark("desynced", self._run.process.born):
            return
        self._sql.set_globals((("wsrep_desync", "ON" if on else "OFF"),))
        if not on:
            self._notes.mark("desynced", "")

    def stop(self) -> bool:
        if self._planned is not None:
            self._planned.child.terminate()
        elif self._run is not None:
            self._notes.mark("stopping", self._run.process.born)  # first: a new agent carries the stop through as well
            self._run.stop()
        return self._planned is not None or self._run is not None

    def remember(self, state: State, others: tuple[Report, ...]) -> None:
        self._notes.remember(state, others)

    def remembered(self) -> tuple[State, tuple[Report, ...]]:
        return self._notes.remembered()

    def tell(self, report: Report) -> None:
        self._notes.tell(report)
