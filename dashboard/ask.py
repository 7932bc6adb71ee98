"""One question to a node's health endpoint (galerist clustercheck), bounded in time and size."""

from __future__ import annotations

import http.client
import json
from collections.abc import Mapping
from typing import Any

from galerist.view.page import Check

TIMEOUT = 1.0  # s
_MOST = 65536  # bytes


def ask(host: str, port: int, headers: Mapping[str, str] | None = None) -> Check:
    """What the page /status of the endpoint says; a Check with code 0 when it says nothing."""
    connection = http.client.HTTPConnection(host, port, timeout=TIMEOUT)
    try:
        connection.request("GET", "/status", headers=dict(headers or {}))
        answer = connection.getresponse()
        text = answer.read(_MOST)
    except (OSError, http.client.HTTPException) as error:
        return Check(0, f"The health endpoint does not answer ({error or type(error).__name__}).")
    finally:
        connection.close()
    if answer.status in (401, 403):
        return Check(0, "The health endpoint wants to know who asks: give the dashboard check_token_file.")
    return understood(answer.status, text)


def understood(code: int, text: bytes) -> Check:
    """The answer as data; what is missing is None."""
    try:
        said = json.loads(text)
        facts: Mapping[str, Any] = said.get("facts") or {}
        figures: Mapping[str, Any] = said.get("figures") or {}
    except (ValueError, AttributeError):
        return Check(code, "The health endpoint does not speak galerist's language.")
    committed = _number(figures.get("wsrep_last_committed"))
    return Check(
        int(_number(said.get("code")) or code),
        str(said.get("reason", "")),
        None if (queue := _number(facts.get("recv_queue"))) is None else int(queue),
        _number(facts.get("flow_control")),
        None if committed is None else int(committed),
    )


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None
