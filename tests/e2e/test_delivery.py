"""Delivery to a real Orthanc: storage commitment on an association of its own, STOW-RS, a rejection note."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from io import BytesIO

import pytest
from pydicom import dcmread
from pydicom.uid import KeyObjectSelectionDocumentStorage

from node.core.states import JobState
from node.servers import CannotStart, Orthanc

from .conftest import Sent
from .stack import HOST, PACS, READER, SCANNER, Stack

_DESTINATIONS = """
[[destinations]]
kind = "dicom"
name = "pacs"
ae_title = "{pacs}"
host = "{host}"
port = {port}
commitment = true
commitment_wait_s = {wait_s}
reject_superseded = true

[[destinations]]
kind = "dicomweb"
name = "web"
url = "{url}/dicom-web"
"""
_RESULTS = {"seg", "sr", "sr-viewer"}
_SERIES = "0020000E"


@dataclass
class CommittedStack(Stack):
    """A site whose PACS is asked for storage commitment and told what is superseded, and has DICOMweb beside it."""

    wait_s: float = 600.0

    def __post_init__(self) -> None:
        super().__post_init__()
        head = self.config.read_text().partition("\n[[destinations]]")[0]
        facts = {"pacs": PACS, "host": HOST, "port": self.orthanc.dicom_port, "url": self.orthanc.url}
        self.config.write_text(head + _DESTINATIONS.format(wait_s=self.wait_s, **facts))


def running(site: Stack, lacking: Callable[[str], None]) -> Iterator[Stack]:
    """Run a site until its tests are done."""
    try:
        site.start()
        yield site
    except CannotStart as error:
        lacking(str(error))
    finally:
        site.stop()


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, lacking: Callable[[str], None]) -> Iterator[Stack]:
    """A running site whose PACS answers."""
    if not Orthanc.available():
        lacking("Orthanc")
    yield from running(CommittedStack(tmp_path_factory.mktemp("committed")), lacking)


def arrivals(site: Stack) -> list[str]:
    """Return the SOP Instance UIDs that the PACS holds, in the order in which it received them."""
    changes = site.archive.rest("/changes?limit=100000")["Changes"]
    ids = [change["ID"] for change in changes if change["ChangeType"] == "NewInstance"]
    held = set(site.archive.rest("/instances"))
    return [site.archive.rest(f"/instances/{one}/simplified-tags")["SOPInstanceUID"] for one in ids if one in held]


def test_a_committed_result_a_later_one_and_the_note_that_rejects_the_first(site: Stack, study: Sent) -> None:
    """Each object is committed by Orthanc; the first result is rejected there after the second has arrived."""
    site.give([study.seg], READER)
    site.give(study.slices[15:], SCANNER)  # the SEG is not of their grid: refused, by an SR
    first = site.wait(study.uid)
    assert set(first.kinds()) == set(first.kinds("web")) == {"sr"}
    for row in first.kinds().values():
        assert row.proof == f"committed in transaction {row.transaction_uid}"
    assert {row.proof for row in first.kinds("web").values()} == {"found by QIDO-RS at web"}

    site.give(study.slices[:15], SCANNER)
    second = site.wait(study.uid, lambda view: view.proven and view.job.key != first.job.key)
    assert [job.state for job in second.jobs] == [JobState.SUPERSEDED, JobState.REPORTED]
    assert set(second.kinds()) == _RESULTS | {"rejection"}
    assert set(second.kinds("web")) == _RESULTS
    note = second.kinds()["rejection"]
    assert note.proof == f"committed in transaction {note.transaction_uid}"
    order = arrivals(site)
    results = [row.sop_instance_uid for kind, row in second.kinds().items() if kind != "rejection"]
    assert order.index(note.sop_instance_uid) > max(map(order.index, results))

    (found,) = site.archive.qido(f"instances?SOPInstanceUID={note.sop_instance_uid}")
    kept = dcmread(BytesIO(site.archive.wado(study.uid, found[_SERIES]["Value"][0], note.sop_instance_uid)))
    assert kept.SOPClassUID == KeyObjectSelectionDocumentStorage
    title = kept.ConceptNameCodeSequence[0]
    assert (title.CodeValue, title.CodingSchemeDesignator) == ("113001", "DCM")
    (of_study,) = kept.CurrentRequestedProcedureEvidenceSequence
    rejected = {
        item.ReferencedSOPInstanceUID
        for series in of_study.ReferencedSeriesSequence
        for item in series.ReferencedSOPSequence
    }
    assert rejected == {row.sop_instance_uid for row in first.kinds().values()}
