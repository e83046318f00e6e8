"""The form of a site: what it enters about its patients, a line or a table each, as CSV or as TOML.

Comes in: a file whose name ends with .csv or .toml. Goes out: a `Form`, which finds the entry of a patient. What can
go wrong: the file is not there, is none of the two, or has a fault: an unknown column, a value that cannot be read, a
patient who stands twice. One fault and the whole form is refused (`WrongForm`), for nobody knows what else was
shifted or mistyped. What is left empty is unknown, and never zero or no. Faults name line and column, and never what
stands there: a Patient ID that slipped into the wrong place would be told. Next: `node.entered`.
"""

import csv
import math
import re
import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from difflib import get_close_matches
from io import StringIO
from pathlib import Path
from typing import Any

from node.core.records import ClinicalFacts, EnteredFacts, Indication, RasStatus
from node.identity import Identity, folded

_MOST_TOLD = 3
_NUMBER = re.compile(r"\d+(\.\d+)?")
_COMMENT = "#"
_TABLE = "patient"
_HEIGHT = "height_m"
_HINTS = (
    "# Facts that the site enters about its patients. Lines that begin with # are comments.\n",
    "# What is not known is left out or left empty: it is then unknown, never zero and never no.\n",
)


class WrongForm(ValueError):
    """The form cannot be used; the message names the file, and its first faults by line and column."""


@dataclass(frozen=True)
class Fault:
    """What is wrong at a place of the form; `line` is 0 where it has none, `column` empty where all of it is meant."""

    line: int
    column: str
    what: str

    def __str__(self) -> str:
        place = ", ".join(filter(None, (f"line {self.line}" if self.line else "", self.column)))
        return f"{place}: {self.what}" if place else self.what


@dataclass(frozen=True)
class Entry:
    """What the form says of one patient; `patient_id` and `issuer` as they are compared, `line` where it stands."""

    line: int
    patient_id: str = field(repr=False)
    issuer: str = field(repr=False)
    height_m: float | None
    clinical: ClinicalFacts | None


@dataclass(frozen=True)
class Form:
    """What could be read of a form, and its faults."""

    entries: tuple[Entry, ...]
    faults: tuple[Fault, ...] = ()

    def of(self, whose: Identity) -> Entry | None:
        """Return the entry of a patient; None where there is none, or where it could be one of several."""
        found = [one for one in self.entries if one.patient_id == whose.patient_id and _agree(one.issuer, whose.issuer)]
        return found[0] if len(found) == 1 and whose.patient_id else None


def empty_csv() -> str:
    """Return an empty form as CSV, with what its columns mean."""
    about = [f"# {name}: {meaning}\n" for name, (_, meaning) in COLUMNS.items()]
    return "".join([*_HINTS, *about, ",".join(COLUMNS) + "\n"])


def empty_toml() -> str:
    """Return an empty form as TOML, with what its keys mean; a patient stands there as a comment."""
    keys = [f"# {name} =  # {meaning}\n" for name, (_, meaning) in COLUMNS.items()]
    return "".join([*_HINTS, f"\n# [[{_TABLE}]]  # once for each patient\n", *keys])


def load(path: Path) -> Form:
    """Read a form without fault.

    Raises
    ------
    WrongForm
        It cannot be read, or has a fault.
    """
    form = read(path)
    if form.faults:
        told = "; ".join(str(one) for one in form.faults[:_MOST_TOLD])
        more = len(form.faults) - _MOST_TOLD
        raise WrongForm(f"{path}: {told}" + (f"; and {more} more" if more > 0 else ""))
    return form


