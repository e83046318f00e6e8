"""How each kind of awkward study is made.

Beside the ten stages; `crlm-node phantom --awkward` and the tests call it. In: a folder and a kind. Out: the study on
disk. What can go wrong: a folder that holds one already (FileExistsError), a disk that is full (OSError). Next: the
node, like any study.
"""

from collections.abc import Callable, Mapping
from pathlib import Path

from node.phantom.awkward import arrival, companions, enhanced, geometry, people, phases
from node.phantom.awkward.kinds import Kind
from node.phantom.awkward.study import AwkwardStudy, Bench

_MAKERS: Mapping[Kind, Callable[[Bench], AwkwardStudy]] = {
    Kind.STRAIGHT: geometry.straight,
    Kind.TILT: geometry.tilt,
    Kind.TILT_FORWARD: geometry.tilt_forward,
    Kind.OBLIQUE: geometry.oblique,
    Kind.FEET_FIRST: geometry.feet_first,
    Kind.FLIPPED: geometry.flipped,
    Kind.TRANSPOSED: geometry.transposed,
    Kind.UNEQUAL_PIXELS: geometry.unequal_pixels,
    Kind.GAP: geometry.gap,
    Kind.DUPLICATE_POSITIONS: geometry.duplicate_positions,
    Kind.MIXED_PHASES: phases.mixed_phases,
    Kind.COMPANIONS: companions.companions,
    Kind.ENHANCED_CT: enhanced.enhanced_ct,
    Kind.ONE_SLICE: geometry.one_slice,
    Kind.MANY_SLICES: geometry.many_slices,
    Kind.TWO_PATIENTS: people.two_patients,
    Kind.NO_HEIGHT: people.no_height,
    Kind.HEIGHT_IN_CM: people.height_in_cm,
    Kind.LATE_SLICES: arrival.late_slices,
    Kind.RESENT_SLICES: arrival.resent_slices,
    **dict.fromkeys(people.NAMES, people.named),
    **{kind: arrival.encoded for kind in Kind if kind.syntax is not None},
}


def write_awkward(out: Path, kind: Kind) -> AwkwardStudy:
    """Write a study of this kind: OUT/ct/, perhaps OUT/later/, OUT/seg.dcm and OUT/truth.json.

    Raises
    ------
    FileExistsError
        If `out/ct` holds files already.
    """
    folder = out / "ct"
    if folder.exists() and any(folder.iterdir()):
        raise FileExistsError(f"{folder} is not empty")
    return _MAKERS[kind](Bench(out, kind))
