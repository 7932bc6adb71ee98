"""What an agent reaches of its peers, told to a doctor that asks; and what the doctor makes of it."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from bootstrap import scout
from bootstrap.scout import Answer, Scout, Way, walk, ways
from galerist.cli import findings as judge
from galerist.cli.findings import Level
from galerist.model import Endpoint, Report, Server, load
from galerist.registry.keys import Keys
from tests.unit.test_agent import Shelf
from tests.unit.test_decide import facts, report

KEYS = Keys("galera")


@pytest.fixture
def port() -> Iterator[int]:
    """Of something that listens."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


@pytest.fixture
def closed() -> int:
    with socket.create_server(("127.0.0.1", 0)) as gone:
        return int(gone.getsockname()[1])


def place(node: str, sql: int, check: int, **fields: object) -> Report:
    return report(node, endpoint=Endpoint("localhost", "127.0.0.1", sql, sql, check), **fields)


def test_ports_of_a_server_are_tried_only_while_it_is_primary(port: int, closed: int) -> None:
    down = place("b", closed, port)
    assert [way.setting for way in ways((down,))] == ["check_port"]
    walked = walk(tuple(ways((place("c", closed, port, cluster_status="Primary", server=Server.UP),))))
    assert [(way.setting, bool(way.trouble)) for way in walked] == [
        ("check_port", False),
        ("sql_port", True),
        ("gcomm_port", True),
    ]
    assert "refused" in walked[1].trouble


def test_an_agent_answers_while_somebody_asks(monkeypatch: pytest.MonkeyPatch, port: int, tmp_path: Path) -> None:
    monkeypatch.setattr(scout, "PACE", 0.0)
    shelf, seen = Shelf(), facts(report("a"), place("b", port, port))
    log = tmp_path / "error.log"
    one = Scout(shelf, KEYS, "a", lambda: "x" * 20_000 + "the agent's words", log)
    one.step(seen)
    assert shelf.values == {}
    shelf.values[KEYS.questions + "11111111"] = scout.REACH

    def answered() -> Answer | None:
        one.step(seen)
        text = shelf.values.get(KEYS.answers + "a")
        return load(Answer, text) if text is not None else None

    until(lambda: answered() is not None)
    answer = answered()
    assert (
        answer is not None and answer.asked == (KEYS.questions + "11111111",) and abs(answer.clock - time.time()) < 60
    )
    assert answer.ways == (Way("b", "health endpoint", "check_port", "127.0.0.1", port),)
    assert (answer.agent, answer.server) == ("", ""), "nobody has asked for logs"
    shelf.values[KEYS.questions + "22222222"] = scout.LOGS
    until(lambda: len((answered() or answer).asked) == 2)
    told = answered()
    assert told is not None and told.agent.endswith("the agent's words") and len(told.agent) == scout.MOST
    assert told.server == f"{log}: No such file or directory\n" and told.ways
    log.write_text("the server's words")
    shelf.values[KEYS.questions + "33333333"] = scout.LOGS
    until(lambda: (answered() or answer).server == "the server's words")
    shelf.values = {key: text for key, text in shelf.values.items() if not key.startswith(KEYS.questions)}
    until(lambda: answered() is None)
    shelf.down = True
    one.step(seen)
    one.step(replace(seen, answered=False))
    one.close()


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_each_way_that_is_closed_has_its_remedy_and_a_silent_agent_too() -> None:
    good = Way("n2", "SQL", "sql_port", "10.0.0.2", 3306)
    shut = Way("n3", "group communication", "gcomm_port", "10.0.0.3", 4567, "no answer in time")
    found = {"n1": Answer(("q",), 1000.0, (good, shut)), "n2": Answer(("q",), 1060.0, (good,))}
    said = list(judge.answers(("n1", "n2", "n3"), found, (1000.0, 1004.0)))
    levels = {(one.area, one.level) for one in said}
    assert ("way from n1", Level.BAD) in levels and ("way from n3", Level.WARN) in levels
    texts = [one.what for one in said]
    assert "n3's port for group communication, 10.0.0.3:4567, does not answer from n1: no answer in time" in texts
    assert "the clock of n1 agrees" in texts and "the clock of n2 is 56 s ahead of this machine's" in texts
    assert all(one.remedy for one in said if one.level is not Level.OK)
    older = found | {"n2": replace(found["n2"], version="0.0.9")}
    assert any("agents of 2 versions" in one.what for one in judge.answers(("n1", "n2"), older, (1000.0, 1004.0)))
    early = list(judge.answers(("n1",), {"n1": Answer(("q",), 990.0)}, (1000.0, 1004.0)))
    assert [one.what for one in early] == ["the clock of n1 is 10 s behind this machine's"]
    assert ["'gcomm_port'" in one.remedy for one in said if one.level is Level.BAD] == [True]