def read(path: Path) -> Form:
    """Read a form with its faults.

    Raises
    ------
    WrongForm
        There is no such file, it cannot be opened, or its name ends with neither .csv nor .toml.
    """
    rows = {".csv": _csv_rows, ".toml": _toml_rows}.get(path.suffix.lower())
    if rows is None:
        raise WrongForm(f"{path}: its name ends with neither .csv nor .toml")
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise WrongForm(f"{path}: {error.strerror}") from error
    except UnicodeDecodeError:
        return Form((), (Fault(0, "", "is not UTF-8"),))
    faults: list[Fault] = []
    entries = [entry for line, values in rows(text, faults) if (entry := _entry(line, values, faults))]
    return Form(tuple(entries), tuple(sorted([*faults, *_doubled(entries)], key=lambda one: one.line)))


def read_fields(values: Mapping[str, str]) -> tuple[EnteredFacts, tuple[Fault, ...]]:
    """Read facts as they are typed into the fields of a page; what is left empty is unknown."""
    said: dict[str, Any] = {}
    faults = []
    for name, written in values.items():
        if name not in (_HEIGHT, *CLINICAL) or not written.strip():
            continue
        try:
            said[name] = COLUMNS[name][0](written)
        except ValueError as error:
            faults.append(Fault(0, name, str(error)))
    height_m = said.pop(_HEIGHT, None)
    return EnteredFacts(height_m, ClinicalFacts(**said)), tuple(faults)


# --- values ---------------------------------------------------------------------------------------------------------


def _word(value: Any) -> str:
    if isinstance(value, str):
        return value.strip()
    raise ValueError("is no text: write it in quotes, for leading zeros count")


def _number(value: Any) -> float:
    written = _NUMBER.fullmatch(value.strip()) if isinstance(value, str) else None
    one = float(written[0]) if written else value
    if isinstance(one, int | float) and not isinstance(one, bool) and 0 <= one < math.inf:
        return float(one)
    raise ValueError("is no number of zero or more, written with a decimal point and without a unit")


def _yes_or_no(value: Any) -> bool:
    known = {"yes": True, "no": False, True: True, False: False}
    one = value.strip().lower() if isinstance(value, str) else value
    if not isinstance(one, str | bool) or one not in known:
        raise ValueError("is neither yes nor no")
    return known[one]


def _ras(value: Any) -> RasStatus:
    try:
        return RasStatus(str(value).strip().lower())
    except ValueError:
        raise ValueError("is none of " + ", ".join(RasStatus)) from None


def _indication(value: Any) -> Indication:
    try:
        return Indication(str(value).strip().lower())
    except ValueError:
        raise ValueError("is none of " + ", ".join(Indication)) from None


COLUMNS: Mapping[str, tuple[Callable[[Any], Any], str]] = {
    "patient_id": (_word, "Patient ID as the images write it, leading zeros too"),
    "issuer": (_word, "Issuer of Patient ID, where several issuers give the same IDs"),
    "height_m": (_number, "height in metres, as 1.72; taken where no image, archive or worklist says one"),
    "node_positive_primary": (_yes_or_no, "yes or no: lymph node metastases of the primary tumour"),
    "disease_free_interval_months": (_number, "from primary tumour to liver metastases; 0 if found together"),
    "cea_ng_ml": (_number, "carcinoembryonic antigen in serum before treatment, ng/mL"),
    "ras": (
        _ras,
        "wild-type (KRAS and NRAS), kras-mutant, nras-mutant (KRAS wild-type), or mutant if nobody says which",
    ),
    "extrahepatic_disease": (_yes_or_no, "yes or no: metastases outside of the liver"),
    "untreated_tumour": (
        _yes_or_no,
        "yes or no: a liver metastasis that was neither resected nor ablated before the CT",
    ),
    "indication": (_indication, f"what the CT was taken before: {', '.join(Indication)}"),
}
CLINICAL = tuple(one.name for one in fields(ClinicalFacts))


