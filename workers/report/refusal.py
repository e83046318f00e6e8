"""The SR of a study that has no numbers: a report that a person reads in any viewer, with the coded reason.

Its title is not that of TID 1500, because a measurement report without a region is shown by a stock OHIF as a black
page (docs/viewers.md); as a diagnostic imaging report it is shown as text.
"""

from collections.abc import Sequence

import highdicom as hd
from pydicom import Dataset
from pydicom.sr.coding import Code

from node.core.codes import PRIVATE_SCHEME
from workers.report import envelope, pieces
from workers.report.document import Findings, measurements

_TITLE = Code("18748-4", "LN", "Diagnostic imaging report")
_CONCLUSION = Code("121077", "DCM", "Conclusion")
_REASON = Code("refusal", PRIVATE_SCHEME, "Not measured")
_CONTAINS = hd.sr.RelationshipTypeValues.CONTAINS


def build(findings: Findings, sources: Sequence[Dataset]) -> Dataset:
    """Return the SR of a refused study, or of one in which no structure was found."""
    refusal = findings.refusal
    sentences = [f"crlm-node did not measure this study. {refusal}"] if refusal else _per_number(findings)
    root = hd.sr.ContainerContentItem(name=_TITLE, is_content_continuous=False)
    items = [*pieces.observer()]
    if refusal:
        meaning = str(refusal.code).replace("-", " ")
        value = Code(refusal.code, PRIVATE_SCHEME, meaning)
        items.append(hd.sr.CodeContentItem(name=_REASON, value=value, relationship_type=_CONTAINS))
    items += [
        hd.sr.TextContentItem(name=_CONCLUSION, value=sentence, relationship_type=_CONTAINS) for sentence in sentences
    ]
    root.ContentSequence = hd.sr.ContentSequence(items)
    content = hd.sr.ContentSequence([root], is_root=True)
    request = findings.request
    ds = hd.sr.Comprehensive3DSR(
        evidence=list(sources),
        content=content[0],
        series_instance_uid=envelope.series_uid(request, "sr"),
        series_number=envelope.series_number("sr"),
        sop_instance_uid=envelope.instance_uid(request, "sr"),
        instance_number=1,
        manufacturer=envelope.MANUFACTURER,
        is_complete=True,
        is_final=True,
        is_verified=False,
        contributing_equipment=[envelope.equipment(request)],
    )
    envelope.declare_private_scheme(ds)
    return envelope.seal(ds, sources[0], request, "crlm-node: not measured")


def _per_number(findings: Findings) -> list[str]:
    found = measurements(findings)
    return list(pieces.remarks(list(found), found))
