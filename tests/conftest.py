"""How the tests are shared out among the processes of pytest-xdist."""

from __future__ import annotations

from pathlib import Path

import pytest

CLUSTERS = ("integration", "faults")
"""Folders whose tests run whole clusters. One after another: several at once would measure each other's load, and a
cluster that is down would lose its ports to the next."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent

    def whole(item: pytest.Item) -> bool:
        return item.path.relative_to(here).parts[0] in CLUSTERS

    items.sort(key=lambda item: not whole(item))  # the longest group first
    for item in items:
        item.add_marker(pytest.mark.xdist_group("clusters" if whole(item) else str(item.path)))
