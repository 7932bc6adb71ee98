"""How the tests are shared out among the processes of pytest-xdist."""

from __future__ import annotations

import signal

import pytest
from xdist.scheduler import LoadScopeScheduling

LANES = ("tests/integration/", "tests/cli/", "tests/faults/", "tests/kubernetes/test_pods.py")
"""Where tests run whole clusters, the longest first. The tests of each run one after another: more clusters
at once than lanes would measure each other's load."""


def _lane(nodeid: str) -> int:
    return next((number for number, folder in enumerate(LANES) if nodeid.startswith(folder)), len(LANES))


class Lanes(LoadScopeScheduling):
    """The tests of a lane in one process, those of any other file together in the next that is free."""

    def _split_scope(self, nodeid: str) -> str:
        lane = _lane(nodeid)
        return LANES[lane] if lane < len(LANES) else nodeid.partition("::")[0]


def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> Lanes:
    return Lanes(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: _lane(item.nodeid))


def pytest_configure() -> None:
    """SIGTERM ends the tests as Ctrl-C does, so that they end what they have started."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
