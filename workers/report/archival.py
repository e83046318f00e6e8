"""The archival SR: Comprehensive 3D SR, TID 1500, for readers that follow segments and for people who read text.

A TID 1411 group per segment holds its numbers; a TID 1410 group holds its outline on one slice and what is planar.
PMVI and PMI stand in a TID 1411 group of the outlines of both muscles at mid-L3, tumour burden with its zone in one of
the outline of the largest lesion; not in TID 1501, which PixelMed's validator takes for a TID 1411 without a region
once another group has one. Lesions are told one by one (`lesions`), how the study was acquired and measured stands
before all groups (`quality`), clinical scores and Rad scores after them (`clinical`). What was not computed stands as a
qualitative evaluation, with its sentence, in the group that it belongs to, or in the last one. Its title makes a stock
OHIF show it as a page (docs/viewers.md).
"""

from collections.abc import Iterator, Sequence

from pydicom import Dataset

from node.core.codes import MEASUREMENTS, Structure
from node.core.private_codes import TBS_ZONE, TBS_ZONES
from node.core.records import Measurement
from workers.measured import Lesion
from workers.records import Region, Segment
from workers.report import clinical, lesions, pieces, rad_scores, seg, sentences, templates, tree
from workers.report.document import Findings
from workers.report.frames import Source
from workers.report.pieces import image_region, missing, number, said
from workers.report.tree import Item

_INDICES = ("psoas.pmvi", "psoas.pmi")
_BURDEN = ("burden.count", "burden.max_diameter", "burden.tbs")


def build(findings: Findings, sources: Sequence[Source], segmentations: Sequence[Dataset]) -> Dataset:
    """Return the SR.

    Parameters
    ----------
    sources
        The volume's slices, in their order.
    segmentations
        The SEG of this result, which its groups refer to, then those that were imported.
    """
    groups: list[Item] = []
    told: set[str] = set()
    drawn = lesions.drawn(findings)
    for segment_number, segment in enumerate(seg.segments(findings), start=1):
        names = _names(segment, findings)
        told.update(names)
        reference = templates.segment(
            segmentations[0].SOPClassUID,
            segmentations[0].SOPInstanceUID,
            segment_number,
            sources[0].header.SeriesInstanceUID,
        )
        lesion = drawn.get(segment.label) if segment.structure is Structure.LESION else None
        groups += _segment_groups(findings, sources, reference, segment, names, lesion)
    groups += lesions.groups(findings, sources)
    groups += _index_groups(findings, sources, told)
    told.update(rad_scores.names(findings))
    _tell_the_rest(groups, findings, told)
    scores = clinical.scores(findings)
    items = [templates.imaging_measurements(groups), *([scores] if scores else [])]
    content = pieces.report(pieces.PAGE, items, findings)
    evidence = [*(source.header for source in sources), *segmentations]
    return pieces.finish(content, findings, evidence, "sr", findings.words("series.sr"))


def _names(segment: Segment, findings: Findings) -> list[str]:
    """Return the ids of the numbers that belong to a segment."""
    if "psoas" in segment.structure:  # the table names the default muscle
        side = next((side for side, one in seg.muscles(findings).items() if one.structure is segment.structure), None)
        return [name for name in MEASUREMENTS if side and name.startswith(f"psoas.{side}.")]
    return [name for name, coding in MEASUREMENTS.items() if coding.structure is segment.structure]


def _segment_groups(
    findings: Findings,
    sources: Sequence[Source],
    reference: list[Item],
    segment: Segment,
    names: list[str],
    lesion: Lesion | None,
) -> list[Item]:
    planar = [name for name in names if name.endswith("area_l3")]
    spatial = [name for name in names if name not in planar]
    index = lesion.slice if lesion else _outline_slice(segment, findings, planar)
    outline = image_region(segment.region, index, sources[index])
    of_whole = [
        *_numbers(spatial, findings),
        *(lesions.spatial(lesion) if lesion else ()),
        *_missing(spatial, findings),
        *reference,
        *map(said, sentences.remarks(spatial, findings)),
        *map(said, lesions.remarks(lesion, findings) if lesion else ()),
    ]
    of_slice = [
        *_numbers(planar, findings),
        *([lesions.planar(lesion, sources[index])] if lesion else ()),
        *_missing(planar, findings),
        *([outline] if outline else ()),
        *map(said, sentences.remarks(planar, findings)),
    ]
    return [
        pieces.group(templates.VOLUMETRIC, segment.label, segment.structure, findings, of_whole),
        pieces.group(templates.PLANAR, f"{segment.label}, outline", segment.structure, findings, of_slice),
    ]


