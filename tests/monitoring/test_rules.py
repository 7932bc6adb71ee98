"""The alert rules, by promtool: each fires on the fault it is for, and on none of the others.

The series were recorded during real faults (tests/monitoring/record.py); the state that a fault ends in is taken to
last, since rules wait for longer than anybody wants to record.
"""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.monitoring.record import AFTER, BEFORE, FAULTS, LONG, RULES, SERIES, STEP, run

LASTS = 3600
"""Seconds for which the state that a fault ends in goes on."""

FIRE = {
    "healthy": set(),
    "agent-killed": {"GaleristAgentDown"},
    "node-killed": {"GaleristAgentDown"},
    "majority-killed": {"GaleristAgentDown", "GaleristNoPrimaryComponent"},
    "total-outage": {"GaleristAgentDown", "GaleristNoPrimaryComponent"},
    "registry-frozen": {"GaleristRegistryUnreachable"},
    "watcher-killed": {"GaleristProxyDown"},
    "check-killed": {"GaleristCheckDown"},
    "paused": {"GaleristPaused"},
    "stranger": {"GaleristRefused"},
    "applier-locked": {"GaleristNodeUnusable"},  # Galera desyncs the node, so nobody is slowed down
    "agent-stuck": {"GaleristAgentStuck"},
    "commits-hang": {"GaleristCommitsHang"},
    "joiner-hangs": {"GaleristWaiting"},
    "nobody-for-clients": {"GaleristNoWriter"},
    "bad-snippet": {"GaleristProxyConfiguration"},
    "slow-appliers": {"GaleristFlowControl"},
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
                "eval_time": f"{LASTS}s",
                "exp_samples": [{"labels": f'{{alertname="{name}"}}', "value": 1} for name in sorted(expected)],
            }],
        }],
    }  # fmt: skip
    file = tmp_path / "test.yml"
    file.write_text(yaml.safe_dump(test))
    asked = subprocess.run(["promtool", "test", "rules", str(file)], capture_output=True, text=True, check=False)
    assert asked.returncode == 0, asked.stdout + asked.stderr


def recorded(fault: str, folder: Path = SERIES) -> dict[str, list[float | None]]:
    found: dict[str, Any] = json.loads((folder / f"{fault}.json").read_text())
    assert found["step"] == STEP
    series: dict[str, list[float | None]] = found["series"]
    return series


def test_the_rules_are_well_formed() -> None:
    asked = subprocess.run(["promtool", "check", "rules", str(RULES)], capture_output=True, text=True, check=False)
    assert asked.returncode == 0, asked.stdout + asked.stderr


@pytest.mark.parametrize("fault", FAULTS)
def test_the_alerts_of_a_fault_fire_and_no_others(fault: str, tmp_path: Path) -> None:
    series = recorded(fault)
    assert all(len(one) == BEFORE + LONG.get(fault, AFTER) for one in series.values())
    firing(tmp_path, {name: values(one) for name, one in series.items()}, FIRE[fault])


def test_every_alert_is_tried() -> None:
    groups = yaml.safe_load(RULES.read_text())["groups"]
    alerts = {rule["alert"] for group in groups for rule in group["rules"]}
    assert alerts == {alert for fired in FIRE.values() for alert in fired}


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_the_faults_made_anew_fire_the_same_alerts(tmp_path: Path) -> None:
    run(FAULTS, tmp_path)
    for fault in FAULTS:
        series = recorded(fault, tmp_path)
        firing(tmp_path, {name: values(one) for name, one in series.items()}, FIRE[fault])
