"""The schedules that broke the first draft of the protocol, each played step by step.

A scenario takes a formed cluster of a, b, c (unless it says otherwise), breaks it, and ends with
everything well again. Broken promises are raised by the world; what must be said, the scenario asks.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from bootstrap.facts import Expect
from tests.simulation import faults, people  # noqa: F401  # they fill FAULTS
from tests.simulation.fast import texts
from tests.simulation.galera import Violation
from tests.simulation.world import FAULTS, NAMES, World

SCENARIOS: dict[str, Callable[[], None]] = {}
STAY = 5  # parameter of a kill: the agent stays away
SOON = 0


class Play:
    """Moves of a scenario, on a world of its own."""

    def __init__(self, count: int = 3, expect: Expect | None = None, formed: bool = True) -> None:
        self.world = World(count, expect)
        if formed and not self.world.heal(600):
            raise Violation("P4", "the first start comes to no end")

    def do(self, kind: str, nodes: str = "a", parameter: int = 0) -> None:
        for name in nodes:
            FAULTS[kind](self.world, NAMES.index(name), parameter, Random(parameter))
        self.world.unsettle()

    def write(self, node: str, times: int = 1) -> None:
        for _ in range(times):
            self.world.write(self.world.hosts[NAMES.index(node)], False)

    def rest(self, seconds: int = 1) -> None:
        """Everybody gets on with what there is to do."""
        for _ in range(seconds):
            self.world.apply(("rest", 0, 0, 1))

    def says(self, node: str) -> str:
        agent = self.world.hosts[NAMES.index(node)].agent
        return agent.decision.sentence if agent is not None and agent.decision is not None else ""

    def serving(self) -> str:
        """The names of the open Primary nodes."""
        servers = [s for s in self.world.galera.servers if s.status == "Primary" and not s.rejects and s.awake]
        return "".join(sorted(NAMES[server.number] for server in servers))

    def expect(self, holds: bool, otherwise: str) -> None:
        if not holds:
            raise Violation(
                "P4", otherwise + ": " + "; ".join(f"{n}: {self.says(n)}" for n in NAMES[: len(self.world.hosts)])
            )

    def end(self) -> None:
        self.world.calm()
        self.expect(self.world.heal(600), "not well in the end")


def scenario(function: Callable[[], None]) -> Callable[[], None]:
    def play() -> None:
        with texts():
            function()

    SCENARIOS[function.__name__] = play
    return play


@scenario
def s01_the_recorded_position_was_never_on_disk() -> None:
    play = Play()
    play.do("slow_applier", "a")
    play.do("kill_node", "bc", STAY)
    play.rest(8)
    play.do("kill_node", "a", STAY)
    play.do("start_all")
    play.rest(40)
    play.expect(play.serving() == "abc", "a position that was only in memory is waited for")
    play.end()


@scenario
def s02_a_newer_view_replaces_the_recorded_one() -> None:
    play = Play()
    play.do("registry_down")
    play.do("kill_node", "c", STAY)
    play.rest(8)
    play.write("a")
    play.do("kill_node", "ab", SOON)
    play.do("registry_back")
    play.rest(40)
    play.expect(play.serving() == "ab", "c, which is dead for good and was in no last view, is waited for")
    play.end()


@scenario
def s03_joiners_do_not_taint_themselves() -> None:
    play = Play()
    play.do("kill_node", "c", STAY)
    play.rest(8)
    play.write("a", 3)
    play.do("kill_node", "b", STAY)
    play.rest(2)
    play.do("kill_node", "a", SOON)
    play.do("start_node", "bc")
    play.rest(60)
    play.expect(play.serving() == "abc", "not all are back")
    play.end()


@scenario
def s04_a_wiped_disk_is_missing() -> None:
    play = Play()
    play.do("kill_node", "a", STAY)
    play.rest(8)
    play.do("slow_applier", "b")
    play.write("c", 2)
    play.do("kill_node", "b", STAY)
    play.do("disk_wiped", "c", STAY)
    play.do("start_all")
    play.rest(60)
    play.expect(play.serving() == "" and "c" in play.says("b"), "the wiped disk of c does not count as missing")


@scenario
def s05_a_claim_is_not_used_from_another_position() -> None:
    play = Play()
    play.write("a", 5)
    play.do("slow_applier", "a")
    play.write("b", 2)
    play.do("kill_servers", "a", 3)
    play.rest(3)
    play.do("kill_node", "a", SOON)
    play.rest(2)
    play.do("kill_node", "b", SOON)
    play.end()


@scenario
def s06_the_component_re_forms_while_somebody_claims() -> None:
    play = Play()
    play.do("partition", "a", 1)
    play.rest(14)
    play.do("connect")
    play.rest(3)
    play.do("partition", "a", 2)
    play.rest(14)
    play.end()


@scenario
def s07_the_agent_dies_between_start_and_record() -> None:
    for calls in range(12):
        play = Play(formed=False)
        for _ in range(4):
            play.rest()
        play.world.hosts[0].trap = (calls, "die_midpass", 1)
        play.rest(20)
        play.expect(play.serving() == "abc", "an unrecorded Primary Component blocks everybody")
        play.end()


@scenario
def s08_a_void_bootstrap_uses_up_seqnos() -> None:
    play = Play()
    play.do("kill_all")
    play.do("start_all")
    for _ in range(6):
        play.rest(2)
        play.do("kill_node", "a", SOON)
    play.end()


@scenario
def s10_more_nodes_than_expected() -> None:
    play = Play(4, Expect(3), formed=False)
    play.rest(40)
    lineages = {id(server.lineage) for server in play.world.galera.servers if not server.rejects}
    if len(lineages) > 1:
        raise Violation("P1", "two lineages")


@scenario
def s11_joiners_start_closed() -> None:
    play = Play()
    play.do("kill_node", "b", SOON)
    play.rest(1)
    play.do("partition", "a", 2)
    play.rest(12)
    play.end()


@scenario
def s12_stale_reports_come_back_with_fresh_leases() -> None:
    play = Play()
    play.do("kill_servers")
    play.rest(3)
    play.world.apply(("backup", 0, 0, 0))
    play.rest(40)
    play.write("a", 3)
    play.do("kill_node", "b", STAY)
    play.rest(12)
    play.write("c", 2)
    play.do("freeze_agent", "ac")
    play.do("registry_restored")
    play.do("start_node", "b")
    play.rest(9)
    play.write("a")
    play.expect(play.serving() == "ac", "b boots beside a and c")
    play.end()


@scenario
def s13_the_server_itself_writes_the_view() -> None:
    play = Play()
    play.do("kill_node", "c", STAY)
    play.rest(8)
    play.do("start_node", "c")
    play.world.hosts[0].frozen = play.world.hosts[1].frozen = True
    play.rest(12)
    play.do("thaw", "ab")
    play.rest(20)
    play.do("freeze_agent", "c")
    play.do("stop_node", "ab")
    play.rest(8)
    play.write("c", 2)
    play.do("kill_node", "c", STAY)
    play.do("start_node", "ab")
    play.rest(40)
    play.expect(play.serving() == "", "a and b do not wait for c, which was alone at the end")
    play.end()


@scenario
def s14_the_origin_restarts_before_its_peers_have_applied() -> None:
    play = Play()
    play.do("slow_applier", "bc")
    play.write("a", 3)
    play.do("kill_node", "a", SOON)
    play.rest(12)
    play.expect("ahead" in play.says("a"), "a, which is ahead, does not wait")
    play.do("thaw", "bc")
    play.end()


@scenario
def s15_the_highest_node_cannot_be_judged() -> None:
    play = Play()
    play.do("slow_applier", "bc")
    play.write("a", 3)
    play.do("prepared_xa", "a", STAY)
    play.do("kill_node", "bc", SOON)
    play.do("start_node", "a")
    play.rest(40)
    play.expect(play.serving() == "" and "XA" in play.says("b"), "a lower position wins")
    play.end()


@scenario
def s16_heartbeats_do_not_fail_the_swap_of_the_holder() -> None:
    play = Play()
    play.do("kill_all")
    play.do("start_all")
    for _ in range(30):
        play.do("publish_lost", "bc")
        play.rest(3)
    play.expect(play.serving() == "abc", "the claim comes to no end")
    play.end()


@scenario
def split_while_joining_and_merged_under_a_new_name() -> None:
    """A survivor that nobody waited for returns after the others have formed a new generation."""
    play = Play(4)
    play.do("suspend_node", "d")
    play.rest(8)
    play.write("a", 2)
    play.do("kill_node", "abc", SOON)
    play.rest(40)
    play.expect(play.serving() == "abc", "d, which was in no last view, is waited for")
    play.do("thaw", "d")
    play.rest(40)
    play.expect(play.serving() == "abcd", "d does not come back")
    play.end()
