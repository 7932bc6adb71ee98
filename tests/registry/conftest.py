from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from galerist.registry.contract import Registry
from galerist.registry.open import connect
from tests.support.certificates import Certificates, make_certificates
from tests.support.etcd import Etcd

SCHEMES = ("etcd3", "etcd2")
_numbers = itertools.count(1)


class Wakes:
    """Counts the calls of a watch."""

    def __init__(self) -> None:
        self.count = 0
        self._changed = threading.Condition()

    def __call__(self) -> None:
        with self._changed:
            self.count += 1
            self._changed.notify_all()

    def after(self, count: int, seconds: float = 20) -> bool:
        """Whether there are more than ``count`` calls, within ``seconds``."""
        with self._changed:
            return self._changed.wait_for(lambda: self.count > count, seconds)

    def settle(self, calm: float = 0.3) -> int:
        """The count, once there was no call for ``calm`` seconds."""
        with self._changed:
            while self._changed.wait(calm):
                pass
            return self.count


def until(condition: Callable[[], bool], seconds: float = 20) -> bool:
    """Whether ``condition`` came true within ``seconds``."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.02)
    return True


@pytest.fixture(scope="session")
def etcd() -> Iterator[Etcd]:
    with Etcd(v2=True) as server:
        yield server


@pytest.fixture(scope="session")
def trio() -> Iterator[Etcd]:
    with Etcd(size=3, v2=True) as servers:
        yield servers


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return make_certificates(tmp_path_factory.mktemp("tls"))


@pytest.fixture(params=SCHEMES)
def scheme(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def registry(etcd: Etcd, scheme: str) -> Iterator[Registry]:
    client = connect(etcd.access(scheme))
    yield client
    client.close()


@pytest.fixture
def root() -> str:
    """A prefix that no other test uses."""
    return f"/galerist/t{next(_numbers)}/"
