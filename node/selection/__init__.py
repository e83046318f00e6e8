"""Stage 4, selection: which series of a study may be measured, best first, and why the others are left out.

Comes in: `StudyContent` and the site's `Rules`. Goes out: `Choice`, whose candidates are axial CT volumes, ranked by
what their headers tell, and whose segmentations are those that the site lets in. What can go wrong: no series remains
(`NotAnalysable`, too-few-slices or no-suitable-series). Faults of geometry (a missing slice, a position held twice)
are for stage 6 to find, which then takes the next candidate. Next: `node.handoff`.

`rules` reads the rules, `stacks` separates what cannot be one volume, `traits` reads what the headers tell,
`exclusion` and `score` judge by it, `segmentations` says what is imported, `ranking` puts it together.
"""

from node.content import Choice, StudyContent
from node.core.records import Instance
from node.core.settings import ImportRules
from node.selection.ranking import Ranked, Ranking, rank
from node.selection.rules import Rules, default, load

__all__ = ["Ranked", "Ranking", "Rules", "choose", "default", "load", "rank"]


def choose(
    content: StudyContent,
    imports: ImportRules,
    minimum_slices: int,
    named: Instance | None = None,
    rules: Rules | None = None,
) -> Choice:
    """Rank the series of a study.

    Parameters
    ----------
    imports
        Whose segmentations may be imported. A candidate that one of them was drawn on comes first.
    minimum_slices
        Fewer are no volume.
    named
        The one segmentation that a person has named: it is taken whatever the rules say, and no other is.
    rules
        What ranks; None: our own.

    Raises
    ------
    NotAnalysable
        No series can be a volume: `too-few-slices` where only slices were missing, else `no-suitable-series`.
    """
    ranking = rank(content, imports, minimum_slices, named, rules or default())
    if ranking.refusal is not None:
        raise ranking.refusal
    return Choice(tuple(one.candidate for one in ranking.ranked), ranking.left_out, ranking.segmentations)
