"""The SR of a study that has no numbers: TID 1500 with the coded reason and its sentence, and no measurement group.

Its title makes a stock OHIF show it as a page of text; a report titled as a drawn one, without a group, is a black
screen there (docs/viewers.md).
"""

from collections.abc import Sequence

import highdicom as hd
from pydicom import Dataset
from pydicom.sr.coding import Code

from node.core.codes import PRIVATE_SCHEME
from workers.report import pieces
from workers.report.document import Findings, measurements
from workers.report.frames import Source

_QUALITATIVE_EVALUATIONS = Code("C0034375", "UMLS", "Qualitative Evaluations")  # TID 1500
_REFUSED = Code("study-refused", PRIVATE_SCHEME, "Study not measured")
_CONTAINS = hd.sr.RelationshipTypeValues.CONTAINS


def build(findings: Findings, sources: Sequence[Source]) -> Dataset:
    """Return the SR of a refused study, or of one in which no structure was found."""
    # highdicom insists on a measurement group: one is given, and its container is exchanged for ours.
    tracking = pieces.tracking(findings.request, "none")
    group = hd.sr.MeasurementsAndQualitativeEvaluations(tracking_identifier=tracking)
    content = pieces.report(pieces.PAGE, [group], findings.request)
    items = content[0].ContentSequence
    items.pop(next(index for index, item in enumerate(items) if item.name.value == pieces.IMAGING_MEASUREMENTS))
    box = hd.sr.ContainerContentItem(
        name=_QUALITATIVE_EVALUATIONS, is_content_continuous=False, relationship_type=_CONTAINS
    )
    box.ContentSequence = hd.sr.ContentSequence(_items(findings))
    items.append(box)
    return pieces.finish(content, findings, [source.header for source in sources], "sr", "crlm-node: not measured")


def _items(findings: Findings) -> list[hd.sr.ContentItem]:
    found = measurements(findings)
    sentences = (
        [str(findings.refusal)]
        if findings.refusal
        else list(pieces.remarks(list(found), found, findings.request.measurement.psoas))
    )
    items: list[hd.sr.ContentItem] = []
    if findings.refusal:
        code = findings.refusal.code
        value = Code(code, PRIVATE_SCHEME, code.replace("-", " ").capitalize())
        items.append(hd.sr.CodeContentItem(name=_REFUSED, value=value, relationship_type=_CONTAINS))
    items += [
        hd.sr.TextContentItem(name=pieces.COMMENT, value=sentence, relationship_type=_CONTAINS)
        for sentence in sentences
    ]
    return items
