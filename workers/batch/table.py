"""The one table of a batch: a row for each case, a column for each fact and number, as CSV and as Parquet.

Comes in: the cases, how each ended, and its result document. Goes out: `measurements.csv` and `measurements.parquet`,
each written whole and put in its place at once. What can go wrong: the folder cannot be written (`OSError`). Next: a
researcher.

A cell is empty (null) where there is nothing to say: a number that was not computed is neither NaN nor 0, and its
`.reason` says why. No column holds a name, a date of birth or a sentence of a header. A new fact is a line in `_FACTS`;
numbers come from `node.core.codes.MEASUREMENTS`, then from the signatures that are asked.
"""

import csv
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from node.core.cases import Case, Outcome
from node.core.codes import MEASUREMENTS, coding_of, rad_names

CSV, PARQUET = "measurements.csv", "measurements.parquet"
FILES = (CSV, PARQUET)
_CODES = ";"  # between the codes of several notes
Value = str | float | int | bool | None


@dataclass(frozen=True)
class Column:
    """One column: its name, the type of its values, the UCUM unit of a number, and where a document says it."""

    name: str
    kind: type
    unit: str = ""
    place: tuple[str | int, ...] = ()


_CASE = (
    Column("case", str),
    Column("status", str),
    Column("exit", int),
    Column("reason", str),
    Column("study_instance_uid", str),
)
_FACTS = (
    Column("series_instance_uid", str, place=("series", "series_instance_uid")),
    Column("job", str, place=("job",)),
    Column("version", str, place=("versions", "crlm-node")),
    Column("height_m", float, "m", ("study", "patient", "height_m")),
    Column("height_source", str, place=("study", "patient", "height_source")),
    Column("sex", str, place=("study", "patient", "sex")),
    Column("manufacturer", str, place=("quality", "manufacturer")),
    Column("kvp", float, "kV", ("quality", "kvp")),
    Column("kernel", str, place=("quality", "kernel")),
    Column("contrast", str, place=("quality", "contrast")),
    Column("lossy", bool, place=("quality", "lossy")),
    Column("slices", int, "1", ("quality", "slices")),
    Column("slice_thickness_mm", float, "mm", ("quality", "slice_thickness_mm")),
    Column("slice_spacing_mm", float, "mm", ("quality", "spacing_mm", 0)),
    Column("row_spacing_mm", float, "mm", ("quality", "spacing_mm", 1)),
    Column("column_spacing_mm", float, "mm", ("quality", "spacing_mm", 2)),
    Column("gantry_tilt_degrees", float, "deg", ("quality", "gantry_tilt_degrees")),
    Column("segmentation", str, place=("quality", "segmentation", "engine")),
)


@dataclass(frozen=True)
class Form:
    """What differs between tables: the names of the user's own columns, and the signatures that are asked."""

    keys: tuple[str, ...] = ()
    signatures: tuple[str, ...] = ()

    @property
    def numbers(self) -> tuple[str, ...]:
        """The ids of all numbers, those of the signatures last."""
        return (*MEASUREMENTS, *(name for one in self.signatures for name in rad_names(one)))

    @property
    def columns(self) -> tuple[Column, ...]:
        """All columns in their order, the user's own last."""
        numbers = (one for name in self.numbers for one in _of(name))
        places = (Column(_place_of(one), float, "1") for one in self.signatures)
        return (*_CASE, *_FACTS, *numbers, *places, *(Column(key, str) for key in self.keys))


def row(case: Case, outcome: Outcome, document: Mapping[str, Any] | None, form: Form) -> dict[str, Value]:
    """Return the row of a case; `document` is None where it has no result."""
    status = (case.name, outcome.fate, outcome.exit_code, outcome.reason, case.study_instance_uid)
    cells: dict[str, Any] = dict(zip((one.name for one in _CASE), status, strict=True))
    found = document or {}
    cells |= {one.name: _at(found, one.place) for one in _FACTS}
    if not cells["reason"]:
        cells["reason"] = _at(found, ("refusal", "code"))
    for name in form.numbers:
        cells |= _number(name, found.get("measurements", {}).get(name, {}))
    answers = {one["signature"]: one for one in found.get("rad_scores") or ()}
    cells |= {_place_of(one): answers.get(one, {}).get("place") for one in form.signatures}
    cells |= dict(zip(form.keys, case.keys, strict=True))
    return {one.name: _as(one.kind, cells[one.name]) for one in form.columns}


def write(out: Path, rows: Sequence[Mapping[str, Value]], form: Form) -> tuple[str, ...]:
    """Write the table; return the names of the files: CSV, and Parquet where its library is installed."""
    written = form.columns
    _put(out / CSV, lambda path: _write_csv(path, rows, written))
    if find_spec("pyarrow") is None:
        (out / PARQUET).unlink(missing_ok=True)  # it would be of an earlier run
        return (CSV,)
    _put(out / PARQUET, lambda path: _write_parquet(path, rows, written))
    return FILES


def _of(name: str) -> tuple[Column, ...]:
    """Return the columns of a number, or of a word, which has no interval."""
    unit = coding_of(name).unit
    bounds = (Column(f"{name}.low", float, unit), Column(f"{name}.high", float, unit)) if unit else ()
    value = Column(name, float if unit else str, unit)
    return (value, *bounds, Column(f"{name}.reason", str), Column(f"{name}.notes", str))


def _place_of(signature: str) -> str:
    return f"rad_score.{signature}.place"


def _number(name: str, found: Mapping[str, Any]) -> dict[str, Any]:
    low, high = found.get("interval") or (None, None)
    notes = dict.fromkeys(note["code"] for note in found.get("notes", ()))
    return {
        name: found.get("value"),
        f"{name}.low": low,
        f"{name}.high": high,
        f"{name}.reason": found.get("reason"),
        f"{name}.notes": _CODES.join(notes),
    }


def _at(document: Mapping[str, Any], place: Sequence[str | int]) -> Any:
    """Return what lies at a place of the document; None where it, or what it is in, is not there."""
    found: Any = document
    for step in place:
        if found is None:
            return None
        found = found[step] if isinstance(step, int) else found.get(step)
    return found


def _as(kind: type, value: Any) -> Value:
    """Return a value in the type of its column; empty text is null."""
    if value is None or value == "":
        return None
    typed: Value = kind(value)
    return typed


def _put(path: Path, write: Callable[[Path], None]) -> None:
    """Have a file written beside its place, then put there at once."""
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        write(beside)
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)


def _write_csv(path: Path, rows: Sequence[Mapping[str, Value]], written: Sequence[Column]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow([one.name for one in written])
        writer.writerows([[_cell(cells[one.name]) for one in written] for cells in rows])


def _cell(value: Value) -> str:
    if value is None:
        return ""
    return str(value).lower() if isinstance(value, bool) else str(value)


def _write_parquet(path: Path, rows: Sequence[Mapping[str, Value]], written: Sequence[Column]) -> None:
    import pyarrow as pa  # here, because it is slow to import and may not be there
    from pyarrow import parquet

    types = {str: pa.string(), float: pa.float64(), int: pa.int64(), bool: pa.bool_()}
    fields = [pa.field(one.name, types[one.kind], metadata={"unit": one.unit} if one.unit else None) for one in written]
    table = pa.Table.from_pylist([dict(cells) for cells in rows], schema=pa.schema(fields))
    parquet.write_table(table, path)
