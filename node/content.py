"""What crosses stages 3, 4 and 5: the headers of a study, and the choice that was made from them.

Comes in: data sets of stored instances, read without pixels. Goes out: frozen records in which every value is read
once and normalised, so that a malformed attribute cannot fail later. What can go wrong: two patients in one study
(`Untrusted`, patient-conflict). Filled by `node.assembly` (ledger and spool) or `node.folder` (a folder on disk),
read by `node.selection` and `node.facts`.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from pydicom import Dataset
from pydicom.uid import EnhancedCTImageStorage, SegmentationStorage

from node import values
from node.core.frames import as_one, frames
from node.core.grid import Plane, plane
from node.core.records import Candidate, Instance, LeftOut
from node.identity import Identity, identity, require_one_patient

_URGENT = ("STAT", "HIGH")
_DAY_S = 86_400.0
_LONGEST_DELAY_S = 3_600.0  # later images are not of this injection, or one of the two clocks is wrong


@dataclass(frozen=True)
class Technique:
    """How an image was acquired and reconstructed, as its header says; None or empty where it does not.

    Parameters
    ----------
    contrast_route
        Way of administration: `IV`, `Oral`.
    contrast_delay_s
        From the start of the injection to the acquisition; None where either time is missing.
    acquired_at_s, content_at_s
        Acquisition Date and Time, Content Date and Time, in seconds from one origin.
    field_of_view_mm
        Reconstruction Diameter.
    """

    slice_thickness_mm: float | None = None
    kernel: tuple[str, ...] = ()
    contrast_agent: str = ""
    contrast_route: str = ""
    contrast_delay_s: float | None = None
    acquired_at_s: float | None = None
    content_at_s: float | None = None
    acquisition_number: int | None = None
    temporal_position: int | None = None
    trigger_time_ms: float | None = None
    protocol: str = ""
    body_part: str = ""
    field_of_view_mm: float | None = None
    lossy: bool = False


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
    patient_id
        As it is written, to ask others by.
    refers_to
        Series and instances that a segmentation was made from; empty for images.
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
    patient_id: str = ""
    technique: Technique = Technique()
    refers_to: frozenset[str] = frozenset()


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

    `evidence` is what the ledger held before the content was read. `forced` says why it is taken as complete although
    nothing shows that it is; empty where something does.
    """

    study_instance_uid: str
    series: tuple[Series, ...]
    evidence: frozenset[str] = frozenset()
    forced: str = ""

    @property
    def sop_instance_uids(self) -> frozenset[str]:
        """The instances that this content was read from."""
        return frozenset(header.instance.sop_instance_uid for one in self.series for header in one.headers)

    @property
    def seen(self) -> frozenset[str]:
        """All that was looked at: the study is not judged by this content once the ledger holds more."""
        return self.sop_instance_uids | self.evidence

    @property
    def whose(self) -> Identity:
        """Whose study it is, for others to be asked or looked up by: without the name, which identifies nobody."""
        identities = [header.identity for one in self.series for header in one.headers]
        known = {
            name: next((found for one in identities if (found := getattr(one, name))), "")
            for name in ("patient_id", "issuer", "birth_date")
        }
        return Identity(**known, name="")


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
    words = dict.fromkeys((*values.words(ds, "ImageType"), *(word for one in of_frames or () for word in one.words)))
    units = sorted({one.rescale_type for one in of_frames or ()})
    return Header(
        instance=instance,
        study_instance_uid=values.text(ds, "StudyInstanceUID"),
        series_instance_uid=values.text(ds, "SeriesInstanceUID"),
        calling_ae_title=calling_ae_title.strip(),
        identity=identity(ds),
        modality=values.text(ds, "Modality").upper(),
        series_number=values.whole(ds, "SeriesNumber", None),
        series_description=values.text(ds, "SeriesDescription"),
        manufacturer=values.text(ds, "Manufacturer"),
        image_type=tuple(words) if of_frames else values.words(ds, "ImageType"),
        frames=values.whole(ds, "NumberOfFrames", 1) or 1,
        samples_per_pixel=values.whole(ds, "SamplesPerPixel", 1) or 1,
        rescale_type=values.text(ds, "RescaleType").upper() if of_frames is None else "/".join(units),
        plane=planes[0] if planes else None,
        patient_size=patient_size(ds),
        patient_weight_kg=values.number(ds, "PatientWeight"),
        patient_sex=values.text(ds, "PatientSex").upper(),
        urgent=_urgent(ds),
        planes=planes,
        patient_id=values.text(ds, "PatientID"),
        technique=_technique(ds if of_frames is None else as_one(ds)),
        refers_to=frozenset(_references(ds)) if instance.sop_class_uid == SegmentationStorage else frozenset(),
    )


def patient_size(ds: Dataset) -> float | None:
    """Return Patient's Size as written; None where it is empty, NaN where it is no number."""
    return values.number(ds, "PatientSize")


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


def _technique(ds: Dataset) -> Technique:
    acquired_at_s = values.moment_s(ds, "Acquisition")
    agents = values.items(ds, "ContrastBolusAgentSequence")
    coded = values.text(agents[0], "CodeMeaning") or "coded agent" if agents else ""
    return Technique(
        slice_thickness_mm=values.positive(ds, "SliceThickness"),
        kernel=tuple(word for word in values.words(ds, "ConvolutionKernel", upper=False) if word),
        contrast_agent=values.text(ds, "ContrastBolusAgent") or coded,
        contrast_route=values.text(ds, "ContrastBolusRoute"),
        contrast_delay_s=_delay_s(acquired_at_s, values.day_s(values.text(ds, "ContrastBolusStartTime"))),
        acquired_at_s=acquired_at_s,
        content_at_s=values.moment_s(ds, "Content"),
        acquisition_number=values.whole(ds, "AcquisitionNumber", None),
        temporal_position=values.whole(ds, "TemporalPositionIndex", None)
        or values.whole(ds, "TemporalPositionIdentifier", None),
        trigger_time_ms=values.finite(ds, "TriggerTime"),
        protocol=values.text(ds, "ProtocolName"),
        body_part=values.text(ds, "BodyPartExamined"),
        field_of_view_mm=values.positive(ds, "ReconstructionDiameter"),
        lossy=values.text(ds, "LossyImageCompression") == "01",
    )


def _references(ds: Dataset) -> Iterator[str]:
    """Yield the series and the instances of the Referenced Series Sequence (PS3.3 C.8.20.2 and C.7.6.16)."""
    for series in values.items(ds, "ReferencedSeriesSequence"):
        yield values.text(series, "SeriesInstanceUID")
        for one in values.items(series, "ReferencedInstanceSequence"):
            yield values.text(one, "ReferencedSOPInstanceUID")


def _delay_s(acquired_at_s: float | None, start_s: float | None) -> float | None:
    """Return the time since the injection began, across midnight too; None where it makes no sense."""
    if acquired_at_s is None or start_s is None:
        return None
    delay_s = (acquired_at_s - start_s) % _DAY_S
    return delay_s if delay_s < _LONGEST_DELAY_S else None


def _urgent(ds: Dataset) -> bool:
    """Say whether Requested Procedure Priority (PS3.3 C.4.11) or the retired Study Priority ID asks for haste."""
    return any(
        values.text(one, keyword).upper() in _URGENT
        for one in (ds, *values.items(ds, "RequestAttributesSequence"))
        for keyword in ("RequestedProcedurePriority", "StudyPriorityID")
    )
