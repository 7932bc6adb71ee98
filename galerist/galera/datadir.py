"""What a datadir holds, and whether a server has it open, without starting one."""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import struct
import time
from dataclasses import dataclass
from pathlib import Path

from galerist.files import write_atomically
from galerist.galera.positions import is_zero, parse_grastate
from galerist.galera.stamp import Stamp
from galerist.model import Data, Position

MARK = "made-by-galerist"
_PROVIDER_FILES = frozenset({"galera.cache", "grastate.dat", "gvwstate.dat", "sst_in_progress", "aria_log_control"})


@dataclass(frozen=True, slots=True)
class Found:
    """The result of :func:`inspect`. ``position`` is None when it has to be recovered."""

    data: Data
    position: Position | None = None
    problem: str | None = None


def inspect(datadir: Path, stamp: Stamp, tainted: bool) -> Found:
    """Look at a datadir that no server has open. Changes nothing, and never raises OSError."""
    try:
        if not datadir.exists():
            return Found(Data.EMPTY)
        if not datadir.is_dir():
            return Found(Data.UNREADABLE, problem=f"{datadir} is not a directory")
        names = {entry.name for entry in datadir.iterdir()} - {"lost+found"}
        if tainted:
            return Found(Data.TAINTED, problem="a state transfer into it was cut off")
        if stamp.fresh and stamp.identity is None and _made_for(datadir, stamp):
            return Found(Data.EMPTY)  # initialised by galerist for a bootstrap that was never recorded
        if "mysql" not in names:
            ours = stamp.identity is not None or stamp.attempt is not None
            if not names or (ours and "ibdata1" not in names) or names <= _PROVIDER_FILES:
                return Found(Data.EMPTY)  # at most what a join leaves that ended before the transfer began
            return Found(
                Data.UNREADABLE,
                problem=f"{datadir} is not empty, but holds no system tables (found: {', '.join(sorted(names)[:3])})",
            )
        if stamp.identity is None and stamp.attempt is None and ("sst_in_progress" in names or ".sst" in names):
            # Not from under our eyes, so there is no taint of ours: MariaDB's own mark is all there is.
            return Found(Data.TAINTED, problem="a state transfer into it was cut off (sst_in_progress)")
        if "grastate.dat" not in names:
            return Found(Data.PRESENT)
        state = parse_grastate((datadir / "grastate.dat").read_text(errors="replace"))
    except OSError as error:
        return Found(Data.UNREADABLE, problem=f"cannot read {error.filename or datadir}: {error.strerror}")
    if state is None or state.seqno < 0 or is_zero(state):
        return Found(Data.PRESENT)
    return Found(Data.PRESENT, state)


def begun_from(datadir: Path, stamp: Stamp) -> Position | None:
    """Where the bootstrap began that the stamp tells of, for a datadir whose InnoDB knows no position. None: it is no such case.

    A server that begins a Primary Component writes "no position" into InnoDB, and then its first view (MariaDB 10.11:
    "Bootstrapping a new cluster, setting initial position to 00000000-0000-0000-0000-000000000000:-1"). Killed in between
    it has lost nothing but that number; ``grastate.dat`` still names the cluster. Raises OSError.
    """
    if stamp.attempt is None or stamp.attempt.position is None or not (datadir / "grastate.dat").exists():
        return None
    state = parse_grastate((datadir / "grastate.dat").read_text(errors="replace"))
    return stamp.attempt.position if state is not None and state.uuid == stamp.attempt.position.uuid else None


def mark(datadir: Path, stamp: Stamp) -> None:
    """Note durably, before anything else is in it, that galerist makes this datadir for this stamp. Data that somebody
    puts in its place have no such mark, and are no leftovers of a bootstrap that may be removed. Raises OSError."""
    write_atomically(datadir / MARK, stamp.disk + "\n", mode=0o644)


def _made_for(datadir: Path, stamp: Stamp) -> bool:
    try:
        return (datadir / MARK).read_text(errors="replace").strip() == stamp.disk
    except FileNotFoundError:
        return False


def opened_by(datadir: Path) -> int | None:
    """The pid of a process that has the datadir open, 0 if it cannot be told, None if there is none.

    Two signs, since each has a blind spot: InnoDB's lock on ``ibdata1`` is seen from other
    containers too, but does not stand during a state transfer; a mariadbd whose working
    directory is the datadir is found in /proc from its first moment.
    """
    try:
        target = datadir.stat()
    except OSError:
        return None
    for process in Path("/proc").iterdir():
        if not process.name.isdigit():
            continue
        try:
            where = (process / "cwd").stat()
            if (where.st_dev, where.st_ino) == (target.st_dev, target.st_ino) and _is_server(process):
                return int(process.name)
        except OSError:
            continue
    return _lock_holder(datadir / "ibdata1")


def wipe(datadir: Path) -> None:
    """Remove everything in a datadir, and keep itself. Raises OSError."""
    for entry in datadir.iterdir():
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        else:
            entry.unlink()


def check_movable(datadir: Path) -> None:
    """Raise OSError, with what to do, if :func:`set_aside` cannot rename this datadir."""
    if os.path.ismount(datadir) and not _vacant(datadir):
        text = (
            "is a mount point and cannot be renamed: end the agent, move all that is in it elsewhere, start the agent"
        )
        raise OSError(errno.EBUSY, text, str(datadir))


def set_aside(datadir: Path) -> Path | None:
    """Rename a datadir; where it is now, None if there was nothing in it. A link to a folder on another volume stays
    a link to a folder there. Raises OSError."""
    if not datadir.exists() or _vacant(datadir):
        return None
    place = Path(os.path.realpath(datadir))
    kept = place.rename(place.with_name(f"{place.name}.set-aside-{time.strftime('%Y%m%dT%H%M%S', time.gmtime())}"))
    if place != datadir:
        place.mkdir()
    return kept


def _vacant(datadir: Path) -> bool:
    return all(entry.name == "lost+found" for entry in datadir.iterdir())


def _is_server(process: Path) -> bool:
    if (process / "stat").read_text().rsplit(")", 1)[1].split()[0] == "Z":
        return False
    return (process / "comm").read_text().strip() in ("mariadbd", "mysqld")


def _lock_holder(path: Path) -> int | None:
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        # struct flock of 64-bit Linux: short type, short whence, off_t start, off_t len, pid_t pid
        asked = struct.pack("hhqqi4x", fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
        kind, _, _, _, pid = struct.unpack("hhqqi4x", fcntl.fcntl(descriptor, fcntl.F_GETLK, asked))
        return None if kind == fcntl.F_UNLCK else int(pid)
    finally:
        os.close(descriptor)
