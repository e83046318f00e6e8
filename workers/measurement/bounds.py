"""What a segmented structure can be in an adult: volume [mL], mean attenuation [HU], number of pieces, side.

One table, read by `workers.measurement.plausibility` and printed as docs/plausibility.md by `page`. A bound is no norm:
it is wide enough for disease, resection, contrast agent and metal, and tells only what cannot be the structure.
A mean is one over the whole mask, its rim included. Where no published figure draws the line, the reason says that it
is this project's choice, and why.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import Enum

from node.core.codes import STRUCTURES, Structure

LEAST_LARGEST_PIECE = 0.5  # as a share of the mask
LEAST_APART_MM = 20.0  # the centres of the two muscles, to the patient's left
LEAST_RIGHT_OF_SPINE = 0.01  # as a share of the liver


@dataclass(frozen=True)
class Bound:
    """A lowest and a highest value, both plausible, and where they come from."""

    low: float
    high: float
    source: str


class Side(Enum):
    """Where a structure must lie; its value is the rule as the page has it."""

    LEFT_MUSCLE = "its centre at least 20 mm to the patient's left of that of the right muscle"
    RIGHT_MUSCLE = "its centre at least 20 mm to the patient's right of that of the left muscle"
    LIVER = "at least 1 % of it to the patient's right of the spine"


@dataclass(frozen=True)
class Row:
    """What is plausible of one structure.

    Parameters
    ----------
    name
        As a sentence has it.
    one_piece
        Whether at least half of the mask must hang together.
    """

    name: str
    volume_ml: Bound
    mean_hu: Bound
    one_piece: bool
    side: Side | None = None


_LIVER_ML = Bound(
    250.0,
    12_000.0,
    "Whole livers: 1505 ± 385 mL by MRI in 2773 adults (Eur J Radiol 2018, doi 10.1016/j.ejrad.2018.07.005). "
    "Lowest: a quarter of a small liver, about what an extended resection leaves (Vauthey et al., Surgery "
    "2000;127:512: remnants of a quarter of the liver and less). Highest: this project's choice, far above "
    "steatosis and metastases and below half a trunk; a polycystic liver can be larger still (one of 25.7 L was "
    "published) and is then not measured.",
)
_LIVER_HU = Bound(
    -50.0,
    250.0,
    "Without contrast agent: about -3 HU with 40 % fat (Radiology 2021;301:250, doi 10.1148/radiol.2021204288), "
    "up to 125 HU with iron overload (PubMed 8079280). Beyond: this project's choice, for fat, cysts, and "
    "contrast agent at a low tube voltage. Air and fat lie below, bone above.",
)
_ILIOPSOAS_ML = Bound(
    30.0,
    1000.0,
    "Means of both sides over height^3: 101 and 113 cm³/m³ in patients with liver metastases (Moos et al., Radiol"
    " Oncol 2026, doi 10.2478/raon-2026-0011), so 250 to 280 mL a side at 1.70 m. A tenth and four times that: "
    "this project's choice, for wasting and paralysis, athletes and haematoma.",
)
_PSOAS_MAJOR_ML = Bound(
    15.0,
    800.0,
    "This project's choice: a part of the iliopsoas, so half and four fifths of its bounds.",
)
_MUSCLE_HU = Bound(
    -80.0,
    150.0,
    "Psoas of healthy young adults without contrast agent: 48 ± 6 HU (Lawlor et al., J Frailty Sarcopenia Falls "
    "2022, doi 10.22540/JFSF-07-038). Beyond: this project's choice. Lowest: a muscle that fat has replaced; fat "
    "itself lies below. Highest: contrast agent, and screws whose glare reaches it.",
)
_VERTEBRA_ML = Bound(
    10.0,
    200.0,
    "Vertebra with arch: L1 60 mL, L3 66 mL on TotalSegmentator's example CT; bodies vary widely (Surg Radiol "
    "Anat 2016;38:303, doi 10.1007/s00276-015-1552-2). A sixth and three times that: this project's choice, for a"
    " collapsed vertebra, a mask of the body alone, and overgrown bone.",
)
_BONE_HU = Bound(
    0.0,
    2000.0,
    "Spongy bone of L1: 226 ± 44 HU below 30 years, 89 ± 38 HU from 90 years (Jang et al., Radiology "
    "2019;291:360, doi 10.1148/radiol.2019181648); compact bone raises a vertebra's mean. Beyond: this project's "
    "choice. Lowest: bone that fat has replaced. Highest: cement and metal.",
)
_BODIES_ML = Bound(
    5.0,
    2500.0,
    "This project's choice: from a part of one vertebral body to all bodies of a long spine.",
)
_LESION_ML = Bound(
    0.0,
    10_000.0,
    "This project's choice: a lesion is smaller than the largest liver. How small one may be is a rule of its count.",
)
_LESION_HU = Bound(
    -150.0,
    600.0,
    "This project's choice: lowest for gas and fat in a lesion after treatment, highest for one that is calcified"
    " (10 % of 210 patients: doi 10.1007/s11596-010-0664-5) or filled with iodised oil. Lung and bowel gas lie "
    "below.",
)

ROWS: Mapping[Structure, Row] = {
    Structure.LIVER: Row("the liver", _LIVER_ML, _LIVER_HU, one_piece=True, side=Side.LIVER),
    Structure.ILIOPSOAS_LEFT: Row("the left iliopsoas", _ILIOPSOAS_ML, _MUSCLE_HU, True, Side.LEFT_MUSCLE),
    Structure.ILIOPSOAS_RIGHT: Row("the right iliopsoas", _ILIOPSOAS_ML, _MUSCLE_HU, True, Side.RIGHT_MUSCLE),
    Structure.PSOAS_MAJOR_LEFT: Row("the left psoas major", _PSOAS_MAJOR_ML, _MUSCLE_HU, True, Side.LEFT_MUSCLE),
    Structure.PSOAS_MAJOR_RIGHT: Row("the right psoas major", _PSOAS_MAJOR_ML, _MUSCLE_HU, True, Side.RIGHT_MUSCLE),
    Structure.VERTEBRA_L1: Row("L1", _VERTEBRA_ML, _BONE_HU, one_piece=True),
    Structure.VERTEBRA_L3: Row("L3", _VERTEBRA_ML, _BONE_HU, one_piece=True),
    Structure.VERTEBRAL_BODY: Row("the label of vertebral bodies", _BODIES_ML, _BONE_HU, one_piece=False),
    Structure.LESION: Row("a lesion", _LESION_ML, _LESION_HU, one_piece=False),
}

_HEAD = """# Plausibility

