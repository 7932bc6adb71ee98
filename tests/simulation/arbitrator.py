"""``galerist arbitrator`` on a host of its own, and the garbd that it runs."""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING

from bootstrap.arbitrator import Voter
from galerist.model import Report, State
from galerist.registry.keys import Keys
from tests.simulation import fast
from tests.simulation.parts import ARBITRATOR, Disk, Server

if TYPE_CHECKING:
    from tests.simulation.world import World

KEYS = Keys("galera")
ADDRESS = "10.0.9.9:4567"

PATIENCE = 31.5
"""Seconds until garbd ends by itself when it reaches no Primary Component at its start (pc.wait_prim_timeout; measured)."""


class Arbiter:
    """One process of the command; :meth:`step` is one pass of it."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.run: Server | None = None
        self.frozen = False
        self.cut = False  # from the registry
        self.voter = Voter(10.0)
        self.restart_at = world.now  # of the command, once it was killed

    def step(self) -> bool:
        """Vote where one ought to. True if that has changed something."""
        world, run = self.world, self.run
        if self.frozen or self.cut or not world.registry_up or world.now < self.restart_at:
            return False
        if run is not None and run.alive and run.last_prim is None and world.now - run.since > PATIENCE:
            world.log("    the arbitrator has found no Primary Component, and ends")
            world.crash(run)
        if run is not None and not run.alive:
            run = self.run = None
        text = world.store.durable.get(KEYS.state)
        state = fast.load(State, text) if text is not None else State()
        reports = tuple(fast.load(Report, text) for _, text in sorted(world.store.list(KEYS.members).items()))
        vote = self.voter.decide(state, reports, run.name if run is not None else None, world.now).vote
        if run is not None and (vote is None or vote.group != run.name):
            world.log(f"    the arbitrator leaves {run.name}")
            world.crash(run)
            self.run = None
            return True
        if run is None and vote is not None:
            run = Server(Disk(ARBITRATOR, "none"), world.serial("garbd"), "", vote.group, False, False, world.now)
            run.arbitrator, run.connected, run.address, run.peers = True, True, ADDRESS, vote.peers
            world.galera.arbitrators.append(run)
            self.run = run
            world.log(f"    an arbitrator joins {run.name}")
            return True
        return False

    def kill(self, away: float) -> None:
        """The garbd is killed; the command as well, if it stays ``away`` for some seconds."""
        if self.run is not None:
            self.world.crash(self.run)
            self.run = None
        if away:
            self.voter = Voter(10.0)
        self.restart_at = self.world.now + away

    def freeze(self, frozen: bool) -> None:
        self.frozen = frozen
        if self.run is not None:
            self.run.frozen = frozen

    def leave(self) -> None:
        """It is stopped in order, for good."""
        if self.run is not None and self.run.awake:
            self.world.galera.leave(self.run)
        elif self.run is not None:
            self.world.crash(self.run)
        self.world.arbiter = None


def strike(world: World, parameter: int, rng: Random) -> None:
    """An arbitrator joins the cluster; or the one that is there is killed, frozen, cut off, or leaves."""
    arbiter = world.arbiter
    if arbiter is None:
        world.arbiter = Arbiter(world)
    elif parameter % 5 < 2:
        arbiter.kill(rng.choice((0.0, 1.0, 8.0, 30.0)))
    elif parameter % 5 == 2:
        arbiter.freeze(not arbiter.frozen)
    elif parameter % 5 == 3:
        world.galera.side[ARBITRATOR] = rng.choice((1, 9))
        arbiter.cut = rng.random() < 0.5
    else:
        arbiter.leave()
