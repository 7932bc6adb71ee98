"""A simulated node behind :class:`bootstrap.hands.Node`: what LocalNode does, on the model's disk and server."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from bootstrap.facts import UNKNOWN
from bootstrap.hands import Look
from bootstrap.runs import unheard
from galerist.galera.stamp import Stamp
from galerist.model import ZERO_UUID, Attempt, Data, Identity, Position, Report, Server, State, View
from tests.simulation.galera import Disk, Galera, Violation
from tests.simulation.galera import Server as Run


class SimNode:
    """The hands of one boot of one agent. ``point(what)`` is called before each act."""

    def __init__(
        self,
        disk: Disk,
        galera: Galera,
        point: Callable[[str], str | None],
        now: Callable[[], float],
        serial: Callable[[str], str],
        address: str = "",
    ) -> None:
        self.address = address
        self.disk, self.galera, self.point, self.now, self.serial = disk, galera, point, now, serial
        self.run: Run | None = None
        self.answered = False
        self.was_primary = False
        self.stopping_since: float | None = None
        self.busy = 0.0  # when a server that is to end was last seen to do something
        self.planned: tuple[str, str] | None = None
        self.recovering = 0
        self.recovered = False
        self.failure: tuple[str, str, float] | None = None
        self.failures = 0
        self.leaving = False

    # -- looking -----------------------------------------------------------------------------

    def look(self) -> Look:
        if self.run is None and self.planned is None:
            self._adopt()
        if self.planned is not None:
            run, self.planned = self.planned, None
            if self.disk.kind == "empty":
                self.disk.kind, self.disk.uuid, self.disk.log = "galera", "", []
            self._start(run, boot=True, full=False)
            return Look(Server.STARTING, self.disk.stamp, Data.EMPTY, pid=self.run.pid, attempting=True)
        if self.run is not None and not self.run.alive:
            self._ended()
        return self._running(self.run) if self.run is not None else self._down()

    def _adopt(self) -> None:
        for server in self.galera.servers:
            if server.disk is self.disk:
                self.run, self.answered, self.was_primary, self.stopping_since = server, server.heard, False, None
                if server.told:
                    self._tell_to_end(server)

    def _ended(self) -> None:
        assert self.run is not None
        self.run = None
        self.recovered = False
        if self.stopping_since is not None:
            return
        wait = min(30.0, 2.0**self.failures) if self.failures else 0.0
        self.failures += 1
        self.failure = ("The server ended by itself.", "look at its error log", self.now() + wait)

    def _running(self, run: Run) -> Look:
        disk = self.disk
        live = run.answers and not run.frozen and not run.deaf
        self.answered = run.heard = self.answered or live
        primary = [view for name, view in disk.views if name == run.run]
        self.was_primary = self.was_primary or bool(primary) or (live and run.status == "Primary")
        self.carry_stop_through(run)
        view = primary[-1] if primary else None
        if view is None and not (live and run.status == "Primary"):
            view = self._recorded_view()
        data = Data.TAINTED if disk.taint else Data.PRESENT
        attempting = disk.stamp.attempt is not None and disk.stamp.attempt.nonce == run.generation
        if not live:
            if not self.was_primary and data is not Data.TAINTED:
                data = Data.EMPTY if disk.kind in ("empty", "half") or disk.stamp.fresh else Data.PRESENT
            return Look(
                Server.UP if self.answered else Server.STARTING, disk.stamp, data, pid=run.pid,
                cluster_status=UNKNOWN if self.answered else "Disconnected",
                view=view, was_primary=self.was_primary, attempting=attempting,
            )  # fmt: skip
        if run.state == 4:
            self.failures = 0
        return Look(
            Server.UP, disk.stamp, data, position=Position(run.uuid, len(run.log)), pid=run.pid, cluster_status=run.status,
            local_state=run.state, uuid=run.uuid, opened=not run.rejects, view=view, was_primary=self.was_primary,
            queue=len(run.inbox), attempting=attempting,
        )  # fmt: skip

    def _recorded_view(self) -> View | None:
        stamp = self.disk.stamp
        ids = {generation.id for generation in stamp.identity.generations} if stamp.identity is not None else set()
        return next((view for _, view in reversed(self.disk.views) if view.generation in ids), None)

    def _down(self) -> Look:
        disk, stamp = self.disk, self.disk.stamp
        if self.recovering:
            self.recovering -= 1
            self.recovered = not self.recovering
        data, position, problem = self._inspect(disk, stamp)
        if data is Data.PRESENT and position is None and self.recovered:
            position = Position(disk.uuid or ZERO_UUID, len(disk.log) if disk.uuid else -1)
            if disk.nameless:
                position = self.begun_from(disk) or Position(ZERO_UUID, -1)
            if disk.prepared_xa:
                problem = "1 XA transaction(s) prepared by a user wait for COMMIT or ROLLBACK"
            if position.uuid == ZERO_UUID:
                data, position = Data.STANDALONE, None
        failure = None
        if self.failure is not None:
            failure = (self.failure[0], self.failure[1], max(0.0, self.failure[2] - self.now()))
        return Look(
            Server.DOWN, stamp, data, position=position, problem=problem,
            uuid=position.uuid if position is not None else ZERO_UUID,
            view=self._recorded_view(), failure=failure,
        )  # fmt: skip

    def begun_from(self, disk: Disk) -> Position | None:
        """Where the bootstrap began that was ended before its first view."""
        return disk.stamp.attempt.position if disk.stamp.attempt is not None else None

    def _inspect(self, disk: Disk, stamp: Stamp) -> tuple[Data, Position | None, str | None]:
        if disk.unreadable:
            return Data.UNREADABLE, None, "cannot read ibdata1: Input/output error"
        if disk.taint:
            return Data.TAINTED, None, "a state transfer into it was cut off"
        if (stamp.fresh and stamp.identity is None) or disk.kind == "empty":
            return Data.EMPTY, None, None
        if disk.kind == "standalone":
            return Data.PRESENT, None, None
        if disk.clean and disk.uuid:
            return Data.PRESENT, Position(disk.uuid, len(disk.log)), None
        return Data.PRESENT, None, None

    # -- acting ------------------------------------------------------------------------------

    def recover(self) -> None:
        if not self.recovering:
            self.point("recover")
            self.recovering = 2

    def bootstrap(self, attempt: Attempt) -> None:
        self.point("bootstrap")
        look = self.look()
        if look.server is not Server.DOWN:
            return
        disk = self.disk
        self._origin(look.data)
        disk.stamp = replace(disk.stamp, attempt=attempt)
        self.point("attempt written")
        run = (self.serial("run"), attempt.nonce)
        if look.data is Data.EMPTY:
            disk.kind, disk.uuid, disk.log = "empty", "", []
            disk.stamp = replace(disk.stamp, fresh=True)
            self.planned = run
            return
        self._start(run, boot=True, full=False)

    def _origin(self, data: Data) -> None:
        """P3: no empty or half-transferred datadir begins an established cluster anew."""
        if data is not Data.PRESENT and self.galera.precious:
            raise Violation("P3", f"the {data.value} datadir of node {self.disk.number} becomes the origin")

    def promote(self, attempt: Attempt, peers: tuple[str, ...]) -> None:
        self.point("promote")
        run = self._sql()
        self.settle(run)
        if not run.rejects or run.inbox or run.transfer is not None:
            raise OSError("the server is open, or has not committed what it received")
        if attempt.position != Position(run.uuid, len(run.log)):
            raise OSError("the server is not where it claimed to be")
        self.disk.stamp = replace(self.disk.stamp, attempt=attempt)
        self.disk.runs.append((run.run, attempt.nonce))
        self.point("attempt written")
        run = self._sql()
        run.generation = attempt.nonce
        self.galera.promote(run, attempt.cluster_name)

    def settle(self, run: Run) -> None:
        """What the attempt says must be on disk before it is written."""
        run.flush()

    def join(self, identity: Identity, peers: tuple[str, ...], full: bool) -> None:
        self.point("join")
        look = self.look()
        if look.server is not Server.DOWN:
            return
        disk, generation = self.disk, identity.generations[-1]
        fresh = disk.stamp.fresh
        disk.stamp = replace(disk.stamp, identity=identity, fresh=False)
        self.point("joining")
        if look.data is Data.EMPTY and fresh:
            disk.kind, disk.uuid, disk.log = "empty", "", []
        self._start((self.serial("run"), generation.id), False, full, generation.cluster_name, peers)

    def _start(
        self, run: tuple[str, str], boot: bool, full: bool, name: str | None = None, peers: tuple[str, ...] = ()
    ) -> None:
        if name is None:
            assert self.disk.stamp.attempt is not None
            name = self.disk.stamp.attempt.cluster_name
        server = Run(self.disk, run[0], run[1], name, boot, full, self.now())
        server.address, server.peers = f"{self.address}:4567", peers
        self.failure = None
        self.started()
        self.galera.start(server)
        self.run, self.answered, self.was_primary, self.stopping_since = server, False, False, None

    def started(self) -> None:
        """Set by the world: the invariants at the start of a server."""

    def _sql(self) -> Run:
        if self.run is None or not self.run.alive or self.run.frozen or not self.run.answers or self.run.deaf:
            raise OSError("the server does not answer")
        return self.run

    def furnish(self) -> None:
        self._sql()

    def flush(self) -> None:
        self.point("flush")
        self._sql().flush()

    def confirm(self, identity: Identity) -> None:
        self.point("confirm")
        self.disk.stamp = replace(self.disk.stamp, identity=identity, attempt=None, fresh=False)

    def cleanse(self) -> None:
        self.point("cleanse")
        self.disk.taint = False
        self.disk.stamp = replace(self.disk.stamp, attempt=None, fresh=False)

    def set_aside(self) -> None:
        self.point("set aside")
        disk = self.disk
        if not disk.may_go:
            raise Violation("P3", "a datadir is set aside though nobody ordered it")
        disk.kind, disk.uuid, disk.log, disk.clean, disk.taint, disk.may_go = "empty", "", [], False, False, False
        disk.aside = True
        disk.prepared_xa = disk.unreadable = disk.nameless = False
        disk.stamp = Stamp(disk=self.serial("disk"))
        disk.views.clear()
        disk.runs.clear()
        self.recovered, self.failure = False, None

    def open(self) -> None:
        self.point("open")
        self.disk.stamp = replace(self.disk.stamp, held=True)
        self._sql().rejects = False
        self.opened(self._sql())

    def opened(self, run: Run) -> None:
        """Set by the world: the invariants at an opening."""

    def close(self) -> None:
        self.point("close")
        self.healthy_close(self._sql())
        self._sql().rejects = True

    def desync(self, on: bool) -> None:
        raise Violation("MODEL", "a server left flow control though nobody is drained in these schedules")

    def healthy_close(self, run: Run) -> None:
        """Set by the world: the invariants when an agent keeps clients out."""

    def stop(self) -> bool:
        # No point: the agent has looked right before (Agent._still). Nobody can close the instant in between for it.
        if self.run is not None and self.run.alive and self.stopping_since is None:
            self.healthy_stop(self.run)
            self._tell_to_end(self.run)
        return self.run is not None or self.planned is not None

    def _tell_to_end(self, run: Run) -> None:
        self.stopping_since = self.busy = self.now()
        run.told = True
        run.frozen, run.stopping = False, True

    def carry_stop_through(self, run: Run) -> None:
        """See :meth:`bootstrap.runs.Run.carry_stop_through`."""
        now = self.now()
        if not run.hung and not run.frozen:
            self.busy = now
        if self.stopping_since is not None and unheard(
            now - self.stopping_since, now - self.busy, self.was_primary, self.answered
        ):
            self.galera.crash(run)

    def healthy_stop(self, run: Run) -> None:
        """Set by the world: the invariants at a stop that nobody asked for."""

    def remember(self, state: State, others: tuple[Report, ...]) -> None:
        self.disk.notes = (state, others)

    def remembered(self) -> tuple[State, tuple[Report, ...]]:
        if self.disk.notes is None:
            return State(), ()
        state, others = self.disk.notes
        return state, tuple(replace(report, position=None) for report in others)  # type: ignore[attr-defined]

    def tell(self, report: Report) -> None:
        pass


__all__ = ["SimNode", "View"]
