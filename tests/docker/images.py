"""The images of the repository, and those that only tests use: built once for each state of what goes into them.

What has been built is kept as a tar file beside the base image, for the next suite and the next run.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import BinaryIO

from docker.utils import exclude_paths

from tests.docker.engine import ROOT, Engine

BASE = "galerist-base"
FILES = {
    "galerist-proxy": "images/Dockerfile",
    "galerist-node": "images/Dockerfile",
    "galerist-etcd": "tests/docker/etcd.Dockerfile",
    "galerist-machine": "tests/docker/machine.Dockerfile",
    "galerist-pause": "tests/kubernetes/pause.Dockerfile",
}
"""What each is built from, in the order of their building. Each has the tag ``test`` as well."""

KEPT = 2
"""So many states are kept, of 1 GB each."""


def base_image() -> Path:
    """A tar file with Debian 12, made by scripts/setup-docker where it is missing."""
    done = subprocess.run([ROOT / "scripts/setup-docker"], stdout=subprocess.PIPE, text=True, check=True)
    return Path(done.stdout.strip())


def saved() -> BinaryIO:
    """The images and the base image, as `docker save` writes them."""
    base = base_image()
    with (
        (base.parent / "images.lock").open("w") as lock,
        tempfile.TemporaryDirectory(prefix="galerist-clone-") as folder,
    ):
        fcntl.flock(lock, fcntl.LOCK_EX)  # who comes second finds what the first has built
        clone = Path(folder)
        _clone(clone)
        tar = base.parent / f"images-{_checksum(base, clone)}.tar"
        if not tar.exists():
            _build(base, clone, tar)
        os.utime(tar)
        for half in base.parent.glob("images-*.new"):  # the run that made it was killed
            half.unlink()
        for old in sorted(base.parent.glob("images-*.tar"), key=lambda file: file.stat().st_mtime)[:-KEPT]:
            old.unlink()  # who has opened it reads on
        return tar.open("rb")


def _clone(folder: Path) -> None:
    """What a clean clone would hold, were everything committed that git does not ignore."""
    listed = ["git", "-C", str(ROOT), "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    for name in subprocess.run(listed, stdout=subprocess.PIPE, text=True, check=True).stdout.split("\0"):
        if (ROOT / name).is_file():  # it may have been deleted
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)


def _checksum(base: Path, clone: Path) -> str:
    """Of all that an image may be made from: the base, what docker is sent, and how it is done."""
    patterns = (clone / ".dockerignore").read_text().splitlines()
    sent = {*exclude_paths(str(clone), patterns), *FILES.values(), str(Path(__file__).relative_to(ROOT))}
    made = hashlib.sha256(base.name.encode())
    for name in sorted(sent):
        file = clone / name
        if file.is_file():
            about = f"\0{name}\0{file.stat().st_mode:o}\0{file.stat().st_size}\0"
            made.update(about.encode() + file.read_bytes())
    return made.hexdigest()[:16]


def _build(base: Path, clone: Path, tar: Path) -> None:
    new = tar.with_suffix(".new")
    with Engine(bridges=False) as engine:
        engine.run("docker", "import", str(base), BASE)
        for image, file in FILES.items():
            command = ["docker", "build", "--network=host", f"--build-arg=BASE={BASE}", "-q", "-t", image]
            if file == "images/Dockerfile":
                command += ["--target", image.removeprefix("galerist-")]
            engine.run(*command, "-t", f"{image}:test", "-f", str(clone / file), str(clone))
        engine.run("docker", "save", "-o", str(new), BASE, *FILES)
    new.replace(tar)
