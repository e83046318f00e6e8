"""The imported way: a DICOM SEG of the study stands in for the network for the structures that it holds.

Which SEG may be imported was decided by the site's rules (stage 4). Here its segments are matched to structures by
code and laterality (SNOMED CT; the older SRT codes count as the same), then by label; its frames are laid on the
slices of the volume by their plane positions (PS3.3 C.7.6.16.2.3), never resampled. Where several SEG hold one
structure, MANUAL stands before SEMIAUTOMATIC before AUTOMATIC, then the newest; what is then still open is
`Untrusted`. Of segments that mean nothing to us the labels are kept, and where they lie, all of them together: a
signature may ask which labels a segmentation has, and for the liver without all other masks.
"""

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from typing import Any

import highdicom as hd
import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset
from pydicom.sr.coding import Code

from node.core.codes import NEOPLASM, SEGMENT_LABELS, STRUCTURES, Structure
from node.core.errors import NotAnalysable, Untrusted
from node.core.grid import Geometry
from node.core.reasons import StudyRefusal
from node.core.records import Instance, JobRequest
from node.core.spool import Spool
from workers.records import IMPORTED, AlgorithmType, Import, LabelMap, Region, Segment, Volume, union

_GRID_TOLERANCE_VOXELS = 0.05
_OTHERS = 0  # what stands for all segments that mean nothing to us; the standard's numbers begin with 1
_LESION_TYPES = (
    STRUCTURES[Structure.LESION].type,
    NEOPLASM,
    Code("52988006", "SCT", "Lesion"),  # CID 7159
    Code("86049000", "SCT", "Neoplasm, Primary"),  # CID 7159
    Code("14799000", "SCT", "Neoplasm, Secondary"),  # CID 7159
)
_PRECEDENCE = (AlgorithmType.MANUAL, AlgorithmType.SEMIAUTOMATIC, AlgorithmType.AUTOMATIC)
# What pydicom and highdicom raise on an object that is no sound SEG.
_FAULTS = (AttributeError, EOFError, IndexError, KeyError, NotImplementedError, RuntimeError, TypeError, ValueError)


@dataclass(frozen=True)
class _Source:
    """One SEG, the segments of it that mean something to us, and the labels of all."""

    instance: Instance
    seg: hd.seg.Segmentation
    structures: Mapping[int, Structure]
    labels: tuple[str, ...]

    @property
    def written_at(self) -> tuple[str, str]:
        """Date and time of its content; a fraction of a second without its last zeros, so that equal is equal."""
        whole, _, fraction = str(self.seg.get("ContentTime", "")).partition(".")
        return str(self.seg.get("ContentDate", "")), f"{whole}.{fraction.rstrip('0')}"


def segment(volume: Volume, request: JobRequest, spool: Spool) -> LabelMap | None:
    """Lay the job's imported segmentations on the volume; None where none of them lies on its grid.

    Raises
    ------
    NotAnalysable
        `pixels-unreadable`: a SEG cannot be read.
    Untrusted
        `input-untrusted`: two segmentations of one structure, and no rule says which counts.
    """
    found: dict[Structure, list[tuple[_Source, Segment]]] = defaultdict(list)
    laid: list[_Laid] = []
    searched: set[Structure] = set()
    for instance in request.segmentations:
        content = spool.verified(instance)
        try:
            source = _open(instance, content, request.imports.labels)
            lain = _lay(source, volume.geometry)
        except _FAULTS as error:
            detail = f"segmentation {instance.sop_instance_uid}: {type(error).__name__}"
            raise NotAnalysable(StudyRefusal.PIXELS_UNREADABLE, detail) from error
        if lain is None:
            continue
        laid.append(lain)
        searched.update(source.structures.values())
        for one in lain.segments:
            found[one.structure].append((source, one))
    if not searched:
        return None
    chosen = tuple(one for structure in Structure for one in _choose(structure, found[structure]))
    series_uid = volume.candidate.series_instance_uid
    imports = tuple(one.imported(chosen) for one in laid)
    return LabelMap(volume.geometry, series_uid, IMPORTED, frozenset(searched), chosen, imports=imports)


def match(description: Dataset, labels: Mapping[str, Structure]) -> Structure | None:
    """Return the structure that an item of the Segment Sequence stands for, by code, then by label.

    A lesion that is coded as one of another organ than the liver is none of ours, whatever its label says.
    """
    kind = _code(description.get("SegmentedPropertyTypeCodeSequence"))
    if kind is not None and kind in _LESION_TYPES:
        region = _code(description.get("AnatomicRegionSequence"))
        return Structure.LESION if region is None or region == STRUCTURES[Structure.LIVER].type else None
    return _by_code(description) or _by_label(str(description.get("SegmentLabel", "")), labels)


