"""The lesions in the archival SR, one by one: diameters, volume, mean attenuation, and what a reader should know.

Comes in: the table of lesions of stage 8. Goes out: of a lesion that is a segment of its own, what its two groups hold:
the TID 1411 group what is of its whole, the TID 1410 group of its outline the axial diameter; of the parts of one mask,
which no segment tells apart, a TID 1410 group each. The axial diameter carries its line as an SCOORD (TID 320).

Of one mask no more than `MOST` parts get a group, those with the largest diameters: more are a disseminated disease, or
specks, that nobody reads one by one, and `result.json` has all. How many there are is said.
"""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from pydicom.sr.coding import Code

from node.core.codes import ATTENUATION, DIAMETER_3D, MAXIMUM_DIAMETER, MEAN, VOLUME, Structure, ucum
from workers.measured import Lesion
from workers.report import pieces, templates, tree
from workers.report.document import Findings
from workers.report.frames import Source
from workers.report.seg import lesion_label
from workers.report.tree import Item

MOST = 20


def drawn(findings: Findings) -> Mapping[str, Lesion]:
    """Return the lesions that are segments of their own, by the labels of these."""
    burden = findings.measured.burden if findings.measured else None
    if burden is None or not burden.drawn:
        return {}
    return {lesion_label(number): one for number, one in enumerate(burden.lesions, start=1)}


def groups(findings: Findings, sources: Sequence[Source]) -> Iterator[Item]:
    """Yield a group for each part of a mask of lesions."""
    burden = findings.measured.burden if findings.measured else None
    if burden is None or burden.drawn:
        return
    largest = sorted(burden.lesions, key=lambda one: -one.axial_diameter_mm)[:MOST]
    for number, lesion in enumerate(burden.lesions, start=1):
        if any(lesion is one for one in largest):
            yield _group(findings, sources, lesion_label(number), lesion)


def _group(findings: Findings, sources: Sequence[Source], label: str, lesion: Lesion) -> Item:
    source = sources[lesion.slice]
    region = pieces.image_region(lesion.region, lesion.slice, source)
    content = [planar(lesion, source), *spatial(lesion), *([region] if region else [])]
    content += map(pieces.said, remarks(lesion, findings))
    return pieces.group(templates.PLANAR, label, Structure.LESION, findings, content)


def planar(lesion: Lesion, source: Source) -> Item:
    """Return the axial diameter with its line on the slice, unless that begins and ends in one pixel."""
    if not lesion.axial_diameter_mm:
        return _number(MAXIMUM_DIAMETER, lesion.axial_diameter_mm, "mm")
    (row, column), (last_row, last_column) = lesion.ends
    # The middle of a pixel, columns first (PS3.3 section C.18.6.1.1).
    line = np.asarray([[column, row], [last_column, last_row]], dtype=float) + 0.5
    drawn_ = templates.coordinates(templates.POLYLINE, line, source)
    return _number(MAXIMUM_DIAMETER, lesion.axial_diameter_mm, "mm", drawn=drawn_)


def spatial(lesion: Lesion) -> list[Item]:
    """Return the numbers of the whole lesion; a mean only where there is tissue."""
    numbers = [_number(VOLUME, lesion.volume_ml, "mL"), _number(DIAMETER_3D, lesion.diameter_mm, "mm")]
    if lesion.mean_hu is not None:
        numbers.append(_number(ATTENUATION, lesion.mean_hu, "[hnsf'U]", derivation=MEAN))
    return numbers


def remarks(lesion: Lesion, findings: Findings) -> Iterator[str]:
    """Yield what a reader should know of a lesion."""
    words = findings.words
    if lesion.edges:
        edges = ", ".join(words(f"edge.{edge.removesuffix(' slice')}") for edge in lesion.edges)
        yield words("lesion.cut", edges=edges)
    if lesion.parts > 1:
        yield words("lesion.parts", parts=lesion.parts)
    if lesion.touches:
        yield words("lesion.touches", numbers=", ".join(map(str, lesion.touches)))
    if lesion.mean_hu is None:
        yield words("lesion.no_mean")


def of_all(findings: Findings) -> Iterator[str]:
    """Yield which lesions are not told one by one, and what of the mask is none."""
    burden, words = findings.measured.burden if findings.measured else None, findings.words
    if burden is None:
        return
    if not burden.drawn and len(burden.lesions) > MOST:
        yield words("lesion.more", told=MOST, all=len(burden.lesions))
    if burden.smaller:
        yield words("lesion.smaller", count=burden.smaller)


def _number(
    concept: Code, value: float, unit: str, *, derivation: Code | None = None, drawn: Item | None = None
) -> Item:
    return templates.measurement(concept, round(value, tree.DECIMALS), ucum(unit), derivation, drawn)
