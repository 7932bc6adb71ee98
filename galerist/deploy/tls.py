"""A private authority and the certificates of a cluster, for a trial: ``galerist tls init`` and ``renew``.

In production certificates come from whoever issues yours; galerist needs nothing that others do not issue as well.
"""

from __future__ import annotations

import datetime
import ipaddress
import os
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey

AUTHORITY_DAYS = 3650
LOOPBACK = ("localhost", "127.0.0.1", "::1")


class Refused(Exception):
    """The folder holds something that does not fit. The text names the file and the remedy."""


@dataclass(frozen=True, slots=True)
class Places:
    """The files in one folder."""

    folder: Path

    @property
    def ca(self) -> Path:
        return self.folder / "ca.pem"

    @property
    def ca_key(self) -> Path:
        return self.folder / "ca.key"

    def cert(self, name: str) -> Path:
        return self.folder / f"{name}.pem"

    def key(self, name: str) -> Path:
        return self.folder / f"{name}.key"


def init(folder: Path, holders: Mapping[str, tuple[str, ...]], days: float = 365, renew: bool = False) -> list[Path]:
    """Make what is missing: the authority, and a certificate with its key for each holder; the files that were written.

    ``holders`` are names with the host names and addresses by which each is reached, besides its name and loopback.
    ``renew`` makes the certificates anew, by the same authority. A key stands before the certificate that needs it, so
    that whoever watches the certificates finds both. Raises Refused, OSError.
    """
    places = Places(folder)
    if renew and not (places.ca.exists() or places.ca_key.exists()):
        raise Refused(f"{folder} holds no authority to renew by: give the folder of `galerist tls init`")
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    if places.ca.exists() != places.ca_key.exists():
        lost, kept = (places.ca_key, places.ca) if places.ca.exists() else (places.ca, places.ca_key)
        raise Refused(f"{lost} is missing beside {kept}; restore it, or begin anew in an empty folder")
    if not places.ca.exists():
        _make_authority(places)
        written += [places.ca, places.ca_key]
    issuer, issuer_key = _authority(places)
    for name, hosts in holders.items():
        if name == "ca":
            raise Refused("ca is the name of the authority; give the node another one")
        if renew or not (places.cert(name).exists() and places.key(name).exists()):
            _issue(places, name, hosts, days, issuer, issuer_key)
            written += [places.cert(name), places.key(name)]
    return written


def _make_authority(places: Places) -> None:
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = _name(f"galerist {secrets.token_hex(4)}")  # two authorities are never of the same name
    usage = dict.fromkeys(
        ("digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement"), False
    )
    cert = (
        _builder(name, name, key, AUTHORITY_DAYS)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(
            x509.KeyUsage(**usage, key_cert_sign=True, crl_sign=True, encipher_only=False, decipher_only=False),
            critical=True,
        )
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    _write(places.ca_key, _pem(key), 0o600)
    _write(places.ca, _pem(cert), 0o644)


def _authority(places: Places) -> tuple[x509.Certificate, EllipticCurvePrivateKey]:
    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        cert = x509.load_pem_x509_certificate(places.ca.read_bytes())
        key = load_pem_private_key(places.ca_key.read_bytes(), None)
    except (ValueError, TypeError) as error:
        raise Refused(
            f"{places.ca} and {places.ca_key} cannot be read: {error}; begin anew in an empty folder"
        ) from None
    if not isinstance(key, EllipticCurvePrivateKey) or key.public_key() != cert.public_key():
        raise Refused(f"{places.ca_key} is not the key of {places.ca}; restore it, or begin anew in an empty folder")
    return cert, key


def _issue(
    places: Places,
    name: str,
    hosts: tuple[str, ...],
    days: float,
    issuer: x509.Certificate,
    issuer_key: EllipticCurvePrivateKey,
) -> None:
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import ExtendedKeyUsageOID

    key = ec.generate_private_key(ec.SECP256R1())
    # Members are servers and clients of one another; so is etcd, whose gateway is a client of its own port.
    usages = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
    cert = (
        _builder(_name(name), issuer.subject, key, days)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName([*map(_host, (name, *hosts, *LOOPBACK))]), critical=False)
        .add_extension(x509.ExtendedKeyUsage(usages), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key()), critical=False)
        .sign(issuer_key, hashes.SHA256())
    )
    _write(places.key(name), _pem(key), 0o600)
    _write(places.cert(name), _pem(cert), 0o644)


def _host(text: str) -> x509.GeneralName:
    from cryptography import x509

    try:
        return x509.IPAddress(ipaddress.ip_address(text))
    except ValueError:
        return x509.DNSName(text)


def _name(text: str) -> x509.Name:
    from cryptography import x509
    from cryptography.x509.oid import NameOID

    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _builder(
    subject: x509.Name, issuer: x509.Name, key: EllipticCurvePrivateKey, days: float
) -> x509.CertificateBuilder:
    from cryptography import x509

    now = datetime.datetime.now(datetime.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))  # clocks differ
        .not_valid_after(now + datetime.timedelta(days=days))
    )


def _pem(thing: x509.Certificate | EllipticCurvePrivateKey) -> bytes:
    from cryptography import x509
    from cryptography.hazmat.primitives import serialization

    if isinstance(thing, x509.Certificate):
        return thing.public_bytes(serialization.Encoding.PEM)
    return thing.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _write(path: Path, pem: bytes, mode: int) -> None:
    from galerist.files import write_atomically

    owner = (path.stat().st_uid, path.stat().st_gid) if path.exists() and os.geteuid() == 0 else None
    write_atomically(path, pem.decode(), mode=mode, owner=owner)
