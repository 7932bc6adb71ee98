"""What an agent says to Prometheus. Pure: what it knows in, figures out."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from bootstrap.decisions import Decision, Refuse, Wait
from bootstrap.facts import Facts
from galerist.metrics import Figure
from galerist.model import Server


@dataclass(frozen=True, slots=True)
class Counts:
    """Since the agent's start. ``pass_ended`` and ``said_since`` are times on the clock of ``now``."""

    passes: int = 0
    decisions: int = 0
    pass_ended: float = 0.0
    said_since: float = 0.0


class Meter:
    """Looks at an agent from another thread: what it holds are immutable values, each replaced as a whole."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._counts = Counts(pass_ended=clock(), said_since=clock())
        self._facts: Facts | None = None
        self._decision: Decision | None = None

    def passed(self, facts: Facts | None, decision: Decision | None) -> None:
        """A pass has ended."""
        self._counts = counted(self._counts, self._decision, decision, self._clock())
        self._facts, self._decision = facts, decision

    def figures(self) -> Iterator[Figure]:
        """The figures of this moment."""
        return figures(self._facts, self._decision, self._counts, self._clock())


def counted(before: Counts, former: Decision | None, new: Decision | None, now: float) -> Counts:
    """The counts after one more pass."""
    changed = new is not None and (former is None or former.sentence != new.sentence)
    return Counts(before.passes + 1, before.decisions + changed, now, now if changed else before.said_since or now)


def figures(facts: Facts | None, decision: Decision | None, counts: Counts, now: float) -> Iterator[Figure]:
    """The figures of this moment; before the first pass only the counts."""
    yield Figure("galerist_agent_passes", "Passes of the agent.", counts.passes, counter=True)
    yield Figure(
        "galerist_agent_decisions", "Decisions that were not those of the pass before.", counts.decisions, counter=True
    )
    yield Figure("galerist_agent_pass_age_seconds", "Time since the last pass ended.", now - counts.pass_ended)
    if facts is None or decision is None:
        return
    me, state = facts.me, facts.state
    yield Figure(
        "galerist_agent_decision_age_seconds", "Time since the decision last changed.", now - counts.said_since
    )
    yield Figure("galerist_agent_role", "What the node is; always 1.", 1, (("role", decision.role),))
    waits = isinstance(decision.action, Wait) and decision.remedy is not None and decision.role != "paused"
    yield Figure("galerist_agent_waiting", "1 while it waits for something: galerist explain says for what.", waits)
    refused = isinstance(decision.action, Refuse)
    yield Figure("galerist_agent_refused", "1 while it does nothing until a person has acted.", refused)
    yield Figure("galerist_agent_registry_answers", "1 while the registry answers.", facts.answered)
    yield Figure("galerist_agent_server_up", "1 while the server runs and has answered.", me.server is Server.UP)
    yield Figure("galerist_agent_server_primary", "1 while the server is in a Primary Component.", me.primary)
    yield Figure("galerist_agent_server_synced", "1 while the server is Synced.", me.synced)
    yield Figure("galerist_agent_server_open", "1 while clients are let in.", me.opened)
    if me.position is not None:
        yield Figure("galerist_agent_seqno", "Position of the node's data.", me.position.seqno)
    if facts.answered:
        generations = state.identity.generations if state.identity is not None else ()
        yield Figure(
            "galerist_agent_cluster_generation", "Times that the Primary Component was formed.", len(generations)
        )
        members = len(state.view.members) if state.view is not None else 0
        yield Figure("galerist_agent_cluster_members", "Members of the recorded view.", members)
        held = sum(record.held for record in facts.nodes)
        yield Figure("galerist_agent_cluster_nodes", "Nodes known to hold data.", held)
        yield Figure("galerist_agent_cluster_reporting", "Nodes whose agents report.", len(facts.all))
        yield Figure("galerist_agent_cluster_paused", "1 while a person has paused the agents.", bool(state.paused))
        yield Figure("galerist_agent_cluster_drained", "Nodes that a person has drained.", len(state.drained))
