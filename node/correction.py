"""Beside stage 3: instances that came again under their UIDs because somebody has corrected the patient.

Comes in: a study that is quiet, some of whose instances have newer variants. Goes out: the same study, measured from
the corrected files; or flagged. A variant is a correction where the image is the same (pixel data, geometry, the UIDs
of series and study) and an attribute of patient or study is not. What decides:

- No result has been delivered, and with the corrections laid on each series agrees within itself: they are taken
  over. The rows of the ledger point to the corrected files, what came first is kept as a variant, what was made from
  it is sent nowhere, and the new content gets a job of its own.
- Only a part came, and its patient contradicts the rest: nobody can say whose study it is. It is quarantined as a
  patient conflict with nothing exchanged, and judged anew as soon as the rest comes.
- Only a part came, and contradicts nobody (an accession number, say): the first files stay what is measured, and the
  study stays flagged, until the rest comes.
- A result has been delivered: nothing is measured or sent again by itself. The study is flagged as changed, and a
  person who wants a new result says `crlm-node replay`, which takes the corrections over.

What can go wrong: see above (`Untrusted`, patient-conflict); a file was changed or is gone. Next: `node.assembly`.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from typing import Any

from pydicom import Dataset, dcmread
from pydicom.dataset import FileDataset
from pydicom.uid import DeflatedExplicitVRLittleEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

from node.content import header
from node.core import log
from node.core.dicom import PARSER_FAULTS, read_header
from node.core.errors import Refused, Untrusted
from node.core.ledger import Ledger, arrivals, corrections, studies, succession
from node.core.ledger.tables import StoredInstance, Variant
from node.core.reasons import Flag
from node.core.records import Instance
from node.core.spool import Spool
from node.identity import Identity, require_one_patient

REPLAY = "replay"

_log = log.get("correction")

_PATIENT_GROUP = 0x0010
_STUDY = (
    "AccessionNumber",
    "IssuerOfAccessionNumberSequence",
    "ReferringPhysicianName",
    "StudyDate",
    "StudyDescription",
    "StudyID",
    "StudyTime",
)
_IMAGE_GROUPS = (0x0018, 0x0020, 0x0028, 0x0062, 0x5200, 0x7FE0)
_IMAGE = ("ImageType", "Modality", "ReferencedSeriesSequence", "SOPClassUID", "SOPInstanceUID")
_SHOWN = ("WindowCenter", "WindowWidth", "WindowCenterWidthExplanation")  # how an image was last looked at
_SAME_PIXELS = (ImplicitVRLittleEndian, ExplicitVRLittleEndian, DeflatedExplicitVRLittleEndian)


@dataclass(frozen=True)
class Correction:
    """A variant of an instance whose patient or study was corrected, and which attributes those are."""

    variant: Instance
    changed: frozenset[str]


def settle(ledger: Ledger, spool: Spool, study_uid: str) -> None:
    """Take over what was corrected in a study, or say why not.

    Raises
    ------
    Untrusted
        `patient-conflict`: a part of the study was given to another patient. `input-incomplete`, `input-untrusted`.
    Unavailable
        The ledger or the spool is away.
    """
    with ledger.transaction() as session:
        rows = {row.sop_instance_uid: row for row in studies.instances_of(session, study_uid)}
        newer = corrections.newer_than_measured(session, study_uid)
    found = {uid: one for uid in newer if (one := _correction(rows[uid], newer[uid], spool)) is not None}
    if not found:
        return
    with ledger.transaction() as session:
        ordered = corrections.ordered(session, study_uid, REPLAY)
        if succession.was_delivered(session, study_uid) and not ordered:
            detail = f"{len(found)} of {len(rows)} instances; crlm-node replay measures the later data"
            arrivals.flag(session, study_uid, Flag.PATIENT_CHANGED, detail)
            _log.warning("patient-changed", study=study_uid, instances=len(found))
            return
    try:
        agreed = _agree(rows.values(), found, spool)
    except Untrusted:
        with ledger.transaction() as session:
            corrections.withdraw(session, study_uid, "a part of the study was given to another patient")
        raise
    if agreed:
        _take(ledger, study_uid, rows, found, ordered=ordered)
    else:
        _log.warning("correction-incomplete", study=study_uid, instances=len(found), of=len(rows))


def _correction(row: StoredInstance, variants: Sequence[Variant], spool: Spool) -> Correction | None:
    """Return the newest variant that is a correction of the instance."""
    stored = spool.verified(studies.record_of(row))
    for one in variants:
        instance = Instance(row.sop_instance_uid, row.sop_class_uid, one.transfer_syntax_uid, one.digest, one.path)
        try:
            changed = _changed(dcmread(BytesIO(stored)), dcmread(BytesIO(spool.verified(instance))))
        except PARSER_FAULTS:  # what cannot be read through is no correction
            continue
        if changed:
            return Correction(instance, changed)
    return None


def _agree(rows: Collection[StoredInstance], found: Mapping[str, Correction], spool: Spool) -> bool:
    """Say whether each corrected series agrees in what was corrected, once all corrections are laid on.

    Raises
    ------
    Untrusted
        `patient-conflict`: the study would be of two patients.
    """
    changed = sorted({name for one in found.values() for name in one.changed})
    touched = {row.series_uid for row in rows if row.sop_instance_uid in found}
    identities: list[Identity] = []
    by_series: dict[str, set[tuple[str, ...]]] = {uid: set() for uid in touched}
    for row in rows:
        correction = found.get(row.sop_instance_uid)
        instance = correction.variant if correction else studies.record_of(row)
        try:
            ds = read_header(spool.verified(instance))
            values = _particulars(ds)
        except (Refused, *PARSER_FAULTS):  # assembly tells of it
            continue
        identities.append(header(ds, instance).identity)
        if row.series_uid in touched:
            by_series[row.series_uid].add(tuple(values.get(name, "") for name in changed))
    require_one_patient(identities)
    return all(len(different) <= 1 for different in by_series.values())


def _take(
    ledger: Ledger,
    study_uid: str,
    rows: Mapping[str, StoredInstance],
    found: Mapping[str, Correction],
    *,
    ordered: bool,
) -> None:
    """Exchange the files, all or none; nothing happens where the study has changed meanwhile."""
    with ledger.transaction() as session:
        corrections.lock(session, study_uid)
        held = {row.sop_instance_uid: row.digest for row in studies.instances_of(session, study_uid)}
        if held != {uid: row.digest for uid, row in rows.items()}:
            return
        if succession.was_delivered(session, study_uid) and not ordered:
            return
        for uid, correction in found.items():
            corrections.exchange(session, uid, correction.variant.digest)
        session.flush()
        corrections.withdraw(session, study_uid, "the patient of the study was corrected")
        arrivals.flag(session, study_uid, Flag.PATIENT_CORRECTED, f"{len(found)} of {len(rows)} instances")
        corrections.unflag(session, study_uid, Flag.PATIENT_CHANGED)
        if not corrections.newer_than_measured(session, study_uid):
            corrections.unflag(session, study_uid, Flag.VARIANT_KEPT)
    _log.info("patient-corrected", study=study_uid, instances=len(found), of=len(rows))


def _changed(stored: FileDataset, offered: FileDataset) -> frozenset[str]:
    """Return what of patient and study differs between two files of the same image; nothing where they are not."""
    syntaxes = (stored.file_meta.TransferSyntaxUID, offered.file_meta.TransferSyntaxUID)
    comparable = syntaxes[0] == syntaxes[1] or all(one in _SAME_PIXELS for one in syntaxes)
    if not comparable or _image(stored) != _image(offered):
        return frozenset()
    before, after = _particulars(stored), _particulars(offered)
    return frozenset(name for name in before | after if before.get(name, "") != after.get(name, ""))


def _image(ds: Dataset) -> dict[str, Any]:
    """Return everything that describes an image, its place and its series; what is empty counts as absent."""
    left_out = (*_STUDY, *_SHOWN)
    return {
        str(element.tag): element.value
        for element in _elements(ds, _IMAGE_GROUPS, _IMAGE)
        if element.keyword not in left_out and not element.is_empty
    }


def _particulars(ds: Dataset) -> dict[str, str]:
    """Return everything that is said of patient and study, as text by keyword or tag."""
    return {one.keyword or str(one.tag): str(one.value) for one in _elements(ds, (_PATIENT_GROUP,), _STUDY)}


def _elements(ds: Dataset, groups: Collection[int], keywords: Collection[str]) -> Iterator[Any]:
    """Yield the elements of some groups, without their lengths, and some others by keyword."""
    for tag in ds.keys():  # noqa: SIM118 - a data set yields its elements, not their tags
        if tag.group in groups and tag.element != 0:
            yield ds[tag]
    for keyword in keywords:
        if keyword in ds and ds[keyword].tag.group not in groups:
            yield ds[keyword]
