"""Finding the studies of a backfill: C-FIND at STUDY level, piece by piece.

Comes in: criteria, and somebody who answers queries. Goes out: `Findings`: the studies, each once, oldest first, and
what is to be told of the answers. What can go wrong: the archive fails (`Unavailable`); it caps its answers (the piece
is split, and named where it cannot be); it ignores a key (what does not match is dropped, and counted). Who is next:
`node.backfill.plan`.
"""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from pydicom import Dataset

from node.backfill.criteria import Criteria, unmatched
from node.backfill.pieces import Piece, is_suspicious, pieces_of
from node.core.dicom import is_uid
from node.core.dimse import TooMuch

Ask = Callable[[Mapping[str, str]], list[Dataset]]


@dataclass(frozen=True)
class Found:
    """A study that an archive has."""

    study_uid: str
    date: str
    description: str


@dataclass
class Findings:
    """What a search has found.

    Parameters
    ----------
    studies
        By Study Instance UID.
    queries, answers
        How often the archive was asked, and how many answers it gave.
    doubtful
        Pieces that may hold more than the archive has answered.
    ignored
        Keyword -> how many answers did not match it: the archive does not heed it.
    """

    studies: dict[str, Found] = field(default_factory=dict)
    queries: int = 0
    answers: int = 0
    doubtful: list[Piece] = field(default_factory=list)
    ignored: Counter[str] = field(default_factory=Counter)

    def in_order(self) -> list[Found]:
        """Return the studies, oldest first."""
        return sorted(self.studies.values(), key=lambda one: (one.date, one.study_uid))


def search(ask: Ask, criteria: Criteria, on_piece: Callable[[Piece, Findings], None] | None = None) -> Findings:
    """Find the studies that match.

    Parameters
    ----------
    ask
        Answers a query at STUDY level.
    criteria
        What studies have to match.
    on_piece
        Is told of each piece that was asked for.

    Raises
    ------
    Unavailable
        The archive is away, or answers a failure that asking for less does not mend.
    """
    findings = Findings()
    for query in criteria.queries():
        waiting = list(pieces_of(criteria.since, criteria.until, whole=bool(criteria.listed)))[::-1]
        while waiting:
            piece = waiting.pop()
            parts = piece.split()
            if _ask(ask, query | piece.keys, findings, may_fail=bool(parts)):
                waiting.extend(parts[::-1])
                if not parts:
                    findings.doubtful.append(piece)
            if on_piece is not None:
                on_piece(piece, findings)
    return findings


def _ask(ask: Ask, query: Mapping[str, str], findings: Findings, *, may_fail: bool) -> bool:
    """Take in the answers to one query; say whether the archive may have more of them."""
    findings.queries += 1
    try:
        answers = ask(query)
    except TooMuch:
        if not may_fail:
            raise
        return True
    findings.answers += len(answers)
    for answer in answers:
        study_uid = str(answer.get("StudyInstanceUID") or "")
        ignored = unmatched(query, answer)
        if ignored is not None:
            findings.ignored[ignored] += 1
        elif is_uid(study_uid):
            words = [str(answer.get(keyword) or "") for keyword in ("StudyDate", "StudyDescription")]
            findings.studies.setdefault(study_uid, Found(study_uid, *words))
    return is_suspicious(len(answers))
