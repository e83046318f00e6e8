"""Studies whose patient is awkward: names in other scripts, no height, a height in centimetres, two patients.

Beside the ten stages. In: a `Bench`. Out: `AwkwardStudy`. The names are the examples of PS3.5 Annexes H
to J, or made up; the files stay marked as phantoms.
Next: the node, like any study.
"""

from collections.abc import Mapping
from typing import NamedTuple

from pydicom.dataset import Dataset

from node.phantom.awkward.kinds import Kind
from node.phantom.awkward.study import AwkwardStudy, Bench
from node.phantom.dicom import Edit


class Written(NamedTuple):
    """A name and the character sets that it is written in (PS3.3 C.12.1.1.2)."""

    character_sets: tuple[str, ...]
    name: str


NAMES: Mapping[Kind, Written] = {
    Kind.NAME_JAPANESE: Written(("", "ISO 2022 IR 87"), "Yamada^Tarou=山田^太郎=やまだ^たろう"),
    Kind.NAME_KOREAN: Written(("", "ISO 2022 IR 149"), "Hong^Gildong=洪^吉洞=홍^길동"),
    Kind.NAME_CHINESE: Written(("GB18030",), "Wang^XiaoDong=王^小东"),
    Kind.NAME_CYRILLIC: Written(("ISO_IR 144",), "Призраков^Пётр"),
    Kind.NAME_GREEK: Written(("ISO_IR 126",), "Φαντάσματος^Ελένη"),
}


def named(bench: Bench) -> AwkwardStudy:
    """Write the name of the kind."""
    written = NAMES[bench.kind]

    def edit(ds: Dataset, index: int) -> None:
        del index
        ds.SpecificCharacterSet = list(written.character_sets)
        ds.PatientName = written.name

    return _edited(bench, edit)


def no_height(bench: Bench) -> AwkwardStudy:
    """Leave Patient's Size empty."""

    def edit(ds: Dataset, index: int) -> None:
        del index
        ds.PatientSize = ""

    return _edited(bench, edit)


def height_in_cm(bench: Bench) -> AwkwardStudy:
    """Write Patient's Size in centimetres."""

    def edit(ds: Dataset, index: int) -> None:
        del index
        ds.PatientSize = f"{100 * bench.anatomy.height_m:.0f}"

    return _edited(bench, edit)


def two_patients(bench: Bench) -> AwkwardStudy:
    """Give the upper half to another patient."""
    middle = bench.grid.slices // 2

    def edit(ds: Dataset, index: int) -> None:
        if index >= middle:
            ds.PatientID = f"{ds.PatientID}-OTHER"
            ds.PatientName = "Phantom^Other"

    return _edited(bench, edit)


def _edited(bench: Bench, edit: Edit) -> AwkwardStudy:
    picture = bench.picture()
    return bench.finished(picture, bench.series(picture, edit=edit))
