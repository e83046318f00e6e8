"""Authorities and certificates, good ones and such as nobody may accept; made anew for each run."""

import ipaddress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import trustme
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

HOST = "127.0.0.1"


@dataclass(frozen=True)
class Identity:
    """A certificate with its key, in files."""

    certificate: Path
    key: Path


class Authority:
    """An authority with its files in a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True)
        self._authority = trustme.CA()
        self.file = folder / "authority.pem"
        self._authority.cert_pem.write_to_path(self.file)

    def issue(self, name: str = "good", *hosts: str) -> Identity:
        """Issue a certificate that is good for `hosts`, by default this machine's loopback address."""
        made = self._authority.issue_cert(*(hosts or (HOST,)))
        identity = Identity(self.folder / f"{name}.pem", self.folder / f"{name}.key")
        identity.certificate.write_bytes(b"".join(blob.bytes() for blob in made.cert_chain_pems))
        _write_private(identity.key, made.private_key_pem.bytes())
        return identity

    def issue_odd(
        self,
        name: str,
        *,
        days: tuple[float, float] = (-1, 1),
        key: Any = None,
        usage: x509.ObjectIdentifier | None = None,
    ) -> Identity:
        """Issue a certificate that is valid between two days from now, with this key, for this usage alone."""
        signer = self._signer
        private = key or ec.generate_private_key(ec.SECP256R1())
        now = datetime.now(UTC)
        builder = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
            .issuer_name(self._certificate.subject)
            .public_key(private.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now + timedelta(days=days[0]))
            .not_valid_after(now + timedelta(days=days[1]))
            .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(HOST))]), critical=False)
        )
        if usage is not None:
            builder = builder.add_extension(x509.ExtendedKeyUsage([usage]), critical=True)
        made = builder.sign(signer, hashes.SHA256())
        identity = Identity(self.folder / f"{name}.pem", self.folder / f"{name}.key")
        identity.certificate.write_bytes(made.public_bytes(serialization.Encoding.PEM))
        _write_private(identity.key, _pem(private))
        return identity

    def expired(self) -> Identity:
        """Issue a certificate that ended yesterday."""
        return self.issue_odd("expired", days=(-10, -1))

    def early(self) -> Identity:
        """Issue a certificate that begins tomorrow."""
        return self.issue_odd("early", days=(1, 10))

    def weak(self) -> Identity:
        """Issue a certificate with an RSA key of 1024 bits."""
        return self.issue_odd("weak", key=rsa.generate_private_key(65537, 1024))  # noqa: S505 - that is the point

    def for_servers_only(self) -> Identity:
        """Issue a certificate that no client may show."""
        return self.issue_odd("server", usage=ExtendedKeyUsageOID.SERVER_AUTH)

    def with_revoked(self, *revoked: Identity) -> Path:
        """Return a file of this authority that holds a list of what it has revoked."""
        now = datetime.now(UTC)
        builder = (
            x509.CertificateRevocationListBuilder()
            .issuer_name(self._certificate.subject)
            .last_update(now - timedelta(days=1))
            .next_update(now + timedelta(days=1))
        )
        for one in revoked:
            serial = x509.load_pem_x509_certificate(one.certificate.read_bytes()).serial_number
            entry = x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(now - timedelta(hours=1))
            builder = builder.add_revoked_certificate(entry.build())
        listed = builder.sign(self._signer, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
        path = self.folder / "authority-with-list.pem"
        path.write_bytes(self.file.read_bytes() + listed)
        return path

    @property
    def _certificate(self) -> x509.Certificate:
        return x509.load_pem_x509_certificate(self.file.read_bytes())

    @property
    def _signer(self) -> Any:
        return serialization.load_pem_private_key(self._authority.private_key_pem.bytes(), None)


def _pem(key: Any) -> bytes:
    content: bytes = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return content


def _write_private(path: Path, content: bytes) -> None:
    path.touch(mode=0o600)
    path.write_bytes(content)
