"""The cases of a batch: every study below a folder, or the rows of a CSV file.

Beside stage 3, for files on disk. Comes in: a folder or a CSV file, and where the results go. Goes out: `Plan`. What
can go wrong: nothing to measure, faults of the CSV file, told by line (`WrongFolder`: wrong use). Next:
`workers.batch`.

A study is known by its Study Instance UID, wherever its files lie. A file that none can be read from goes with the
studies that have files in the same folder, so that their results tell of it.
"""

import hashlib
from collections import defaultdict
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from pydicom.filereader import read_partial
from pydicom.tag import BaseTag, Tag
from pydicom.uid import SegmentationStorage

from node.cohort.rows import Fault, Row, read_rows
from node.core.cases import Case
from node.core.dicom import PARSER_FAULTS, is_uid
from node.folder import WrongFolder, files_below

_SOP_CLASS, _STUDY = Tag("SOPClassUID"), Tag("StudyInstanceUID")


@dataclass(frozen=True)
class Plan:
    """What a batch measures.

    Parameters
    ----------
    keys
        Names of the CSV file's columns that are not ours, as they are carried into the table.
    strays
        Files that belong to no study, and lie in no study's folder.
    """

    cases: tuple[Case, ...]
    keys: tuple[str, ...] = ()
    strays: tuple[Path, ...] = ()


@dataclass(frozen=True)
class _Found:
    """Files below a folder by study, in the order in which studies are met."""

    studies: dict[str, list[Path]]
    strays: tuple[Path, ...]


class _Wrong(ValueError):
    """What a row names cannot be a case; the message says why."""


def plan(source: Path, out: Path, taken: Collection[str]) -> Plan:
    """Plan the batch of a folder or a CSV file.

    Parameters
    ----------
    out
        Folder of the results, which lies apart from what is measured.
    taken
        Names of the table's own columns and files, which no column and no case of a CSV file may have.

    Raises
    ------
    WrongFolder
        It holds no study, or the CSV file has faults.
    """
    return _listed(source, out, taken) if source.is_file() else _below(source, out)


def name_of(study_instance_uid: str) -> str:
    """Return a name for a study that is short, safe as that of a folder, and always the same."""
    return f"study-{hashlib.sha256(study_instance_uid.encode()).hexdigest()[:12]}"


def _below(folder: Path, out: Path) -> Plan:
    if _overlap(folder, out):
        raise WrongFolder(f"--out {out} and {folder} must not lie in each other: results would be taken for studies")
    found = _find(folder)
    if not found.studies:
        raise WrongFolder(f"{folder} holds no readable DICOM file.")
    cases = tuple(Case(name_of(uid), uid, folder, tuple(files)) for uid, files in found.studies.items())
    return Plan(cases, strays=found.strays)


def _listed(source: Path, out: Path, taken: Collection[str]) -> Plan:
    rows, keys, faults = read_rows(source, taken)
    cases: dict[str, Case] = {}
    lines: dict[str, int] = {}
    known: dict[Path, _Found] = {}
    for row in rows:
        try:
            case = _case(row, out, known)
        except _Wrong as error:
            faults.append(Fault(row.line, str(error)))
            continue
        if case.name in taken:
            faults.append(Fault(row.line, f"no case can have the name {case.name}"))
        elif case.name in cases:
            other = lines[case.name]
            faults.append(Fault(row.line, f"the case {case.name} is there already, on line {other}: give each an id"))
        else:
            cases[case.name], lines[case.name] = case, row.line
    if faults:
        told = "\n".join(f"  line {one.line}: {one.what}" for one in sorted(faults, key=lambda one: one.line))
        raise WrongFolder(f"{source} has {len(faults)} fault{'s' * (len(faults) != 1)}:\n{told}")
    return Plan(tuple(cases.values()), keys)


def _case(row: Row, out: Path, known: dict[Path, _Found]) -> Case:
    """Return the case of a row; `known` are the folders that earlier rows have named."""
    folder, seg = row.study, row.seg
    if not folder.is_dir():
        raise _Wrong(f"{folder} is not a folder")
    if _overlap(folder, out):
        raise _Wrong(f"{folder} and --out must not lie in each other")
    if seg is not None and not seg.is_file():
        raise _Wrong(f"{seg} is not a file")
    if seg is not None and _read(seg)[0] != SegmentationStorage:
        raise _Wrong(f"{seg} is not a DICOM Segmentation")
    if folder not in known:
        known[folder] = _find(folder)
    studies = known[folder].studies
    if len(studies) != 1:
        what = f"{len(studies)} studies: name a folder with one of them" if studies else "no readable DICOM file"
        raise _Wrong(f"{folder} holds {what}")
    [(uid, files)] = studies.items()
    return Case(row.id or name_of(uid), uid, folder, (*files, *known[folder].strays), seg, row.keys)


def _overlap(one: Path, other: Path) -> bool:
    first, second = one.resolve(), other.resolve()
    return first.is_relative_to(second) or second.is_relative_to(first)


def _find(folder: Path) -> _Found:
    studies: defaultdict[str, list[Path]] = defaultdict(list)
    homes: defaultdict[Path, set[str]] = defaultdict(set)
    unread: list[Path] = []
    for path in files_below(folder):
        uid = _read(path)[1]
        if not uid:
            unread.append(path)
            continue
        studies[uid].append(path)
        homes[path.parent].add(uid)
    for path in unread:
        for uid in homes.get(path.parent, ()):
            studies[uid].append(path)
    return _Found(dict(studies), tuple(path for path in unread if path.parent not in homes))


def _read(path: Path) -> tuple[str, str]:
    """Return SOP Class UID and Study Instance UID of a file, empty where they cannot be read; no more of it is read."""
    try:
        with path.open("rb") as file:
            ds = read_partial(file, stop_when=_past, specific_tags=[_SOP_CLASS, _STUDY])
        sop_class, study = (str(ds[tag].value) if tag in ds else "" for tag in (_SOP_CLASS, _STUDY))
    except PARSER_FAULTS:
        return "", ""
    return sop_class, study if is_uid(study) else ""


def _past(tag: BaseTag, _vr: str | None, _length: int) -> bool:
    return int(tag) > int(_STUDY)
