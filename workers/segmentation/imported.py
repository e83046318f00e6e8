"""The imported way: a DICOM SEG of the study stands in for the network for the structures that it holds.

Which SEG may be imported was decided by the site's rules (stage 4). Here its segments are matched to structures by
code and laterality (SNOMED CT; the older SRT codes count as the same), then by label; `seg_frames` lays its frames on
the slices of the volume. Where several SEG hold one structure, MANUAL stands before SEMIAUTOMATIC before AUTOMATIC,
then the newest; what is then still open is `Untrusted`. Of segments that mean nothing to us the labels are kept, and
where they lie, all of them together: a signature may ask which labels a segmentation has, and for the liver without
all other masks.
"""

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO

import highdicom as hd
from pydicom import Dataset
from pydicom.sr.coding import Code

from node.core.codes import NEOPLASM, SEGMENT_LABELS, STRUCTURES, Structure
from node.core.errors import NotAnalysable, Untrusted
from node.core.grid import Geometry
from node.core.reasons import StudyRefusal
from node.core.records import Instance, JobRequest
from node.core.spool import Spool
from workers import seg_frames
from workers.records import IMPORTED, AlgorithmType, Import, LabelMap, Region, Segment, Volume, union

_LESION_TYPES = (
    STRUCTURES[Structure.LESION].type,
    NEOPLASM,
    Code("52988006", "SCT", "Lesion"),  # CID 7159
    Code("86049000", "SCT", "Neoplasm, Primary"),  # CID 7159
    Code("14799000", "SCT", "Neoplasm, Secondary"),  # CID 7159
)
_PRECEDENCE = (AlgorithmType.MANUAL, AlgorithmType.SEMIAUTOMATIC, AlgorithmType.AUTOMATIC)


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
        except seg_frames.FAULTS as error:
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
    regions = seg_frames.regions(source.seg, source.structures, geometry)
    if regions is None:
        return None
    others = regions.pop(seg_frames.OTHERS, None)
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
