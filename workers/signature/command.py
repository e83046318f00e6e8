"""What `crlm-node signature list`, `show` and `score` do; the node prints what comes of it.

Comes in: the folder of models, words of the command line. Goes out: lines, a signature, verdicts. What can go wrong:
`ValueError` for words or tables that cannot be followed, `input-untrusted` for a manifest. Next: the screen.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from node.core import signatures
from node.core.errors import Untrusted
from node.core.reasons import NotComputed
from workers.signature import folder, known, table
from workers.signature.manifest import Signature
from workers.signature.score import Answer, Withheld, refusal, score
from workers.signature.table import Verdict, write

__all__ = ["Tables", "found", "listed", "scored", "write"]

READY, INCOMPLETE, UNTRUSTED = "ready", "incomplete", "NOT TRUSTED"


@dataclass(frozen=True)
class Line:
    """One signature of the list; `remark` says what it is, or why it cannot be used."""

    id: str
    state: str
    version: str
    features: int
    endpoint: str
    digest: str
    remark: str


def listed(models: Path) -> list[Line]:
    """Return every signature that is installed, and how it stands."""
    return [_line(models, id_) for id_ in signatures.installed(models)]


def _line(models: Path, id_: str) -> Line:
    try:
        one = folder.read(models, id_)
    except Untrusted as error:
        return Line(id_, UNTRUSTED, "", 0, "", "", error.detail)
    state = INCOMPLETE if one.missing else READY
    return Line(id_, state, one.version, len(one.features), one.endpoint.name, one.digest, one.title)


def found(models: Path, id_: str) -> Signature:
    """Return a signature by its id.

    Raises
    ------
    ValueError
        There is none of this id.
    Untrusted
        `input-untrusted`.
    """
    there = signatures.installed(models)
    if id_ not in there:
        raise ValueError(f"no signature {id_}; there are: {', '.join(there) or 'none'}")
    return folder.read(models, id_)


@dataclass(frozen=True)
class Tables:
    """Where the values are.

    Parameters
    ----------
    features
        CSV with a row for each case.
    prefixes
        What stands before the names of features: one for all regions of interest, or `ROI=PREFIX` for each.
    id_column
        Which case a row is; None: the first column.
    facts
        Another CSV with a row for each case, whose first column says which; None: none.
    absent
        What a cell says where nothing is known.
    """

    features: Path
    prefixes: Sequence[str] = ()
    id_column: str | None = None
    facts: Path | None = None
    absent: str = ""


def scored(signature: Signature, tables: Tables, stated: Iterable[str]) -> list[Verdict]:
    """Score every case of a table; what is `stated` (`ITEM=VALUE`) holds for all, a column of that name for its case.

    Raises
    ------
    ValueError
        A table lacks a column, or a statement is none.
    """
    prefixes = _prefixes(signature, tables.prefixes)
    for_all = known.statements(stated)
    facts = table.rows(tables.facts, None) if tables.facts else {}
    no_facts = dict.fromkeys(next(iter(facts.values()), {}), "")
    cases = table.rows(tables.features, tables.id_column)
    return [
        Verdict(case, _answer(signature, {**row, **facts.get(case, no_facts)}, prefixes, for_all, tables.absent))
        for case, row in cases.items()
    ]


def _answer(
    signature: Signature, row: table.Row, prefixes: Mapping[str, str], for_all: Mapping[str, str], absent: str
) -> Answer:
    """Answer for one case: first what is required, then whether its features are those of the signature."""
    own = {item: row[item] for item in known.ITEMS if row.get(item)}
    study = known.known({**for_all, **own}, (roi.id for roi in signature.rois))
    if withheld := refusal(signature, study):
        return withheld
    if other := tuple(table.strayed(signature, row, prefixes)):
        return Withheld(signature, NotComputed.FEATURE_FAILED, other)
    return score(signature, table.values(signature, row, prefixes, absent), study)


def _prefixes(signature: Signature, words: Sequence[str]) -> dict[str, str]:
    """Return what stands before the names of each region's features.

    Raises
    ------
    ValueError
        A word names no region, or one prefix is given for several regions.
    """
    ids = [roi.id for roi in signature.rois]
    if not words:
        return dict.fromkeys(ids, "")
    if len(words) == 1 and "=" not in words[0] and len(ids) < 2:
        return dict.fromkeys(ids, words[0])
    parted = dict(word.split("=", 1) for word in words if "=" in word)
    if len(parted) != len(words) or set(parted) != set(ids):
        raise ValueError(f"--prefix is given as ROI=PREFIX for each of {', '.join(ids)}")
    return parted
