"""One HAProxy in master-worker mode: started or adopted, reloaded, watched, stopped.

"Written" is not "applied": a configuration counts as applied when the running worker has
every server that it names, or a worker that did not exist before answers for it. The last
one that did is kept, and stays in force when a new one cannot be used. HAProxy outlives a watcher that is killed; the next watcher
finds it by its master socket, and adopts it.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import os
import re
import signal
import subprocess
import time
from collections.abc import Callable, Collection
from pathlib import Path

from galerist.files import write_atomically
from haproxy import control
from haproxy.control import Mute, Processes, ask, read_states
from haproxy.render import blame
from haproxy.runtime import Patience, Runtime, layout
from haproxy.sessions import leftovers
from haproxy.states import state_file

log = logging.getLogger("haproxy")

_WAIT = Path(__file__).with_name("templates") / "wait.lua"
_START = 15.0  # s: for a start or a reload; ours take 0.1 s, a busy machine may need longer
_LOG_LIMIT = 4 << 20  # bytes of HAProxy's own messages that are kept
_ALERT = re.compile(r"^\[ALERT\]\s+\(\d+\) : (?P<text>.*)$", re.M)
_BUSY = re.compile(r"cannot bind socket \(Address already in use\)[^\[]*\[(?P<place>.*)\]")


class Refused(Exception):
    """HAProxy does not take this configuration; what ran before still runs."""


class Haproxy:
    """The HAProxy whose files are in ``folder``. For use by one thread."""

    def __init__(self, binary: Path, folder: Path, patience: Patience = Patience()) -> None:  # noqa: B008 - frozen
        self._binary = binary
        self.config = folder / "haproxy.cfg"
        self.good = folder / "haproxy.cfg.good"
        self.rejected = folder / "haproxy.cfg.rejected"
        self._trial = folder / "haproxy.cfg.trial"
        self.states = folder / "servers.state"
        self.admin = folder / "admin.sock"
        self._folder = folder
        self._master_socket = folder / "master.sock"
        self._pidfile = folder / "master.json"
        self._log = folder / "haproxy.log"
        self._wait: str | None = None
        self._read = 0  # of the log
        self._child: subprocess.Popen[bytes] | None = None
        self._master: tuple[int, int] | None = None  # pid, start time in clock ticks after boot
        self.runtime = Runtime(self.admin, patience)
        self._patience = patience
        self.applied = ""  # the text that the running workers use
        self.reloads = 0

    def facts(self, write: bool = True) -> dict[str, object]:
        """What a template must be given of this HAProxy. The files it needs are written, if ``write``."""
        if self._wait is None:
            self._wait = self._furnish(write)
        return {
            "admin_socket": self.admin,
            "socket_mode": "600",
            "state_file": self.states,
            "wait_file": self._wait,
        }

    def _furnish(self, write: bool) -> str:
        """Lay down what lets new sessions wait, where this HAProxy knows Lua."""
        with contextlib.suppress(OSError, subprocess.TimeoutExpired):
            told = subprocess.run([str(self._binary), "-vv"], capture_output=True, text=True, timeout=_START).stdout
            if "Built with Lua" in told:
                return self._lay_down(write)
        return ""

    def _lay_down(self, write: bool) -> str:
        path = self._folder / "wait.lua"
        if write:
            write_atomically(path, _WAIT.read_text())
        return str(path)

    # -- is it there? ---------------------------------------------------------------------

    def running(self) -> bool:
        if self._child is not None and self._child.poll() is not None:
            self._child = None
        if self._master is not None and start_time(self._master[0]) != self._master[1]:
            self._master = None
        return self._master is not None

    def processes(self) -> Processes:
        """Raises :class:`Mute`."""
        return control.read_processes(ask(self._master_socket, "show proc"))

    def adopt(self) -> bool:
        """Take over the HAProxy that an earlier watcher left running, if there is one.

        One that does not answer is ended: its ports are needed.
        """
        self._read = self._log.stat().st_size if self._log.exists() else 0
        with contextlib.suppress(Mute):
            pid = self.processes().master
            self._master = (pid, start_time(pid) or 0)
            self._remember()
            self.applied = _text(self.good)
            return self.running()
        pid, started = self._remembered()
        if pid and start_time(pid) == started:
            log.warning("the HAProxy that was left running (pid %d) does not answer: it is ended", pid)
            self._master = (pid, started)
            self._kill(signal.SIGKILL)
        return False

    # -- configurations ---------------------------------------------------------------------

    def follow(self, text: str, elsewhere: Collection[str] = ()) -> str:
        """Change the servers of the running worker to those of ``text``; ``elsewhere`` are nodes that
        other proxies write to. Why that is not enough and a reload is needed, or nothing. Raises :class:`Mute`."""
        if reason := self.runtime.align(layout(text), layout(self.applied), elsewhere):
            return reason
        self.applied = text
        return ""

    def settle(self) -> bool:
        """Write what runs to the files, for the next start; True when there was something to write.
        It may run beside :meth:`follow`, not beside a start or a reload.

        Raises :class:`Refused` when HAProxy's check finds fault with it, OSError.
        """
        text = self.applied
        if not text or _text(self.config) == text == _text(self.good):
            return False
        if text != _text(self.good):
            write_atomically(self.rejected, text)
            if error := self.examine(self.rejected):
                raise self._refused(blame(error, str(self.rejected), text))
            self.rejected.unlink()
        write_atomically(self.states, state_file(layout(text), self._known_states()))
        write_atomically(self.config, text)  # whatever somebody's hand has written there
        write_atomically(self.good, text)
        self._reason_file().unlink(missing_ok=True)
        return True

    def replace(self, text: str) -> None:
        """Bring ``text`` into force by a start or a reload.

        Raises :class:`Refused`, with the error in words; then the last good one is in
        force, if there was one, and the refused one lies beside it as ``.rejected``.
        """
        running = self.running()
        write_atomically(self.rejected, text)
        if error := self.examine(self.rejected):
            raise self._refused(blame(error, str(self.rejected), text))
        known = self._known_states() if running else {}
        write_atomically(self.states, state_file(layout(text), known))
        self.rejected.replace(self.config)
        try:
            if running:
                self._reload()
            else:
                self._start()
        except Refused as error:
            self.config.replace(self.rejected)
            if good := self.applied if running else _text(self.good):
                write_atomically(self.config, good)
            raise self._refused(str(error)) from None
        self.reloads += running
        self.applied = text
        write_atomically(self.good, text)
        self._reason_file().unlink(missing_ok=True)

    def attempt(self, text: str) -> str:
        """What HAProxy's check finds wrong with ``text``, in words, or nothing. Raises OSError."""
        write_atomically(self._trial, text)
        try:
            return blame(self.examine(self._trial), str(self._trial), text)
        finally:
            self._trial.unlink(missing_ok=True)

    def apply(self, text: str) -> bool:
        """Bring ``text`` into force by the gentlest means; True when that was a start or a reload.
        Raises :class:`Refused`, :class:`Mute`."""
        if self.running() and not self.follow(text):
            return False
        self.replace(text)
        return True

    def revive(self) -> bool:
        """Start with the last good configuration, if there is one. Raises :class:`Refused`."""
        text = _text(self.good)
        if not text or self.running():
            return False
        write_atomically(self.config, text)
        write_atomically(self.states, state_file(layout(text), {}))
        self._start()
        self.applied = text
        return True

    def examine(self, path: Path) -> str:
        """What HAProxy's own check finds wrong with a file, or nothing."""
        command = [str(self._binary), "-c", "-f", str(path)]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=_START, cwd=self._folder)
        except subprocess.TimeoutExpired:
            return f"{' '.join(command)} has not ended after {_START:g} s"
        except OSError as error:
            return f"{self._binary} cannot be run: {error.strerror}"
        return "" if done.returncode == 0 else _alerts(done.stderr)

    def digest(self) -> str:
        """Names the configuration in force: the first 12 digits of its SHA-256."""
        return hashlib.sha256(self.applied.encode()).hexdigest()[:12] if self.applied else ""

    # -- sessions that no health check looks after -------------------------------------------

    def end_leftovers(self, processes: Processes) -> int:
        """End sessions of workers from before a reload that go to nodes out of service, or to
        a former writer. Returns how many. Raises :class:`Mute`."""
        ended = 0
        for worker in processes.old:
            found = control.read_sessions(ask(self._master_socket, f"@!{worker} show sess"))
            for session in leftovers(found, self.runtime.rows, self._patience.stop, self._patience.cut):
                ask(self._master_socket, f"@!{worker} shutdown session {session.id}")
                ended += 1
        return ended

    # -- its own words ----------------------------------------------------------------------

    def spoke(self) -> bool:
        """Whether there is something new for :meth:`messages`."""
        try:
            return self._log.stat().st_size > self._read
        except OSError:
            return False

    def messages(self) -> list[str]:
        """The lines that HAProxy has written since the last call."""
        try:
            with self._log.open("rb") as file:
                file.seek(self._read)
                data = file.read(_LOG_LIMIT)
        except FileNotFoundError:
            return []
        data = data[: data.rfind(b"\n") + 1]
        self._read += len(data)
        if self._read > _LOG_LIMIT:
            os.truncate(self._log, 0)  # HAProxy appends
            self._read = 0
        return data.decode(errors="replace").splitlines()

    # -- stop ---------------------------------------------------------------------------------

    def stop(self, grace: float = 2.0) -> None:
        """No new sessions at once; those that are left end after ``grace`` seconds."""
        if self.running() and not (self._kill(signal.SIGUSR1, grace) or self._kill(signal.SIGTERM, 5.0)):
            self._kill(signal.SIGKILL)
        self._pidfile.unlink(missing_ok=True)

    def _kill(self, number: signal.Signals, patience: float = 5.0) -> bool:
        """Signal the master (SIGKILL: its whole group, workers too); True when it has ended."""
        if self._master is None:
            return True
        pid = self._master[0]
        with contextlib.suppress(ProcessLookupError):
            if number is signal.SIGKILL and os.getpgid(pid) == pid:
                os.killpg(pid, number)
            else:
                os.kill(pid, number)
        return until(lambda: not self.running(), patience)

    # -- start, reload --------------------------------------------------------------------

    def _start(self) -> None:
        begin = self._log.stat().st_size if self._log.exists() else 0
        environment = {name: value for name, value in os.environ.items() if name != "NOTIFY_SOCKET"}
        with self._log.open("ab") as output:
            self._child = subprocess.Popen(
                [str(self._binary), "-W", "-S", f"{self._master_socket},level,admin,mode,600", "-f", str(self.config)],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                cwd=self._folder,
                env=environment,
                start_new_session=True,  # a signal for the watcher's group is not for HAProxy
            )
        self._master = (self._child.pid, start_time(self._child.pid) or 0)
        self._remember()
        if not until(lambda: not self.running() or self._answers(()), _START) or not self.running():
            text = _alerts(self._log.read_bytes()[begin:].decode(errors="replace"))
            self._kill(signal.SIGKILL)
            raise Refused(text)

    def _reload(self) -> None:
        begin = self._log.stat().st_size if self._log.exists() else 0
        try:
            before = self.processes()
            with contextlib.suppress(Mute):  # the master closes its socket as it replaces itself
                ask(self._master_socket, "reload")
            over = until(lambda: not self.running() or self._answers(before.alive) or self._failed(before), _START)
        except Mute as error:
            raise Refused(str(error)) from error
        if not over or not self._answers(before.alive):
            raise Refused(_alerts(self._log.read_bytes()[begin:].decode(errors="replace")))

    def _answers(self, former: tuple[int, ...]) -> bool:
        """A worker that is none of ``former`` has taken over, and says so itself."""
        try:
            fresh = [pid for pid in self.processes().workers if pid not in former]
            return any(f"Pid: {pid}" in ask(self.admin, "show info").splitlines() for pid in fresh)
        except Mute:
            return False

    def _failed(self, before: Processes) -> bool:
        try:
            return self.processes().failed > before.failed
        except Mute:
            return False

    def _known_states(self) -> dict[tuple[str, str], dict[str, str]]:
        try:
            return read_states(ask(self.admin, "show servers state"))
        except Mute:
            return {}

    # -- files ------------------------------------------------------------------------------

    def _refused(self, error: str) -> Refused:
        write_atomically(self._reason_file(), error + "\n")
        return Refused(error)

    def _reason_file(self) -> Path:
        return self.rejected.with_name(self.rejected.name + ".reason")

    def _remember(self) -> None:
        pid, started = self._master or (0, 0)
        write_atomically(self._pidfile, json.dumps({"pid": pid, "started": started}))

    def _remembered(self) -> tuple[int, int]:
        try:
            said = json.loads(self._pidfile.read_text())
            return int(said["pid"]), int(said["started"])
        except (OSError, ValueError, KeyError, TypeError):
            return 0, 0


def start_time(pid: int) -> int | None:
    """When the process started, in clock ticks after boot (proc(5)); None when there is none.

    With the pid it names a process for good; a pid alone may be given to another.
    """
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (OSError, ValueError):
        return None
    return None if fields[0] in "ZX" else int(fields[19])


def _alerts(text: str) -> str:
    """HAProxy's alerts in one line; a busy port in words of our own."""
    if busy := _BUSY.search(text):
        place, _, port = busy["place"].rpartition(":")
        return f"port {port} of {place} is in use by another program: stop that, or choose another port"
    lines = [match["text"].removeprefix("config : ").strip() for match in _ALERT.finditer(text)]
    told = [line for line in lines if not re.match(r"(Fatal errors|Error\(s\) found|\[.*\] )", line)]
    return "; ".join(told or lines) or " ".join(text.split())[-300:] or "HAProxy has not said why"


def until(condition: Callable[[], bool], patience: float) -> bool:
    """Wait, at most ``patience`` seconds, until it holds; whether it does."""
    deadline = time.monotonic() + patience
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except FileNotFoundError:
        return ""
