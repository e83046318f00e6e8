"""A cohort: the features and the follow-up of the same patients, read from two CSV files and checked.

In: a table of features as PyRadiomics' own command writes it (one row a patient, columns with a prefix that names the
region), a follow-up table, the names of its columns. Out: a `Cohort` of complete patients, and how many were left out
and why. What can go wrong: `WrongCohort`, with the sentence. Next: `nested`.

A cell that is empty, not a finite number or -999 is missing. Nothing is imputed: no default stands in for a fact, so a
patient with a missing value in a wanted column is left out and counted.
"""

import ast
import csv
import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
_MISSING = -999.0
_DIAGNOSTICS = "diagnostics_"
_SETTINGS = "diagnostics_Configuration_Settings"
_IMAGE_TYPES = "diagnostics_Configuration_EnabledImageTypes"
_VERSION = "diagnostics_Versions_PyRadiomics"
_EVENT_VALUES = (0.0, 1.0)
_FEWEST_EVENTS = 20


class WrongCohort(ValueError):
    """The tables do not make a cohort that a signature can be fitted on; the message says why."""


@dataclass(frozen=True)
class Sources:
    """Where a cohort is read from: two files, the columns of the follow-up, the prefix of the features.

    `facts` are columns of the follow-up table that join the features; `baselines` are columns of it that the signature
    is compared with as they stand.
    """

    features: Path
    followup: Path
    id: str
    time: str
    event: str
    prefix: str
    facts: tuple[str, ...] = ()
    baselines: tuple[str, ...] = ()


@dataclass(frozen=True)
class Cohort:
    """Complete patients.

    Attributes
    ----------
    values
        Features, (patients, features), in the units of the table.
    time
        Follow-up, (patients,), in the unit of the table, above 0.
    event
        True where the endpoint was reached at `time`, False where the patient was censored.
    extraction
        What the diagnostics columns of every row say of how the features were computed; empty where there are none.
    baselines
        Values to compare with, by name, (patients,), NaN where unknown; more is worse.
    left_out
        How many patients were left out, by reason.
    digests
        SHA-256 of each file, by its name.
    """

    ids: tuple[str, ...]
    names: tuple[str, ...]
    values: Array
    time: Array
    event: NDArray[np.bool_]
    extraction: Mapping[str, Any]
    baselines: Mapping[str, Array]
    left_out: Mapping[str, int]
    digests: Mapping[str, str]


def read(sources: Sources) -> Cohort:
    """Read a cohort.

    Raises
    ------
    WrongCohort
        A column is missing, an identifier repeats, rows were extracted in different ways, or too few patients or events
        remain.
    """
    features = _table(sources.features, sources.id)
    followup = _table(sources.followup, sources.id)
    columns = _feature_columns(features, sources.prefix)
    for name in (sources.time, sources.event, *sources.facts, *sources.baselines):
        if name not in next(iter(followup.values())):
            raise WrongCohort(f"{sources.followup.name} has no column {name}")
    left_out = {
        "features without follow-up": len(features.keys() - followup.keys()),
        "follow-up without features": len(followup.keys() - features.keys()),
        "time or event missing": 0,
        "a feature missing": 0,
    }
    kept, rows, times, events = [], [], [], []
    for one in (name for name in features if name in followup):
        time, event = number(followup[one][sources.time]), number(followup[one][sources.event])
        row = [number(features[one][name]) for name in columns] + [
            number(followup[one][name]) for name in sources.facts
        ]
        if math.isnan(time) or math.isnan(event) or time <= 0:
            left_out["time or event missing"] += 1
        elif any(math.isnan(value) for value in row):
            left_out["a feature missing"] += 1
        else:
            kept.append(one)
            rows.append(row)
            times.append(time)
            events.append(event)
    if strange := set(events) - set(_EVENT_VALUES):
        raise WrongCohort(f"{sources.event} is 1 for an event and 0 for none, and holds {min(strange):g}")
    if sum(events) < _FEWEST_EVENTS:
        raise WrongCohort(f"{int(sum(events))} events in {len(kept)} complete patients: at least {_FEWEST_EVENTS}")
    used = {one: features[one] for one in kept}
    return Cohort(
        ids=tuple(kept),
        names=(*(name.removeprefix(sources.prefix) for name in columns), *sources.facts),
        values=np.array(rows),
        time=np.array(times),
        event=np.array(events) == 1,
        extraction=_extraction(used, sources.prefix),
        baselines=_volumes(used, sources.prefix)
        | {name: np.array([number(followup[one][name]) for one in kept]) for name in sources.baselines},
        left_out=left_out,
        digests={path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in _files(sources)},
    )


