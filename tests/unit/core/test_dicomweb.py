"""Sessions with DICOMweb servers: what the settings say is sent, and a file that cannot be used is an outage."""

from base64 import b64encode
from pathlib import Path
from typing import Any

import pytest
import requests

from node.core.dicomweb import session_of
from node.core.errors import Unavailable
from node.core.reasons import Outage
from node.core.settings import WebDestination

URL = "http://127.0.0.1:1/dicom-web"


def destination(**values: Any) -> WebDestination:
    """A DICOMweb destination."""
    return WebDestination(kind="dicomweb", name="web", url=URL, **values)


def authorization(session: requests.Session) -> str | None:
    """Return the header by which a session says who it is."""
    return session.prepare_request(requests.Request("GET", URL)).headers.get("Authorization")


def test_it_says_who_we_are_and_takes_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """User and password as UTF-8, or the token; without either nothing, whatever the account's netrc knows."""
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login somebody password else\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    (tmp_path / "secret").write_text("pässwörd €\n", encoding="utf-8")
    known = session_of(destination(user="nöde", password_file=tmp_path / "secret"))
    assert authorization(known) == f"Basic {b64encode('nöde:pässwörd €'.encode()).decode()}"
    (tmp_path / "secret").write_text("s3cret\n")
    assert authorization(session_of(destination(token_file=tmp_path / "secret"))) == "Bearer s3cret"
    assert authorization(session_of(destination())) is None
    assert authorization(session_of(None)) is None
    ours = tmp_path / "ca.pem"
    ours.write_text("")
    assert session_of(destination(authorities=ours)).verify == str(ours)


@pytest.mark.parametrize("content", [None, b"\n", b"\xff\xfes3cret", b"s3cret\r\nX-Other: 1", "s3cret€".encode()])
def test_a_file_that_holds_no_token_is_an_outage(tmp_path: Path, content: bytes | None) -> None:
    """One that is away, is no text, or would not fit a header: with the name of the file, and not what is in it."""
    file = tmp_path / "token"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(Unavailable) as caught:
        session_of(destination(token_file=file))
    assert caught.value.code is Outage.DESTINATION_REFUSED
    assert str(file) in caught.value.detail
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize("name", ["password_file", "authorities"])
def test_other_files_that_cannot_be_used(tmp_path: Path, name: str) -> None:
    """A password that is no text, and authorities that are not there."""
    if name == "password_file":
        (tmp_path / "file").write_bytes(b"\xff\xfe")
    with pytest.raises(Unavailable, match=str(tmp_path / "file")) as caught:
        session_of(destination(user="node", **{name: tmp_path / "file"}))
    assert caught.value.code is Outage.DESTINATION_REFUSED
