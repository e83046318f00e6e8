"""Images and masks by path: files that ITK reads, a folder with one CT series, a DICOM SEG of it.

Comes in: paths, and which segment of a SEG. Goes out: SimpleITK images. What can go wrong: a file cannot be read, or is
no volume (`image-unreadable`); the SEG is not of this series (`mask-mismatch`); it lacks the segment, or holds several
and none was named (`mask-empty`). Next: `table`.

A series is read as the node reads it (`volume`): its values are in HU, whatever the slices have stored.
"""

from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import highdicom as hd
import SimpleITK

from node.core.dicom import IMAGE_CLASSES, read_header
from node.core.errors import NotAnalysable, NotExtractable, Refused, Untrusted
from node.core.grid import Geometry
from node.core.reasons import RegionRefusal
from node.core.records import Candidate, Instance
from node.core.settings import MeasurementSettings
from node.core.spool import Spool, digest
from workers import seg_frames, volume
from workers.measurement.radiomics import images

_DICOM, _DICOM_AT = b"DICM", 128
_FEWEST_SLICES = 2


@dataclass(frozen=True)
class Source:
    """An image; `geometry` is the grid of a DICOM series, on which the frames of a SEG can be laid."""

    image: SimpleITK.Image
    geometry: Geometry | None = None


def image(path: Path) -> Source:
    """Read a file, or a folder with one CT series.

    Raises
    ------
    NotExtractable
        It cannot be read.
    """
    if not path.is_dir():
        return Source(images.read(path))
    candidate = _series(path)
    try:
        found = volume.read(candidate, Spool(path), MeasurementSettings(minimum_slices=_FEWEST_SLICES))
    except (NotAnalysable, Untrusted) as error:
        raise NotExtractable(RegionRefusal.IMAGE_UNREADABLE, f"{path}: {error.code}: {error}") from error
    return Source(images.of_volume(found), found.geometry)


def mask(path: Path, segment: str | None, of: Source) -> SimpleITK.Image:
    """Read a mask: a file that ITK reads, or one segment of a DICOM SEG as the label 1.

    Raises
    ------
    NotExtractable
        It cannot be read, or does not hold what was asked for.
    """
    if not is_dicom(path):
        if segment is not None:
            raise NotExtractable(RegionRefusal.MASK_EMPTY, f"{path.name} is no DICOM SEG and has no segments")
        return images.read(path)
    if of.geometry is None:
        raise NotExtractable(RegionRefusal.MASK_MISMATCH, f"{path.name} is DICOM: give the folder of its series")
    try:
        seg = hd.seg.segread(path)
        number = _chosen(seg, segment)
        regions = seg_frames.regions(seg, [number], of.geometry)
    except seg_frames.FAULTS as error:
        raise NotExtractable(
            RegionRefusal.IMAGE_UNREADABLE, f"{path.name} is no sound DICOM SEG: {type(error).__name__}"
        ) from error
    if regions is None:
        raise NotExtractable(RegionRefusal.MASK_MISMATCH, f"{path.name} does not lie on the slices of the series")
    if number not in regions:
        raise NotExtractable(RegionRefusal.MASK_EMPTY, f"segment {number} of {path.name} has no voxel")
    return images.of_region(regions[number], of.geometry)


def is_dicom(path: Path) -> bool:
    """Return whether a file says that it is DICOM."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return file.read(_DICOM_AT + len(_DICOM)).endswith(_DICOM, _DICOM_AT)


def _series(folder: Path) -> Candidate:
    """Return the one CT series of a folder."""
    found: dict[str, list[Instance]] = defaultdict(list)
    for path in sorted(folder.iterdir()):
        if not path.is_file():
            continue
        try:
            header = read_header(path)
        except Refused:
            continue  # not every file beside a series is DICOM
        if header.get("SOPClassUID") in IMAGE_CLASSES:
            uids = str(header.SOPInstanceUID), str(header.SOPClassUID), str(header.file_meta.TransferSyntaxUID)
            found[str(header.get("SeriesInstanceUID"))].append(Instance(*uids, digest(path.read_bytes()), path.name))
    if len(found) != 1:
        raise NotExtractable(RegionRefusal.IMAGE_UNREADABLE, f"{folder} holds {len(found)} CT series, not one")
    [(uid, instances)] = found.items()
    return Candidate(uid, "", "", tuple(instances))


def _chosen(seg: hd.seg.Segmentation, asked: str | None) -> int:
    """Return the number of the segment that is asked for by number or label, or of the only one."""
    labels = {int(item.SegmentNumber): str(item.get("SegmentLabel", "")) for item in seg.SegmentSequence}
    listed = ", ".join(f"{number} ({label})" for number, label in labels.items())
    found = [number for number, label in labels.items() if asked in (None, str(number))]
    found = found or [number for number, label in labels.items() if asked == label]
    if len(found) == 1:
        return found[0]
    what = f"no segment is {asked!r}" if not found else "which segment is not said" if asked is None else "not one"
    raise NotExtractable(RegionRefusal.MASK_EMPTY, f"{what}: it holds {listed}")
