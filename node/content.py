"""What crosses stages 3, 4 and 5: the headers of a study, and the choice that was made from them.

Comes in: data sets of stored instances, read without pixels. Goes out: frozen records in which every value is read
once and normalised, so that a malformed attribute cannot fail later. What can go wrong: two patients in one study
(`Untrusted`, patient-conflict). Filled by `node.assembly` (ledger and spool) or `node.folder` (a folder on disk),
read by `node.selection` and `node.facts`.
"""

import math
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from typing import Any

from pydicom import Dataset
from pydicom.uid import EnhancedCTImageStorage

from node.core.dicom import PARSER_FAULTS
from node.core.errors import Untrusted
from node.core.frames import frames
from node.core.grid import Plane, plane
from node.core.reasons import StudyRefusal
from node.core.records import Candidate, Instance, LeftOut

_URGENT = ("STAT", "HIGH")


@dataclass(frozen=True)
class Identity:
    """Whose image it is, normalised for comparison; empty where the header does not say."""

    patient_id: str
    issuer: str
    name: str
    birth_date: str


@dataclass(frozen=True)
class Header:
    """One stored instance and what its header says.

    Parameters
    ----------
    calling_ae_title
        Who sent it; empty for a file of a folder.
    image_type
        Values in capitals.
    rescale_type
        Unit of the rescaled pixels, in capitals; empty means HU in a CT image (PS3.3 C.11.1.1.2).
    plane
        Of several frames the first one's. None where a plane attribute is missing or malformed, in any of the frames.
    planes
        Of each frame of a multi-frame image; one of a single-frame image, none where `plane` is None.
    patient_size, patient_weight_kg
        As written, None where empty; NaN where what is written is no number.
    urgent
        Whether the request that the image answers was STAT or of high priority.
    """

    instance: Instance
    study_instance_uid: str
    series_instance_uid: str
    calling_ae_title: str
    identity: Identity
    modality: str
    series_number: int | None
    series_description: str
    manufacturer: str
    image_type: tuple[str, ...]
    frames: int
    samples_per_pixel: int
    rescale_type: str
    plane: Plane | None
    patient_size: float | None
    patient_weight_kg: float | None
    patient_sex: str
    urgent: bool = False
    planes: tuple[Plane, ...] = ()


@dataclass(frozen=True)
class Series:
    """One series, instances in the order of their UIDs; at least one."""

    series_instance_uid: str
    headers: tuple[Header, ...]

    @property
    def modality(self) -> str:
        """Modality of the first instance."""
        return self.headers[0].modality

    @property
    def number(self) -> int | None:
        """Series Number of the first instance."""
        return self.headers[0].series_number

    @property
    def description(self) -> str:
        """Series Description of the first instance."""
        return self.headers[0].series_description


@dataclass(frozen=True)
class StudyContent:
    """All instances of a study of one patient, by series, in the order of their UIDs.

    `evidence` is what the ledger held before the content was read.
    """

    study_instance_uid: str
    series: tuple[Series, ...]
    evidence: frozenset[str] = frozenset()

    @property
    def sop_instance_uids(self) -> frozenset[str]:
        """The instances that this content was read from."""
        return frozenset(header.instance.sop_instance_uid for one in self.series for header in one.headers)

    @property
    def seen(self) -> frozenset[str]:
        """All that was looked at: the study is not judged by this content once the ledger holds more."""
        return self.sop_instance_uids | self.evidence


@dataclass(frozen=True)
class Choice:
    """What is to be measured: candidates ranked, best first, and all the rest with reasons."""

    candidates: tuple[Candidate, ...]
    left_out: tuple[LeftOut, ...]
    segmentations: tuple[Instance, ...]


