"""The long rounds: `make faults ROUNDS=50`."""

from __future__ import annotations

import random
import statistics

import pytest

from tests.support.cluster import Cluster
from tests.support.rounds import form_once, kill_once, rounds

pytestmark = [pytest.mark.slow, pytest.mark.timeout(0)]


def test_empty_nodes_that_start_at_once_are_always_one_cluster() -> None:
    times = [form_once(number) for number in range(1, rounds(50) + 1)]
    print(f"{len(times)} rounds: median {statistics.median(times):.1f} s, longest {max(times):.1f} s")
    assert len(times) == rounds(50)


def test_everything_is_killed_again_and_again() -> None:
    chance = random.Random(2)
    with Cluster(3, settings={"ttl": 3.0}) as three:
        three.up()
        for _ in range(rounds(20)):
            kill_once(three, chance)
        assert three.data()["generation"] == rounds(20) + 1
