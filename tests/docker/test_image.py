"""The image of the node by itself: the variables of the well-known images, and what it refuses."""

from __future__ import annotations

import contextlib
import gzip
import lzma
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import docker
import pytest

from tests.docker.engine import Engine, until

pytestmark = pytest.mark.docker

NETWORK = "galerist-image"

SCRIPTS = {
    "1.sql": b"CREATE TABLE steps (id INT AUTO_INCREMENT PRIMARY KEY, name VARCHAR(20)); INSERT INTO steps (name) VALUES ('sql');",
    "2.sh": b"""docker_process_sql <<< "INSERT INTO steps (name) VALUES ('sourced')"; mysql_note done""",
    "3.sql.gz": gzip.compress(b"INSERT INTO steps (name) VALUES ('gz');"),
    "4.sql.xz": lzma.compress(b"INSERT INTO steps (name) VALUES ('xz');"),
    "5.sh": b"""#!/bin/sh
mariadb -uroot -p"$MARIADB_ROOT_PASSWORD" shop -e "INSERT INTO steps (name) VALUES ('executed')"
""",
    "README": b"not for the database",
}


@pytest.fixture(scope="module")
def registry(engine: Engine) -> Iterator[str]:
    network = engine.client.networks.create(NETWORK)
    command = "etcd --listen-client-urls=http://0.0.0.0:2379 --advertise-client-urls=http://registry:2379"
    container = engine.client.containers.run(
        "galerist-etcd", command, detach=True, name="registry", hostname="registry", network=NETWORK
    )
    yield "etcd3://registry"
    container.remove(force=True, v=True)
    network.remove()


@pytest.fixture
def node(engine: Engine, registry: str) -> Iterator[Any]:
    """Starts a node, of which one is enough."""
    made: list[Any] = []

    def start(environ: dict[str, str], **more: Any) -> Any:
        settings = {"GALERIST_REGISTRY": registry, "GALERIST_EXPECT": "1", "GALERIST_NODE": "n1", **environ}
        settings.setdefault("GALERIST_CLUSTER", f"c{len(made)}")
        made.append(
            engine.client.containers.run(
                "galerist-node", detach=True, network=NETWORK, environment=settings, hostname="n1", **more
            )
        )
        return made[-1]

    yield start
    for container in made:
        with contextlib.suppress(docker.errors.NotFound):
            container.remove(force=True, v=True)


def ask(container: Any, statement: str, *options: str, password: str = "") -> str:
    code, output = container.exec_run(["mariadb", "-N", *options, "-e", statement], environment={"MYSQL_PWD": password})
    assert code == 0, output.decode()
    return str(output.decode()).strip()


def test_the_variables_of_the_well_known_images(node: Any) -> None:
    with tempfile.TemporaryDirectory(prefix="galerist-initdb-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        for file, text in SCRIPTS.items():
            (folder / file).write_bytes(text)
            (folder / file).chmod(0o755 if file == "5.sh" else 0o644)
        (folder / "app").write_text("app's\n")
        (folder / "app").chmod(0o644)
        container = node(
            {
                "MARIADB_ROOT_PASSWORD": "r'oot",
                "MYSQL_DATABASE": "shop",
                "MARIADB_USER": "app",
                "MARIADB_PASSWORD_FILE": "/docker-entrypoint-initdb.d/app",
            },
            volumes={name: {"bind": "/docker-entrypoint-initdb.d", "mode": "ro"}},
        )
        until(
            lambda: (
                ask(container, "SELECT GROUP_CONCAT(name ORDER BY id) FROM shop.steps") == "sql,sourced,gz,xz,executed"
            ),
            120,
            lambda: container.logs(tail=30).decode(),
        )
    over_network = ("--host=n1", "--user=app")
    assert ask(container, "SELECT COUNT(*) FROM shop.steps", *over_network, password="app's") == "5"
    assert ask(container, "SELECT 1", "--host=n1", "--user=root", password="r'oot") == "1"
    with pytest.raises(AssertionError, match="Access denied"):
        ask(container, "SELECT 1", "--host=n1", "--user=root", password="wrong")
    # the health endpoint is there, which has none of these passwords
    until(lambda: container.exec_run(["bash", "-c", "exec 3<>/dev/tcp/127.0.0.1/9200"])[0] == 0, 30)
    container.stop(timeout=60)
    container.reload()
    assert container.attrs["State"]["ExitCode"] == 0
    assert "r'oot" not in container.logs().decode()


@pytest.mark.parametrize(
    ("environ", "words"),
    [
        ({"MARIADB_ALLOW_EMPTY_ROOT_PASSWORD": "yes"}, "MARIADB_ALLOW_EMPTY_ROOT_PASSWORD (environment): is not supp"),
        ({"MARIADB_USER": "app"}, "MARIADB_USER = 'app' (environment): needs a password"),
        ({"MARIADB_ROOT_PASSWORD_FILE": "/nowhere"}, "cannot read /nowhere"),
        ({"GALERIST_NODDE": "x"}, "did you mean GALERIST_NODE?"),
    ],
)
def test_a_mistake_ends_the_container_with_one_sentence(node: Any, environ: dict[str, str], words: str) -> None:
    container = node(environ)
    assert container.wait(timeout=60)["StatusCode"] == 78
    text = container.logs().decode()
    assert words in text
    assert len(text.strip().splitlines()) == 1


def test_the_data_of_another_image_are_not_taken_for_an_empty_volume(engine: Engine, node: Any) -> None:
    volume = engine.client.volumes.create("galerist-foreign")
    engine.client.containers.run(
        "galerist-node",
        ["-c", "touch /var/lib/mysql/ibdata1"],
        entrypoint="sh",
        remove=True,
        volumes={volume.name: {"bind": "/var/lib/mysql"}},
    )
    container = node({}, volumes={volume.name: {"bind": "/var/lib/mysql"}})
    assert container.wait(timeout=60)["StatusCode"] == 78
    assert "/var/lib/mysql holds the data of another image" in container.logs().decode()
    container.remove()
    volume.remove(force=True)


def test_what_the_images_say_of_themselves(engine: Engine) -> None:
    for name, user in (("galerist-node", "mysql"), ("galerist-proxy", "haproxy")):
        about = engine.client.images.get(name).attrs["Config"]
        assert about["User"] == user
        assert about["Healthcheck"]["Test"][0] == "CMD"
        assert about["StopSignal"] == "SIGTERM"
        assert about["Labels"]["org.opencontainers.image.title"].startswith("galerist")
    assert engine.client.images.get("galerist-node").attrs["Config"]["Healthcheck"]["Test"][1:] == [
        "clustercheck",
        "--once",
    ]
    assert engine.client.images.get("galerist-proxy").attrs["Size"] < 450e6
    assert engine.client.images.get("galerist-node").attrs["Size"] < 700e6
