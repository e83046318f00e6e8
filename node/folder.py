"""Stages 3 to 5 for a folder on disk, without ledger and network: what `crlm-node analyse` measures.

Comes in: a folder with the files of one study, and perhaps a segmentation that the user names. Goes out: a
`JobRequest` whose paths are absolute. What can go wrong: the folder is not one study (`WrongFolder`: wrong use); two
patients, or no series that can be measured (a request that carries its refusal). Next: stages 6 to 9, in the same
process.
"""

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path

from pydicom.uid import MediaStorageDirectoryStorage, SegmentationStorage

from node import handoff, selection
from node.content import Choice, Header, gather, header
from node.core.cases import Case
from node.core.dicom import is_uid, read_header
from node.core.errors import NotAnalysable, Refused, Untrusted
from node.core.reasons import DoorRefusal, NotComputed, StudyRefusal
from node.core.records import EarlyRefusal, Instance, JobRequest, LeftOut, PatientFacts
from node.core.settings import Settings
from node.core.spool import digest
from node.entered import with_entry
from node.facts import patient_facts
from node.form import load
from node.values import text

_NO_FACTS = PatientFacts(None, None, NotComputed.HEIGHT_MISSING, None, "")


class WrongFolder(ValueError):
    """What the user named cannot be one study with, perhaps, one segmentation; the message says what to do."""


def request_for_folder(
    folder: Path, seg: Path | None, settings: Settings, *, now: datetime, files: Sequence[Path] | None = None
) -> JobRequest:
    """Make the request for the one study of a folder.

    Parameters
    ----------
    folder
        Searched with all folders in it. Files that are no readable DICOM are listed as left out, with the reason.
    seg
        A DICOM Segmentation that is taken whatever the import rules say, and then no other; None: those of the
        folder that the rules allow (by manufacturer: a file has no sender).
    now
        When the request is made.
    files
        Those of the folder that are looked at; None: all that it holds.

    Returns
    -------
    request
        With a `refusal` and nothing to measure where the folder holds slices of two patients, two different files
        with one SOP Instance UID, or no series that can be measured.

    Raises
    ------
    WrongFolder
        No folder, no DICOM file in it, several studies, or `seg` is no segmentation.
    WrongForm
        The form of patient facts cannot be used.
    Refused
        `seg` cannot be read.
    """
    form = load(settings.patient_facts) if settings.patient_facts else None
    study_uid, headers, unreadable, named = _study(folder, seg, files)
    try:
        content = gather(study_uid, _once(headers))
        choice = selection.choose(
            content,
            settings.imports,
            settings.measurement.minimum_slices,
            named,
            selection.load(settings.series_rules),
        )
    except (NotAnalysable, Untrusted) as error:
        refusal = EarlyRefusal(error.code, error.detail)
        nothing = Choice((), tuple(unreadable), ())
        return handoff.build_request(study_uid, nothing, _NO_FACTS, settings, now, refusal)
    first = choice.candidates[0].series_instance_uid
    facts = patient_facts(content, first, height_in_cm=settings.measurement.height_in_cm)
    facts = with_entry(facts, form.of(content.whose)) if form else facts
    whole = Choice(choice.candidates, (*choice.left_out, *unreadable), choice.segmentations)
    return handoff.build_request(content.study_instance_uid, whole, facts, settings, now)


def request_for_case(case: Case, settings: Settings, now: datetime) -> JobRequest:
    """Make the request for one case of a batch: the same as for a folder that holds the case alone.

    Raises
    ------
    Refused
        Its segmentation cannot be read, or none of its files can.
    """
    try:
        return request_for_folder(case.folder, case.seg, settings, now=now, files=case.files)
    except WrongFolder as error:  # the files were found, so they are cut short, or not any more what they were
        raise Refused(DoorRefusal.DATASET_UNREADABLE, "no file of the study") from error


