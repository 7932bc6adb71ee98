"""One look, one answer: for inetd, for HEALTHCHECK and for exec probes.

Nothing listens here. Under inetd stdin is the client's socket; the answer is a whole HTTP
answer, as the classic scripts print it.
"""

from __future__ import annotations

import contextlib
import http
import os
import socket
import stat
import time
from collections.abc import Callable

from clustercheck import pages
from clustercheck.poller import Poller, Source
from clustercheck.verdict import OK, Policy, Verdict, answered


def judge_once(source: Source, policy: Policy, page: str) -> Verdict:
    """Ask the server once, and judge for a page of :data:`clustercheck.pages.PAGES`."""
    poller = Poller(source)
    poller.poll()
    try:
        return pages.PAGES[page](poller.status(), policy)
    finally:
        poller.close()


def http_answer(judged: Verdict, policy: Policy, classic: bool) -> str:
    """A whole HTTP answer."""
    code = answered(judged, policy)
    body = (pages.classic(judged) if classic else judged.reason) + "\r\n"
    return (
        f"HTTP/1.1 {code} {http.HTTPStatus(code).phrase}\r\nContent-Type: text/plain\r\nConnection: close\r\n"
        f"Cache-Control: no-store\r\nContent-Length: {len(body)}\r\n\r\n{body}"
    )


def once(source: Source, policy: Policy, page: str, classic: bool, write: Callable[[bytes], object]) -> int:
    """Print the answer; exit code 0 for 200, else 1."""
    judged = judge_once(source, policy, page)
    with contextlib.suppress(OSError):  # the client may have gone
        write(http_answer(judged, policy, classic).encode())
    _part_from_client()
    return 0 if judged.code == OK else 1


def _part_from_client() -> None:
    """Read what the client has sent: unread it would turn the end of the connection into a reset,
    and the client might lose the answer. It gets a tenth of a second."""
    with contextlib.suppress(OSError, ValueError):
        if not stat.S_ISSOCK(os.fstat(0).st_mode):
            return
        with socket.socket(fileno=os.dup(0)) as client:
            client.shutdown(socket.SHUT_WR)
            end = time.monotonic() + 0.1
            while (left := end - time.monotonic()) > 0:
                client.settimeout(left)
                if not client.recv(8192):
                    return
