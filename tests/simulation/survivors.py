"""Scenarios of rules 7 and 11, and of two Primary Components; see scenarios.py."""

from __future__ import annotations

from dataclasses import replace
from random import Random

from galerist.model import Report
from galerist.model import Server as State
from tests.simulation import fast
from tests.simulation.galera import Server, Violation
from tests.simulation.people import KEYS, read
from tests.simulation.scenarios import SOON, STAY, Play, scenario
from tests.simulation.world import NAMES


def server(play: Play, node: str) -> Server:
    return play.world.running(play.world.hosts[NAMES.index(node)])[0]


@scenario
def r07_a_survivor_is_promoted_and_a_late_one_joins_anew() -> None:
    """d, which was in no last view, wakes up when c has been promoted in place: it must not merge behind c's back."""
    play = Play(4)
    play.do("suspend_node", "d")
    play.rest(8)
    play.write("a", 2)
    process = server(play, "c")
    play.do("kill_node", "ab", SOON)
    play.rest(30)
    play.expect(play.serving() == "abc" and server(play, "c") is process, "c is not promoted in place")
    play.do("thaw", "d")
    play.rest(40)
    play.expect(play.serving() == "abcd", "d does not come back")
    play.end()


@scenario
def r07_the_last_of_a_view_does_not_believe_hearsay() -> None:
    """Reports say that b and c are down: they came out of a backup, and the agents there are frozen. a serves on."""
    play = Play()
    play.write("a", 2)
    play.do("freeze_agent", "bc")
    leased = play.world.store.leased
    for node in "bc":
        key = KEYS.members + node
        report: Report = fast.load(Report, leased[key][0])
        stale = replace(report, server=State.DOWN, cluster_status="Disconnected", opened=False, local_state=0)
        leased[key] = (fast.dump(stale), leased[key][1])
    play.rest(8)
    play.write("a")
    play.expect(play.serving() == "abc", "somebody was closed")
    play.do("thaw", "bc")
    play.end()


@scenario
def r07_a_promoted_server_dies_before_its_commits_are_on_disk() -> None:
    """c has more than a and b, in memory only; it is promoted, and dies before that is recorded."""
    play = Play()
    world, galera = play.world, play.world.galera
    play.write("a", 3)
    galera.drain(server(play, "c"))
    galera.write(server(play, "a"), crash=True)
    galera.crash(server(play, "b"))
    galera.settle()
    last = server(play, "c")
    galera.drain(last)
    generation = last.generation
    for _ in range(60):
        for host in world.hosts:
            world.step(host)
        if last.generation != generation:
            break
    play.expect(last.generation != generation, "c is not promoted")
    world.crash(last)
    play.end()


@scenario
def r07_a_stopped_node_that_is_ahead_goes_first() -> None:
    play = Play()
    play.do("slow_applier", "c")
    play.write("a", 3)
    play.do("kill_node", "ab", SOON)
    play.rest(3)
    play.do("thaw", "c")
    play.end()


@scenario
def r11_an_order_waits_for_all_who_reported() -> None:
    """a to d run without quorum and can re-form; their agents are frozen after e was ordered to start."""
    play = Play(5)
    play.do("stop_node", "e")
    play.rest(4)
    play.world.galera.side = {0: 1, 1: 1, 2: 2, 3: 2, 4: 3}
    play.world.unsettle()
    play.rest(4)
    play.do("start_node", "e")
    play.rest(2)
    play.do("order_recover", "e")
    _, state, _, _ = read(play.world)
    play.expect(state.claim is not None and state.claim.forced, "the order was not given")
    play.do("freeze_agent", "abcd")
    play.rest(12)
    play.write("e")
    play.world.galera.side.clear()
    play.world.unsettle()
    play.rest(3)
    play.expect(play.serving() == "abcd", "e was started though a to d have not acknowledged")
    play.do("thaw", "abcd")
    play.end()


