"""Files of the spool that the ledger does not know, as a listener that died would leave them."""

import hashlib
import os
import time

from node.core.ledger.tables import Association, Base, StoredInstance, Study, StudyFlag, Variant
from node.core.reasons import Flag
from node.core.states import StudyState
from node.reconcile import LEFT_AGE_S, enter_missing

from .conftest import Site
from .sender import associate, ct_slice, file_of, offer_slice

_UIDS = ("SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID")


def _rows(site: Site) -> dict[str, tuple[str, str, str]]:
    """Return what the ledger says of each file: digest, transfer syntax, sender."""
    with site.ledger.transaction() as session:
        rows = [*session.query(StoredInstance), *session.query(Variant)]
    return {row.path: (row.digest, row.transfer_syntax_uid, row.calling_ae_title) for row in rows}


def _fill(site: Site) -> None:
    """Send two studies, one with two variants of a slice, and one UID that is used in another study."""
    first, second = ct_slice(), ct_slice()
    uids = {name: first[name].value for name in _UIDS}
    assoc = associate(site.port)
    for ds in (first, second, ct_slice(**uids, PatientID="2"), ct_slice(**uids, PatientID="3")):
        assert offer_slice(assoc, ds) == 0
    assert offer_slice(assoc, ct_slice(SOPInstanceUID=second.SOPInstanceUID)) == 0
    assoc.release()


def test_empty_ledger_is_rebuilt_from_the_spool(site: Site) -> None:
    """Every file gets the row that it had: digest, transfer syntax, sender, first or variant; its study receives."""
    _fill(site)
    before = _rows(site)
    with site.ledger.transaction() as session:
        firsts = {row.path for row in session.query(StoredInstance)}
    Base.metadata.drop_all(site.ledger._engine)
    Base.metadata.create_all(site.ledger._engine)
    done = enter_missing(site.spool, site.ledger, age_s=0)
    assert (done.entered, done.unreadable) == (5, 0)
    assert _rows(site) == before
    with site.ledger.transaction() as session:
        assert {row.path for row in session.query(StoredInstance)} == firsts
        assert {row.state for row in session.query(Study)} == {StudyState.RECEIVING}
        assert {row.code for row in session.query(StudyFlag)} == {Flag.VARIANT_KEPT}
        assert {row.outcome for row in session.query(Association)} == {"reconciled"}
    assert enter_missing(site.spool, site.ledger, age_s=0).entered == 0


def test_only_what_is_missing_is_entered(site: Site) -> None:
    """A file between its name and its row is left to its listener while it is young, and entered when it is not."""
    _fill(site)
    ds = ct_slice()
    path = site.spool.instance_path(ds.StudyInstanceUID, ds.SeriesInstanceUID, ds.SOPInstanceUID)
    site.spool.deposit(path, file_of(ds))
    assert enter_missing(site.spool, site.ledger).entered == 0
    old = time.time() - 3600
    os.utime(site.spool.root / path, (old, old))
    assert enter_missing(site.spool, site.ledger).entered == 1
    row = site.row(ds.SOPInstanceUID)
    assert row is not None
    assert row.digest == hashlib.sha256(file_of(ds)).hexdigest()
    assoc = associate(site.port)
    assert offer_slice(assoc, ds) == 0
    assoc.release()
    assert len(_rows(site)) == len(site.files()) == 6


def test_what_is_no_instance_stays_and_is_counted(site: Site) -> None:
    """Half a file is not entered, and not removed: the next sending replaces it."""
    ds = ct_slice()
    path = site.spool.instance_path(ds.StudyInstanceUID, ds.SeriesInstanceUID, ds.SOPInstanceUID)
    site.spool.write(path, file_of(ds)[:-50])
    done = enter_missing(site.spool, site.ledger, age_s=0)
    assert (done.entered, done.unreadable) == (0, 1)
    assert (site.spool.root / path).exists()
    assert _rows(site) == {}


def test_files_that_nobody_writes_any_more_are_swept(site: Site) -> None:
    """What a process that died was writing goes after a day, and what is being written stays."""
    left, young = (site.spool.root / "tmp" / name for name in ("left", "young"))
    for file in (left, young):
        file.write_bytes(b"x")
    old = time.time() - LEFT_AGE_S - 60
    os.utime(left, (old, old))
    assert enter_missing(site.spool, site.ledger).swept == 1
    assert young.exists()
    assert not left.exists()
