from __future__ import annotations

import tempfile
import zlib
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.haproxy.proxies import Proxy
from tests.support.etcd import Etcd


@pytest.fixture(scope="module")
def etcd() -> Iterator[Etcd]:
    with Etcd() as one:
        yield one


@pytest.fixture
def proxy(etcd: Etcd, request: pytest.FixtureRequest) -> Iterator[Proxy]:
    cluster = f"c{zlib.crc32(request.node.name.encode())}"  # one etcd for all tests, a cluster for each
    with (
        tempfile.TemporaryDirectory(prefix="galerist-watch-", dir="/tmp") as folder,
        closing(Proxy(Path(folder), etcd, cluster)) as one,
    ):
        yield one
