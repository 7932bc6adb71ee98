"""TLS end to end: replication, both kinds of state transfers, clients; certificates renewed under running servers."""

from __future__ import annotations

import shutil
import socket
import ssl
import struct
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pymysql
import pytest

from galerist.deploy.tls import Places, init
from galerist.local import plan as planning
from galerist.local import render
from galerist.local.layout import Layout
from tests.integration.test_arbitrator import Arbitrator, votes
from tests.support.cluster import LOOPBACK, Cluster, galerist

pytestmark = pytest.mark.timeout(400)

NODES = ("n1", "n2", "n3")


class Encrypted(Cluster):
    """Three nodes with certificates below ``tls``; clients must use TLS. n3 takes its transfers by rsync."""

    def __init__(self) -> None:
        super().__init__(sst_method="mariabackup", settings={"ttl": 3}, mariadb={"require_secure_transport": "ON"})
        self.tls = Places(self.top / "tls")
        init(self.tls.folder, dict.fromkeys(NODES, ()))
        for node in NODES:
            given = {"tls_ca": self.tls.ca, "tls_cert": self.tls.cert(node), "tls_key": self.tls.key(node)}
            self.own[node] = {key: str(path) for key, path in given.items()}
        self.own["n3"]["sst_method"] = "rsync"
        self.write_files()

    def shown(self, node: str, port: str, ca: Path | None = None) -> int:
        """The serial number of the certificate that a node shows at a port, once it is verified. Raises OSError."""
        from cryptography import x509

        context = ssl.create_default_context(cafile=ca or self.tls.ca)
        context.load_cert_chain(self.tls.cert("n2"), self.tls.key("n2"))
        with socket.create_connection((LOOPBACK, self.plan.port(port, node)), timeout=10) as raw:
            if port == "sql_port":
                ask_for_tls(raw)
            with context.wrap_socket(raw, server_hostname=LOOPBACK) as encrypted:
                return x509.load_der_x509_certificate(encrypted.getpeercert(binary_form=True) or b"").serial_number

    def issued(self, node: str) -> int:
        from cryptography import x509

        return x509.load_pem_x509_certificate(self.tls.cert(node).read_bytes()).serial_number

    def client(self, node: str, **more: object) -> pymysql.connections.Connection:
        return pymysql.connect(
            host=LOOPBACK,
            port=self.plan.port("sql_port", node),
            user=render.APP,
            password=self.layout.secret("app").read_text().strip(),
            connect_timeout=10,
            read_timeout=20,
            **more,  # type: ignore[arg-type]
        )


def ask_for_tls(raw: socket.socket) -> None:
    """What a client of MariaDB says before its handshake: it reads the greeting, and asks for TLS."""
    length = int.from_bytes(raw.recv(4)[:3], "little")
    while length > 0:
        length -= len(raw.recv(length))
    capabilities = 0x0800 | 0x0200 | 0x8000  # TLS, protocol 4.1, secure connection
    raw.sendall((32).to_bytes(3, "little") + b"\x01" + struct.pack("<IIB23x", capabilities, 1 << 24, 33))


@pytest.fixture(scope="module")
def cluster() -> Iterator[Encrypted]:
    with Encrypted() as three:
        three.up()
        yield three


@pytest.fixture
def three(cluster: Encrypted) -> Encrypted:
    cluster.up()
    return cluster


def test_members_speak_tls_among_themselves(three: Encrypted) -> None:
    for node in NODES:
        assert three.shown(node, "gcomm_port") == three.issued(node)
        options = dict(three.root(node, "SHOW VARIABLES LIKE 'wsrep_provider_options'"))["wsrep_provider_options"]
        assert "socket.ssl = YES" in options


def test_a_node_without_data_takes_both_kinds_of_transfers_by_tls(three: Encrypted) -> None:
    for node, words in (
        ("n2", "Using openssl based encryption with socat"),
        ("n3", "Using stunnel for SSL encryption"),
    ):
        three.stop(node)
        shutil.rmtree(three.layout.datadir(node))
        shutil.rmtree(three.layout.node(node) / "stamp")
        log = three.mark(node)
        three.start(node)
        three.serving()
        assert words in log.text(), log.text()


