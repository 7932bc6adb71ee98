"""A dockerd of our own: its data, sockets and network namespace go when it ends.

It starts twice. First in the machine's network, without a bridge or a rule of iptables, to build
images; then in a network namespace of its own, where its bridges and rules bother nobody.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import docker

ROOT = Path(__file__).parents[2]
START_TIME = 60.0  # s


class Engine:
    """One dockerd. ``environ`` leads command-line clients to it."""

    def __init__(self, base: Path, directory: Path | None = None, more: Sequence[str] = ("etcd", "machine")) -> None:
        self.directory = directory or Path(tempfile.mkdtemp(prefix="galerist-docker-"))
        self.socket = self.directory / "docker.sock"
        self.environ = {**os.environ, "DOCKER_HOST": f"unix://{self.socket}", "COMPOSE_DOCKER_CLI_BUILD": "0"}
        self.environ["DOCKER_BUILDKIT"] = "0"
        self._base, self._more = base, more
        self._namespace = self.directory.name
        self._process: subprocess.Popen[bytes] | None = None
        self.client: Any = None

    @classmethod
    def attach(cls, directory: Path) -> Engine:
        """An engine that somebody else has started, and ends."""
        made = cls(Path(), directory)
        made.client = docker.DockerClient(base_url=f"unix://{made.socket}", timeout=120)
        return made

    def __enter__(self) -> Engine:
        try:
            self._prepare()
            return self
        except BaseException:
            self.close()
            raise

    def __exit__(self, *_: object) -> None:
        self.close()

    def _prepare(self) -> None:
        self._start((), ("--bridge=none", "--iptables=false", "--ip-forward=false", "--ip-masq=false"))
        self.run("docker", "import", str(self._base), "galerist-base")
        clone = self._clone()
        for target in ("proxy", "node"):
            self._build(clone, "images/Dockerfile", f"galerist-{target}", "--target", target)
        for name in self._more:
            self._build(clone, f"tests/docker/{name}.Dockerfile", f"galerist-{name}")
        self._stop()
        self.run("ip", "netns", "add", self._namespace)
        inside = ("nsenter", f"--net=/run/netns/{self._namespace}")
        self.run(*inside, "ip", "link", "set", "lo", "up")
        self._start(inside, ("--userland-proxy=false",))

    def _clone(self) -> Path:
        """A folder with what a clean clone would hold, were everything committed that git does not ignore."""
        folder = self.directory / "clone"
        listed = ("git", "-C", str(ROOT), "ls-files", "-z", "--cached", "--others", "--exclude-standard")
        for name in self.run(*listed).split("\0"):
            if (ROOT / name).is_file():  # it may have been deleted
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(ROOT / name, folder / name)
        return folder

    def _build(self, clone: Path, file: str, tag: str, *more: str) -> None:
        """Build an image, with the machine's network."""
        command = ["docker", "build", "--network=host", "--build-arg=BASE=galerist-base", "-q", "-t", tag, *more]
        self.run(*command, "-f", str(clone / file), str(clone))

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

    def _start(self, before: Sequence[str], flags: Sequence[str]) -> None:
        folder = self.directory
        command = [*before, "dockerd", "--data-root", str(folder / "root"), "--exec-root", str(folder / "run")]
        command += ["--pidfile", str(folder / "pid"), "-H", f"unix://{self.socket}", "--log-level=warn", *flags]
        with (folder / "dockerd.log").open("ab") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL)
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

    def _stop(self) -> None:
        if self.client is not None:
            self.client.close()
        if self._process is not None:
            self._process.send_signal(signal.SIGTERM)
            try:
                self._process.wait(60)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
            self._process = None

    def close(self) -> None:
        if self._process is not None:
            with contextlib.suppress(Exception):  # what cannot be removed ends with dockerd
                for container in self.client.containers.list(all=True):
                    container.remove(force=True)
        self._stop()
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


KEPT = "KEPT_DOCKER_ENGINE"
"""Names the folder of an engine that `python -m tests.docker` keeps running, to spare the building of images."""


@contextlib.contextmanager
def engine(more: Sequence[str] = ("etcd", "machine")) -> Iterator[Engine]:
    """The engine with the images of the repository and ``more``, the base image made by scripts/setup-docker."""
    if kept := os.environ.get(KEPT):
        yield Engine.attach(Path(kept))
        return
    with Engine(base_image(), more=more) as made:
        yield made


def base_image() -> Path:
    """A tar file with Debian 12, made by scripts/setup-docker where it is missing."""
    done = subprocess.run([ROOT / "scripts/setup-docker"], stdout=subprocess.PIPE, text=True, check=True)
    return Path(done.stdout.strip())
