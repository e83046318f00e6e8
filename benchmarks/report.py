"""How fast and how lean stage 9 is: our SEG beside highdicom's and dcmqi's, and the whole set beside our SEG.

The standard synthetic abdomen is written as a CT series of 512 x 512 x 600 voxels of 1 x 0.8 x 0.8 mm, and measured
with its seven structures: liver, both iliopsoas, the core of L1, three lesions. Every figure is of a process of its
own. highdicom gets an array of labels, or a mask for each segment; dcmqi two images of labels. All must hold the same
voxels: with labels, what lies in a lesion is no liver, and is compared so.
"""

import json
import os
import sys
import tempfile
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK
from measure import grid
from numpy.typing import NDArray
from pydicom import dcmread
from reporting import IMAGES, LABELS, META, REQUEST, WAYS, findings_of
from results import Figures, Result, arguments, in_rounds, machine, medians_of, table, table_of, write

from node.core.codes import STRUCTURES, Structure
from node.core.records import dump
from node.core.settings import MeasurementSettings, Settings
from node.core.spool import Spool
from node.folder import request_for_folder
from node.phantom import Grid, Rendering, lesion_masks, render, standard_anatomy, write_ct
from node.phantom import Structure as Part
from workers import volume
from workers.records import AlgorithmType, LabelMap, Region, Segment
from workers.report import seg
from workers.stored_labels import dump_labels

BAR_FASTEST, BAR_STACK, BAR_SET, BAR_MEMORY = 1.0, 2.0, 2.0, 1.5
PAINTED = {
    Structure.ILIOPSOAS_LEFT: Part.PSOAS_LEFT,
    Structure.ILIOPSOAS_RIGHT: Part.PSOAS_RIGHT,
    Structure.VERTEBRA_L1: Part.VERTEBRA_L1,
    Structure.VERTEBRA_L3: Part.VERTEBRA_L3,
}
Voxels = dict[tuple[str, str], NDArray[np.bool_]]  # by label of the segment and SOP Instance UID of the slice


def make(folder: Path, on: Grid) -> str:
    """Write series, request, label map and what dcmqi needs; return the shape in words."""
    picture = render(standard_anatomy(), on)
    write_ct(folder / "ct", picture, on, picture.anatomy)
    request = request_for_folder(folder / "ct", None, Settings(), now=datetime.fromisoformat("2026-11-21T12:00:00"))
    (folder / REQUEST).write_text(dump(request), encoding="utf-8")
    geometry = volume.read(request.candidates[0], Spool(Path("/")), MeasurementSettings()).geometry
    drawn = _drawn(picture)
    segments = tuple(
        Segment(structure, str(structure), region, AlgorithmType.AUTOMATIC, "made")
        for structure, mask in drawn
        if (region := Region.of(mask)) is not None
    )
    series = request.candidates[0].series_instance_uid
    labels = LabelMap(geometry, series, "made", frozenset(structure for structure, _ in drawn), segments)
    (folder / LABELS).write_bytes(dump_labels(labels))
    _for_dcmqi(folder, on)
    return f"{on.columns} x {on.rows} x {on.slices}"


def _drawn(picture: Rendering) -> list[tuple[Structure, NDArray[np.bool_]]]:
    """Return the masks of a phantom: the liver with its lesions, each lesion, and what stage 8 looks for."""
    lesions = [(Structure.LESION, mask) for mask in lesion_masks(picture)]
    liver = (picture.labels == Part.LIVER) | (picture.labels == Part.LESION)
    others = [(structure, picture.labels == part) for structure, part in PAINTED.items()]
    return [(Structure.LIVER, liver), *others, (Structure.VERTEBRAL_BODY, picture.vertebral_bodies), *lesions]


def _for_dcmqi(folder: Path, on: Grid) -> None:
    """Write the segments as two images of labels that do not overlap, and their description."""
    written, attributes = seg.segments(findings_of(folder)), []
    spacing_mm, origin_mm = on.spacing_mm[::-1], on.origin_mm
    for name in IMAGES:
        image, described = np.zeros(on.shape, dtype=np.uint8), []
        for number, one in enumerate(written, start=1):
            if (one.structure is Structure.LESION) == (name == IMAGES[1]):
                image[one.region.box][one.region.mask] = number
                described.append(_attributes(number, one))
        attributes.append(described)
        itk = SimpleITK.GetImageFromArray(image)
        itk.SetSpacing(spacing_mm)
        itk.SetOrigin(origin_mm)
        SimpleITK.WriteImage(itk, str(folder / name))
    meta = {"ContentCreatorName": "made", "SeriesDescription": "made", "SeriesNumber": "1", "InstanceNumber": "1"}
    (folder / META).write_text(json.dumps({**meta, "segmentAttributes": attributes}), encoding="utf-8")


def _attributes(number: int, one: Segment) -> dict[str, Any]:
    coding = STRUCTURES[one.structure]
    category, kind = (
        {"CodeValue": code.value, "CodingSchemeDesignator": code.scheme_designator, "CodeMeaning": code.meaning}
        for code in (coding.category, coding.type)
    )
    return {
        "labelID": number,
        "SegmentLabel": one.label,
        "SegmentAlgorithmType": "AUTOMATIC",
        "SegmentAlgorithmName": "made",
        "SegmentedPropertyCategoryCodeSequence": category,
        "SegmentedPropertyTypeCodeSequence": kind,
        "recommendedDisplayRGBValue": list(coding.rgb),
    }


