"""How the tests are shared out among the processes of pytest-xdist."""

from __future__ import annotations

import pytest
from xdist.scheduler import LoadScopeScheduling

CLUSTERS = ("tests/integration/", "tests/faults/", "tests/cli/")
"""Folders whose tests run whole clusters. One after another: several at once would measure each other's load, and a
cluster that is down would lose its ports to the next."""


def _whole(nodeid: str) -> bool:
    return nodeid.startswith(CLUSTERS)


class Lanes(LoadScopeScheduling):
    """All tests of clusters in one process, those of any other file together in the next that is free."""

    def _split_scope(self, nodeid: str) -> str:
        return "clusters" if _whole(nodeid) else nodeid.partition("::")[0]


def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> Lanes:
    return Lanes(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: not _whole(item.nodeid))  # the longest lane first
