"""The alert rules, by promtool: each fires on the fault it is for, and on none of the others.

The series were recorded during real faults (tests/monitoring/record.py); the state that a fault ends in is taken to
last, since rules wait for longer than anybody wants to record. Alerts whose fault was not made are tried on
made-up series below.
"""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.monitoring.record import AFTER, BEFORE, FAULTS, RULES, SERIES, STEP

LASTS = 3600
"""Seconds for which the state that a fault ends in goes on."""

FIRE = {
    "healthy": set(),
    "agent-killed": {"GaleristAgentDown"},
    "node-killed": {"GaleristAgentDown", "GaleristNodeUnusable"},
    "majority-killed": {"GaleristAgentDown", "GaleristNoPrimaryComponent"},
    "total-outage": {"GaleristAgentDown", "GaleristNoPrimaryComponent"},
    "registry-frozen": {"GaleristRegistryUnreachable"},
    "watcher-killed": {"GaleristProxyDown"},
    "check-killed": {"GaleristCheckDown"},
    "paused": {"GaleristPaused"},
    "stranger": {"GaleristRefused", "GaleristNodeUnusable"},
    "applier-locked": {"GaleristNodeUnusable"},  # Galera desyncs the node, so nobody is slowed down
}

AGENT = '{cluster="galera",instance="n1",job="galerist-agent"}'
CHECK = '{cluster="galera",instance="n1",job="galerist-check"}'
PROXY = '{cluster="galera",instance="lb1",job="galerist-proxy"}'
MADE_UP = {
    "GaleristNoWriter": {f"galerist_proxy_has_writer{PROXY}": 0, f"galerist_agent_server_primary{AGENT}": 1},
    "GaleristAgentStuck": {f"galerist_agent_pass_age_seconds{AGENT}": 300},
    "GaleristProxyConfiguration": {f"galerist_proxy_error{PROXY}": 1},
    "GaleristFlowControl": {f"wsrep_flow_control_paused_ratio{CHECK}": 0.6},
    "GaleristCommitsHang": {
        'galerist_check_probe_state{cluster="galera",instance="n1",job="galerist-check",state="late"}': 1
    },
    "GaleristWaiting": {
        f"galerist_agent_waiting{AGENT}": 1,
        f"galerist_agent_server_primary{AGENT}": 1,
        f"galerist_agent_registry_answers{AGENT}": 1,
    },
}


def values(recorded: list[float | None]) -> str:
    """In promtool's notation; a series that ends goes stale, as Prometheus would have it."""
    words = []
    before: float | None = None
    for value in recorded:
        words.append("stale" if value is None and before is not None else "_" if value is None else f"{value:g}")
        before = value
    last = recorded[-1]
    count = LASTS // STEP
    return " ".join([*words, f"_x{count}" if last is None else f"{last:g}+0x{count}"])


def firing(tmp_path: Path, series: dict[str, str], expected: set[str]) -> None:
    """Ask promtool which alerts fire at the end."""
    test = {
        "rule_files": [str(RULES)],
        "evaluation_interval": f"{STEP}s",
        "tests": [{
            "interval": f"{STEP}s",
            "input_series": [{"series": name, "values": text} for name, text in series.items()],
            "promql_expr_test": [{
                "expr": 'group by (alertname) (ALERTS{alertstate="firing"})',
                "eval_time": f"{(BEFORE + AFTER) * STEP + LASTS - 60}s",
                "exp_samples": [{"labels": f'{{alertname="{name}"}}', "value": 1} for name in sorted(expected)],
            }],
        }],
    }  # fmt: skip
    file = tmp_path / "test.yml"
    file.write_text(yaml.safe_dump(test))
    run = subprocess.run(["promtool", "test", "rules", str(file)], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout + run.stderr


def recorded(fault: str) -> dict[str, list[float | None]]:
    found: dict[str, Any] = json.loads((SERIES / f"{fault}.json").read_text())
    assert found["step"] == STEP
    series: dict[str, list[float | None]] = found["series"]
    return series


def test_the_rules_are_well_formed() -> None:
    run = subprocess.run(["promtool", "check", "rules", str(RULES)], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout + run.stderr


@pytest.mark.parametrize("fault", FAULTS)
def test_the_alerts_of_a_fault_fire_and_no_others(fault: str, tmp_path: Path) -> None:
    series = recorded(fault)
    assert all(len(one) == BEFORE + AFTER for one in series.values())
    firing(tmp_path, {name: values(one) for name, one in series.items()}, FIRE[fault])


@pytest.mark.parametrize("alert", MADE_UP)
def test_alerts_whose_fault_was_not_made(alert: str, tmp_path: Path) -> None:
    firing(tmp_path, {name: values([value] * (BEFORE + AFTER)) for name, value in MADE_UP[alert].items()}, {alert})


def test_every_alert_is_tried() -> None:
    groups = yaml.safe_load(RULES.read_text())["groups"]
    alerts = {rule["alert"] for group in groups for rule in group["rules"]}
    assert alerts == {alert for fired in FIRE.values() for alert in fired} | set(MADE_UP)
