"""The page over HTTP: reading is free to whoever can reach it, acting is for who has the password."""

from __future__ import annotations

import json
import secrets
import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Protocol

from dashboard.collect import Collector
from dashboard.door import Door, same_origin

if TYPE_CHECKING:
    from flask import Flask, Response

STREAMS = 32
"""Browsers that are told of changes at once; more of them ask every few seconds instead."""

BEAT = 15.0
"""Seconds after which a silent stream says that it is alive."""

_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; "
    "form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
)


class Refused(Exception):
    """The order cannot be given; the text says why."""


class Deeds(Protocol):
    """What can be ordered by way of the page."""

    def says(self, name: str, node: str | None) -> tuple[str, ...]:
        """What the order will do. Raises Refused, RegistryError; KeyError for an order that there is not."""

    def give(self, name: str, node: str | None, who: str) -> str:
        """Give the order; what has become of it. Raises like :meth:`says`."""


def create_app(collector: Collector, door: Door, deeds: Deeds | None) -> Flask:
    """The WSGI application. Without ``deeds`` or a password the page only shows."""
    from flask import Flask, Response, jsonify, render_template, request, session

    from galerist.registry.contract import RegistryError

    app = Flask("dashboard", static_folder=None)
    app.config.update(
        SECRET_KEY=secrets.token_bytes(32),  # a restart ends all sessions
        SESSION_COOKIE_NAME="galerist",
        SESSION_COOKIE_HTTPONLY=True,
        SESSION_COOKIE_SAMESITE="Strict",
        MAX_CONTENT_LENGTH=4096,
        TEMPLATES_AUTO_RELOAD=False,
    )
    files = _files()
    streams = threading.BoundedSemaphore(STREAMS)
    acting = deeds is not None and door.exists

    @app.after_request
    def headers(response: Response) -> Response:
        response.headers["Content-Security-Policy"] = _POLICY
        response.headers["X-Content-Type-Options"] = "nosniff"
        response.headers["Referrer-Policy"] = "no-referrer"
        response.headers.setdefault("Cache-Control", "no-store")
        return response

    @app.get("/")
    def index() -> str:
        shown = collector.shown()
        return render_template("index.html", page=_inside_html(shown.page), events=_inside_html(shown.events))

    @app.get("/static/<name>")
    def static(name: str) -> Response:
        if name not in files:
            return Response("there is no such file\n", 404, mimetype="text/plain")
        kind, text = files[name]
        return Response(text, mimetype=kind, headers={"Cache-Control": "no-cache"})

    @app.get("/page.json")
    def page() -> Response:
        return Response(collector.shown().page, mimetype="application/json")

    @app.get("/history.json")
    def history() -> Response:
        return Response(collector.shown().events, mimetype="application/json")

    @app.get("/stream")
    def stream() -> Response:
        if not streams.acquire(blocking=False):
            return Response("too many browsers look; ask /page.json\n", 503, {"Retry-After": "5"})
        answer = Response(_stream(collector), mimetype="text/event-stream", headers={"X-Accel-Buffering": "no"})
        answer.call_on_close(streams.release)
        return answer

    def trouble(code: int, sentence: str) -> tuple[Response, int]:
        return jsonify({"error": sentence}), code

    @app.get("/session")
    def who() -> Response:
        token = door.token(session)
        return jsonify({"acting": acting, "inside": token is not None, "token": token})

    @app.post("/session")
    def enter() -> Any:
        if not acting:
            return trouble(404, "Actions are not enabled: set dashboard_password_file.")
        if not same_origin(request.headers.get("Origin"), request.host):
            return trouble(403, "The request comes from another page.")
        said = request.get_json(silent=True)
        code = door.enter(session, str(said.get("password", "")) if isinstance(said, dict) else "")
        if code == 429:
            return trouble(429, "Too many wrong passwords; wait a minute.")
        if code != 200:
            return trouble(403, "That is not the password.")
        return who()

    @app.delete("/session")
    def leave() -> Any:
        session.clear()
        return who()

    @app.post("/order/<step>")
    def order(step: str) -> Any:
        if not acting or deeds is None:
            return trouble(404, "Actions are not enabled: set dashboard_password_file.")
        token = request.headers.get("X-Token", "")
        if not same_origin(request.headers.get("Origin"), request.host) or not door.allows(session, token):
            return trouble(403, "Sign in first.")
        said = request.get_json(silent=True)
        if not isinstance(said, dict) or step not in ("look", "give"):
            return trouble(400, "That is no order.")
        name, node = str(said.get("name", "")), said.get("node")
        node = str(node) if node is not None else None
        try:
            if step == "look":
                return jsonify({"says": list(deeds.says(name, node))})
            done = deeds.give(name, node, f"the dashboard ({request.remote_addr})")
        except KeyError:
            return trouble(400, "That is no order.")
        except Refused as error:
            return trouble(409, f"Refused: {error}.")
        except RegistryError as error:
            return trouble(503, f"{error}.")
        collector.look_again()
        return jsonify({"done": done})

    return app


def _stream(collector: Collector) -> Iterator[str]:
    """Events ``page`` and ``history``, the present ones first."""
    shown = collector.shown()
    yield "retry: 1000\n\n" + _event("page", shown.page) + _event("history", shown.events)
    while not collector.ended:
        new = collector.wait(shown, BEAT)
        if new is shown:
            yield ": still here\n\n"
            continue
        text = _event("page", new.page) if new.page_number != shown.page_number else ""
        text += _event("history", new.events) if new.events_number != shown.events_number else ""
        shown = new
        yield text


def _event(name: str, data: str) -> str:
    return f"event: {name}\ndata: {data}\n\n"  # JSON has no line breaks


def _inside_html(text: str) -> str:
    """JSON for a script element, which nothing in it can end."""
    return json.dumps(json.loads(text)).replace("<", "\\u003c").replace("&", "\\u0026")


def _files() -> dict[str, tuple[str, bytes]]:
    """The files of the page. They are few and small."""
    from importlib.resources import files

    kinds = {"css": "text/css", "js": "text/javascript", "svg": "image/svg+xml"}
    return {
        file.name: (kinds[file.name.rpartition(".")[2]], file.read_bytes())
        for file in files("dashboard").joinpath("static").iterdir()
        if file.name.rpartition(".")[2] in kinds
    }
