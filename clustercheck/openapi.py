"""The OpenAPI document of the health endpoint; a test holds it against the answers."""

from __future__ import annotations

from typing import Any

from galerist import __version__

_REASON = {"text/plain": {"schema": {"type": "string", "description": "the reason, in one line"}}}
_CODES = {
    "200": "yes",
    "404": "no new sessions, those that it has may live (drain)",
    "500": "what the settings check_donor_code or check_down_code want instead",
    "503": "of no use",
}
_REFUSALS = {
    "400": "no such page, or the request is malformed",
    "401": "not authenticated",
    "403": "from a network that is not allowed",
}
_PAGES = {
    "/": ("May the node be given clients?", "verdict"),
    "/write": ("Is it the node that the write port leads to?", "write"),
    "/read": ("May reads go there? read_only does not matter.", "read"),
    "/donor": ("Is it a donor or desynced, and answers SQL?", "donor"),
    "/live": ("Is there hope? Never 503 during a state transfer.", "live"),
    "/ready": ("The verdict, for Kubernetes.", "ready"),
}


def _nullable(kind: str, **more: Any) -> dict[str, Any]:
    return {"type": [kind, "null"], **more}


def _object(properties: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
        **more,
    }


_TEXT, _FLAG, _COUNT = {"type": "string"}, {"type": "boolean"}, {"type": "integer"}
_PEER = _object(
    {"node": _TEXT, "host": _TEXT, "port": _COUNT, "check_port": _COUNT, "usable": _FLAG, "incoming": _TEXT}
)
_HEARD = _nullable("number", description="seconds since the agent last heard of the other members")
_FACTS = _object(
    {
        "cluster_status": _TEXT,
        "connected": _FLAG,
        "ready": _FLAG,
        "replicates": _FLAG,
        "local_state": _nullable("integer"),
        "reject_queries": _TEXT,
        "donor_rejects_queries": _FLAG,
        "sst_method": _TEXT,
        "desync": _FLAG,
        "read_only": _FLAG,
        "members": {"type": "array", "items": _TEXT, "description": "listeners of the members of its component"},
        "cluster_size": _nullable("integer"),
        "cluster_uuid": _TEXT,
        "recv_queue": _nullable("integer", description="write-sets"),
        "flow_control": _nullable("number", minimum=0, maximum=1, description="share of the last seconds"),
    }
)
_AGENT = _object(
    {
        "opened": _FLAG,
        "paused": _FLAG,
        "drained": _FLAG,
        "reason": _TEXT,
        "problem": _TEXT,
        "node": _TEXT,
        "host": _TEXT,
        "port": _COUNT,
        "writer": {"type": "array", "items": _TEXT},
        "peers": _nullable("array", items=_PEER),
        "heard_ago": _HEARD,
    }
)
_PROBE = _object(
    {
        "state": {"enum": ["off", "resting", "ok", "explained", "late"]},
        "note": _TEXT,
        "pending": _nullable("number", description="seconds"),
        "took": _nullable("number", description="seconds"),
        "began_ago": _nullable("number", description="seconds"),
    }
)
STATUS = _object(
    {
        "code": {"enum": [200, 404, 503]},
        "reason": _TEXT,
        "cause": _TEXT,
        "version": _TEXT,
        "age": _nullable("number", description="seconds since the server answered"),
        "trouble": _TEXT,
        "disabled": _TEXT,
        "facts": {"anyOf": [_FACTS, {"type": "null"}]},
        "agent": {"anyOf": [_AGENT, {"type": "null"}]},
        "probe": _PROBE,
        "pages": {"type": "object", "additionalProperties": {"enum": [200, 404, 503]}},
        "figures": {"type": "object", "additionalProperties": {"type": "number"}},
    }
)
PEERS = _object(
    {
        "reason": _TEXT,
        "heard_ago": _HEARD,
        "peers": {
            "type": "array",
            "items": _object({"node": _TEXT, "host": _TEXT, "port": _COUNT, "writer": _FLAG}),
        },
    }
)


def document() -> dict[str, Any]:
    """OpenAPI 3.1, whose schemas are JSON Schema."""
    paths: dict[str, Any] = {}
    for path, (summary, name) in _PAGES.items():
        paths[path] = _path(summary, name, dict.fromkeys(_CODES, _REASON))
    max_lag = {
        "name": "max_lag",
        "in": "query",
        "description": "write-sets that may wait to be applied; a donor or desynced node may be read from then too",
        "schema": {"type": "integer", "minimum": 0, "maximum": 999999999},
    }
    for operation in paths["/read"].values():
        operation["parameters"] = [max_lag]
    status = {"application/json": {"schema": {"$ref": "#/components/schemas/Status"}}}
    paths["/status"] = _path("All that the verdict rests on.", "status", dict.fromkeys(_CODES, status))
    peers = {"application/json": {"schema": {"$ref": "#/components/schemas/Peers"}}}
    paths["/peers"] = _path("The usable nodes, the writer first.", "peers", {"200": peers, "503": peers})
    text = {"text/plain": {"schema": {"type": "string"}}}
    paths["/metrics"] = _path("Figures for Prometheus.", "metrics", {"200": text})
    anything = {"application/json": {"schema": {"type": "object"}}}
    paths["/openapi.json"] = _path("This document.", "openapi", {"200": anything})
    return {
        "openapi": "3.1.0",
        "info": {"title": "galerist clustercheck", "version": __version__},
        "paths": paths,
        "components": {
            "schemas": {"Status": STATUS, "Peers": PEERS},
            "securitySchemes": {
                "basic": {"type": "http", "scheme": "basic"},
                "bearer": {"type": "http", "scheme": "bearer"},
            },
        },
    }


def _path(summary: str, name: str, contents: dict[str, Any]) -> dict[str, Any]:
    """GET, HEAD and OPTIONS, which tell the same."""
    operations: dict[str, Any] = {}
    for method in ("get", "head", "options"):
        responses: dict[str, Any] = {}
        for code, content in contents.items():
            responses[code] = {"description": _CODES[code]} | ({"content": content} if method != "head" else {})
        for code, text in _REFUSALS.items():
            responses[code] = {"description": text} | ({"content": _REASON} if method != "head" else {})
        operations[method] = {"operationId": f"{method}_{name}", "summary": summary, "responses": responses}
    return operations
