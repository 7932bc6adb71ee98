"""Database initialisation: the dumps are loaded by one node, once in the life of the cluster.

The registry's ``init`` record says who loads, how far it has come, and how it ended. The
database itself holds a marker as well (table ``galerist.initialisation``), so that a registry
that was wiped does not make a cluster load its dumps a second time over live data.
"""

from __future__ import annotations

import gzip
import logging
import lzma
import os
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO

from bootstrap.decisions import Decision
from bootstrap.facts import Facts
from galerist.model import Malformed, dump, load
from galerist.registry.contract import Registry, RegistryError, Swap
from galerist.registry.keys import Keys

log = logging.getLogger("galerist.load")

MARKER = "galerist.initialisation"
BLOCK = 1 << 16

SCRIPT = """
mysql_note() { echo "$*" >&2; }
mysql_warn() { echo "$*" >&2; }
mysql_error() { echo "$*" >&2; exit 1; }
docker_process_sql() {
    if [ "${1:-}" = --dont-use-mysql-root-password ]; then shift; fi
    if [ -n "$DATABASE" ]; then set -- --database="$DATABASE" "$@"; fi
    mariadb --no-defaults --socket="$MYSQL_UNIX_PORT" --comments "$@"
}
DATABASE=$1; shift
if [ -x "$0" ]; then exec "$0"; else . "$0"; fi
"""
"""The functions that scripts made for the well-known images may call."""


@dataclass(frozen=True, slots=True)
class Initialisation:
    """The record of the initialisation. ``status``: running, done, failed, or retry (ordered by a person)."""

    status: str
    by: str = ""
    boot: str = ""
    percent: int = 0
    file: str = ""
    error: str = ""


def due(facts: Facts, record: Initialisation | None) -> bool:
    """Whether this node is to begin the initialisation now."""
    view = facts.state.view
    return (
        facts.answered
        and facts.me.opened
        and facts.me.synced
        and view is not None
        and view == facts.me.view
        and len(view.members) >= facts.expect.count
        and facts.state.writer[:1] == (facts.me.node,)
        and (record is None or record.status == "retry")
    )


def orphaned(facts: Facts, record: Initialisation) -> bool:
    """Whether the node that was loading has ended: its boot reports no more."""
    return (
        facts.answered
        and facts.me.opened
        and record.status == "running"
        and all(report.boot != record.boot for report in facts.all)
    )


