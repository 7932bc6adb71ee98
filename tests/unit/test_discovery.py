"""``galerist discovery``: what it makes of a container, and of another one of the same node."""

from __future__ import annotations

import logging
import socket
from collections.abc import Mapping
from typing import Any

import pytest

from galerist.deploy.discovery import Engine, Sidekick
from galerist.model import Data, Endpoint, Report, Server, dump
from galerist.settings import load
from tests.support.shelf import Shelf

MEMBER = "/galerist/galera/members/n1"
BASE = "/components/galera/n1/"


class Docker(Engine):
    """An engine with one container."""

    def __init__(self, container: str) -> None:
        super().__init__("unix:///nowhere", container)
        self.state: dict[str, Any] = {"Running": True, "Status": "running"}

    def inspect(self) -> Mapping[str, Any]:
        return {"State": self.state, "HostConfig": {"NetworkMode": "host"}}

    def end(self) -> None:
        self.state = {"Running": False, "Status": "exited"}


def beside(registry: Shelf, container: str, host: str) -> tuple[Docker, Sidekick]:
    engine = Docker(container)
    flags = {"node": "n1", "container": container, "host": host, "unit": "galera@n1"}
    return engine, Sidekick(load(flags, {}, None, "discovery"), engine, registry)


def report(boot: str) -> str:
    return dump(Report("n1", boot, Endpoint("db", "db", 1, 2, 3), Server.UP, Data.PRESENT, "disk"))


def test_a_container_that_has_ended_takes_its_keys_and_its_boot_along() -> None:
    registry = Shelf({MEMBER: report("boot1")})
    engine, sidekick = beside(registry, "galera-n1", "10.0.0.1")
    sidekick.step()
    assert registry.list(BASE)[f"{BASE}ip"] == "10.0.0.1"
    engine.end()
    sidekick.step()
    assert registry.values == {}


@pytest.mark.parametrize("both_at_once", [False, True])
def test_of_two_containers_of_a_node_one_is_told_of_and_the_other_removes_nothing(
    both_at_once: bool, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    registry = Shelf({MEMBER: report("boot1")})
    first, early = beside(registry, "galera-n1", "10.0.0.1")
    second, late = beside(registry, "galera-n1-new", "10.0.0.2")
    early.step()
    if both_at_once:  # each has looked before the other has published: the later one overwrites, and stays
        with monkeypatch.context() as before:
            before.setattr(registry, "get", lambda _: None)
            late.step()
        (first, early), (second, late) = (second, late), (first, early)
        early.step()
    standing = dict(registry.values)
    late.step()
    assert registry.values == standing
    assert all(word in caplog.text for word in ("n1 has two containers", "galera-n1 on 10.0.0.1", "galera-n1-new on"))
    second.end()
    late.step()
    assert registry.values == standing  # neither the report nor a key has gone with the one that was not told of
    first.end()
    early.step()
    assert registry.values == {}


def test_the_other_container_is_told_of_when_the_first_has_ended() -> None:
    registry = Shelf()
    first, early = beside(registry, "galera-n1", "10.0.0.1")
    _, late = beside(registry, "galera-n1-new", "10.0.0.2")
    early.step()
    late.step()
    first.end()
    early.step()
    late.step()
    assert registry.list(BASE)[f"{BASE}ip"] == "10.0.0.2"


def test_a_paused_container_has_not_ended() -> None:
    registry = Shelf({MEMBER: report("boot1")})
    engine, sidekick = beside(registry, "galera-n1", "10.0.0.1")
    sidekick.step()
    engine.state = {"Running": True, "Paused": True, "Status": "paused"}
    sidekick.step()
    assert registry.list(BASE) == {}
    assert MEMBER in registry.values


def test_a_name_server_that_is_away_does_not_change_the_address(monkeypatch: pytest.MonkeyPatch) -> None:
    def known(*_: object, **__: object) -> list[Any]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("192.0.2.7", 0))]

    def away(*_: object, **__: object) -> list[Any]:
        raise socket.gaierror("Temporary failure in name resolution")

    registry = Shelf()
    _, sidekick = beside(registry, "galera-n1", "db1.example")
    for answer in (known, away):
        monkeypatch.setattr(socket, "getaddrinfo", answer)
        sidekick.step()
        assert registry.list(BASE)[f"{BASE}ip"] == "192.0.2.7"
