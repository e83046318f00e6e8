"""Why a rule says nothing of an object. Each returns the reason, or an empty text where the rule does apply."""

from collections.abc import Callable

from node.review.content import SEGMENT
from node.review.objects import Kind
from node.review.reading import first, text
from node.review.subject import Subject

Silence = Callable[[Subject], str]
REPORT_TITLES = frozenset({"126000", "126001", "126002", "126003"})  # CID 7021, DCM


def never(subject: Subject) -> str:
    """Every object has to keep the rule."""
    del subject
    return ""


def not_ours(subject: Subject) -> str:
    """Objects of others may do otherwise."""
    return "" if subject.ours else "not made by crlm-node"


def no_ct(subject: Subject) -> str:
    """The CT has to lie beside it."""
    return "" if subject.beside.images else "needs the CT: --with"


def no_segmentation(subject: Subject) -> str:
    """A segmentation that it refers to has to lie beside it."""
    return "" if subject.named & subject.beside.segmentations.keys() else "needs the SEG that it refers to: --with"


def no_measurement_report(subject: Subject) -> str:
    """It is no TID 1500 report, by title or by template."""
    template = text(first(subject.ds, "ContentTemplateSequence"), "TemplateIdentifier")
    is_one = subject.kind is Kind.REPORT and (subject.title in REPORT_TITLES or template == "1500")
    return "" if is_one else "no TID 1500 report"


def no_groups(subject: Subject) -> str:
    """It has no measurement group."""
    return "" if subject.groups else "no measurement group"


def no_page(subject: Subject) -> str:
    """It is not of the form that viewers show as a page."""
    return "" if subject.is_page else "not titled as a page (126001)"


def not_drawn(subject: Subject) -> str:
    """It is not of the form that a stock OHIF draws."""
    return "" if subject.is_drawn else "not titled as drawn (126000)"


def no_segment_named(subject: Subject) -> str:
    """No group refers to a segment."""
    return "" if any(group.below("IMAGE", SEGMENT) for group in subject.groups) else "no group refers to a segment"


def no_numbers(subject: Subject) -> str:
    """It holds no number."""
    return "" if subject.numbers else "no number"


def no_coordinates(subject: Subject) -> str:
    """It draws nothing on images."""
    return "" if any(one.kind == "SCOORD" for one in subject.items) else "no coordinates"


def alone(subject: Subject) -> str:
    """It came alone."""
    return "" if sum(map(len, subject.beside.series.values())) > 1 else "one file alone"


def one_of(*reasons: Silence) -> Silence:
    """Return a silence for the first reason that holds."""
    return lambda subject: next((why for reason in reasons if (why := reason(subject))), "")
