"""What wrong variants are made of."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from bootstrap import agent as agents
from bootstrap import decisions as rules
from bootstrap import history, running
from bootstrap.decide import decide
from bootstrap.decisions import Decision
from bootstrap.facts import Facts
from galerist.model import Claim, Data, Server

Patch = tuple[Any, str, Any]


@dataclass(frozen=True)
class Mutant:
    """``line``: the case of the table "Peers get it wrong", or the rule, that it gets wrong."""

    name: str
    line: str
    patches: Callable[[], list[Patch]]


MUTANTS: list[Mutant] = []


def mutant(line: str) -> Callable[[Callable[[], list[Patch]]], Callable[[], list[Patch]]]:
    def register(patches: Callable[[], list[Patch]]) -> Callable[[], list[Patch]]:
        MUTANTS.append(Mutant(patches.__name__, line, patches))
        return patches

    return register


def deciding(before: Callable[[Facts], Facts | Decision]) -> list[Patch]:
    """``decide`` sees other facts, or is overruled."""
    real = decide

    def wrong(facts: Facts) -> Decision:
        seen = before(facts)
        return seen if isinstance(seen, Decision) else real(seen)

    return [(agents, "decide", wrong)]


def unasked() -> list[Patch]:
    """A node records its own bootstrap whatever has become of its claim."""
    real = running._attempt

    def attempt(facts: Facts) -> Decision:
        mine = facts.me.attempt
        assert mine is not None
        claim = Claim(facts.me.node, facts.me.boot, mine.nonce, mine.position, ())
        return real(replace(facts, state=replace(facts.state, claim=claim)))

    return [(running, "_attempt", attempt)]


def seize(facts: Facts) -> Decision:
    """Start the Primary Component on one's own authority."""
    claim = Claim(facts.me.node, facts.me.boot, facts.nonce, history.standing(facts.me, facts.state.identity), ())
    return Decision(rules.Bootstrap(claim, f"{facts.cluster}-{claim.nonce}"), "It seems that nobody else is there.")


def alone(facts: Facts) -> bool:
    me = facts.me
    ready = me.data is Data.EMPTY or (me.data is Data.PRESENT and me.position is not None)
    return (me.server is Server.DOWN or facts.taken_back) and ready


def filtered(facts: Facts, view_of: Callable[[Any], Any]) -> Facts:
    """The same facts with every view changed."""
    others = tuple(replace(r, view=view_of(r.view)) for r in facts.others)
    me = facts.me if facts.me.primary else replace(facts.me, view=view_of(facts.me.view))
    return replace(facts, me=me, others=others, state=replace(facts.state, view=view_of(facts.state.view)), nodes=())
