"""DICOM TLS, both ways: the BCP 195 profile of PS3.15 section B.12 (RFC 8996, RFC 9325), with mutual certificates.

Comes in: the settings' files, a connection. Goes out: contexts for the listener and for our own client, a connection
under TLS. TLS 1.2 with the four suites that the profile demands and TLS 1.3; nothing older, no renegotiation, no
compression, no session that is taken up again: every connection proves who it is. A file of authorities that holds
revocation lists is held against every certificate.

What can go wrong: a file that cannot be used (`WrongTlsFile`, at the start, with its setting and name), a handshake
that fails (`HandshakeFailed`, with a `TlsFault` for the audit trail). Who is next: `node.association` and
`node.core.peer`.
"""

import contextlib
import socket
import ssl
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

from node.core.reasons import Coded
from node.core.settings import CallerTls, ListenerTls, PacsDestination, Settings, WebTls

CIPHER_SUITES = (  # of TLS 1.2, RFC 9325 section 4.2
    "ECDHE-ECDSA-AES256-GCM-SHA384",
    "ECDHE-RSA-AES256-GCM-SHA384",
    "ECDHE-ECDSA-AES128-GCM-SHA256",
    "ECDHE-RSA-AES128-GCM-SHA256",
)
_STRENGTH = "@SECLEVEL=2"  # of OpenSSL: RSA from 2048 bits, curves from 224, no SHA-1; RFC 9325 section 4.5
_HANDSHAKE = b"\x16"  # record type, RFC 8446 section 5.1
_OTHERS = 0o077
_LINGER_S, _LINGER_BYTES = 2.0, 1 << 20


class TlsFault(Coded):
    """Why a handshake failed."""

    PLAIN_CLIENT = "plain-client", "The client spoke without TLS."
    PROTOCOL_VERSION = "protocol-version", "The peer offered no version of TLS that is allowed (1.2 and 1.3)."
    CIPHER_SUITES = "cipher-suites", "The peer offered no cipher suite that is allowed."
    NO_CERTIFICATE = "no-certificate", "The client has no certificate."
    CERTIFICATE_EXPIRED = "certificate-expired", "The peer's certificate has expired."
    CERTIFICATE_EARLY = "certificate-early", "The peer's certificate is not valid yet."
    CERTIFICATE_REVOKED = "certificate-revoked", "The peer's certificate was revoked."
    CERTIFICATE_WEAK = "certificate-weak", "The peer's certificate has a key or a signature that is too weak."
    CERTIFICATE_INVALID = "certificate-invalid", "The peer's certificate cannot be accepted."
    AUTHORITY_UNKNOWN = "authority-unknown", "The peer's certificate is not of an authority that is accepted."
    WRONG_NAME = "wrong-name", "The server's certificate is of another host name or address."
    REFUSED_BY_PEER = "refused-by-peer", "The peer ended the handshake."
    TOO_SLOW = "handshake-too-slow", "The peer did not finish the handshake in time."
    BROKEN = "handshake-broken", "The connection broke in the handshake."


_VERIFICATION = {  # X509_V_ERR_* of OpenSSL
    **dict.fromkeys((2, 7, 18, 19, 20, 21), TlsFault.AUTHORITY_UNKNOWN),
    9: TlsFault.CERTIFICATE_EARLY,
    10: TlsFault.CERTIFICATE_EXPIRED,
    23: TlsFault.CERTIFICATE_REVOKED,
    **dict.fromkeys((62, 64), TlsFault.WRONG_NAME),
    **dict.fromkeys((66, 67, 68), TlsFault.CERTIFICATE_WEAK),
}
_REASONS = {  # of ssl.SSLError
    "PEER_DID_NOT_RETURN_A_CERTIFICATE": TlsFault.NO_CERTIFICATE,
    "UNSUPPORTED_PROTOCOL": TlsFault.PROTOCOL_VERSION,
    "VERSION_TOO_LOW": TlsFault.PROTOCOL_VERSION,
    "NO_SHARED_CIPHER": TlsFault.CIPHER_SUITES,
    "NO_SUITABLE_SIGNATURE_ALGORITHM": TlsFault.CIPHER_SUITES,
    "EE_KEY_TOO_SMALL": TlsFault.CERTIFICATE_WEAK,
    "DH_KEY_TOO_SMALL": TlsFault.CIPHER_SUITES,
    "UNEXPECTED_EOF_WHILE_READING": TlsFault.BROKEN,
}


