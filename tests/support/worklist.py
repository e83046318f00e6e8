"""A real modality worklist: DCMTK's wlmscpfs, which answers from files of a folder."""

import shutil
import subprocess
import time
from pathlib import Path

from pydicom import Dataset
from pydicom.dataset import FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

from node.core.errors import Unavailable
from node.core.peer import Peer
from node.servers import free_port

AE_TITLE = "WORKLIST"
_PATIENCE_S = 30.0


class WorklistServer:
    """The server; `start` and `stop` it. Entries may be added while it runs."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / AE_TITLE
        self.folder.mkdir(parents=True)
        (self.folder / "lockfile").touch()
        self.port = free_port()
        self._process: subprocess.Popen[bytes] | None = None

    @staticmethod
    def program() -> str | None:
        """Return the program, if it is installed."""
        return shutil.which("wlmscpfs")

    def start(self) -> None:
        """Start it and wait until it answers an echo."""
        command = [self.program() or "", "-q", "-dfp", str(self.folder.parent), str(self.port)]
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + _PATIENCE_S
        while True:
            try:
                Peer(AE_TITLE, "127.0.0.1", self.port, "TESTER").echo()
            except Unavailable:
                assert time.monotonic() < deadline, "wlmscpfs does not answer"
                time.sleep(0.05)
            else:
                return

    def stop(self) -> None:
        """Kill it."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def add(self, patient_id: str, size: str | None, *, issuer: str = "", birth_date: str = "") -> None:
        """Add an entry for a patient, with every attribute that the server takes an entry without for incomplete."""
        step = Dataset()
        step.ScheduledStationAETitle, step.ScheduledProcedureStepStartDate = "CT1", "20260105"
        step.ScheduledProcedureStepStartTime, step.Modality = "101500", "CT"
        step.ScheduledProcedureStepID, step.ScheduledProcedureStepDescription = "S1", "CT"
        ds = Dataset()
        ds.PatientID, ds.PatientName, ds.PatientBirthDate, ds.PatientSex = patient_id, "Made^Small", birth_date, "F"
        ds.IssuerOfPatientID, ds.PatientSize = issuer, size
        ds.AccessionNumber, ds.StudyInstanceUID = "A7", generate_uid()
        ds.RequestedProcedureID, ds.RequestedProcedureDescription = "R1", "CT abdomen"
        ds.ScheduledProcedureStepSequence = [step]
        ds.file_meta = FileMetaDataset()
        ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        ds.file_meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.31"
        ds.file_meta.MediaStorageSOPInstanceUID = generate_uid()
        ds.save_as(self.folder / f"{generate_uid()}.wl", enforce_file_format=True)
