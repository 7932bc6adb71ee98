"""TLS between galerist and a registry: the context, and why the two ends do not agree."""

from __future__ import annotations

import socket
import ssl

from urllib3.exceptions import SSLError as PoolSSLError

from galerist.endpoints import Access, show
from galerist.registry.contract import RegistryUnusable

PATIENCE = 0.5
"""Seconds that :func:`diagnose` may take for one connection."""


def refuse_plain(place: tuple[str, int], text: str) -> None:
    """Raises RegistryUnusable when ``text`` is how a TLS server answers plain HTTP."""
    if "HTTP request to an HTTPS server" in text:
        raise RegistryUnusable(f"{show(place)} speaks only TLS: set registry_ca, or registry_tls to true")


def context(access: Access) -> ssl.SSLContext:
    """The TLS context for ``access``. Raises RegistryUnusable, which names the file."""
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    made.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        if access.ca:
            made.load_verify_locations(cafile=access.ca)
        else:
            made.load_default_certs()
    except (OSError, ssl.SSLError) as error:
        raise RegistryUnusable(
            f"registry_ca {access.ca} cannot be used: {words(error)}; give a readable PEM file"
        ) from error
    if access.key and not access.cert:
        raise RegistryUnusable(f"registry_key {access.key} is given without registry_cert; give both")
    if access.cert:
        try:  # the empty password: rather fail than ask on the terminal
            made.load_cert_chain(access.cert, access.key, password=lambda: "")
        except (OSError, ssl.SSLError) as error:
            raise RegistryUnusable(
                f"registry_cert {access.cert} with registry_key {access.key or access.cert} cannot be used: "
                f"{words(error)}; give readable PEM files that belong together, the key without a pass phrase"
            ) from error
    return made


def disagreement(access: Access, place: tuple[str, int], error: BaseException) -> str | None:
    """The sentence for an error of TLS that says what is wrong, else None."""
    if not isinstance(error, (PoolSSLError, ssl.SSLError)):
        return None
    text = words(error)
    if "CERTIFICATE_VERIFY_FAILED" in text:
        trusted = f"registry_ca {access.ca}" if access.ca else "the system's authorities (no registry_ca is given)"
        return f"its certificate is not vouched for by {trusted}: {text}; correct registry_ca"
    if "alert" in text.lower():
        own = f"registry_cert {access.cert}" if access.cert else "a client without certificate"
        return f"it does not accept {own}: {text}; give registry_cert and registry_key that it trusts"
    if "WRONG_VERSION_NUMBER" in text or "RECORD_LAYER" in text:
        return "it speaks no TLS; set registry_tls to false and give no registry_ca"
    return None


def diagnose(access: Access, place: tuple[str, int], made: ssl.SSLContext | None) -> str | None:
    """Why a server may have closed a connection without a word: a sentence, None when unknown.

    In TLS 1.3 a server refuses a client's certificate after the handshake, and the
    refusal is lost when the client is just sending. So: shake hands, send nothing, read.
    """
    if made is None:
        anything = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        anything.check_hostname = False
        anything.verify_mode = ssl.CERT_NONE  # nothing is sent over it
        return "it speaks only TLS: set registry_ca, or registry_tls to true" if _shakes(anything, place) else None
    try:
        with _connected(place) as raw, made.wrap_socket(raw, server_hostname=place[0]) as encrypted:
            encrypted.recv(1)
            return None
    except ssl.SSLError as error:
        if reason := disagreement(access, place, error):
            return reason
    except OSError:
        pass  # a reset is no answer either: what the server has not read yet decides which of the two comes
    try:
        with _connected(place) as raw:
            raw.sendall(b"GET /version HTTP/1.0\r\n\r\n")
            if raw.recv(5) == b"HTTP/":
                return "it speaks no TLS; set registry_tls to false and give no registry_ca"
    except OSError:
        return None
    return None


def _connected(place: tuple[str, int]) -> socket.socket:
    return socket.create_connection(place, timeout=PATIENCE)


def _shakes(made: ssl.SSLContext, place: tuple[str, int]) -> bool:
    try:
        with _connected(place) as raw, made.wrap_socket(raw):
            return True
    except ssl.SSLError as error:
        return "alert" in words(error).lower()  # also a refusal is TLS
    except OSError:
        return False


def words(error: BaseException) -> str:
    """The innermost cause, without the addresses of Python objects."""
    inner: BaseException = error
    while True:
        deeper = inner.__cause__  # not __context__: an error that was being handled is another matter
        if deeper is None and inner.args and isinstance(inner.args[-1], BaseException):
            deeper = inner.args[-1]
        if deeper is None:
            break
        inner = deeper
    if isinstance(inner, OSError) and inner.strerror:
        return inner.strerror
    return str(inner) or type(inner).__name__
