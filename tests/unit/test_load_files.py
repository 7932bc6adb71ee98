"""Dumps as they are read: packed or not, whole or cut off."""

from __future__ import annotations

import gzip
import lzma
import random
from pathlib import Path

import pytest
import zstandard

from bootstrap.load import blocks

TEXT = random.Random(1).randbytes(300_000).hex().encode()  # more than one block, and hard to compress


def packed(name: str) -> bytes:
    if name.endswith(".gz"):
        return gzip.compress(TEXT)
    if name.endswith(".xz"):
        return lzma.compress(TEXT)
    if name.endswith(".zst"):
        return zstandard.ZstdCompressor().compress(TEXT)
    return TEXT


def unpack(path: Path) -> bytes:
    with path.open("rb") as raw:
        return b"".join(blocks(path, raw))


@pytest.mark.parametrize("name", ["dump.sql", "dump.sql.gz", "dump.sql.xz", "dump.sql.zst"])
def test_a_dump_is_unpacked_as_its_name_says(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(packed(name))
    assert unpack(tmp_path / name) == TEXT


@pytest.mark.parametrize("name", ["dump.sql.gz", "dump.sql.xz", "dump.sql.zst"])
def test_a_file_of_several_parts_is_read_to_its_end(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(packed(name) + packed(name))
    assert unpack(tmp_path / name) == TEXT + TEXT


@pytest.mark.parametrize("name", ["dump.sql.gz", "dump.sql.xz", "dump.sql.zst"])
@pytest.mark.parametrize("missing", [1, 50_000])
def test_a_file_that_was_cut_off_is_no_whole_dump(tmp_path: Path, name: str, missing: int) -> None:
    (tmp_path / name).write_bytes(packed(name)[:-missing])
    with pytest.raises(EOFError, match="ended before"):
        unpack(tmp_path / name)


@pytest.mark.parametrize(
    ("name", "error"),
    [("dump.sql.gz", gzip.BadGzipFile), ("dump.sql.xz", lzma.LZMAError), ("dump.sql.zst", zstandard.ZstdError)],
)
def test_what_is_not_packed_is_an_error(tmp_path: Path, name: str, error: type[Exception]) -> None:
    (tmp_path / name).write_bytes(b"SELECT 1;\n")
    with pytest.raises(error):
        unpack(tmp_path / name)