def rank_folder(folder: Path, settings: Settings) -> selection.Ranking:
    """Rank the series of a folder's study, and measure nothing: the dry run.

    Raises
    ------
    WrongFolder
        As `request_for_folder`.
    Untrusted
        The folder holds slices of two patients, or two different files with one SOP Instance UID.
    """
    study_uid, headers, unreadable, _ = _study(folder, None)
    content = gather(study_uid, _once(headers))
    minimum, rules = settings.measurement.minimum_slices, selection.load(settings.series_rules)
    ranking = selection.rank(content, settings.imports, minimum, None, rules)
    return replace(ranking, left_out=(*ranking.left_out, *unreadable))


def files_below(folder: Path) -> Iterator[Path]:
    """Yield the files of a folder and of all folders in it, by name."""
    for parent, folders, names in os.walk(folder):
        folders.sort()
        yield from (Path(parent, name) for name in sorted(names))


def _study(
    folder: Path, seg: Path | None, files: Sequence[Path] | None = None
) -> tuple[str, list[Header], list[LeftOut], Instance | None]:
    """Return the one study of a folder: its UID, headers, what could not be read, and the segmentation named."""
    if not folder.is_dir():
        raise WrongFolder(f"{folder} is not a folder.")
    named = _segmentation(seg) if seg is not None else None
    headers, unreadable = _scan(folder, files_below(folder) if files is None else files)
    study_uids = sorted({one.study_instance_uid for one in headers if one is not named})
    if not study_uids:
        raise WrongFolder(f"{folder} holds no readable DICOM file.")
    if len(study_uids) > 1:
        listed = ", ".join(study_uids)
        raise WrongFolder(f"{folder} holds {len(study_uids)} studies; name a folder with one of them: {listed}")
    if named is not None:
        headers.append(named)
    return study_uids[0], headers, unreadable, named.instance if named is not None else None


def _scan(folder: Path, files: Iterable[Path]) -> tuple[list[Header], list[LeftOut]]:
    headers: list[Header] = []
    unreadable: list[LeftOut] = []
    for path in files:
        try:
            one = _read(path)
        except Refused as error:
            name = str(path.relative_to(folder))
            unreadable.append(LeftOut("", "", name, f"file not read: {error.code.sentence}"))
            continue
        if one.instance.sop_class_uid != MediaStorageDirectoryStorage:
            headers.append(one)
    return headers, unreadable


def _read(path: Path) -> Header:
    """Read one file; a file that the system cannot open is as unreadable as one that is no DICOM."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise Refused(DoorRefusal.DATASET_UNREADABLE, error.strerror or "") from error
    ds = read_header(content)
    one = header(
        ds,
        Instance(
            sop_instance_uid=text(ds, "SOPInstanceUID"),
            sop_class_uid=text(ds, "SOPClassUID") or text(ds.file_meta, "MediaStorageSOPClassUID"),
            transfer_syntax_uid=text(ds.file_meta, "TransferSyntaxUID"),
            digest=digest(content),
            path=str(path.resolve()),
        ),
    )
    is_directory = one.instance.sop_class_uid == MediaStorageDirectoryStorage
    uids = (one.study_instance_uid, one.series_instance_uid, one.instance.sop_instance_uid)
    if not is_directory and not all(is_uid(uid) for uid in uids):
        raise Refused(DoorRefusal.UID_INVALID)
    return one


def _segmentation(path: Path) -> Header:
    one = _read(path)
    if one.instance.sop_class_uid != SegmentationStorage:
        raise WrongFolder(f"{path} is not a DICOM Segmentation.")
    return one


def _once(headers: list[Header]) -> Iterator[Header]:
    """Yield each instance once; a copy of a file counts for nothing."""
    known: dict[str, str] = {}
    for one in headers:
        uid = one.instance.sop_instance_uid
        if uid not in known:
            known[uid] = one.instance.digest
            yield one
        elif known[uid] != one.instance.digest:
            raise Untrusted(StudyRefusal.INPUT_UNTRUSTED, f"two different files carry the SOP Instance UID {uid}")
