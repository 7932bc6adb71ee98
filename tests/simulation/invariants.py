"""The promises of the protocol, as checks on the simulated world."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bootstrap import decisions as rules
from bootstrap.agent import Agent
from galerist.model import Report
from galerist.model import Server as State
from tests.simulation import fast
from tests.simulation.galera import Server, Violation, differ

if TYPE_CHECKING:
    from tests.simulation.world import Host, World


def decision(world: World, host: Host, agent: Agent) -> None:
    """P6: every wait and every refusal says why, and a refusal what ends it."""
    made = agent.decision
    assert made is not None
    if isinstance(made.action, rules.Wait | rules.Refuse) and not made.sentence.strip().endswith((".", ":")):
        raise Violation("P6", f"{host.name} gives no sentence: {made.sentence!r}")
    if agent.facts is not None and agent.facts.state.paused and not isinstance(made.action, rules.Wait):
        raise Violation("R11", f"{host.name} acts though a person has ordered a pause: {made.sentence}")
    if isinstance(made.action, rules.Refuse) and not made.remedy:
        raise Violation("P6", f"{host.name} refuses without a remedy: {made.sentence}")


def moment(world: World) -> None:
    """P1: one set of nodes accepts writes, at any moment. A member that waits for a state transfer accepts none; one
    that comes back to an arbitrator which all others have left neither (measured: error 1047, then galera 26.4 aborts).
    """
    accepting = set()
    for server in world.galera.servers:
        group = server.group
        if (
            group is not None and group.primary and not server.rejects and server.answers and server.awake
            and server.status == "Primary" and server.transfer is None and group not in accepting
            and world.galera.intact(group)
        ):  # fmt: skip
            accepting.add(group)
    if len(accepting) > 1:
        names = " and ".join(str(sorted(map(repr, group.members))) for group in accepting)
        raise Violation("P1", f"two sets of nodes accept writes: {names}")


def started(world: World, host: Host) -> None:
    """Rule 1: a node whose server starts has said so, where the registry could hear it."""
    if not world.registry_up or host.cut or host.agent is None or world.now - world.store.turned < 12:
        return  # it cannot be told, or holds what it was told before its backup was made
    if host.agent.facts is None or not host.agent.facts.answered:
        return  # rule 10
    text = world.store.list(f"/galerist/galera/members/{host.name}").get(f"/galerist/galera/members/{host.name}")
    said = fast.load(Report, text) if text is not None else None
    if said is not None and said.boot == host.agent.boot and said.server is State.DOWN:
        raise Violation("R1", f"the server of {host.name} starts while the registry holds the word that it is down")


def opened(world: World, run: Server) -> None:
    """P2: what lets clients in holds every commit that a client was told of, also when its disk was lost."""
    lineage = run.lineage
    world.galera.ever_open = True
    if lineage is None or run.status != "Primary":
        return  # clients are refused by Galera itself
    if lineage.log[: len(run.log)] != run.log:
        raise Violation("P1", f"{run} is not a copy of its Primary Component: {differ(run.log, lineage.log)}")
    group = run.group
    if group is None or not group.primary or group.lineage is not lineage or not world.galera.intact(group):
        return  # it does not know yet that it lost the Primary Component, and can commit nothing
    missing = [ident for ident in world.acked if ident not in lineage.idents]
    if missing:
        raise Violation("P2", f"{run} opens lineage {lineage.name} without the acknowledged commits {missing}")


def closed(world: World, run: Server) -> None:
    """P5: no agent keeps clients out of a member of the Primary Component that holds all acknowledged commits."""
    healthy = _healthy(world, run)
    if healthy and run.lineage is not None and all(ident in run.lineage.idents for ident in world.acked):
        raise Violation("P5", f"{run} is a healthy open member and is closed")


def _healthy(world: World, run: Server) -> bool:
    group = run.group
    return (
        group is not None
        and group.primary
        and not run.rejects
        and run.status == "Primary"
        and run.state in (2, 4)
        and world.galera.intact(group)
    )


def stopped(world: World, run: Server) -> None:
    """P5 and common sense: no agent stops a healthy open member by itself."""
    if _healthy(world, run) and run.pid not in world.may_end:
        raise Violation("P5", f"{run} is a healthy open member and is stopped")


def well(world: World) -> bool:
    """Whether the cluster is Primary, open everywhere, and all nodes are Synced in one component."""
    servers = world.galera.servers
    if len(servers) != len(world.hosts) or not servers:
        return False
    group = servers[0].group
    if group is None or not group.primary or len(group.names) != len(servers):
        return False
    if world.arbiter is not None and (world.arbiter.run is None or world.arbiter.run.group is not group):
        return False
    if not all(s.state == 4 and s.status == "Primary" and not s.rejects and s.group is group for s in servers):
        return False
    for server in servers:
        if server.lineage is None or server.lineage.log[: len(server.log)] != server.log:
            raise Violation("P1", f"{server} is Synced but not a copy of its Primary Component")
    return all(
        host.agent is not None and isinstance(host.agent.decision.action, rules.Serve)
        for host in world.hosts
        if host.agent is None or host.agent.decision
    )
