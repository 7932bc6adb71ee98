"""scripts/setup: what it does when it has nothing to do, and what it says where it can do nothing."""

from __future__ import annotations

import resource
import shutil
import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_nothing_is_missing_here_and_that_is_found_quickly() -> None:
    def used() -> float:
        mine = resource.getrusage(resource.RUSAGE_CHILDREN)
        return mine.ru_utime + mine.ru_stime

    before = used()
    run = subprocess.run([ROOT / "scripts/setup", "--check"], capture_output=True, text=True)
    assert (run.returncode, run.stdout, run.stderr) == (0, "", "")
    assert used() - before < 2.0, "seconds of a processor: other work on the machine does not count"


def test_make_says_what_it_can_do() -> None:
    output = subprocess.run(["make", "-C", ROOT, "--no-print-directory"], capture_output=True, text=True).stdout
    for target in ("setup", "up", "down", "test", "lint", "faults", "bench"):
        assert f"make {target} " in output


def test_without_apt_the_missing_programs_are_named(tmp_path: Path) -> None:
    """A machine with a shell and its tools only: no package manager's failure, but a list, and exit code 69."""
    for folder in ("bin", "scripts"):
        (tmp_path / folder).mkdir()
    for tool in ("bash", "dirname", "cat", "uname", "cksum", "cut", "sort", "tr", "id"):
        (tmp_path / "bin" / tool).symlink_to(shutil.which(tool) or tool)
    text = (ROOT / "scripts/setup").read_text()
    standard = "PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin"
    assert standard in text
    script = tmp_path / "scripts/setup"
    script.write_text(text.replace(standard, ":"))
    command = [tmp_path / "bin/bash", script]
    run = subprocess.run(command, env={"PATH": str(tmp_path / "bin")}, capture_output=True, text=True, cwd=tmp_path)
    assert run.returncode == 69, run.stderr
    for program in ("mariadbd", "haproxy", "etcd", "socat", "python3 (3.11 or newer)"):
        assert f"\n  {program} " in run.stderr
    assert "apt" not in run.stderr
    assert not (tmp_path / ".venv").exists()
