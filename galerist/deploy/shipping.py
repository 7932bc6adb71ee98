"""``galerist courier`` as a process: writes rsyslog's configuration, tries it, and keeps rsyslog running."""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import FrameType

from galerist.deploy.courier import complaints, courier, render
from galerist.files import write_atomically
from galerist.notify import notify
from galerist.settings import Settings
from galerist.wake import Wake

log = logging.getLogger("galerist.courier")

PAUSES = (0.5, 30.0)
"""Seconds before rsyslog is started again: at first, and at the longest; doubled each time."""

STEADY = 30.0
"""Seconds after which an rsyslog that ran so long is started again without delay."""

PATIENCE = 20.0
"""Seconds for rsyslog to end in order: it finishes the batch that it is sending."""

GIVEN_UP = b"DISABLING action"
"""What rsyslog says when it will send nothing any more until it is started anew: by RELP and TLS one store that cannot
prove itself, or that does not take our certificate, is enough. What waits on disk stays."""

FAILED, MISSING, CONFIGURATION = 1, 69, 78


def main(settings: Settings) -> int:
    """Ship until SIGTERM or SIGINT. Returns the exit code."""
    if not settings.courier_to:
        print("galerist: courier_to is not given; say where the logs go, for example relp://logs:2514", file=sys.stderr)
        return CONFIGURATION
    program = shutil.which("rsyslogd", path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")
    if program is None:
        print(
            "galerist: there is no program rsyslogd; install rsyslog, rsyslog-elasticsearch and rsyslog-relp",
            file=sys.stderr,
        )
        return MISSING
    folder = settings.courier_dir
    try:
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(0o700)
        config = folder / "rsyslog.conf"
        write_atomically(config, render(courier(settings)), mode=0o600)
    except OSError as error:
        print(f"galerist: {error.filename or folder}: {error.strerror}; choose another courier_dir", file=sys.stderr)
        return FAILED
    if problem := examine(program, config):
        print(f"galerist: rsyslog does not take its configuration: {problem}", file=sys.stderr)
        return CONFIGURATION
    return _run(program, config, folder)


def examine(program: str, config: Path) -> str:
    """What rsyslog finds wrong, "" if nothing."""
    tried = subprocess.run(
        [program, "-N1", "-f", str(config)], capture_output=True, text=True, timeout=60, stdin=subprocess.DEVNULL
    )
    said = "; ".join(complaints(tried.stderr))
    return said or (f"exit code {tried.returncode}" if tried.returncode else "")


def _run(program: str, config: Path, folder: Path) -> int:
    stop, wake = Wake(), Wake()

    def end(_number: int, _frame: FrameType | None) -> None:
        stop.set()
        wake.set()

    def look(_number: int, _frame: FrameType | None) -> None:
        wake.set()

    handlers = {signal.SIGTERM: end, signal.SIGINT: end, signal.SIGCHLD: look}
    former = {number: signal.signal(number, handler) for number, handler in handlers.items()}
    command = [program, "-n", "-f", str(config), "-i", str(folder / "rsyslogd.pid")]
    pause = PAUSES[0]
    try:
        notify(READY="1")
        while not stop.is_set():
            _end_former(folder)
            child = subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, cwd=folder)
            given_up = Wake()
            threading.Thread(target=_listen, args=(child, given_up, wake), name="rsyslog", daemon=True).start()
            began = time.monotonic()
            log.info("rsyslog runs (pid %d).", child.pid)
            while not (stop.is_set() or given_up.is_set()) and child.poll() is None:
                wake.clear()
                wake.wait(5.0)
            how = "has given up its store" if given_up.is_set() else f"ended (exit code {child.poll()})"
            if stop.is_set():
                _stop(child)
                break
            child.kill()  # an end in order would lose the line that it could not send
            child.wait()
            lasted = time.monotonic() - began
            pause = PAUSES[0] if lasted > STEADY else min(PAUSES[1], pause * 2)
            log.warning("rsyslog %s; it is started again in %.1f s.", how, pause)
            stop.wait(pause)
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)
    return 0


def _listen(child: subprocess.Popen[bytes], given_up: Wake, wake: Wake) -> None:
    """Pass on what rsyslog says, each thing once where it repeats itself, and hear from it that it has given up."""
    assert child.stderr is not None
    said = b""
    with child.stderr:
        for line in child.stderr:
            if line != said:
                sys.stderr.buffer.write(line)
                sys.stderr.flush()
            said = line
            if GIVEN_UP in line:
                given_up.set()
                wake.set()


def _stop(child: subprocess.Popen[bytes]) -> None:
    child.terminate()
    try:
        child.wait(PATIENCE)
    except subprocess.TimeoutExpired:
        log.warning("rsyslog does not end: it is killed. What it was sending is sent again at the next start.")
        child.kill()
        child.wait()


def _end_former(folder: Path) -> None:
    """End an rsyslog that outlived its courier: two on the same files would send everything twice."""
    with contextlib.suppress(OSError, ValueError):
        pid = int((folder / "rsyslogd.pid").read_text())
        words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        if os.fsencode(folder / "rsyslog.conf") not in words or pid == os.getpid():
            return
        handle = os.pidfd_open(pid)
        try:
            signal.pidfd_send_signal(handle, signal.SIGTERM)
            deadline = time.monotonic() + PATIENCE
            while Path(f"/proc/{pid}").exists() and time.monotonic() < deadline:
                time.sleep(0.1)
            signal.pidfd_send_signal(handle, signal.SIGKILL)
        finally:
            os.close(handle)
