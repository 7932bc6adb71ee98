"""Rules 3 and 10: a stopped node and a live Primary Component, seen or remembered."""

from __future__ import annotations

from collections.abc import Iterable

from bootstrap import history
from bootstrap.decisions import Decision, Join, Refuse, Wait
from bootstrap.facts import Facts
from bootstrap.words import are, listed, seen, where
from galerist.endpoints import show
from galerist.model import Data, Identity, Report, Server

ADMISSION = 60.0
"""Seconds for which a node lets another joiner go first (joiners disturb one another)."""


HICCUP = 3.0
"""Seconds of the registry's silence before a node is started without it: one lost answer is no outage."""


def join(facts: Facts, known: Identity, serving: tuple[Report, ...]) -> Decision:
    """Rule 3: a live member is Primary in the newest generation."""
    me = facts.me
    names = listed(report.node for report in serving)
    if facts.failure is not None and facts.failure.wait > 0:
        return Decision(
            Wait(), facts.failure.sentence,
            remedy=facts.failure.remedy, role="failed",
        )  # fmt: skip
    if me.problem and me.data is not Data.TAINTED:
        return Decision(
            Refuse(), f"{me.node} has data that cannot be judged: {me.problem}.",
            remedy=f"galerist reinit {me.node} (allows its datadir to be overwritten)", role="refused",
        )  # fmt: skip
    if facts.state.identity != known:
        return Decision(
            Wait(),
            f"{names} {are(serving)} Primary; waiting for the cluster's identity to be written back into the registry.",
        )
    full = me.data is not Data.PRESENT or history.void(me, known) is not None
    if not full and me.position is not None:
        committed = max((r.position.seqno for r in serving if r.position is not None), default=-1)
        if me.position.seqno > committed:
            return Decision(
                Wait(),
                f"{me.node} is at seqno {me.position.seqno}, ahead of what {names} has reported ({committed}): "
                "waiting until a member has committed that.",
                evidence=seen(facts.all),
                remedy="galerist explain (if this lasts, the members have lost commits)",
            )
    rivals = joiners(facts)
    if rivals and facts.admission < ADMISSION:
        return Decision(
            Wait(), f"Ready to join; letting {listed(rivals)} finish its state transfer first.",
            evidence=seen(facts.all), remedy=f"galerist explain {rivals[0]}", role="waiting",
        )  # fmt: skip
    return Decision(
        Join(known, addresses(facts.others), full),
        f"{names} {are(serving)} Primary in generation {known.generations[-1].id}: joining "
        + ("by a full state transfer." if full else f"from {where(me)}."),
        evidence=seen(facts.all),
        role="joiner",
    )


def joiners(facts: Facts) -> list[str]:
    """The nodes whose state transfers come first. A change of the view in the middle of one can end it: the server
    that joins is sent what was committed up to the view before ("IST didn't contain all write sets") and aborts."""
    return [
        report.node
        for report in facts.others
        if report.role == "joiner"
        and report.server is not Server.DOWN
        and not report.synced
        and (report.server_pid is not None or report.node < facts.me.node)
    ]


def without_registry(facts: Facts, known: Identity | None) -> Decision:
    """Rule 10: a node may join a live PC of its own history, and stays closed."""
    me = facts.me
    peers = addresses(facts.others)
    if (
        known is not None
        and facts.silence >= HICCUP
        and peers
        and me.data is Data.PRESENT
        and me.identity == known
        and history.void(me, known) is None
        and history.estranged(me, known) is None
        and (facts.failure is None or facts.failure.wait <= 0)
    ):
        return Decision(
            Join(known, peers, full=False),
            "The registry does not answer; trying the members known last. The node stays closed until the registry has recorded it.",
            evidence=tuple(peers),
            role="joiner",
        )
    return Decision(
        Wait(),
        "The registry does not answer, and nothing but the registry can say who may start.",
        remedy="start etcd, or correct the setting 'registry'",
    )


def addresses(reports: Iterable[Report]) -> tuple[str, ...]:
    return tuple(show((report.endpoint.host, report.endpoint.gcomm_port)) for report in reports)
