"""Tables of features, as PyRadiomics' own command and the published cohorts write them, and tables of scores.

Comes in: CSV files. Goes out: a row for each case with its values, and a CSV of scores. What can go wrong: `ValueError`
for a table that lacks a column; a cell that is no number is no value, which `score` answers. Next: `command`.
"""

import ast
import csv
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from workers.signature.deep import DIGEST
from workers.signature.manifest import Signature
from workers.signature.score import Answer, Scored, Withheld

_SETTINGS, _IMAGE_TYPES = "diagnostics_Configuration_Settings", "diagnostics_Configuration_EnabledImageTypes"
Row = Mapping[str, str]


@dataclass(frozen=True)
class Verdict:
    """What a signature says of one case of a table."""

    case: str
    answer: Answer


def rows(path: Path, id_column: str | None) -> dict[str, Row]:
    """Read a table by its cases; without a name of the column it is the first that says which case it is.

    Raises
    ------
    ValueError
        There is no such column, a case is there twice, or there is none at all.
    """
    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.DictReader(file, restval="")
        names = list(reader.fieldnames or ())
        key = names[0] if names and id_column is None else id_column
        if key not in names:
            raise ValueError(f"{path.name} has no column {key}")
        found: dict[str, Row] = {}
        for row in reader:
            if row[key] in found:
                raise ValueError(f"{path.name} has {row[key]} twice: name the column of cases")
            found[row[key]] = row
    if not found:
        raise ValueError(f"{path.name} has no case")
    return found


def values(signature: Signature, row: Row, prefixes: Mapping[str, str], absent: str) -> dict[str, float | None]:
    """Return the values of a signature's features; a cell that is no number, or `absent`, is no value.

    Raises
    ------
    ValueError
        A column is missing.
    """
    found = {}
    for feature in signature.features:
        column = prefixes[feature.roi] + feature.name if feature.roi else feature.name
        if column not in row:
            raise ValueError(f"the table has no column {column}: --prefix says what stands before the names")
        found[feature.column] = _number(row[column], absent)
    return found


def strayed(signature: Signature, row: Row, prefixes: Mapping[str, str]) -> Iterator[str]:
    """Yield what features were not computed with as the signature asks, if the table says so.

    A table that PyRadiomics or `crlm-node radiomics` wrote has settings and network in columns of diagnostics; of
    another nothing is known.
    """
    for id_, digest in signature.weights.items():
        if any(row.get(prefix + DIGEST, digest) != digest for prefix in prefixes.values()):
            yield f"deep features are of {id_}, and of another network in the table"
    if (extraction := signature.extraction) is None:
        return
    wanted: dict[str, Mapping[str, Any]] = {_SETTINGS: extraction.settings, _IMAGE_TYPES: extraction.image_types}
    for prefix in prefixes.values():
        for column, settings in wanted.items():
            if prefix + column not in row:
                continue
            said = _literal(row[prefix + column])
            for name, value in settings.items():
                if name not in said or said[name] != value:
                    yield f"{name} is {value}, and {said.get(name, 'not stated')} in {prefix}{column}"


def write(path: Path, verdicts: Sequence[Verdict]) -> None:
    """Write the scores of a table, each with its contributions or the reason why there is none."""
    terms = list(
        dict.fromkeys(
            _term(one.name, one.roi)
            for verdict in verdicts
            if isinstance(verdict.answer, Scored)
            for one in verdict.answer.contributions
        )
    )
    head = ["case", "signature", "version", "digest", "score", "group", "place", "outside", "reason", "why", *terms]
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, head, restval="", lineterminator="\n")
        writer.writeheader()
        writer.writerows(_line(one) for one in verdicts)


def _line(verdict: Verdict) -> dict[str, Any]:
    answer = verdict.answer
    named = answer.signature
    line: dict[str, Any] = {
        "case": verdict.case,
        "signature": named.id,
        "version": named.version,
        "digest": named.digest,
    }
    if isinstance(answer, Withheld):
        return {**line, "reason": answer.reason, "why": "; ".join(answer.why)}
    return {
        **line,
        "score": answer.score,
        "group": answer.group,
        "place": answer.place,
        "outside": " ".join(_term(one.name, one.roi) for one in answer.strange),
        **{_term(one.name, one.roi): one.points for one in answer.contributions},
    }


def _term(name: str, roi: str | None) -> str:
    return f"{roi}:{name}" if roi else name


def _number(cell: str, absent: str) -> float | None:
    if cell == absent:
        return None
    try:
        return float(cell)
    except ValueError:
        return None


def _literal(cell: str) -> Mapping[str, Any]:
    """Read a dictionary as Python writes it; one that cannot be read states nothing."""
    try:
        found = ast.literal_eval(cell)
    except (ValueError, SyntaxError):
        return {}
    return found if isinstance(found, dict) else {}
