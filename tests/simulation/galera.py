"""A model of Galera: disks, servers, groups and their quorum, what is delivered, committed and flushed.

A *lineage* is the total order of one formed Primary Component and all that continues it: write-sets
and configuration changes, each with an identity, so that two histories are told apart at equal
seqnos. Seqno n is ``log[n-1]``.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from random import Random

from galerist.model import View
from tests.simulation import transfers
from tests.simulation.parts import Disk, Group, Lineage, Server, Violation, differ, goes_on, quorum

CONNECT_PATIENCE = 40.0
"""Seconds after which a server that found no Primary Component gives up."""


class Galera:
    """All servers, the network between them, and time's effects on both."""

    def __init__(self, check: bool = True) -> None:
        self.servers: list[Server] = []
        self.arbitrators: list[Server] = []
        self.side: dict[int, int] = {}  # node to the side of the partition it is on
        self.severed: set[frozenset[int]] = set()  # pairs without a direct way; the group relays, transfers do not
        self.numbers = itertools.count(1)
        self.idents = itertools.count(1)
        self.agent_lives: Callable[[int], bool] = lambda number: True  # used by a mutant only
        self.reform = True  # non-Primary components whose members are all back form anew
        self.log = lambda text: None
        self.precious: set[str] = set()  # acknowledged write-sets
        self.ever_open = False

    # -- who sees whom -----------------------------------------------------------------------

    def reach(self, one: Server, other: Server) -> bool:
        if frozenset((one.number, other.number)) in self.severed:
            return False
        return self.side.get(one.number, 0) == self.side.get(other.number, 0)

    def _acquainted(self, there: set[Server]) -> set[Server]:
        """Those who know somebody in the group by his address of today; the others look on."""
        known = {server for server in there if server.group is not None}
        rest = there - known
        while True:
            addresses = {server.address for server in known}
            listed = {peer for server in known for peer in server.peers}
            more = {server for server in rest if addresses & {*server.peers} or server.address in listed}
            if not more:
                return known
            known |= more
            rest -= more

    def intact(self, group: Group) -> bool:
        """Whether all members are there, reach one another, and are still in this very group."""
        sides = {self.side.get(member.number, 0) for member in group.members}
        return len(sides) == 1 and all(m.awake and m.group is group for m in group.members)

    # -- the life of a server ----------------------------------------------------------------

    def start(self, server: Server) -> None:
        disk = server.disk
        if any(other.disk is disk for other in self.servers):
            raise Violation("P1", f"two servers run on the datadir of {'ABCDE'[disk.number]}")
        server.pid = next(self.numbers)
        disk.clean = False
        disk.nameless |= server.boot and bool(server.log)
        disk.runs.append((server.run, server.generation))
        self.servers.append(server)

    def crash(self, server: Server) -> None:
        server.alive = False
        self._remove(server)
        if server.donor is not None:
            server.donor.end_donation()
        self._forsake(server)

    def _remove(self, server: Server) -> None:
        for those in (self.servers, self.arbitrators):
            if server in those:
                those.remove(server)

    def _forsake(self, donor: Server) -> None:
        """A state transfer is cut off with its donor; a full one ends the joiner."""
        for other in list(self.servers):
            if other.donor is donor and other.alive:
                other.donor = None
                if other.transfer == "sst" and other.stage > 0 and not other.frozen:
                    self.crash(other)

    def leave(self, server: Server) -> None:
        """A clean stop: everything received is committed, the others shrink their quorum."""
        if not server.awake:
            return
        complete = server.answers and server.transfer is None
        if complete:
            self.drain(server)
            server.flush()
        if server.group is not None and not self.intact(server.group):
            self.settle()
            if complete:
                self.drain(server)
                server.flush()
        server.alive = False
        self._remove(server)
        if complete and server.disk.kind == "galera":
            server.disk.clean = True
        if server.donor is not None:
            server.donor.end_donation()
        self._depart(server)
        self._forsake(server)

    def promote(self, server: Server, name: str) -> None:
        """The server leaves its group and forms a Primary Component of another name (rule 7)."""
        if server.group is not None and not self.intact(server.group):
            self.settle()
        self._depart(server)
        self._forsake(server)
        self.drain(server)
        server.name, server.group, server.last_prim = name, None, None
        self.log(f"    {server} is promoted in place, as {name}")
        self.found(server)
        if server.donating:
            server.state = 2  # measured: "Restored state OPEN -> DONOR/DESYNCED", and nobody ends it

    def _depart(self, server: Server) -> None:
        """The others shrink their quorum."""
        group = server.group
        if group is not None and group.members != {server}:
            rest = group.members - {server}
            if group.primary and any(goes_on(other) for other in rest):
                self._form(rest, group, rest)
            else:
                self._unform(rest)
            for other in rest:
                if other.last_prim is not None and other.last_prim is server.last_prim:
                    other.last_prim.members.discard(server)

    # -- views -------------------------------------------------------------------------------

    def settle(self) -> None:
        """What the group communication agrees on once it has noticed who is there."""
        everyone = [*self.servers, *self.arbitrators]
        names = {server.name for server in everyone}
        for name in sorted(names):
            classes: dict[int, set[Server]] = {}
            for server in everyone:
                if server.name == name and server.awake and server.connected:
                    classes.setdefault(self.side.get(server.number, 0), set()).add(server)
            for side in sorted(classes):
                there = self._acquainted(classes[side])
                if there:
                    self._agree(there)

    def _agree(self, there: set[Server]) -> None:
        groups = {server.group for server in there}
        if len(groups) == 1:
            (only,) = groups
            if only is not None and only.members == there:
                return
        quorate = []
        for group in groups:
            if group is not None and group.primary:
                part = {server for server in there if server.group is group}
                if quorum(len(part), len(group.members)) and any(map(goes_on, part)):
                    quorate.append((group, part))
        if quorate:
            group, part = max(quorate, key=lambda pair: pair[0].number)
            for other, strangers in quorate:
                if other is not group:
                    for server in strangers:
                        self.crash(server)  # two Primary Components meet: Galera aborts one
            self._form({server for server in there if server.alive}, group, part)
            return
        last = max((s.last_prim for s in there if s.last_prim is not None), key=lambda g: g.number, default=None)
        if self.reform and last is not None and last.members and last.members <= there:
            part = {server for server in last.members if server.last_prim is last}
            if part == last.members and any(map(goes_on, part)):
                self._form(there, last, part)
                return
        self._unform(there)

    def _form(self, there: set[Server], former: Group, part: set[Server]) -> None:
        lineage = former.lineage
        assert lineage is not None
        number = next(self.numbers)
        group = Group(number, True, lineage, set(there))
        seqno = lineage.append(f"cc{number}")
        lineage.groups[seqno] = group
        self.log(f"    view {number}: Primary {','.join(group.names)} at seqno {seqno} of {lineage.name}")
        for server in sorted(there, key=lambda s: s.number):
            server.group = server.last_prim = group
            if server.arbitrator:
                continue
            if server in part and server.transfer != "wanted":
                server.inbox.append(seqno)
            elif server.alive:
                self._join(server, lineage, seqno)

    def _join(self, server: Server, lineage: Lineage, seqno: int) -> None:
        if server.answers and server.transfer is None:
            self.drain(server)
        server.inbox.clear()
        server.lineage = lineage
        if server.donor is not None:
            server.donor.end_donation()
        server.transfer, server.stage, server.target, server.donor = "wanted", 0, seqno, None
        server.status, server.state = "Primary", 1
        self._saw(server, seqno)

    def _unform(self, there: set[Server]) -> None:
        group = Group(next(self.numbers), False, None, set(there))
        if there:
            self.log(f"    view {group.number}: non-Primary {','.join(group.names)}")
        for server in there:
            server.group = group
            if not server.arbitrator:
                server.inbox.append("np")

    def found(self, server: Server) -> None:
        """The server bootstraps a Primary Component of its own."""
        uuid = server.uuid or f"uuid-{next(self.numbers)}"
        lineage = Lineage(uuid, list(server.log), f"{'ABCDE'[server.number]}:{server.generation}")
        server.uuid, server.lineage = uuid, lineage
        server.disk.nameless = False
        server.disk.kind, server.disk.uuid = "galera", uuid  # data of a lone server are adopted
        server.answers, server.state = True, 4
        self._form({server}, Group(0, True, lineage, {server}), {server})
        self.drain(server)

    def _saw(self, server: Server, seqno: int) -> None:
        """The server's notify script writes the view, durably, before anything commits in it."""
        assert server.lineage is not None
        group = server.lineage.groups[seqno]
        self.record(server, View(server.generation, seqno, group.names, group.arbitrators))

    def record(self, server: Server, view: View) -> None:
        server.disk.views.append((server.run, view))

    # -- delivery ----------------------------------------------------------------------------

    def drain(self, server: Server, most: int = 1 << 30) -> bool:
        """Commit up to ``most`` received events; True if there was one."""
        done = False
        while server.inbox and most > 0:
            most -= 1
            done = True
            event = server.inbox.popleft()
            if event == "np":
                server.status, server.state = "non-Primary", 0
                continue
            assert isinstance(event, int) and server.lineage is not None
            if event <= len(server.log):
                continue
            if event != len(server.log) + 1:
                raise Violation("MODEL", f"{server} misses write-sets before {event}")
            ident = server.lineage.log[event - 1]
            server.log.append(ident)
            if ident.startswith("cc"):
                if server.status != "Primary" or server.state == 0:
                    server.status, server.state = "Primary", 4
                self._saw(server, event)
        return done

    def write(self, server: Server, crash: bool = False) -> str | None:
        """A client's INSERT and COMMIT; its identity once it is acknowledged."""
        group = server.group
        if (
            not server.awake or not server.answers or server.rejects or server.transfer is not None
            or group is None or not group.primary or server.state not in (2, 4) or not self.intact(group)
        ):  # fmt: skip
            return None
        lineage = group.lineage
        assert lineage is not None
        ident = f"w{next(self.idents)}"
        seqno = lineage.append(ident)
        for member in group.members:
            if not member.arbitrator:
                member.inbox.append(seqno)
        if crash:
            self.crash(server)
            return None
        self.drain(server)
        server.flush()
        return ident if server.log and server.log[-1] == ident else None

    # -- time --------------------------------------------------------------------------------

    def progress(self, rng: Random, now: float, chance: float) -> bool:
        """Each server gets on with what it is at, or not yet."""
        any_done = False
        for server in list(self.servers):
            if not server.awake or rng.random() > chance:
                continue
            any_done |= self._progress(server, rng, now, chance)
        return any_done

    def _progress(self, server: Server, rng: Random, now: float, chance: float) -> bool:
        if server.stopping:
            # Measured: MariaDB 10.11, signalled in a state transfer
            server.deaf = not server.answers and rng.random() < 0.5
            # Measured: its commits wait for a group that does not come about any more
            broken = server.answers and server.group is not None and not self.intact(server.group)
            server.hung = broken and rng.random() < 0.2
            server.stopping = False
            if server.hung:
                server.status, server.state = "non-Primary", 0
            elif not server.deaf:
                self.leave(server)
            return True
        if not server.connected:
            server.connected = True
            if server.boot:
                self.found(server)
            return True
        if server.transfer is not None:
            return transfers.proceed(self, server, rng, chance)
        if not server.answers:
            if now - server.since > CONNECT_PATIENCE:
                self.crash(server)
                return True
            return False
        if server.slow:
            return False
        done = self.drain(server, 1 << 30 if chance >= 1 else rng.choice((1, 2, 5)))
        if chance >= 1 or rng.random() < 0.5:
            server.flush()
        if not server.inbox and server.status == "Primary" and server.state == 3:
            server.state = 4
            done = True
        return done


__all__ = ["Disk", "Galera", "Group", "Lineage", "Server", "Violation", "differ"]
