"""``galerist version``: of every part on this machine."""

from __future__ import annotations

import platform
import re
import shutil
import subprocess

from galerist import __version__

_PROGRAMS = (("mariadbd", "--version"), ("mariadb-backup", "--version"), ("haproxy", "-v"), ("etcd", "--version"))


def versions() -> dict[str, str]:
    """Name and version of each part that is there, galerist first."""
    found = {"galerist": __version__, "python": platform.python_version()}
    for program, flag in _PROGRAMS:
        path = shutil.which(program) or shutil.which(program, path="/usr/sbin:/usr/local/sbin:/usr/bin")
        if path is None:
            continue
        try:
            run = subprocess.run([path, flag], capture_output=True, text=True, timeout=10, check=False)
        except (OSError, subprocess.TimeoutExpired):
            continue
        number = re.search(r"\d+\.\d+(\.\d+)?(-MariaDB)?", run.stdout + run.stderr)
        if number is not None:
            found[program] = number[0]
    return found


def version_command() -> int:
    """A line each."""
    for name, number in versions().items():
        print(f"{name} {number}")
    return 0
