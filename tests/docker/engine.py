"""A dockerd of our own: its data, sockets and network namespace go when it ends."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import docker

ROOT = Path(__file__).parents[2]
START_TIME = 60.0  # s


class Engine:
    """One dockerd. ``environ`` leads command-line clients to it.

    It stands in a network namespace of its own, where its bridges and rules bother nobody. Without ``bridges`` it
    stands in the machine's network, and makes neither: so it can build images, but run nothing.
    """

    def __init__(self, *, bridges: bool = True) -> None:
        self.directory = Path(tempfile.mkdtemp(prefix="galerist-docker-"))
        self.socket = self.directory / "docker.sock"
        self.environ = {**os.environ, "DOCKER_HOST": f"unix://{self.socket}", "COMPOSE_DOCKER_CLI_BUILD": "0"}
        self.environ["DOCKER_BUILDKIT"] = "0"
        self._bridges = bridges
        self._namespace = self.directory.name
        self._process: subprocess.Popen[bytes] | None = None
        self.client: Any = None

    def __enter__(self) -> Engine:
        try:
            if self._bridges:
                self.run("ip", "netns", "add", self._namespace)
                self.inside(("ip", "link", "set", "lo", "up")).wait()
            self._start()
            return self
        except BaseException:
            self.close()
            raise

    def __exit__(self, *_: object) -> None:
        self.close()

    def load(self, images: BinaryIO) -> None:
        """Take in what `docker save` has written."""
        subprocess.run(["docker", "load", "-q"], stdin=images, env=self.environ, stdout=subprocess.DEVNULL, check=True)

    def run(self, *command: str, environ: Mapping[str, str] | None = None, timeout: float = 1500) -> str:
        """The output of a command that must succeed."""
        done = subprocess.run(
            command, env={**self.environ, **(environ or {})}, capture_output=True, text=True, timeout=timeout
        )
        assert done.returncode == 0, f"{' '.join(command)}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def inside(self, command: Sequence[str], **options: Any) -> subprocess.Popen[bytes]:
        """A process in the network of the engine."""
        return subprocess.Popen(["nsenter", f"--net=/run/netns/{self._namespace}", *command], **options)

    def _start(self) -> None:
        folder = self.directory
        command = ["dockerd", "--data-root", str(folder / "root"), "--exec-root", str(folder / "run")]
        command += ["--pidfile", str(folder / "pid"), "-H", f"unix://{self.socket}", "--log-level=warn"]
        with (folder / "dockerd.log").open("ab") as log:
            places: dict[str, Any] = {"stdout": log, "stderr": log, "stdin": subprocess.DEVNULL}
            if self._bridges:
                self._process = self.inside([*command, "--userland-proxy=false"], **places)
            else:
                command += ["--bridge=none", "--iptables=false", "--ip-forward=false", "--ip-masq=false"]
                self._process = subprocess.Popen(command, **places)
        end = time.monotonic() + START_TIME
        while True:
            try:
                self.client = docker.DockerClient(base_url=f"unix://{self.socket}", timeout=120)
                return
            except Exception:  # requests' and docker's own
                assert self._process.poll() is None, f"dockerd ended:\n{self.log()}"
                assert time.monotonic() < end, f"dockerd does not answer:\n{self.log()}"
                time.sleep(0.1)

    def log(self) -> str:
        return (self.directory / "dockerd.log").read_text(errors="replace")[-3000:]

    def close(self) -> None:
        if self.client is not None:
            with contextlib.suppress(Exception):  # what cannot be removed ends with dockerd
                for container in self.client.containers.list(all=True):
                    container.remove(force=True)
            self.client.close()
        if self._process is not None:
            self._process.send_signal(signal.SIGTERM)
            try:
                self._process.wait(60)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
            self._process = None
        if self._bridges:
            subprocess.run(["ip", "netns", "delete", self._namespace], stderr=subprocess.DEVNULL)
        mounts = [line.split()[1] for line in Path("/proc/mounts").read_text().splitlines()]
        for mount in sorted((one for one in mounts if one.startswith(str(self.directory))), reverse=True):
            subprocess.run(["umount", "-l", mount], stderr=subprocess.DEVNULL)
        shutil.rmtree(self.directory, ignore_errors=True)


def until(condition: Callable[[], Any], seconds: float, what: Callable[[], str] | str = "") -> Any:
    """The first true value of ``condition``; fails after ``seconds``, with the last error."""
    end = time.monotonic() + seconds
    while True:
        trouble: object = None
        try:
            if value := condition():
                return value
        except (docker.errors.APIError, AssertionError, OSError, ValueError, KeyError, IndexError) as error:
            trouble = error
        if time.monotonic() > end:
            raise AssertionError(f"not within {seconds:g} s: {what() if callable(what) else what} {trouble or ''}")
        time.sleep(0.3)
