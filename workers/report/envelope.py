"""What every object of a result has in common: patient and study, equipment, dates, UIDs, what it is fit for.

Patient and study attributes are those of the source slices, decoded from their character set and written in
ISO_IR 192. Series and instance UIDs derive from the job key; dates are the job's, in local time, not those of a retry.
A result that supersedes a delivered one says so at the start of the description of its series, `rev 2`, since viewers
cut the end, and has higher series numbers: they list SEG and SR from the latest date or the highest number down.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from io import BytesIO

from highdicom import ContributingEquipment
from pydicom import Dataset, dcmread
from pydicom.sr.coding import Code

from node.core.codes import PRIVATE_SCHEME, PRIVATE_SCHEME_NAME
from node.core.dicom import result_series_uid, result_uid
from node.core.frames import header_copy, singles
from node.core.records import JobRequest
from node.core.spool import Spool
from workers.records import DEMONSTRATION
from workers.report import headers
from workers.report.document import Findings
from workers.report.frames import Source
from workers.report.wording import Words

MANUFACTURER = "crlm-node"
MODEL = "crlm-node"
SERIAL_NUMBER = "1"
_PROCESSING_EQUIPMENT = Code("109102", "DCM", "Processing Equipment")
_SERIES_NUMBERS = {"seg": 9001, "sr": 9002, "sr-viewer": 9003, "summary": 9004, "seg-labelmap": 9005}
_SERIES_OF_A_REVISION = 10
_DESCRIPTION_LENGTH = 64  # LO, PS3.5 section 6.2
_IDENTITY = ("StudyInstanceUID", "SeriesInstanceUID", "SOPClassUID", "SOPInstanceUID")
_COPIED = (
    "IssuerOfPatientID",
    "OtherPatientIDsSequence",
    "PatientSize",
    "PatientWeight",
    "PatientIdentityRemoved",
    "DeidentificationMethod",
    "DeidentificationMethodCodeSequence",
    "AccessionNumber",
    "IssuerOfAccessionNumberSequence",
    "StudyDescription",
    "ReferringPhysicianName",
)


def sources(findings: Findings, spool: Spool) -> list[Source]:
    """Return the measured slices, or the instances of the best candidate in a study that was not measured."""
    candidates, volume = findings.request.candidates, findings.volume
    if volume and volume.frames:
        frames, instances = zip(volume.instances, volume.frames, strict=True), tuple(dict.fromkeys(volume.instances))
        read = zip(instances, headers.read(instances, spool), strict=True)
        images = {instance: list(singles(header)) for instance, header in read}
        return [Source(images[instance][frame - 1], frame) for instance, frame in frames]
    instances = volume.instances if volume else candidates[0].instances if candidates else ()
    return [Source(header) for header in headers.read(instances, spool)]


def imported(findings: Findings, spool: Spool) -> list[Dataset]:
    """Return the UIDs of each segmentation that a measured segment was imported from, as headers that hold no more."""
    segments = findings.labels.segments if findings.labels else ()
    instances = dict.fromkeys(segment.source for segment in segments if segment.source)
    return [
        header_copy(dcmread(BytesIO(spool.verified(one)), stop_before_pixels=True, specific_tags=[*_IDENTITY]))
        for one in instances
    ]


def device_uid() -> str:
    """Return the UID of this product as an observing device."""
    return str(result_uid("device", MODEL))


def equipment(request: JobRequest) -> ContributingEquipment:
    """Return the item that names this product as processing equipment."""
    return ContributingEquipment(
        manufacturer=MANUFACTURER,
        purpose_of_reference=_PROCESSING_EQUIPMENT,
        manufacturer_model_name=MODEL,
        software_versions=request.version,
        device_serial_number=SERIAL_NUMBER,
        contribution_datetime=local(request.requested_at),
        contribution_description=Words.of(request.report.language)("series.contribution"),
    )


def series_uid(request: JobRequest, kind: str) -> str:
    """Return the UID of the series that holds the object of a kind."""
    return str(result_series_uid(request.key, kind))


def instance_uid(request: JobRequest, kind: str) -> str:
    """Return the UID of the object of a kind."""
    return str(result_uid(request.key, kind))


def series_number(request: JobRequest, kind: str) -> int:
    """Return the number of the series that holds the object of a kind: the higher, the later the revision."""
    return _SERIES_NUMBERS[kind] + _SERIES_OF_A_REVISION * (request.revision - 1)


def seal(ds: Dataset, source: Dataset, findings: Findings, description: str) -> Dataset:
    """Give a built object what all objects share, and return it."""
    request, words = findings.request, findings.words
    for keyword in _COPIED:
        if keyword in source:
            ds[keyword] = source[keyword]
    ds.SpecificCharacterSet = "ISO_IR 192"
    demonstration = f"{DEMONSTRATION} " if findings.labels and findings.labels.demonstration else ""
    text = words("series.revision", number=request.revision, text=description) if request.supersedes else description
    ds.SeriesDescription = f"{demonstration}{words('series.description', text=text)}"[:_DESCRIPTION_LENGTH]
    ds.Manufacturer = MANUFACTURER
    ds.ManufacturerModelName = MODEL
    ds.DeviceSerialNumber = SERIAL_NUMBER
    ds.SoftwareVersions = request.version
    ds.ContentQualification = "RESEARCH"
    # Ours, not the last: highdicom adds itself behind it.
    ours = next(one for one in ds.ContributingEquipmentSequence if one.get("ManufacturerModelName") == MODEL)
    ours.DeviceUID = device_uid()
    at = local(request.requested_at)
    for item in ds.ContributingEquipmentSequence:  # highdicom adds itself, with the time of the clock
        item.ContributionDateTime = at.strftime("%Y%m%d%H%M%S%z")
    for stem in ("Content", "Series", "InstanceCreation"):
        setattr(ds, f"{stem}Date", at.strftime("%Y%m%d"))
        setattr(ds, f"{stem}Time", at.strftime("%H%M%S"))
    return ds


def encoded(ds: Dataset) -> bytes:
    """Return a data set as a DICOM file."""
    buffer = BytesIO()
    ds.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


def local(at: datetime) -> datetime:
    """Return a time of the ledger (UTC, naive) as local time."""
    return at.replace(tzinfo=UTC).astimezone()


def declare_private_scheme(ds: Dataset) -> None:
    """Declare the private coding scheme in the Coding Scheme Identification Sequence."""
    item = Dataset()
    item.CodingSchemeDesignator = PRIVATE_SCHEME
    item.CodingSchemeUID = str(result_uid("coding-scheme", PRIVATE_SCHEME))
    item.CodingSchemeName = PRIVATE_SCHEME_NAME
    item.CodingSchemeResponsibleOrganization = MANUFACTURER
    present: Sequence[Dataset] = ds.get("CodingSchemeIdentificationSequence") or []
    ds.CodingSchemeIdentificationSequence = [*present, item]
