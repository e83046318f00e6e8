"""Beside stage 3: what people look a study up by, read from one of its images, for the worklist of the page.

Comes in: what the ledger knows of new and corrected studies. Goes out: a `StudyCard` for each. What can go wrong: an
image that cannot be read makes an empty card, so that it is read once; the ledger or the spool is away (`Unavailable`,
and the next round looks again). Next: `node.core.ledger.worklist`, which searches the cards.
"""

from datetime import date, datetime, timedelta

from pydicom import Dataset

from node.core.dicom import read_header
from node.core.errors import Refused
from node.core.ledger import Ledger, cards, now
from node.core.ledger.tables import StoredInstance, StudyCard
from node.core.spool import Spool
from node.identity import folded, identity
from node.values import text

_AT_ONCE = 50
_OVERLAP = timedelta(minutes=1)  # transactions that began before the last look, and ended after it


class Cards:
    """Writes the cards that are wanting."""

    def __init__(self, ledger: Ledger, spool: Spool) -> None:
        self._ledger = ledger
        self._spool = spool
        self._since: datetime | None = None

    def round(self) -> None:
        """Write what is wanting, some at once; all studies are looked through once, then those that received.

        Raises
        ------
        Unavailable
            The ledger or the spool is away.
        """
        at = now()
        with self._ledger.reading() as session:
            found = cards.wanted(session, self._since, _AT_ONCE)
        if not found:
            self._since = at - _OVERLAP
            return
        made = [card_of(row, self._header(row)) for row in found]
        with self._ledger.transaction() as session:
            for card in made:
                cards.write(session, card)

    def _header(self, row: StoredInstance) -> Dataset:
        lost = not (self._spool.root / row.path).exists() and (self._spool.root / "instances").is_dir()
        if row.removed_at is not None or lost:
            return Dataset()
        try:
            return read_header(self._spool.read(row.path))
        except Refused:
            return Dataset()


def card_of(row: StoredInstance, ds: Dataset) -> StudyCard:
    """Return what a header says, cut to what the ledger holds."""
    whose = identity(ds)
    name = text(ds, "PatientName").replace("^", " ").replace("=", " ")
    return StudyCard(
        study_uid=row.study_uid,
        sop_instance_uid=row.sop_instance_uid,
        digest=row.digest,
        patient_id=text(ds, "PatientID")[:64],
        issuer=whose.issuer[:64],
        patient_name=name.strip()[:200],
        patient=whose.patient_id[:64],
        name=folded(name)[:200],
        accession_number=text(ds, "AccessionNumber")[:64],
        study_date=_date(text(ds, "StudyDate")),
        description=text(ds, "StudyDescription")[:64],
    )


def _date(written: str) -> date | None:
    try:
        return datetime.strptime(written.replace(".", ""), "%Y%m%d").date()  # noqa: DTZ007 - a date has no zone
    except ValueError:
        return None
