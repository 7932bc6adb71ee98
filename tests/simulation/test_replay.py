"""The log of a round must be one that the model accepts; one that lies is refused. Logs of real rounds: tests/faults."""

from __future__ import annotations

import copy
import json
import logging
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from galerist import model
from galerist.model import State, dump, load
from tests.simulation import fast
from tests.simulation.replay import Line, Replay, understood
from tests.simulation.scenarios import SOON, STAY, Play
from tests.simulation.world import Host


class Recorder(logging.Handler):
    """Writes what the agents of a simulated world say, as the journal of a fault run does."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.node = ""
        self.lines: list[Line] = []

    def emit(self, record: logging.LogRecord) -> None:
        line = understood(record.getMessage())
        if line is not None:
            self.lines.append({**line, "node": self.node})


def played(recorder: Recorder) -> list[Line]:
    """Two of three die, one survives; then all die, and come back."""
    with fast.texts():
        play = Play(formed=False)
        step = play.world.step

        def told(host: Host, passes: int = 1) -> bool:
            recorder.node = host.name
            return step(host, passes)

        play.world.step = told  # type: ignore[method-assign]
        assert play.world.heal(600)
        play.write("a", 3)
        play.do("kill_node", "bc", STAY)
        play.rest(8)
        play.do("start_all")
        play.rest(40)
        play.write("b", 2)
        play.do("kill_all", "a", SOON)
        play.rest(60)
        assert play.serving() == "abc"
    lines: list[Line] = [{"what": "round", "kinds": ["kill-both"]}, *recorder.lines]
    for host in play.world.hosts:
        for run, view in host.disk.views:
            place = {"generation": view.generation, "seqno": view.seqno, "members": list(view.members)}
            lines.append({"what": "view", "node": host.name, "run": run, "primary": True, "arbitrators": [], **place})
        lines.append(
            {"what": "span", "node": host.name, "serves": True, "begin": 1.0, "end": 2.0, "members": ["a", "b", "c"]}
        )
    return json.loads(json.dumps(lines))  # type: ignore[no-any-return]


@pytest.fixture(scope="module")
def log() -> Iterator[list[Line]]:
    agents, recorder = logging.getLogger("galerist.bootstrap"), Recorder()
    level, propagate = agents.level, agents.propagate
    former = fast.dump, fast.load
    agents.setLevel(logging.DEBUG)
    agents.propagate = False
    agents.addHandler(recorder)
    fast.dump, fast.load = model.dump, model.load
    try:
        yield played(recorder)
    finally:
        fast.dump, fast.load = former
        agents.removeHandler(recorder)
        agents.setLevel(level)
        agents.propagate = propagate


def refused(lines: list[Line]) -> list[str]:
    return list(Replay(lines).refusals())


def test_what_the_model_did_itself_is_accepted(log: list[Line]) -> None:
    assert refused(log) == []
    kinds = [line["what"] for line in log]
    assert kinds.count("decided") > 50 and kinds.count("swapped") > 8 and kinds.count("view") > 10
    assert {line["action"] for line in log if line["what"] == "decided"} >= {
        "Bootstrap",
        "Promote",
        "Join",
        "Open",
        "Ack",
    }


def one(log: list[Line], what: str, which: Callable[[Line], bool] = lambda line: True) -> Line:
    return next(line for line in reversed(log) if line["what"] == what and which(line))


def another_decision(log: list[Line]) -> None:
    one(log, "decided", lambda line: line["action"] == "Open")["action"] = "Close"


def other_facts(log: list[Line]) -> None:
    one(log, "decided", lambda line: line["action"] == "Open")["facts"]["me"]["local_state"] = 2


def no_acknowledgement(log: list[Line]) -> None:
    booted = one(log, "decided", lambda line: line["action"] == "Bootstrap")
    nonce, other = booted["facts"]["state"]["claim"]["nonce"], next(n for n in "abc" if n != booted["node"])
    log[:] = [
        line for line in log
        if line["what"] != "decided" or line["node"] != other or line["action"] != "Ack"
        or line["facts"]["state"]["claim"]["nonce"] != nonce
    ]  # fmt: skip


def somebody_was_ahead(log: list[Line]) -> None:
    booted = one(log, "decided", lambda line: line["action"] == "Bootstrap")
    nonce = booted["facts"]["state"]["claim"]["nonce"]
    acked = one(
        log, "decided", lambda line: line["action"] == "Ack" and line["facts"]["state"]["claim"]["nonce"] == nonce
    )
    acked["facts"]["me"]["position"]["seqno"] += 5


def two_members_at_one_seqno(log: list[Line]) -> None:
    one(log, "view", lambda line: len(line["members"]) == 3)["members"] = ["a", "b"]


def a_minority_goes_on(log: list[Line]) -> None:
    last = one(log, "view", lambda line: len(line["members"]) == 3)
    alone = {**last, "node": "c", "members": ["c"], "seqno": last["seqno"] + 1}
    log.append(alone)


def a_generation_of_two(log: list[Line]) -> None:
    first = one(log, "view", lambda line: len(line["members"]) == 1)
    for line in log:
        if line["what"] == "view" and (line["generation"], line["seqno"]) == (first["generation"], first["seqno"]):
            line["members"] = ["a", "b", "c"]


def back_in_time(log: list[Line]) -> None:
    views = [line for line in log if line["what"] == "view" and line["node"] == "a"]
    pair = next(
        (x, y)
        for x, y in zip(views, views[1:], strict=False)
        if x["run"] == y["run"] and x["generation"] == y["generation"]
    )
    pair[0]["seqno"], pair[1]["seqno"] = pair[1]["seqno"], pair[0]["seqno"]


def a_position_goes_back(log: list[Line]) -> None:
    served = [
        line for line in log
        if line["what"] == "decided" and line["node"] == "a" and line["facts"]["me"]["server"] == "up" and line["facts"]["me"]["position"]
    ]  # fmt: skip
    served[-2]["facts"]["me"]["position"]["seqno"] += 1000


def history_that_shrinks(log: list[Line]) -> None:
    swap = one(log, "swapped", lambda line: line["outcome"] == "won" and len(generations(line["value"])) > 1)
    state = json.loads(swap["value"])
    state["identity"]["generations"] = state["identity"]["generations"][:1]
    swap["value"] = dump(load(State, json.dumps(state)))


def generations(text: str) -> list[Any]:
    identity = json.loads(text)["identity"]
    return identity["generations"] if identity else []


def a_state_that_nobody_wrote(log: list[Line]) -> None:
    swap = one(log, "swapped", lambda line: line["outcome"] == "won" and line["former"] is not None)
    state = json.loads(swap["former"])
    state["paused"] = "nobody"
    swap["former"] = dump(load(State, json.dumps(state)))


def primary_without_a_view(log: list[Line]) -> None:
    one(log, "span")["members"] = ["b", "c"] if one(log, "span")["node"] == "a" else ["a", "b"]


LIES = (
    another_decision, other_facts, no_acknowledgement, somebody_was_ahead, two_members_at_one_seqno, a_minority_goes_on,
    a_generation_of_two, back_in_time, a_position_goes_back, history_that_shrinks, a_state_that_nobody_wrote,
    primary_without_a_view,
)  # fmt: skip


@pytest.mark.parametrize("lie", LIES, ids=lambda lie: lie.__name__)
def test_a_log_that_lies_is_refused(log: list[Line], lie: Callable[[list[Line]], None]) -> None:
    false = copy.deepcopy(log)
    lie(false)
    assert false != log
    assert refused(false)


def test_an_empty_log_is_refused() -> None:
    assert refused([{"what": "round"}])
