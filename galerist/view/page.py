"""The cluster at a glance: from facts to what a tired person reads first. Pure.

The web page, ``galerist list`` and ``galerist explain`` say the same headline, since all of
them take it from here. Every value is plain data, ready for JSON.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from galerist.model import View
from galerist.view.facts import Cluster, Event
from galerist.view.listing import as_data

GOOD, BUSY, BAD = "good", "busy", "bad"
"""Tones: all is well; something goes on or is missing, clients are served; somebody is needed."""

_BUSY_STATES = ("donor", "desynced", "joined", "joining", "initialized", "starting")
_STUCK_ROLES = ("refused", "quarantined", "superseded", "hung", "failed", "non-primary", "claimant", "waiting")

REGISTRY_REMEDY = "start etcd, or correct the setting 'registry'"
NOBODY_REMEDY = "start the agents (galerist bootstrap, or galerist up)"


@dataclass(frozen=True, slots=True)
class Check:
    """What a node's health endpoint says. ``code`` 0: it does not answer. ``queue`` counts write-sets to
    apply, ``flow_control`` is the share of the last seconds for which replication was paused, 0 to 1."""

    code: int
    reason: str
    queue: int | None = None
    flow_control: float | None = None
    committed: int | None = None


@dataclass(frozen=True, slots=True)
class Registry:
    """How the registry fares. ``age``: seconds since what is shown was read."""

    answers: bool = True
    sentence: str = ""
    age: float = 0.0


@dataclass(frozen=True, slots=True)
class Headline:
    """The one sentence, its tone, what goes on in more words, and the command that helps."""

    tone: str
    sentence: str
    detail: str = ""
    command: str | None = None


def tone(member: Mapping[str, Any]) -> str:
    """How a node looks to people."""
    if member["role"] == "drained":
        return BUSY
    if member["state"] == "synced":
        return GOOD if member["open"] else BUSY
    return BUSY if member["state"] in _BUSY_STATES else BAD


def headline(data: Mapping[str, Any], paused: str = "", registry: Registry | None = None) -> Headline:
    """What to say first. ``data`` is that of :func:`galerist.view.listing.as_data`."""
    if registry is not None and not registry.answers:
        return Headline(
            BAD,
            "The registry does not answer; running nodes serve on, nothing is decided.",
            f"{registry.sentence} What is shown is {registry.age:.0f} s old.",
            REGISTRY_REMEDY,
        )
    members: Sequence[Mapping[str, Any]] = data["members"]
    if not members:
        return Headline(BAD, "No node reports.", "", NOBODY_REMEDY)
    serving = [one for one in members if one["state"] in ("synced", "donor") and one["open"]]
    worst = _worst(members)
    detail = f"{worst['name']}: {worst['reason']}" if worst is not None else ""
    remedy = worst["remedy"] if worst is not None else None
    if paused:
        return Headline(
            BUSY if serving else BAD,
            f"Paused by order ({paused}): nobody is started, stopped or recovered.",
            f"{len(serving)} of {_nodes(len(members))} serve.",
            "galerist resume",
        )
    if data["status"] != "Primary" or not serving:
        first = data["uuid"] is None
        words = "First start: no node serves yet." if first else "No Primary Component: nobody serves."
        moving = any(one["role"] in ("bootstrapper", "recovering") for one in members)
        return Headline(BUSY if first and moving else BAD, words, detail, remedy)
    writes = f"{data['writer']} takes the writes." if data["writer"] else "nobody takes the writes."
    if data["writer"] is None:
        return Headline(BAD, f"{len(serving)} of {_nodes(len(members))} serve, but {writes}", detail, remedy)
    broken = [proxy for proxy in data["proxies"] if proxy["error"]]
    if worst is None and broken:
        return Headline(
            BUSY, f"All nodes serve, but the proxy {broken[0]['name']} is in trouble.", broken[0]["error"],
            "galerist topology",
        )  # fmt: skip
    if worst is None:
        number = {1: "The only node serves", 2: "Both nodes serve"}
        everyone = number.get(len(members), f"All {_nodes(len(members))} serve")
        return Headline(GOOD, f"{everyone}; {writes}")
    if all(tone(one) == BUSY for one in members if tone(one) != GOOD):
        return Headline(BUSY, f"{len(serving)} of {_nodes(len(members))} serve; {writes}", detail, remedy)
    down = [one["name"] for one in members if tone(one) == BAD]
    return Headline(
        BUSY, f"{len(serving)} of {_nodes(len(members))} serve; {writes} Not well: {', '.join(down)}.", detail, remedy
    )


def _worst(members: Sequence[Mapping[str, Any]]) -> Mapping[str, Any] | None:
    """The node whose sentence explains most: one that needs a person before one that waits for it."""

    def rank(one: Mapping[str, Any]) -> tuple[int, int, str]:
        role = _STUCK_ROLES.index(one["role"]) if one["role"] in _STUCK_ROLES else len(_STUCK_ROLES)
        return ((BAD, BUSY).index(tone(one)), role, one["name"])

    return min((one for one in members if tone(one) != GOOD), key=rank, default=None)


def _nodes(count: int) -> str:
    return f"{count} node{'s' if count != 1 else ''}"


def waits(data: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Who waits for what, and the command that ends it; equal sentences once."""
    found: dict[tuple[str, str | None], list[str]] = {}
    for one in data["members"]:
        if one["remedy"] and one["reason"]:
            found.setdefault((one["reason"], one["remedy"]), []).append(one["name"])
    return [{"nodes": names, "sentence": sentence, "remedy": remedy} for (sentence, remedy), names in found.items()]


