"""The fixtures of tests/registry, with an API server in the place of etcd."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from galerist.registry.contract import Registry
from galerist.registry.open import connect
from tests.kubernetes.cluster import ApiServer, binaries
from tests.registry.conftest import root

__all__ = ["root"]


@pytest.fixture(scope="session")
def etcd() -> Iterator[ApiServer]:
    with ApiServer(binaries()) as server:
        yield server


@pytest.fixture
def scheme() -> str:
    return "k8s"


@pytest.fixture
def registry(etcd: ApiServer, scheme: str) -> Iterator[Registry]:
    client = connect(etcd.access(scheme))
    yield client
    client.close()
