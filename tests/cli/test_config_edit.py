"""`galerist config edit` with real editors, which are scripts here, on a real registry."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.etcd import Etcd


@pytest.fixture(scope="module")
def etcd() -> Iterator[str]:
    with Etcd() as started:
        yield started.url("etcd3")


@pytest.fixture
def registry(etcd: str) -> str:
    """Holds max_connections = 300 and long_query_time = 2 when a test begins."""
    assert galerist("config", "set", "max_connections=300", "long_query_time=2", "--registry", etcd).returncode == 0
    names = [name for name in shown(etcd) if name not in ("max_connections", "long_query_time")]
    assert not names or galerist("config", "unset", *names, "--registry", etcd).returncode == 0
    return etcd


def galerist(*words: str, **environ: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "galerist", *words]
    known = {key: value for key, value in os.environ.items() if key not in ("VISUAL", "EDITOR")}
    return subprocess.run(
        command, env=known | environ, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120
    )


def shown(url: str) -> dict[str, str]:
    run = galerist("config", "show", "--format", "json", "--registry", url)
    found: dict[str, str] = json.loads(run.stdout)["mariadb"]
    return found


def events(url: str) -> list[str]:
    return galerist("history", "--registry", url).stdout.splitlines()


def edit(url: str, folder: Path, script: str, **environ: str) -> subprocess.CompletedProcess[str]:
    """The editor is a script of sh; $1 is the file, and what it was given at each time is kept in seen.<n>."""
    editor = folder / "editor"
    turn = f'n=$(ls {folder}/seen.* 2>/dev/null | wc -l); cp "$1" {folder}/seen.$n'
    editor.write_text(
        f"#!/bin/sh\n{turn}\nsleep 1.1  # an editor is seen to have saved by the time of the file\n{script}\n"
    )
    editor.chmod(0o755)
    run = galerist("config", "edit", "--registry", url, EDITOR=str(editor), TMPDIR=str(folder), **environ)
    assert "Traceback" not in run.stderr
    return run


def seen(folder: Path) -> list[str]:
    return [path.read_text() for path in sorted(folder.glob("seen.*"))]


def kept(run: subprocess.CompletedProcess[str]) -> str:
    found = re.search(r"your text is kept in (\S+)", run.stderr)
    assert found is not None, run.stderr
    return Path(found[1]).read_text()


def test_what_is_changed_added_and_removed_stands_in_the_registry_and_in_the_history(
    registry: str, tmp_path: Path
) -> None:
    run = edit(
        registry, tmp_path, 'sed -i -e "s/^max_connections.*/max-connections = 400/" -e "/^long_query/d" "$1"\n'
        'echo "wsrep_sync_wait=1" >> "$1"'
    )  # fmt: skip
    assert (run.returncode, run.stderr) == (0, "")
    assert shown(registry) == {"max_connections": "400", "wsrep_sync_wait": "1"}
    (given,) = seen(tmp_path)
    assert "max_connections = 300" in given and "# wsrep_sync_wait: " in given
    words = "A person set: long_query_time = not set, max_connections = 400, wsrep_sync_wait = 1."
    assert events(registry)[-1].endswith(words)


@pytest.mark.parametrize("script", ["true", 'touch "$1"', 'echo "# a thought" >> "$1"'])
def test_nothing_is_changed_by_a_text_that_says_the_same(registry: str, tmp_path: Path, script: str) -> None:
    before = events(registry)
    run = edit(registry, tmp_path, script)
    assert (run.returncode, run.stdout, run.stderr) == (0, "Nothing was changed.\n", "")
    assert events(registry) == before


def test_a_mistake_is_shown_in_the_editor_and_can_be_mended(registry: str, tmp_path: Path) -> None:
    run = edit(
        registry, tmp_path, 'if grep -q "cannot be taken" "$1"; then sed -i "s/= many/= 500/" "$1"\n'
        'else sed -i "s/^max_connections.*/max_connections = many/" "$1"; fi'
    )  # fmt: skip
    assert run.returncode == 0, run.stderr
    assert shown(registry)["max_connections"] == "500"
    _, again = seen(tmp_path)
    assert again.startswith("# This cannot be taken: max_connections") and "max_connections = many" in again


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("max_connections = many", "max_connections"),
        ("innodb_flush_log_at_trx_commit = 2", "loses commits"),
        ("nonsense", "not NAME=VALUE"),
    ],
)
def test_who_gives_up_on_a_mistake_loses_no_typing(registry: str, tmp_path: Path, line: str, why: str) -> None:
    before = shown(registry), events(registry)
    run = edit(registry, tmp_path, f'grep -q "^{line}" "$1" || echo {shlex.quote(line)} >> "$1"')
    assert run.returncode == 2 and len(run.stderr.splitlines()) == 1
    assert why in run.stderr and "Nothing was changed" in run.stderr
    assert line in kept(run) and "max_connections = 300" in kept(run)
    assert len(seen(tmp_path)) == 2, "the mistake was shown once"
    assert (shown(registry), events(registry)) == before


def test_what_somebody_else_sets_meanwhile_is_not_overwritten(registry: str, tmp_path: Path) -> None:
    other = shlex.join(
        [sys.executable, "-m", "galerist", "config", "set", "max_connections=777", "--registry", registry]
    )
    run = edit(registry, tmp_path, f'{other} >/dev/null\nsed -i "s/^long_query_time.*/long_query_time = 9/" "$1"')
    assert run.returncode == 1 and "changed while you decided" in run.stderr
    assert shown(registry)["max_connections"] == "777" and shown(registry)["long_query_time"].startswith("2")
    assert "long_query_time = 9" in kept(run)


@pytest.mark.parametrize("editor", ["false", "/nowhere/at/all"])
def test_an_editor_that_fails_is_one_line(registry: str, tmp_path: Path, editor: str) -> None:
    before = shown(registry)
    run = galerist("config", "edit", "--registry", registry, EDITOR=editor, TMPDIR=str(tmp_path))
    assert run.returncode == 1 and len(run.stderr.strip().splitlines()) == 1, run.stderr
    assert shown(registry) == before