class WrongTlsFile(RuntimeError):
    """A file of the TLS settings cannot be used; the message names the setting and the file, and says why."""


class HandshakeFailed(ConnectionError):
    """There is no TLS with this peer.

    Parameters
    ----------
    fault
        Why.
    detail
        What was seen, in OpenSSL's words; nothing that the peer wrote.
    """

    def __init__(self, fault: TlsFault, detail: str = "") -> None:
        self.fault = fault
        self.detail = detail
        super().__init__(f"{fault.sentence.rstrip('.')} ({detail})" if detail else fault.sentence.rstrip("."))


def listener_context(settings: ListenerTls, where: str = "tls") -> ssl.SSLContext:
    """Return the context of a listener that wants a certificate of each client.

    Raises
    ------
    WrongTlsFile
        A file is missing, readable by others, or not what the setting says.
    """
    context = _serving(settings, where)
    context.num_tickets = 0
    _load_authorities(context, where, settings.authorities)
    return context


def page_context(settings: WebTls, where: str = "web_tls") -> ssl.SSLContext:
    """Return the context of the page, which people open without a certificate of their own.

    Raises
    ------
    WrongTlsFile
        A file is missing, readable by others, or not what the setting says.
    """
    context = _serving(settings, where)
    context.verify_mode = ssl.CERT_NONE
    return context


