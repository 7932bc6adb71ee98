from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.docker.engine import Engine
from tests.docker.engine import engine as make_engine


@pytest.fixture(scope="session")
def engine() -> Iterator[Engine]:
    with make_engine() as made:
        yield made
