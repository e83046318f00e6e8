"""Rejection notes: promised with the results, written when they are proven, and only for what is there."""

from collections.abc import Callable
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from pydicom import Dataset, dcmread

from node.core.errors import Unavailable
from node.core.ledger import Ledger, deliveries
from node.core.ledger.deliveries import REJECTION
from node.core.ledger.tables import Delivery
from node.core.reasons import Outage
from node.core.records import JobRequest
from node.core.settings import PacsDestination, Settings
from node.core.spool import Spool
from node.core.states import DeliveryState
from workers import rejection
from workers.tasks import Desk

PENDING, SENT, PROVEN = DeliveryState.PENDING, DeliveryState.SENT, DeliveryState.PROVEN


def pacs(name: str, *, reject: bool) -> PacsDestination:
    return PacsDestination(
        kind="dicom", name=name, ae_title="PACS", host="127.0.0.1", port=104, reject_superseded=reject
    )


class Site:
    """A site with a PACS that wants notes, one that does not, and a folder; nothing is really sent."""

    def __init__(self, desk: Desk, clock: Any, enter: Callable[[JobRequest], str], request: JobRequest) -> None:
        self.desk = desk
        self.clock = clock
        self._enter = enter
        self._request = request

    def report(self, version: str) -> str:
        """Have the study measured by a version: each makes another job, which supersedes those before."""
        self.clock.forward(60)
        key = self._enter(replace(self._request, segmentations=(), version=version))
        self.desk.segment(key)
        return key

    def rows(self, key: str, destination: str = "pacs") -> dict[str, Delivery]:
        """Return the deliveries of a job to a destination by kind."""
        with self.desk.ledger.transaction() as session:
            return {one.kind: one for one in deliveries.of_job(session, key) if one.destination == destination}

    def prove(self, key: str, destination: str = "pacs", *, state: DeliveryState = PROVEN) -> None:
        """Have all results of a job arrive at a destination."""
        with self.desk.ledger.transaction() as session:
            for one in deliveries.of_job(session, key):
                if one.destination == destination and one.kind != REJECTION:
                    deliveries.mark_sent(session, one, "status 0000")
                    if state is PROVEN:
                        deliveries.mark_proven(session, one, "found")

    def write(self, key: str, destination: str = "pacs") -> None:
        """Write the note that is due, as a worker does before it delivers."""
        rejection.write(key, destination, self.desk.spool, self.desk.ledger)

    def note(self, key: str) -> Dataset:
        """Return the note for the PACS."""
        return dcmread(BytesIO(self.desk.spool.work(key).read("rejection-pacs.dcm")))


@pytest.fixture
def site(
    ledger: Ledger,
    spool: Spool,
    settings: Settings,
    clock: Any,
    enter: Callable[[JobRequest], str],
    request_of_phantom: JobRequest,
) -> Site:
    """A site whose studies are refused, with an SR as the result."""
    destinations = (pacs("pacs", reject=True), pacs("other", reject=False), *settings.destinations)
    chosen = settings.model_copy(update={"destinations": destinations})
    return Site(Desk(chosen, spool, ledger, owner="w1"), clock, enter, request_of_phantom)


def rejected(note: Dataset) -> set[str]:
    (study,) = note.CurrentRequestedProcedureEvidenceSequence
    return {
        item.ReferencedSOPInstanceUID
        for series in study.ReferencedSeriesSequence
        for item in series.ReferencedSOPSequence
    }


def test_a_first_result_rejects_nothing(site: Site) -> None:
    """There is nothing that it supersedes."""
    assert set(site.rows(site.report("1"))) == {"sr"}


def test_what_a_destination_does_not_want_is_neither_sent_nor_rejects(site: Site) -> None:
    """A refusal for a PACS that wants none: the result that it has stays what it is, and the others are told."""
    old = site.report("1")
    site.prove(old)
    chosen = [one.model_copy(update={"refusals": one.name != "pacs"}) for one in site.desk.settings.destinations]
    site.desk = replace(site.desk, settings=site.desk.settings.model_copy(update={"destinations": tuple(chosen)}))
    new = site.report("2")
    assert {name: set(site.rows(new, name)) for name in ("pacs", "other", "folder")} == {
        "pacs": set(),
        "other": {"sr"},
        "folder": {"sr"},
    }


