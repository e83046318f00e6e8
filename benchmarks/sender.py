"""A sender that is not the bottleneck: C-STORE requests that were encoded before the clock starts.

One slice is encoded once for the peer's longest PDU; for each sending only its SOP Instance UID is written anew, in
the request and in the data set. What the answer says is looked at, nothing else is decoded.
"""

import socket
import struct
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from io import BytesIO

import numpy as np
from pydicom import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian
from pynetdicom import build_context
from pynetdicom.dimse_messages import C_STORE_RQ
from pynetdicom.dimse_primitives import C_STORE
from pynetdicom.pdu import A_ASSOCIATE_AC, A_ASSOCIATE_RQ, P_DATA_TF
from pynetdicom.pdu_primitives import (
    A_ASSOCIATE,
    ImplementationClassUIDNotification,
    MaximumLengthNotification,
)

_ROOT = "1.2.826.0.1.3680043.10.1561"  # placeholders of one length, replaced by numbers of the same length
_DIGITS = 18
_PLACE = f"{_ROOT}.{'9' * _DIGITS}"
_CALLING, _STATUS = "BENCH", b"\x00\x00\x00\x09\x02\x00\x00\x00"  # (0000,0900), 2 bytes


def _uid(number: int) -> bytes:
    return f"{_ROOT}.{10 ** (_DIGITS - 1) + number}".encode()


def ct_slice(study: int) -> bytes:
    """Return the encoded data set of a CT slice of 512 x 512 x 16 bit, with a placeholder as its SOP Instance UID."""
    ds = Dataset()
    ds.SOPClassUID, ds.SOPInstanceUID = CTImageStorage, _PLACE
    ds.StudyInstanceUID, ds.SeriesInstanceUID = _uid(study).decode(), _uid(study + 1).decode()
    ds.ImageType, ds.Modality, ds.Manufacturer = ["ORIGINAL", "PRIMARY", "AXIAL"], "CT", "Synthetic"
    ds.StudyDate, ds.StudyTime, ds.AccessionNumber = "20260101", "120000", "A1"
    ds.StudyDescription, ds.SeriesDescription = "Abdomen", "Portal venous 1.0"
    ds.PatientName, ds.PatientID, ds.PatientSex, ds.PatientBirthDate = "Bench^Mark", "BENCH", "O", "19500101"
    ds.SliceThickness, ds.KVP, ds.SpacingBetweenSlices = 1, 120, 1
    ds.DataCollectionDiameter, ds.ReconstructionDiameter, ds.GantryDetectorTilt = 500, 350, 0
    ds.TableHeight, ds.ExposureTime, ds.XRayTubeCurrent, ds.Exposure = 150, 500, 300, 150
    ds.ConvolutionKernel, ds.PatientPosition, ds.ContrastBolusAgent = "B30f", "HFS", "Agent"
    ds.FrameOfReferenceUID, ds.PositionReferenceIndicator = _uid(study + 2).decode(), ""
    ds.StudyID, ds.SeriesNumber, ds.AcquisitionNumber, ds.InstanceNumber = "1", 2, 1, 1
    ds.ImagePositionPatient, ds.ImageOrientationPatient = [-175, -175, 0], [1, 0, 0, 0, 1, 0]
    ds.PixelSpacing, ds.SliceLocation = [0.683, 0.683], 0
    ds.SamplesPerPixel, ds.PhotometricInterpretation, ds.PixelRepresentation = 1, "MONOCHROME2", 0
    ds.Rows = ds.Columns = 512
    ds.BitsAllocated, ds.BitsStored, ds.HighBit = 16, 12, 11
    ds.WindowCenter, ds.WindowWidth, ds.RescaleIntercept, ds.RescaleSlope = 40, 400, -1024, 1
    ds.PixelData = np.random.default_rng(study).integers(0, 4096, (512, 512), "<u2").tobytes()
    ds["PixelData"].VR = "OW"
    buffer = DicomBytesIO()
    buffer.is_little_endian, buffer.is_implicit_VR = True, False
    write_dataset(buffer, ds)
    return bytes(buffer.getvalue())