def recovery(cluster: Cluster, data: Mapping[str, Any]) -> dict[str, Any] | None:
    """Who has reported after a total stop, who is missing, who is ahead. None while somebody is Primary."""
    if data["status"].startswith("Primary") or cluster.state.identity is None:
        return None
    view = _last_view(cluster)
    members = {one["name"]: one for one in data["members"]}
    names = sorted({*(view.members if view is not None else ()), *members})
    top = max(
        (one["seqno"] for one in members.values() if one["seqno"] is not None and one["seqno"] >= 0), default=None
    )
    claim = cluster.state.claim
    lanes = []
    for name in names:
        one = members.get(name)
        silent = one is None or one["state"] == "silent"
        seqno = None if silent or one is None else one["seqno"]
        behind = top - seqno if top is not None and seqno is not None and seqno >= 0 else None
        if silent:
            words = "has not reported" if view is None or name in view.members else "has not reported; not waited for"
        elif behind is None:
            words = "has reported, position not known"
        else:
            words = f"at seqno {seqno}, " + ("the newest" if behind == 0 else f"{behind} behind")
        lanes.append({
            "node": name, "reported": not silent, "awaited": view is None or name in view.members, "seqno": seqno,
            "behind": behind, "words": words, "claims": claim is not None and claim.node == name,
        })  # fmt: skip
    return {
        "members": list(view.members) if view is not None else [],
        "seqno": view.seqno if view is not None else None,
        "lanes": lanes,
    }


def _last_view(cluster: Cluster) -> View | None:
    """The newest view of the newest generation, in the registry or in any report."""
    identity = cluster.state.identity
    order = {one.id: place for place, one in enumerate(identity.generations)} if identity is not None else {}
    views = [cluster.state.view, *(report.view for report in cluster.reports)]
    known = [view for view in views if view is not None and view.generation in order]
    return max(known, key=lambda view: (order[view.generation], view.seqno), default=None)


def page(
    cluster: Cluster,
    checks: Mapping[str, Check] | None = None,
    registry: Registry | None = None,
    sparks: Mapping[str, Sequence[float | None]] | None = None,
) -> dict[str, Any]:
    """Everything that the page shows but the history."""
    checks, sparks, registry = checks or {}, sparks or {}, registry or Registry()
    data = as_data(cluster)
    first = headline(data, cluster.state.paused, registry)
    nodes = []
    for one in data["members"]:
        check = checks.get(one["name"])
        nodes.append({
            **{key: one[key] for key in (
                "name", "state", "role", "seqno", "open", "reason", "evidence", "remedy", "version", "progress",
            )},
            "tone": tone(one),
            "drained": one["name"] in cluster.state.drained,
            "address": f"{one['host']}:{one['sql_port']}" if one["host"] else "",
            "check": None if check is None else {
                "code": check.code, "reason": check.reason, "queue": check.queue, "flow_control": check.flow_control,
            },
            "spark": list(sparks.get(one["name"], ())),
        })  # fmt: skip
    reports = {proxy.proxy: proxy for proxy in cluster.proxies}
    proxies = [
        {
            **{key: one[key] for key in ("name", "host", "write_port", "read_port", "all_port", "error")},
            "workers": len(one["worker_pids"]),
            "writing": list(reports[one["name"]].writing),
            "serving": list(reports[one["name"]].serving),
        }
        for one in data["proxies"]
    ]
    return {
        **{key: data[key] for key in ("cluster", "uuid", "generation", "generation_id", "status", "writer")},
        "tone": first.tone,
        "headline": first.sentence,
        "detail": first.detail,
        "command": first.command,
        "paused": cluster.state.paused,
        "drained": list(cluster.state.drained),
        "registry": {"answers": registry.answers, "sentence": registry.sentence},
        "about": about(cluster, registry),
        "nodes": nodes,
        "proxies": proxies,
        "waits": waits(data),
        "recovery": recovery(cluster, data),
    }


def about(cluster: Cluster, registry: Registry) -> str:
    """One line for who wants to know more: generation, recorded view, registry."""
    words = []
    if cluster.state.identity is not None:
        words.append(f"generation {len(cluster.state.identity.generations)}")
    if (view := cluster.state.view) is not None:
        whom = ", ".join(view.members) if len(view.members) <= 5 else _nodes(len(view.members))
        words.append(f"view of {whom} at seqno {view.seqno}")
    words.append("registry answers" if registry.answers else "registry silent")
    return " · ".join(words)


def told(events: Sequence[Event], limit: int = 1000) -> list[dict[str, Any]]:
    """The history for the page, newest first."""
    return [
        {"time": event.time, "node": event.node, "action": event.action, "sentence": event.sentence}
        for event in reversed(events[-limit:])
    ]
