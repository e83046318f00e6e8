"""Clinical scores of colorectal liver metastases [points]: what the CT knows of them, with what the site entered.

Comes in: the numbers of the tumour burden, and the site's clinical facts. Goes out: each score as a range. Score = sum
of the points of its items. An item that is not known may give none or all of its points, so that the range goes from
what is certain to what is possible: nothing missing counts as absent. No lesion found (`lesion-none`): number, size and
burden give no points. Not searched for, or not plausible: they are unknown. Cut by the edge of the scan (`truncated`,
of a lesion or of the liver): they are at least what was seen; what is met stays met, what is not is unknown.

The size is the largest diameter on an axial slice of this CT, `burden.max_diameter` in mm; the abstracts of the sources
do not say how theirs was taken.

Sources, all of patients after resection:
- `fong-crs`, 0 to 5: one point each for node-positive primary, disease-free interval < 12 months, more than one tumour,
  largest > 5 cm, CEA > 200 ng/mL. Fong et al., Ann Surg 1999, doi 10.1097/00000658-199909000-00004 (abstract).
- `ras-mcs`, 0 to 3: one point each for RAS mutation, node-positive primary, largest > 50 mm. Brudvik et al., Ann Surg
  2019, doi 10.1097/SLA.0000000000002319; items as in the published code of PLATO (vilja-a/plato-crlm-risk-prediction).
- `game`, 0 to 7: one point each for KRAS mutation, CEA >= 20 ng/mL, node-positive primary; tumour burden score 3 to < 9
  one point, >= 9 two; extrahepatic disease two. Margonis et al., Br J Surg 2018, doi 10.1002/bjs.10838 (abstract). It
  asks for KRAS: a RAS mutation in a gene that nobody names leaves the item unknown.
"""

from collections.abc import Callable, Mapping

from node.core.reasons import NotComputed, NoteCode
from node.core.records import ClinicalFacts, Measurement, RasStatus
from workers.measured import PATIENT_FACTS, Score, ScoreItem, ScoreNote

Numbers = Mapping[str, Measurement]

_COUNT, _DIAMETER, _BURDEN, _LIVER = "burden.count", "burden.max_diameter", "burden.tbs", "liver.volume"


def compute(numbers: Numbers, clinical: ClinicalFacts | None) -> tuple[Score, ...]:
    """Return every score, each with its range."""
    facts = clinical or ClinicalFacts()
    return _fong(numbers, facts), _ras(numbers, facts), _game(numbers, facts)


def _fong(numbers: Numbers, facts: ClinicalFacts) -> Score:
    interval, cea = facts.disease_free_interval_months, facts.cea_ng_ml
    return Score(
        id="fong-crs",
        name="Fong clinical risk score",
        of=5,
        items=(
            _node_positive(facts),
            _fact(
                "disease-free-interval-below-12-months",
                "disease-free interval < 12 months",
                interval,
                None if interval is None else interval < 12,
            ),
            _measured("more-than-1-lesion", "more than 1 lesion", numbers, _COUNT, lambda count: int(count > 1)),
            _large(numbers),
            _fact("cea-above-200", "CEA > 200 ng/mL", cea, None if cea is None else cea > 200),
        ),
        source="Fong et al., Ann Surg 1999;230:309, doi 10.1097/00000658-199909000-00004",
        population="1001 patients after liver resection for colorectal metastases, 1985 to 1998",
        notes=_remarks(numbers),
    )


def _ras(numbers: Numbers, facts: ClinicalFacts) -> Score:
    mutated = None if facts.ras is None else facts.ras is not RasStatus.WILD_TYPE
    return Score(
        id="ras-mcs",
        name="Modified clinical score with RAS",
        of=3,
        items=(_fact("ras-mutated", "RAS mutation", facts.ras, mutated), _node_positive(facts), _large(numbers)),
        source="Brudvik et al., Ann Surg 2019;269:120, doi 10.1097/SLA.0000000000002319",
        population="patients after resection of colorectal liver metastases",
        notes=_remarks(numbers),
    )


def _game(numbers: Numbers, facts: ClinicalFacts) -> Score:
    cea = facts.cea_ng_ml
    kras = None if facts.ras in (None, RasStatus.MUTANT) else facts.ras is RasStatus.KRAS_MUTANT
    return Score(
        id="game",
        name="GAME score",
        of=7,
        items=(
            _fact("kras-mutated", "KRAS mutation", facts.ras, kras),
            _fact("cea-20-or-more", "CEA >= 20 ng/mL", cea, None if cea is None else cea >= 20),
            _node_positive(facts),
            _measured("tumour-burden", "tumour burden score >= 3", numbers, _BURDEN, _burden_points, most=2),
            _fact(
                "extrahepatic-disease",
                "extrahepatic disease",
                facts.extrahepatic_disease,
                facts.extrahepatic_disease,
                2,
            ),
        ),
        source="Margonis et al., Br J Surg 2018;105:1210, doi 10.1002/bjs.10838",
        population="502 patients after resection of colorectal liver metastases at one centre",
        notes=_remarks(numbers),
    )


def _node_positive(facts: ClinicalFacts) -> ScoreItem:
    known = facts.node_positive_primary
    return _fact("node-positive-primary", "node-positive primary", known, known)


def _large(numbers: Numbers) -> ScoreItem:
    return _measured("larger-than-5-cm", "largest > 5 cm", numbers, _DIAMETER, lambda diameter: int(diameter > 50))


def _burden_points(score: float) -> int:
    return int(score >= 3) + int(score >= 9)


def _fact(id_: str, name: str, value: float | str | bool | None, holds: bool | None, points: int = 1) -> ScoreItem:
    low, high = (0, points) if holds is None else (points * holds, points * holds)
    return ScoreItem(id_, name, low, high, value, PATIENT_FACTS)


def _measured(
    id_: str, name: str, numbers: Numbers, source: str, points_of: Callable[[float], int], most: int = 1
) -> ScoreItem:
    """Return an item of the CT; `points_of` never falls when its number grows."""
    one = numbers[source]
    value = one.value if isinstance(one.value, int | float) else None
    if value is None and one.reason is not NotComputed.LESION_NONE:
        return ScoreItem(id_, name, 0, most, None, source)
    low = 0 if value is None else points_of(value)
    return ScoreItem(id_, name, low, most if _may_be_more(numbers, source) else low, value, source)


def _may_be_more(numbers: Numbers, source: str) -> bool:
    """Say whether the scan ends where more could be: at a lesion, or at the liver."""
    notes = (*numbers[source].notes, *numbers[_LIVER].notes)
    return any(note.code is NoteCode.TRUNCATED for note in notes)


def _remarks(numbers: Numbers) -> tuple[ScoreNote, ...]:
    none = numbers[_DIAMETER].reason is NotComputed.LESION_NONE
    return (ScoreNote.AXIAL_SIZE, ScoreNote.NO_LESION) if none else (ScoreNote.AXIAL_SIZE,)
