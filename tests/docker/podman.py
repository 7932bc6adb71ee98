"""podman behind its own socket, for what claims to work with it as well. Its data go when it ends."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import docker

from tests.docker.engine import Engine, until
from tests.docker.images import BASE, base_image

CONF = '[containers]\ndefault_ulimits = ["nofile=16384:16384", "nproc=4096:4096"]\n'
"""podman raises the limits of a container above those of the machine otherwise, and may not do so everywhere."""


class Podman:
    """`podman system service` in the network of an engine, whose like it is as far as `galerist discovery` goes."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.directory = Path(tempfile.mkdtemp(prefix="galerist-podman-"))
        self.socket = self.directory / "podman.sock"
        (self.directory / "containers.conf").write_text(CONF)
        self._process: subprocess.Popen[bytes] | None = None
        self.client: Any = None

    def command(self, *arguments: str) -> list[str]:
        """podman itself, without systemd."""
        places = {"root": "root", "runroot": "run", "tmpdir": "tmp", "network-config-dir": "networks"}
        flags = [f"--{flag}={self.directory / name}" for flag, name in places.items()]
        setting = f"CONTAINERS_CONF={self.directory / 'containers.conf'}"
        return ["env", setting, "podman", *flags, "--cgroup-manager=cgroupfs", "--events-backend=file", *arguments]

    def __enter__(self) -> Podman:
        with (self.directory / "podman.log").open("ab") as log:
            command = self.command("system", "service", "--time=0", f"unix://{self.socket}")
            self._process = self._engine.inside(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL)
        try:
            until(self._connected, 60, lambda: (self.directory / "podman.log").read_text())
            self._engine.run(*self.command("import", str(base_image()), BASE))
        except BaseException:
            self.close()
            raise
        return self

    def _connected(self) -> bool:
        with contextlib.suppress(docker.errors.DockerException):
            self.client = docker.DockerClient(base_url=f"unix://{self.socket}", timeout=120)
        return self.client is not None

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End its containers and itself."""
        if self.client is not None:
            self.client.close()
        subprocess.run(self.command("rm", "--all", "--force", "--time=0"), capture_output=True, timeout=120)
        if self._process is not None:
            self._process.terminate()
            self._process.wait(60)
        for about in Path("/proc").glob("[0-9]*/cmdline"):  # podman leaves a process for five minutes after each `exec`
            with contextlib.suppress(OSError):
                if str(self.directory).encode() in about.read_bytes():
                    os.kill(int(about.parent.name), signal.SIGKILL)
        mounts = [line.split()[1] for line in Path("/proc/mounts").read_text().splitlines()]
        for mount in sorted((one for one in mounts if one.startswith(str(self.directory))), reverse=True):
            subprocess.run(["umount", "-l", mount], stderr=subprocess.DEVNULL)
        shutil.rmtree(self.directory, ignore_errors=True)
