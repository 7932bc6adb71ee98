"""One simulated cluster: nodes with their agents, registry, network, clients; events change it."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable
from random import Random

from bootstrap.agent import Agent
from bootstrap.exchange import Who
from bootstrap.facts import Expect
from galerist.model import Endpoint
from galerist.registry.contract import RegistryDown
from tests.simulation import invariants
from tests.simulation.arbitrator import Arbiter
from tests.simulation.galera import Disk, Galera, Violation
from tests.simulation.galera import Server as Run
from tests.simulation.node import SimNode
from tests.simulation.registry import SimRegistry, Store

NAMES = "abcde"
Event = tuple[str, int, int, int]  # kind, node, parameter, seed
FAULTS: dict[str, Callable[[World, int, int, Random], bool]] = {}


RESUME: list[Callable[[World], None]] = [lambda world: None]
"""What ends a pause that a person has ordered (people.py)."""


class AgentGone(BaseException):
    """The agent was killed in the middle of its pass."""


class Host:
    """One node: its disk, and the agent that looks after it, if there is one."""

    def __init__(self, number: int) -> None:
        self.number, self.name = number, NAMES[number]
        self.disk = Disk(number, f"disk-{self.name}-0")
        self.agent: Agent | None = None
        self.node: SimNode | None = None
        self.frozen = False
        self.leaving = False
        self.stepping = False  # its agent is in the middle of a pass (frozen there)
        self.boots = 0
        self.address = f"10.0.0.{number + 1}"
        self.restart_at: float | None = 0.0
        self.cut = False  # from the registry
        self.fate: str | None = None  # of the next swap
        self.publish_fate: str | None = None
        self.trap: tuple[int, str, int] | None = None  # requests from now, what happens, parameter
        self.calls = 0


class World:
    """Everything, at one moment of the simulated time ``now`` (seconds)."""

    def __init__(self, count: int, expect: Expect | None = None, log: Callable[[str], None] | None = None) -> None:
        self.now = 0.0
        self.log = log or (lambda text: None)
        self.quiet = log is None
        self.galera = Galera()
        self.galera.log = self.log
        self.galera.agent_lives = lambda number: self.hosts[number].agent is not None
        self.store = Store(lambda: self.now)
        self.registry_up = True
        self.hosts = [Host(number) for number in range(count)]
        self.expect = expect or Expect(count, tuple(NAMES[:count]))
        self.serials = itertools.count(1)
        self.tokens = itertools.count(1)
        self.dirty: float | None = None  # since when the network or the members differ from the views
        self.backups: list[tuple[dict[str, str], dict[str, str]]] = []
        self.acked: dict[str, int] = {}
        self.disks_lost = False
        self.may_end: set[int | None] = set()  # pids of servers that a person has ordered to be restarted
        self.events: list[Event] = []
        self.next = 0
        self.faults: Counter[str] = Counter()
        self.healing = False
        self.nested = 0
        self.arbiter: Arbiter | None = None
        self.resume: Callable[[World], None] = RESUME[0]

    # -- agents ------------------------------------------------------------------------------

    def serial(self, what: str) -> str:
        return f"{what}{next(self.serials)}"

    def boot(self, host: Host) -> None:
        if host.agent is not None:
            return
        host.boots += 1
        host.frozen = host.leaving = False
        host.restart_at = None
        boot = host.boots
        point = lambda what: self.point(host, boot, what)  # noqa: E731
        node = SimNode(host.disk, self.galera, point, lambda: self.now, self.serial, host.address)
        node.opened = lambda run: invariants.opened(self, run)  # type: ignore[method-assign]
        node.healthy_stop = lambda run: None if host.leaving else invariants.stopped(self, run)  # type: ignore[method-assign]
        node.healthy_close = lambda run: invariants.closed(self, run)  # type: ignore[method-assign]
        node.started = lambda: invariants.started(self, host)  # type: ignore[method-assign]
        host.node = node
        who = Who("galera", host.name, Endpoint(host.address, host.address, 3306, 4567, 9200), self.expect, ttl=10.0)
        host.agent = Agent(
            who, node, SimRegistry(self.store, point), lambda: self.now, lambda: f"{next(self.tokens):08x}"
        )
        self.log(f"    agent {host.name} starts (boot {host.agent.boot})")

    def kill_agent(self, host: Host, restart_in: float | None) -> None:
        if host.agent is None:
            return
        host.agent = host.node = None
        host.frozen = host.leaving = False
        host.restart_at = self.now + restart_in if restart_in is not None else None

    def point(self, host: Host, boot: int, what: str) -> str | None:
        """Before each request or act of an agent: the place where it may be frozen or killed."""
        if host.trap is not None:
            calls, mode, parameter = host.trap
            if calls > 0:
                host.trap = (calls - 1, mode, parameter)
            else:
                host.trap = None
                self._spring(host, mode, parameter, what)
        if host.agent is None or host.boots != boot:
            raise AgentGone
        if what in ("list", "get", "put", "delete", "swap", "publish", "withdraw"):
            if not self.registry_up or host.cut:
                raise RegistryDown("no endpoint answers")
            if what == "swap":
                fate, host.fate = host.fate, None
                return fate
            if what == "publish":
                fate, host.publish_fate = host.publish_fate, None
                return fate
        return None

    def _spring(self, host: Host, mode: str, parameter: int, what: str) -> None:
        self.log(f"    {host.name}: {mode} before {what}")
        if mode == "die_midpass":
            self.faults[mode] += 1
            self.kill_agent(host, (0.5, 2.0, 12.0, 40.0)[parameter % 4])
        elif mode == "server_dies_midpass":
            for run in self.running(host):
                self.faults[mode] += 1
                self.crash(run)
        elif mode == "freeze_midpass" and not self.healing and self.nested < 3:
            self.faults[mode] += 1
            host.stepping = True
            self.nested += 1
            for _ in range(parameter % 25 + 1):
                if self.next < len(self.events):
                    self.next += 1
                    self.apply(self.events[self.next - 1])
            self.nested -= 1
            host.stepping = False
            self.log(f"    {host.name} goes on before {what}")

    def step(self, host: Host, passes: int = 1) -> bool:
        """Passes of one agent. True if it acted."""
        agent = host.agent
        if agent is None or host.frozen or host.stepping:
            return False
        acted, alive = False, len(self.galera.servers)
        host.stepping = True
        try:
            for _ in range(passes):
                if host.leaving:
                    if agent.farewell():
                        self.log(f"    {host.name} has left")
                        self.kill_agent(host, None)
                    return True
                former = agent.decision
                more = agent.step()
                invariants.decision(self, host, agent)
                if not self.quiet and agent.decision is not None and agent.decision != former:
                    self.log(f"    {host.name}: {type(agent.decision.action).__name__}: {agent.decision.sentence}")
                acted |= more
                if not more:
                    break
        except AgentGone:
            self.log(f"    {host.name}: its agent is gone in mid-pass")
        finally:
            host.stepping = False
            if len(self.galera.servers) < alive:
                self.unsettle()
        return acted

    # -- servers -----------------------------------------------------------------------------

    def running(self, host: Host) -> list[Run]:
        return [server for server in self.galera.servers if server.disk is host.disk]

    def crash(self, run: Run) -> None:
        self.galera.crash(run)
        self.unsettle()

    def unsettle(self) -> None:
        if self.dirty is None:
            self.dirty = self.now

    # -- events ------------------------------------------------------------------------------

    def apply(self, event: Event) -> None:
        kind, number, parameter, seed = event
        if self.quiet is False:
            where = f" {NAMES[number % len(self.hosts)]}" if kind not in ("tick", "settle") else ""
            self.log(f"[{self.now:7.1f}] {kind}{where} {parameter}")
        rng = Random(seed)
        number %= len(self.hosts)
        if kind == "tick":
            self.tick((0.3, 1.0, 1.0, 2.0, 3.0, 6.0, 12.0)[parameter % 7], rng)
        elif kind == "rest":
            self.tick(1.0, rng, chance=1.0, passes=4)
        elif kind == "write":
            self.write(self.hosts[number], parameter % 5 == 4)
        elif kind == "settle":
            self.galera.settle()
            self.dirty = None
        elif kind == "backup":
            self.backups.append(self.store.backup())
        elif FAULTS[kind](self, number, parameter, rng):
            self.faults[kind] += 1
            self.unsettle()
            self._untraceable()
        invariants.moment(self)

    def waive(self, kept: set[str], why: str) -> None:
        """From now on only these commits are asked for."""
        for ident in [ident for ident in self.acked if ident not in kept]:
            self.log(f"    {ident} {why}")
            del self.acked[ident]
        self.galera.precious &= kept

    def _untraceable(self) -> None:
        """When every disk and the registry were replaced, nothing can know that there was a cluster: the next is a new one."""
        if self.store.durable or any(host.disk.stamp.identity is not None for host in self.hosts):
            return
        if self.galera.precious.isdisjoint(ident for host in self.hosts for ident in host.disk.log):
            self.waive(set(), "is nowhere any more")

    def write(self, host: Host, crash: bool) -> None:
        for run in self.running(host):
            ident = self.galera.write(run, crash and not self.healing)
            if not run.alive:
                self.unsettle()
            if ident is not None:
                self.acked[ident] = len(run.log)
                self.galera.precious.add(ident)
                self.log(f"    {ident} acknowledged by {host.name} at seqno {len(run.log)}")

    def tick(self, dt: float, rng: Random, chance: float = 0.7, passes: int = 2) -> bool:
        """Time goes by, everybody may get on."""
        self.now += dt
        alive = len(self.galera.servers)
        done = False
        for host in self.hosts:
            if host.restart_at is not None and host.agent is None and host.restart_at <= self.now:
                self.boot(host)
                done = True
        done |= self.galera.progress(rng, self.now, chance)
        if self.store.late and rng.random() < 0.4:
            self.store.arrive()
        if self.arbiter is not None and self.arbiter.step():
            self.unsettle()
            done = True
        everyone = (*self.galera.servers, *self.galera.arbitrators)
        if any(server.connected and server.group is None for server in everyone):
            self.galera.settle()
        if len(self.galera.servers) != alive:
            self.unsettle()
        if self.dirty is not None and self.now - self.dirty >= (1.0 if chance >= 1 else rng.choice((0.5, 3.0, 6.0))):
            self.dirty = None
            self.galera.settle()
            done = True
        order = list(self.hosts)
        rng.shuffle(order)
        for host in order:
            if chance >= 1 or rng.random() < 0.8:
                done |= self.step(host, passes)
        return done

    # -- the end of all faults ---------------------------------------------------------------

    def calm(self) -> None:
        """All faults end: everything is started, thawed, connected."""
        self.healing = True
        self.registry_up = True
        self.galera.side.clear()
        self.galera.severed.clear()
        self.resume(self)
        if self.arbiter is not None:
            self.arbiter.freeze(False)
            self.arbiter.cut, self.arbiter.restart_at = False, self.now
        for host in self.hosts:
            host.frozen = host.cut = False
            host.fate = host.publish_fate = host.trap = None
            host.disk.prepared_xa = host.disk.unreadable = False
            for run in self.running(host):
                run.frozen = run.slow = False
            if host.agent is None:
                host.restart_at = self.now
        self.unsettle()

    def heal(self, bound: float) -> bool:
        """Let time go by without faults, ``bound`` seconds at most; True once everything is well."""
        end = self.now + bound
        rng = Random(0)
        while self.now < end:
            done = self.tick(1.0, rng, chance=1.0, passes=4)
            invariants.moment(self)
            for host in self.hosts:
                if host.leaving:
                    done = True
                elif host.agent is None and host.restart_at is None:
                    host.restart_at = self.now
            if invariants.well(self):
                return True
            if not done:
                self.tick(2.5, rng, chance=1.0, passes=1)
        return False


__all__ = ["FAULTS", "AgentGone", "Disk", "Event", "Host", "Violation", "World"]
