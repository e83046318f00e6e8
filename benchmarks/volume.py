"""How fast and how lean a series becomes a volume: ours beside SimpleITK's series reader and dicom2nifti's.

A series of 2,500 slices (and of 625 and 1,250, for the line) is made as a scanner sends it: 512 x 512, 16 bit, explicit
VR little endian, about a hundred attributes a slice, some private. Every figure is of a process of its own, the files
in the page cache. The readers do not promise the same: ours alone holds every file against its digest.
"""

import json
import os
import sys
import tempfile
from pathlib import Path

import numpy as np
from pydicom import Dataset
from pydicom.dataset import FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian
from reading import CANDIDATE, READERS
from results import Figures, Result, arguments, in_rounds, machine, medians_of, table, table_of, write

from node.core.records import Candidate, Instance, dump
from node.core.spool import digest

ROOT = "1.2.826.0.1.3680043.8.498.55"
COUNTS, QUICK_COUNTS = (625, 1250, 2500), (40, 80, 160)
BAR_MEMORY, BAR_TIME, BAR_LINE = 1.3, 1.0, 0.8
SIDE = 512
PEERS = ("SimpleITK", "dicom2nifti")
TOLD = ("SimpleITK, files in order",)


def make(folder: Path, count: int) -> int:
    """Write a series and, beside its folder, the candidate that names it; return the bytes of its volume as int16."""
    folder.mkdir(parents=True)
    noise = np.random.default_rng(7).integers(-40, 40, (SIDE, SIDE)).astype(np.int16)
    rows, columns = np.mgrid[:SIDE, :SIDE] - SIDE / 2
    body = np.where(rows**2 / 0.5 + columns**2 < (SIDE * 0.45) ** 2, 1060, 0).astype(np.int16)
    instances = []
    for index in range(count):
        ds = _header(index)
        ds.PixelData = (body + np.roll(noise, index * 7, axis=1) + index % 50 + 40).astype("<i2").tobytes()
        ds["PixelData"].VR = "OW"
        path = folder / f"{index + 1:05d}.dcm"
        ds.save_as(path, enforce_file_format=True)
        uids = str(ds.SOPInstanceUID), str(ds.SOPClassUID), str(ExplicitVRLittleEndian)
        instances.append(Instance(*uids, digest(path.read_bytes()), path.name))
    made = Candidate(f"{ROOT}.1", "benchmark", "made", tuple(sorted(instances, key=lambda one: one.sop_instance_uid)))
    (folder.parent / CANDIDATE).write_text(dump(made), encoding="utf-8")
    return count * SIDE * SIDE * 2


def _header(index: int) -> Dataset:
    """Return what stands in front of the pixels of a slice, as scanners write it."""
    ds = Dataset()
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds.SpecificCharacterSet, ds.ImageType = "ISO_IR 100", ["ORIGINAL", "PRIMARY", "AXIAL", "CT_SOM5 SPI"]
    ds.SOPClassUID, ds.SOPInstanceUID = CTImageStorage, f"{ROOT}.1.{index + 1}"
    ds.StudyInstanceUID, ds.SeriesInstanceUID, ds.FrameOfReferenceUID = ROOT, f"{ROOT}.1", f"{ROOT}.9"
    for stem in ("Study", "Series", "Acquisition", "Content", "InstanceCreation"):
        setattr(ds, f"{stem}Date", "20260105")
        setattr(ds, f"{stem}Time", f"101500.{index:06d}")
    ds.AccessionNumber, ds.Modality, ds.Manufacturer = "A7", "CT", "Maker"
    ds.InstitutionName, ds.InstitutionAddress, ds.StationName = "Hospital", "Street 1, Town", "CT1"
    ds.StudyDescription, ds.SeriesDescription, ds.ManufacturerModelName = "CT Abdomen", "Thorax Abdomen 1.0", "Model"
    ds.ReferringPhysicianName, ds.PerformingPhysicianName, ds.OperatorsName = "A^B", "C^D", "E^F"
    ds.PatientName, ds.PatientID, ds.PatientBirthDate, ds.PatientSex = "Made^Large", "MADE-2", "19600101", "F"
    ds.PatientAge, ds.PatientSize, ds.PatientWeight = "066Y", "1.70", "70"
    ds.BodyPartExamined, ds.ContrastBolusAgent, ds.ScanOptions, ds.ProtocolName = "ABDOMEN", "X", "SPIRAL", "Portal"
    ds.SliceThickness, ds.KVP, ds.DataCollectionDiameter, ds.ReconstructionDiameter = "1", "120", "500", "400"
    ds.SoftwareVersions, ds.DeviceSerialNumber = "VB20", "1234"
    ds.DistanceSourceToDetector, ds.DistanceSourceToPatient, ds.GantryDetectorTilt = "1085.6", "595", "0"
    ds.TableHeight, ds.RotationDirection, ds.ExposureTime, ds.XRayTubeCurrent = "155", "CW", "500", "200"
    ds.Exposure, ds.FilterType, ds.GeneratorPower, ds.FocalSpots = "100", "FLAT", "30", "1.2"
    ds.ConvolutionKernel, ds.PatientPosition, ds.SpiralPitchFactor, ds.CTDIvol = ["Br40f", "3"], "HFS", 0.8, 6.5
    ds.SingleCollimationWidth, ds.TotalCollimationWidth, ds.TableSpeed, ds.TableFeedPerRotation = 0.6, 38.4, 46.0, 23.0
    ds.StudyID, ds.SeriesNumber, ds.AcquisitionNumber, ds.InstanceNumber = "1", 3, 2, index + 1
    ds.ImagePositionPatient = ["-199.609375", "-354.609375", f"{-400 + index * 0.7:.4f}"]
    ds.ImageOrientationPatient, ds.PositionReferenceIndicator = ["1", "0", "0", "0", "1", "0"], ""
    ds.SliceLocation, ds.PixelSpacing = f"{-400 + index * 0.7:.4f}", ["0.78125", "0.78125"]
    ds.Rows = ds.Columns = SIDE
    ds.SamplesPerPixel, ds.PhotometricInterpretation, ds.PixelRepresentation = 1, "MONOCHROME2", 0
    ds.BitsAllocated, ds.BitsStored, ds.HighBit = 16, 12, 11
    ds.SmallestImagePixelValue, ds.LargestImagePixelValue = 0, 1400
    ds.WindowCenter, ds.WindowWidth, ds.RescaleIntercept, ds.RescaleSlope = ["50", "50"], ["400", "350"], "-1024", "1"
    ds.RescaleType = "HU"
    code = Dataset()
    code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning = "CTABD", "99HOSP", "CT Abdomen"
    request = Dataset()
    request.RequestedProcedureID, request.ScheduledProcedureStepDescription = "P7", "CT Abdomen"
    request.ScheduledProtocolCodeSequence = [code]
    source = Dataset()
    source.ReferencedSOPClassUID, source.ReferencedSOPInstanceUID = CTImageStorage, f"{ROOT}.8.{index + 1}"
    ds.ProcedureCodeSequence, ds.RequestAttributesSequence, ds.SourceImageSequence = [code], [request], [source]
    for group in (0x0019, 0x0021, 0x0029):
        block = ds.private_block(group, "MAKER CT", create=True)
        for element in range(8):
            block.add_new(element, "LO", f"private {element} {index}")
    return ds