class Loader:
    """Loads the dumps when it is due. :meth:`step` never waits for the load."""

    def __init__(
        self, files: tuple[Path, ...], database: str, socket: Path, registry: Registry, keys: Keys, boot: str
    ) -> None:
        self._files, self._database, self._socket = files, database, socket
        self._registry, self._key, self._boot = registry, keys.init, boot
        self._thread: threading.Thread | None = None
        self._client: subprocess.Popen[bytes] | None = None
        self._record: Initialisation | None = None  # ours, while we load and until it is published
        self._published: str | None = None
        self._looked = 0.0

    def step(self, decision: Decision | None, facts: Facts | None) -> None:
        """One look: begin, report progress, or note that somebody else's load has died."""
        if not self._files or facts is None or decision is None or not facts.answered:
            return
        if self._record is None and time.monotonic() - self._looked < 1.0:
            return
        self._looked = time.monotonic()
        try:
            self._step(facts)
        except RegistryError as error:
            log.warning("The initialisation waits for the registry: %s", error)

    def _step(self, facts: Facts) -> None:
        if self._record is not None:
            self._report()
            return
        raw = self._registry.get(self._key)
        record = read_record(raw)
        if record is not None and orphaned(facts, record):
            failed = replace(record, status="failed", error=f"{record.by} ended in the middle of the load")
            self._registry.swap(self._key, raw, dump(failed))
            return
        if record is not None and record.status == "running" and record.boot == self._boot:
            self._begin(record)  # we have won it without hearing so
            return
        if not due(facts, record):
            return
        if record is None and (marker := self._marker()) is not None:
            self._registry.swap(self._key, raw, dump(marker))
            return
        if record is None and (table := self._occupied()):
            error = f"there are tables already ({table}), nothing was loaded; over them it is loaded only by order"
            log.error("%s: galerist load --retry", error)
            self._registry.swap(self._key, raw, dump(Initialisation("failed", by=facts.me.node, error=error)))
            return
        mine = Initialisation("running", by=facts.me.node, boot=self._boot)
        if self._registry.swap(self._key, raw, dump(mine)) is not Swap.WON:
            return
        self._begin(mine)

    def _begin(self, mine: Initialisation) -> None:
        log.info("The cluster has reached its size: loading %s.", ", ".join(str(file) for file in self._files))
        self._record, self._published = mine, dump(mine)
        self._thread = threading.Thread(target=self._load, args=(mine,), name="load", daemon=True)
        self._thread.start()

    def _report(self) -> None:
        record = self._record
        assert record is not None
        text = dump(record)
        if text != self._published:
            self._registry.put(self._key, text)
            self._published = text
        if record.status != "running":
            self._record = None

    def close(self) -> None:
        """End a load that runs, because the agent ends; the next one shows it as failed."""
        if self._client is not None and self._client.poll() is None:
            self._client.kill()
        if self._thread is not None:
            self._thread.join(timeout=5)

    # -- in the thread -----------------------------------------------------------------------

    def _load(self, record: Initialisation) -> None:
        try:
            self._mark(replace(record, status="failed", error="the load was cut off"))
            for number, file in enumerate(self._files):
                record = replace(record, file=file.name)
                if file.suffix == ".sh":
                    self._record = replace(record, percent=min(99, 100 * number // len(self._files)))
                    self._script(file)
                else:
                    self._feed(file, record, number)
            record = replace(record, status="done", percent=100)
            self._mark(record)
            log.info("The dumps are loaded.")
        except Exception as error:  # whatever it was (zlib and zstandard have errors of their own): it has to be shown
            text = f"{record.file}: {str(error) or repr(error)}" if record.file else str(error)
            record = replace(record, percent=(self._record or record).percent, status="failed", error=text)
            log.error("The load failed: %s. It is tried again only by order: galerist load --retry", text)
            try:
                self._mark(record)
            except (OSError, ValueError) as again:
                log.error("The marker in the database could not be written: %s", again)
        self._record = record

    def _feed(self, file: Path, record: Initialisation, number: int) -> None:
        size = max(1, file.stat().st_size)
        with file.open("rb") as raw, self._mariadb() as client:
            assert client.stdin is not None
            for block in blocks(file, raw):
                try:
                    client.stdin.write(block)
                except BrokenPipeError:
                    break  # the client says why below
                percent = int(100 * (number + min(1.0, raw.tell() / size)) / len(self._files))
                self._record = replace(record, percent=min(99, percent))
            _finish(client)

    def _script(self, file: Path) -> None:
        """Run a shell script as the well-known images do: by itself if it may be executed, else sourced."""
        client = subprocess.Popen(
            ["bash", "-c", SCRIPT, str(file), self._database],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
            env={**os.environ, "MYSQL_UNIX_PORT": str(self._socket)},
        )  # fmt: skip
        self._client = client
        _finish(client)

    def _mark(self, record: Initialisation) -> None:
        text = dump(record).replace("\\", "\\\\").replace("'", "''")
        statement = (
            "CREATE DATABASE IF NOT EXISTS galerist; "
            f"CREATE TABLE IF NOT EXISTS {MARKER} (id INT PRIMARY KEY, record TEXT NOT NULL) ENGINE=InnoDB; "
            f"REPLACE INTO {MARKER} VALUES (1, '{text}');\n"
        )
        with self._mariadb(database="") as client:
            assert client.stdin is not None
            client.stdin.write(statement.encode())
            _finish(client)

    def _marker(self) -> Initialisation | None:
        return read_record(self._ask(f"SELECT record FROM {MARKER} WHERE id = 1;\n"))

    def _occupied(self) -> str | None:
        """A table of somebody's, if there is any: this data is no new cluster's, and a dump may drop what it finds."""
        return self._ask(
            "SELECT CONCAT(TABLE_SCHEMA, '.', TABLE_NAME) FROM information_schema.TABLES"
            " WHERE TABLE_SCHEMA NOT IN ('mysql', 'information_schema', 'performance_schema', 'sys', 'galerist') LIMIT 1;\n"
        )

    def _ask(self, question: str) -> str | None:
        """The answer of the node's own server, None if there is no row or no such table."""
        with self._mariadb(database="", output=subprocess.PIPE) as client:
            try:
                out, error = client.communicate(question.encode(), timeout=30)
            except subprocess.TimeoutExpired:
                raise RegistryError("the server does not answer") from None
        if client.returncode != 0:
            if b"ERROR 1146" in error or b"ERROR 1049" in error:  # no such table, no such database
                return None
            raise RegistryError(f"the server does not say what it holds: {error.decode(errors='replace').strip()}")
        return out.decode().strip() or None

    @contextmanager
    def _mariadb(
        self, database: str | None = None, output: int = subprocess.DEVNULL
    ) -> Iterator[subprocess.Popen[bytes]]:
        chosen = self._database if database is None else database
        command = ["mariadb", "--no-defaults", f"--socket={self._socket}", "--batch", "--raw", "--skip-column-names"]
        client = subprocess.Popen(
            [*command, *([chosen] if chosen else [])],
            stdin=subprocess.PIPE, stdout=output, stderr=subprocess.PIPE,
        )  # fmt: skip
        self._client = client
        try:
            yield client
        finally:
            if client.poll() is None:
                client.kill()
            client.wait()


def _finish(client: subprocess.Popen[bytes]) -> None:
    _, error = client.communicate()
    if client.returncode != 0:
        lines = error.decode(errors="replace").strip().splitlines()
        raise ValueError(lines[-1] if lines else f"the client ended with {client.returncode}")


def blocks(file: Path, raw: BinaryIO) -> Iterator[bytes]:
    """The text of a dump, unpacked as its name says. Raises EOFError for one that was cut off."""
    if file.suffix in (".gz", ".xz"):
        with gzip.open(raw) if file.suffix == ".gz" else lzma.open(raw) as text:
            while block := text.read(BLOCK):
                yield block
    elif file.suffix == ".zst":
        import zstandard

        unpacker = None
        while packed := raw.read(BLOCK):
            while packed:  # a file may hold several frames
                unpacker = unpacker or zstandard.ZstdDecompressor().decompressobj()
                if block := unpacker.decompress(packed):
                    yield block
                packed = unpacker.unused_data
                unpacker = None if unpacker.eof else unpacker
        if unpacker is not None:
            raise EOFError("the compressed file ended before the end of the dump")
    else:
        while block := raw.read(BLOCK):
            yield block


def read_record(text: str | None) -> Initialisation | None:
    """The record in the registry or in the marker; one that cannot be read counts as failed."""
    if text is None:
        return None
    try:
        return load(Initialisation, text)
    except Malformed as error:
        # somebody wrote it by hand; a load on top of it could do harm
        return Initialisation("failed", error=str(error))


def order_retry(registry: Registry, keys: Keys) -> str:
    """Order a failed load to be tried again. Returns a sentence for people; raises RegistryError, ValueError."""
    raw = registry.get(keys.init)
    record = read_record(raw)
    if record is None or record.status != "failed":
        raise ValueError(f"there is no failed load to retry ({record.status if record else 'none has begun'})")
    if registry.swap(keys.init, raw, dump(Initialisation("retry"))) is not Swap.WON:
        raise ValueError("the record changed in between; look again")
    return "The load is tried again by the first node in the order of writers."
