"""Which operation a decision belongs to: an id that goes from a person's order, or from a decision, to all that it
caused, on every node, in logs and history. Pure."""

from __future__ import annotations

from bootstrap.decisions import Change, Decision, SetAside
from bootstrap.facts import Facts
from galerist.model import Server


def shared(decision: Decision, facts: Facts) -> str:
    """The operation that others take part in as well, "" when there is none: a claim, whose nonce it is, from claiming
    to record, also on those that acknowledge it; a person's restart; a person's leave to begin anew."""
    me, state, action = facts.me, facts.state, decision.action
    if isinstance(action, SetAside):
        return next((record.operation for record in facts.nodes if record.node == me.node), "")
    claim = (action.state.claim if isinstance(action, Change) else None) or state.claim
    if claim is not None:
        return claim.nonce
    order = state.restart
    return order.operation if order is not None and order.pid and order.left[:1] == (me.node,) else ""


def continues(facts: Facts) -> bool:
    """Whether this node is on its way from a start, or from a loss of the Primary Component, to serving: what it does
    there belongs to the decision that began it."""
    return facts.me.server is not Server.DOWN and not facts.me.opened
