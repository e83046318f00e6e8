"""The SR of a study that has no numbers: TID 1500 with the coded reason and its sentence, and no measurement group.

Its title makes a stock OHIF show it as a page of text; a report titled as a drawn one, without a group, is a black
screen there (docs/viewers.md).
"""

from collections.abc import Sequence

import highdicom as hd
from pydicom import Dataset

from node.core.private_codes import STUDY_REFUSED, refusal_code
from workers.report import pieces, sentences
from workers.report.document import Findings, measurements
from workers.report.frames import Source

_CONTAINS = hd.sr.RelationshipTypeValues.CONTAINS


def build(findings: Findings, sources: Sequence[Source]) -> Dataset:
    """Return the SR of a refused study, or of one in which no structure was found."""
    # highdicom insists on a measurement group: one is given, and its container is exchanged for ours.
    tracking = pieces.tracking(findings.request, "none")
    group = hd.sr.MeasurementsAndQualitativeEvaluations(tracking_identifier=tracking)
    content = pieces.report(pieces.PAGE, [group], findings)
    items = content[0].ContentSequence
    items.pop(next(index for index, item in enumerate(items) if item.name.value == pieces.IMAGING_MEASUREMENTS))
    box = hd.sr.ContainerContentItem(
        name=pieces.QUALITATIVE_EVALUATIONS, is_content_continuous=False, relationship_type=_CONTAINS
    )
    box.ContentSequence = hd.sr.ContentSequence(_items(findings))
    items.append(box)
    evidence = [source.header for source in sources]
    return pieces.finish(content, findings, evidence, "sr", findings.words("series.refused"))


def _items(findings: Findings) -> list[hd.sr.ContentItem]:
    items: list[hd.sr.ContentItem] = []
    said = sentences.remarks(list(measurements(findings)), findings)
    if findings.refusal:
        reason = refusal_code(findings.refusal.code)
        items.append(hd.sr.CodeContentItem(name=STUDY_REFUSED, value=reason, relationship_type=_CONTAINS))
        said = iter([sentences.refusal(findings.refusal, findings.words)])
    items += map(pieces.said, said)
    return items
