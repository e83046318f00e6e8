"""What the headers of a study say of its tumour and of what it was taken before, where they say it in so many words.

Comes in: the header of an instance. Goes out: `Stated`. Nothing can go wrong. Next: `workers.volume` hands it on with
the volume, stage 8 puts it beside what the site has entered.

**Where.** Reason for the Requested Procedure (0040,1002) and Requested Procedure Description (0032,1060), by themselves
or in the Request Attributes Sequence (0040,0275); Study Description (0008,1030); Admitting Diagnoses Description
(0008,1080).

**What.** A whole value, in English, without regard to case and punctuation; never a part of one, so that `no untreated
liver metastases` and `recurrence after liver resection` say nothing. What the CT was taken before: `before` or `prior
to` a liver resection (hepatectomy, resection of liver metastases), an ablation, a systemic therapy, with words such as
`staging` or `CT` in front. An untreated tumour: `untreated liver metastases`, `untreated colorectal liver metastases`.
Two values that contradict each other say nothing.

Codes are not read: that of a resection does not say whether the CT was taken before or after it, that of a diagnosis
not whether it was treated.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from pydicom import Dataset

from node.core.dicom import PARSER_FAULTS
from node.core.records import Indication

_REQUEST = ("ReasonForTheRequestedProcedure", "RequestedProcedureDescription")
_STUDY = ("StudyDescription", "AdmittingDiagnosesDescription")
_METASTASES = r"(colorectal )?(liver|hepatic) metastas[ei]s"
_BEFORE = (
    r"((ct|abdomen|imaging|staging|restaging|preoperative|pretherapeutic|planning) )*"
    r"(before|prior to) (a |the )?(planned |elective )?"
)
_WHAT: Mapping[Indication, str] = {
    Indication.RESECTION: rf"((partial )?hepatectomy|(partial )?(liver|hepatic) resection|resection of {_METASTASES})",
    Indication.ABLATION: rf"(thermal |radiofrequency |microwave )?ablation( of {_METASTASES})?",
    Indication.SYSTEMIC_THERAPY: r"(systemic (chemo)?therapy|chemotherapy)",
}
_INDICATIONS = {one: re.compile(_BEFORE + what) for one, what in _WHAT.items()}
_UNTREATED = re.compile(rf"untreated {_METASTASES}")


@dataclass(frozen=True)
class Stated:
    """What headers say; None where they do not."""

    untreated_tumour: bool | None = None
    indication: Indication | None = None


NOTHING = Stated()


def stated(ds: Dataset) -> Stated:
    """Read what a header says of tumour and indication."""
    values = [re.sub(r"[^a-z]+", " ", value.casefold()).strip() for value in _values(ds)]
    found = {one for value in values for one, pattern in _INDICATIONS.items() if pattern.fullmatch(value)}
    untreated = any(_UNTREATED.fullmatch(value) for value in values)
    return Stated(True if untreated else None, found.pop() if len(found) == 1 else None)


def _values(ds: Dataset) -> Iterator[str]:
    for keyword in (*_REQUEST, *_STUDY):
        yield from _texts(ds, keyword)
    try:
        requests = list(ds.get("RequestAttributesSequence") or ())
    except PARSER_FAULTS:
        return
    for request in requests:
        for keyword in _REQUEST:
            yield from _texts(request, keyword)


def _texts(ds: Dataset, keyword: str) -> list[str]:
    try:
        value = ds.get(keyword)
    except PARSER_FAULTS:
        return []
    return [value] if isinstance(value, str) else [str(one) for one in value or ()]
