"""The runbook has a line for every alert, and for every sentence that the agents can say."""

from __future__ import annotations

import re
from pathlib import Path

import yaml

from tests.support.sentences import failures, reasons, sentences

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "runbook.md").read_text()
ROWS = {line.split(" | ")[0].removeprefix("| ").strip() for line in PAGE.splitlines() if line.startswith("| ")}


def test_every_sentence_of_a_decision_has_its_line() -> None:
    known = sentences()
    assert len(known) > 60, "they are found in the source"
    assert sorted(text for text in known if text not in ROWS) == []


def test_every_reason_of_a_quarantine_and_of_a_server_that_ended_has_its_line() -> None:
    assert len(reasons()) >= 4
    assert sorted(text for text in [*reasons(), *failures()] if text not in ROWS) == []


def test_no_line_is_about_a_sentence_that_nobody_says() -> None:
    headings = {"sentence", "reason", "---|---|", "|---|---|"}
    said = {*sentences(), *reasons(), *failures()}
    assert sorted(row for row in ROWS - said if row not in headings and not row.startswith("|--")) == []


def test_every_alert_has_its_section_and_leads_to_it() -> None:
    groups = yaml.safe_load((ROOT / "monitoring" / "alerts.yml").read_text())["groups"]
    rules = [rule for group in groups for rule in group["rules"]]
    sections = set(re.findall(r"^### (Galerist\w+)$", PAGE, re.M))
    assert {rule["alert"] for rule in rules} == sections
    for rule in rules:
        assert rule["annotations"]["runbook"] == f"docs/runbook.md#{rule['alert'].lower()}"
        assert rule["labels"]["severity"] in ("critical", "warning")
        assert len(rule["annotations"]["summary"]) > 20
