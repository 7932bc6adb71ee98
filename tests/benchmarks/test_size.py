"""What an agent costs while nothing happens."""

from __future__ import annotations

import os
import time

import psutil
import pytest

from tests.benchmarks.clusters import NODES, Galerist, ending
from tests.benchmarks.tables import table

SECONDS = float(os.environ.get("BENCH_REST", "60"))
MEMORY = 60.0
"""MiB resident, at most."""

PROCESSOR = 1.0
"""Per cent of one core, at most."""

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


def test_an_agent_at_rest() -> None:
    with ending(Galerist("rsync")) as agents:
        agents.form()
        time.sleep(5)  # the last views are recorded
        processes = {node: psutil.Process(agents.children[node].pid) for node in NODES}
        before = {node: sum(process.cpu_times()[:2]) for node, process in processes.items()}
        begun = time.monotonic()
        time.sleep(SECONDS)
        spent = time.monotonic() - begun
        cpu = {node: 100 * (sum(process.cpu_times()[:2]) - before[node]) / spent for node, process in processes.items()}
        memory = {node: process.memory_info().rss / 2**20 for node, process in processes.items()}
    rows = [(node, f"{memory[node]:.1f}", f"{cpu[node]:.2f}") for node in NODES]
    table(f"An agent at rest, over {SECONDS:.0f} s", ("", "MiB resident", "% of a core"), rows)
    assert max(memory.values()) < MEMORY
    assert max(cpu.values()) < PROCESSOR
