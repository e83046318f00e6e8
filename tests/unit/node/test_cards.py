"""The cards that people look studies up by."""

from collections.abc import Callable
from datetime import date
from typing import Any

import pytest
from pydicom.uid import SegmentationStorage

from node.cards import Cards
from node.core.ledger import Ledger, worklist
from node.core.ledger.tables import StoredInstance, StudyCard
from node.core.ledger.worklist import Search
from node.core.spool import Spool

ASKED = {"AccessionNumber": "ACC-1", "StudyDate": "20261001", "StudyDescription": "CT abdomen"}


@pytest.fixture
def ledger_url(tmp_path: Any) -> str:
    """In SQLite alone: the queries are looked at in both databases with the worklist."""
    return f"sqlite:///{tmp_path / 'ledger.sqlite'}"


def card(ledger: Ledger) -> StudyCard:
    """Return the one card."""
    with ledger.reading() as session:
        return session.query(StudyCard).one()


def test_a_new_study_gets_a_card(
    ledger: Ledger, spool: Spool, receive: Callable[..., Any], series: Callable[..., Any]
) -> None:
    """As one of its images says it, before it is complete; it is then found by its name."""
    receive(series(count=3, **ASKED))
    Cards(ledger, spool).round()
    found = card(ledger)
    assert (found.patient_id, found.patient_name, found.accession_number) == ("P1", "Doe Jane", "ACC-1")
    assert (found.study_date, found.description) == (date(2026, 10, 1), "CT abdomen")
    with ledger.reading() as session:
        assert [row.patient_name for row in worklist.page(session, Search(text="jane doe")).rows] == ["Doe Jane"]


def test_a_corrected_patient_gets_another_card(
    ledger: Ledger, spool: Spool, receive: Callable[..., Any], series: Callable[..., Any]
) -> None:
    """The card follows the file that is measured."""
    receive(series(count=3, **ASKED))
    cards = Cards(ledger, spool)
    cards.round()
    cards.round()
    with ledger.transaction() as session:
        row = session.get_one(StoredInstance, card(ledger).sop_instance_uid)
        path = spool.root / row.path
        other = path.read_bytes().replace(b"Doe^Jane", b"Roe^Jill")
        path.write_bytes(other)
        row.digest = "changed"
    cards.round()
    assert card(ledger).patient_name == "Roe Jill"


def test_an_image_is_read_rather_than_a_segmentation(
    ledger: Ledger, spool: Spool, receive: Callable[..., Any], series: Callable[..., Any]
) -> None:
    """Also where the segmentation came first and has a card already: it need not know the accession number."""
    receive(series("1.2.3.0", count=1, SOPClassUID=SegmentationStorage, Modality="SEG"))
    cards = Cards(ledger, spool)
    cards.round()
    assert card(ledger).accession_number == ""
    receive(series("1.2.3.8", count=1, **ASKED))
    cards.round()
    assert card(ledger).accession_number == "ACC-1"


@pytest.mark.parametrize("content", [b"", b"no DICOM at all"])
def test_an_image_that_cannot_be_read_is_read_once(
    ledger: Ledger, spool: Spool, receive: Callable[..., Any], series: Callable[..., Any], content: bytes
) -> None:
    """Its card is empty, and holds no round up."""
    [instance] = receive(series(count=1))
    (spool.root / instance.path).write_bytes(content)
    Cards(ledger, spool).round()
    assert (card(ledger).patient_id, card(ledger).study_date) == ("", None)


def test_a_date_that_is_none_is_none(
    ledger: Ledger, spool: Spool, receive: Callable[..., Any], series: Callable[..., Any]
) -> None:
    """A card has no date then; the study is found by all else."""
    receive(series(count=1, **(ASKED | {"StudyDate": ""})))
    Cards(ledger, spool).round()
    assert card(ledger).study_date is None
