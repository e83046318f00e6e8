"""Numbers as a person reads them on a page: value, unit, interval, or why there is none, and marks for notes."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from node.core.codes import LESION_COUNT, UNIT_DISPLAY, coding_of
from node.core.records import Measurement

_DECIMALS = {"cm2": 2, "cm2/m2": 2, "1": 2}
_USUAL_DECIMALS = 1


@dataclass
class Marks:
    """Letters that stand beside numbers for remarks, each of which is written out once, below."""

    remarks: list[str] = field(default_factory=list)

    def of(self, remarks: Sequence[str]) -> str:
        """Return the letters of remarks, those that are new among them."""
        self.remarks += [remark for remark in dict.fromkeys(remarks) if remark not in self.remarks]
        return " ".join(letter(place) for place in sorted({self.remarks.index(remark) for remark in remarks}))


def letter(index: int) -> str:
    """Return a, b, ... z, aa, ab and so on."""
    first, last = divmod(index, 26)
    return (letter(first - 1) if first else "") + "abcdefghijklmnopqrstuvwxyz"[last]


def unit(name: str) -> str:
    """Return the unit of a number as it is printed."""
    code = coding_of(name).unit
    return UNIT_DISPLAY.get(code, code)


def value(name: str, one: Measurement) -> str:
    """Return a number that was computed, with what says that it is a lower bound."""
    if isinstance(one.value, str) or one.value is None:
        return one.value or ""
    at_least = coding_of(name).grows and one.is_cut
    return f"{'≥ ' if at_least else ''}{_rounded(name, one.value)}"


def with_unit(name: str, one: Measurement) -> str:
    """Return a number that was computed with its unit."""
    return f"{value(name, one)} {unit(name)}".strip()


def interval(name: str, one: Measurement) -> str:
    """Return the interval of a number; empty where it has none."""
    return " – ".join(_rounded(name, bound) for bound in one.interval) if one.interval else ""


def signed(number: float) -> str:
    """Return a coordinate with one decimal and a minus that is as wide as a digit."""
    return f"{number:.1f}".replace("-", "−")


def _rounded(name: str, number: float) -> str:
    coding = coding_of(name)
    decimals = 0 if coding.concept == LESION_COUNT else _DECIMALS.get(coding.unit, _USUAL_DECIMALS)
    return f"{number:.{decimals}f}".replace("-", "−")
