"""The rows of a CSV file that names the cases of a batch, and the faults of its form.

Comes in: a file with the columns `study`, perhaps `seg` and `id`, and any others, which are the user's own. Goes out:
`Row`s, the names of the user's columns, and faults by line. What can go wrong: it is no CSV file, or lacks `study`
(`WrongFolder`). Next: `node.cohort.plan`, which looks at what the rows name.
"""

import csv
import re
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from node.folder import WrongFolder

_OURS = ("study", "seg", "id")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_HEAD = 1


@dataclass(frozen=True)
class Fault:
    """What is wrong with a line of the file."""

    line: int
    what: str


@dataclass(frozen=True)
class Row:
    """One row: paths are absolute, or relative to the folder of the file; `id` is empty where none is given."""

    line: int
    study: Path
    seg: Path | None
    id: str
    keys: tuple[str, ...]


def read_rows(source: Path, taken: Collection[str]) -> tuple[list[Row], tuple[str, ...], list[Fault]]:
    """Return rows, the names of the user's own columns, and faults.

    Parameters
    ----------
    source
        UTF-8, with a comma between cells, or a semicolon where the first line has no comma.
    taken
        Names that no column of the user may have.

    Raises
    ------
    WrongFolder
        The file cannot be read as CSV, has no column `study`, or no row.
    """
    lines = _lines(source)
    head = [name.strip() for name in lines[0][1]]
    if "study" not in head:
        raise WrongFolder(f"{source}: its first line names no column `study`")
    if len(lines) == 1:
        raise WrongFolder(f"{source} names no case")
    faults = [Fault(_HEAD, what) for what in _faults_of_head(head, taken)]
    keys = tuple(name for name in head if name not in _OURS)
    rows = []
    for number, cells in lines[1:]:
        if len(cells) != len(head):
            faults.append(Fault(number, f"{len(cells)} cells where the first line has {len(head)}"))
            continue
        given = dict(zip(head, cells, strict=True))
        study, seg, name = (given.get(ours, "").strip() for ours in _OURS)
        if wrong := _fault_of_row(study, name):
            faults.append(Fault(number, wrong))
            continue
        below = source.resolve().parent
        rows.append(Row(number, below / study, below / seg if seg else None, name, tuple(given[key] for key in keys)))
    return rows, keys, faults


def _lines(source: Path) -> list[tuple[int, list[str]]]:
    """Return the lines that hold something, each with its number (of several lines that are one row the last)."""
    try:
        with source.open(encoding="utf-8-sig", newline="") as file:
            first = file.readline()
            file.seek(0)
            reader = csv.reader(file, delimiter=";" if ";" in first and "," not in first else ",", strict=True)
            lines = [(reader.line_num, cells) for cells in reader if any(cell.strip() for cell in cells)]
    except UnicodeDecodeError as error:
        raise WrongFolder(f"{source} is no CSV file in UTF-8") from error
    except csv.Error as error:
        raise WrongFolder(f"{source} is no CSV file: line {reader.line_num}: {error}") from error
    if not lines:
        raise WrongFolder(f"{source} is empty")
    return lines


def _faults_of_head(head: list[str], taken: Collection[str]) -> list[str]:
    faults = [f"the column {name} is there twice" for name in sorted({one for one in head if head.count(one) > 1})]
    if "" in head:
        faults.append("a column has no name")
    faults += [f"the column {name} is one of the table's own: give it another name" for name in head if name in taken]
    return faults


def _fault_of_row(study: str, name: str) -> str:
    if not study:
        return "it names no study"
    if name and not _NAME.fullmatch(name):
        return "an id is a letter or digit and up to 63 letters, digits, dots, `_` or `-`"
    return ""