def _outline_slice(segment: Segment, findings: Findings, planar: list[str]) -> int:
    """Return the slice of a segment's outline: mid-L3 for an area at L3, the core's middle, else the largest."""
    measured = findings.measured
    if planar and measured and measured.l3_slice is not None and segment.region.on_slice(measured.l3_slice).any():
        return measured.l3_slice
    if segment.structure is Structure.L1_CORE:
        return segment.region.slices[len(segment.region.slices) // 2]
    return segment.region.slices[int(segment.region.mask.sum(axis=(1, 2)).argmax())]


def _index_groups(findings: Findings, sources: Sequence[Source], told: set[str]) -> Iterator[Item]:
    """Yield the groups of numbers that are of no single segment: psoas indices, tumour burden."""
    measurements = _measurements(findings)
    for label, structure, names, outlined, last in (
        ("Psoas indices", _muscle(findings), _INDICES, muscles_at_l3(findings), ()),
        ("Tumour burden", Structure.LESION, _BURDEN, largest_lesion(findings), lesions.of_all(findings)),
    ):
        regions = [image_region(region, index, sources[index]) for region, index in outlined]
        drawn = [region for region in regions if region is not None]
        if not drawn or all(measurements[name].value is None for name in names):
            continue
        told.update(names)
        content = [
            *_numbers(names, findings),
            *_missing(names, findings),
            *(_zone(findings) if names is _BURDEN else ()),
            *drawn,
            *map(said, sentences.remarks(names, findings)),
            *map(said, last),
        ]
        yield pieces.group(templates.VOLUMETRIC, label, structure, findings, content, sites=False)


def muscles_at_l3(findings: Findings) -> list[tuple[Region, int]]:
    """Return the psoas muscles with the slice at mid-L3, or where the first is largest if none is seen there."""
    muscles = list(seg.muscles(findings).values())
    if not muscles or findings.measured is None:
        return []
    index = findings.measured.l3_slice
    if index is None or not any(muscle.region.on_slice(index).any() for muscle in muscles):
        index = _outline_slice(muscles[0], findings, [])
    return [(muscle.region, index) for muscle in muscles]


def _muscle(findings: Findings) -> Structure:
    """Return the muscle that stands for the psoas; of its two sides, which have one code, the left."""
    major = findings.request.measurement.psoas == "psoas_major"
    return Structure.PSOAS_MAJOR_LEFT if major else Structure.ILIOPSOAS_LEFT


def largest_lesion(findings: Findings) -> list[tuple[Region, int]]:
    """Return the lesion with the largest axial diameter and the slice of it."""
    largest = findings.measured.largest_lesion if findings.measured else None
    return [largest] if largest else []


def _zone(findings: Findings) -> list[Item]:
    burden = findings.measured.burden if findings.measured else None
    if burden is None or burden.zone is None:
        return []
    return [tree.code(TBS_ZONE, TBS_ZONES[burden.zone])]


def _tell_the_rest(groups: list[Item], findings: Findings, told: set[str]) -> None:
    """Tell what has no group of its own: a number (no lesion at all, say) in the first, what is missing in the last."""
    measurements = _measurements(findings)
    rest = [name for name in measurements if name not in told]
    there = [name for name in rest if measurements[name].value is not None]
    gone = [name for name in rest if measurements[name].value is None]
    for group, names, items in (
        (groups[0], there, _numbers(there, findings)),
        (groups[-1], gone, _missing(gone, findings)),
    ):
        group.children.extend([*items, *map(said, sentences.remarks(names, findings))])
    groups[-1].children.extend(map(said, rad_scores.why_not(findings)))


def _measurements(findings: Findings) -> dict[str, Measurement]:
    return findings.measured.measurements if findings.measured else {}


def _numbers(names: Sequence[str], findings: Findings) -> list[Item]:
    measurements = _measurements(findings)
    return [number(name, measurements[name]) for name in names if measurements[name].value is not None]


def _missing(names: Sequence[str], findings: Findings) -> list[Item]:
    measurements, psoas = _measurements(findings), findings.request.measurement.psoas
    return [missing(name, measurements[name], psoas) for name in names if measurements[name].value is None]