def _entry(line: int, values: Mapping[str, Any], faults: list[Fault]) -> Entry | None:
    """Return what a row says; None where nobody can tell of whom."""
    said: dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(value, str) and not value.strip():
            continue
        try:
            said[name] = COLUMNS[name][0](value)
        except ValueError as error:
            faults.append(Fault(line, name, str(error)))
    if "patient_id" not in said:
        if not any(one.line == line and one.column == "patient_id" for one in faults):
            faults.append(Fault(line, "patient_id", "is missing"))
        return None
    clinical = ClinicalFacts(**{name: said[name] for name in CLINICAL if name in said})
    return Entry(
        line=line,
        patient_id=folded(said["patient_id"]),
        issuer=folded(said.get("issuer", "")),
        height_m=said.get("height_m"),
        clinical=clinical if clinical != ClinicalFacts() else None,
    )


def _doubled(entries: Sequence[Entry]) -> Iterator[Fault]:
    """Yield a fault for each entry that may be of the patient of an earlier one."""
    first: dict[str, list[Entry]] = {}
    for one in entries:
        known = first.setdefault(one.patient_id, [])
        before = next((other for other in known if _agree(one.issuer, other.issuer)), None)
        if before:
            yield Fault(one.line, "patient_id", f"stands in line {before.line} already")
        known.append(one)


def _agree(one: str, other: str) -> bool:
    return not one or not other or one == other


def _unknown(name: str) -> str:
    near = get_close_matches(name.strip().lower(), COLUMNS, n=1)
    return "is not of this form" + (f": is {near[0]} meant?" if near else "")


# --- files ----------------------------------------------------------------------------------------------------------


def _csv_rows(text: str, faults: list[Fault]) -> Iterator[tuple[int, Mapping[str, Any]]]:
    """Yield each row below the header with its line; lines that begin with # are comments."""
    lines = ("\n" if line.lstrip().startswith(_COMMENT) else line for line in StringIO(text, newline=None))
    reader = csv.reader(lines, strict=True)
    names: list[str] | None = None
    try:
        for row in reader:
            if not any(cell.strip() for cell in row):
                continue
            if names is None:
                names = [cell.strip() for cell in row]
                faults.extend(_header_faults(reader.line_num, names))
            elif len(row) != len(names):
                faults.append(Fault(reader.line_num, "", f"has {len(row)} cells below a header of {len(names)}"))
            else:
                yield reader.line_num, {name: cell for name, cell in zip(names, row, strict=True) if name in COLUMNS}
    except csv.Error:
        faults.append(Fault(reader.line_num, "", "is no CSV: its quotes do not match"))
    if names is None:
        faults.append(Fault(0, "", "has no header with the names of the columns"))


def _header_faults(line: int, names: Sequence[str]) -> Iterator[Fault]:
    for number, name in enumerate(names, 1):
        if name not in COLUMNS:
            yield Fault(line, f"column {number}", _unknown(name))
        elif name in names[: number - 1]:
            yield Fault(line, f"column {number}", "has a name that stands there already")
    if "patient_id" not in names:
        yield Fault(line, "patient_id", "is missing among the columns")


def _toml_rows(text: str, faults: list[Fault]) -> Iterator[tuple[int, Mapping[str, Any]]]:
    """Yield each table [[patient]] with the line of its head."""
    try:
        root = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:  # its words may quote what stands there; where it is can be told
        place = re.search(r"\(at ([a-z0-9 ,]+)\)$", str(error))
        faults.append(Fault(0, "", f"is not TOML{f' at {place[1]}' if place else ''}"))
        return
    lines = text.splitlines()
    heads = [number for number, line in enumerate(lines, 1) if re.match(rf"\s*\[\[\s*{_TABLE}\s*\]\]", line)]
    tables = root.pop(_TABLE, [])
    if root:
        faults.append(Fault(0, "", f"holds something beside tables [[{_TABLE}]]"))
    if not isinstance(tables, list) or len(tables) != len(heads):
        faults.append(Fault(0, "", f"has patients that are not written as tables [[{_TABLE}]]"))
        return
    for head, table in zip(heads, tables, strict=True):
        for number, name in enumerate(table, 1):
            if name not in COLUMNS:
                faults.append(Fault(head, f"key {number}", _unknown(name)))
        yield head, {name: value for name, value in table.items() if name in COLUMNS}
