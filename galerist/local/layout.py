"""Where everything of a local cluster lies below its directory DIR."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

# A unix socket's path has at most 107 bytes. The longest we expect below DIR is a socket of
# HAProxy while it is being replaced: /proxy/<name>.sock.<pid>.tmp.
LONGEST_DIR = 66


class LocalError(Exception):
    """`galerist up` or `galerist down` cannot do what it was asked for.

    The text is for people and names the remedy; ``code`` is the exit status
    (1 failed, 69 a program is missing, 78 something is set up wrongly).
    """

    def __init__(self, text: str, code: int = 1) -> None:
        super().__init__(text)
        self.code = code


@dataclass(frozen=True, slots=True)
class Layout:
    """The paths of one local cluster. ``dir`` is absolute, with no symbolic links."""

    dir: Path

    @property
    def marker(self) -> Path:
        """Says that this directory was made by `galerist up`, so that it may be wiped."""
        return self.dir / ".galerist"

    @property
    def plan(self) -> Path:
        return self.dir / "cluster.json"

    @property
    def settings(self) -> Path:
        """Settings for `galerist list` and its like: cluster and registry only."""
        return self.dir / "galerist.toml"

    @property
    def client(self) -> Path:
        return self.dir / "client.cnf"

    @property
    def run(self) -> Path:
        return self.dir / "run"

    @property
    def lock(self) -> Path:
        """Held (flock) by the supervisor, from before it starts until it has ended."""
        return self.run / "lock"

    @property
    def children(self) -> Path:
        """What the supervisor says about its children, for whoever shows progress."""
        return self.run / "children.json"

    @property
    def logs(self) -> Path:
        return self.dir / "logs"

    @property
    def tmp(self) -> Path:
        return self.dir / "tmp"

    @property
    def etcd(self) -> Path:
        return self.dir / "etcd"

    @property
    def proxy(self) -> Path:
        return self.dir / "proxy"

    @property
    def proxy_settings(self) -> Path:
        return self.proxy / "galerist.toml"

    @property
    def dashboard_settings(self) -> Path:
        return self.dir / "dashboard.toml"

    @property
    def tls(self) -> Path:
        """The authority and the certificates of a cluster with TLS; see galerist.deploy.tls.Places."""
        return self.dir / "tls"

    @property
    def made(self) -> tuple[Path, ...]:
        """All that `up` makes in DIR, but for the marker: what may be wiped. Whatever else is there is somebody's."""
        folders = (
            self.run,
            self.dir / "nodes",
            self.proxy,
            self.logs,
            self.etcd,
            self.dir / "secrets",
            self.tmp,
            self.tls,
        )
        return (*folders, self.plan, self.settings, self.client, self.dashboard_settings)

    def log(self, child: str) -> Path:
        return self.logs / f"{child}.log"

    def error_log(self, node: str) -> Path:
        return self.logs / f"{node}.mariadb.err"

    def secret(self, name: str) -> Path:
        return self.dir / "secrets" / f"{name}.password"

    def node(self, name: str) -> Path:
        return self.dir / "nodes" / name

    def node_settings(self, name: str) -> Path:
        return self.node(name) / "galerist.toml"

    def datadir(self, name: str) -> Path:
        return self.node(name) / "data"

    def sockets(self) -> Path:
        """A directory for unix sockets whose path is short enough, even where DIR's is not."""
        if len(os.fsencode(self.dir)) <= LONGEST_DIR:
            return self.run
        return Path("/tmp") / f"galerist-{hashlib.sha256(os.fsencode(self.dir)).hexdigest()[:12]}"

    def haproxy(self) -> Path:
        return self.proxy if self.sockets() == self.run else self.sockets() / "proxy"


def default_dir(cluster: str, environ: Mapping[str, str], euid: int) -> Path:
    """DIR when none is given: below /var/lib for root, below XDG_STATE_HOME for others."""
    if euid == 0:
        return Path("/var/lib/galerist") / cluster
    state = environ.get("XDG_STATE_HOME", "")
    base = Path(state) if Path(state).is_absolute() else Path.home() / ".local/state"
    return base / "galerist" / cluster


def locate(dir: Path | None, cluster: str | None) -> Layout:
    """The layout for the arguments of `up` and `down`."""
    chosen = dir if dir is not None else default_dir(cluster or "galera", os.environ, os.geteuid())
    return Layout(Path(os.path.realpath(chosen)))
