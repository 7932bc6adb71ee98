"""What Prometheus may collect: figures of wsrep and of galerist, each with its unit and a help text."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from clustercheck.pages import PAGES
from clustercheck.poller import Counts
from clustercheck.verdict import OK, Policy, Status, verdict

if TYPE_CHECKING:
    from prometheus_client.core import Metric

# status variable -> name, help, factor to the base unit
_GAUGES = {
    "wsrep_cluster_size": ("wsrep_cluster_size", "Members of the component that this node is in.", 1.0),
    "wsrep_local_state": (
        "wsrep_local_state",
        "0 initialized, 1 joining, 2 donor or desynced, 3 joined, 4 synced.",
        1.0,
    ),
    "wsrep_local_recv_queue": ("wsrep_local_recv_queue_writesets", "Write-sets received and not applied yet.", 1.0),
    "wsrep_local_send_queue": ("wsrep_local_send_queue_writesets", "Write-sets that wait to be sent.", 1.0),
    "wsrep_last_committed": ("wsrep_last_committed_seqno", "Seqno of the last committed write-set.", 1.0),
    "wsrep_cert_deps_distance": (
        "wsrep_cert_deps_distance_writesets",
        "Average distance between write-sets that depend on one another: how many could be applied at a time.",
        1.0,
    ),
    "wsrep_local_cached_downto": (
        "wsrep_local_cached_downto_seqno",
        "Lowest seqno in the gcache: an incremental transfer can begin there.",
        1.0,
    ),
}
_COUNTERS = {
    "wsrep_flow_control_paused_ns": (
        "wsrep_flow_control_paused_seconds",
        "Time for which flow control paused replication.",
        1e-9,
    ),
    "wsrep_flow_control_sent": ("wsrep_flow_control_sent_events", "Pauses that this node asked for.", 1.0),
    "wsrep_flow_control_recv": ("wsrep_flow_control_received_events", "Pauses that this node heard of.", 1.0),
    "wsrep_replicated": ("wsrep_replicated_writesets", "Write-sets sent to other nodes.", 1.0),
    "wsrep_replicated_bytes": ("wsrep_replicated_bytes", "Bytes of write-sets sent to other nodes.", 1.0),
    "wsrep_received": ("wsrep_received_writesets", "Write-sets received from other nodes.", 1.0),
    "wsrep_received_bytes": ("wsrep_received_bytes", "Bytes of write-sets received from other nodes.", 1.0),
    "wsrep_local_commits": ("wsrep_local_commits_transactions", "Transactions committed that began here.", 1.0),
    "wsrep_local_cert_failures": (
        "wsrep_local_cert_failures_transactions",
        "Local transactions that failed certification: they lost against another node's.",
        1.0,
    ),
    "wsrep_local_bf_aborts": (
        "wsrep_local_bf_aborts_transactions",
        "Local transactions aborted by a replicated one that was in conflict.",
        1.0,
    ),
    "wsrep_local_replays": ("wsrep_local_replays_transactions", "Local transactions replayed.", 1.0),
}


def collect(status: Status, policy: Policy, counts: Counts) -> Iterator[Metric]:
    """The figures of this moment. Those of a server that cannot be asked are left out."""
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

    def gauge(name: str, help: str, value: float) -> GaugeMetricFamily:
        return GaugeMetricFamily(name, help, value=value)

    facts = status.facts
    judged = verdict(status, policy)
    verdicts = GaugeMetricFamily("galerist_check_code", "Status code of each page.", labels=["page"])
    for page, judge in PAGES.items():
        verdicts.add_metric([page], judge(status, policy).code)
    yield verdicts
    yield gauge("galerist_check_usable", "1 while the node may be given clients.", judged.code == OK)
    cause = GaugeMetricFamily("galerist_check_cause", "Why the verdict is what it is; always 1.", labels=["cause"])
    cause.add_metric([judged.cause], 1)
    yield cause
    yield gauge("galerist_check_disabled", "1 while the node is disabled by hand.", bool(status.disabled))
    if math.isfinite(status.age):
        yield gauge("galerist_check_facts_age_seconds", "Age of what the server said last.", status.age)
    if status.agent is not None and status.agent.heard_ago is not None:
        text = "Time since the agent last heard of the other members."
        yield gauge("galerist_check_members_age_seconds", text, status.agent.heard_ago)
    yield CounterMetricFamily("galerist_check_polls", "Times that the server was asked.", value=counts.polls)
    yield CounterMetricFamily("galerist_check_poll_failures", "Times that it did not answer.", value=counts.failures)
    yield CounterMetricFamily("galerist_check_poll_seconds", "Time spent in asking it.", value=counts.spent)
    probe = status.probe
    state = GaugeMetricFamily("galerist_check_probe_state", "State of the commit probe; always 1.", labels=["state"])
    state.add_metric([probe.state], 1)
    yield state
    if probe.took is not None:
        yield gauge("galerist_check_probe_duration_seconds", "How long the probe's last commit took.", probe.took)
    if probe.pending is not None:
        yield gauge("galerist_check_probe_pending_seconds", "For how long the probe's write has waited.", probe.pending)
    if facts is None or not 0 <= status.age <= policy.stale:
        return
    primary = facts.cluster_status == "Primary"
    yield gauge("wsrep_cluster_primary", "1 while the node is in the Primary Component.", primary)
    yield gauge("wsrep_connected", "1 while the node is connected to a component.", facts.connected)
    yield gauge("wsrep_ready", "1 while the node takes statements.", facts.ready)
    yield gauge("wsrep_desync", "1 while the node is desynced by hand.", facts.desync)
    yield gauge("mariadb_read_only", "1 while read_only is ON.", facts.read_only)
    if facts.flow_control is not None:
        text = "Share of the last five seconds for which flow control paused replication."
        yield gauge("wsrep_flow_control_paused_ratio", text, facts.flow_control)
    for variable, (name, help, factor) in _GAUGES.items():
        if variable in status.figures:
            yield gauge(name, help, status.figures[variable] * factor)
    for variable, (name, help, factor) in _COUNTERS.items():
        if variable in status.figures:
            yield CounterMetricFamily(name, help, value=status.figures[variable] * factor)


def exposition(status: Callable[[], Status], policy: Policy, counts: Counts) -> Callable[[], bytes]:
    """The page for Prometheus, in its text format 0.0.4. The library is imported when first asked for."""

    class Collector:
        def collect(self) -> Iterator[Metric]:
            return collect(status(), policy, counts)

    def page() -> bytes:
        from prometheus_client import CollectorRegistry, generate_latest

        registry = CollectorRegistry(auto_describe=False)
        registry.register(Collector())
        return generate_latest(registry)

    return page