def caller_context(settings: CallerTls, where: str = "tls") -> ssl.SSLContext:
    """Return the context of our client: the server's certificate is verified, its name in `subjectAltName`.

    Raises
    ------
    WrongTlsFile
        As `listener_context`.
    """
    context = _context(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = True
    context.hostname_checks_common_name = False
    if settings.certificate is not None:
        _load_own(context, where, settings.certificate, settings.key)
    elif settings.key is not None:
        raise WrongTlsFile(f"{where}.key: {settings.key} has no certificate beside it")
    _load_authorities(context, where, settings.authorities)
    return context


def require_caller_files(settings: Settings) -> None:
    """Raise `WrongTlsFile` unless the files for every destination can be used."""
    for destination in settings.destinations:
        if isinstance(destination, PacsDestination) and destination.tls is not None:
            caller_context(destination.tls, f"destinations.{destination.name}.tls")


def speaks(connection: socket.socket) -> bool:
    """Wait for the first byte and say whether there is one; a health check says nothing and hangs up."""
    with contextlib.suppress(OSError):
        return bool(connection.recv(1, socket.MSG_PEEK))
    return False


def accept(context: ssl.SSLContext, connection: socket.socket) -> ssl.SSLSocket:
    """Do the handshake of a client, all of it within the connection's time-out.

    Raises
    ------
    HandshakeFailed
        The client was told by an alert, if it spoke TLS; `connection` is of no more use.
    """
    with _named_faults():
        if connection.recv(1, socket.MSG_PEEK) != _HANDSHAKE:
            raise HandshakeFailed(TlsFault.PLAIN_CLIENT)
        secured = context.wrap_socket(connection, server_side=True, do_handshake_on_connect=False)
    try:
        with _named_faults():
            secured.do_handshake()
    except HandshakeFailed:
        _linger(secured)
        raise
    return secured


def why_not(context: ssl.SSLContext, host: str, port: int, timeout_s: float) -> str:
    """Connect to a server once more, only to learn in words why there is no association with it.

    In TLS 1.3 a server refuses a client after that one's handshake has ended, hence the look at the first byte.
    """
    try:
        connection = socket.create_connection((host, port), timeout=timeout_s)
        with connection, _named_faults(), context.wrap_socket(connection, server_hostname=host) as secured:
            secured.recv(1)
    except HandshakeFailed as error:
        if error.fault is not TlsFault.TOO_SLOW:
            return f"TLS: {str(error)[0].lower()}{str(error)[1:]}"
    except TimeoutError:
        return f"no answer within {timeout_s:g} s"
    except OSError as error:
        return (error.strerror or str(error)).lower()
    return "it took the connection and did not answer the association request"


@contextlib.contextmanager
def _named_faults() -> Iterator[None]:
    """Turn the errors of a handshake into `HandshakeFailed`."""
    try:
        yield
    except ssl.SSLCertVerificationError as error:
        fault = _VERIFICATION.get(error.verify_code, TlsFault.CERTIFICATE_INVALID)
        words = "" if fault is TlsFault.WRONG_NAME else str(error.verify_message)
        raise HandshakeFailed(fault, words) from error
    except ssl.SSLError as error:
        reason = error.reason or ""
        if "_ALERT_" in reason:
            raise HandshakeFailed(TlsFault.REFUSED_BY_PEER, _words(reason.partition("_ALERT_")[2])) from error
        raise HandshakeFailed(_REASONS.get(reason, TlsFault.BROKEN), _words(reason)) from error
    except TimeoutError as error:
        raise HandshakeFailed(TlsFault.TOO_SLOW) from error
    except (ConnectionResetError, BrokenPipeError) as error:
        raise HandshakeFailed(TlsFault.BROKEN) from error


def _words(reason: str) -> str:
    return reason.lower().replace("_", " ")


def _context(protocol: int) -> ssl.SSLContext:
    context = ssl.SSLContext(protocol)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(":".join((*CIPHER_SUITES, _STRENGTH)))
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_TICKET
    context.verify_mode = ssl.CERT_REQUIRED
    return context


def _serving(settings: ListenerTls | WebTls, where: str) -> ssl.SSLContext:
    context = _context(ssl.PROTOCOL_TLS_SERVER)
    context.options |= ssl.OP_CIPHER_SERVER_PREFERENCE
    _load_own(context, where, settings.certificate, settings.key)
    return context


def _load_own(context: ssl.SSLContext, where: str, certificate: Path, key: Path | None) -> None:
    """Load our certificate and its key, which may lie in the certificate's file."""
    name, holder = (f"{where}.certificate", certificate) if key is None else (f"{where}.key", key)
    _pem(f"{where}.certificate", certificate, b"CERTIFICATE")
    _pem(name, holder, b"PRIVATE KEY")
    if holder.stat().st_mode & _OTHERS:
        raise WrongTlsFile(f"{name}: {holder} is readable by others: chmod 600 {holder}")

    def locked() -> NoReturn:
        raise WrongTlsFile(f"{name}: {holder} is locked by a passphrase")

    try:
        context.load_cert_chain(certificate, key, password=locked)
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            raise WrongTlsFile(f"{name}: {holder} is not the key of {certificate}") from error
        raise WrongTlsFile(
            f"{where}.certificate: {certificate} cannot be used: {_words(error.reason or 'not PEM')}"
        ) from error


def _load_authorities(context: ssl.SSLContext, where: str, authorities: Path) -> None:
    content = _pem(f"{where}.authorities", authorities, b"CERTIFICATE")
    try:
        context.load_verify_locations(authorities)
    except ssl.SSLError as error:
        raise WrongTlsFile(
            f"{where}.authorities: {authorities} cannot be used: {_words(error.reason or 'not PEM')}"
        ) from error
    if b"-----BEGIN X509 CRL-----" in content:
        context.verify_flags |= ssl.VERIFY_CRL_CHECK_LEAF


def _pem(name: str, path: Path, kind: bytes) -> bytes:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise WrongTlsFile(f"{name}: {path}: {error.strerror}") from error
    if not any(line.startswith(b"-----BEGIN ") and kind in line for line in content.splitlines()):
        raise WrongTlsFile(f"{name}: {path} holds no {kind.decode().lower()} in PEM")
    return content


def _linger(secured: ssl.SSLSocket) -> None:
    """Read what a refused client still sends: closed with unread bytes, the connection would swallow our alert."""
    plain = socket.socket(fileno=secured.detach())
    deadline, left = time.monotonic() + _LINGER_S, _LINGER_BYTES
    with plain, contextlib.suppress(OSError):
        plain.settimeout(_LINGER_S)
        plain.shutdown(socket.SHUT_WR)
        while left > 0 and time.monotonic() < deadline and (piece := plain.recv(65536)):
            left -= len(piece)