def test_an_arbitrator_votes_by_tls_and_takes_up_a_new_certificate(three: Encrypted) -> None:
    cert, key = three.top / "garb.pem", three.top / "garb.key"
    shutil.copy(three.tls.cert("n1"), cert)
    shutil.copy(three.tls.key("n1"), key)
    with closing(Arbitrator(three, "--tls-cert", str(cert), "--tls-key", str(key))) as arbitrator:
        three.until(lambda: votes(three) == ("garb",), "the arbitrator is in the recorded view")
        former = arbitrator.garbd()
        assert former is not None
        shutil.copy(three.tls.cert("n2"), cert)
        shutil.copy(three.tls.key("n2"), key)

        def renewed() -> bool:
            now = arbitrator.garbd()
            return now is not None and now.pid != former.pid and votes(three) == ("garb",)

        three.until(renewed, "another garbd votes, with the new certificate")
    three.until(lambda: votes(three) == (), "it has left")


def test_clients_come_in_by_tls_alone(three: Encrypted) -> None:
    for node in NODES:
        with pytest.raises(pymysql.err.OperationalError) as refused:
            three.client(node, ssl_disabled=True)
        assert refused.value.args[0] in (1045, 3159), refused.value
        verified = three.client(node, ssl_ca=str(three.tls.ca), ssl_verify_identity=True)
        with verified, verified.cursor() as cursor:
            cursor.execute("SHOW STATUS LIKE 'Ssl_version'")
            assert cursor.fetchall() == (("Ssl_version", "TLSv1.3"),)


def test_a_closed_node_lets_no_client_finish_a_handshake(three: Encrypted) -> None:
    assert galerist("pause", "--dir", str(three.layout.dir)).returncode == 0  # else it were opened again at once
    three.says("n2", "Paused")
    three.root("n2", "SET GLOBAL wsrep_reject_queries = ALL")

    def shut() -> bool:
        try:
            three.shown("n2", "sql_port")
        except ssl.SSLError as error:
            return "handshake failure" in str(error)
        return False

    three.until(shut, "the agent has shut the listener of a closed node")
    assert galerist("resume", "--dir", str(three.layout.dir)).returncode == 0
    three.serving()
    three.until(lambda: not shut() and three.shown("n2", "sql_port") == three.issued("n2"), "it is open again")


def test_new_certificates_are_taken_up_by_running_servers(three: Encrypted) -> None:
    before = three.server_pids(), {node: three.issued(node) for node in NODES}
    with three.client("n1", ssl_ca=str(three.tls.ca)) as session, session.cursor() as cursor:
        init(three.tls.folder, dict.fromkeys(NODES, ()), renew=True)
        assert not set(before[1].values()) & {three.issued(node) for node in NODES}
        for node in NODES:
            for port in ("sql_port", "gcomm_port"):
                three.until(
                    lambda node=node, port=port: three.shown(node, port) == three.issued(node),  # type: ignore[misc]
                    f"{node} shows its new certificate at {port}",
                )
        cursor.execute("SELECT 1")
        assert cursor.fetchall() == ((1,),)
    assert three.server_pids() == before[0]
    # half a change is not taken up: the certificate of one, the key of another
    log = three.mark_agent("n1")
    kept = three.tls.cert("n1").read_bytes()
    three.tls.cert("n1").write_bytes(three.tls.cert("n2").read_bytes())
    three.until(lambda: "belong together" in log.text(), "the agent says that they do not fit")
    assert three.shown("n1", "sql_port") != three.issued("n2")
    three.tls.cert("n1").write_bytes(kept)
    three.until(lambda: three.shown("n1", "sql_port") == three.issued("n1"), "all is as before")
    assert log.text().count("are not taken up") == 1


def test_a_certificate_of_another_authority_keeps_a_node_out_and_is_named(three: Encrypted) -> None:
    other = Places(three.top / "other")
    init(other.folder, {"n3": ()})
    three.stop("n3")
    kept = dict(three.own["n3"])
    three.own["n3"] |= {"tls_ca": str(other.ca), "tls_cert": str(other.cert("n3")), "tls_key": str(other.key("n3"))}
    three.write_files()
    three.start("n3")
    three.says("n3", "another authority", "To end that: correct 'tls_ca'")
    three.signal("n3", 15)  # type: ignore[arg-type]
    three.exit_code("n3")
    three.own["n3"] = kept
    three.write_files()
    three.start("n3")
    three.serving()


