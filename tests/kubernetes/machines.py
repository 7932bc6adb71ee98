"""Machines of a cluster: each a kubelet with a containerd, in namespaces of its own.

The first process of a machine is PID 1 of a PID namespace: when it is killed, the kernel ends
everything on the machine at once, as when its power fails; its mounts, its network and what kubelet
writes into /proc/sys go with it. What would survive on a disk is kept, for :meth:`Machine.start`.
"""

from __future__ import annotations

import contextlib
import ctypes
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import yaml

from tests.docker.images import saved
from tests.kubernetes.cluster import START_TIME, ApiServer

CLONE_NEWNET = 0x40000000

SERVICES = "10.96.0.1"
"""The address of the API server for pods, as the Service `kubernetes` has it."""

NAMES = "10.96.0.10"
"""The address of the name server for pods."""

BRIDGE = "10.10.0"

# $1 is the machine's folder. /var/lib, /var/log and /run are the machine's own, and what kubelet sets of the kernel
# goes into files that hide the real ones
INIT = r"""
set -eu
mount -t tmpfs tmpfs /run
mkdir -p "$1/lib" "$1/log" "$1/sys"
mount --bind "$1/lib" /var/lib
mount --bind "$1/log" /var/log
for name in vm/overcommit_memory vm/panic_on_oom kernel/panic kernel/panic_on_oops kernel/keys/root_maxkeys kernel/keys/root_maxbytes; do
    cat /proc/sys/$name >"$1/sys/${name##*/}"
    mount --bind "$1/sys/${name##*/}" /proc/sys/$name
done
until ip link show eth0 >/dev/null 2>&1; do sleep 0.05; done
echo 1 >/proc/sys/net/ipv4/ip_forward
ip link set lo up
. "$1/network"
containerd --config "$1/containerd.toml" >>"$1/containerd.log" 2>&1 &
until [ -S /run/containerd/containerd.sock ]; do sleep 0.05; done
"$2" --config "$1/kubelet.yaml" --kubeconfig "$1/kubeconfig" --root-dir /var/lib/kubelet --hostname-override "$3" --node-ip "$4" \
    --container-runtime remote --container-runtime-endpoint unix:///run/containerd/containerd.sock >>"$1/kubelet.log" 2>&1 &
wait
"""

CONTAINERD = """
version = 2
root = "{root}"
state = "/run/containerd"
[plugins."io.containerd.grpc.v1.cri"]
sandbox_image = "galerist-pause:test"
restrict_oom_score_adj = true
disable_apparmor = true
[plugins."io.containerd.grpc.v1.cri".cni]
bin_dir = "/usr/lib/cni"
conf_dir = "{folder}/cni"
"""

CNI = """{{"cniVersion": "0.4.0", "name": "pods", "plugins": [{{"type": "bridge", "bridge": "pods0", "isGateway": true,
"ipam": {{"type": "host-local", "ranges": [[{{"subnet": "{subnet}.0/24"}}]], "routes": [{{"dst": "0.0.0.0/0"}}]}}}}]}}"""

# Takes the images from its standard input; $1 is the folder
STOCK = r"""
set -eu
mount -t tmpfs tmpfs /run
containerd --config "$1/containerd.toml" >"$1/containerd.log" 2>&1 &
until [ -S /run/containerd/containerd.sock ]; do sleep 0.05; done
ctr -n k8s.io images import - >/dev/null
kill $!
wait
"""

KUBELET = {
    "kind": "KubeletConfiguration",
    "apiVersion": "kubelet.config.k8s.io/v1beta1",
    "authentication": {"anonymous": {"enabled": True}, "webhook": {"enabled": False}},
    "authorization": {"mode": "AlwaysAllow"},
    "cgroupDriver": "cgroupfs",
    "clusterDNS": [NAMES],
    "clusterDomain": "cluster.local",
    "enforceNodeAllocatable": [],
    "evictionHard": {"memory.available": "100Mi"},
    "failSwapOn": False,
    "imageGCHighThresholdPercent": 100,
    "makeIPTablesUtilChains": False,
    "nodeStatusUpdateFrequency": "2s",
    "oomScoreAdj": 0,
    "resolvConf": "",
    "syncFrequency": "10s",
}


