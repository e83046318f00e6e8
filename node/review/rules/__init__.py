"""The rules for results, by kind of object.

They are those of docs/report-commands.md, which lists them with their sentences; each looks at one thing, so that what
is wrong once is told once. `common` is asked of every object, `documents` and `measurements` of SR, `viewer` of SR in
the form that a stock OHIF draws, `segmentations` of SEG, `captures` of the Summary.
"""

from collections.abc import Mapping

from node.review.objects import Kind
from node.review.rules import captures, common, documents, measurements, segmentations, viewer
from node.review.verdict import Rule

RULES: Mapping[Kind, tuple[Rule, ...]] = {
    Kind.REPORT: (*common.RULES, *documents.RULES, *measurements.RULES, *viewer.RULES),
    Kind.KEY_OBJECTS: (*common.RULES, *documents.KEY_OBJECT_RULES),
    Kind.SEGMENTATION: (*common.RULES, *segmentations.RULES),
    Kind.CAPTURE: (*common.RULES, *captures.RULES),
}
