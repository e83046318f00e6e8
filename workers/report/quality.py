"""How a study was acquired and measured, at the beginning of a page: what a reader has to know to trust a number.

Comes in: `Findings` with a volume. Goes out: one container of a line for each fact: numbers and codes where the
standard has them, else texts. What is not known of the acquisition has no line, but for contrast agent and kernel, of
which the absence says something. Next: `pieces` puts it before the measurements.
"""

from collections.abc import Iterator

from pydicom.sr.coding import Code

from node.core.codes import (
    CONTRAST_AGENT,
    ILIOPSOAS,
    PIXEL_SPACING_ALONG_COLUMNS,
    PIXEL_SPACING_ALONG_ROWS,
    PSOAS_MAJOR,
    SLICE_SPACING,
    SLICE_THICKNESS,
    TUBE_VOLTAGE,
    ucum,
)
from node.core.private_codes import (
    COMPRESSION,
    CONVOLUTION_KERNEL,
    COVERAGE,
    ENGINE,
    GANTRY_TILT,
    HEIGHT,
    PSOAS_STRUCTURE,
    QUALITY,
    REDUCED_MODE,
    SEGMENTED_BY,
)
from node.core.reasons import NotComputed
from workers.records import LabelMap, Segment, Volume
from workers.report import tree
from workers.report.document import Findings
from workers.report.tree import Item
from workers.report.wording import Words

_MUSCLES = {"iliopsoas": ILIOPSOAS, "psoas_major": PSOAS_MAJOR}


def facts(findings: Findings) -> Item | None:
    """Return the container of the facts; None where no series was read."""
    if findings.volume is None:
        return None
    acquired = _acquired(findings.volume, findings.labels, findings.words)
    return tree.container(QUALITY, [*acquired, *(_measured(findings) if findings.measured else ())])


def _acquired(volume: Volume, labels: LabelMap | None, words: Words) -> Iterator[Item]:
    acquired, geometry = volume.acquisition, volume.geometry
    between, along_columns, along_rows = geometry.spacing_mm
    slices, length = geometry.shape[0], geometry.shape[0] * between
    seen_upright = labels is not None and labels.seen_upright
    covered = words("quality.coverage", slices=slices, length=length)
    yield tree.text(COVERAGE, words("quality.seen_upright", covered=covered) if seen_upright else covered)
    if acquired.slice_thickness_mm is not None:
        yield _number(SLICE_THICKNESS, acquired.slice_thickness_mm, "mm")
    yield _number(SLICE_SPACING, between, "mm")
    yield _number(PIXEL_SPACING_ALONG_ROWS, along_rows, "mm")
    yield _number(PIXEL_SPACING_ALONG_COLUMNS, along_columns, "mm")
    if geometry.is_tilted:
        yield _number(GANTRY_TILT, geometry.tilt_degrees, "deg")
    if acquired.kvp is not None:
        yield _number(TUBE_VOLTAGE, acquired.kvp, "kV")
    yield tree.text(CONVOLUTION_KERNEL, acquired.kernel or words("quality.no_kernel"))
    yield tree.text(CONTRAST_AGENT, acquired.contrast or words("quality.no_contrast"))
    if acquired.lossy:
        yield tree.text(COMPRESSION, words(f"reason.{NotComputed.INPUT_LOSSY}"))


def _measured(findings: Findings) -> Iterator[Item]:
    request, labels, words = findings.request, findings.labels, findings.words
    known, height = request.facts, words("quality.no_height")
    if known.height_m is not None and known.height_source is not None:
        source = words(f"height.{known.height_source}")
        height = words("quality.height", height=known.height_m, source=source, code=known.height_source)
    yield tree.text(HEIGHT, height)
    muscle = _MUSCLES[request.measurement.psoas]
    yield tree.code(PSOAS_STRUCTURE, muscle)
    if labels is None:
        return
    yield from (tree.text(SEGMENTED_BY, sentence) for sentence in _authors(labels, words))
    if not labels.imported:
        yield tree.text(ENGINE, request.engine)
    if labels.reduced:
        yield tree.text(REDUCED_MODE, labels.reduced)


def _authors(labels: LabelMap, words: Words) -> Iterator[str]:
    """Yield who drew which structures."""
    drawn: dict[tuple[str, str, bool], list[Segment]] = {}
    for one in labels.segments:
        drawn.setdefault((one.algorithm_name, one.algorithm_type, one.source is not None), []).append(one)
    for (name, kind, imported), segments in drawn.items():
        structures = ", ".join(dict.fromkeys(words(f"structure.{one.structure}") for one in segments))
        yield words(
            "quality.segmented_imported" if imported else "quality.segmented",
            structures=structures,
            who=name or words("quality.unnamed"),
            how=words(f"algorithm.{kind}"),
        )


def _number(name: Code, value: float, unit: str) -> Item:
    return tree.number(name, round(value, tree.DECIMALS), ucum(unit))