def test_a_later_result_rejects_what_arrived(site: Site) -> None:
    """One note, for the PACS that asks for it; it is written when the new result is proven, with a UID of the job's."""
    old = site.report("1")
    for destination in ("pacs", "other", "folder"):
        site.prove(old, destination)
    new = site.report("2")
    assert {name: set(site.rows(new, name)) for name in ("pacs", "other", "folder")} == {
        "pacs": {"sr", REJECTION},
        "other": {"sr"},
        "folder": {"sr"},
    }
    site.write(new)
    assert site.rows(new)[REJECTION].digest == ""
    site.prove(new)
    site.write(new)
    row, note = site.rows(new)[REJECTION], site.note(new)
    assert (row.state, row.file, len(row.digest)) == (PENDING, "rejection-pacs.dcm", 64)
    assert note.SOPInstanceUID == row.sop_instance_uid
    assert note.StudyInstanceUID == dcmread(_file(site, new)).StudyInstanceUID
    assert rejected(note) == {site.rows(old)["sr"].sop_instance_uid}
    title = note.ConceptNameCodeSequence[0]
    assert (title.CodeValue, title.CodingSchemeDesignator) == ("113001", "DCM")


def _file(site: Site, key: str) -> Path:
    return site.desk.spool.root / site.desk.spool.work(key).path / "sr.dcm"


def test_a_note_that_cannot_be_written_is_tried_again(site: Site) -> None:
    """The file of an earlier object is gone: the reason is kept, by the worker that came to deliver the note."""
    old = site.report("1")
    site.prove(old)
    new = site.report("2")
    site.prove(new)
    _file(site, old).unlink()
    site.desk.deliver(new, "pacs")
    row = site.rows(new)[REJECTION]
    assert (row.state, row.reason, row.attempts) == (PENDING, "spool-failed", 1)


def test_a_note_is_the_same_when_it_is_written_again(site: Site) -> None:
    """Its bytes come from the job, not from the clock."""
    site.prove(site.report("1"))
    new = site.report("2")
    site.prove(new)
    site.write(new)
    before = site.desk.spool.work(new).read("rejection-pacs.dcm")
    site.clock.forward(3600)
    with site.desk.ledger.transaction() as session:
        session.get_one(Delivery, (site.rows(new)[REJECTION].sop_instance_uid, "pacs")).digest = ""
    site.write(new)
    assert site.desk.spool.work(new).read("rejection-pacs.dcm") == before


def test_what_never_left_is_not_rejected(site: Site) -> None:
    """Superseded before anything was sent: no note is promised."""
    site.report("1")
    assert set(site.rows(site.report("2"))) == {"sr"}


def test_what_was_lost_on_its_way_closes_the_note(site: Site) -> None:
    """Sent when the note was promised, and then found not to be there: nothing is rejected, and the row says so."""
    old = site.report("1")
    site.prove(old, state=SENT)
    new = site.report("2")
    site.prove(new)
    site.write(new)
    assert site.rows(new)[REJECTION].digest == ""  # it is not known yet what arrived
    with site.desk.ledger.transaction() as session:
        one = session.get_one(Delivery, (site.rows(old)["sr"].sop_instance_uid, "pacs"))
        lost = Unavailable(Outage.DESTINATION_LOST, "PACS")
        deliveries.try_again(session, one, lost, deliveries.Schedule.of(site.desk.settings))
    site.write(new)
    row = site.rows(new)[REJECTION]
    assert (row.state, row.proof) == (PROVEN, "nothing of an earlier result is there to be rejected")


def test_results_of_two_jobs_are_rejected_at_once(site: Site) -> None:
    """The second never came to reject the first: the third rejects both."""
    first = site.report("1")
    site.prove(first)
    second = site.report("2")
    site.prove(second)
    third = site.report("3")
    site.prove(third)
    site.write(third)
    assert rejected(site.note(third)) == {site.rows(key)["sr"].sop_instance_uid for key in (first, second)}


def test_each_destination_has_its_own_note(site: Site) -> None:
    """Two PACS with other contents: other UIDs, other files."""
    both = (pacs("pacs", reject=True), pacs("other", reject=True))
    site.desk = replace(site.desk, settings=site.desk.settings.model_copy(update={"destinations": both}))
    old = site.report("1")
    site.prove(old)
    site.prove(old, "other")
    new = site.report("2")
    notes = [site.rows(new, name)[REJECTION] for name in ("pacs", "other")]
    assert len({one.sop_instance_uid for one in notes}) == len({one.file for one in notes}) == 2
