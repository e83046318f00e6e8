"""The promise of docs/durability.md on real processes, a real Redis and a real Orthanc, and that its breach is told."""

# ruff: noqa: S608 - the statements are made of this file's own words

import json
import shutil
import sqlite3
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from http.client import HTTPConnection
from io import BytesIO
from pathlib import Path

import pytest
from archive import Archive
from pydicom import dcmread
from pydicom.uid import UID

from .conftest import After
from .injection import Fault
from .invariants import Aftermath, Invariant, violations
from .material import Form
from .outside import Books, Held, holdings
from .proxy import HOST

pytestmark = pytest.mark.timeout(1200)  # the first test waits for the whole campaign


def test_each_fault_was_made(after: After) -> None:
    """Each kind of fault struck, several at once; the disk only where this user may mount one."""
    made = Counter(one.fault for one in after.outcome.injected)
    expected = set(Fault) - ({Fault.DISK_FULL} if after.site.why_not_mounted else set())
    assert expected - set(made) == set(), after.outcome.not_injected
    assert after.outcome.most_at_once > 1


def test_a_disk_was_filled(after: After) -> None:
    """Where no small file system can be mounted, the reason is told."""
    if after.site.why_not_mounted:
        pytest.skip(f"the disk was not filled: {after.site.why_not_mounted}")
    assert Fault.DISK_FULL in {one.fault for one in after.outcome.injected}


def test_studies_of_each_form_travelled(after: After) -> None:
    """What is judged is not an empty site: every form was sent, to its end, and Orthanc holds results."""
    assert set(after.outcome.studies.values()) == set(Form)
    assert after.outcome.unsent == []
    assert after.outcome.held >= len(after.outcome.studies) / 2


def test_the_faults_were_felt(after: After) -> None:
    """Associations broke and processes ended, so that the sender and the keeper had work."""
    assert after.outcome.broken > 0
    assert sum(codes[-9] for codes in after.outcome.ends.values()) >= 5


def test_nothing_is_lost_doubled_or_orphaned(after: After) -> None:
    """The invariants hold, and no modality was told to give up."""
    assert after.outcome.complaints == []


# Each of these breaks one thing in what the campaign left, and sees that it is told.

Plant = Callable[[Aftermath, After], Aftermath]


@pytest.fixture
def seen(after: After, tmp_path: Path) -> Aftermath:
    """What is to be seen, on a copy of spool and ledger that a test may spoil."""
    whole = after.campaign.aftermath()
    shutil.copytree(whole.spool, tmp_path / "spool")
    with closing(sqlite3.connect(whole.books.path)) as source, closing(sqlite3.connect(tmp_path / "copy")) as copy:
        source.backup(copy)
    return replace(whole, books=Books(tmp_path / "copy"), spool=tmp_path / "spool")


def change(seen: Aftermath, statement: str) -> Aftermath:
    """Change the copy of the ledger; exactly one row."""
    with closing(sqlite3.connect(seen.books.path)) as ledger:
        assert ledger.execute(statement).rowcount == 1, statement
        ledger.commit()
    return seen


def one_file(seen: Aftermath) -> Path:
    """Return the file of an acknowledged instance."""
    uid = seen.acknowledged[0].sop_instance_uid
    return seen.spool / str(seen.books.rows("SELECT path FROM instance WHERE sop_instance_uid = ?", uid)[0][0])


def lose_a_file(seen: Aftermath, after: After) -> Aftermath:
    one_file(seen).unlink()
    return seen


def change_a_pixel(seen: Aftermath, after: After) -> Aftermath:
    content = bytearray(one_file(seen).read_bytes())
    content[-1] ^= 1
    one_file(seen).write_bytes(content)
    return seen


def lose_a_row(seen: Aftermath, after: After) -> Aftermath:
    return change(seen, f"DELETE FROM instance WHERE sop_instance_uid = '{seen.acknowledged[0].sop_instance_uid}'")


def lose_a_study(seen: Aftermath, after: After) -> Aftermath:
    return change(seen, "UPDATE study SET reason = 'steward-failed' WHERE uid = (SELECT MIN(uid) FROM study)")


def leave_a_study(seen: Aftermath, after: After) -> Aftermath:
    return change(seen, "UPDATE study SET state = 'receiving' WHERE uid = (SELECT MIN(uid) FROM study)")


_ONE_REPORTED = "(SELECT MIN(key) FROM job WHERE state = 'reported')"
_ONE_PROVEN = "(SELECT MIN(rowid) FROM delivery WHERE state = 'proven')"


def hang_a_job(seen: Aftermath, after: After) -> Aftermath:
    return change(seen, f"UPDATE job SET state = 'running' WHERE key = {_ONE_REPORTED}")


def fail_a_job(seen: Aftermath, after: After) -> Aftermath:
    return change(seen, f"UPDATE job SET state = 'failed' WHERE key = {_ONE_REPORTED}")


def double_a_job(seen: Aftermath, after: After) -> Aftermath:
    listed = ", ".join(_columns(seen, "job", "key"))
    return change(
        seen, f"INSERT INTO job (key, {listed}) SELECT 'double', {listed} FROM job WHERE key = {_ONE_REPORTED}"
    )


def leave_a_delivery(seen: Aftermath, after: After) -> Aftermath:
    return change(seen, f"UPDATE delivery SET state = 'pending' WHERE rowid = {_ONE_PROVEN}")


def leave_a_file(seen: Aftermath, after: After) -> Aftermath:
    one_file(seen).with_name("1.2.3.dcm").write_bytes(b"nobody knows it")
    return seen


def lose_a_result(seen: Aftermath, after: After) -> Aftermath:
    return replace(seen, held=seen.held[1:])


