"""What the tests send: small synthetic CT slices, and raw C-STORE requests that say whatever a test wants said."""

from io import BytesIO
from typing import Any

import numpy as np
from pydicom import Dataset
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid
from pynetdicom import AE, build_context
from pynetdicom.association import Association
from pynetdicom.dimse_primitives import C_STORE

from node.core.requestor import reactor_parked, without_delay

CALLER = "TESTER"


def ct_slice(transfer_syntax: str = ExplicitVRLittleEndian, **changes: Any) -> FileDataset:
    """Return a CT slice of 16 x 16 pixels; `changes` are attributes set last, by keyword."""
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = transfer_syntax
    ds = FileDataset("", {}, file_meta=meta, preamble=bytes(128))
    ds.SOPClassUID, ds.SOPInstanceUID = CTImageStorage, generate_uid()
    ds.StudyInstanceUID, ds.SeriesInstanceUID = generate_uid(), generate_uid()
    ds.PatientName, ds.PatientID, ds.Modality = "SECRET^NAME", "SECRET-ID", "CT"
    ds.ImagePositionPatient, ds.ImageOrientationPatient = [0, 0, 0], [1, 0, 0, 0, 1, 0]
    ds.PixelSpacing = [1, 1]
    ds.SamplesPerPixel, ds.PhotometricInterpretation, ds.PixelRepresentation = 1, "MONOCHROME2", 1
    ds.Rows = ds.Columns = 16
    ds.BitsAllocated, ds.BitsStored, ds.HighBit = 16, 16, 15
    ds.PixelData = np.arange(256, dtype="<i2").tobytes()
    for keyword, value in changes.items():
        setattr(ds, keyword, value)
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = ds.SOPClassUID, ds.SOPInstanceUID
    return ds


def file_of(ds: FileDataset) -> bytes:
    """Return the dataset as a DICOM file."""
    buffer = BytesIO()
    ds.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


def data_set_of(content: bytes) -> bytes:
    """Return the encoded data set of a DICOM file."""
    return content[144 + int.from_bytes(content[140:144], "little") :]


def associate(
    port: int,
    *contexts: tuple[str, str],
    calling: str = CALLER,
    called: str = "NODE",
    host: str = "127.0.0.1",
) -> Association:
    """Return an association from `host`, made or not; a context for each pair, or one for CT, explicit VR."""
    ae = AE(calling)
    ae.acse_timeout = ae.dimse_timeout = ae.network_timeout = 20
    proposed = [build_context(*pair) for pair in contexts or ((CTImageStorage, ExplicitVRLittleEndian),)]
    assoc = ae.associate("127.0.0.1", port, proposed, called, bind_address=(host, 0))
    without_delay(assoc)
    return assoc


def offer(
    assoc: Association,
    data_set: bytes,
    sop_instance_uid: str,
    sop_class_uid: str = CTImageStorage,
    context_id: int = 1,
) -> Dataset:
    """Send a C-STORE request with these bytes as its data set, whatever they are; return what was answered."""
    request = C_STORE()
    request.MessageID, request.Priority = 1, 2
    request.AffectedSOPClassUID, request.AffectedSOPInstanceUID = sop_class_uid, sop_instance_uid
    request.DataSet = BytesIO(data_set)
    with reactor_parked(assoc):
        assoc.dimse.send_msg(request, context_id)
        _, response = assoc.dimse.get_msg(block=True)
    answer = Dataset()
    if response is not None:
        answer.Status = response.Status
        answer.ErrorComment = response.ErrorComment or ""
    return answer


def offer_slice(assoc: Association, ds: FileDataset) -> int:
    """Offer a slice as an honest sender would; return the status."""
    return int(offer(assoc, data_set_of(file_of(ds)), ds.SOPInstanceUID, ds.SOPClassUID).Status)
