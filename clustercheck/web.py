"""The pages over HTTP.

A request runs no SQL and waits for nobody: it judges what the poller heard last. So
a node that hangs cannot make its own health check hang.
"""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Callable, Iterable
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from clustercheck import pages
from clustercheck.guard import Guard
from clustercheck.metrics import exposition
from clustercheck.openapi import document
from clustercheck.poller import Counts
from clustercheck.verdict import Policy, Status, Verdict, answered, verdict
from galerist import __version__

if TYPE_CHECKING:
    from flask import Flask, Response
    from werkzeug.exceptions import HTTPException

# Flask would answer OPTIONS by itself, with 200, and it is HAProxy's default health check.
_METHODS = ["GET", "HEAD", "OPTIONS"]

_REFUSALS = {401: "authentication is needed\n", 403: "not from your network\n"}


def details(known: Status, policy: Policy) -> dict[str, Any]:
    """The page /status: everything, nothing secret."""
    judged = verdict(known, policy)
    said = dataclasses.asdict(known)
    said["age"] = known.age if math.isfinite(known.age) else None  # JSON has no infinity
    return said | {
        "code": judged.code,
        "reason": judged.reason,
        "cause": judged.cause,
        "version": __version__,
        "pages": {path: page(known, policy).code for path, page in pages.PAGES.items()},
    }


def create_app(
    status: Callable[[], Status],
    policy: Policy,
    guard: Guard | None = None,
    classic: bool = False,
    counts: Counts | None = None,
) -> Flask:
    """The WSGI application. ``classic``: the bodies are those of the classic scripts."""
    from flask import Flask, Response, jsonify, request

    app = Flask("clustercheck", static_folder=None)
    app.url_map.merge_slashes = False  # it would redirect, which HAProxy takes for health
    guard = guard or Guard()

    def spoken(judged: Verdict) -> tuple[int, str]:
        text = f"{pages.classic(judged)}\r\n" if classic else f"{judged.reason}\n"
        return answered(judged, policy), text

    def say(judged: Verdict) -> Response:
        code, text = spoken(judged)
        return Response(text, code, mimetype="text/plain")

    def page(judge: pages.Page) -> Callable[[], Response]:
        return lambda: say(judge(status(), policy))

    def read() -> Response:
        said = request.args.getlist("max_lag")
        if len(said) > 1 or not all(re.fullmatch("[0-9]{1,9}", text) for text in said):
            return Response("max_lag is a count of write-sets\n", 400, mimetype="text/plain")
        return say(pages.read(status(), policy, int(said[0]) if said else None))

    def peers() -> tuple[Response, int]:
        known = status()
        judged, nodes = pages.peers(known, policy)
        ago = known.agent.heard_ago if known.agent is not None else None
        return jsonify({"reason": judged.reason, "heard_ago": ago, "peers": nodes}), judged.code

    def everything() -> tuple[Response, int]:
        known = status()
        return jsonify(details(known, policy)), answered(verdict(known, policy), policy)

    expose = exposition(status, policy, counts or Counts())

    def metrics() -> Response:
        return Response(expose(), mimetype="text/plain; version=0.0.4", content_type=None)

    def openapi() -> Response:
        return jsonify(document())

    def enter() -> Response | None:
        code = guard.refuses(request.remote_addr or "", request.path, request.headers.get("Authorization", ""))
        if code is None:
            return None
        refused = Response(_REFUSALS[code], code, mimetype="text/plain")
        if code == 401:
            refused.headers["WWW-Authenticate"] = 'Bearer, Basic realm="galerist"'
        return refused

    def wrong(error: HTTPException) -> Response:
        # 404 means "drain" here: a check with a wrong path must not pass for one.
        if error.code == 404:
            text = f"no such page: ask one of {' '.join(sorted(views))}\n"
            return Response(text, 400, mimetype="text/plain")
        return Response(f"{error.name.lower()}\n", error.code, headers=_allow(error), mimetype="text/plain")

    def fresh(response: Response) -> Response:
        response.headers["Cache-Control"] = "no-store"
        return response

    from werkzeug.exceptions import HTTPException

    views: dict[str, Callable[[], Any]] = {path: page(judge) for path, judge in pages.PAGES.items()}
    views |= {"/read": read, "/peers": peers, "/status": everything, "/metrics": metrics, "/openapi.json": openapi}
    for path, view in views.items():
        app.add_url_rule(path, path, view, methods=_METHODS, provide_automatic_options=False)

    def root_first(environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        """The one page that proxies ask all the time, without the work that Flask has with a request."""
        method = environ["REQUEST_METHOD"]
        environ["PATH_INFO"] = environ["PATH_INFO"] or "/"  # GET http://db1:9200 names no path
        if environ["PATH_INFO"] != "/" or method not in _METHODS:
            return rest(environ, start)
        said = environ.get("HTTP_AUTHORIZATION", "")
        if guard.refuses(environ.get("REMOTE_ADDR", ""), "/", said) is not None:
            return rest(environ, start)
        code, text = spoken(verdict(status(), policy))
        body = text.encode()
        headers = [
            ("Content-Type", "text/plain; charset=utf-8"),
            ("Content-Length", str(len(body))),
            ("Cache-Control", "no-store"),
        ]
        start(f"{code} {HTTPStatus(code).phrase}", headers)
        return [b"" if method == "HEAD" else body]

    rest = app.wsgi_app
    app.wsgi_app = root_first  # type: ignore[assignment,method-assign]
    app.before_request(enter)
    app.register_error_handler(HTTPException, wrong)
    app.after_request(fresh)
    return app


def _allow(error: HTTPException) -> dict[str, str]:
    return {"Allow": ", ".join(_METHODS)} if error.code == 405 else {}
