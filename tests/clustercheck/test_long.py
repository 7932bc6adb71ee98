"""What takes long: run by ``make faults``."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.clustercheck.proxied import Pair, code, long_alter, two_nodes

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    with two_nodes(tmp_path_factory.mktemp("pair")) as pair:
        pair.settle()
        yield pair


def test_an_alter_of_half_a_minute_on_a_large_table_leaves_every_node_in_rotation(pair: Pair) -> None:
    assert long_alter(pair, 400_000, 30.0) >= 30.0
    assert (code(pair.check_one), code(pair.check_two)) == (200, 200)
