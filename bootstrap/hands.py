"""What the agent sees of its node, and what it can do there: the rim of the pass, as a contract.

:class:`bootstrap.node.LocalNode` fulfils it with a real server, the simulation with a model of one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from galerist.galera.stamp import Stamp
from galerist.model import ZERO_UUID, Attempt, Data, Identity, Position, Report, Server, State, View


@dataclass(frozen=True, slots=True)
class Look:
    """What the agent sees of its own node at one moment."""

    server: Server
    stamp: Stamp
    data: Data
    position: Position | None = None
    problem: str | None = None
    pid: int | None = None
    cluster_status: str = "Disconnected"
    local_state: int = 0
    uuid: str = ZERO_UUID
    opened: bool = False
    desync: bool = False
    desynced: bool = False  # and it is so because of desync()
    queue: int = 0  # write-sets received and not applied yet
    view: View | None = None
    was_primary: bool = False
    attempting: bool = False  # the server that runs was started for the attempt in the stamp
    failure: tuple[str, str, float] | None = None  # sentence, remedy, seconds until the next try
    progress: str = ""
    version: str = ""

    @property
    def settled(self) -> bool:
        """The server has applied all that it has received."""
        return not self.queue


class Node(Protocol):
    """The agent's hands: one datadir and its server. None of these waits for the server."""

    def look(self) -> Look: ...
    def recover(self) -> None: ...
    def bootstrap(self, attempt: Attempt) -> None:
        """Write the attempt into the stamp, durably, and start it closed."""

    def promote(self, attempt: Attempt, peers: tuple[str, ...]) -> None:
        """Flush, write the attempt into the stamp, durably, and form a Primary Component of that name with the
        closed, non-Primary server that runs. OSError when it is not, or is at another position, or fails."""

    def join(self, identity: Identity, peers: tuple[str, ...], full: bool) -> None: ...
    def furnish(self) -> None:
        """Make the accounts in a new cluster, before it is recorded. May be repeated."""

    def flush(self) -> None: ...
    def confirm(self, identity: Identity) -> None: ...
    def cleanse(self) -> None: ...
    def set_aside(self) -> None:
        """Rename the datadir and begin a new stamp. Nothing is deleted."""

    def open(self) -> None: ...
    def close(self) -> None: ...
    def desync(self, on: bool) -> None:
        """Take the server out of flow control, or let it back in; and remember, as long as it runs, that it was so ordered."""

    def stop(self) -> bool:
        """Ask the server to leave in order; may be repeated. False if there is none that this agent may end."""

    def remember(self, state: State, others: tuple[Report, ...]) -> None: ...
    def remembered(self) -> tuple[State, tuple[Report, ...]]: ...
    def tell(self, report: Report) -> None:
        """Pass on to the node's clustercheck what it must know."""
