"""The page's server: what it shows, what it refuses, who may act."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

import dashboard
from dashboard.ask import ask, understood
from dashboard.door import LASTS, TRIES, WITHIN, Door, same_origin
from dashboard.sparks import MINUTE, MINUTES, Sparks
from galerist.view.facts import Event
from tests.dashboard.made import PASSWORD, Recorder, Still, app
from tests.unit.test_show import cluster, report

STATIC = Path(dashboard.__file__).parent


@pytest.fixture
def still() -> Still:
    made = Still()
    made.show(cluster(report("n1", reason="</script><b>")), (Event("2026-01-01T00:00:00Z", "n1", "join", "Joined."),))
    return made


def token(client: Any) -> str:
    answer = client.post("/session", json={"password": PASSWORD})
    assert answer.status_code == 200
    return str(answer.get_json()["token"])


def test_the_page_holds_its_data_and_nothing_in_them_ends_the_script(still: Still) -> None:
    text = app(still).test_client().get("/").get_data(as_text=True)
    (data,) = re.findall(r'id="page-data">(.*?)</script>', text)
    assert json.loads(data)["nodes"][0]["reason"] == "</script><b>"


def test_everything_comes_from_here_and_a_policy_holds_the_browser_to_it(still: Still) -> None:
    answer = app(still).test_client().get("/")
    assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
    files = [STATIC / "templates" / "index.html", *(STATIC / "static").iterdir()]
    strangers = [
        (file.name, url)
        for file in files
        for url in re.findall(r"""(?:src|href|url|import)\s*[=(]?\s*["']?(https?:[^"')\s]+)""", file.read_text())
    ]
    assert strangers == []


def test_json_for_programs(still: Still) -> None:
    client = app(still).test_client()
    assert client.get("/page.json").get_json()["cluster"] == "galera"
    assert client.get("/history.json").get_json()[0]["sentence"] == "Joined."
    assert client.get("/static/page.js").status_code == 200
    assert client.get("/static/..%2fapp.py").status_code == 404


def test_a_stream_begins_with_what_there_is_and_goes_on_with_what_changes(still: Still) -> None:
    parts = iter(app(still).test_client().get("/stream").response)

    def read() -> str:
        part = next(parts)
        return part.decode() if isinstance(part, bytes) else part

    first = read()
    assert "event: page\n" in first and "event: history\n" in first
    still.show(cluster(report("n1"), report("n2")))
    assert '"n2"' in read()
    still.ended = True


def test_orders_need_the_password_and_the_token(still: Still) -> None:
    deeds = Recorder()
    client = app(still, deeds=deeds).test_client()
    order = {"name": "switchover", "node": "n2"}
    assert client.post("/order/give", json=order).status_code == 403
    assert client.post("/session", json={"password": "wrong"}).status_code == 403
    assert client.post("/session", data="password=x").status_code == 403
    known = token(client)
    assert client.post("/order/give", json=order).status_code == 403, "a session alone may be a forged request"
    assert client.post("/order/give", json=order, headers={"X-Token": "x"}).status_code == 403
    forged = {"X-Token": known, "Origin": "http://elsewhere.example"}
    assert client.post("/order/give", json=order, headers=forged).status_code == 403
    assert deeds.given == []
    good = {"X-Token": known, "Origin": "http://localhost"}
    assert client.post("/order/look", json=order, headers=good).get_json() == {
        "says": ["n2 becomes the writer in place of n1."]
    }
    assert deeds.given == [], "looking changes nothing"
    assert client.post("/order/give", json=order, headers=good).status_code == 200
    assert deeds.given == [("switchover", "n2", "the dashboard (127.0.0.1)")]
    assert still.looked == 1
    client.delete("/session")
    assert client.post("/order/give", json=order, headers=good).status_code == 403


@pytest.mark.parametrize(
    ("step", "body", "code"),
    [
        ("give", {"name": "recover", "node": "n1"}, 400),
        ("give", {"name": "switchover", "node": "n9"}, 409),
        ("give", [], 400),
        ("jump", {"name": "pause"}, 400),
    ],
)
def test_what_is_no_order_is_refused_in_a_sentence(still: Still, step: str, body: object, code: int) -> None:
    client = app(still).test_client()
    answer = client.post(f"/order/{step}", json=body, headers={"X-Token": token(client)})
    assert answer.status_code == code
    assert answer.get_json()["error"].endswith(".")


def test_without_a_password_the_page_only_shows(still: Still) -> None:
    client = app(still, password="").test_client()
    assert client.get("/session").get_json() == {"acting": False, "inside": False, "token": None}
    assert client.post("/session", json={"password": ""}).status_code == 404
    assert client.post("/order/give", json={"name": "pause"}).status_code == 404


def test_the_cookie_is_for_this_page_only(still: Still) -> None:
    client = app(still).test_client()
    cookie = client.post("/session", json={"password": PASSWORD}).headers["Set-Cookie"]
    assert "HttpOnly" in cookie and "SameSite=Strict" in cookie
    assert PASSWORD not in cookie


def test_guessing_is_slowed_down_and_sessions_end() -> None:
    now = [0.0]
    door = Door("secret", lambda: now[0])
    session: dict[str, Any] = {}
    assert [door.enter(session, "x") for _ in range(TRIES)] == [403] * TRIES
    assert door.enter(session, "secret") == 429
    now[0] = WITHIN + 1
    assert door.enter(session, "secret") == 200
    assert door.allows(session, session["token"])
    session["until"] -= LASTS + 1
    assert not door.allows(session, session["token"])


def test_browsers_say_where_a_request_comes_from() -> None:
    assert same_origin(None, "db1:8405")
    assert same_origin("http://db1:8405", "db1:8405")
    assert not same_origin("http://db1", "db1:8405")
    assert not same_origin("null", "db1:8405")


def test_sparks_are_commits_a_second_for_each_minute() -> None:
    sparks = Sparks()
    for minute, committed in ((0, 100), (1, 700), (2, 700), (5, 1000)):
        sparks.add("n1", minute * MINUTE, committed)
    sparks.add("n1", 5 * MINUTE + 1, None)
    assert sparks.of(5 * MINUTE) == {"n1": (10.0, 0.0, round(300 / 180, 1), None, None)}
    sparks.add("n1", 6 * MINUTE, 3)
    assert sparks.of(6 * MINUTE) == {"n1": ()}, "another history"
    for minute in range(200):
        sparks.add("n2", minute * MINUTE, minute)
    assert len(sparks.of(200 * MINUTE)["n2"]) == MINUTES


def test_what_a_health_endpoint_says() -> None:
    said = {
        "code": 404,
        "reason": "donor",
        "facts": {"recv_queue": 3, "flow_control": 0.5},
        "figures": {"wsrep_last_committed": 9.0},
    }
    found = understood(404, json.dumps(said).encode())
    assert (found.code, found.reason, found.queue, found.flow_control, found.committed) == (404, "donor", 3, 0.5, 9)
    assert understood(200, b"<html>").code == 200
    assert understood(503, b"{}").queue is None
    assert ask("127.0.0.1", 1).code == 0
