"""The certificates of one server, or of an arbitrator: checked, copied to where it reads them, renewed while it runs.

A server with TLS cannot be kept closed by demanding TLS of clients (galera/config.py). So its SQL listener starts with a
certificate on a curve that has no number in TLS: no handshake succeeds, whatever the client offers. Opening the node
puts the real one in its place, and ``FLUSH SSL`` makes the server read it. Replication and state transfers have the real
one from the beginning.
"""

from __future__ import annotations

import contextlib
import logging
import os
import ssl
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from galerist.files import write_atomically
from galerist.galera.sql import Sql

log = logging.getLogger("galerist.tls")

CA, CERT, KEY = "ca.pem", "cert.pem", "key.pem"
LISTEN_CERT, LISTEN_KEY = "listen-cert.pem", "listen-key.pem"

SOON = 14 * 86400.0
"""Seconds before the end of a certificate from which on the agent warns."""


class Unfit(Exception):
    """Certificates that no server can use. The text names the setting and the remedy."""


@dataclass(frozen=True, slots=True)
class Given:
    """The PEM files that the settings name: authority, certificate (and what leads to the authority), its key."""

    ca: Path
    cert: Path
    key: Path


def tried(ca: Path | None, cert: Path | None, key: Path | None) -> Given | None:
    """What the settings name, once it has passed :func:`check`; None where they do not name all three. Raises :class:`Unfit`."""
    if ca is None or cert is None or key is None:
        return None
    given = Given(ca, cert, key)
    check(given)
    return given


def check(given: Given) -> float:
    """When the certificate ends (Unix time). Raises :class:`Unfit`.

    The certificate shakes hands with itself, once as a server and once as a client: so it is tried by the same library,
    and in both of the roles, in which the server will use it.
    """
    try:
        sides = [ssl.SSLContext(kind) for kind in (ssl.PROTOCOL_TLS_SERVER, ssl.PROTOCOL_TLS_CLIENT)]
        for side in sides:
            side.check_hostname = False
            side.verify_mode = ssl.CERT_REQUIRED
            side.load_verify_locations(cafile=given.ca)
    except (OSError, ssl.SSLError) as error:
        raise Unfit(f"tls_ca {given.ca} cannot be used: {_words(error)}; give a readable PEM file") from None
    try:
        for side in sides:
            side.load_cert_chain(given.cert, given.key, password=lambda: "")  # rather fail than ask on the terminal
    except (OSError, ssl.SSLError) as error:
        raise Unfit(
            f"tls_cert {given.cert} with tls_key {given.key} cannot be used: {_words(error)}; "
            "give readable PEM files that belong together, the key without a pass phrase"
        ) from None
    try:
        shown = _shake(*sides)
    except ssl.SSLError as error:
        raise Unfit(
            f"tls_cert {given.cert} is not vouched for by tls_ca {given.ca}: {_words(error)}; "
            "give a certificate of this authority, fit for servers and clients"
        ) from None
    return ssl.cert_time_to_seconds(str(shown["notAfter"]))


def _shake(server: ssl.SSLContext, client: ssl.SSLContext) -> Mapping[str, object]:
    """A handshake in memory; the certificate as the client saw it."""
    up, down = ssl.MemoryBIO(), ssl.MemoryBIO()
    one, other = client.wrap_bio(down, up), server.wrap_bio(up, down, server_side=True)
    for _ in range(4):
        for side in (one, other):
            with contextlib.suppress(ssl.SSLWantReadError):
                side.do_handshake()
    return one.getpeercert() or {}


def _words(error: OSError) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return error.verify_message
    if isinstance(error, ssl.SSLError) and error.reason:
        return error.reason.replace("_", " ").lower()
    return error.strerror or str(error)


