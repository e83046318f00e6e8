"""Both sides of DICOM TLS in tests: what a listener and a caller are told, and what a good caller does."""

import os
import subprocess
from pathlib import Path

import pytest
from certificates import Authority, Identity
from foreign import foreign

from node.core.peer import Peer
from node.core.settings import CallerTls, ListenerTls

from .sender import ct_slice, data_set_of, file_of


def listener_tls(authority: Authority, authorities: Path | None = None) -> ListenerTls:
    """Return the settings of a listener with a good certificate, which accepts those of `authorities`."""
    own = authority.issue("node")
    return ListenerTls(certificate=own.certificate, key=own.key, authorities=authorities or authority.file)


def caller_tls(authority: Authority, identity: Identity | None) -> CallerTls:
    """Return the settings of a caller that trusts `authority` and shows `identity`, or no certificate."""
    own = {"certificate": identity.certificate, "key": identity.key} if identity else {}
    return CallerTls(authorities=authority.file, **own)


def stores(peer: Peer, folder: Path) -> bytes:
    """Echo, then store a slice; return its data set."""
    peer.echo()
    path = folder / "slice.dcm"
    path.write_bytes(file_of(ct_slice()))
    (stored,) = peer.store([path])
    assert (stored.status, stored.error) == (0, None)
    return data_set_of(path.read_bytes())


def program(name: str, *arguments: str | Path) -> list[str]:
    """Return the command line of a foreign program; the test is skipped where it is missing."""
    found = foreign(name)
    if found is None:
        (pytest.fail if os.environ.get("CRLM_TEST_REQUIRE_ALL") else pytest.skip)(f"{name} is missing")
    return [str(found), *map(str, arguments)]


def run(name: str, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run a foreign program to its end, with nothing to read."""
    command = program(name, *arguments)
    return subprocess.run(command, input="", capture_output=True, text=True, errors="replace", timeout=60, check=False)