def _by_code(description: Dataset) -> Structure | None:
    kind = _code(description.get("SegmentedPropertyTypeCodeSequence"))
    if kind is None:
        return None
    item = description.SegmentedPropertyTypeCodeSequence[0]
    side = _code(item.get("SegmentedPropertyTypeModifierCodeSequence"))
    for structure, coding in STRUCTURES.items():
        sided = coding.laterality is None or (side is not None and side == coding.laterality)
        if coding.type == kind and sided and structure is not Structure.L1_CORE:
            return structure
    return None


def _by_label(label: str, labels: Mapping[str, Structure]) -> Structure | None:
    table = {**SEGMENT_LABELS, **labels}
    name = re.sub(r"[^a-z0-9]+", "_", label.lower()).strip("_")
    return table.get(name) or table.get(re.sub(r"_?\d+$", "", name))


def _code(sequence: Sequence[Dataset] | None) -> Code | None:
    if not sequence:
        return None
    item = sequence[0]
    try:
        return Code(item.CodeValue, item.CodingSchemeDesignator, item.get("CodeMeaning", ""))
    except AttributeError:
        return None


def _open(instance: Instance, content: bytes, labels: Mapping[str, Structure]) -> _Source:
    seg = hd.seg.segread(BytesIO(content))
    matches = {int(item.SegmentNumber): match(item, labels) for item in seg.SegmentSequence}
    known = {number: structure for number, structure in matches.items() if structure}
    return _Source(instance, seg, known, tuple(str(item.SegmentLabel) for item in seg.SegmentSequence))


@dataclass(frozen=True)
class _Laid:
    """A SEG on the volume: its segments that mean something to us, and where all others lie."""

    source: _Source
    segments: tuple[Segment, ...]
    others: Region | None

    def imported(self, chosen: Sequence[Segment]) -> Import:
        """Return what is kept of the SEG; segments of it that were not chosen are others too."""
        left = [one.region for one in self.segments if not any(one is kept for kept in chosen)]
        regions = [*left, *([self.others] if self.others else [])]
        return Import(self.source.instance, self.source.labels, union(regions))


def _lay(source: _Source, geometry: Geometry) -> _Laid | None:
    """Return a SEG on the volume; None where it is of another frame of reference, or off the grid."""
    if source.seg.get("FrameOfReferenceUID") != geometry.frame_of_reference_uid:
        return None
    regions = _regions(source, geometry)
    if regions is None:
        return None
    others = regions.pop(_OTHERS, None)
    return _Laid(source, tuple(_segment(source, number, region) for number, region in regions.items()), others)


def _segment(source: _Source, number: int, region: Region) -> Segment:
    item = next(item for item in source.seg.SegmentSequence if int(item.SegmentNumber) == number)
    return Segment(
        structure=source.structures[number],
        label=str(item.SegmentLabel),
        region=region,
        algorithm_type=AlgorithmType(item.SegmentAlgorithmType),
        algorithm_name=str(item.get("SegmentAlgorithmName") or ""),
        source=source.instance,
    )


def _choose(structure: Structure, found: Sequence[tuple[_Source, Segment]]) -> list[Segment]:
    """Return the segments of the source that counts; lesions may be several, other structures may not.

    Of lesions all that the source holds are kept, whoever drew each.
    """
    if not found:
        return []
    rank = min(_PRECEDENCE.index(segment.algorithm_type) for _, segment in found)
    best = [pair for pair in found if _PRECEDENCE.index(pair[1].algorithm_type) == rank]
    newest = max(source.written_at for source, _ in best)
    latest = [segment for source, segment in best if source.written_at == newest]
    origins = {segment.source for segment in latest}
    if len(origins) > 1 or (structure is not Structure.LESION and len(latest) > 1):
        raise Untrusted(StudyRefusal.INPUT_UNTRUSTED, f"two imported segmentations of {structure} contradict")
    if structure is Structure.LESION:
        return [segment for _, segment in found if segment.source in origins]
    return latest


def _regions(source: _Source, geometry: Geometry) -> dict[int, Region] | None:
    """Return the region of each matched segment that is not empty; None where a frame is off the volume's grid.

    All others together stand under `_OTHERS`.
    """
    planes: dict[int, dict[int, NDArray[np.bool_]]] = defaultdict(dict)
    inverse = np.asarray(np.linalg.inv(geometry.affine), dtype=np.float64)
    placements: dict[tuple[float, ...], _Placement | None] = {}
    for frame, position, orientation, spacing in _frames(source.seg):
        key = (*position, *orientation, *spacing)
        if key not in placements:
            placements[key] = _place(inverse, geometry.shape, source.seg, position, orientation, spacing)
        placement = placements[key]
        if placement is None:
            return None
        for number, mask in _masks(source, frame):
            plane, layers = placement.lay(mask, geometry.shape), planes[number]
            if (before := layers.get(placement.slice)) is not None:
                plane |= before
            layers[placement.slice] = plane
    regions = {}
    for number, layers in planes.items():
        first, last = min(layers), max(layers)
        stacked = np.zeros((last - first + 1, *geometry.shape[1:]), dtype=bool)
        for index, mask in layers.items():
            stacked[index - first] = mask
        if (region := Region.of(stacked, (first, 0, 0))) is not None:
            regions[number] = region
    return regions


