"""What headers say of tumour and indication in so many words, and all that says nothing."""

import pytest
from pydicom import Dataset

from node.core.records import Indication
from workers.signature.stated import NOTHING, Stated, stated

REASON, DIAGNOSIS = "ReasonForTheRequestedProcedure", "AdmittingDiagnosesDescription"
BEFORE_RESECTION = Stated(None, Indication.RESECTION)


def header(**values: object) -> Dataset:
    ds = Dataset()
    for keyword, value in values.items():
        setattr(ds, keyword, value)
    return ds


@pytest.mark.parametrize(
    ("words", "indication"),
    [
        ("Before liver resection", Indication.RESECTION),
        ("Staging CT before planned partial hepatectomy.", Indication.RESECTION),
        ("PRIOR TO RESECTION OF COLORECTAL LIVER METASTASES", Indication.RESECTION),
        ("CT abdomen, before the microwave ablation of liver metastases", Indication.ABLATION),
        ("restaging before systemic therapy", Indication.SYSTEMIC_THERAPY),
        ("before chemotherapy", Indication.SYSTEMIC_THERAPY),
    ],
)
@pytest.mark.parametrize("keyword", [REASON, "RequestedProcedureDescription", "StudyDescription", DIAGNOSIS])
def test_an_indication_is_read_where_a_whole_value_says_it(words: str, indication: Indication, keyword: str) -> None:
    """Whichever attribute it is, and without regard to case and punctuation."""
    assert stated(header(**{keyword: words})) == Stated(None, indication)


@pytest.mark.parametrize(
    "words",
    [
        "",
        "liver resection",
        "after liver resection",
        "recurrence, status post liver resection",
        "not before liver resection",
        "before liver resection?  unclear whether ablation",
        "follow-up before next visit",
        "before liver biopsy",
        "no untreated liver metastases",
        "untreated liver metastases?  or treated",
        "treated colorectal liver metastases",
        "liver metastases",
        "Leberresektion geplant",
    ],
)
def test_other_words_say_nothing(words: str) -> None:
    """What is only a part of a value, denied, over, or in words that are not listed is not known."""
    assert stated(header(**{REASON: words, DIAGNOSIS: words})) == NOTHING


@pytest.mark.parametrize("words", ["Untreated colorectal liver metastases", "untreated hepatic metastasis"])
def test_an_untreated_tumour_is_said(words: str) -> None:
    """As a diagnosis, one of several."""
    assert stated(header(**{DIAGNOSIS: ["Hypertension", words]})) == Stated(True, None)


def test_the_request_is_read_where_scanners_write_it() -> None:
    """In the Request Attributes Sequence; two requests that contradict each other say nothing."""
    first, second = header(**{REASON: "Before hepatectomy"}), header(**{REASON: "before ablation"})
    assert stated(header(RequestAttributesSequence=[first])) == BEFORE_RESECTION
    assert stated(header(RequestAttributesSequence=[first, first])) == BEFORE_RESECTION
    assert stated(header(RequestAttributesSequence=[first, second])) == NOTHING
    assert stated(header(RequestAttributesSequence=[first], StudyDescription="before chemotherapy")) == NOTHING
