"""One mariadbd: its files, its start, its end. Everything here talks to the system.

No call waits for the server: long work (initialisation, recovery, start) runs in a child
process that the agent looks at in each pass.
"""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from galerist.files import write_atomically
from galerist.galera.positions import parse_recovered, user_xa
from galerist.model import Position

_SCRIPTS = ("notify", "taint", "mkdir", "rsync", "before-transfer", "path")


@dataclass(frozen=True, slots=True)
class Places:
    """Where the parts of one server are."""

    datadir: Path
    stamp_dir: Path
    run_dir: Path
    socket: Path
    error_log: Path
    mariadbd: str
    user: str

    @property
    def config(self) -> Path:
        return self.run_dir / "my.cnf"

    @property
    def bin(self) -> Path:
        return self.run_dir / "bin"

    @property
    def pid_file(self) -> Path:
        return self.run_dir / "mariadbd.pid"

    @property
    def notify(self) -> Path:
        return self.bin / "notify"


@dataclass(frozen=True, slots=True)
class Recovered:
    """The answer of ``--wsrep-recover``."""

    position: Position | None
    problem: str | None


class Process:
    """A running server: our child, or one that outlived its agent.

    ``born`` is its pid and when it was started (clock ticks after the boot, proc(5)): no other process has both.
    Raises ProcessLookupError or FileNotFoundError when it has just ended.
    """

    def __init__(self, pid: int, child: subprocess.Popen[bytes] | None) -> None:
        self.pid = pid
        self._child = child
        self._pidfd: int | None = os.pidfd_open(pid) if child is None else None
        self.born = f"{pid} {Path(f'/proc/{pid}/stat').read_text().rsplit(')', 1)[1].split()[19]}"

    def running(self) -> bool:
        """Whether it still runs; a zombie does not."""
        if self._child is not None:
            return self._child.poll() is None
        try:
            return Path(f"/proc/{self.pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z" and self._alive()
        except OSError:
            return False

    def written(self) -> int | None:
        """Bytes that it has written so far, to files or to disks (proc(5), io); None where it may not be asked, as by
        a root without CAP_SYS_PTRACE about another user's process."""
        try:
            lines = Path(f"/proc/{self.pid}/io").read_text().splitlines()
        except OSError:
            return None
        counts = {name: int(value) for name, _, value in (line.partition(":") for line in lines)}
        return counts["wchar"] + counts["write_bytes"]

    def _alive(self) -> bool:
        assert self._pidfd is not None
        try:
            signal.pidfd_send_signal(self._pidfd, 0)
        except ProcessLookupError:
            return False
        return True

    def signal(self, number: int) -> None:
        """Send a signal; to a process that is gone it is no error."""
        try:
            if self._child is not None:
                self._child.send_signal(number)
            else:
                assert self._pidfd is not None
                signal.pidfd_send_signal(self._pidfd, number)
        except ProcessLookupError:
            pass

    @property
    def exit_code(self) -> int | None:
        """The exit code of our own child, None for others or while it runs."""
        return self._child.poll() if self._child is not None else None


class Launcher:
    """Starts mariadbd and its tools as the unprivileged user of the server."""

    def __init__(self, places: Places) -> None:
        self.places = places
        entry = pwd.getpwnam(places.user)
        self.owner = (entry.pw_uid, entry.pw_gid)
        self._switch: dict[str, object] = {}
        if os.geteuid() == 0:
            self._switch = {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": [], "umask": 0o007}

    def prepare(self) -> None:
        """Make the folders and scripts of the server. Raises OSError."""
        places = self.places
        for folder in (places.run_dir, places.bin):
            folder.mkdir(parents=True, exist_ok=True)
            self.give(folder)
        places.error_log.parent.mkdir(parents=True, exist_ok=True)
        places.error_log.touch()
        self.give(places.error_log)
        from jinja2 import Environment, PackageLoader, StrictUndefined

        templates = Environment(
            loader=PackageLoader("galerist.galera", "templates"), undefined=StrictUndefined, keep_trailing_newline=True
        )
        for name in _SCRIPTS:
            text = templates.get_template(f"{name}.sh.j2").render(
                bin=places.bin,
                error_log=places.error_log,
                views=places.stamp_dir / "views",
                taint=places.stamp_dir / "taint",
                stamp_dir=places.stamp_dir,
                mkdir=shutil.which("mkdir") or "/bin/mkdir",
                rsync=shutil.which("rsync") or "/usr/bin/rsync",
            )
            write_atomically(places.bin / name, text, mode=0o755, owner=self.owner)

    def give(self, path: Path) -> None:
        """Make ``path`` belong to the server's user."""
        if os.geteuid() == 0:
            os.chown(path, *self.owner, follow_symlinks=False)

    def write_config(self, text: str) -> None:
        """Write the server's option file; it may hold the password of the state transfer."""
        write_atomically(self.places.config, text, mode=0o600, owner=self.owner if os.geteuid() == 0 else None)

    def make_datadir(self) -> None:
        """Make the datadir, and give it to the server. Raises OSError."""
        self.places.datadir.mkdir(parents=True, exist_ok=True)
        self.give(self.places.datadir)
        self.places.datadir.chmod(0o750)

    def initialise(self) -> subprocess.Popen[bytes]:
        """Begin to make the system tables in an empty datadir."""
        places = self.places
        program = shutil.which("mariadb-install-db") or "mariadb-install-db"
        return self._spawn(
            [
                program,
                f"--defaults-file={places.config}",
                "--wsrep-on=OFF",
                "--auth-root-authentication-method=socket",
                f"--auth-root-socket-user={places.user}",
                "--skip-test-db",
            ],
            places.run_dir / "initialise.log",
        )

    def recover(self) -> subprocess.Popen[bytes]:
        """Begin to ask InnoDB for the position (``--wsrep-recover``)."""
        log = self.places.run_dir / "recover.log"
        log.unlink(missing_ok=True)
        self._clear_leftovers()
        return self._spawn(
            [
                self.places.mariadbd,
                f"--defaults-file={self.places.config}",
                "--wsrep-recover",
                f"--log-error={log}",
                f"--pid-file={self.places.run_dir / 'recover.pid'}",
            ],
            self.places.run_dir / "recover.out",
        )

    def recovered(self, exit_code: int) -> Recovered:
        """Read what :meth:`recover` found."""
        try:
            log = (self.places.run_dir / "recover.log").read_text(errors="replace")
        except OSError as error:
            log = str(error)
        position = parse_recovered(log)
        if prepared := user_xa(log):
            return Recovered(position, f"{prepared} XA transaction(s) prepared by a user wait for COMMIT or ROLLBACK")
        if exit_code != 0 or position is None:
            errors = [line for line in log.splitlines() if "[ERROR]" in line]
            text = errors[0].split("[ERROR]", 1)[1].strip() if errors else f"exit code {exit_code}"
            return Recovered(None, f"recovery of its position failed: {text}")
        return Recovered(position, None)

    def start(self, run: str, position: Position | None, bootstrap: bool, full: bool) -> Process:
        """Start the server. ``full``: let the provider ask for a full state transfer."""
        self._clear_leftovers()
        self.places.datadir.mkdir(parents=True, exist_ok=True)
        self.give(self.places.datadir)
        command = [self.places.mariadbd, f"--defaults-file={self.places.config}"]
        if full:
            (self.places.datadir / "grastate.dat").unlink(missing_ok=True)
        elif position is not None:
            command.append(f"--wsrep_start_position={position}")
        if bootstrap:
            self._permit_bootstrap()
            command.append("--wsrep-new-cluster")
        child = self._spawn(command, self.places.run_dir / "mariadbd.out", {"GALERIST_RUN": run})
        return Process(child.pid, child)

    def _permit_bootstrap(self) -> None:
        """Override Galera's hint: all nodes that could know better have acknowledged this start."""
        state = self.places.datadir / "grastate.dat"
        if state.exists():
            text = state.read_text(errors="replace").replace("safe_to_bootstrap: 0", "safe_to_bootstrap: 1")
            write_atomically(state, text, mode=0o660, owner=self.owner if os.geteuid() == 0 else None)

    def _clear_leftovers(self) -> None:
        # gvwstate.dat lets Galera re-form behind our back, an empty one stops the server, and an
        # orphaned sst_in_progress makes it loop; whether a transfer was cut off is told by the taint.
        for name in ("gvwstate.dat", "sst_in_progress"):
            (self.places.datadir / name).unlink(missing_ok=True)

    def _spawn(
        self, command: Sequence[str], output: Path, environment: Mapping[str, str] | None = None
    ) -> subprocess.Popen[bytes]:
        path = os.environ.get("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
        base = {"PATH": f"{self.places.bin}:{path}:/usr/sbin:/sbin", "LC_ALL": "C", "TMPDIR": tempfile.gettempdir()}
        base["BASH_ENV"] = str(self.places.bin / "path")
        for name in ("LD_LIBRARY_PATH", "LD_PRELOAD", "MALLOC_ARENA_MAX"):
            if name in os.environ:
                base[name] = os.environ[name]
        output.unlink(missing_ok=True)
        # the folder belongs to the server's user: follow nothing that stands there
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        with os.fdopen(os.open(output, flags, 0o640), "wb") as sink:
            child: subprocess.Popen[bytes] = subprocess.Popen(
                list(command),
                stdin=subprocess.DEVNULL,
                stdout=sink,
                stderr=subprocess.STDOUT,
                env={**base, **(environment or {})},
                cwd="/",
                start_new_session=True,  # a Ctrl-C at the terminal is the agent's to handle
                **self._switch,  # type: ignore[call-overload]  # user, group and umask, only for root
            )
        return child


TRANSFER = ("wsrep_sst", "rsync", "socat", "mariabackup", "mariadb-backup", "mbstream")
"""Beginnings of the names of what a state transfer runs (as /proc has them)."""


def end_session(leader: int, names: tuple[str, ...] = ("",)) -> bool:
    """Kill what else runs in the session that a server leads or led, by beginnings of names. True if there was any.

    A server is started in a session of its own, so these are its helpers: a transfer's script,
    its socat or rsync. They would hold the transfer's port, and write into the datadir.
    """
    found = False
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            name, _, rest = (entry / "stat").read_text().partition("(")[2].rpartition(")")
            fields = rest.split()
            if int(fields[3]) == leader and int(entry.name) != leader and fields[0] != "Z" and name.startswith(names):
                os.kill(int(entry.name), signal.SIGKILL)
                found = True
        except (OSError, ValueError):
            continue  # gone meanwhile
    return found
