"""Stage 8: a `LabelMap` on a `Volume` becomes numbers.

Comes in: volume, segmentation, patient facts, numeric settings, signatures. Goes out: `Measured`, with every id of
`node.core.codes.MEASUREMENTS` and of the signatures present: a value with what it is read beside, or the coded reason
why there is none.
What can go wrong: nothing that stops the study; each number answers for itself, and one that rests on an implausible
mask is withheld. Next: stage 9, report.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from node.core.codes import MEASUREMENTS, Structure
from node.core.reasons import NotComputed, NoteCode
from node.core.records import Measurement, Note, PatientFacts, not_computed
from node.core.settings import MeasurementSettings
from workers.measured import Extracted, Measured
from workers.measurement import (
    bone,
    burden,
    context,
    doubt,
    liver,
    plausibility,
    psoas,
    rad_features,
    rad_score,
    scores,
    vertebra,
)
from workers.records import LabelMap, Volume
from workers.signature.manifest import Signature


def measure(
    volume: Volume,
    labels: LabelMap,
    facts: PatientFacts,
    settings: MeasurementSettings,
    notes: tuple[Note, ...] = (),
    signatures: Sequence[Signature] = (),
    models: Path = Path(),
) -> Measured:
    """Compute every number of a study; each of them, computed or not, carries `notes`.

    `models` is the folder that networks of deep features lie below.
    """
    l3 = vertebra.level(labels, Structure.VERTEBRA_L3)
    core, density = bone.measure(volume, labels, settings)
    table, load = burden.measure(volume, labels)
    doubts = plausibility.doubts(volume, labels)
    extracted: list[Extracted] = []

    def extract(asked: Sequence[Signature]) -> dict[str, rad_features.Computed]:
        computed_of, took = rad_features.compute(asked, volume, labels, table, facts, models)
        extracted.extend(took)
        return computed_of

    rad_scores = rad_score.ask(signatures, volume, labels, facts, doubts, extract)
    rad_numbers = rad_score.numbers(rad_scores)
    found: dict[str, Measurement] = {
        **liver.measure(volume, labels),
        **psoas.measure(volume, labels, facts, settings, l3),
        **density,
        **load,
        **rad_numbers,
    }
    complete = {
        name: plausibility.withheld(name, found.get(name) or not_computed(NotComputed.NOT_BUILT), doubts, settings)
        for name in (*MEASUREMENTS, *rad_numbers)
    }
    clinical_scores = scores.compute(complete, facts.clinical)
    imported = _imported_names(labels)
    noted = {name: _with_origin(one, name, labels, imported) for name, one in complete.items()}
    doubted = doubt.with_intervals(noted, volume, labels, facts, settings)
    beside = context.Beside(volume.acquisition, labels, facts, settings)
    return Measured(
        {
            name: replace(one, notes=(*one.notes, *notes), context=beside.context(name, one))
            for name, one in doubted.items()
        },
        core,
        l3.middle_slice if l3 else None,
        None if Structure.LESION in doubts else table,
        clinical_scores,
        rad_scores,
        tuple(extracted),
    )


def _imported_names(labels: LabelMap) -> dict[Structure, str]:
    """Return the structures that came with the study, each with who drew it."""
    return {
        segment.structure: f"{segment.algorithm_type.lower()}, {segment.algorithm_name or 'no name given'}"
        for segment in labels.segments
        if segment.source
    }


_MEASURED_ON = {
    "liver": (Structure.LIVER,),
    "psoas": (
        Structure.ILIOPSOAS_LEFT,
        Structure.ILIOPSOAS_RIGHT,
        Structure.PSOAS_MAJOR_LEFT,
        Structure.PSOAS_MAJOR_RIGHT,
    ),
    "l1": (Structure.VERTEBRA_L1,),
    "burden": (Structure.LESION,),
}


def _with_origin(one: Measurement, name: str, labels: LabelMap, imported: dict[Structure, str]) -> Measurement:
    """Add to a number whose segmentation it was measured on, where that is not a network's that is meant for it."""
    if one.value is None:
        return one
    origins = [imported[structure] for structure in _MEASURED_ON.get(name.split(".")[0], ()) if structure in imported]
    notes = [Note(NoteCode.IMPORTED, f"Imported segmentation ({origin}).") for origin in origins[:1]]
    if labels.reduced:
        notes.append(Note(NoteCode.DEGRADED_ENGINE, labels.reduced))
    return replace(one, notes=(*one.notes, *notes))
