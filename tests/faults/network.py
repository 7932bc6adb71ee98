"""Hosts on one machine: a network namespace each, with an address of its own, on a bridge in a namespace of its own.

Nothing of it touches the machine's own network. Needs root.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

NETNS = Path("/run/netns")
CLONE_NEWNET = 0x40000000
SUBNET = "10.77.0"
PREFIX = "gfault"
RELAY = Path(__file__).with_name("relay.py")


class Needs(Exception):
    """The fault runs cannot be made here. The text says what they need."""


def require() -> None:
    """Raise Needs, with a sentence for people, where network namespaces cannot be made."""
    for program in ("ip", "nft", "etcd", "haproxy"):
        if _find(program) is None:
            raise Needs(f"the fault runs need the program {program}, which is not installed: make setup")
    if os.geteuid() != 0:
        raise Needs("the fault runs need root, to make network namespaces (ip netns) and to cut them: sudo make faults")
    name = f"{PREFIX}{os.getpid()}-try"
    made = subprocess.run(["ip", "netns", "add", name], capture_output=True, text=True, check=False)
    if made.returncode != 0:
        raise Needs(
            "the fault runs need the right to make network namespaces (CAP_SYS_ADMIN, CAP_NET_ADMIN): "
            f"`ip netns add` says: {made.stderr.strip()}"
        )
    try:
        rules = "table inet t { chain c { type filter hook input priority 0; numgen random mod 100 < 20 drop; }; }"
        tried = subprocess.run(
            ["ip", "netns", "exec", name, "nft", rules], capture_output=True, text=True, check=False
        )  # fmt: skip
        if tried.returncode != 0:
            raise Needs(f"the fault runs need nft with numgen in a network namespace: {tried.stderr.strip()}")
    finally:
        subprocess.run(["ip", "netns", "del", name], check=False)


def _find(program: str) -> str | None:
    return shutil.which(program, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")


def sweep() -> None:
    """Remove what a run that was itself killed has left: its namespaces, and all that runs in them."""
    if not NETNS.is_dir():
        return
    for entry in NETNS.iterdir():
        match = re.fullmatch(rf"{PREFIX}(\d+)-.+", entry.name)
        if match and not Path(f"/proc/{match[1]}").exists():
            _kill_inside(entry)
            subprocess.run(["ip", "netns", "del", entry.name], check=False)


def _inside(namespace: Path) -> list[int]:
    try:
        wanted = namespace.stat().st_ino
    except OSError:
        return []
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            with contextlib.suppress(OSError, IndexError):
                if (entry / "ns" / "net").stat().st_ino == wanted and state(int(entry.name)) not in "ZX":
                    found.append(int(entry.name))
    return sorted(found)


def state(pid: int) -> str:
    """The one-letter state of a process (``T`` is stopped, ``Z`` a zombie). Raises OSError."""
    return Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()[0]


def _kill_inside(namespace: Path) -> None:
    for _ in range(100):
        pids = _inside(namespace)
        if not pids:
            return
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.05)


class Network:
    """Hosts by name. All of it is gone after ``with``, also what runs in it."""

    def __init__(self, addresses: dict[str, str]) -> None:
        """``addresses``: the last number of each host's address."""
        self._tag = f"{PREFIX}{os.getpid()}-"
        self.addresses = {name: f"{SUBNET}.{last}" for name, last in addresses.items()}
        self._drops: dict[str, set[str]] = {}
        self._loss: dict[str, int] = {}
        self._relays: dict[str, subprocess.Popen[str]] = {}

    def namespace(self, host: str) -> str:
        return self._tag + host

    def __enter__(self) -> Network:
        try:
            _ip("netns", "add", self.namespace("bridge"))
            _ip("-n", self.namespace("bridge"), "link", "add", "br0", "type", "bridge", "forward_delay", "0")
            _ip("-n", self.namespace("bridge"), "link", "set", "br0", "up")
            for host, address in self.addresses.items():
                space = self.namespace(host)
                _ip("netns", "add", space)
                pair = ("eth0", "netns", space, "type", "veth", "peer", "name", f"v-{host}")
                _ip("link", "add", *pair, "netns", self.namespace("bridge"))
                _ip("-n", self.namespace("bridge"), "link", "set", f"v-{host}", "master", "br0", "up")
                _ip("-n", space, "addr", "add", f"{address}/24", "dev", "eth0")
                for link in ("lo", "eth0"):
                    _ip("-n", space, "link", "set", link, "up")
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        for relay in self._relays.values():
            relay.kill()
            relay.communicate()
        for host in (*self.addresses, "bridge"):
            entry = NETNS / self.namespace(host)
            if entry.exists():
                _kill_inside(entry)
                subprocess.run(["ip", "netns", "del", entry.name], check=False)

    def move(self, addresses: dict[str, str]) -> None:
        """Give some hosts other addresses, all at once: they may change places."""
        for host in addresses:
            _ip("-n", self.namespace(host), "addr", "flush", "dev", "eth0")
        for host, address in addresses.items():
            _ip("-n", self.namespace(host), "addr", "add", f"{address}/24", "dev", "eth0")
            self.addresses[host] = address
        for host in self.addresses:
            _ip("-n", self.namespace(host), "neigh", "flush", "all")

    def command(self, host: str, *words: str) -> list[str]:
        """The command line that runs ``words`` on a host."""
        return ["ip", "netns", "exec", self.namespace(host), *words]

    @contextlib.contextmanager
    def standing_on(self, host: str) -> Iterator[None]:
        """This thread, and all that it starts, are on ``host`` for the time of the ``with``."""
        with Path("/proc/thread-self/ns/net").open() as home, (NETNS / self.namespace(host)).open() as there:
            _setns(there.fileno())
            try:
                yield
            finally:
                _setns(home.fileno())

    def pids(self, host: str) -> list[int]:
        """All living processes on a host."""
        return _inside(NETNS / self.namespace(host))

    # -- cutting -----------------------------------------------------------------------------

    def cut(self, source: str, target: str) -> None:
        """From now on nothing that ``source`` sends arrives at ``target``; the other way stays."""
        self._drops.setdefault(target, set()).add(self.addresses[source])
        self._apply(target)

    def part(self, these: Iterable[str], those: Iterable[str]) -> None:
        """Nothing gets through between two sets of hosts."""
        these, those = list(these), list(those)
        for one in these:
            self._drops.setdefault(one, set()).update(self.addresses[other] for other in those)
            self._apply(one)
        for other in those:
            self._drops.setdefault(other, set()).update(self.addresses[one] for one in these)
            self._apply(other)

    def lose(self, host: str, percent: int) -> None:
        """Of what arrives at a host, so much is lost."""
        self._loss[host] = percent
        self._apply(host)

    def delay(self, host: str, seconds: float, jitter: float) -> None:
        """Everything that a host sends and receives arrives so much later, in order; connections go on."""
        if host in self._relays:
            return
        bridge = self.namespace("bridge")
        near, far = f"n-{host}", f"f-{host}"
        _ip("-n", bridge, "link", "add", near, "type", "veth", "peer", "name", far)
        _ip("-n", bridge, "link", "set", far, "master", "br0", "up")
        _ip("-n", bridge, "link", "set", near, "up")
        words = self.command("bridge", sys.executable, str(RELAY), f"v-{host}", near, str(seconds), str(jitter))
        relay = subprocess.Popen(
            words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True
        )
        assert relay.stdin is not None and relay.stdout is not None
        self._relays[host] = relay
        if relay.stdout.readline() != "ready\n":
            raise OSError(f"the relay before {host} does not begin")
        _ip("-n", bridge, "link", "set", f"v-{host}", "nomaster")
        relay.stdin.write("go\n")
        relay.stdin.flush()

    def _hasten(self) -> None:
        """End all delays."""
        for host, relay in self._relays.items():
            relay.kill()
            relay.communicate()
            _ip("-n", self.namespace("bridge"), "link", "del", f"n-{host}")
            _ip("-n", self.namespace("bridge"), "link", "set", f"v-{host}", "master", "br0")
        self._relays.clear()

    def unplug(self, host: str) -> None:
        """Take a host's interface down."""
        _ip("-n", self.namespace(host), "link", "set", "eth0", "down")

    def mend(self) -> None:
        """Everybody reaches everybody."""
        self._hasten()
        cut = {*self._drops, *self._loss}
        self._drops.clear()
        self._loss.clear()
        for host in sorted(cut):
            self._apply(host)
        for host in self.addresses:
            _ip("-n", self.namespace(host), "link", "set", "eth0", "up")

    def _apply(self, host: str) -> None:
        rules = ["table inet faults {}", "delete table inet faults"]
        drops, loss = sorted(self._drops.get(host, ())), self._loss.get(host, 0)
        if drops or loss:
            rules += ["table inet faults {", "chain input {", "type filter hook input priority 0; policy accept;"]
            rules += ['iifname "lo" accept']
            rules += [f"ip saddr {{ {', '.join(drops)} }} drop"] if drops else []
            rules += [f"numgen random mod 100 < {loss} drop"] if loss else []
            rules += ["}", "}"]
        subprocess.run(
            self.command(host, "nft", "-f", "-"), input="\n".join(rules) + "\n", text=True, check=True
        )  # fmt: skip


def _setns(descriptor: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.setns(descriptor, CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), "setns")


def _ip(*words: str) -> None:
    done = subprocess.run(["ip", *words], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise OSError(f"ip {' '.join(words)}: {done.stderr.strip()}")
