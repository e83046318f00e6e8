"""What a person states of a study, in words, as `Known`.

Comes in: statements by the names of the items of `requires`. Goes out: `Known`. What can go wrong: `ValueError` for a
name or a value that is none. What is not stated is not known. Next: `score`.
"""

from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import TypeVar

from node.core.records import Indication
from workers.signature.scope import ContrastPhase, Known, KnownMask, MaskOrigin, bare

PHASE, THICKNESS, LOSSLESS, UNTREATED = "contrast_phase", "slice_thickness_mm", "lossless", "untreated_tumour"
ORIGIN, LABELS, INDICATION = "mask_provenance", "mask_labels", "indication"
ITEMS = (PHASE, THICKNESS, LOSSLESS, UNTREATED, ORIGIN, LABELS, INDICATION)
_Word = TypeVar("_Word", bound=StrEnum)


def statements(words: Iterable[str]) -> dict[str, str]:
    """Part `ITEM=VALUE` into item and value.

    Raises
    ------
    ValueError
        One is not in this form, or its item is none of `ITEMS`.
    """
    parted = {}
    for word in words:
        item, sign, value = word.partition("=")
        if not sign or item not in ITEMS:
            raise ValueError(f"{word}: what is known is stated as ITEM=VALUE; items are {', '.join(ITEMS)}")
        parted[item] = value
    return parted


def known(stated: Mapping[str, str], rois: Iterable[str]) -> Known:
    """Return what is stated of a study; a mask's origin and labels are those of every region of interest.

    Raises
    ------
    ValueError
        A value is none that the item can have.
    """
    origin = _word(ORIGIN, MaskOrigin, stated)
    labels = frozenset(bare(label) for label in stated.get(LABELS, "").split(",") if bare(label))
    return Known(
        contrast_phase=_word(PHASE, ContrastPhase, stated),
        slice_thickness_mm=_number(THICKNESS, stated),
        lossless=_truth(LOSSLESS, stated),
        untreated_tumour=_truth(UNTREATED, stated),
        masks={roi: KnownMask(origin, labels) for roi in rois} if origin else {},
        indication=_word(INDICATION, Indication, stated),
    )


def _word(item: str, kind: type[_Word], stated: Mapping[str, str]) -> _Word | None:
    value = stated.get(item)
    if value is not None and value not in list(kind):
        raise ValueError(f"{item} is one of {', '.join(kind)}, not {value}")
    return None if value is None else kind(value)


def _truth(item: str, stated: Mapping[str, str]) -> bool | None:
    value = stated.get(item)
    if value not in (None, "true", "false"):
        raise ValueError(f"{item} is true or false, not {value}")
    return None if value is None else value == "true"


def _number(item: str, stated: Mapping[str, str]) -> float | None:
    value = stated.get(item)
    try:
        return None if value is None else float(value)
    except ValueError as error:
        raise ValueError(f"{item} is a number, not {value}") from error
