"""What is known of the patient beside the images: height, weight, sex, and where the height came from.

Comes in: `StudyContent` and the series that will be measured. Goes out: `PatientFacts`. A height that cannot be used
is never replaced: the reason goes with the facts, and the indices that need it are not computed. Where the study says
nothing of the height, `node.heights` asks others, and at last `node.entered` looks up what the operator has entered.
"""

import math
from collections.abc import Sequence
from dataclasses import replace

from node.content import Series, StudyContent
from node.core.reasons import NotComputed
from node.core.records import HeightSource, PatientFacts

_LEAST_HEIGHT_M, _LARGEST_HEIGHT_M = 1.0, 2.3
_SEXES = ("F", "M", "O")  # PS3.3 C.7.1.1, Patient's Sex


def patient_facts(content: StudyContent, series_instance_uid: str, *, height_in_cm: bool) -> PatientFacts:
    """Read the patient's facts from the headers.

    The first source that says anything of the height decides: Patient's Size (0010,1020) of the series that will be
    measured, then of the study's other series together. A later source does not mend a height that is implausible,
    because then one of the two was entered wrongly and nobody knows which.

    Parameters
    ----------
    series_instance_uid
        The first candidate.
    height_in_cm
        The site writes Patient's Size in centimetres; the standard and everybody else write metres.
    """
    chosen = [one for one in content.series if one.series_instance_uid == series_instance_uid]
    others = [one for one in content.series if one.series_instance_uid != series_instance_uid]
    weights = _values(chosen, "patient_weight_kg") or _values(others, "patient_weight_kg")
    sexes = {one.patient_sex for series in (*chosen, *others) for one in series.headers} & set(_SEXES)
    facts = PatientFacts(
        height_m=None,
        height_source=None,
        height_reason=NotComputed.HEIGHT_MISSING,
        weight_kg=weights[0] if len(weights) == 1 and weights[0] > 0 and math.isfinite(weights[0]) else None,
        sex=sexes.pop() if len(sexes) == 1 else "",
    )
    for source, series in ((HeightSource.SERIES, chosen), (HeightSource.STUDY, others)):
        if sizes := _values(series, "patient_size"):
            return with_height(facts, source, sizes, height_in_cm=height_in_cm)
    return facts


def with_height(
    facts: PatientFacts, source: HeightSource, sizes: Sequence[float], *, height_in_cm: bool
) -> PatientFacts:
    """Return facts with the height by the different sizes that a source gave, at least one; or with why it is none."""
    height_m = _plausible_height(sizes, height_in_cm=height_in_cm)
    reason = None if height_m is not None else NotComputed.HEIGHT_IMPLAUSIBLE
    return replace(facts, height_m=height_m, height_source=source, height_reason=reason)


def with_height_of(facts: PatientFacts, before: PatientFacts) -> PatientFacts:
    """Return facts with the height, its source and the reason why there is none, that earlier facts gave."""
    return replace(
        facts,
        height_m=before.height_m,
        height_source=before.height_source,
        height_reason=before.height_reason,
    )


def _plausible_height(sizes: Sequence[float], *, height_in_cm: bool) -> float | None:
    """Return the height in metres; None where the sizes disagree, or outside the plausible range (centimetres too)."""
    height_m = sizes[0] / (100 if height_in_cm else 1)
    return height_m if len(sizes) == 1 and is_plausible(height_m) else None


def is_plausible(height_m: float) -> bool:
    """Say whether a person may be so tall."""
    return _LEAST_HEIGHT_M <= height_m <= _LARGEST_HEIGHT_M


def _values(series: Sequence[Series], name: str) -> list[float]:
    """Return the different values that the headers give."""
    found = {getattr(one, name) for each in series for one in each.headers}
    # NaN is not equal to itself: one of them is enough to show that something unreadable was written.
    unreadable = [math.nan] if any(value is not None and math.isnan(value) for value in found) else []
    return sorted(value for value in found if value is not None and not math.isnan(value)) + unreadable
