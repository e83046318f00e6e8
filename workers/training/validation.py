"""What the evaluation found, summed up as the block `validation` of a model's manifest; and results kept one by one.

In: `Result` per phantom. Out: `Validation`: errors of every number, one figure a phantom, with the conditions that they
were measured under. Only the phantoms that have a seed count: the standard abdomen stays a test of the sum. What can go
wrong: OSError from the disk. Next: `export` writes the block, stage 7 reads it, stage 8 makes intervals of it.
"""

from __future__ import annotations

import json
import statistics
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path

from node.core.codes import MEASUREMENTS
from node.core.settings import MeasurementSettings
from node.phantom.dicom import KVP
from workers.segmentation import manifest
from workers.segmentation.demo.folder import FILES
from workers.segmentation.demo.labels import PARTS
from workers.training.evaluate import HU, NOISE_SD_HU, Result
from workers.validation import Agreement, Conditions, Errors, Validation

_WHAT = "synthetic abdomens that the model never saw"
_DIGITS = 6


def model_digest(folder: Path) -> str:
    """Return the name of a model by its files that are opened, as `manifest.digest` makes it."""
    return manifest.digest(manifest.entries_of(folder, FILES))


def summed_up(results: Sequence[Result], model: str) -> Validation:
    """Return what the results say of a model, which its digest names."""
    counted = [result for result in results if result.seed is not None]
    settings = MeasurementSettings()
    slices, rows, columns = (
        (min(edges), max(edges)) for edges in zip(*(result.spacing_mm for result in counted), strict=True)
    )
    conditions = Conditions(
        synthetic=True,
        kvp=float(KVP),
        noise_sd_hu=NOISE_SD_HU,
        spacing_mm=(slices, rows, columns),
        core_erosion_mm=settings.core_erosion_mm,
        core_slab_fraction=settings.core_slab_fraction,
    )
    return Validation(
        what=_WHAT,
        model=model,
        version=version("crlm-node"),
        seeds=tuple(result.seed for result in counted if result.seed is not None),
        conditions=conditions,
        lesions=(sum(result.lesions for result in counted), sum(result.true_lesions for result in counted)),
        dice={name: _agreement([result.dice[name] for result in counted]) for name in PARTS},
        errors={name: _errors(name, counted) for name in MEASUREMENTS if any(name in one.errors for one in counted)},
    )


def kept(store: Path, model: str) -> Iterator[Result]:
    """Yield the results of a model that a file holds, one JSON object a line."""
    for line in store.read_text(encoding="utf-8").splitlines() if store.exists() else ():
        one = json.loads(line)
        if one.pop("model") == model:
            yield Result(**one | {"spacing_mm": tuple(one["spacing_mm"])})


def keep(store: Path, model: str, result: Result) -> None:
    """Add a result to a file."""
    with store.open("a", encoding="utf-8") as file:
        file.write(json.dumps({"model": model, **asdict(result)}) + "\n")


def _agreement(dice: Sequence[float]) -> Agreement:
    return Agreement(round(min(dice), 4), round(statistics.median(dice), 4))


def _errors(name: str, results: Sequence[Result]) -> Errors:
    known = [result.errors[name] for result in results if name in result.errors]
    values = tuple(round(error, _DIGITS) for error in known if error is not None)
    return Errors(MEASUREMENTS[name].unit != HU, values, missed=len(known) - len(values))
