"""The clinical scores in an SR: each a container with its range of points, and each item as yes, no or unknown.

Comes in: the scores of stage 8. Goes out: with the Rad scores (`rad_scores`) the Qualitative Evaluations of TID 1500,
after the measurements: a TID 1501 group would make PixelMed's validator read all groups by one template
(docs/validators.md). A score of which nothing is known is left out. Of an item that gives one point of two, `yes` says
that it gives some; the range says how many.
"""

from collections.abc import Iterator

from node.core.codes import NO, UNKNOWN, YES, ucum
from node.core.private_codes import LEAST_POINTS, MOST_POINTS, SCORE_ITEMS, SCORES
from workers.measured import Score
from workers.report import rad_scores, tree
from workers.report.document import Findings
from workers.report.pieces import QUALITATIVE_EVALUATIONS, said
from workers.report.tree import Item
from workers.report.wording import Words

_STATES = {"yes": YES, "no": NO, "unknown": UNKNOWN}


def scores(findings: Findings) -> Item | None:
    """Return the container of the scores; None where there is none that anything is known of."""
    told = [one for one in (findings.measured.scores if findings.measured else ()) if _is_known(one)]
    rad = rad_scores.containers(findings)
    if not told and not rad:
        return None
    notes = dict.fromkeys(findings.words(f"score_note.{note}") for one in told for note in one.notes)
    return tree.container(
        QUALITATIVE_EVALUATIONS, [*(_score(one, findings.words) for one in told), *rad, *(said(note) for note in notes)]
    )


def _is_known(score: Score) -> bool:
    return any(item.state != "unknown" for item in score.items)


def _score(score: Score, words: Words) -> Item:
    return tree.container(SCORES[score.id], list(_items(score, words)))


def _items(score: Score, words: Words) -> Iterator[Item]:
    for name, points in ((LEAST_POINTS, score.low), (MOST_POINTS, score.high)):
        yield tree.number(name, points, ucum("{points}"))
    for item in score.items:
        yield tree.code(SCORE_ITEMS[item.id], _STATES[item.state])
    yield said(_sentence(score, words))


def _sentence(score: Score, words: Words) -> str:
    origin = {"of": score.of, "source": score.source, "population": score.population}
    if score.low == score.high:
        return words("score.exact", points=score.low, **origin)
    return words("score.range", low=score.low, high=score.high, **origin)