def hold_twice(seen: Aftermath, after: After) -> Aftermath:
    return replace(seen, held=[*seen.held, seen.held[0]])


def change_a_result(seen: Aftermath, after: After) -> Aftermath:
    job, name = seen.books.rows("SELECT job_key, file FROM delivery WHERE state = 'proven' LIMIT 1")[0]
    (seen.spool / "work" / job / name).write_bytes(b"another result")
    return seen


def keep_a_variant(seen: Aftermath, after: After) -> Aftermath:
    columns = "sop_instance_uid, study_uid, transfer_syntax_uid, path, calling_ae_title, association_id, received_at"
    uid = seen.acknowledged[0].sop_instance_uid
    insert = f"INSERT INTO variant (digest, {columns}) SELECT 'other', {columns} FROM instance"
    return change(seen, f"{insert} WHERE sop_instance_uid = '{uid}'")


def report_less(seen: Aftermath, after: After) -> Aftermath:
    report = next(one for one in seen.held if one.modality == "SR")
    others = [one for one in seen.held if one is not report]
    return replace(seen, held=[*others, replace(report, evidence=frozenset(sorted(report.evidence)[1:]))])


def send_a_second_report(seen: Aftermath, after: After) -> Aftermath:
    """Store an SR in Orthanc once more under another UID, as a retry that made it anew would."""
    with stored_again(seen, after) as (_, _, held):
        return replace(seen, held=held)


def send_a_second_report_knowingly(seen: Aftermath, after: After) -> Aftermath:
    """The same, with the ledger's consent."""
    columns = ", ".join(_columns(seen, "delivery", "sop_instance_uid"))
    with stored_again(seen, after) as (old, new, held):
        insert = f"INSERT INTO delivery (sop_instance_uid, {columns}) SELECT '{new}', {columns} FROM delivery"
        return replace(change(seen, f"{insert} WHERE sop_instance_uid = '{old}'"), held=held)


@contextmanager
def stored_again(seen: Aftermath, after: After) -> Iterator[tuple[str, str, list[Held]]]:
    """Have Orthanc hold one of its SRs twice; yield the old UID, the new one, and what it holds."""
    archive = Archive(after.site.orthanc)
    old = next(one for one in seen.held if one.modality == "SR").sop_instance_uid
    query = {"Level": "Instance", "Query": {"SOPInstanceUID": old}}
    found = archive.rest("/tools/find", method="POST", body=query)[0]
    ds = dcmread(BytesIO(archive.ask(f"/instances/{found}/file")[1]))
    new = f"{old[:50]}.77"
    ds.SOPInstanceUID = ds.file_meta.MediaStorageSOPInstanceUID = UID(new)
    changed = BytesIO()
    ds.save_as(changed)
    stored = upload(after, changed.getvalue())
    try:
        yield old, new, holdings(archive)
    finally:
        archive.rest(f"/instances/{stored}", method="DELETE")


def upload(after: After, content: bytes) -> str:
    """Store a file in Orthanc and return its name for it."""
    connection = HTTPConnection(HOST, after.site.orthanc.http_port, timeout=60)
    try:
        connection.request("POST", "/instances", body=content)
        return str(json.load(connection.getresponse())["ID"])
    finally:
        connection.close()


def _columns(seen: Aftermath, table: str, key: str) -> list[str]:
    return [name for (name,) in seen.books.rows("SELECT name FROM pragma_table_info(?)", table) if name != key]


@pytest.mark.parametrize(
    ("plant", "invariant", "words"),
    [
        (lose_a_file, Invariant.NOTHING_LOST, "is not in the spool"),
        (lose_a_file, Invariant.LEDGER_IS_SPOOL, "the spool does not"),
        (change_a_pixel, Invariant.NOTHING_LOST, "has another data set"),
        (change_a_pixel, Invariant.LEDGER_IS_SPOOL, "is not the one that the ledger knows"),
        (lose_a_row, Invariant.NOTHING_LOST, "is not in the ledger"),
        (lose_a_row, Invariant.LEDGER_IS_SPOOL, "the ledger does not"),
        (lose_a_study, Invariant.NOTHING_LOST, "should be"),
        (leave_a_study, Invariant.NO_ORPHAN, "is still receiving"),
        (hang_a_job, Invariant.NO_ORPHAN, "is still running"),
        (fail_a_job, Invariant.NOTHING_LOST, "failed for good"),
        (double_a_job, Invariant.NOTHING_DOUBLED, "2 jobs that are not superseded"),
        (leave_a_delivery, Invariant.NO_ORPHAN, "is still pending"),
        (leave_a_file, Invariant.LEDGER_IS_SPOOL, "the ledger does not"),
        (change_a_result, Invariant.LEDGER_IS_SPOOL, "is not the one that was delivered"),
        (lose_a_result, Invariant.NOTHING_LOST, "is called proven and is not in Orthanc"),
        (report_less, Invariant.NOTHING_LOST, "leaves out 1 instances"),
        (send_a_second_report, Invariant.NOTHING_DOUBLED, "is in Orthanc and in no job"),
        (send_a_second_report_knowingly, Invariant.NOTHING_DOUBLED, "2 objects of the kind"),
        (hold_twice, Invariant.NOTHING_DOUBLED, "is in Orthanc 2 times"),
        (keep_a_variant, Invariant.NOTHING_DOUBLED, "is kept a second time"),
    ],
)
def test_a_breach_is_told(seen: Aftermath, after: After, plant: Plant, invariant: Invariant, words: str) -> None:
    """What is planted is found, under its invariant; before, nothing was."""
    before = violations(seen)
    told = [one for one in violations(plant(seen, after)) if one not in before]
    assert any(one.invariant is invariant and words in one.what for one in told), told
