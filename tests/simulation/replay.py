"""``python -m tests.simulation.replay LOG``: what real parts did in a round must be something that the model allows.

The log is that of a fault run (tests/faults/journal.py). It drives the model's own rules of quorum and of positions, and
the real decision. What is asked of each line:

* a decision is what :func:`bootstrap.decide.decide` makes of the facts that the agent saw;
* a swap starts from what the last one has left, unless the registry itself was turned back; a history only grows;
* a generation begins with its bootstrapper alone, after all whom the claim names have acknowledged it, and not below the
  position of any of them;
* a view is the same for all who log it, and follows from the one before by the model's rule of quorum;
* within a run of a server positions do not go back, and what was flushed for a record is there after a crash;
* who says that he is Primary, is so in a view that a server of his has logged.
"""

from __future__ import annotations

import argparse
import json
import logging
import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

from bootstrap import history
from bootstrap.decide import decide
from bootstrap.decisions import Change
from bootstrap.facts import Facts
from galerist.model import Claim, Server, State, View, dump, load
from tests.simulation.parts import follows

TURNED_BACK = frozenset({"wipe-etcd", "restore-registry"})
"""Kinds of faults after which the registry may hold something older."""

MOMENT = 0.3
"""Seconds: a server may be killed while its script writes the view down that it has shown already."""

Line = dict[str, Any]


def understood(message: str) -> Line | None:
    """The line that an agent's message (level debug) makes, None when it is about nothing that is replayed."""
    kind, _, rest = message.partition(" ")
    if kind == "decided":
        action, _, facts = rest.partition(": ")
        return {"what": "decided", "action": action, "facts": json.loads(facts)}
    if kind == "swapped,":
        outcome, _, values = rest.partition(": ")
        return {"what": "swapped", "outcome": outcome, **json.loads(values)}
    return {"what": "leaving"} if kind == "Leaving:" else None


