"""The one table of answers is complete, and what it answers can be said over the network."""

from itertools import chain

import pytest

from node.core.errors import ANSWERS, NodeError, NotAnalysable, Refused, Unavailable, Untrusted, Verdict
from node.core.reasons import Coded, DoorRefusal, NotComputed, NoteCode, Outage, RegionRefusal, StudyRefusal

_ANSWERED = (DoorRefusal, Outage, RegionRefusal, StudyRefusal)


@pytest.mark.parametrize("code", [*chain.from_iterable(_ANSWERED)], ids=str)
def test_every_code_has_its_answer(code: Coded) -> None:
    """Each code that an error may carry has a failure status of PS3.7 annex C, a verdict and an operator's sentence."""
    answer = ANSWERS[code]
    assert answer.status == 0x0111 or answer.status == 0x0122 or answer.status & 0xF000 in (0xA000, 0xC000)
    assert answer.operator.endswith(".")
    assert answer.operator[0].isupper()


def test_table_answers_nothing_else() -> None:
    """No answer is left over from a code that is gone."""
    assert set(ANSWERS) == set(chain.from_iterable(_ANSWERED))


def test_what_may_come_back_asks_for_a_second_sending() -> None:
    """An outage is answered A700, out of resources, so that the sender tries again; a refusal at the door never is."""
    assert {ANSWERS[code].status for code in Outage} == {0xA700}
    permanent = {code for code in DoorRefusal if ANSWERS[code].status != 0xA700}
    assert permanent == set(DoorRefusal) - {DoorRefusal.OUT_OF_RESOURCES}


def test_verdicts_follow_the_kind_of_error() -> None:
    """What is refused is not taken; a final refusal of a study is not tried again."""
    assert {ANSWERS[code].verdict for code in DoorRefusal} == {Verdict.NOT_TAKEN}
    assert {ANSWERS[code].verdict for code in StudyRefusal} == {Verdict.NOT_ANALYSABLE, Verdict.QUARANTINE}


def test_codes_are_unique_over_all_lists() -> None:
    """One word never means two things; each is lower case with hyphens, and its sentence is one."""
    codes = [*chain.from_iterable((*_ANSWERED, NotComputed, NoteCode))]
    assert len({str(code) for code in codes}) == len(codes)
    for code in codes:
        assert code == code.lower()
        assert " " not in code
        assert code.sentence.endswith(".")


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (Refused(DoorRefusal.UID_INVALID), DoorRefusal.UID_INVALID.sentence),
        (NotAnalysable(StudyRefusal.TOO_FEW_SLICES, "2 of 10"), f"{StudyRefusal.TOO_FEW_SLICES.sentence} (2 of 10)"),
        (Unavailable(Outage.SPOOL_FAILED, "No space"), f"{Outage.SPOOL_FAILED.sentence} (No space)"),
        (Untrusted(StudyRefusal.INPUT_UNTRUSTED), StudyRefusal.INPUT_UNTRUSTED.sentence),
    ],
    ids=lambda value: type(value).__name__,
)
def test_error_reads_as_its_sentence(error: NodeError, text: str) -> None:
    """A person reads the sentence of the code, then what was seen."""
    assert str(error) == text
