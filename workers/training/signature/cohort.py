"""A cohort: the features and the follow-up of the same patients, read from two CSV files and checked.

In: a table of features as PyRadiomics' own command writes it (one row a patient, columns with a prefix that names the
region), a follow-up table, the names of its columns. Out: a `Cohort` of complete patients, and how many were left out
and why. What can go wrong: `WrongCohort`, with the sentence. Next: `nested`.

Nothing is imputed: no default stands in for a fact, so a patient with a missing value in a wanted column is left out
and counted.
"""

import ast
import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from workers.signature.deep import DIGEST, NETWORK
from workers.training.signature import tables
from workers.training.signature.tables import Table, WrongCohort

Array = NDArray[np.float64]
_DIAGNOSTICS = "diagnostics_"
_SAID = {
    "settings": "diagnostics_Configuration_Settings",
    "image_types": "diagnostics_Configuration_EnabledImageTypes",
    "pyradiomics": "diagnostics_Versions_PyRadiomics",
    "network": NETWORK,
    "network_digest": DIGEST,
}
_EVENT_VALUES = (0.0, 1.0)
_FEWEST_EVENTS = 20


@dataclass(frozen=True)
class Sources:
    """Where a cohort is read from: two files, the columns of the follow-up, the prefix of the features.

    `facts` are columns of the follow-up table, or volumes in the table of features, that join the features; of
    `log_facts` ln(1 + value) does. `baselines` are columns of the follow-up that the signature is compared with as they
    stand.
    """

    features: Path
    followup: Path
    id: str
    time: str
    event: str
    prefix: str
    facts: tuple[str, ...] = ()
    baselines: tuple[str, ...] = ()
    log_facts: tuple[str, ...] = ()

    @property
    def every_fact(self) -> tuple[str, ...]:
        """The facts, then those of which the logarithm is taken."""
        return (*self.facts, *self.log_facts)


@dataclass(frozen=True)
class Cohort:
    """Complete patients.

    Attributes
    ----------
    measured
        Features as the tables have them, (patients, features).
    values
        Features, (patients, features), in the units of the table, or their logarithms.
    logarithms
        The names of those that `values` has the logarithms of.
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
    measured: Array
    values: Array
    logarithms: frozenset[str]
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
        A column is missing, a cell is no number, a patient repeats, rows were extracted in different ways, or too few
        patients or events remain.
    """
    features, followup = tables.read(sources.features, sources.id), tables.read(sources.followup, sources.id)
    columns = _feature_columns(features, sources.prefix)
    volumes = _volumes(features, sources.prefix)
    facts = [name for name in sources.every_fact if name not in volumes]
    followup.require([sources.time, sources.event, *facts, *sources.baselines])
    common = [one for one in features.rows if one in followup.rows]
    if not common:
        first, other = next(iter(features.rows)), next(iter(followup.rows))
        raise WrongCohort(
            f"{features.name} and {followup.name} have no {sources.id} in common: {first} is the first of one, {other} "
            "of the other"
        )
    left_out = {
        "features without follow-up": len(features.rows) - len(common),
        "follow-up without features": len(followup.rows) - len(common),
        "time or event missing": 0,
        "a feature missing": 0,
    }
    kept, rows, times, events = [], [], [], []
    for one in common:
        time, event = followup.number(one, sources.time), _event(followup, one, sources.event)
        row = [features.number(one, name) for name in columns]
        row += [volumes[name][one] if name in volumes else followup.number(one, name) for name in sources.every_fact]
        if math.isnan(time) or math.isnan(event) or time <= 0:
            left_out["time or event missing"] += 1
        elif any(math.isnan(value) for value in row):
            left_out["a feature missing"] += 1
        else:
            kept.append(one)
            rows.append(row)
            times.append(time)
            events.append(event)
    if sum(events) < _FEWEST_EVENTS:
        raise WrongCohort(_too_few(left_out, len(kept), int(sum(events))))
    names = (*(name.removeprefix(sources.prefix) for name in columns), *sources.every_fact)
    measured = np.array(rows)
    known = {name: np.array([found[one] for one in kept]) for name, found in volumes.items()}
    return Cohort(
        ids=tuple(kept),
        names=names,
        measured=measured,
        values=_with_logarithms(measured, sources.log_facts),
        logarithms=frozenset(sources.log_facts),
        time=np.array(times),
        event=np.array(events) == 1,
        extraction=_extraction([features.rows[one] for one in kept], sources.prefix),
        baselines=known | {name: np.array([followup.number(one, name) for one in kept]) for name in sources.baselines},
        left_out=left_out,
        digests={path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in _files(sources)},
    )


