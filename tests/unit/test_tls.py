"""Certificates of a node: what fits, what the server reads when, and that nobody gets past the listener of a closed one."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Any

import pytest

from galerist.deploy.tls import Places, Refused, init
from galerist.galera import tls
from galerist.galera.config import warnings
from galerist.galera.tls import Copies, Credentials, Given, Unfit, check


def given(folder: Path, *, days: float = 30, name: str = "n1") -> Given:
    places = Places(folder)
    init(folder, {name: ()}, days=days)
    return Given(places.ca, places.cert(name), places.key(name))


class Server:
    """Stands for the connection to a server; notes what it is told."""

    def __init__(self, have: str = "YES") -> None:
        self.have, self.said = have, []

    def query(self, statement: str) -> list[tuple[Any, ...]]:
        self.said.append(statement)
        return [("have_ssl", self.have)] if statement.startswith("SHOW") else []


def test_what_belongs_together_is_taken_and_its_end_is_known(tmp_path: Path) -> None:
    from time import time

    assert check(given(tmp_path, days=30)) == pytest.approx(time() + 30 * 86400, abs=60)


@pytest.mark.parametrize(
    ("which", "words"),
    [
        ("ca", "is not vouched for by tls_ca"),
        ("key", "belong together"),
        ("absent", "tls_ca"),
        ("ended", "expired"),
        ("text", "PEM"),
    ],
)
def test_what_does_not_fit_is_one_sentence_with_the_file_and_the_remedy(tmp_path: Path, which: str, words: str) -> None:
    good, other = given(tmp_path / "one"), given(tmp_path / "other")
    (tmp_path / "text").write_text("no PEM")
    wrong = {
        "ca": Given(other.ca, good.cert, good.key),
        "key": Given(good.ca, good.cert, other.key),
        "absent": Given(tmp_path / "absent", good.cert, good.key),
        "ended": given(tmp_path / "ended", days=-0.01),
        "text": Given(good.ca, tmp_path / "text", good.key),
    }[which]
    with pytest.raises(Unfit) as caught:
        check(wrong)
    text = str(caught.value)
    assert words in text and "; give" in text and "\n" not in text, text
    assert str(tmp_path) in text


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_no_handshake_succeeds_with_the_certificate_of_a_closed_node(tmp_path: Path, version: ssl.TLSVersion) -> None:
    closed = Path(tls.__file__).parent / "templates/closed.pem"
    for pem, fits in ((given(tmp_path).cert, True), (closed, False)):
        server, client = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        server.load_cert_chain(pem, Places(tmp_path).key("n1") if fits else pem)
        client.check_hostname, client.verify_mode = False, ssl.CERT_NONE
        client.minimum_version = client.maximum_version = version
        client.set_ciphers("ALL:@SECLEVEL=0")
        if fits:
            tls._shake(server, client)
        else:
            with pytest.raises(ssl.SSLError, match="(?i)no.shared.cipher|unsupported.protocol"):
                tls._shake(server, client)


def test_the_listener_follows_the_node_and_new_files_are_taken_up_once(tmp_path: Path) -> None:
    files, folder, server = given(tmp_path / "given"), tmp_path / "run/tls", Server()
    one = Credentials(Copies(files, folder, None))
    one.before_start()
    listener = folder / tls.LISTEN_CERT
    assert "no number in TLS" in listener.read_text()
    assert (folder / tls.CERT).read_text() == files.cert.read_text()  # replication has the real one from the beginning
    one.tend(server, opened=False)  # type: ignore[arg-type]
    one.tend(server, opened=True)  # type: ignore[arg-type]
    assert listener.read_text() == files.cert.read_text()
    assert server.said.count("FLUSH NO_WRITE_TO_BINLOG SSL") == 2
    one.tend(server, opened=True)  # type: ignore[arg-type]
    assert server.said.count("FLUSH NO_WRITE_TO_BINLOG SSL") == 2
    init(files.ca.parent, {"n1": ()}, renew=True)
    one.tend(server, opened=True)  # type: ignore[arg-type]
    assert listener.read_text() == (folder / tls.CERT).read_text() == files.cert.read_text()
    assert server.said[-2:] == [
        "FLUSH NO_WRITE_TO_BINLOG SSL",
        "SET GLOBAL wsrep_provider_options = 'socket.ssl_reload=1'",
    ]
    assert all(path.stat().st_mode & 0o077 == 0 for path in folder.glob("*key*"))


def test_half_a_change_is_not_taken_up_and_said_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    files, folder, server = given(tmp_path / "given"), tmp_path / "run", Server()
    one = Credentials(Copies(files, folder, None))
    one.before_start()
    one.tend(server, opened=True)  # type: ignore[arg-type]
    before = {path: path.read_text() for path in folder.glob("*.pem")}
    files.key.write_text(given(tmp_path / "other").key.read_text())
    for _ in range(3):
        one.tend(server, opened=True)  # type: ignore[arg-type]
    assert {path: path.read_text() for path in folder.glob("*.pem")} == before
    assert [str(files.key) in record.getMessage() for record in caplog.records] == [True]
    files.key.unlink()
    one.before_start()  # a server that is started now has what it had


def test_without_anything_to_start_with_the_start_fails(tmp_path: Path) -> None:
    files = given(tmp_path / "given")
    files.key.unlink()
    with pytest.raises(OSError, match="No such file"):
        Credentials(Copies(files, tmp_path / "run", None)).before_start()


def test_the_end_of_a_certificate_is_announced_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    one = Credentials(Copies(given(tmp_path / "given", days=13), tmp_path / "run", None))
    one.before_start()
    for _ in range(3):
        one.tend(Server(), opened=True)  # type: ignore[arg-type]
    assert [" ends at " in record.getMessage() for record in caplog.records] == [True]


def test_a_server_that_was_started_without_tls_is_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    one, server = Credentials(Copies(given(tmp_path / "given"), tmp_path / "run", None)), Server("DISABLED")
    for _ in range(3):
        one.tend(server, opened=True)  # type: ignore[arg-type]
    assert ["without TLS" in record.getMessage() for record in caplog.records] == [True]
    assert len(server.said) == 1


def test_demanding_tls_without_a_certificate_is_warned_of() -> None:
    demand = (("require_secure_transport", "ON"),)
    assert "tls_cert" in warnings(demand)[0]
    assert warnings(demand, encrypted=True) == ()


def test_an_authority_is_made_once_and_never_guessed(tmp_path: Path) -> None:
    written = init(tmp_path, {"n1": ("10.0.0.1",)})
    assert [path.name for path in written] == ["ca.pem", "ca.key", "n1.pem", "n1.key"]
    assert init(tmp_path, {"n1": ()}) == []
    (tmp_path / "ca.key").rename(tmp_path / "kept")
    with pytest.raises(Refused, match="ca.key is missing"):
        init(tmp_path, {"n2": ()})
    init(tmp_path / "other", {})
    (tmp_path / "ca.key").write_bytes((tmp_path / "other/ca.key").read_bytes())
    with pytest.raises(Refused, match="is not the key of"):
        init(tmp_path, {"n2": ()})
    with pytest.raises(Refused, match="another one"):
        init(tmp_path / "other", {"ca": ()})
    with pytest.raises(Refused, match="no authority to renew by"):
        init(tmp_path / "mistyped", {"n1": ()}, renew=True)
    assert not (tmp_path / "mistyped").exists()
