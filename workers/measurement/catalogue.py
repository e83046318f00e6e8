"""The catalogue of measurements, and the page docs/measurements.md that is made from it.

Comes in: the `DEFINITIONS` and the docstring of each module that measures. Goes out: `CATALOGUE`, each id with its
definition; `page`, Markdown, which `python -m workers.measurement.catalogue` prints.
"""

import inspect
import sys
from collections.abc import Mapping
from types import ModuleType

from node.core.codes import MEASUREMENTS
from workers.measurement import bone, burden, liver, psoas
from workers.measurement.definition import Definition

FAMILIES: tuple[ModuleType, ...] = (liver, psoas, bone, burden)
CATALOGUE: Mapping[str, Definition] = {
    name: definition for family in FAMILIES for definition in family.DEFINITIONS for name in definition.ids
}

_HEAD = """# Measurements

Made from the code by `python -m workers.measurement.catalogue`. Ids and units are those of `result.json`. A number
that cannot be computed has `status` `not-computed` and a reason; it is never replaced by a default. Any number can
carry the notes `imported`, `degraded-engine` and `forced-completion` besides its own, and any is withheld as
`structure-implausible`, with the note `implausible`, where a structure that it rests on cannot be what its label says
([plausibility](plausibility.md)). Literature values are context, never verdicts.

`interval` is the range of true values that the errors of the segmenting network on known truths imply: from the least
to the largest m / (1 + e), of attenuations m - e. It is no confidence interval and may lie beside the value, since
errors have a sign. It is `null` wherever just this was not measured ([which](models.md)): imported segmentations,
TotalSegmentator, patients where phantoms were measured, another grid, another tube voltage for attenuations, cut
structures. PMVI and PMI are widened by the last place of the height. Tilted slices are told of in
[geometry](geometry.md), errors against known truth in [accuracy](accuracy.md).
"""
_LESIONS = """## Each lesion

What the three numbers above are made from: `burden.lesions` of `result.json` has every lesion, the archival SR those
that are segments of their own, and of one mask the 20 with the largest axial diameters
([private codes](private-codes.md)).

| in `result.json` | unit (UCUM) | code in the SR |
|---|---|---|
| `axial_diameter_mm` | mm | (max-axial-diameter, 99CRLM), with its line as an SCOORD |
| `diameter_mm` | mm | (max-3d-diameter, 99CRLM) |
| `volume_ml` | mL | (118565006, SCT, Volume) |
| `mean_hu` | [hnsf'U] | (112031, DCM, Attenuation Coefficient), mean |

"""
_SCORES = """## Clinical scores

Fong, RAS and GAME, each a range of points: [their items and sources](patient-facts.md#clinical-scores). The height of
the indices comes from the sources named [there](patient-facts.md#height).

## Rad score

`rad_score.ID.score` and `rad_score.ID.group` of each signature that the site asks: [signatures](signatures.md). Without
a score the reason is `signature-incomplete`, `out-of-scope`, `roi-mismatch`, `input-lossy`, `structure-implausible` or
`feature-failed`.
"""


def page() -> str:
    """Return the page of the documentation."""
    return "\n".join([_HEAD, _overview(), *(_family(one) for one in FAMILIES), _LESIONS + _SCORES])


def _overview() -> str:
    rows = (f"| `{name}` | {MEASUREMENTS[name].unit} | {MEASUREMENTS[name].name} |" for name in CATALOGUE)
    return "\n".join(["| id | unit (UCUM) | name |", "|---|---|---|", *rows, ""])


def _family(module: ModuleType) -> str:
    title, _, prose = inspect.cleandoc(module.__doc__ or "").partition("\n\n")
    heading = " ".join(title.split(":")[0].split()).rstrip(".")
    return "\n".join([f"## {heading}\n", f"{prose}\n", *(_entry(one) for one in module.DEFINITIONS)])


def _entry(one: Definition) -> str:
    coding = MEASUREMENTS[one.ids[0]]
    code = coding.concept
    lines = [
        f"### {', '.join(f'`{name}`' for name in one.ids)}\n",
        f"{one.text}\n",
        f"- Formula: {one.formula}",
        f"- Unit: {coding.unit}; code: ({code.value}, {code.scheme_designator}, {code.meaning})",
        f"- Not computed: {_codes(one.reasons)}",
        *([f"- Notes: {_codes(one.notes)}"] if one.notes else []),
        f"- Source: {one.source}\n",
    ]
    return "\n".join(lines)


def _codes(codes: tuple[str, ...]) -> str:
    return ", ".join(f"`{code}`" for code in codes)


if __name__ == "__main__":
    sys.stdout.write(page())