def measure(folder: Path, rounds: int) -> dict[str, Figures]:
    """Run all ways in turn, round by round."""
    seen = in_rounds("reporting.py", WAYS, folder, rounds)
    return {name: Figures(*medians_of(runs)) for name, runs in seen.items()}


def require_same(folder: Path) -> int:
    """Hold the voxels of every SEG against ours, and our SEG alone against that of the set; return the frames."""
    if (folder / "ours.dcm").read_bytes() != (folder / "seg.dcm").read_bytes():
        raise RuntimeError("the SEG alone is not the SEG of the set")
    wanted = voxels(folder / "ours.dcm")
    _require_equal("highdicom, stack", voxels(folder / "highdicom, stack.dcm"), wanted)
    _require_equal("dcmqi", voxels(folder / "dcmqi.dcm"), wanted)
    _require_equal("highdicom, label map", voxels(folder / "highdicom, label map.dcm"), _on_top(wanted))
    return len(wanted)


def voxels(path: Path) -> Voxels:
    """Return the frames of a BINARY SEG that hold something."""
    ds = dcmread(path)
    size = int(ds.Rows) * int(ds.Columns)
    bits = np.unpackbits(np.frombuffer(ds.PixelData, dtype=np.uint8), bitorder="little")
    labels = {int(one.SegmentNumber): str(one.SegmentLabel) for one in ds.SegmentSequence}
    found = {}
    for place, group in enumerate(ds.PerFrameFunctionalGroupsSequence):
        label = labels[int(group.SegmentIdentificationSequence[0].ReferencedSegmentNumber)]
        [source] = group.DerivationImageSequence[0].SourceImageSequence
        frame = bits[place * size : (place + 1) * size].astype(bool)
        if frame.any():
            found[label, str(source.ReferencedSOPInstanceUID)] = frame
    return found


def _on_top(given: Voxels) -> Voxels:
    """Return what is left of each segment where a later one has what they share."""
    labels = list(dict.fromkeys(label for label, _ in given))
    left = {}
    for (label, uid), frame in given.items():
        over = [given[later, uid] for later in labels[labels.index(label) + 1 :] if (later, uid) in given]
        rest = frame & ~np.any(over, axis=0) if over else frame
        if rest.any():
            left[label, uid] = rest
    return left


def _require_equal(name: str, found: Voxels, wanted: Voxels) -> None:
    if found.keys() != wanted.keys() or not all(np.array_equal(found[key], wanted[key]) for key in wanted):
        raise RuntimeError(f"{name}: the voxels are not ours")


def results(medians: dict[str, Figures], size: str, voxel_count: int) -> list[Result]:
    """Return ours beside the others; an array of labels is of a byte a voxel."""
    ours, made = medians["ours"].seconds, []
    peers = ("highdicom, label map", "highdicom, stack", "dcmqi")
    fastest = min(peers[:2], key=lambda name: medians[name].seconds)
    for name in peers:
        other, bar = medians[name].seconds, BAR_STACK if name == peers[1] else None
        bar = max(bar or 0, BAR_FASTEST) if name == fastest else bar
        made.append(Result(f"SEG, {size}", ours, other, name, "s", other / ours, bar))
    share = medians["ours, whole set"].seconds / ours
    made.append(Result("whole set by SEG", share, BAR_SET, "a fixed bar", "x", BAR_SET / share, 1.0))
    share = medians["ours, whole set"].peak_bytes / voxel_count
    made.append(Result("whole set, peak by label map", share, BAR_MEMORY, "a fixed bar", "x", BAR_MEMORY / share, 1.0))
    return made


def main() -> int:
    """Measure, print, write."""
    asked = arguments(__doc__.partition("\n")[0])
    where, on = machine(), grid(quick=asked.quick)
    with tempfile.TemporaryDirectory(prefix="report-") as root:
        size = make(Path(root), on)
        medians = measure(Path(root), 1 if asked.quick else 5)
        where["load_after"] = round(os.getloadavg()[0], 2)
        where["frames"] = require_same(Path(root))
        sizes = {path.name: path.stat().st_size / 1e6 for path in sorted(Path(root).glob("*.dcm"))}
    found = results(medians, size, on.slices * on.rows * on.columns)
    head = ("way", "s", "CPU s", "peak MB")
    rows = [
        (name, f"{one.seconds:.3f}", f"{one.cpu_s:.3f}", f"{one.peak_bytes / 1e6:.1f}") for name, one in medians.items()
    ]
    print(", ".join(f"{key} {value}" for key, value in where.items()), table([head, *rows]), sep="\n\n", end="\n\n")
    print("MB written: " + ", ".join(f"{name} {size_mb:.1f}" for name, size_mb in sizes.items()), end="\n\n")
    print(table_of(found))
    if asked.json:
        write(asked.json, where, found)
    return 0 if all(result.holds for result in found) else 1


if __name__ == "__main__":
    sys.exit(main())