Before a number is told, the masks that it rests on are held against this table. A mask that breaks a rule is no such
structure of an adult: its numbers, and those that are made of them (PMVI, PMI, tumour burden score), are not computed
(`structure-implausible`), and the note `implausible` gives the figures. The SEG still shows what was segmented. An
imported segmentation is judged as a network's is.

A bound is no norm: it leaves room for disease, resection, contrast agent and metal. Both ends of a range are plausible.

- **Cut by the edge of the scan**: no lowest volume, no rule on pieces and none on the side of the liver.
- **One piece**: at least half of the mask hangs together; pieces less than about 3 mm apart are one.
- **Mean**: over the whole mask, pixel padding left out.
- **Side**: along the patient's own left-right axis (LPS x, from the orientation of the image), never by columns of the
  array. A swap of left and right makes both muscles implausible. The spine is where L3 is, or L1, the vertebral bodies,
  or the middle between both muscles; without any of them the liver's side is not judged. A liver of situs inversus
  keeps the rule, since its other lobe lies on the right.
- **Lesions**: each segment is judged; one that is implausible takes all numbers of tumour burden with it.

This page is written from `workers/measurement/bounds.py`:
`python -c "from workers.measurement import bounds; print(bounds.page(), end='')" > docs/plausibility.md`.

| structure | volume [mL] | mean [HU] | one piece | side |
|---|---|---|---|---|
"""


def page() -> str:
    """Return the table as a Markdown page, each bound with its source."""
    rows = "\n".join(
        f"| {_titled(row.name)} | {_range(row.volume_ml)} | {_range(row.mean_hu)} | {'yes' if row.one_piece else ''} "
        f"| {row.side.value if row.side else ''} |"
        for row in ROWS.values()
    )
    return f"{_HEAD}{rows}\n\n## Sources\n\n" + "\n".join(_sources()) + "\n"


def _sources() -> Iterator[str]:
    """Yield a line for each bound; structures that share one stand together."""
    shared: dict[tuple[str, Bound], list[str]] = {}
    for structure, row in ROWS.items():
        for what, bound in (("volume", row.volume_ml), ("mean", row.mean_hu)):
            shared.setdefault((what, bound), []).append(STRUCTURES[structure].label)
    for (what, bound), labels in shared.items():
        yield f"- **{', '.join(labels)}, {what}** {_range(bound)}: {bound.source}"


def _range(bound: Bound) -> str:
    return f"{bound.low:g} to {bound.high:g}"


def _titled(name: str) -> str:
    bare = name.removeprefix("the ").removeprefix("a ")
    return bare[0].upper() + bare[1:]
