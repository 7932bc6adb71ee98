"""A real API server with its etcd and, where asked for, controllers; nothing of it outlives the tests."""

from __future__ import annotations

import contextlib
import datetime
import ipaddress
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from galerist.endpoints import Access
from tests.support.etcd import Etcd
from tests.support.ports import free_ports

ROOT = Path(__file__).parents[2]
START_TIME = 90.0  # s, generous: machines differ
ADMIN = "admin-token-of-these-tests"


class ApiServer:
    """kube-apiserver and, with ``controllers``, kube-controller-manager and kube-scheduler. It keeps port and data
    over restarts."""

    def __init__(self, bin: Path, *, controllers: bool = False, place: tuple[str, int] | None = None) -> None:
        self.bin, self._controllers = bin, controllers
        self.directory = Path(tempfile.mkdtemp(prefix="galerist-kubernetes-"))
        self.etcd = Etcd()
        self.place = place or ("127.0.0.1", free_ports(1)[0])
        self._processes: dict[str, subprocess.Popen[bytes]] = {}

    def __enter__(self) -> ApiServer:
        try:
            self.etcd.start()
            self._certificates()
            (self.directory / "tokens.csv").write_text(f"{ADMIN},admin,admin,system:masters\n")
            self.start()
            if self._controllers:
                self._start_controllers()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        for name in reversed(self._processes):
            self._processes[name].kill()
            self._processes[name].wait()
        self.etcd.close()
        shutil.rmtree(self.directory, ignore_errors=True)

    def _certificates(self) -> None:
        for name, usage in (("server", True), ("accounts", False)):
            key = ec.generate_private_key(ec.SECP256R1())
            path = self.directory / f"{name}.key"
            path.write_bytes(
                key.private_bytes(
                    serialization.Encoding.PEM,
                    serialization.PrivateFormat.TraditionalOpenSSL,
                    serialization.NoEncryption(),
                )
            )
            if not usage:
                continue
            now = datetime.datetime.now(datetime.UTC)
            subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "kubernetes of galerist's tests")])
            addresses = [x509.IPAddress(ipaddress.ip_address(one)) for one in ("127.0.0.1", "10.96.0.1")]
            made = (
                x509.CertificateBuilder()
                .subject_name(subject)
                .issuer_name(subject)
                .public_key(key.public_key())
                .serial_number(x509.random_serial_number())
                .not_valid_before(now - datetime.timedelta(hours=1))
                .not_valid_after(now + datetime.timedelta(days=2))
                .add_extension(x509.SubjectAlternativeName(addresses), critical=False)
                .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
                .sign(key, hashes.SHA256())
            )
            (self.directory / "server.crt").write_bytes(made.public_bytes(serialization.Encoding.PEM))

    def start(self) -> None:
        folder = self.directory
        self._run(
            "kube-apiserver",
            f"--etcd-servers=http://127.0.0.1:{self.etcd.members[0].port}",
            f"--bind-address={self.place[0]}",
            f"--secure-port={self.place[1]}",
            "--insecure-port=0",
            f"--tls-cert-file={folder}/server.crt",
            f"--tls-private-key-file={folder}/server.key",
            f"--token-auth-file={folder}/tokens.csv",
            f"--service-account-key-file={folder}/accounts.key",
            f"--service-account-signing-key-file={folder}/accounts.key",
            "--service-account-issuer=https://kubernetes.default.svc",
            "--authorization-mode=RBAC",
            "--service-cluster-ip-range=10.96.0.0/16",
            "--allow-privileged=true",
            "--kubelet-preferred-address-types=InternalIP",
            f"--cert-dir={folder}/certificates",
            "--disable-admission-plugins=ServiceAccount" if not self._controllers else "--v=0",
        )
        self.wait()

    def _start_controllers(self) -> None:
        self._run(
            "kube-controller-manager",
            f"--kubeconfig={self.kubeconfig()}",
            f"--service-account-private-key-file={self.directory}/accounts.key",
            f"--root-ca-file={self.directory}/server.crt",
            "--use-service-account-credentials=true",
            "--leader-elect=false",
            "--port=0",
            "--secure-port=0",
            "--node-monitor-period=1s",
            "--node-monitor-grace-period=10s",
        )
        config = f"--kubeconfig={self.kubeconfig()}"
        self._run("kube-scheduler", config, "--leader-elect=false", "--port=0", "--secure-port=0")

    def _run(self, program: str, *flags: str) -> None:
        with (self.directory / f"{program}.log").open("ab") as log:
            self._processes[program] = subprocess.Popen(
                [self.bin / program, *flags], stdout=log, stderr=log, stdin=subprocess.DEVNULL, cwd=self.directory
            )

    def wait(self) -> None:
        """Until the server is ready."""
        end = time.monotonic() + START_TIME
        process = self._processes["kube-apiserver"]
        while True:
            with contextlib.suppress(AssertionError):
                self.kubectl("get", "--raw=/readyz")
                return
            assert process.poll() is None, f"kube-apiserver ended:\n{self.log()}"
            assert time.monotonic() < end, f"kube-apiserver is not ready:\n{self.log()}"
            time.sleep(0.2)

    def log(self, program: str = "kube-apiserver") -> str:
        return (self.directory / f"{program}.log").read_text(errors="replace")[-4000:]

    # -- what is asked of it ---------------------------------------------------------------------

    def kubeconfig(self, token: str = ADMIN, namespace: str = "default", name: str = "admin", port: int = 0) -> Path:
        """A file with these credentials; written anew each time."""
        path = self.directory / f"{name}.kubeconfig"
        server = {
            "server": f"https://{self.place[0]}:{port or self.place[1]}",
            "certificate-authority": str(self.directory / "server.crt"),
        }
        path.write_text(
            yaml.safe_dump(
                {
                    "apiVersion": "v1",
                    "kind": "Config",
                    "clusters": [{"name": "c", "cluster": server}],
                    "users": [{"name": "u", "user": {"token": token}}],
                    "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u", "namespace": namespace}}],
                    "current-context": "x",
                }
            )
        )
        return path

    def kubectl(self, *arguments: str, input: str | None = None) -> str:
        """The output of a command that must succeed, as an administrator."""
        command = [self.bin / "kubectl", f"--kubeconfig={self.kubeconfig()}", *arguments]
        try:
            done = subprocess.run(command, input=input, capture_output=True, text=True, timeout=60)
        except subprocess.TimeoutExpired as error:
            raise AssertionError(f"kubectl {' '.join(arguments)}: no end within {error.timeout:g} s") from error
        assert done.returncode == 0, f"kubectl {' '.join(arguments)}:\n{done.stdout}{done.stderr}"
        return done.stdout

    def access(self, scheme: str = "k8s", *, timeout: float = 2.0, **more: Any) -> Access:
        """As tests.support.etcd.Etcd.access, so that the suite of the contract runs here too."""
        assert scheme == "k8s"
        kubeconfig = more.pop("kubeconfig", None) or str(self.kubeconfig())
        namespace = more.pop("namespace", "default")
        return Access(scheme, ((namespace, 0),), timeout=timeout, kubeconfig=kubeconfig, **more)

    # -- what is done to it ----------------------------------------------------------------------

    @property
    def members(self) -> list[ApiServer]:
        """As a registry of one member."""
        return [self]

    def freeze(self) -> None:
        self._processes["kube-apiserver"].send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self._processes["kube-apiserver"].send_signal(signal.SIGCONT)

    @contextlib.contextmanager
    def frozen(self) -> Iterator[None]:
        self.freeze()
        try:
            yield
        finally:
            self.thaw()

    def kill(self) -> None:
        self._processes["kube-apiserver"].kill()
        self._processes["kube-apiserver"].wait()

    def restart(self) -> None:
        self.start()


def binaries() -> Path:
    """The programs of Kubernetes, built by scripts/setup-kubernetes on the first call."""
    done = subprocess.run([ROOT / "scripts/setup-kubernetes"], stdout=subprocess.PIPE, text=True, check=True)
    return Path(done.stdout.strip())