class Copies:
    """What is given, where a server that runs as ``owner`` (uid and gid) can read it: below ``folder``, each version
    checked before it takes the former one's place. ``version`` counts them, ``ends`` is when the certificate does
    (Unix time)."""

    def __init__(self, given: Given, folder: Path, owner: tuple[int, int] | None) -> None:
        self.given, self.folder, self._owner = given, folder, owner
        self.version, self.ends = 0, float("inf")
        self._seen: object = None  # the files as they were when they were looked at last

    def must(self) -> None:
        """Bring the copies up to date. Raises OSError when there are none to start with."""
        problem = self.renew()
        if problem and not (self.folder / KEY).exists():
            raise OSError(problem)

    def renew(self) -> str:
        """Copy what is given if it has changed and is fit; what is wrong with it, "" if nothing is."""
        seen: object
        try:
            seen = tuple((path.stat().st_ino, path.stat().st_mtime_ns) for path in self._paths())
        except OSError as error:
            seen = str(error)
        if seen == self._seen:
            return ""
        self._seen = seen
        try:
            self.ends = self._copy()
        except (Unfit, OSError) as error:
            log.warning("The certificates are not taken up: %s", error)
            return str(error)
        self.version += 1
        return ""

    def write(self, path: Path, text: str) -> None:
        write_atomically(path, text, mode=0o600, owner=self._owner if os.geteuid() == 0 else None)

    def _paths(self) -> tuple[Path, ...]:
        return (self.given.ca, self.given.cert, self.given.key)

    def _copy(self) -> float:
        """Copies are checked, not what they were made from: that may change under our eyes."""
        fresh = {
            name: path.read_text(errors="replace") for name, path in zip((CA, CERT, KEY), self._paths(), strict=True)
        }
        staged = self.folder / "new"
        staged.mkdir(parents=True, exist_ok=True)
        self.folder.chmod(0o755)
        for name, text in fresh.items():
            self.write(staged / name, text)
        try:
            ends = check(Given(*(staged / name for name in fresh)))
        except Unfit as error:
            text = str(error)
            for name, path in zip(fresh, self._paths(), strict=True):
                text = text.replace(str(staged / name), str(path))
            raise Unfit(text) from None
        for name in fresh:
            (staged / name).replace(self.folder / name)
        return ends


class Credentials:
    """What a database server reads. Level-triggered: :meth:`tend` compares, and does what is missing."""

    def __init__(self, copies: Copies, clock: Callable[[], float] = time.time) -> None:
        self._copies, self._clock = copies, clock
        self._applied: tuple[int, bool] | None = None  # version, and whether the listener shows it
        self._warned = 0  # of the end of this version

    def before_start(self) -> None:
        """Bring the copies up to date, and close the listener. Raises OSError when there are none to start with."""
        self._copies.must()
        self._listen(False)
        self._applied = None

    def tend(self, sql: Sql, opened: bool) -> None:
        """Bring the files, and a running server, in line with what is given now. Raises OSError."""
        copies = self._copies
        copies.renew()
        if self._warned != copies.version and copies.ends - self._clock() < SOON:
            self._warned = copies.version
            when = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(copies.ends))
            log.warning("tls_cert %s ends at %s: replace it, and the node takes it up.", copies.given.cert, when)
        if self._applied == (copies.version, opened):
            return
        self._listen(opened)
        if dict(sql.query("SHOW GLOBAL VARIABLES LIKE 'have_ssl'")).get("have_ssl") != "YES":
            log.warning("The server runs without TLS: it was started so. `galerist restart` ends that.")
        else:
            sql.query("FLUSH NO_WRITE_TO_BINLOG SSL")
            sql.query("SET GLOBAL wsrep_provider_options = 'socket.ssl_reload=1'")
            if self._applied is not None and self._applied[0] != copies.version:
                log.info("The server has taken up the new certificate %s.", copies.given.cert)
        self._applied = (copies.version, opened)

    def _listen(self, opened: bool) -> None:
        folder = self._copies.folder
        closed = resources.files("galerist.galera").joinpath("templates/closed.pem").read_text()
        for name, real in ((LISTEN_CERT, CERT), (LISTEN_KEY, KEY)):
            self._copies.write(folder / name, (folder / real).read_text() if opened else closed)