class Replay:
    """One log. :meth:`refusals` says what the model does not allow, as sentences."""

    def __init__(self, lines: Iterable[Line]) -> None:
        self.head: Line = {}
        self.decided: dict[str, list[tuple[str, Facts]]] = defaultdict(list)  # by node, in its order
        self.swapped: list[tuple[str, Line]] = []
        self.views: dict[str, list[tuple[Line, View]]] = defaultdict(list)
        self.spans: list[Line] = []
        self.left: set[str] = set()  # nodes that were stopped in order
        for line in lines:
            self._take(line)

    def _take(self, line: Line) -> None:
        what, node = line["what"], line.get("node", "")
        if what == "round":
            self.head = line
        elif what == "decided":
            facts = load(Facts, json.dumps(line["facts"]))
            self.decided[node].append((line["action"], facts))
            if line["action"] == "Stop":
                self.left.add(node)
        elif what == "swapped":
            self.swapped.append((node, line))
        elif what == "leaving":
            self.left.add(node)
        elif what == "view":
            view = View(line["generation"], line["seqno"], tuple(line["members"]), tuple(line["arbitrators"]))
            self.views[node].append((line, view))
        elif what == "span":
            self.spans.append(line)
        else:
            raise ValueError(f"unknown line: {what}")

    def refusals(self) -> Iterator[str]:
        if (
            not self.head or not self.views or not (self.decided or self.spans)
        ):  # in some rounds nobody decides anything
            yield "the log holds no round"
            return
        yield from self._decisions()
        yield from self._swaps()
        yield from self._generations()
        yield from self._view_logs()
        yield from self._quorum()
        yield from self._positions()
        yield from self._words()

    # -- decisions and the registry --------------------------------------------------------------

    def _decisions(self) -> Iterator[str]:
        for node, made in self.decided.items():
            for action, facts in made:
                right = type(decide(facts).action).__name__
                if right != action:
                    yield f"{node} decided {action}, where the rules say {right}: {facts.me.reason}"

    def _swaps(self) -> Iterator[str]:
        """The swaps that were won, as one chain. The proxies change the order of writers, and do not log here."""
        for node, line in self.swapped:
            if line["outcome"] != "won" or line["former"] is None:
                continue
            former, value = load(State, line["former"]), load(State, line["value"])
            if former.identity is not None and value.identity is not None:
                forced = value.claim is not None and value.claim.forced
                if not history.follows(value.identity, former.identity) and not forced:
                    yield f"{node} recorded a history that does not continue the former one: {value.identity}"
        if self._turned_back():
            return
        left = {_without_writer(line["value"]) for _, line in self.swapped if line["outcome"] != "lost"}
        for made in self.decided.values():  # an agent may be killed before it can say that it has won
            changes = (action for name, facts in made if name == "Change" for action in (decide(facts).action,))
            left |= {_without_writer(dump(change.state)) for change in changes if isinstance(change, Change)}
        found = {_without_writer(line["former"]) for _, line in self.swapped if line["outcome"] == "won"}
        if len(found - left) > 1:  # one is what the round began with
            yield "a swap was won over a state that nobody has written"

    def _turned_back(self) -> bool:
        return bool(TURNED_BACK & {*self.head.get("kinds", ())})

    # -- generations -----------------------------------------------------------------------------

    def _generations(self) -> Iterator[str]:
        for node, made in self.decided.items():
            for action, facts in made:
                claim = facts.state.claim
                if action in ("Bootstrap", "Promote") and claim is not None and claim.node == node:
                    yield from self._begun(node, facts, claim)

    def _begun(self, node: str, facts: Facts, claim: Claim) -> Iterator[str]:
        if self._recorded(claim.nonce) is None:
            return  # it came to nothing
        for other in claim.needs:
            if other == node:
                continue
            acks = [f for action, f in self.decided[other] if action == "Ack" and _nonce(f) == claim.nonce]
            if not acks:
                yield f"{node} began generation {claim.nonce} without the acknowledgement of {other}"
            for seen in acks:
                position = history.standing(seen.me, facts.state.identity)
                mine = claim.position
                comparable = position is not None and mine is not None and position.uuid == mine.uuid
                candidate = facts.state.identity is None or history.candidate(seen.me, facts.state.identity)
                if comparable and candidate and position.seqno > mine.seqno:  # type: ignore[union-attr]
                    yield f"{node} began generation {claim.nonce} at {mine}, and {other} was at {position}"

    def _recorded(self, generation: str) -> View | None:
        views = [view for seen in self.views.values() for line, view in seen if line["primary"]]
        return next((view for view in views if view.generation == generation), None)

    # -- views -----------------------------------------------------------------------------------

    def _view_logs(self) -> Iterator[str]:
        for node, seen in self.views.items():
            for (former, old), (line, view) in pairwise(seen):
                if (
                    former["run"] == line["run"]
                    and old.generation == view.generation
                    and view.seqno < old.seqno >= 0 <= view.seqno
                ):
                    yield f"{node} logged view {view.seqno} of generation {view.generation} after {old.seqno}"
            for line, view in seen:
                if line["primary"] and node not in view.members:
                    yield f"{node} logged a Primary view without itself: {view}"

    def _quorum(self) -> Iterator[str]:
        """Each view of a generation follows from the one before."""
        known: dict[str, dict[int, View]] = defaultdict(dict)
        for node, seen in self.views.items():
            for line, view in seen:
                if not line["primary"] or view.seqno < 0:
                    continue
                other = known[view.generation].setdefault(view.seqno, view)
                if other != view:
                    yield f"{node} logged {view.members} at seqno {view.seqno} of generation {view.generation}, another node {other.members}"
        began = {
            claim.nonce: claim.node
            for made in self.decided.values()
            for action, facts in made
            if action in ("Bootstrap", "Promote") and (claim := facts.state.claim) is not None
        }
        for generation, views in known.items():
            ordered = [views[seqno] for seqno in sorted(views)]
            if generation in began and ordered[0].members != (began[generation],):
                yield f"generation {generation} of {began[generation]} began as {ordered[0].members}"
            for former, view in pairwise(ordered):
                if not follows(_voters(former), _voters(view), self.left):
                    yield f"{_voters(view)} had no quorum after {_voters(former)} (seqno {view.seqno} of generation {generation})"

    # -- positions and words ---------------------------------------------------------------------

    def _positions(self) -> Iterator[str]:
        won = {(node, load(State, line["value"]).view) for node, line in self.swapped if line["outcome"] == "won"}
        for node, made in self.decided.items():
            boot, pid, disk, last, flushed = "", None, "", -1, -1
            for action, facts in made:
                me = facts.me
                if me.disk != disk or me.data.value in ("tainted", "empty"):
                    disk, last, flushed = me.disk, -1, -1
                if (me.boot, me.server_pid) != (boot, pid):
                    boot, pid, last = me.boot, me.server_pid, -1
                if me.position is None or me.position.seqno < 0:
                    continue
                seqno = me.position.seqno
                if me.server is Server.UP and seqno < last:
                    yield f"{node} went back from seqno {last} to {seqno} while its server ran"
                if me.server is Server.DOWN and seqno < flushed:
                    yield f"{node} recovered seqno {seqno}, though {flushed} had been flushed"
                last = seqno if me.server is Server.UP else -1
                if action == "Change" and me.synced and me.view is not None and (node, me.view) in won:
                    flushed = max(flushed, me.view.seqno - 1)

    def _words(self) -> Iterator[str]:
        for span in self.spans:
            logged = {view.members for line, view in self.views[span["node"]] if line["primary"]}
            lasted = span["end"] - span["begin"] > MOMENT
            if span["serves"] and lasted and span["members"] and tuple(span["members"]) not in logged:
                yield f"{span['node']} served with {span['members']}, which no server of its logged as a view"


def refusals(file: Path) -> list[str]:
    """What the model does not allow of a log. Raises OSError, ValueError."""
    with file.open() as lines:
        return [f"R: the model refuses the log: {words}" for words in Replay(map(json.loads, lines)).refusals()]


def _voters(view: View) -> frozenset[str]:
    return frozenset((*view.members, *view.arbitrators))


def _nonce(facts: Facts) -> str | None:
    return facts.state.claim.nonce if facts.state.claim is not None else None


def _without_writer(text: str | None) -> str | None:
    return None if text is None else dump(replace(load(State, text), writer=(), drained=()))


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation.replay", description=__doc__.partition("\n")[0])
    parser.add_argument("log", nargs="+", type=Path, help="round-N.events of a fault run")
    options = parser.parse_args()
    logging.disable(logging.CRITICAL)
    refused = 0
    for file in options.log:
        with file.open() as lines:
            replayed = Replay(map(json.loads, lines))
        found = list(replayed.refusals())
        for sentence in found:
            print(f"{file.name}: {sentence}")
        refused += bool(found)
        count = sum(map(len, replayed.decided.values())), sum(map(len, replayed.views.values())), len(replayed.swapped)
        print(
            f"{file.name}: {count[0]} decisions, {count[1]} views, {count[2]} swaps: {'refused' if found else 'accepted'}"
        )
    print(f"{len(options.log)} logs, {refused} refused")
    return 1 if refused else 0


if __name__ == "__main__":
    sys.exit(main())