@dataclass
class Flow:
    """One association and what it saw."""

    port: int
    called: str
    study: int
    seconds: list[float] = field(default_factory=list)
    bytes_sent: int = 0

    def open(self) -> None:
        """Associate, and encode the slice for this peer."""
        self._socket = socket.create_connection(("127.0.0.1", self.port), timeout=60)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4 << 20)
        self._socket.sendall(_association_request(self.called))
        answer = A_ASSOCIATE_AC()
        kind, content = self._pdu()
        if kind != 2:
            raise ConnectionError(f"no association: PDU type {kind}")
        answer.decode(content)
        longest = answer.user_information.maximum_length or 131_072
        self._request = bytearray(b"".join(_encode(ct_slice(self.study), longest)))
        self._places = list(_occurrences(self._request, _PLACE.encode()))
        if len(self._places) != 2:
            raise AssertionError("the SOP Instance UID stands in the request and in the data set")

    def send(self, count: int, first: int) -> None:
        """Send `count` slices, each when the one before was answered with success."""
        for number in range(first, first + count):
            uid = _uid(number)
            for place in self._places:
                self._request[place : place + len(uid)] = uid
            begun = time.perf_counter()
            self._socket.sendall(self._request)
            _, content = self._pdu()
            self.seconds.append(time.perf_counter() - begun)
            at = content.index(_STATUS) + len(_STATUS)
            if content[at : at + 2] != b"\x00\x00":
                raise AssertionError(f"answered {content[at + 1]:02X}{content[at]:02X}")
            self.bytes_sent += len(self._request)

    def close(self) -> None:
        """Release the association."""
        self._socket.sendall(struct.pack(">BxL4x", 5, 4))
        self._pdu()
        self._socket.close()

    def _pdu(self) -> tuple[int, bytes]:
        head = self._exactly(6)
        kind, length = struct.unpack(">BxL", head)
        return kind, head + self._exactly(length)

    def _exactly(self, count: int) -> bytes:
        content = b""
        while len(content) < count:
            if not (more := self._socket.recv(count - len(content))):
                raise ConnectionError("the peer hung up")
            content += more
        return content


@dataclass(frozen=True)
class Run:
    """What one run of several associations gave."""

    slices_per_s: float
    mb_per_s: float
    p99_ms: float
    sender_cpu_ms: float


def run(port: int, called: str, associations: int, slices: int, first: int) -> Run:
    """Send `slices` slices over so many associations at once, each a series of its own; numbered from `first`."""
    share = slices // associations
    flows = [Flow(port, called, first + 10 * number) for number in range(associations)]
    for flow in flows:
        flow.open()
    faults: list[BaseException] = []

    def work(flow: Flow, number: int) -> None:
        try:
            flow.send(share, first + 1000 + number * share)
        except (OSError, AssertionError, ValueError) as fault:
            faults.append(fault)

    threads = [threading.Thread(target=work, args=(flow, number)) for number, flow in enumerate(flows)]
    begun, cpu = time.perf_counter(), time.process_time()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    took, cpu = time.perf_counter() - begun, time.process_time() - cpu
    if faults:
        raise faults[0]
    for flow in flows:
        flow.close()
    sent = share * associations
    waits = sorted(wait for flow in flows for wait in flow.seconds)
    return Run(
        slices_per_s=sent / took,
        mb_per_s=sum(flow.bytes_sent for flow in flows) / took / 1e6,
        p99_ms=waits[int(0.99 * (len(waits) - 1))] * 1000,
        sender_cpu_ms=cpu * 1000 / sent,
    )


def _association_request(called: str) -> bytes:
    primitive = A_ASSOCIATE()
    primitive.application_context_name = "1.2.840.10008.3.1.1.1"
    primitive.calling_ae_title, primitive.called_ae_title = _CALLING, called
    longest, implementation = MaximumLengthNotification(), ImplementationClassUIDNotification()
    longest.maximum_length_received = 131_072
    implementation.implementation_class_uid = f"{_ROOT}.1"
    primitive.user_information = [longest, implementation]
    context = build_context(CTImageStorage, ExplicitVRLittleEndian)
    context.context_id = 1
    primitive.presentation_context_definition_list = [context]
    request = A_ASSOCIATE_RQ()
    request.from_primitive(primitive)
    return bytes(request.encode())


def _encode(data_set: bytes, longest: int) -> Iterator[bytes]:
    request = C_STORE()
    request.MessageID, request.Priority = 1, 2
    request.AffectedSOPClassUID, request.AffectedSOPInstanceUID = CTImageStorage, _PLACE
    request.DataSet = BytesIO(data_set)
    message = C_STORE_RQ()
    message.primitive_to_message(request)
    for primitive in message.encode_msg(1, longest):
        pdu = P_DATA_TF()
        pdu.from_primitive(primitive)
        yield bytes(pdu.encode())


def _occurrences(content: bytearray, wanted: bytes) -> Iterator[int]:
    at = content.find(wanted)
    while at >= 0:
        yield at
        at = content.find(wanted, at + 1)