@scenario
def r11_an_order_is_for_the_position_that_the_person_read() -> None:
    play = Play()
    world, galera = play.world, play.world.galera
    play.write("a", 3)
    last = server(play, "c")
    galera.drain(last)
    play.do("kill_node", "ab", STAY)
    galera.settle()
    galera.drain(last)
    world.now += 11
    world.step(world.hosts[2])
    play.do("order_recover", "c")
    world.crash(last)
    play.rest(10)
    play.expect("another position" in play.says("c"), "c starts from less than was told")


@scenario
def r11_a_node_that_was_written_on_is_not_overwritten() -> None:
    """b and c were started by order without a, which holds more; they have gone further since."""
    play = Play()
    play.do("slow_applier", "bc")
    play.write("a", 3)
    play.do("kill_node", "a", STAY)
    play.do("kill_node", "bc", SOON)
    play.rest(14)
    play.do("order_recover", "b")
    play.rest(30)
    play.expect(play.serving() == "bc", "b was not started by order")
    play.write("b", 9)
    play.do("start_node", "a")
    play.rest(20)
    play.expect("Quarantined" in play.says("a"), "a, which holds other commits, is not quarantined")


@scenario
def r11_paused_agents_decide_nothing() -> None:
    play = Play()
    play.do("order_pause")
    play.do("kill_node", "b", SOON)
    play.rest(20)
    play.expect(play.serving() == "ac" and "Paused" in play.says("b"), "a pause is overheard")
    play.do("order_resume")
    play.rest(20)
    play.expect(play.serving() == "abc", "resume is overheard")
    play.end()


@scenario
def two_primary_components_exist_already() -> None:
    """Somebody starts the server of c by hand, as a Primary Component of its own: it is not let in."""
    play = Play()
    play.do("kill_node", "c", STAY)
    play.rest(8)
    play.write("a", 2)
    host = play.world.hosts[2]
    rogue = Server(host.disk, "by-hand", "", "galera", True, False, play.world.now)
    play.world.galera.start(rogue)
    play.world.galera.progress(Random(0), play.world.now, 1.0)
    play.do("start_node", "c")
    play.rest(20)
    play.expect(play.serving() == "ab", "two Primary Components serve")


@scenario
def an_unrecorded_bootstrap_opens_to_nobody() -> None:
    """All die between start and record: what clients wrote there would be lost with the attempt."""
    play, first = bootstrapped()
    play.world.step(play.world.hosts[first.number])
    play.write(NAMES[first.number])
    play.do("kill_node", "abc", SOON)
    play.end()


@scenario
def r10_an_unrecorded_bootstrap_waits_for_the_registry() -> None:
    play, first = bootstrapped()
    play.do("registry_down")
    for _ in range(3):
        play.world.step(play.world.hosts[first.number])
    play.write(NAMES[first.number])
    play.do("kill_node", "abc", SOON)
    play.do("registry_back")
    play.end()


def bootstrapped() -> tuple[Play, Server]:
    """All servers have died; the first is Primary again, and its agent has not seen that yet."""
    play = Play()
    world = play.world
    play.do("kill_server", "abc")
    for _ in range(60):
        for host in world.hosts:
            world.step(host)
        world.galera.progress(Random(0), world.now, 1.0)
        for run in world.galera.servers:
            if run.boot and run.state == 4:
                return play, run
        world.now += 0.2
    raise Violation("P4", "nobody was started")


@scenario
def r09_a_view_is_on_disk_though_every_agent_was_dead() -> None:
    """c came back while the agents of a and b were dead, and was alone at the end; then the registry turned back."""
    play = Play()
    galera = play.world.galera
    play.do("kill_node", "c", STAY)
    play.rest(8)
    play.world.apply(("backup", 0, 0, 0))
    play.do("kill_agent", "ab", STAY)
    play.do("start_node", "c")
    play.rest(9)
    galera.leave(server(play, "a"))
    galera.leave(server(play, "b"))
    play.rest(3)
    play.write("c", 2)
    play.expect(play.serving() == "c", "c does not serve alone")
    play.do("kill_node", "c", STAY)
    play.do("registry_restored")
    play.do("start_node", "ab")
    play.rest(40)
    play.expect(play.serving() == "", "a and b do not wait for c")
    play.do("start_node", "c")
    play.end()


__all__ = ["Violation", "server"]