def number(cell: str) -> float:
    """Return the number of a cell, NaN where it is missing."""
    try:
        value = float(cell)
    except ValueError:
        return math.nan
    return value if math.isfinite(value) and value != _MISSING else math.nan


def _files(sources: Sources) -> tuple[Path, Path]:
    return sources.features, sources.followup


def _table(path: Path, key: str) -> dict[str, dict[str, str]]:
    """Return the rows of a CSV file by identifier; a first column without a name is the identifier too."""
    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.DictReader(file, restval="")
        header = reader.fieldnames or []
        column = key if key in header else ""
        if column not in header:
            raise WrongCohort(f"{path.name} has no column {key}")
        table: dict[str, dict[str, str]] = {}
        for row in reader:
            name = row[column].strip()
            if not name or name in table:
                raise WrongCohort(f"{path.name} has a row without {key}, or one that repeats (line {reader.line_num})")
            table[name] = row
    if not table:
        raise WrongCohort(f"{path.name} has no rows")
    return table


def _feature_columns(table: Mapping[str, Mapping[str, str]], prefix: str) -> list[str]:
    first = next(iter(table.values()))
    wanted = [name for name in first if name and name.startswith(prefix) and _DIAGNOSTICS not in name]
    found = [name for name in wanted if any(not math.isnan(number(row[name])) for row in table.values())]
    if not found:
        raise WrongCohort(f"no column of numbers begins with {prefix}")
    return found


def _extraction(rows: Mapping[str, Mapping[str, str]], prefix: str) -> dict[str, Any]:
    """Return how the features were computed, which has to be the same in all rows."""
    said: dict[str, Any] = {}
    for key, column in (("settings", _SETTINGS), ("image_types", _IMAGE_TYPES), ("pyradiomics", _VERSION)):
        cells = {row[prefix + column] for row in rows.values() if prefix + column in row}
        if len(cells) > 1:
            raise WrongCohort(f"{prefix}{column} differs between rows: they were not extracted in one way")
        if cells:
            cell = cells.pop()
            said[key] = ast.literal_eval(cell) if cell.startswith("{") else cell
    return said


def _volumes(rows: Mapping[str, Mapping[str, str]], prefix: str) -> dict[str, Array]:
    """Return volumes in mL, where the table tells them: of each region as it was segmented, and of the wanted one as it
    was resampled and resegmented.
    """
    first = next(iter(rows.values()), {})
    ends = f"{_DIAGNOSTICS}Mask-original_VoxelNum"
    regions = [name.removesuffix(ends) for name in first if name and name.endswith(ends)]
    masks = {f"{region}volume_ml": f"{region}{_DIAGNOSTICS}Mask-original" for region in regions}
    masks["roi_volume_ml"] = f"{prefix}{_DIAGNOSTICS}Mask-resegmented"
    return {
        name: np.array([_volume_ml(row[f"{mask}_VoxelNum"], row[f"{mask}_Spacing"]) for row in rows.values()])
        for name, mask in masks.items()
        if f"{mask}_VoxelNum" in first and f"{mask}_Spacing" in first
    }


def _volume_ml(count: str, spacing: str) -> float:
    sides_mm: Sequence[float] = ast.literal_eval(spacing)
    return number(count) * math.prod(sides_mm) / 1000
