"""What is refused before anything is started, and that it is told in one message."""

import fcntl
import os
import pwd
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from galerist.local import prepare, programs
from galerist.local.layout import Layout, LocalError
from galerist.local.ports import Claims, answers
from galerist.local.programs import Need, missing, needs


def test_a_strange_directory_is_not_touched(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(LocalError, match="was not made by `galerist up`") as caught:
        prepare.read_plan(Layout(tmp_path))
    assert caught.value.code == 78
    assert [entry.name for entry in tmp_path.iterdir()] == ["thesis.txt"]


def test_an_empty_or_absent_directory_will_do(tmp_path: Path) -> None:
    assert prepare.read_plan(Layout(tmp_path)) is None
    assert prepare.read_plan(Layout(tmp_path / "new")) is None


def test_a_start_that_was_cut_off_is_taken_up_again(tmp_path: Path) -> None:
    layout = Layout(tmp_path / "c")
    prepare.make_dir(layout, "")
    assert prepare.read_plan(layout) is None


def test_a_file_is_no_directory(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("")
    with pytest.raises(LocalError, match="is not a directory; choose another --dir"):
        prepare.read_plan(Layout(path))


def test_a_damaged_plan_names_the_remedy(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    layout.plan.write_text("{")
    with pytest.raises(LocalError, match="is damaged: .*galerist down --wipe"):
        prepare.read_plan(layout)


def test_all_bad_dumps_are_named_at_once(tmp_path: Path) -> None:
    good = tmp_path / "good.sql.gz"
    good.write_bytes(b"")
    with pytest.raises(LocalError) as caught:
        prepare.check_dumps((good, tmp_path / "absent.sql", Path("dump.zip")))
    assert str(caught.value).splitlines() == [
        f"--init-sql {tmp_path}/absent.sql: cannot be read (No such file or directory); name a readable file",
        "--init-sql dump.zip: not a name that ends in .sql, .sql.gz or .sql.zst",
    ]
    assert prepare.check_dumps((good,)) == (str(good),)


def test_missing_programs_are_named_together() -> None:
    there = {"mariadb", "ss", "rsync", "haproxy", "mysqld"}
    absent = missing(needs("rsync"), lambda name: name if name in there else None)
    assert [need.names[0] for need in absent] == ["mariadb-install-db", programs.PROVIDERS[0], "etcd"]
    text = programs.message(absent)
    assert text.splitlines()[0] == "these programs are missing or not in PATH:"
    assert "(Debian: galera-4)" in text and "(Debian: etcd-server)" in text
    assert "apt" not in text


def test_each_state_transfer_has_its_own_needs() -> None:
    def last(method: str) -> set[str]:
        return {need.names[0] for need in needs(method)}

    assert last("mariabackup") - last("rsync") == {"mariadb-backup", "socat"}
    assert last("rsync") - last("mariabackup") == {"rsync"}
    assert {need.names[0] for need in needs("rsync", tls=True)} - last("rsync") == {"stunnel"}


def test_programs_are_found_by_name_and_by_place(tmp_path: Path) -> None:
    program = tmp_path / "etcd"
    program.write_text("#!/bin/sh\n")
    assert programs.find("etcd", str(tmp_path)) is None  # not executable
    program.chmod(0o755)
    assert programs.find("etcd", str(tmp_path)) == str(program)
    assert programs.find(str(program), "") == str(program)
    assert missing((Need(("a", str(program)), "", ""),), lambda name: programs.find(name, "")) == ()


def test_the_command_says_what_is_missing_and_exits_69(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from galerist.local import programs, up\n"
        "programs.needs = lambda method, tls: (programs.Need(('no-such-etcd',), 'the registry', 'etcd-server'),)\n"
        "sys.exit(up.up(nodes=1, dir=Path(sys.argv[1]), detach=True))"
    )
    run = subprocess.run([sys.executable, "-c", code, str(tmp_path / "c")], capture_output=True, text=True, check=False)
    assert run.returncode == 69
    assert "no-such-etcd  the registry (Debian: etcd-server)" in run.stderr
    assert "Traceback" not in run.stderr
    assert not (tmp_path / "c").exists()


def test_a_directory_that_the_server_cannot_reach_is_named() -> None:
    user = "nobody" if os.geteuid() == 0 else pwd.getpwuid(os.geteuid()).pw_name
    with tempfile.TemporaryDirectory(dir="/tmp") as top:
        Path(top).chmod(0o755)
        shut = Path(top) / "shut"
        (shut / "inner").mkdir(parents=True)
        prepare.check_reachable(shut / "inner", user)
        shut.chmod(0o600)
        with pytest.raises(LocalError, match=f"cannot get into {shut}, .* chmod o\\+x {shut}") as caught:
            prepare.check_reachable(shut / "inner", user)
        shut.chmod(0o700)
        assert caught.value.code == 78


def test_the_lock_is_held_by_one(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    prepare.make_dir(layout, "")
    first = prepare.lock(layout)
    assert first is not None
    assert prepare.lock(layout, 0.2) is None
    fcntl.flock(first, fcntl.LOCK_UN)
    second = prepare.lock(layout)
    assert second is not None
    os.close(first)
    os.close(second)


def listener() -> socket.socket:
    server = socket.socket()
    server.bind(("127.0.0.1", 0))
    server.listen()
    return server


def test_a_port_where_somebody_listens_is_not_taken(tmp_path: Path) -> None:
    with listener() as server:
        port = server.getsockname()[1]
        claims = Claims(Layout(tmp_path))
        assert not claims.take(port)
        assert answers(port)
    assert not answers(port)
    assert claims.take(port)
    claims.close()


def test_two_clusters_never_claim_the_same_port(tmp_path: Path) -> None:
    with listener() as server:
        port = server.getsockname()[1]
    first, second = Claims(Layout(tmp_path / "a")), Claims(Layout(tmp_path / "b"))
    assert first.take(port) and first.take(port)
    assert not second.take(port)
    first.keep(set())
    assert second.take(port)
    second.close()


def test_a_port_of_our_own_orphan_counts_as_free(tmp_path: Path) -> None:
    code = (
        "import socket, sys; s = socket.socket(); s.bind(('127.0.0.1', 0)); s.listen()\n"
        "print(s.getsockname()[1], flush=True); sys.stdin.read()"
    )
    orphan = subprocess.Popen(
        [sys.executable, "-c", code], cwd=tmp_path, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        assert orphan.stdout is not None
        port = int(orphan.stdout.readline())
        claims, strange = Claims(Layout(tmp_path)), Claims(Layout(tmp_path / "other"))
        assert not strange.take(port)
        assert claims.take(port)
        claims.close()
    finally:
        orphan.communicate("")
