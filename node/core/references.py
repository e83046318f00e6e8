"""Published values that a number is read beside: context, never a verdict.

Each with its source, whom it was found in and how it was measured there, so that a reader can see where a study
differs. What a program can compare of that protocol has fields of its own; `workers.measurement.context` does so. A
figure that could not be confirmed in its publication is not here. For PMVI no cut-off was published: the two group
means are no thresholds.
"""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Reference:
    """A published value.

    Parameters
    ----------
    text, source, population, protocol
        As a reader sees them.
    sex
        `M` or `F` where it is one sex's; empty: of both.
    kvp
        Tube voltage that it holds for; None: not said.
    native
        Whether it was measured without contrast agent.
    thickest_mm
        Thickest slices that it is read beside; None: not said.
    muscle
        Value of the setting `psoas` that names the muscle that was measured; empty: none was.
    segmenter
        Program that drew the muscle; empty: not said.
    """

    text: str
    source: str
    population: str
    protocol: str
    sex: str = ""
    kvp: float | None = None
    native: bool = False
    thickest_mm: float | None = None
    muscle: str = ""
    segmenter: str = ""


_MOOS = Reference(
    "mean of 1-year survivors 113.3 cm³/m³, of non-survivors 101.3 cm³/m³ (group means, no thresholds)",
    "Moos et al., Radiol Oncol 2026, doi 10.2478/raon-2026-0011",
    "88 patients before thermal ablation of colorectal liver metastases, one centre, 2009 to 2023",
    "CT; psoas muscles segmented by TotalSegmentator",
    muscle="iliopsoas",
    segmenter="TotalSegmentator",
)
_HAMAGUCHI = "Hamaguchi et al., Nutrition 2016, doi 10.1016/j.nut.2016.04.003"
_DONORS = "541 healthy adult donors of liver transplants in Japan; the cut-off is that of the younger ones"
_PLAIN_L3 = "CT without contrast agent; psoas major at L3"
_PICKHARDT = Reference(
    "zones above 160 HU, 110 to 160 HU, below 110 HU (screening for osteoporosis, against DXA)",
    "Pickhardt et al., Ann Intern Med 2013",
    "1867 adults with CT and DXA within 6 months, one centre",
    "CT at 120 kVp without contrast agent; slices up to 5 mm (this project's limit)",
    kvp=120.0,
    native=True,
    thickest_mm=5.0,
)
_SASAKI = Reference(
    "zone 1 below 3, zone 2 from 3 to below 9, zone 3 from 9",
    "Sasaki et al., Ann Surg 2018, doi 10.1097/SLA.0000000000002064",
    "patients after resection of colorectal liver metastases",
    "largest diameter [cm] and number of the metastases",
)

REFERENCES: Mapping[str, tuple[Reference, ...]] = {
    "psoas.pmvi": (_MOOS,),
    "psoas.pmi": (
        Reference(
            "cut-off for low muscle mass in men 6.36 cm²/m² (mean - 2 SD)",
            _HAMAGUCHI,
            _DONORS,
            _PLAIN_L3,
            sex="M",
            native=True,
            muscle="psoas_major",
        ),
        Reference(
            "cut-off for low muscle mass in women 3.92 cm²/m² (mean - 2 SD)",
            _HAMAGUCHI,
            _DONORS,
            _PLAIN_L3,
            sex="F",
            native=True,
            muscle="psoas_major",
        ),
    ),
    "l1.mean_hu": (_PICKHARDT,),
    "burden.tbs": (_SASAKI,),
}
