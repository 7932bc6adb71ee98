"""The pages over HTTP: every method, the OpenAPI document, who may ask, the metrics."""

from __future__ import annotations

import base64
import ipaddress
from dataclasses import replace

import jsonschema_rs
import pytest
from prometheus_client.parser import text_string_to_metric_families

from clustercheck.guard import Guard
from clustercheck.openapi import document
from clustercheck.pages import PAGES
from clustercheck.poller import Counts
from clustercheck.probing import PeerSays, explain
from clustercheck.verdict import Policy, Status
from clustercheck.web import create_app
from tests.clustercheck.test_verdict import ALONE, AMONG, DONOR, GOOD, LATE, status

STATES = {
    "synced": status(agent=AMONG, figures={"wsrep_last_committed": 7.0, "wsrep_flow_control_paused_ns": 2e9}),
    "unknown": Status(),
    "donor": status(DONOR, agent=AMONG),
    "alone": status(DONOR, agent=ALONE),
    "desynced": status(replace(GOOD, desync=True)),
    "read only": status(replace(GOOD, read_only=True)),
    "disabled": status(disabled="by ann"),
    "hangs": status(age=99.0),
    "gone": status(trouble="no such file"),
    "commits hang": status(agent=AMONG, probe=LATE),
}
PATHS = [*PAGES, "/read?max_lag=5", "/peers", "/status", "/metrics", "/openapi.json"]
SPEC = document()


@pytest.mark.parametrize("known", STATES.values(), ids=STATES)
@pytest.mark.parametrize("path", PATHS)
def test_answers_are_what_the_document_says_by_every_method(known: Status, path: str) -> None:
    client = create_app(lambda: known, Policy()).test_client()
    answers = {method: client.open(path, method=method.upper()) for method in ("get", "head", "options")}
    assert len({answer.status_code for answer in answers.values()}) == 1
    assert answers["head"].data == b""
    if path != "/metrics":
        assert answers["get"].data == answers["options"].data
    operations = SPEC["paths"][path.partition("?")[0]]
    for method, answer in answers.items():
        described = operations[method]["responses"][str(answer.status_code)]
        assert answer.headers["Cache-Control"] == "no-store"
        if method == "head":
            continue
        ((kind, content),) = described["content"].items()
        assert answer.mimetype == kind
        if kind == "application/json":
            schema = {"components": SPEC["components"], **content["schema"]}
            jsonschema_rs.validate(schema, answer.get_json())


def test_the_document_and_the_pages_are_the_same_set() -> None:
    said = {path.partition("?")[0] for path in PATHS}
    assert set(SPEC["paths"]) == said
    answer = create_app(lambda: STATES["synced"], Policy()).test_client().get("/nowhere")
    assert set(answer.text.removeprefix("no such page: ask one of ").split()) == said


def test_status_is_json_before_the_first_answer_too() -> None:
    said = create_app(Status, Policy()).test_client().get("/status").get_json()
    assert (said["code"], said["age"], said["facts"], said["cause"]) == (503, None, None, "unasked")


@pytest.mark.parametrize("text", ["-1", "many", "1.5", "", "9999999999", "1&max_lag=x", "٣", ["1", "1"]])
def test_a_wrong_lag_is_no_verdict(text: str | list[str]) -> None:
    answer = create_app(lambda: STATES["synced"], Policy()).test_client().get("/read", query_string={"max_lag": text})
    assert answer.status_code == 400


def test_classic_codes_and_bodies() -> None:
    policy = Policy(donor_code=503, down_code=500)
    client = create_app(lambda: STATES["donor"], policy, classic=True).test_client()
    answer = client.get("/")
    assert (answer.status_code, answer.text) == (503, "Percona XtraDB Cluster Node is not synced.\r\n")
    assert create_app(lambda: STATES["gone"], policy).test_client().get("/").status_code == 500
    assert create_app(lambda: STATES["disabled"], policy).test_client().get("/").status_code == 404


BASIC = {"Authorization": "Basic " + base64.b64encode(b"ann:s3cret").decode()}
BEARER = {"Authorization": "Bearer t0ken"}


