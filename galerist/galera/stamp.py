"""The stamp: what galerist keeps beside the data, on the same volume.

It says which generations the data belong to, holds a log of the views that the server
was in, an open bootstrap attempt, and the *taint* of a state transfer that has begun to
change the datadir. It lies outside the datadir because a mariabackup transfer deletes
what it does not know there.

Files in ``stamp_dir``: ``stamp.json`` (written whole, atomically), ``views`` (appended to
by the notify script of the server and by the agent), ``taint`` (made by the transfer's own
script), ``lock``.
"""

from __future__ import annotations

import fcntl
import os
import secrets
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from galerist.files import fsync_directory, write_atomically
from galerist.model import Attempt, Identity, Malformed, View, dump, load

ADOPTED = "adopted-"
"""How the ids of runs begin that galerist did not start: their servers write no views down, the agent does."""


@dataclass(frozen=True, slots=True)
class Stamp:
    """The durable part. ``fresh``: galerist initialised the datadir, and it was never opened.

    ``held``: clients were let in while this disk was below the server, so it may hold what they were told of.
    """

    disk: str
    identity: Identity | None = None
    attempt: Attempt | None = None
    fresh: bool = False
    held: bool = False


@dataclass(frozen=True, slots=True)
class Seen:
    """One line of the view log: the server of ``run`` was in this view of ``generation``."""

    run: str
    primary: bool
    uuid: str
    view: View


class StampInUse(Exception):
    """Another agent holds the lock on this datadir."""


class StampStore:
    """Reads and writes the stamp of one datadir."""

    def __init__(self, directory: Path, owner: tuple[int, int] | None = None) -> None:
        """``owner``: uid and gid of the server, which appends to the view log and makes the taint."""
        self.directory = directory
        self._owner = owner
        self._lock: int | None = None

    @property
    def views_file(self) -> Path:
        return self.directory / "views"

    @property
    def taint_file(self) -> Path:
        return self.directory / "taint"

    def prepare(self) -> None:
        """Make the directory and the lock. Raises StampInUse, OSError."""
        self.directory.mkdir(parents=True, exist_ok=True)
        if self._owner is not None:
            os.chown(self.directory, *self._owner)
        lock = os.open(self.directory / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock)
            raise StampInUse(f"another galerist agent holds {self.directory / 'lock'}") from None
        self._lock = lock
        if not self.views_file.exists():
            self.views_file.touch()
        if self._owner is not None:
            os.chown(self.views_file, *self._owner)
        if not (self.directory / "stamp.json").exists():
            self.save(Stamp(disk=secrets.token_hex(8)))

    def release(self) -> None:
        """Let go of the lock."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def load(self) -> Stamp:
        """The stamp. Raises Malformed, OSError."""
        return load(Stamp, (self.directory / "stamp.json").read_text())

    def save(self, stamp: Stamp) -> None:
        """Write the stamp durably."""
        write_atomically(self.directory / "stamp.json", dump(stamp), mode=0o600)

    def renew(self) -> None:
        """Begin a new stamp, as on a new disk."""
        self.save(Stamp(disk=secrets.token_hex(8)))
        self.views_file.write_text("")
        self.cleanse()

    def change(self, **fields: object) -> Stamp:
        """Write the stamp with some fields changed."""
        stamp = replace(self.load(), **fields)  # type: ignore[arg-type]
        self.save(stamp)
        return stamp

    def tainted(self) -> bool:
        """Whether a state transfer has begun to change the datadir and is not known to be complete."""
        return self.taint_file.exists()

    def cleanse(self) -> None:
        """Remove the taint durably."""
        self.taint_file.unlink(missing_ok=True)
        fsync_directory(self.directory)

    def begin_run(self, run: str, generation: str) -> None:
        """Note durably that the next views belong to this run of the server and this generation."""
        self._trim()
        self.go_on(run, generation)

    def go_on(self, run: str, generation: str) -> None:
        """Note durably that from now on the views of a run belong to another generation (it is promoted in place)."""
        with self.views_file.open("a") as log:
            log.write(f"run {run} {generation}\n")
            log.flush()
            os.fsync(log.fileno())

    def note(self, run: str, uuid: str, seqno: int, members: Iterable[tuple[str, str, str]]) -> None:
        """Write a view durably, as the notify script does; ``members`` are uuid, name, incoming address."""
        text = ",".join("/".join(member) for member in members)
        with self.views_file.open("a") as log:
            log.write(f"view {run} {seqno} yes {uuid} {text} .\n")
            log.flush()
            os.fsync(log.fileno())

    def views(self) -> tuple[Seen, ...]:
        """All views in the log, oldest first."""
        return parse_views(self.views_file.read_text(errors="replace").splitlines())

    def current_run(self) -> tuple[str, str] | None:
        """The id and the generation of the last run of the server."""
        for line in reversed(self.views_file.read_text(errors="replace").splitlines()):
            if line.startswith("run ") and len(line.split()) == 3:
                _, run, generation = line.split()
                return run, generation
        return None

    def _trim(self) -> None:
        """Keep the log short. Runs between runs of the server only, when nobody appends."""
        lines = self.views_file.read_text(errors="replace").splitlines()
        if len(lines) <= 2000:
            return
        starts = [number for number, line in enumerate(lines) if line.startswith("run ")]
        keep = starts[-20] if len(starts) > 20 else starts[0] if starts else 0
        tail = lines[keep:]
        if len(tail) > 2000:  # one run saw very many views: its own first line and its newest ones
            tail = [line for line in tail[:-1000] if line.startswith("run ")] + tail[-1000:]
        write_atomically(self.views_file, "\n".join(tail) + "\n", mode=0o644, owner=self._owner)


def newest_recorded(seen: Iterable[Seen], identity: Identity | None) -> View | None:
    """The newest view of any run in a recorded generation: what a node that is in no Primary Component knows of the last."""
    ids = {generation.id for generation in identity.generations} if identity is not None else set()
    recorded = [entry for entry in seen if entry.primary and entry.view.generation in ids]
    return recorded[-1].view if recorded else None


def parse_views(lines: Iterable[str]) -> tuple[Seen, ...]:
    """The views in a view log. Lines that were cut short by a crash do not count."""
    found = []
    generations: dict[str, str] = {}
    for line in lines:
        words = line.split(" ")
        if words[0] == "run" and len(words) == 3:
            generations[words[1]] = words[2]
        elif words[0] == "view" and len(words) == 7 and words[6] == "." and words[1] in generations:
            _, run, seqno, primary, uuid, members, _ = words
            view = _members(generations[run], seqno, members)
            if view is not None:
                found.append(Seen(run, primary == "yes", uuid, view))
    return tuple(found)


def _members(generation: str, seqno: str, members: str) -> View | None:
    """A view from the form ``uuid/name/address,...`` of wsrep_notify_cmd.

    An arbitrator (garbd) stands among the members with an empty incoming address.
    """
    names: list[str] = []
    arbitrators: list[str] = []
    for member in filter(None, members.split(",")):
        parts = member.split("/", 2)
        if len(parts) != 3:
            return None
        (names if parts[2] else arbitrators).append(parts[1])
    try:
        return View(generation, int(seqno), tuple(sorted(names)), tuple(sorted(arbitrators)))
    except ValueError:
        return None


__all__ = ["Malformed", "Seen", "Stamp", "StampInUse", "StampStore", "parse_views"]
