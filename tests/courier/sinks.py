"""Log stores for tests, strict where real ones are lenient: bulk as Elasticsearch takes it, RELP, and JSON lines by TCP.

Each runs as a process of its own, ``python -m tests.courier.sinks KIND PORT FILE [ADDRESS]``, so that it can be stopped and
killed. It writes what it has taken to FILE, a JSON object a line, before it says so to the sender. With SINK_TLS=FOLDER/NAME in
the environment it speaks TLS with the certificate NAME of `galerist tls init`, and demands one of the authority in that folder.
"""

from __future__ import annotations

import json
import os
import socket
import socketserver
import ssl
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import BinaryIO

FIELDS = {"@timestamp", "id", "cluster", "node", "source", "level", "time", "file", "offset", "message"}


class Wrong(Exception):
    """What a strict store does not take."""


class Store:
    def __init__(self, path: Path) -> None:
        self._file = path.open("ab")

    def take(self, texts: list[bytes]) -> None:
        """Keep whole lines, durably."""
        for text in texts:
            found = json.loads(text)
            if set(found) != FIELDS or not found["id"] or not isinstance(found["offset"], int):
                raise Wrong(f"not what was agreed: {text!r}")
        self._file.write(b"".join(json.dumps(json.loads(text)).encode() + b"\n" for text in texts))
        self._file.flush()
        os.fsync(self._file.fileno())


def bulk(port: int, store: Store) -> None:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_HEAD(self) -> None:
            self._answer(200, {})

        do_GET = do_HEAD

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            try:
                if not self.path.startswith("/_bulk") or "json" not in self.headers.get("Content-Type", ""):
                    raise Wrong(f"{self.path} {self.headers}")
                if not body.endswith(b"\n"):
                    raise Wrong("a bulk body ends with a line feed")
                lines = body[:-1].split(b"\n")
                heads, texts = [json.loads(line) for line in lines[::2]], lines[1::2]
                if len(heads) != len(texts):
                    raise Wrong("a document for each action")
                for head, text in zip(heads, texts, strict=True):
                    (action,) = head
                    if (
                        action != "index"
                        or head[action]["_index"] != "logs"
                        or head[action]["_id"] != json.loads(text)["id"]
                    ):
                        raise Wrong(f"{head} {text!r}")
                store.take(texts)
            except (Wrong, ValueError, KeyError) as error:
                print(error, file=sys.stderr, flush=True)
                self._answer(400, {"error": str(error), "status": 400})
                return
            items = [{"index": {"_index": "logs", "_id": head["index"]["_id"], "status": 201}} for head in heads]
            self._answer(200, {"took": 1, "errors": False, "items": items})

        def _answer(self, status: int, value: object) -> None:
            text = json.dumps(value).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(text)

        def log_message(self, *_: object) -> None: ...

    _listen(ThreadingHTTPServer((address(), port), Handler))


def relp(port: int, store: Store) -> None:
    class Handler(socketserver.StreamRequestHandler):
        """RELP, version 0 (rsyslog.com/doc/relp.html): frames are TXNR COMMAND LENGTH[ DATA] and a line feed."""

        def handle(self) -> None:
            last = 0
            while (frame := _frame(self.rfile)) is not None:
                number, command, data = frame
                if number != last + 1:
                    raise Wrong(f"transaction {number} after {last}")
                last = number
                if command == "open":
                    self._answer(number, "200 OK\nrelp_version=0\nrelp_software=galerist-test\ncommands=syslog")
                elif command == "syslog":
                    store.take([data.rstrip(b"\n")])
                    self._answer(number, "200 OK")
                elif command == "close":
                    self._answer(number, "")
                    self.wfile.write(b"0 serverclose 0\n")
                    return
                else:
                    raise Wrong(command)

        def _answer(self, number: int, text: str) -> None:
            data = text.encode()
            self.wfile.write(b"%d rsp %d%s\n" % (number, len(data), b" " + data if data else b""))
            self.wfile.flush()

    _serve(port, Handler)


def _frame(stream: BinaryIO) -> tuple[int, str, bytes] | None:
    """One frame, None when the sender has gone."""
    words = []
    while len(words) < 3:
        word, end = b"", b""
        while end not in (b" ", b"\n"):
            word += end
            end = stream.read(1)
            if not end:
                return None
        words.append(word)
    number, command, size = int(words[0]), words[1].decode(), int(words[2])
    data = stream.read(size) if end == b" " else b""
    if len(data) < size:
        return None
    if end == b" " and stream.read(1) != b"\n":
        raise Wrong("a frame ends with a line feed")
    return number, command, data


def tcp(port: int, store: Store) -> None:
    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            for line in self.rfile:
                store.take([line.rstrip(b"\n")])

    _serve(port, Handler)


def _serve(port: int, handler: type[socketserver.StreamRequestHandler]) -> None:
    class Server(socketserver.ThreadingTCPServer):
        allow_reuse_address = True
        daemon_threads = True
        address_family = socket.AF_INET

    _listen(Server((address(), port), handler))


def _listen(server: socketserver.TCPServer) -> None:
    if name := os.environ.get("SINK_TLS"):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(f"{name}.pem", f"{name}.key")
        if (authority := Path(name).with_name("ca.pem")).exists():
            context.load_verify_locations(authority)
            context.verify_mode = ssl.CERT_REQUIRED
        server.socket = context.wrap_socket(server.socket, server_side=True)
    server.serve_forever()


def address() -> str:
    """Where it listens."""
    return sys.argv[4] if len(sys.argv) > 4 else "127.0.0.1"


if __name__ == "__main__":
    {"bulk": bulk, "relp": relp, "tcp": tcp}[sys.argv[1]](int(sys.argv[2]), Store(Path(sys.argv[3])))