def measure(folder: Path, rounds: int) -> dict[str, Figures]:
    """Run all readers in turn, round by round; the first round fills the page cache and is not counted."""
    seen = in_rounds("reading.py", READERS, folder, rounds, uncounted=1)
    contents = {json.dumps([one[key] for key in ("shape", "sum", "order")]) for runs in seen.values() for one in runs}
    if len(contents) != 1:
        raise RuntimeError(f"the readers do not agree on what the series holds: {contents}")
    return {name: Figures(*medians_of(runs)) for name, runs in seen.items()}


def results(medians: dict[tuple[int, str], Figures], volume_bytes: dict[int, int]) -> list[Result]:
    """Return ours beside each peer; the bars stand at the longest series."""
    made, longest = [], max(volume_bytes)
    for count, size in volume_bytes.items():
        ours = medians[count, "ours"]
        for name in (*PEERS, *TOLD):
            other, bar = medians[count, name].seconds, BAR_TIME if count == longest and name in PEERS else None
            made.append(Result(f"{count} slices", ours.seconds, other, name, "s", other / ours.seconds, bar))
        share = ours.peak_bytes / size
        case = f"{count} slices, peak by volume"
        made.append(Result(case, share, BAR_MEMORY, "a fixed bar", "x", BAR_MEMORY / share, 1.0))
    shortest = min(volume_bytes)
    pace = [medians[count, "ours"].seconds / count * 1000 for count in (longest, shortest)]
    line = Result("time of a slice, longest by shortest", *pace, "the shortest", "ms", pace[1] / pace[0], BAR_LINE)
    return [*made, line]


def main() -> int:
    """Measure, print, write."""
    asked = arguments(__doc__.partition("\n")[0])
    where = machine()
    rounds, counts = (1, QUICK_COUNTS) if asked.quick else (5, COUNTS)
    medians: dict[tuple[int, str], Figures] = {}
    volume_bytes: dict[int, int] = {}
    with tempfile.TemporaryDirectory(prefix="volume-") as root:
        for count in counts:
            folder = Path(root, str(count), "series")
            volume_bytes[count] = make(folder, count)
            medians |= {(count, name): one for name, one in measure(folder, rounds).items()}
        where["load_after"] = round(os.getloadavg()[0], 2)
        found = results(medians, volume_bytes)
        head = ("reader", "slices", "s", "CPU s", "ms/slice", "peak MB", "peak by volume")
        rows = [(name, str(count), *_cells(one, count, volume_bytes[count])) for (count, name), one in medians.items()]
        print(", ".join(f"{key} {value}" for key, value in where.items()), table([head, *rows]), sep="\n\n", end="\n\n")
        print(table_of(found))
        if asked.json:
            write(asked.json, where, found)
    return 0 if all(result.holds for result in found) else 1


def _cells(one: Figures, count: int, size: int) -> tuple[str, ...]:
    shown = (one.seconds, one.cpu_s, one.seconds / count * 1000, one.peak_bytes / 1e6, one.peak_bytes / size)
    return tuple(f"{value:.2f}" for value in shown)


if __name__ == "__main__":
    sys.exit(main())
