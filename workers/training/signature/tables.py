"""CSV tables with a row for each patient: rows by identifier, and the numbers of their cells.

In: a file, the name of the column of patients. Out: `Table`. What can go wrong: `WrongCohort`, with file, patient and
cell in one sentence. Next: `cohort`.

A cell that is empty, -999, NA, NaN or infinite is missing. One with other words is a mistake, and no missing value.
"""

import csv
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

_MISSING = -999.0
_MISSING_WORDS = ("", "na", "n/a")


class WrongCohort(ValueError):
    """The tables do not make a cohort that a signature can be fitted on; the message says why."""


@dataclass(frozen=True)
class Table:
    """A table: the name of its file, and its rows by patient."""

    name: str
    rows: Mapping[str, Mapping[str, str]]

    @property
    def columns(self) -> tuple[str, ...]:
        """The names of its columns."""
        return tuple(next(iter(self.rows.values())))

    def require(self, names: Iterable[str]) -> None:
        """Raise `WrongCohort` for a column that is not there, and name one that is spelt nearly so."""
        for name in names:
            if name not in self.columns:
                near = get_close_matches(name, [column for column in self.columns if column], 1)
                hint = f"; there is {near[0]}" if near else ""
                raise WrongCohort(f"{self.name} has no column {name}{hint}")

    def number(self, patient: str, column: str) -> float:
        """Return the number of a cell, NaN where it is missing.

        Raises
        ------
        WrongCohort
            It holds something else.
        """
        cell = self.rows[patient][column].strip()
        if cell.lower() in _MISSING_WORDS:
            return math.nan
        try:
            value = float(cell)
        except ValueError:
            raise WrongCohort(f"{self.name}: {column} of {patient} is {cell!r}, which is no number") from None
        return value if math.isfinite(value) and value != _MISSING else math.nan

    def has_number(self, column: str) -> bool:
        """Say whether a column holds a number at all."""
        return any(self._is_number(patient, column) for patient in self.rows)

    def _is_number(self, patient: str, column: str) -> bool:
        try:
            return not math.isnan(self.number(patient, column))
        except WrongCohort:
            return False


def read(path: Path, key: str) -> Table:
    """Read a table; a first column without a name is that of patients too.

    Raises
    ------
    WrongCohort
        It is no CSV in UTF-8, has no column of patients or no rows, or a patient has none or several.
    """
    rows: dict[str, dict[str, str]] = {}
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file, restval="")
            header = reader.fieldnames or []
            column = key if key in header else ""
            if column not in header:
                Table(path.name, {"": dict.fromkeys(header, "")}).require([key])
            for row in reader:
                name = row[column].strip()
                if not name:
                    raise WrongCohort(f"{path.name}, line {reader.line_num}: no {key}")
                if name in rows:
                    raise WrongCohort(f"{path.name}, line {reader.line_num}: {name} has a row already")
                if None in row:
                    raise WrongCohort(f"{path.name}, line {reader.line_num}: more cells than columns")
                rows[name] = row
    except (UnicodeDecodeError, csv.Error) as error:
        raise WrongCohort(f"{path.name} is no CSV file in UTF-8: {error}") from error
    if not rows:
        raise WrongCohort(f"{path.name} has no rows")
    return Table(path.name, rows)
