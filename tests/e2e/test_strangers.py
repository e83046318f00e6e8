"""What else reaches the port of a hospital: the running node answers each clearly and keeps serving."""

import socket
import threading
from pathlib import Path

import pytest
from pydicom import dcmread
from pydicom.uid import ExplicitVRLittleEndian
from pynetdicom import AE, build_context
from pynetdicom.sop_class import CTImageStorage, MRImageStorage  # type: ignore[attr-defined]

from node.core.errors import Unavailable
from node.core.peer import Peer

from .conftest import Sent
from .stack import HOST, NODE, READER, SCANNER, Stack


def talk_nonsense(port: int) -> None:
    """A port scanner: HTTP to a DICOM port, then silence in another connection that is closed by us."""
    with socket.create_connection((HOST, port), timeout=20) as web, socket.create_connection((HOST, port)):
        web.sendall(b"GET / HTTP/1.1\r\nHost: node\r\n\r\n")
        assert web.recv(1000) == b""


def offer_wrong_class(port: int, path: Path) -> None:
    """An MR image beside a CT context: MR is not accepted, so it cannot even be sent."""
    ae = AE(SCANNER)
    contexts = [build_context(CTImageStorage), build_context(MRImageStorage)]
    assoc = ae.associate(HOST, port, contexts, NODE)
    try:
        assert assoc.is_established
        assert [str(one.abstract_syntax) for one in assoc.rejected_contexts] == [MRImageStorage]
        ds = dcmread(path)
        ds.SOPClassUID = ds.file_meta.MediaStorageSOPClassUID = MRImageStorage
        with pytest.raises(ValueError, match="No presentation context"):
            assoc.send_c_store(ds)
    finally:
        assoc.release()


def offer_truncated(port: int, path: Path) -> None:
    """A slice whose pixel data end early: C000 with the reason, and nothing is stored."""
    ds = dcmread(path)
    ds.SOPInstanceUID = ds.file_meta.MediaStorageSOPInstanceUID = "2.25.77002"
    ds.PixelData = ds.PixelData[:100]
    assoc = AE(SCANNER).associate(HOST, port, [build_context(CTImageStorage, ExplicitVRLittleEndian)], NODE)
    try:
        answer = assoc.send_c_store(ds)
        assert answer.Status == 0xC000
        assert "dataset-truncated" in answer.ErrorComment
    finally:
        assoc.release()


def test_strangers_while_a_study_travels(stack: Stack, study: Sent) -> None:
    """Nonsense, an unknown AE, a wrong called AE, a wrong class, a cut slice, all at once: the study arrives whole."""
    stack.give([study.seg], READER)
    started, faults = threading.Event(), []

    def send() -> None:
        def step(_: object) -> None:
            started.set()

        faults.extend(one for one in stack.node(SCANNER).store(list(study.slices), step) if one.error)

    sender = threading.Thread(target=send)
    sender.start()
    assert started.wait(30)
    talk_nonsense(stack.port)
    with pytest.raises(Unavailable, match="Calling AE title not recognised"):
        stack.node("STRANGER").echo()
    with pytest.raises(Unavailable, match="Called AE title not recognised"):
        Peer("OTHER", HOST, stack.port, SCANNER).echo()
    offer_wrong_class(stack.port, study.slices[0])
    offer_truncated(stack.port, study.slices[0])
    sender.join(60)
    assert faults == []
    view = stack.wait(study.uid)
    assert len(stack.instances(study.uid)) == len(study.slices) + 1
    assert set(view.kinds()) == {"seg", "sr", "sr-viewer"}
    assert "2.25.77002" not in stack.pacs().instances_of(study.uid)
    assert "association-rejected" in stack.log("listen")
    assert "dataset-truncated" in stack.log("listen")
    assert "Traceback" not in stack.log("listen") + stack.log("steward")
