"""Scenarios with an arbitrator; see scenarios.py."""

from __future__ import annotations

from tests.simulation.arbitrator import Arbiter
from tests.simulation.scenarios import SOON, STAY, Play, scenario


def arbitrated(count: int) -> Play:
    """A formed cluster with an arbitrator in it."""
    play = Play(count)
    play.world.arbiter = Arbiter(play.world)
    play.rest(8)
    run = play.world.arbiter.run
    play.expect(run is not None and run.group is not None and run.group.primary, "the arbitrator does not get in")
    return play


def cut_off(play: Play, number: int) -> None:
    """From the others and from the arbitrator, not from the registry."""
    play.world.galera.side = {number: 9}
    play.world.unsettle()


@scenario
def g14_a_vote_decides_between_two() -> None:
    play = arbitrated(2)
    play.do("kill_node", "b", STAY)
    play.rest(8)
    play.write("a")
    play.expect(play.serving() == "a", "the arbitrator's vote did not count")
    play.end()


@scenario
def g14_an_arbitrator_is_never_waited_for() -> None:
    play = arbitrated(2)
    play.write("a", 2)
    assert play.world.arbiter is not None
    play.world.arbiter.kill(10_000.0)
    play.do("kill_node", "ab", SOON)
    play.rest(60)
    play.expect(play.serving() == "ab", "two nodes wait for their arbitrator")
    play.end()


@scenario
def g14_an_arbitrator_alone_lets_nobody_in() -> None:
    """b and c leave in order, and leave the arbitrator as the Primary Component; a, cut off and behind, finds it first."""
    play = arbitrated(3)
    cut_off(play, 0)
    play.rest(8)
    play.write("b", 3)
    play.do("freeze_agent", "a")
    play.do("stop_node", "bc")
    play.rest(8)
    play.do("connect")
    play.rest(8)
    play.do("thaw", "a")
    play.rest(30)
    play.do("start_node", "bc")
    play.rest(60)
    play.expect(play.serving() == "abc", "not all are back")
    play.end()


@scenario
def g14_a_vote_follows_the_generation() -> None:
    play = arbitrated(2)
    play.write("a", 2)
    play.do("kill_node", "ab", SOON)
    play.rest(60)
    arbiter = play.world.arbiter
    assert arbiter is not None
    play.expect(play.serving() == "ab" and arbiter.run is not None, "two nodes and their arbitrator are not back")
    cut_off(play, 1)
    play.rest(8)
    play.expect(play.serving() == "a", "the vote does not count after a restart")
    play.end()


@scenario
def g14_an_emptied_registry_takes_no_vote_away() -> None:
    """a and the arbitrator are the Primary Component. The registry is emptied, then turned back to when both nodes were down."""
    play = arbitrated(2)
    world = play.world
    play.do("kill_node", "ab", SOON)
    backup = world.store.backup()
    play.do("start_all")
    play.rest(60)
    play.do("kill_node", "b", STAY)
    play.rest(8)
    play.do("freeze_agent", "a")
    for turn in (world.store.wipe, lambda: world.store.restore(backup, 10.0)):
        turn()
        play.rest(8)
        play.write("a")
        play.expect(play.serving() == "a", "a has lost the vote that it needs")
    play.do("thaw", "a")
    play.end()
