"""Dumps are loaded by one node, once for the life of the cluster, when it has reached its size."""

from __future__ import annotations

import gzip
import shutil
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import zstandard

from tests.support.cluster import Cluster, galerist

ROWS = 6000


@pytest.fixture
def dumps(tmp_path: Path) -> tuple[Path, ...]:
    """Three dumps, each packed in another way; what they load twice stands there twice."""
    plain, packed, last = (tmp_path / name for name in ("schema.sql", "rows.sql.gz", "more.sql.zst"))
    plain.write_text(
        "CREATE TABLE app.loaded (word VARCHAR(200), source VARCHAR(10), id INT AUTO_INCREMENT PRIMARY KEY);\n"
        "INSERT INTO app.loaded (word, source) VALUES ('first', 'plain');\n"
        "SELECT REPEAT('much output ', 100000);\n"
    )
    # hard to compress, so that progress can be seen in the packed file as well
    rows = "".join(
        f"INSERT INTO loaded (word, source) VALUES ('{hash((1, n)) & (2**64 - 1):x}', 'gz');\n" for n in range(ROWS)
    )
    packed.write_bytes(gzip.compress(rows.encode()))
    last.write_bytes(zstandard.compress(b"INSERT INTO loaded (word, source) VALUES ('last', 'zst');\n"))
    return plain, packed, last


@pytest.fixture
def fresh(dumps: tuple[Path, ...]) -> Iterator[Cluster]:
    with Cluster(3, init_sql=dumps, settings={"ttl": 3.0}) as cluster:
        yield cluster


def counts(cluster: Cluster) -> dict[str, int]:
    rows = cluster.same_everywhere("SELECT source, COUNT(*) FROM loaded GROUP BY source ORDER BY source")
    return {str(source): int(count) for source, count in rows}


WANTED = {"plain": 1, "gz": ROWS, "zst": 1}


def test_the_dumps_are_loaded_once_when_the_third_node_has_joined(fresh: Cluster) -> None:
    three = fresh
    three.start("etcd", *three.nodes)
    # the third has given its word that nothing runs there, and then does nothing more: two nodes form
    three.until(lambda: "n1" in three.server_pids(), "the first node starts")
    three.signal("n3", signal.SIGSTOP)
    assert three.server_pid("n3") is None
    three.serving("n1", "n2")
    three.stays(lambda: three.init() is None, "nothing is loaded by two nodes", 3)
    three.signal("n3", signal.SIGCONT)

    seen, by = [], set()
    deadline = time.monotonic() + 120
    while True:
        record = three.init()
        if record is not None:
            seen.append((record.status, record.percent))
            by.add(record.by)
            if record.status != "running":
                break
        assert time.monotonic() < deadline, three.state()
        time.sleep(0.02)
    assert (record.status, record.percent, record.error) == ("done", 100, "")
    assert len(by) == 1
    progress = [percent for _, percent in seen]
    assert progress == sorted(progress) and any(0 < percent < 100 for percent in progress), progress
    three.serving()
    assert counts(three) == WANTED
    loaders = [node for node in three.nodes if "loading" in three.layout.log(node).read_text()]
    assert loaders == list(by)

    three.kill_everything()
    three.up()
    three.stays(lambda: counts(three) == WANTED, "a total outage does not load again", 3)
    record = three.init()
    assert record is not None and record.status == "done"

    three.stop(*three.nodes)
    three.kill("etcd")
    shutil.rmtree(three.layout.etcd)
    three.layout.etcd.mkdir(mode=0o700)
    three.up()
    three.until(lambda: three.init() is not None, "the record is written back", 30)
    record = three.init()
    assert record is not None and record.status == "done"
    three.stays(lambda: counts(three) == WANTED, "a registry that was emptied does not load again", 2)


def test_a_dump_that_fails_in_its_middle_is_shown_and_tried_again_by_order_only(tmp_path: Path) -> None:
    dump = tmp_path / "broken.sql"
    dump.write_text(
        "CREATE TABLE app.loaded (a INT PRIMARY KEY);\n"
        "INSERT INTO app.loaded VALUES (1);\n"
        "INSERT INTO app.absent VALUES (2);\n"
        "INSERT INTO app.loaded VALUES (3);\n"
    )
    with Cluster(1, init_sql=[dump]) as one:
        one.up()
        one.until(lambda: (record := one.init()) is not None and record.status != "running", "the load ends")
        record = one.init()
        assert record is not None
        assert (record.status, record.file) == ("failed", "broken.sql")
        assert record.error == "broken.sql: ERROR 1146 (42S02) at line 3: Table 'app.absent' doesn't exist"
        assert record.error in one.layout.log("n1").read_text()
        shown = galerist("load", "--dir", str(one.layout.dir))
        assert record.error in shown.stdout, shown.stdout + shown.stderr

        dump.write_text("INSERT INTO app.loaded VALUES (4);\n")
        one.stop("n1")
        one.up()
        one.stays(lambda: one.init() == record, "it is not tried again by itself", 3)
        assert one.sql("n1", "SELECT a FROM loaded") == ((1,),)

        ordered = galerist("load", "--retry", "--dir", str(one.layout.dir))
        assert ordered.returncode == 0, ordered.stderr
        one.until(lambda: (record := one.init()) is not None and record.status == "done", "the load is done")
        assert one.sql("n1", "SELECT a FROM loaded ORDER BY a") == ((1,), (4,))


def test_a_dump_is_not_loaded_over_tables_that_are_there(tmp_path: Path) -> None:
    """A cluster that was adopted, or one to whose settings the dump was added later."""
    dump = tmp_path / "schema.sql"
    dump.write_text("DROP TABLE IF EXISTS app.loaded;\nCREATE TABLE app.loaded (a INT PRIMARY KEY);\n")
    with Cluster(1) as one:
        one.up()
        one.sql("n1", "CREATE TABLE loaded (a INT PRIMARY KEY)")
        one.sql("n1", "INSERT INTO loaded VALUES (7)")
        one.stop("n1")
        one.own = {"n1": {"init_sql": [str(dump)]}}
        one.write_files()
        one.up()
        one.until(lambda: (record := one.init()) is not None and record.status == "failed", "it is refused")
        record = one.init()
        assert record is not None
        assert "app.loaded" in record.error
        assert one.sql("n1", "SELECT a FROM loaded") == ((7,),)
        ordered = galerist("load", "--retry", "--dir", str(one.layout.dir))
        assert ordered.returncode == 0, ordered.stderr
        one.until(lambda: (record := one.init()) is not None and record.status == "done", "it is loaded by order")
        assert one.sql("n1", "SELECT a FROM loaded") == ()


def test_a_load_that_dies_with_its_agent_is_shown_as_failed(tmp_path: Path) -> None:
    dump = tmp_path / "slow.sql"
    dump.write_text("CREATE TABLE app.loaded (a INT PRIMARY KEY);\nSELECT SLEEP(600);\n")
    with Cluster(1, init_sql=[dump], settings={"ttl": 3.0}) as one:
        one.up()
        one.until(lambda: (record := one.init()) is not None and record.file == "slow.sql", "the load begins")
        one.kill("n1")
        one.start("n1")
        one.until(lambda: (record := one.init()) is not None and record.status == "failed", "it is seen")
        record = one.init()
        assert record is not None and "n1 ended in the middle of the load" in record.error
        assert one.server_pid("n1") is not None