def _files(sources: Sources) -> tuple[Path, Path]:
    return sources.features, sources.followup


def _event(followup: Table, patient: str, column: str) -> float:
    event = followup.number(patient, column)
    if not math.isnan(event) and event not in _EVENT_VALUES:
        raise WrongCohort(f"{followup.name}: {column} of {patient} is {event:g}, and an event is 1 and none is 0")
    return event


def _too_few(left_out: Mapping[str, int], patients: int, events: int) -> str:
    """Say that too few events remain, and where patients went."""
    why = ", ".join(f"{count} {reason}" for reason, count in left_out.items() if count)
    return (
        f"{events} events in {patients} complete patients: at least {_FEWEST_EVENTS} are needed"
        f"{f' (left out: {why})' if why else ''}"
    )


def _with_logarithms(measured: Array, log_facts: Sequence[str]) -> Array:
    """Return the values with ln(1 + value) in the last columns."""
    values = measured.copy()
    for column, name in enumerate(log_facts, measured.shape[1] - len(log_facts)):
        if measured[:, column].min() < 0:
            raise WrongCohort(f"{name} has values below 0, so no logarithm is taken of it")
        values[:, column] = np.log1p(measured[:, column])
    return values


def _feature_columns(table: Table, prefix: str) -> list[str]:
    wanted = [name for name in table.columns if name.startswith(prefix) and _DIAGNOSTICS not in name]
    found = [name for name in wanted if table.has_number(name)]
    if not found:
        raise WrongCohort(f"{table.name}: no column of numbers begins with {prefix}")
    return found


def _extraction(rows: Sequence[Mapping[str, str]], prefix: str) -> dict[str, Any]:
    """Return how the features were computed, which has to be the same in all rows."""
    said: dict[str, Any] = {}
    for key, column in _SAID.items():
        cells = {row[prefix + column] for row in rows if prefix + column in row}
        if len(cells) > 1:
            raise WrongCohort(f"{prefix}{column} differs between rows: they were not extracted in one way")
        if cells:
            cell = cells.pop()
            said[key] = ast.literal_eval(cell) if cell.startswith("{") else cell
    return said


def _volumes(table: Table, prefix: str) -> dict[str, dict[str, float]]:
    """Return volumes in mL by name and patient, where the table tells them: of each region as it was segmented, and of
    the wanted one as it was resampled and resegmented.
    """
    ends = f"{_DIAGNOSTICS}Mask-original_VoxelNum"
    regions = [name.removesuffix(ends) for name in table.columns if name.endswith(ends)]
    masks = {f"{region}volume_ml": f"{region}{_DIAGNOSTICS}Mask-original" for region in regions}
    masks["roi_volume_ml"] = f"{prefix}{_DIAGNOSTICS}Mask-resegmented"
    return {
        name: {one: _volume_ml(table, one, mask) for one in table.rows}
        for name, mask in masks.items()
        if f"{mask}_VoxelNum" in table.columns and f"{mask}_Spacing" in table.columns
    }


def _volume_ml(table: Table, patient: str, mask: str) -> float:
    spacing = table.rows[patient][f"{mask}_Spacing"]
    if not spacing:
        return math.nan
    sides_mm: Sequence[float] = ast.literal_eval(spacing)
    return table.number(patient, f"{mask}_VoxelNum") * math.prod(sides_mm) / 1000
