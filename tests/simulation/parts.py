"""The pieces of the model of Galera: disks, lineages, groups, servers."""

from __future__ import annotations

from collections import deque

from galerist.galera.stamp import Stamp
from galerist.model import View

ARBITRATOR = 5
"""The number of the arbitrator's host; the others are counted from 0."""


class Violation(Exception):
    """A promise is broken."""

    def __init__(self, promise: str, text: str) -> None:
        super().__init__(f"{promise}: {text}")
        self.promise = promise


class Disk:
    """The datadir and the stamp beside it."""

    def __init__(self, number: int, serial: str) -> None:
        self.number = number
        self.kind = "empty"  # empty, galera, half (overwritten in part), standalone
        self.uuid = ""
        self.log: list[str] = []  # what InnoDB would recover
        self.clean = False  # grastate.dat holds the seqno
        self.nameless = False  # a bootstrap has written "no position" into InnoDB, and its first view not yet
        self.prepared_xa = False
        self.unreadable = False
        self.may_go = False  # a person has ordered that the datadir be set aside
        self.aside = False  # its datadir was set aside by order
        self.stamp = Stamp(disk=serial)
        self.taint = False
        self.views: list[tuple[str, View]] = []  # (run, view) of Primary views only
        self.runs: list[tuple[str, str]] = []  # (run, generation)
        self.notes: tuple[object, ...] | None = None


class Lineage:
    """One total order. ``idents`` holds the identities of its write-sets."""

    def __init__(self, uuid: str, log: list[str], name: str) -> None:
        self.uuid, self.log, self.name = uuid, log, name
        self.idents = set(log)
        self.groups: dict[int, Group] = {}  # by the seqno of the configuration change

    def append(self, ident: str) -> int:
        self.log.append(ident)
        self.idents.add(ident)
        return len(self.log)


class Group:
    """Servers that see one another. Never changed but for clean leaves: a new view is a new group."""

    __slots__ = ("arbitrators", "lineage", "members", "names", "number", "primary")

    def __init__(self, number: int, primary: bool, lineage: Lineage | None, members: set[Server]) -> None:
        self.number, self.primary, self.lineage, self.members = number, primary, lineage, members
        self.names = tuple(sorted("abcde"[member.number] for member in members if not member.arbitrator))
        self.arbitrators = ("garbd",) if any(member.arbitrator for member in members) else ()


class Server:
    """One run of mariadbd."""

    def __init__(self, disk: Disk, run: str, generation: str, name: str, boot: bool, full: bool, since: float) -> None:
        self.disk, self.number = disk, disk.number
        self.run, self.generation, self.name, self.boot = run, generation, name, boot
        self.since = since
        self.pid = 0
        self.address = ""  # where it listens
        self.peers: tuple[str, ...] = ()  # where it looks for the others
        data = disk.kind == "galera" and not full
        self.uuid = disk.uuid if data else ""
        self.log = list(disk.log) if data else []
        self.alive, self.frozen, self.stopping = True, False, False
        self.arbitrator = False  # a garbd: votes, and holds no data
        self.deaf = False  # it was told to end while it started: it goes on, and neither answers SQL nor ends
        self.hung = False  # its group fell apart while it left: it answers, and neither ends nor does anything
        self.heard = False  # its agent has noted that it answered
        self.told = False  # its agent has noted that it was told to end
        self.slow = False  # its applier and its disk get nothing done
        self.connected = False
        self.answers = False  # SQL
        self.rejects = True
        self.status = "Disconnected"
        self.state = 0
        self.group: Group | None = None
        self.last_prim: Group | None = None
        self.inbox: deque[int | str] = deque()  # seqnos of the lineage, or "np"
        self.lineage: Lineage | None = None
        self.transfer: str | None = None
        self.stage = 0
        self.target = 0  # the state transfer brings the log to this seqno
        self.donor: Server | None = None
        self.donating = False  # Galera takes it for a donor, also when it lost its joiner while it was without quorum

    def __repr__(self) -> str:
        return f"{'ABCDEG'[self.number]}/{self.run}"

    @property
    def awake(self) -> bool:
        return self.alive and not self.frozen and not self.hung

    def end_donation(self) -> None:
        """The joiner is gone; a donor that is without quorum cannot tell anybody, and is one for ever."""
        if self.state == 2:
            self.state, self.donating = 4, False

    def flush(self) -> None:
        """Write everything committed to disk."""
        if self.disk.kind == "galera" and self.disk.uuid == self.uuid:
            self.disk.nameless = False
            have = len(self.disk.log)
            if have < len(self.log):
                self.disk.log.extend(self.log[have:])


def quorum(part: int, members: int) -> bool:
    """Whether so many members of a Primary Component of that size go on without the rest."""
    return 2 * part > members


def follows(former: frozenset[str], view: frozenset[str], left: set[str]) -> bool:
    """Whether a Primary view may come after another one of its generation, when ``left`` have said farewell."""
    stay, gone = former & view, former - view
    return quorum(len(stay), len(former - (gone & left)))


def complete_state(server: Server) -> bool:
    """Whether the server can vouch for the whole state: some member of a Primary Component must."""
    return server.answers and server.transfer is None


def goes_on(server: Server) -> bool:
    """Whether a Primary Component goes on with this member: also where only an arbitrator is left, who has no data to give."""
    return server.arbitrator or complete_state(server)


def differ(one: list[str], other: list[str]) -> str:
    """Where two histories part."""
    for seqno, (left, right) in enumerate(zip(one, other, strict=False), 1):
        if left != right:
            return f"seqno {seqno} is {left} here and {right} there"
    return f"{len(one)} and {len(other)} entries"