class Machine:
    """One machine; ``number`` sets it and its addresses apart, ``store`` holds its images (:func:`stock`)."""

    def __init__(self, server: ApiServer, number: int, store: Path) -> None:
        self.name, self.address, self.subnet = f"m{number}", f"{BRIDGE}.{10 + number}", f"10.244.{number}"
        self.folder = server.directory / self.name
        self._server, self._store = server, store
        self._init: subprocess.Popen[bytes] | None = None
        self._groups = [root / f"{server.directory.name}-{self.name}" for root in _cgroups()]

    def start(self) -> None:
        """Start it, or start it again."""
        self._write()
        for group in self._groups:
            group.mkdir(exist_ok=True)
        home = Path("/proc/thread-self/ns/net").readlink()
        command = ["unshare", "--net", "--mount", "--propagation=private", "--pid", "--fork", "--kill-child"]
        command += ["--mount-proc", "bash", "-c", INIT, self.name, str(self.folder)]
        command += [str(self._server.bin / "kubelet"), self.name, self.address]
        with (self.folder / "init.log").open("ab") as log:
            self._init = subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL)
        end = time.monotonic() + START_TIME
        while Path(f"/proc/{self._init.pid}/ns/net").readlink() == home:
            assert self._init.poll() is None and time.monotonic() < end, self.log()
            time.sleep(0.01)
        _ip("link", "add", self.name, "type", "veth", "peer", "name", "eth0", "netns", str(self._init.pid))
        _ip("link", "set", self.name, "master", "machines", "up")

    def stop(self) -> None:
        """Its power fails."""
        if self._init is None:
            return
        self._init.kill()  # unshare, which takes PID 1 with it
        self._init.wait()
        self._init = None
        end = time.monotonic() + START_TIME
        while any(_pids(group) for group in self._groups):
            assert time.monotonic() < end, f"{self.name}: processes survive: {self._groups}"
            time.sleep(0.05)

    @contextlib.contextmanager
    def off(self) -> Iterator[None]:
        """Without power meanwhile."""
        self.stop()
        try:
            yield
        finally:
            self.start()

    def close(self) -> None:
        self.stop()
        for group in self._groups:
            for folder in sorted(group.rglob("*/"), reverse=True):
                with contextlib.suppress(OSError):
                    folder.rmdir()
            with contextlib.suppress(OSError):
                group.rmdir()

    def log(self) -> str:
        """The ends of its logs."""
        files = (self.folder / f"{name}.log" for name in ("init", "containerd", "kubelet"))
        return "\n".join(f"{file}:\n{file.read_text(errors='replace')[-2500:]}" for file in files if file.exists())

    def _write(self) -> None:
        if not self.folder.exists():
            _copy(self._store, self.folder / "lib")
        (self.folder / "cni").mkdir(parents=True, exist_ok=True)
        (self.folder / "cni/pods.conflist").write_text(CNI.format(subnet=self.subnet))
        (self.folder / "containerd.toml").write_text(CONTAINERD.format(root="/var/lib/containerd", folder=self.folder))
        group = f"/{self._groups[0].name}"
        (self.folder / "kubelet.yaml").write_text(yaml.safe_dump({**KUBELET, "cgroupRoot": group}))
        shutil.copy(self._server.kubeconfig(), self.folder / "kubeconfig")
        network = [
            f"ip addr add {self.address}/24 dev eth0",
            "ip link set eth0 up",
            f"ip route add default via {BRIDGE}.1",
        ]
        (self.folder / "network").write_text("\n".join(network) + "\n")


def stock(folder: Path) -> Path:
    """Bring the images of the repository into a store of containerd, once for all machines: to unpack them takes long."""
    store = folder / "containerd"
    (folder / "containerd.toml").write_text(CONTAINERD.format(root=store, folder=folder))
    command = ["unshare", "--mount", "--propagation=private", "--pid", "--fork", "--kill-child", "--mount-proc"]
    with saved() as images:
        done = subprocess.run(
            [*command, "bash", "-c", STOCK, "stock", str(folder)], stdin=images, capture_output=True, text=True
        )
    assert done.returncode == 0, f"{done.stderr}\n{(folder / 'containerd.log').read_text()[-2000:]}"
    return store


def _copy(store: Path, lib: Path) -> None:
    """A store for one machine. Layers are only read, so links will do; the databases are its own."""
    lib.mkdir(parents=True)
    subprocess.run(["cp", "-al", store, lib / "containerd"], check=True)
    for file in (lib / "containerd").rglob("*.db"):
        data = file.read_bytes()
        file.unlink()
        file.write_bytes(data)


@contextlib.contextmanager
def network(machines: int) -> Iterator[None]:
    """This thread, and all that it starts, stand in a network of its own, to which machines are connected."""
    libc = ctypes.CDLL(None, use_errno=True)
    with Path("/proc/thread-self/ns/net").open() as home:
        if libc.unshare(CLONE_NEWNET) != 0:
            raise OSError(ctypes.get_errno(), "unshare")
        try:
            _ip("link", "set", "lo", "up")
            _ip("link", "add", "machines", "type", "bridge")
            for address in (f"{BRIDGE}.1/24", f"{SERVICES}/32", f"{NAMES}/32"):
                _ip("addr", "add", address, "dev", "machines")
            _ip("link", "set", "machines", "up")
            for number in range(1, machines + 1):
                _ip("route", "add", f"10.244.{number}.0/24", "via", f"{BRIDGE}.{10 + number}")
            with Path("/proc/sys/net/ipv4/ip_forward").open("w") as file:
                file.write("1")
            yield
        finally:
            libc.setns(home.fileno(), CLONE_NEWNET)


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True)


def _cgroups() -> list[Path]:
    """The roots of the hierarchies of control groups."""
    mounts = [line.split() for line in Path("/proc/mounts").read_text().splitlines()]
    return [Path(words[1]) for words in mounts if words[2] in ("cgroup", "cgroup2")]


def _pids(group: Path) -> list[str]:
    """The processes in a control group and below it."""
    found: list[str] = []
    for file in group.rglob("cgroup.procs"):
        with contextlib.suppress(OSError):
            found += file.read_text().split()
    return found
