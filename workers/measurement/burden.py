"""Tumour burden: number of liver lesions, largest axial diameter [mm], tumour burden score, and the score's zone.

Comes in: volume and segmentation. Goes out: the table of lesions as a `Burden`, and the three `burden.*` numbers. What
can go wrong: searched and none found: count 0, no diameter and no score (`lesion-none`); not searched: none of the
three and no table (`structure-not-found`), since absence of a search is never a zero. Next: report.

TBS = sqrt(D^2 + n^2), D the largest axial diameter in cm, n the count (UCUM `1`). What a lesion is, and its diameter:
`lesions`, `diameters`. The zones of the score, below 3, from 3 to below 9, from 9, are context and no verdict: they
were made on patients who were operated on. Lesions at the edge of the scan are counted and measured as far as they are
seen (`truncated`). Source: Sasaki et al., Ann Surg 2018, doi 10.1097/SLA.0000000000002064; metrics contract, section 5.
"""

import numpy as np

from node.core.codes import Structure
from node.core.reasons import NotComputed, NoteCode
from node.core.records import Measurement, Note, computed, not_computed
from workers.measured import Burden, Lesion, Zone
from workers.measurement import lesions
from workers.measurement.definition import OWN, Definition
from workers.records import LabelMap, Volume

NAMES = ("burden.count", "burden.max_diameter", "burden.tbs")
_LOWER_BOUNDS = ((9.0, Zone.FROM_9), (3.0, Zone.FROM_3), (0.0, Zone.BELOW_3))
_SASAKI = "Sasaki et al., Ann Surg 2018, doi 10.1097/SLA.0000000000002064."
DEFINITIONS = (
    Definition(
        ids=NAMES[:1],
        text="Liver lesions; 0 only where they were searched for.",
        formula="components (26 neighbours) of at least 0.05 mL; of an imported SEG its several, or its one numbered, "
        "tumour segments, whatever their size",
        source=OWN,
        reasons=(NotComputed.STRUCTURE_NOT_FOUND,),
        notes=(NoteCode.TRUNCATED,),
    ),
    Definition(
        ids=NAMES[1:2],
        text="Largest diameter that any lesion has on one slice.",
        formula="largest distance of two voxel centres of a lesion on a slice",
        source=OWN,
        reasons=(NotComputed.STRUCTURE_NOT_FOUND, NotComputed.LESION_NONE),
        notes=(NoteCode.TRUNCATED,),
    ),
    Definition(
        ids=NAMES[2:],
        text="Tumour burden score.",
        formula="sqrt(D^2 + n^2), D = `burden.max_diameter` in cm, n = `burden.count`",
        source=_SASAKI,
        reasons=(NotComputed.STRUCTURE_NOT_FOUND, NotComputed.LESION_NONE),
        notes=(NoteCode.TRUNCATED,),
    ),
)


def measure(volume: Volume, labels: LabelMap) -> tuple[Burden | None, dict[str, Measurement]]:
    """Return the table of lesions, None where there was no search, and the three `burden.*` numbers."""
    if Structure.LESION not in labels.searched:
        return None, dict.fromkeys(NAMES, not_computed(NotComputed.STRUCTURE_NOT_FOUND))
    found = lesions.find(labels)
    table = lesions.measure(volume, found)
    if not table:
        none = not_computed(NotComputed.LESION_NONE)
        return Burden((), found.drawn, found.smaller, None), dict(zip(NAMES, (computed(0.0), none, none), strict=True))
    diameter_mm = max(one.axial_diameter_mm for one in table)
    score = float(np.hypot(diameter_mm / 10, len(table)))
    notes = _edge_notes(table)
    values = (float(len(table)), diameter_mm, score)
    numbers = {name: computed(value, *notes) for name, value in zip(NAMES, values, strict=True)}
    return Burden(table, found.drawn, found.smaller, zone(score)), numbers


def zone(score: float) -> Zone:
    """Return the zone of a score."""
    return next(word for bound, word in _LOWER_BOUNDS if score >= bound)


def _edge_notes(table: tuple[Lesion, ...]) -> list[Note]:
    cut = sum(bool(one.edges) for one in table)
    return [Note(NoteCode.TRUNCATED, f"{cut} of {len(table)} lesions reach the edge of the scan.")] if cut else []
