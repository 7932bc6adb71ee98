"""What a decision may rest on: one immutable value, without clock, file or network."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from galerist.model import NodeRecord, Report, State

UNKNOWN = "Unknown"
"""The cluster status of a server that has answered before and does not now."""


@dataclass(frozen=True, slots=True)
class Expect:
    """Which nodes make the first start: by name, or by bare number."""

    count: int
    names: tuple[str, ...] = ()

    def missing(self, reports: Iterable[Report]) -> tuple[str, ...]:
        """What still has to report, as words for people; empty when complete."""
        have = {report.node for report in reports}
        if self.names:
            return tuple(name for name in self.names if name not in have)
        lacking = self.count - len(have)
        return (f"{lacking} more node{'s' if lacking > 1 else ''}",) if lacking > 0 else ()

    def surplus(self, reports: Iterable[Report]) -> tuple[str, ...]:
        """Nodes that reported though they are not expected."""
        have = sorted({report.node for report in reports})
        if self.names:
            return tuple(name for name in have if name not in self.names)
        return tuple(have) if len(have) > self.count else ()


@dataclass(frozen=True, slots=True)
class Failure:
    """The server ended by itself; ``wait`` seconds are left until the next try."""

    sentence: str
    remedy: str
    wait: float


@dataclass(frozen=True, slots=True)
class Facts:
    """Everything a decision may rest on, as one immutable value."""

    cluster: str
    me: Report  # the truth of this moment, read from disk and process
    expect: Expect
    nonce: str  # fresh randomness for a claim
    answered: bool  # the registry answered in this pass, and has acknowledged ``me``
    state: State = State()  # as answered, else as last known
    others: tuple[Report, ...] = ()  # as answered, else as last known
    nodes: tuple[NodeRecord, ...] = ()
    taken_back: bool = False  # "not running" is taken back and the registry knows
    attempting: bool = False  # the running server was started for the attempt in the stamp
    was_primary: bool = False  # the running server has been in a PC since it started
    unserved: float = 0.0  # seconds since a live Primary member was last seen
    non_primary: float = 0.0  # seconds since the running server was last Primary
    silence: float = 0.0  # seconds since the registry last answered
    bereft: float = 0.0  # seconds for which the running server was Primary, and all others of its view down
    attempted: float = 0.0  # seconds for which the server of the attempt in the stamp answers, and is not Synced
    admission: float = 0.0  # seconds for which this node has been ready to join
    failure: Failure | None = None
    leading: tuple[str, ...] = ()  # while this node is drained: the proxies that lead clients to it, or have some there
    desynced: bool = False  # wsrep_desync was set by this node's agent, for a drain

    @property
    def all(self) -> tuple[Report, ...]:
        return tuple(sorted((self.me, *self.others), key=lambda report: report.node))
