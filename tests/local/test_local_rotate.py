"""Logs that are too long are kept once and begun anew, while their writers go on."""

from pathlib import Path

from galerist.local.rotate import rotate


def test_a_long_log_is_kept_once_and_its_writer_goes_on_at_the_new_end(tmp_path: Path) -> None:
    short, long = tmp_path / "etcd.log", tmp_path / "n1.log"
    short.write_bytes(b"a" * 10)
    long.with_name("n1.log.1").write_bytes(b"older")
    with long.open("ab", buffering=0) as writer:
        writer.write(b"x" * 101)
        assert rotate(tmp_path, longest=100) == [long]
        writer.write(b"new")
    assert long.read_bytes() == b"new"
    assert long.with_name("n1.log.1").read_bytes() == b"x" * 101
    assert short.read_bytes() == b"a" * 10
