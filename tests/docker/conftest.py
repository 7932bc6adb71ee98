from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.docker.engine import Engine
from tests.docker.images import saved


@pytest.fixture(scope="session")
def engine() -> Iterator[Engine]:
    """An engine with the images of the repository."""
    with saved() as images, Engine() as made:
        made.load(images)
        yield made
