"""The files of TLS: what cannot be used is said at the start, with the setting, the file and the reason."""

import ssl
from collections.abc import Callable
from pathlib import Path

import pytest
from certificates import Authority
from cryptography.hazmat.primitives import serialization

from node.core.settings import CallerTls, ListenerTls, PacsDestination, Settings
from node.core.tls import CIPHER_SUITES, WrongTlsFile, caller_context, listener_context, require_caller_files

Spoil = Callable[[ListenerTls, Authority], ListenerTls]


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    """An authority of this test."""
    return Authority(tmp_path / "authority")


@pytest.fixture
def files(authority: Authority) -> ListenerTls:
    """Files that can be used."""
    own = authority.issue("node")
    return ListenerTls(certificate=own.certificate, key=own.key, authorities=authority.file)


def _missing(files: ListenerTls, authority: Authority) -> ListenerTls:
    files.certificate.unlink()
    return files


def _open_key(files: ListenerTls, authority: Authority) -> ListenerTls:
    files.key.chmod(0o604)
    return files


def _open_to_group(files: ListenerTls, authority: Authority) -> ListenerTls:
    files.key.chmod(0o640)
    return files


def _other_key(files: ListenerTls, authority: Authority) -> ListenerTls:
    return files.model_copy(update={"key": authority.issue("other").key})


def _locked(files: ListenerTls, authority: Authority) -> ListenerTls:
    key = serialization.load_pem_private_key(files.key.read_bytes(), None)
    form, locked = serialization.PrivateFormat.PKCS8, serialization.BestAvailableEncryption(b"word")
    files.key.write_bytes(key.private_bytes(serialization.Encoding.PEM, form, locked))
    return files


def _swapped(files: ListenerTls, authority: Authority) -> ListenerTls:
    return files.model_copy(update={"certificate": files.key})


def _no_pem(files: ListenerTls, authority: Authority) -> ListenerTls:
    files.authorities.write_bytes(b"\x30\x82")
    return files


def _broken(files: ListenerTls, authority: Authority) -> ListenerTls:
    files.authorities.write_text("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
    return files


def _weak(files: ListenerTls, authority: Authority) -> ListenerTls:
    weak = authority.weak()
    return files.model_copy(update={"certificate": weak.certificate, "key": weak.key})


@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        (_missing, "tls.certificate: {certificate}: No such file or directory"),
        (_open_key, "tls.key: {key} is readable by others: chmod 600 {key}"),
        (_open_to_group, "tls.key: {key} is readable by others: chmod 600 {key}"),
        (_other_key, "tls.key: {key} is not the key of {certificate}"),
        (_locked, "tls.key: {key} is locked by a passphrase"),
        (_swapped, "tls.certificate: {certificate} holds no certificate in PEM"),
        (_no_pem, "tls.authorities: {authorities} holds no certificate in PEM"),
        (_broken, "tls.authorities: {authorities} cannot be used: "),
        (_weak, "tls.certificate: {certificate} cannot be used: ee key too small"),
    ],
)
def test_what_is_wrong_with_a_file_is_said(
    files: ListenerTls, authority: Authority, spoil: Spoil, sentence: str
) -> None:
    """The message begins with the setting and the file, and says what to do about it."""
    listener_context(files)
    spoilt = spoil(files, authority)
    with pytest.raises(WrongTlsFile) as caught:
        listener_context(spoilt)
    assert str(caught.value).startswith(sentence.format(**spoilt.model_dump()))


def test_a_key_may_lie_beside_its_certificate(authority: Authority) -> None:
    """Towards a destination, one file may hold both; then it is the one that nobody else may read."""
    own = authority.issue("node")
    own.key.write_bytes(own.key.read_bytes() + own.certificate.read_bytes())
    caller_context(CallerTls(authorities=authority.file, certificate=own.key))
    own.key.chmod(0o644)
    with pytest.raises(WrongTlsFile, match=r"tls.certificate: .* is readable by others"):
        caller_context(CallerTls(authorities=authority.file, certificate=own.key))


def test_a_key_without_a_certificate_is_a_mistake(authority: Authority) -> None:
    """A key alone would silently go unused."""
    with pytest.raises(WrongTlsFile, match=r"tls.key: .* has no certificate beside it"):
        caller_context(CallerTls(authorities=authority.file, key=authority.issue("node").key))


def test_the_destination_is_named(tmp_path: Path) -> None:
    """Of several destinations the message names the one that is meant."""
    lost = CallerTls(authorities=tmp_path / "lost.pem")
    pacs = PacsDestination(kind="dicom", name="main", ae_title="PACS", host="192.0.2.9", port=104, tls=lost)
    require_caller_files(Settings())
    with pytest.raises(WrongTlsFile, match=r"^destinations.main.tls.authorities: .*lost.pem: No such file"):
        require_caller_files(Settings(destinations=(pacs,)))


def test_the_contexts_are_those_of_the_profile(files: ListenerTls) -> None:
    """TLS 1.2 and newer, four suites of TLS 1.2, certificates of both sides, no compression, renegotiation, tickets."""
    listener = listener_context(files)
    caller = caller_context(CallerTls(authorities=files.authorities))
    for context in (listener, caller):
        assert context.minimum_version is ssl.TLSVersion.TLSv1_2
        assert context.verify_mode is ssl.CERT_REQUIRED
        older = [one["name"] for one in context.get_ciphers() if one["protocol"] == "TLSv1.2"]
        assert older == list(CIPHER_SUITES)
        for option in (ssl.OP_NO_COMPRESSION, ssl.OP_NO_RENEGOTIATION, ssl.OP_NO_TICKET):
            assert context.options & option
    assert caller.check_hostname