@pytest.mark.parametrize(
    ("guard", "headers", "root", "inner"),
    [
        (Guard(), {}, 200, 200),
        (Guard(token="t0ken"), {}, 200, 401),
        (Guard(token="t0ken"), BEARER, 200, 200),
        (Guard(token="t0ken"), BASIC, 200, 401),
        (Guard(token="t0ken", root_free=False), {}, 401, 401),
        (Guard(token="t0ken", root_free=False), BEARER, 200, 200),
        (Guard(user="ann", password="s3cret"), BASIC, 200, 200),
        (Guard(user="bob", password="s3cret"), BASIC, 200, 401),
        (Guard(user="ann", password="s3cret"), {"Authorization": "Basic %%%"}, 200, 401),
        (Guard(user="ann", password="s3cret"), {"Authorization": "Basic"}, 200, 401),
        (Guard(user="ann", password="s3cret", token="t0ken"), BEARER, 200, 200),
        (Guard(networks=(ipaddress.ip_network("10.0.0.0/8"),)), {}, 403, 403),
        (Guard(networks=(ipaddress.ip_network("127.0.0.0/8"),)), {}, 200, 200),
        (Guard(networks=(ipaddress.ip_network("0.0.0.0/0"),), token="t0ken"), {}, 200, 401),
        (Guard(networks=(ipaddress.ip_network("::1/128"),), token="t0ken"), BEARER, 403, 403),
    ],
)
def test_who_may_ask(guard: Guard, headers: dict[str, str], root: int, inner: int) -> None:
    client = create_app(lambda: STATES["synced"], Policy(), guard).test_client()
    for method in ("GET", "HEAD", "OPTIONS"):
        for path in ("/", "/live", "/ready"):
            assert client.open(path, method=method, headers=headers).status_code == root
        assert client.open("/status", method=method, headers=headers).status_code == inner
    answer = client.get("/status", headers=headers)
    assert ("WWW-Authenticate" in answer.headers) == (inner == 401)
    assert "s3cret" not in answer.text
    assert "t0ken" not in answer.text


@pytest.mark.parametrize(
    ("address", "code"),
    [("10.0.0.9", None), ("::ffff:10.0.0.9", None), ("fe80::1%eth0", None), ("::ffff:11.0.0.9", 403), ("", 403)],
)
def test_an_address_in_any_notation_is_in_its_network(address: str, code: int | None) -> None:
    guard = Guard(networks=(ipaddress.ip_network("10.0.0.0/8"), ipaddress.ip_network("fe80::/64")))
    assert guard.refuses(address, "/", "") == code


def test_a_guard_sends_what_it_asks_for() -> None:
    for guard in (Guard(user="ann", password="s3cret"), Guard(token="t0ken")):
        assert guard.refuses("10.0.0.1", "/status", guard.headers()["Authorization"]) is None
    assert Guard().headers() == {}


def test_metrics_have_units_and_help() -> None:
    client = create_app(lambda: STATES["synced"], Policy(), counts=Counts(9, 1, 0.5)).test_client()
    families = {family.name: family for family in text_string_to_metric_families(client.get("/metrics").text)}
    assert all(family.documentation for family in families.values())
    values = {name: family.samples[0].value for name, family in families.items()}
    assert values["wsrep_flow_control_paused_seconds"] == 2.0
    assert values["wsrep_last_committed_seqno"] == 7
    assert values["galerist_check_polls"] == 9
    assert values["galerist_check_usable"] == 1
    codes = {sample.labels["page"]: sample.value for sample in families["galerist_check_code"].samples}
    assert codes["/"] == 200
    assert codes["/write"] == 404


def test_metrics_of_a_server_that_is_gone_are_not_made_up() -> None:
    text = create_app(lambda: STATES["gone"], Policy()).test_client().get("/metrics").text
    assert "galerist_check_usable 0.0" in text
    assert "galerist_check_facts_age_seconds" in text
    text = create_app(lambda: STATES["hangs"], Policy()).test_client().get("/metrics").text
    assert "wsrep_ready" not in text


GOOD_PEER, BAD_PEER = PeerSays("n2", True, 3.0), PeerSays("n3", False, None)


@pytest.mark.parametrize(
    ("flow", "ddl", "peers", "word"),
    [
        (False, False, [GOOD_PEER], ""),
        (False, False, [BAD_PEER, GOOD_PEER], ""),
        (True, False, [GOOD_PEER], "flow control"),
        (False, True, [GOOD_PEER], "DDL"),
        (False, None, [GOOD_PEER], "cannot be asked"),
        (False, False, [], "no other member is known"),
        (False, False, [BAD_PEER], "no other member is usable"),
        (False, False, [replace(GOOD_PEER, began_ago=9.0)], "no write of another"),
        (False, False, [replace(GOOD_PEER, began_ago=None)], "no write of another"),
        (False, False, [replace(GOOD_PEER, usable=False)], "no other member is usable"),
    ],
)
def test_what_explains_a_late_probe(flow: bool, ddl: bool | None, peers: list[PeerSays], word: str) -> None:
    said = explain(7.0, flow, ddl, False, peers)
    assert word in said
    assert bool(said) == bool(word)