def _frames(seg: hd.seg.Segmentation) -> Iterator[tuple[int, list[float], list[float], list[float]]]:
    """Yield frame number (1-based), position, orientation cosines and pixel spacing of each frame."""
    for frame in range(1, len(seg.PerFrameFunctionalGroupsSequence) + 1):
        yield (
            frame,
            [float(value) for value in _group(seg, frame, "PlanePositionSequence").ImagePositionPatient],
            [float(value) for value in _group(seg, frame, "PlaneOrientationSequence").ImageOrientationPatient],
            [float(value) for value in _group(seg, frame, "PixelMeasuresSequence").PixelSpacing],
        )


def _group(seg: hd.seg.Segmentation, frame: int, keyword: str) -> Dataset:
    """Return a functional group of a frame: its own, or the one that all frames share (PS3.3 C.7.6.16)."""
    own = seg.PerFrameFunctionalGroupsSequence[frame - 1]
    place = own if keyword in own else seg.SharedFunctionalGroupsSequence[0]
    group: Dataset = place[keyword][0]
    return group


@dataclass(frozen=True)
class _Placement:
    """Where a frame lies in the volume: its slice, and how its pixels go to the slice's rows and columns."""

    slice: int
    transposed: bool
    flips: tuple[int, int]
    start: tuple[int, int]

    def lay(self, mask: NDArray[np.bool_], shape: tuple[int, int, int]) -> NDArray[np.bool_]:
        """Return the frame's mask as a whole slice of the volume."""
        turned = mask.T if self.transposed else mask
        turned = turned[:: self.flips[0], :: self.flips[1]]
        plane = np.zeros(shape[1:], dtype=bool)
        rows, columns = self.start
        plane[rows : rows + turned.shape[0], columns : columns + turned.shape[1]] = turned
        return plane


def _place(
    inverse: NDArray[np.float64],
    shape: tuple[int, int, int],
    seg: Dataset,
    position: list[float],
    orientation: list[float],
    spacing: list[float],
) -> _Placement | None:
    """Find a frame's place from its first, its last-row and its last-column voxel; None if it is off the grid."""
    rows, columns = int(seg.Rows), int(seg.Columns)
    origin = np.asarray(position)
    down = np.asarray(orientation[3:]) * spacing[0] * (rows - 1)
    right = np.asarray(orientation[:3]) * spacing[1] * (columns - 1)
    corners = np.stack([origin, origin + down, origin + right], axis=1)
    found = (inverse @ np.vstack([corners, np.ones(3)]))[:3].T
    whole = np.rint(found)
    if np.abs(found - whole).max() > _GRID_TOLERANCE_VOXELS:
        return None
    first, lowest, rightmost = whole.astype(int)
    span_down, span_right = lowest - first, rightmost - first
    if span_down[0] or span_right[0] or not 0 <= first[0] < shape[0]:
        return None
    transposed = bool(span_down[2]) and not span_down[1]
    across = (span_right[1], span_down[2]) if transposed else (span_down[1], span_right[2])
    expected = (columns - 1, rows - 1) if transposed else (rows - 1, columns - 1)
    start = np.minimum(np.minimum(first, lowest), rightmost)[1:]
    end = start + np.abs(across)
    if tuple(np.abs(across)) != expected or min(start) < 0 or end[0] >= shape[1] or end[1] >= shape[2]:
        return None
    flips = (-1 if across[0] < 0 else 1, -1 if across[1] < 0 else 1)
    return _Placement(int(first[0]), transposed, flips, (int(start[0]), int(start[1])))


def _masks(source: _Source, frame: int) -> Iterator[tuple[int, NDArray[np.bool_]]]:
    """Yield the segments of a frame with their masks, in its own rows and columns; those not known as `_OTHERS`."""
    seg = source.seg
    if seg.SegmentationType == "LABELMAP":
        stored: NDArray[Any] = seg.get_stored_frame(frame)
        others = stored != 0
        for number in source.structures:
            if (mask := stored == number).any():
                yield number, mask
                others &= ~mask
        if others.any():
            yield _OTHERS, others
        return
    number = int(_group(seg, frame, "SegmentIdentificationSequence").ReferencedSegmentNumber)
    threshold = int(seg.MaximumFractionalValue) / 2 if seg.SegmentationType == "FRACTIONAL" else 0
    yield number if number in source.structures else _OTHERS, seg.get_stored_frame(frame) > threshold
