"""The table of private codes: complete, one meaning each, and nothing in it that a standard scheme has."""

from collections import defaultdict
from collections.abc import Iterator

from pydicom.sr._concepts_dict import concepts
from pydicom.sr.coding import Code

from node.core import codes, private_codes
from node.core.codes import MEASUREMENTS, PRIVATE_SCHEME
from node.core.reasons import NotComputed, StudyRefusal

# The one as CID 7150 spells it, the other from TotalSegmentator's SNOMED table.
_ELSEWHERE = {codes.ANATOMICAL_STRUCTURE, codes.ILIOPSOAS}


def constants() -> Iterator[Code]:
    """Yield the codes that the modules define."""
    for module in (codes, private_codes):
        for value in vars(module).values():
            if isinstance(value, Code):
                yield value
            elif isinstance(value, dict):
                yield from (one for one in value.values() if isinstance(one, Code))


def test_every_private_code_that_is_defined_is_in_the_table() -> None:
    """Concepts, ids of numbers, reasons and refusals."""
    listed = {one.value for one in private_codes.table()}
    assert {one.value for one in constants() if one.scheme_designator == PRIVATE_SCHEME} <= listed
    assert set(MEASUREMENTS) | set(NotComputed) | set(StudyRefusal) <= listed


def test_a_code_means_one_thing() -> None:
    """All are private; two meanings has a number of the psoas alone: for each muscle that may be measured."""
    meanings = defaultdict(list)
    for one in private_codes.table():
        assert one.scheme_designator == PRIVATE_SCHEME
        assert len(one.meaning) <= 62  # LO holds 64 characters, and two may follow
        meanings[one.value].append(one.meaning)
    several = {value: those for value, those in meanings.items() if len(those) > 1}
    sides, parts = ("left", "right"), ("volume", "mean_hu", "area_l3")
    assert set(several) == {f"psoas.{side}.{part}" for side in sides for part in parts}
    for first, second in several.values():
        assert first.replace("iliopsoas", "psoas major") == second != first


def test_standard_codes_are_spelled_as_the_standard_does() -> None:
    """Value and meaning are those of pydicom's dictionaries, but for those that it does not have."""
    known = {
        (scheme, value, meaning)
        for scheme in ("DCM", "SCT")
        for names in concepts[scheme].values()
        for value, (meaning, *_) in names.items()
    }
    for one in constants():
        if one.scheme_designator not in (PRIVATE_SCHEME, "UCUM") and one not in _ELSEWHERE:
            assert (one.scheme_designator, one.value, one.meaning) in known
