"""A rejection note: a Key Object Selection Document that asks an archive to take earlier results out of regular use.

Form: TID 2010 with the title (113001, DCM, "Rejected for Quality Reasons"), as an Image Manager of the IHE profile
Imaging Object Change Management understands it (RAD TF-3 4.66.4.1.3). It stands in the study of what it rejects and
names every object in its content and in the Current Requested Procedure Evidence Sequence. An archive outside the
profile keeps it as one more object.
"""

from collections.abc import Sequence

import highdicom as hd
from pydicom import Dataset
from pydicom.sr.coding import Code
from pydicom.uid import ExplicitVRLittleEndian

from node.core.records import JobRequest
from workers.report import envelope
from workers.report.document import Findings

_REJECTED = Code("113001", "DCM", "Rejected for Quality Reasons")  # CID 7010
_DEVICE_OBSERVER = hd.sr.CodedConcept("121007", "DCM", "Device")  # CID 270
_SERIES_NUMBER = 9006


def kind(destination: str) -> str:
    """Return what the note for a destination is called in UIDs and file names: each destination has its own."""
    return f"rejection-{destination}"


def instance_uid(request: JobRequest, destination: str) -> str:
    """Return the UID of the note for a destination."""
    return envelope.instance_uid(request, kind(destination))


def build(request: JobRequest, destination: str, rejected: Sequence[Dataset], result: Dataset) -> Dataset:
    """Return the note.

    Parameters
    ----------
    request
        Of the job whose result takes the place of the others.
    destination
        Name of the destination that holds them.
    rejected
        Headers of the objects that it rejects.
    result
        Header of an object of the new result: patient and study are as there.
    """
    findings = Findings(request, None, None, None, None)
    content = hd.ko.KeyObjectSelection(
        document_title=_REJECTED,
        referenced_objects=rejected,
        observer_device_context=_device(),
        description=findings.words("rejection.reason"),
    )
    ds = hd.ko.KeyObjectSelectionDocument(
        evidence=list(rejected),
        content=content,
        series_instance_uid=envelope.series_uid(request, kind(destination)),
        series_number=_SERIES_NUMBER,
        sop_instance_uid=instance_uid(request, destination),
        instance_number=1,
        manufacturer=envelope.MANUFACTURER,
        contributing_equipment=[envelope.equipment(request)],
    )
    ds.copy_patient_and_study_information(result)
    return envelope.seal(ds, result, findings, findings.words("series.rejected"))


def _device() -> hd.sr.ObserverContext:
    """Return this product as an observing device (TID 1002, 1004)."""
    attributes = hd.sr.DeviceObserverIdentifyingAttributes(
        uid=envelope.device_uid(),
        name=envelope.MODEL,
        manufacturer_name=envelope.MANUFACTURER,
        model_name=envelope.MODEL,
        serial_number=envelope.SERIAL_NUMBER,
    )
    return hd.sr.ObserverContext(observer_type=_DEVICE_OBSERVER, observer_identifying_attributes=attributes)


def encode(ds: Dataset) -> bytes:
    """Return the note as a DICOM file."""
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    return envelope.encoded(ds)
