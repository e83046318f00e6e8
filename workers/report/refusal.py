"""The SR of a study that has no numbers: TID 1500 with the coded reason and its sentence, and no measurement group.

Its title makes a stock OHIF show it as a page of text; a report titled as a drawn one, without a group, is a black
screen there (docs/viewers.md).
"""

from collections.abc import Iterator, Sequence

from pydicom import Dataset

from node.core.private_codes import STUDY_REFUSED, refusal_code
from workers.report import pieces, sentences, tree
from workers.report.document import Findings, measurements
from workers.report.frames import Source
from workers.report.tree import Item


def build(findings: Findings, sources: Sequence[Source]) -> Dataset:
    """Return the SR of a refused study, or of one in which no structure was found."""
    evaluations = tree.container(pieces.QUALITATIVE_EVALUATIONS, list(_items(findings)))
    content = pieces.report(pieces.PAGE, [evaluations], findings)
    evidence = [source.header for source in sources]
    return pieces.finish(content, findings, evidence, "sr", findings.words("series.refused"))


def _items(findings: Findings) -> Iterator[Item]:
    if findings.refusal:
        yield tree.code(STUDY_REFUSED, refusal_code(findings.refusal.code))
        yield pieces.said(sentences.refusal(findings.refusal, findings.words))
    else:
        yield from map(pieces.said, sentences.remarks(list(measurements(findings)), findings))