def header(ds: Dataset, instance: Instance, calling_ae_title: str = "") -> Header:
    """Return what the stages read of a data set. Malformed values become absent ones; nothing is raised.

    Of an Enhanced CT image Image Type is followed by what the Frame Types say, and the Rescale Type is that of all its
    frames, joined where they differ.
    """
    of_frames = (frames(ds) or ()) if instance.sop_class_uid == EnhancedCTImageStorage else None
    alone = plane(ds) if of_frames is None else None
    planes = (alone,) if alone else tuple(one.plane for one in of_frames or ())
    words = dict.fromkeys((*_words(ds, "ImageType"), *(word for one in of_frames or () for word in one.words)))
    units = sorted({one.rescale_type for one in of_frames or ()})
    return Header(
        instance=instance,
        study_instance_uid=text(ds, "StudyInstanceUID"),
        series_instance_uid=text(ds, "SeriesInstanceUID"),
        calling_ae_title=calling_ae_title.strip(),
        identity=Identity(
            patient_id=_folded(text(ds, "PatientID")),
            issuer=_folded(text(ds, "IssuerOfPatientID")),
            name=_folded_name(text(ds, "PatientName")),
            birth_date=text(ds, "PatientBirthDate"),
        ),
        modality=text(ds, "Modality").upper(),
        series_number=_whole(ds, "SeriesNumber", None),
        series_description=text(ds, "SeriesDescription"),
        manufacturer=text(ds, "Manufacturer"),
        image_type=tuple(words) if of_frames else _words(ds, "ImageType"),
        frames=_whole(ds, "NumberOfFrames", 1) or 1,
        samples_per_pixel=_whole(ds, "SamplesPerPixel", 1) or 1,
        rescale_type=text(ds, "RescaleType").upper() if of_frames is None else "/".join(units),
        plane=planes[0] if planes else None,
        patient_size=_number(ds, "PatientSize"),
        patient_weight_kg=_number(ds, "PatientWeight"),
        patient_sex=text(ds, "PatientSex").upper(),
        urgent=_urgent(ds),
        planes=planes,
    )


def gather(study_instance_uid: str, headers: Iterable[Header], evidence: frozenset[str] = frozenset()) -> StudyContent:
    """Group the headers of one study by series.

    Raises
    ------
    Untrusted
        `patient-conflict`: they are not of one patient.
    """
    by_series: defaultdict[str, list[Header]] = defaultdict(list)
    for one in headers:
        by_series[one.series_instance_uid].append(one)
    content = StudyContent(
        study_instance_uid,
        tuple(
            Series(uid, tuple(sorted(by_series[uid], key=lambda one: one.instance.sop_instance_uid)))
            for uid in sorted(by_series)
        ),
        evidence,
    )
    require_one_patient([one.identity for series in content.series for one in series.headers])
    return content


def require_one_patient(identities: Sequence[Identity]) -> None:
    """Compare identities attribute by attribute; an attribute that one of them does not give is no contradiction.

    Raises
    ------
    Untrusted
        `patient-conflict`: an attribute has two values. The values are not told: they are patient data.
    """
    for attribute in fields(Identity):
        values = {getattr(identity, attribute.name) for identity in identities} - {""}
        if len(values) > 1:
            what = attribute.name.replace("_", " ")
            raise Untrusted(StudyRefusal.PATIENT_CONFLICT, f"{what}: {len(values)} different values")


def _urgent(ds: Dataset) -> bool:
    """Say whether Requested Procedure Priority (PS3.3 C.4.11) or the retired Study Priority ID asks for haste."""
    requests = _value(ds, "RequestAttributesSequence")
    return any(
        text(one, keyword).upper() in _URGENT
        for one in (ds, *(requests if isinstance(requests, Sequence) else ()))
        for keyword in ("RequestedProcedurePriority", "StudyPriorityID")
    )


def _value(ds: Dataset, keyword: str) -> Any:
    try:
        return ds.get(keyword)
    except PARSER_FAULTS:
        return None


def text(ds: Dataset, keyword: str) -> str:
    """Return a value as text; empty where it is absent, empty or malformed."""
    value = _value(ds, keyword)
    return "" if value is None else str(value).strip(" \0")


def _words(ds: Dataset, keyword: str) -> tuple[str, ...]:
    value = _value(ds, keyword)
    values = [value] if isinstance(value, str) else value or []
    return tuple(str(one).strip().upper() for one in values)


def _whole(ds: Dataset, keyword: str, otherwise: int | None) -> int | None:
    try:
        return int(_value(ds, keyword))
    except (OverflowError, TypeError, ValueError):
        return otherwise


def _number(ds: Dataset, keyword: str) -> float | None:
    """Return a decimal; None where the element is absent or empty, NaN where it holds something else."""
    try:
        value = ds.get(keyword)
        return None if value is None or value == "" else float(value)
    except PARSER_FAULTS:
        return math.nan


def _folded(text: str) -> str:
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


def _folded_name(text: str) -> str:
    """Return the first group of a person name that is not empty, its empty last components dropped."""
    group = next((group for group in text.split("=") if group.strip(" ^")), "")
    return "^".join(_folded(part) for part in group.split("^")).rstrip("^")
