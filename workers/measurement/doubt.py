"""Doubt: the interval of a number, which is the range of truths that errors measured on known truths imply.

Comes in: the numbers of a study, and what was measured of the network that segmented it (`Validation`, from the
network's manifest). Goes out: the same numbers, those with an `interval` that have one. A number m that was off by the
errors e of n known truths has the interval from least to largest of m / (1 + e), where errors are parts of the truth,
or of m - e, where they are differences [HU]. It is the range that was seen on these truths and no confidence interval;
errors have a sign, so that it may lie beside the number. Unit and code are those of the number.

There is none without a measurement of just this case: another network, an imported segmentation, another distance of
slices or pixels, a tilted grid, lossy pixels, a patient where phantoms were measured; attenuations at another tube
voltage, the core of L1 by other settings; a number that a note calls cut or taken in another way; fewer than five
truths. PMVI and PMI are widened by what the height leaves open as it is written, and have none where the height is in
no header, archive or worklist. Nothing can go wrong. Source: this project's own rule (docs/models.md).
"""

from collections.abc import Mapping
from dataclasses import replace

from node.core.codes import MEASUREMENTS
from node.core.reasons import NoteCode
from node.core.records import HeightSource, Measurement, PatientFacts
from node.core.settings import MeasurementSettings
from workers.records import LabelMap, Volume
from workers.validation import Conditions, Errors

Interval = tuple[float, float]
_LEAST_TRUTHS = 5
_ROUNDING = 1e-3  # of a distance: positions and pixel spacing are written with few decimals
_HU = "[hnsf'U]"
_CORE = "l1."
_POWERS = {"psoas.pmvi": 3, "psoas.pmi": 2}
_WRITTEN = (HeightSource.SERIES, HeightSource.STUDY, HeightSource.ARCHIVE, HeightSource.WORKLIST)
# What a number says that was not measured as those on known truths were.
_OTHERWISE = frozenset(
    (
        NoteCode.TRUNCATED,
        NoteCode.NEARLY_COMPLETE,
        NoteCode.BODY_FROM_LABEL,
        NoteCode.LEVEL_FROM_LABEL,
        NoteCode.IMPORTED,
        NoteCode.HIGH_VARIANCE,
    )
)


def with_intervals(
    found: Mapping[str, Measurement],
    volume: Volume,
    labels: LabelMap,
    facts: PatientFacts,
    settings: MeasurementSettings,
) -> dict[str, Measurement]:
    """Return the numbers of a study, each with its interval where it has one."""
    validation = labels.validation
    if validation is None or not _as_measured(validation.conditions, volume, labels):
        return dict(found)
    unknown = _not_as_measured(validation.conditions, volume, settings)
    return {
        name: one
        if name not in validation.errors or name in unknown
        else replace(one, interval=_of_number(name, one, validation.errors[name], facts))
        for name, one in found.items()
    }


def interval(value: float, errors: Errors) -> Interval:
    """Return the least and the largest truth that the errors of known truths, of which there are some, imply."""
    truths = [value / (1 + error) if errors.relative else value - error for error in errors.values]
    return min(truths), max(truths)


def widened(bounds: Interval, power: int, height_m: float, resolution_m: float) -> Interval:
    """Return the bounds of an index for every height that is written like this one; both are positive."""
    low, high = bounds
    return (
        low * (height_m / (height_m + resolution_m)) ** power,
        high * (height_m / (height_m - resolution_m)) ** power,
    )


def _as_measured(conditions: Conditions, volume: Volume, labels: LabelMap) -> bool:
    """Say whether the study as a whole is one of those that errors were measured on."""
    spacing_known = all(
        least * (1 - _ROUNDING) <= spacing <= largest * (1 + _ROUNDING)
        for spacing, (least, largest) in zip(volume.geometry.spacing_mm, conditions.spacing_mm, strict=True)
    )
    acquired = volume.acquisition
    return (
        spacing_known
        and acquired.synthetic == conditions.synthetic
        and not (labels.imported or labels.seen_upright or acquired.lossy)
    )


def _not_as_measured(conditions: Conditions, volume: Volume, settings: MeasurementSettings) -> set[str]:
    """Return the numbers that depend on something which is another than where errors were measured."""
    same_core = (settings.core_erosion_mm, settings.core_slab_fraction) == (
        conditions.core_erosion_mm,
        conditions.core_slab_fraction,
    )
    same_kvp = volume.acquisition.kvp == conditions.kvp
    return {
        name
        for name, coding in MEASUREMENTS.items()
        if (coding.unit == _HU and not same_kvp) or (name.startswith(_CORE) and not same_core)
    }


def _of_number(name: str, one: Measurement, errors: Errors, facts: PatientFacts) -> Interval | None:
    if not isinstance(one.value, float) or any(note.code in _OTHERWISE for note in one.notes):
        return None
    if len(errors.values) < _LEAST_TRUTHS:
        return None
    bounds = interval(one.value, errors)
    if name not in _POWERS:
        return bounds
    height_m, resolution_m = facts.height_m, facts.height_resolution_m
    if height_m is None or resolution_m is None or facts.height_source not in _WRITTEN:
        return None
    return widened(bounds, _POWERS[name], height_m, resolution_m)
