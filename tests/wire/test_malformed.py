"""Generated malformed files, offered by C-STORE to a listener process with limits."""

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from pydicom.uid import CTImageStorage, EnhancedCTImageStorage, ExplicitVRLittleEndian, generate_uid

from node.core.dicom import TRANSFER_SYNTAXES
from node.core.reasons import DoorRefusal

from .process import ListenerProcess
from .sender import associate, ct_slice, offer, offer_slice

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:pydicom")  # impossible UIDs are among the faults

_MEMORY = 3 * 2**30
_CLASSES = (CTImageStorage, EnhancedCTImageStorage)
_UID = re.compile(rb"[0-9][0-9.]{5,63}")


@pytest.fixture
def process(tmp_path: Path, free_port: Callable[[], int]) -> Iterator[ListenerProcess]:
    """A running listener process that cannot take more than 3 GB."""
    running = ListenerProcess(tmp_path, free_port(), memory=_MEMORY)
    yield running
    if running.process.poll() is None:
        running.end()


def _pieces(content: bytes) -> tuple[bytes, str, str, str]:
    """Take a malformed file apart without a parser: data set, transfer syntax, SOP class, SOP Instance UID."""
    begin = content.find(b"\x08\x00", 132)
    for group in (b"\x08\x00\x05\x00", b"\x08\x00\x16\x00", b"\x08\x00\x18\x00", b"\x10\x00\x10\x00"):
        if (found := content.find(group)) >= 0:
            begin = found
            break
    meta, data_set = content[:begin], content[begin:] if begin >= 0 else content
    syntaxes = [uid.decode() for uid in _UID.findall(meta) if uid.decode() in TRANSFER_SYNTAXES]
    sop_class = EnhancedCTImageStorage if EnhancedCTImageStorage.encode() in data_set[:300] else CTImageStorage
    named = re.search(rb"\x08\x00\x18\x00UI..([0-9.]{1,64})", data_set, re.DOTALL)
    uid = named[1].decode() if named else generate_uid()
    return data_set, syntaxes[-1] if syntaxes else ExplicitVRLittleEndian, sop_class, uid


def test_malformed_files_are_stored_or_refused_with_a_code(process: ListenerProcess, test_data: Path) -> None:
    """Each of them gets success or a coded reason, never C211; the listener serves on, and no thread of it died."""
    folder = test_data / "malformed"
    if not folder.is_dir():
        pytest.skip(f"no malformed files in {folder}")
    files = sorted(folder.glob("*.dcm"))
    codes = {str(code) for code in DoorRefusal}
    answers: dict[str, int] = {}
    proposed = [(sop_class, syntax) for sop_class in _CLASSES for syntax in TRANSFER_SYNTAXES]
    assoc = associate(process.settings.port, *proposed)
    for path in files:
        data_set, transfer_syntax, sop_class, uid = _pieces(path.read_bytes())
        answer = offer(assoc, data_set, uid, sop_class, 2 * proposed.index((sop_class, transfer_syntax)) + 1)
        assert "Status" in answer, path.name
        code = "stored" if answer.Status == 0 else answer.ErrorComment.split(":")[0]
        assert code == "stored" or code in codes, (path.name, hex(answer.Status), answer.ErrorComment)
        answers[code] = answers.get(code, 0) + 1
    assoc.release()
    assert sum(answers.values()) == len(files) > 0
    assert set(answers) >= {"stored", "dataset-truncated", "uid-invalid"}, answers
    assoc = associate(process.settings.port)
    assert offer_slice(assoc, ct_slice()) == 0
    assoc.release()
    events = [json.loads(line) for line in process.log.read_text().splitlines()]
    assert not [event for event in events if event["event"] in ("store-failed", "thread-died", "connection-failed")]
