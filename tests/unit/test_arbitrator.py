"""Where an arbitrator votes: what the registry says in, a verdict out."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from bootstrap.arbitrator import Voter, verdict
from bootstrap.garbd import options
from galerist.model import Data, Endpoint, Generation, Identity, Report, Server, State, View
from galerist.settings import load

ONE, TWO = Generation("g1", 0, "n1", "galera-g1"), Generation("g2", 9, "n2", "galera-g2")
NOW = Identity("u", (ONE, TWO))
VIEW = View("g2", 12, ("n1", "n2"), ("garb",))
STATE = State(NOW, VIEW)
TTL = 10.0


def report(node: str, **changes: object) -> Report:
    serving = Report(
        node, "b", Endpoint(node, "", 3306, 4567, 9200), Server.UP, Data.PRESENT, "d",
        cluster_status="Primary", local_state=4, opened=True, uuid="u", identity=NOW, view=VIEW,
    )  # fmt: skip
    return replace(serving, **changes)  # type: ignore[arg-type]


DOWN = {"server": Server.DOWN, "cluster_status": "Disconnected", "local_state": 0, "opened": False}
LACKING = {"local_state": 1, "view": View("g2", 15, ("n1",), ("garb",))}


def test_it_votes_with_those_who_serve_in_the_newest_generation() -> None:
    found = verdict(STATE, (report("n1"), report("n2", **DOWN)), None)
    assert found.vote is not None and found.serving and not found.doubtful
    assert (found.vote.group, found.vote.peers) == ("galera-g2", ("n1:4567",))
    older = replace(found.vote, group="galera-g1")
    moved = verdict(STATE, (report("n1"), report("n2")), older.group)
    assert moved.vote is not None and moved.vote.group == "galera-g2" and not moved.doubtful


def test_it_begins_only_where_a_member_serves() -> None:
    for reports in ((), (report("n1", cluster_status="non-Primary"), report("n2", **DOWN)), (report("n1", **DOWN),)):
        assert verdict(STATE, reports, None).vote is None, reports
    assert verdict(State(), (), None).vote is None


def test_a_vote_that_stands_goes_on_while_somebody_may_need_it() -> None:
    for reports in (
        (),
        (report("n1", cluster_status="non-Primary", local_state=0), report("n2", **DOWN)),
        (report("n1", cluster_status="Unknown"), report("n2", **DOWN)),
    ):
        found = verdict(STATE, reports, "galera-g2")
        assert found.vote is not None and found.vote.group == "galera-g2", reports


def test_the_last_of_a_primary_component_is_ended_after_a_while() -> None:
    voter = Voter(TTL)
    for reports in (
        (report("n1", **DOWN), report("n2", **DOWN)),
        (report("n1", **LACKING), report("n2", **DOWN)),  # found the arbitrator, which has nothing to give
    ):
        assert voter.decide(STATE, reports, "galera-g2", 100.0).vote is not None
        assert voter.decide(STATE, reports, "galera-g2", 100.0 + 1.4 * TTL).vote is not None
        assert voter.decide(STATE, reports, "galera-g2", 100.0 + 1.6 * TTL).vote is None
        voter.decide(STATE, (report("n1"),), "galera-g2", 200.0)


def test_a_registry_that_was_wiped_or_restored_takes_no_vote_away() -> None:
    voter = Voter(TTL)
    past = Identity("u", (ONE,))
    stale = report("n1", identity=past, view=None)
    for state in (State(), State(past)):
        assert voter.decide(state, (stale,) if state.identity else (), "galera-g2", 100.0).vote is not None
        kept = voter.decide(STATE, (report("n1"),), "galera-g2", 105.0)  # the nodes have corrected it
        assert kept.vote is not None and kept.vote.group == "galera-g2"
    late = voter.decide(State(past), (stale,), "galera-g2", 110.0)
    assert late.vote is not None and late.vote.group == "galera-g2", "doubt begins anew"


def test_it_has_the_options_of_the_nodes_as_far_as_they_concern_the_group(tmp_path: Path) -> None:
    file = tmp_path / "s.toml"
    group = '[mariadb.wsrep_provider_options]\n"evs.suspect_timeout" = "PT3S"\n"gcache.size" = "2G"\n'
    file.write_text(f'host = "10.0.0.9"\ngcomm_port = 4570\n{group}')
    found = dict(part.split("=", 1) for part in options(load({}, {}, file, "arbitrator"), tmp_path).split(";"))
    assert found == {
        "evs.suspect_timeout": "PT3S", "evs.join_retrans_period": "PT0.3S", "gmcast.listen_addr": "tcp://0.0.0.0:4570",
        "pc.recovery": "no", "socket.ssl": "yes", "socket.ssl_ca": f"{tmp_path}/ca.pem",
        "socket.ssl_cert": f"{tmp_path}/cert.pem", "socket.ssl_key": f"{tmp_path}/key.pem",
    }  # fmt: skip
