"""The viewer SR: the main numbers in the form that a stock OHIF draws on the images (docs/viewers.md).

What was seen there makes the rules. A group is a TID 1501 with one SCOORD in each NUM and nothing else in it; all of
a group lie on one slice, each group on a slice of its own; five lines a group, and no zero among them. Of a NUM are
shown the meaning of its name, its value and the code of its unit: so each name is a private code that says what it
measures (in English whatever the language, as every code), and a unit is never `1`. What was not computed is told by
the archival SR.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from pydicom import Dataset
from pydicom.sr.coding import Code

from node.core.codes import MEASUREMENTS, STRUCTURES, Structure, coding_of, ucum
from node.core.private_codes import AT_LEAST, number_code
from node.core.records import Measurement
from workers.records import DEMONSTRATION, Mask, Region
from workers.report import pieces, seg, templates, tree
from workers.report.document import Findings
from workers.report.frames import Source
from workers.report.pieces import coordinates, marks
from workers.report.seg import tracking_uid
from workers.report.tree import Item

LINES_SHOWN = 5
_ROOM_FOR_THE_BOX = 0.68  # of the columns: the box stands right of the outline and is cut at the window's edge
_UNITS = {
    "burden.count": Code("{lesions}", "UCUM", "lesions"),
    "burden.tbs": Code("{score}", "UCUM", "score"),
}


@dataclass(frozen=True)
class _Line:
    """A number to be drawn: its id, and the regions that it is drawn on; several are marked, one is outlined."""

    name: str
    regions: tuple[Region, ...]


def build(findings: Findings, sources: Sequence[Source]) -> Dataset | None:
    """Return the SR, or None where no number can be drawn; `sources` are the volume's slices."""
    taken: set[int] = set()
    groups: list[Item] = []
    for label, finding, index, lines in _that_fit(_plan(findings), LINES_SHOWN - len(_said(findings))):
        free = _free(index, lines, taken)
        group = _group(findings, sources, label, finding, free, lines) if free is not None else None
        if group is not None and free is not None:
            taken.add(free)
            groups.append(group)
    if not groups:
        return None
    content = pieces.report(pieces.DRAWN, [templates.imaging_measurements(groups)], findings)
    evidence = [source.header for source in sources]
    return pieces.finish(content, findings, evidence, "sr-viewer", findings.words("series.sr-viewer"))


def _plan(findings: Findings) -> Iterator[tuple[str, Structure, int, list[_Line]]]:
    """Yield the groups: label, finding, wanted slice, lines; the fixed slices first."""
    segments = {one.structure: one for one in seg.segments(findings)}
    measured = findings.measured
    columns = findings.volume.geometry.shape[2] if findings.volume else 0
    sides = seg.muscles(findings)
    muscle = next((one.structure for one in sides.values()), Structure.ILIOPSOAS_LEFT)
    both = tuple(one.region for one in sides.values())
    if measured and measured.l3_slice is not None and both:
        areas = [_Line(f"psoas.{side}.area_l3", (one.region,)) for side, one in sides.items()]
        yield "Psoas at L3", muscle, measured.l3_slice, [*areas, _Line("psoas.pmi", both)]
    if measured and measured.largest_lesion:
        region, index = measured.largest_lesion
        names = ("burden.max_diameter", "burden.count", "burden.tbs")
        yield "Tumour burden", Structure.LESION, index, [_Line(name, (region,)) for name in names]
    if both:
        lines = [
            _Line(f"psoas.{side}.{what}", (one.region,))
            for what in ("volume", "mean_hu")
            for side, one in sides.items()
        ]
        yield "Psoas", muscle, _widest(both[0], columns), [_Line("psoas.pmvi", both), *lines]
    for label, prefix, structure in (("Liver", "liver.", Structure.LIVER), ("L1", "l1.", Structure.L1_CORE)):
        if (one := segments.get(structure)) is not None:
            names_of = [name for name in MEASUREMENTS if name.startswith(prefix)]
            yield label, structure, _widest(one.region, columns), [_Line(name, (one.region,)) for name in names_of]


def _that_fit(
    planned: Iterator[tuple[str, Structure, int, list[_Line]]], room: int
) -> Iterator[tuple[str, Structure, int, list[_Line]]]:
    """Yield the groups, those that hold more lines than are shown in parts, each on a slice of its own."""
    for label, finding, index, lines in planned:
        for start in range(0, len(lines), room):
            part = f"{label}, part {start // room + 1}" if len(lines) > room else label
            yield part, finding, index, lines[start : start + room]


def _said(findings: Findings) -> list[str]:
    """Return what every group must say beside its numbers."""
    said = [DEMONSTRATION] if findings.labels and findings.labels.demonstration else []
    return [*said, findings.words("viewer.may_lack_slices")] if findings.request.forced else said


def _group(
    findings: Findings,
    sources: Sequence[Source],
    label: str,
    finding: Structure,
    index: int,
    lines: list[_Line],
) -> Item | None:
    """Return a group on a slice, or None where none of its numbers was computed."""
    measurements = findings.measured.measurements if findings.measured else {}
    numbers, cut = [], False
    for line in lines:
        one = measurements[line.name]
        drawn = _drawn(line, index, sources[index])
        if one.value and drawn is not None:
            numbers.append(_number(line.name, one, drawn, findings.request.measurement.psoas))
            cut = cut or one.is_cut
    if not numbers:
        return None
    said = _said(findings)
    if cut and len(numbers) + len(said) < LINES_SHOWN:
        said.append(findings.words("viewer.cut"))
    label, content = f"{label}, drawn", [*numbers, *map(pieces.said, said)]
    uid = tracking_uid(findings.request, label)
    return templates.group(templates.PLAIN, label, uid, STRUCTURES[finding].type, content=content)


def _drawn(line: _Line, index: int, source: Source) -> Item | None:
    if len(line.regions) == 1:
        return coordinates(line.regions[0], index, source)
    return marks(line.regions, index, source)


def _number(name: str, one: Measurement, drawn: Item, psoas: str) -> Item:
    coding, code = coding_of(name), number_code(name, psoas)
    at_least = coding.grows and one.is_cut
    return templates.measurement(
        code._replace(meaning=code.meaning + AT_LEAST) if at_least else code,
        round(float(one.value or 0), tree.DECIMALS),
        _UNITS.get(name) or ucum(coding.unit),
        drawn=drawn,
    )


def _widest(region: Region, columns: int) -> int:
    """Return the slice on which a region is largest, among those that leave room for the box if there are such."""
    areas = region.mask.sum(axis=(1, 2))
    filled: Mask = np.asarray(region.mask.any(axis=1))
    last = region.start[2] + filled.shape[1] - 1 - filled[:, ::-1].argmax(axis=1)
    roomy = np.where(last <= _ROOM_FOR_THE_BOX * columns, areas, 0)
    return region.slices[int(np.argmax(roomy if roomy.any() else areas))]


def _free(index: int, lines: list[_Line], taken: set[int]) -> int | None:
    """Return the slice nearest to the wanted one that no group has and that shows the first region."""
    shown = [one for one in lines[0].regions[0].slices if lines[0].regions[0].on_slice(one).any() and one not in taken]
    return min(shown, key=lambda one: abs(one - index), default=None)
