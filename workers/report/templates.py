"""The templates of PS3.16 that our SR are made of: TID 1500 and what it includes, as far as they need them.

Comes in: codes, numbers, outlines. Goes out: content items (`tree`), in the order of highdicom, whose tests and ours
hold them against (`tests/unit/workers/test_templates.py`). Next: `pieces`, which fills them with a result.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from pydicom.sr.coding import Code

from workers.report import tree
from workers.report.frames import Source
from workers.report.tree import HAS_CONCEPT_MOD, HAS_OBS_CONTEXT, INFERRED_FROM, Item

POLYLINE, MULTIPOINT = "POLYLINE", "MULTIPOINT"
REPORT, VOLUMETRIC, PLANAR, PLAIN = "1500", "1411", "1410", "1501"
_DEVICE = Code("121007", "DCM", "Device")
_SOURCE = Code("260753009", "SCT", "Source")


def language(tag: str, name: str) -> Item:
    """Return the language of all below (TID 1204)."""
    concept = Code("121049", "DCM", "Language of Content Item and Descendants")
    return tree.code(concept, Code(tag, "RFC5646", name), HAS_CONCEPT_MOD)


def device_observer(uid: str, name: str, manufacturer: str, model: str, serial_number: str) -> list[Item]:
    """Return a device as the observer (TID 1001, 1002, 1004)."""
    texts = (
        ("121013", "Device Observer Name", name),
        ("121014", "Device Observer Manufacturer", manufacturer),
        ("121015", "Device Observer Model Name", model),
        ("121016", "Device Observer Serial Number", serial_number),
    )
    return [
        tree.code(Code("121005", "DCM", "Observer Type"), _DEVICE, HAS_OBS_CONTEXT),
        tree.uid(Code("121012", "DCM", "Device Observer UID"), uid, HAS_OBS_CONTEXT),
        *(tree.text(Code(value, "DCM", meaning), said, HAS_OBS_CONTEXT) for value, meaning, said in texts),
    ]


def procedure(reported: Code) -> Item:
    """Return the procedure that is reported (TID 1500)."""
    return tree.code(Code("121058", "DCM", "Procedure reported"), reported, HAS_CONCEPT_MOD)


def imaging_measurements(groups: Sequence[Item]) -> Item:
    """Return the container of the measurement groups (TID 1500)."""
    return tree.container(Code("126010", "DCM", "Imaging Measurements"), groups)


def group(
    template: str,
    label: str,
    uid: str,
    finding: Code,
    context: Sequence[Item] = (),
    content: Sequence[Item] = (),
) -> Item:
    """Return a measurement group (TID 1410, 1411, 1501).

    Parameters
    ----------
    label, uid
        How the finding is tracked (TID 4108).
    context
        Where the finding is and what measured it: `site`, `algorithm`.
    content
        Measurements, evaluations, then regions or segment, then comments.
    """
    tracked = [
        tree.text(Code("112039", "DCM", "Tracking Identifier"), label, HAS_OBS_CONTEXT),
        tree.uid(Code("112040", "DCM", "Tracking Unique Identifier"), uid, HAS_OBS_CONTEXT),
        tree.code(Code("121071", "DCM", "Finding"), finding),
    ]
    name = Code("125007", "DCM", "Measurement Group")
    return tree.container(name, [*tracked, *context, *content], template)


def site(where: Code, laterality: Code | None = None) -> Item:
    """Return a finding site with its side."""
    sides = [tree.code(Code("272741003", "SCT", "Laterality"), laterality, HAS_CONCEPT_MOD)] if laterality else []
    return tree.code(Code("363698007", "SCT", "Finding Site"), where, HAS_CONCEPT_MOD, sides)


def algorithm(name: str, version: str, manufacturer: str) -> list[Item]:
    """Return an algorithm (TID 4019)."""
    return [
        tree.text(Code("111001", "DCM", "Algorithm Name"), name, HAS_CONCEPT_MOD),
        tree.text(Code("111003", "DCM", "Algorithm Version"), version, HAS_CONCEPT_MOD),
        tree.text(Code("122405", "DCM", "Algorithm Manufacturer"), manufacturer, HAS_CONCEPT_MOD),
    ]


def measurement(
    name: Code, value: float, unit: Code, derivation: Code | None = None, drawn: Item | None = None
) -> Item:
    """Return a number (TID 300), how it was derived, and the `coordinates` that it was inferred from."""
    derived = [tree.code(Code("121401", "DCM", "Derivation"), derivation, HAS_CONCEPT_MOD)] if derivation else []
    return tree.number(name, value, unit, [*derived, *([drawn] if drawn else [])])


def coordinates(graphic: str, points: NDArray[np.float64], source: Source) -> Item:
    """Return what a number was inferred from (TID 320)."""
    return tree.drawing(_SOURCE, graphic, points, tree.image(_SOURCE, source), INFERRED_FROM)


def region(points: NDArray[np.float64], source: Source) -> Item:
    """Return the closed outline that a group is of (TID 1410, 1411)."""
    name = Code("111030", "DCM", "Image Region")
    return tree.drawing(name, POLYLINE, points, tree.image(_SOURCE, source))


def segment(sop_class_uid: str, sop_instance_uid: str, number: int, series_uid: str) -> list[Item]:
    """Return the segment that a group is of, and the series that was segmented (TID 1411)."""
    return [
        tree.segment(Code("121191", "DCM", "Referenced Segment"), sop_class_uid, sop_instance_uid, number),
        tree.uid(Code("121232", "DCM", "Source Series for Segmentation"), series_uid),
    ]