def test_certificates_that_do_not_fit_are_one_message(tmp_path: Path) -> None:
    one, other = Places(tmp_path / "one"), Places(tmp_path / "other")
    for places in (one, other):
        init(places.folder, {"n1": ()})
    good = {"ca": one.ca, "cert": one.cert("n1"), "key": one.key("n1")}
    for what, path, code, words in (
        ("ca", other.ca, 78, "is not vouched for by tls_ca"),
        ("key", other.key("n1"), 78, "belong together"),
        ("key", other.key("n2"), 78, "tls_key"),
    ):
        given = [f"--tls-{name}={file}" for name, file in (good | {what: path}).items()]
        socket = f"--socket={tmp_path.parent.parent}/s"  # a path that is short enough
        run = galerist("bootstrap", "--datadir", str(tmp_path / "data"), socket, *given)
        assert (run.returncode, len(run.stderr.splitlines())) == (code, 1), run.stderr
        assert words in run.stderr and str(path) in run.stderr
    assert not (tmp_path / "data").exists()


def test_the_command_makes_what_is_missing_and_renews(tmp_path: Path) -> None:
    made = galerist("tls", "init", "--out", str(tmp_path), "n1=10.0.0.1,db1.example", "n2")
    assert made.returncode == 0, made.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "ca.key",
        "ca.pem",
        "n1.key",
        "n1.pem",
        "n2.key",
        "n2.pem",
    ]
    assert all(path.stat().st_mode & 0o077 == 0 for path in tmp_path.glob("*.key"))
    again = galerist("tls", "init", "--out", str(tmp_path), "n1", "n2")
    assert "nothing is missing" in again.stdout
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    assert galerist("tls", "renew", "--out", str(tmp_path), "n1").returncode == 0
    assert {path.name for path in before if path.read_bytes() != before[path]} == {"n1.key", "n1.pem"}
    wrong = galerist("tls", "init", "--out", str(tmp_path), "n3=10.0.0.256")
    assert (wrong.returncode, "10.0.0.256" in wrong.stderr) == (2, True), wrong.stderr
    (tmp_path / "ca.key").unlink()
    lost = galerist("tls", "init", "--out", str(tmp_path), "n3")
    assert lost.returncode == 1 and "ca.key is missing" in lost.stderr and not (tmp_path / "n3.pem").exists()


def test_a_local_cluster_speaks_tls_and_nothing_else() -> None:
    top = Path(tempfile.mkdtemp(prefix="galerist-tls-", dir="/tmp"))
    top.chmod(0o755)
    folder = ["--dir", str(top / "c")]
    try:
        up = galerist("up", *folder, "--nodes", "1", "--tls", "--detach", timeout=330)
        assert up.returncode == 0, up.stdout + up.stderr
        layout = Layout(top / "c")
        query = [
            "-Ne",
            "SELECT VARIABLE_VALUE <> '' FROM information_schema.SESSION_STATUS WHERE VARIABLE_NAME = 'SSL_CIPHER'",
        ]
        client = ["mariadb", f"--defaults-file={layout.client}"]
        by_tls = subprocess.run([*client, *query], capture_output=True, text=True, timeout=60, check=False)
        assert by_tls.stdout.strip() == "1", by_tls.stderr
        plan = planning.load(layout.plan.read_text())
        password = layout.secret(render.APP).read_text().strip()
        with pytest.raises(pymysql.err.OperationalError, match="denied|insecure"):
            pymysql.connect(
                host=LOOPBACK, port=plan.port("write_port"), user=render.APP, password=password, ssl_disabled=True
            )
        assert "synced" in galerist("list", *folder, "--format", "tsv").stdout
        with socket.create_connection((LOOPBACK, plan.port("etcd_port")), timeout=10) as raw:
            raw.sendall(b"GET /version HTTP/1.0\r\n\r\n")
            assert b"etcdserver" not in raw.recv(4096)  # it hangs up, or says that it wants TLS
        without = galerist("up", *folder, "--no-tls", "--detach")
        assert (without.returncode, "galerist down" in without.stderr) == (78, True), without.stderr
    finally:
        galerist("down", *folder, "--wipe", "--yes", timeout=200)
        shutil.rmtree(top, ignore_errors=True)
