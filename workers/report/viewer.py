"""The viewer SR: the same numbers in the form that a stock OHIF shows (docs/viewers.md).

What was seen there decides the form: a group needs a SCOORD on a slice, shows at most five numbers, and shows of each
only the meaning of its name, the value and the code of its unit; several groups on one slice cover each other. So
each group has a slice of its own, and each name says what it measures. What was not computed is in the archival SR.
"""

from collections.abc import Sequence

import highdicom as hd
from pydicom import Dataset

from node.core.codes import STRUCTURES, Structure
from node.core.records import Measurement
from workers.records import Region, Segment
from workers.report import pieces, seg
from workers.report.archival import largest_lesion, muscles_at_l3
from workers.report.document import Findings
from workers.report.pieces import Group, algorithm, coordinates, image_region, number, own_name, tracking


def build(findings: Findings, sources: Sequence[Dataset]) -> Dataset:
    """Return the SR; `sources` are the headers of the volume's slices, in their order."""
    segments = {one.structure: one for one in seg.segments(findings)}
    muscles = [one for structure, one in segments.items() if "psoas" in structure]
    groups = [
        *_outlined(findings, sources, segments.get(Structure.LIVER), "liver."),
        *_indices(findings, sources, muscles),
        *_muscles(findings, sources, muscles),
        *_outlined(findings, sources, segments.get(Structure.L1_CORE), "l1."),
        *_burden(findings, sources),
    ]
    content = pieces.report(sources, groups)
    return pieces.finish(content, findings, sources, "sr-viewer", "crlm-node for viewers")


def _outlined(findings: Findings, sources: Sequence[Dataset], segment: Segment | None, prefix: str) -> list[Group]:
    """Return the numbers of one structure beside its outline, where it is largest."""
    there = _computed(findings, prefix)
    if segment is None or not there:
        return []
    index = _largest_slice(segment.region)
    coding = STRUCTURES[segment.structure]
    return [
        hd.sr.PlanarROIMeasurementsAndQualitativeEvaluations(
            tracking_identifier=tracking(findings.request, f"{segment.label} in viewer"),
            referenced_region=image_region(segment.region, index, sources[index]),
            finding_category=coding.category,
            finding_type=coding.type,
            algorithm_id=algorithm(findings.request),
            measurements=[number(name, one, concept=own_name(name, one)) for name, one in there.items()],
        )
    ]


def _indices(findings: Findings, sources: Sequence[Dataset], muscles: list[Segment]) -> list[Group]:
    """Return PMVI, PMI and the areas at mid-L3 beside both outlines there."""
    there = {
        name: one for name, one in _computed(findings, "psoas.").items() if name.endswith(("pmvi", "pmi", "area_l3"))
    }
    outlined = _coordinates(muscles_at_l3(findings), sources)
    return [_drawn(findings, "Psoas indices in viewer", there, outlined)] if muscles and there and outlined else []


def _muscles(findings: Findings, sources: Sequence[Dataset], muscles: list[Segment]) -> list[Group]:
    """Return volumes and attenuation of both muscles on the slice where the first is largest."""
    there = {name: one for name, one in _computed(findings, "psoas.").items() if name.endswith(("volume", "mean_hu"))}
    if not muscles or not there:
        return []
    index = _largest_slice(muscles[0].region)
    if findings.measured and index == findings.measured.l3_slice:
        index += 1
    outlined = _coordinates([(muscle.region, index) for muscle in muscles], sources)
    return [_drawn(findings, "Psoas volumes in viewer", there, outlined)] if outlined else []


def _burden(findings: Findings, sources: Sequence[Dataset]) -> list[Group]:
    """Return count, largest diameter and score beside the outline of the largest lesion."""
    outlined = _coordinates(largest_lesion(findings), sources)
    there = _computed(findings, "burden.")
    return [_drawn(findings, "Tumour burden in viewer", there, outlined, Structure.LESION)] if outlined else []


def _coordinates(
    regions: Sequence[tuple[Region, int]], sources: Sequence[Dataset]
) -> list[hd.sr.CoordinatesForMeasurement]:
    found = [coordinates(region, index, sources[index]) for region, index in regions]
    return [one for one in found if one is not None]


def _drawn(
    findings: Findings,
    label: str,
    there: dict[str, Measurement],
    outlined: list[hd.sr.CoordinatesForMeasurement],
    finding: Structure = Structure.ILIOPSOAS_LEFT,
) -> Group:
    """Return a group of derived numbers, each of which carries the outlines."""
    return hd.sr.MeasurementsAndQualitativeEvaluations(
        tracking_identifier=tracking(findings.request, label),
        finding_type=STRUCTURES[finding].type,
        algorithm_id=algorithm(findings.request),
        measurements=[
            number(name, one, concept=own_name(name, one), referenced=outlined) for name, one in there.items()
        ],
    )


def _computed(findings: Findings, prefix: str) -> dict[str, Measurement]:
    measurements = findings.measured.measurements if findings.measured else {}
    return {name: one for name, one in measurements.items() if name.startswith(prefix) and one.value is not None}


def _largest_slice(region: Region) -> int:
    return region.slices[int(region.mask.sum(axis=(1, 2)).argmax())]
