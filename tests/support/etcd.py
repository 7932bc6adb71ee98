"""Real etcd servers for tests: one or three members, TLS, users, freezing, restarting."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import shutil
import signal
import ssl
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import urllib3

from galerist.endpoints import Access, show
from tests.support.certificates import Certificates
from tests.support.ports import free_ports

START_TIME = 30.0  # s, generous: machines differ


class Member:
    """One etcd process. It keeps its ports and its data over restarts."""

    def __init__(self, name: str, directory: Path, host: str, extra: tuple[str, ...], tls: Certificates | None) -> None:
        self.name = name
        self.directory = directory
        self.host = host
        self.port, self.peer_port, self.metrics_port = free_ports(3, host)
        self.place = (host, self.port)
        self.peer_url = f"http://{show((host, self.peer_port))}"
        self._extra = extra
        self._tls = tls
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        assert self._process is not None, "not started"
        return self._process.pid

    def start(self, cluster: str) -> None:
        client_url = f"{'https' if self._tls else 'http'}://{show(self.place)}"
        command = ["etcd", "--name", self.name, "--data-dir", str(self.directory / self.name)]
        command += ["--listen-client-urls", client_url, "--advertise-client-urls", client_url]
        command += ["--listen-peer-urls", self.peer_url, "--initial-advertise-peer-urls", self.peer_url]
        command += ["--initial-cluster", cluster, "--initial-cluster-token", self.directory.name]
        command += ["--listen-metrics-urls", f"http://{show((self.host, self.metrics_port))}"]
        command += ["--heartbeat-interval", "50", "--election-timeout", "500", *self._extra]
        if self._tls:
            command += ["--cert-file", str(self._tls.server_cert), "--key-file", str(self._tls.server_key)]
            command += ["--trusted-ca-file", str(self._tls.ca), "--client-cert-auth"]
        with (self.directory / f"{self.name}.log").open("ab") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL)

    def wait(self) -> None:
        """Until the member is healthy, which includes that it knows a leader."""
        url = f"http://{show((self.host, self.metrics_port))}/health"
        end = time.monotonic() + START_TIME
        while time.monotonic() < end:
            with contextlib.suppress(urllib3.exceptions.HTTPError):
                answer = urllib3.request("GET", url, timeout=1.0, retries=False)
                if answer.status == 200 and answer.json()["health"] == "true":
                    return
            assert self._process is not None
            assert self._process.poll() is None, f"etcd ended:\n{self.log()}"
            time.sleep(0.02)
        raise AssertionError(f"etcd is not healthy after {START_TIME} s:\n{self.log()}")

    def has_leader(self) -> bool:
        """Whether the member knows of a leader."""
        url = f"http://{show((self.host, self.metrics_port))}/metrics"
        return "etcd_server_has_leader 1" in urllib3.request("GET", url, timeout=5.0).data.decode()

    def log(self) -> str:
        return (self.directory / f"{self.name}.log").read_text(errors="replace")[-3000:]

    def freeze(self) -> None:
        os.kill(self.pid, signal.SIGSTOP)
        while any(_state(thread) != "T" for thread in Path(f"/proc/{self.pid}/task").iterdir()):
            time.sleep(0.001)  # the kernel stops one thread after the other

    def thaw(self) -> None:
        os.kill(self.pid, signal.SIGCONT)

    @contextlib.contextmanager
    def frozen(self) -> Iterator[None]:
        self.freeze()
        try:
            yield
        finally:
            self.thaw()

    def kill(self) -> None:
        """End the process at once, like a crash."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None


def _state(thread: Path) -> str:
    """The letter by which the kernel names a thread's state; a thread that has just ended will do nothing more."""
    try:
        return (thread / "stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return "T"


class Etcd:
    """A cluster of ``size`` members in a temporary directory of its own.

    ``v2`` turns the v2 API on beside v3. ``tls`` makes clients show a certificate.
    """

    def __init__(
        self, *, size: int = 1, v2: bool = False, tls: Certificates | None = None, host: str = "127.0.0.1"
    ) -> None:
        self.directory = Path(tempfile.mkdtemp(prefix="galerist-etcd-"))
        self.tls = tls
        extra = ("--enable-v2",) if v2 else ()
        self.members = [Member(f"e{number}", self.directory, host, extra, tls) for number in range(1, size + 1)]
        self._cluster = ",".join(f"{member.name}={member.peer_url}" for member in self.members)

    def __enter__(self) -> Etcd:
        try:
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def start(self) -> None:
        for member in self.members:
            member.start(self._cluster)
        for member in self.members:
            member.wait()

    def restart(self, member: Member | None = None) -> None:
        """Start again what was killed, on the same ports and data."""
        chosen = self.members if member is None else [member]
        for one in chosen:
            one.start(self._cluster)
        for one in chosen:
            one.wait()

    def kill(self) -> None:
        for member in self.members:
            member.kill()

    def close(self) -> None:
        self.kill()
        shutil.rmtree(self.directory, ignore_errors=True)

    @contextlib.contextmanager
    def frozen(self) -> Iterator[None]:
        """All members stopped by SIGSTOP."""
        with contextlib.ExitStack() as stack:
            for member in self.members:
                stack.enter_context(member.frozen())
            yield

    def url(self, scheme: str) -> str:
        return f"{scheme}://{','.join(show(member.place) for member in self.members)}"

    def access(self, scheme: str, *, timeout: float = 1.0, **more: Any) -> Access:
        if self.tls:
            paths = {"ca": self.tls.ca, "cert": self.tls.client_cert, "key": self.tls.client_key}
            more = {"tls": True, **{name: str(path) for name, path in paths.items()}, **more}
        return Access(scheme, tuple(member.place for member in self.members), timeout=timeout, **more)

    def call(self, method: str, path: str, body: object, user: tuple[str, str] | None = None) -> Any:
        """A bare request to the first member, for what the registry's contract does not offer."""
        headers = {"Authorization": f"Basic {base64.b64encode(':'.join(user).encode()).decode()}"} if user else {}
        context = None
        if self.tls:
            context = ssl.create_default_context(cafile=self.tls.ca)
            context.load_cert_chain(self.tls.client_cert, self.tls.client_key)
        with urllib3.PoolManager(ssl_context=context, retries=False) as pool:
            url = f"{'https' if self.tls else 'http'}://{show(self.members[0].place)}{path}"
            answer = pool.request(method, url, json=body, headers=headers, timeout=10.0)
        assert answer.status < 300, (path, answer.status, answer.data)
        return json.loads(answer.data) if answer.data.strip() else None

    def enable_users(self, password: str) -> None:
        """From now on v3 lets in only root with ``password``."""
        self.call("POST", "/v3/auth/user/add", {"name": "root", "password": password})
        self.call("POST", "/v3/auth/role/add", {"name": "root"})
        self.call("POST", "/v3/auth/user/grant", {"user": "root", "role": "root"})
        self.call("POST", "/v3/auth/enable", {})

    def enable_users_v2(self, password: str) -> None:
        """The same for v2, which has users of its own."""
        self.call("PUT", "/v2/auth/users/root", {"user": "root", "password": password})
        self.call("PUT", "/v2/auth/enable", {})
        revoke = {"role": "guest", "revoke": {"kv": {"read": ["/*"], "write": ["/*"]}}}
        self.call("PUT", "/v2/auth/roles/guest", revoke, ("root", password))
