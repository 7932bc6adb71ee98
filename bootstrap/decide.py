"""What a node's agent does next: a pure function of what is known.

The rules are told in docs/protocol.md; their numbers stand beside the code. Nothing
here reads a clock, a file or the network: time enters as durations, chance as a nonce.
Every answer carries the sentence that people read, its evidence, and the command that
ends a wait.
"""

from __future__ import annotations

from bootstrap import running, stopped
from bootstrap.decisions import Decision, Wait
from bootstrap.facts import Facts
from galerist.model import Server


def decide(facts: Facts) -> Decision:
    """The next step of this node."""
    if facts.state.paused:
        return Decision(
            Wait(),
            f"Paused by order ({facts.state.paused}): the agent watches and decides nothing.",
            remedy="galerist resume",
            role="paused",
        )
    if facts.me.server is not Server.DOWN and not facts.taken_back:
        return running.running(facts)
    return stopped.stopped(facts)
