"""Delivery to a real Orthanc: storage commitment on an association of its own, STOW-RS, a rejection note.

Beside it two PACS that do not take everything, for the studies of one caller.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from io import BytesIO

import pytest
from pacs import Pacs, serving
from pydicom import dcmread
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, KeyObjectSelectionDocumentStorage
from pynetdicom import build_context

from node.core.kinds import Kind
from node.core.ledger import deliveries
from node.core.ledger.tables import Delivery
from node.core.states import DeliveryState, JobState
from node.servers import CannotStart, Orthanc, free_port

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

[[destinations]]
kind = "dicom"
name = "images"
ae_title = "IMAGES"
host = "{host}"
port = {images}
callers = ["{visitor}"]

[[destinations]]
kind = "dicom"
name = "nothing"
ae_title = "NOTHING"
host = "{host}"
port = {nothing}
callers = ["{visitor}"]

[[calling]]
ae_title = "{visitor}"
hosts = ["{host}"]
"""
_VISITOR = "VISITOR"  # whose studies also go to the two that do not take everything
_RESULTS = {"seg", "sr", "sr-viewer"}
_SERIES = "0020000E"


@dataclass
class CommittedStack(Stack):
    """A site whose PACS is asked for storage commitment and told what is superseded, and has DICOMweb beside it."""

    wait_s: float = 600.0
    images: Pacs = field(default_factory=lambda: Pacs(free_port(), keeps=True))
    nothing: Pacs = field(default_factory=lambda: Pacs(free_port(), keeps=True))

    def __post_init__(self) -> None:
        super().__post_init__()
        head = self.config.read_text().partition("\n[[destinations]]")[0]
        facts = {"pacs": PACS, "host": HOST, "port": self.orthanc.dicom_port, "url": self.orthanc.url}
        facts |= {"images": self.images.port, "nothing": self.nothing.port, "visitor": _VISITOR}
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


def test_a_pacs_that_takes_images_only_gets_the_summary(site: Stack, study: Sent) -> None:
    """It is told by the Summary, which is no failure; a PACS that refuses that too is one, by the exit code as well."""
    assert isinstance(site, CommittedStack)
    takes = [build_context(one, ExplicitVRLittleEndian) for one in (CTImageStorage, Kind.SUMMARY.sop_class_uid)]
    with serving(site.images, takes, "IMAGES"), serving(site.nothing, takes[:1], "NOTHING"):
        site.give([study.seg], READER)
        site.give(study.slices, _VISITOR)
        view = site.wait(study.uid, lambda view: _settled(view.kinds("images")) and _settled(view.kinds("nothing")))
    told, failed = view.kinds("images"), view.kinds("nothing")
    assert set(told) == set(failed) == _RESULTS | {"summary"}
    assert told["summary"].proof == "found by C-FIND at IMAGES"
    for kind in _RESULTS:
        assert (told[kind].reason, told[kind].substitute_uid) == ("sop-class-refused", told["summary"].sop_instance_uid)
    assert [ds.SOPInstanceUID for ds in site.images.listed] == [told["summary"].sop_instance_uid]
    assert {deliveries.given_up(deliveries.stand_in(one, list(failed.values()))) for one in failed.values()} == {True}
    assert site.nothing.received == []
    words = " ".join(site.cli("status", study.uid, code=1).split())
    assert "to images: SEG delivered as SUMMARY" in words
    assert "to nothing: SEG failed after 1 attempts: sop-class-refused" in words


def _settled(there: Mapping[str, Delivery]) -> bool:
    """Say whether each object of a result at a destination is proven or given up, or something else goes for it."""
    ended = (DeliveryState.PROVEN, DeliveryState.FAILED)
    return "summary" in there and all(one.state in ended for one in there.values())
