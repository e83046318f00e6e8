"""What a study waits for and how long, with a stand-in for the archives' answers; real ones: tests/wire."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from pydicom import Dataset
from structlog.testing import capture_logs

from node import completeness as module
from node.completeness import Completeness, Finding, Quiet, QuietTimes
from node.content import Header, StudyContent, gather
from node.core.settings import CallingPeer, Settings
from node.counts import Counted, Held, Shortage

CAME = datetime.fromisoformat("2026-11-21T12:00:00")
STUDY = Quiet("1.2.3", CAME, timedelta(seconds=60))
SILENT = Counted(silent=("PACS",))
SHORT = Counted((Shortage("PACS", "1.2.3.1", 2),))


def after(seconds: float) -> datetime:
    return CAME + timedelta(seconds=seconds)


@dataclass
class Answers:
    """What the archives say, and when they were asked."""

    says: Counted = field(default_factory=Counted)
    asked: list[Held] = field(default_factory=list)

    def __call__(self, archives: object, study_uid: str, held: Held) -> Counted:
        """Answer."""
        del archives, study_uid
        self.asked.append(held)
        return self.says


@pytest.fixture
def answers(monkeypatch: pytest.MonkeyPatch) -> Answers:
    one = Answers()
    monkeypatch.setattr(module.counts, "count", one)
    return one


@pytest.fixture
def completeness(answers: Answers) -> Completeness:
    del answers
    return Completeness(Settings(forced_completion_s=600, retry_longest_s=100))


@pytest.fixture
def whole(series: Callable[..., list[Dataset]], headers_of: Callable[..., list[Header]]) -> StudyContent:
    """A study without gaps, and with a segmentation-like other object that is no image."""
    return gather("1.2.3", headers_of(series(count=12)))


@pytest.fixture
def holed(series: Callable[..., list[Dataset]], headers_of: Callable[..., list[Header]]) -> StudyContent:
    """A study whose series 2 lacks its sixth slice."""
    datasets = series(count=12)
    del datasets[5]
    return gather("1.2.3", headers_of(datasets))


def test_a_whole_study_is_complete_at_once(completeness: Completeness, whole: StudyContent, answers: Answers) -> None:
    """No gap and no archive that holds more: nothing is waited for, and nothing remembered."""
    assert completeness.judge(STUDY, whole, after(60)) == Finding()
    assert answers.asked == [{"1.2.3.1": {f"1.2.3.1.{number}" for number in range(1, 13)}}]
    assert not completeness.still_waits(STUDY, after(60))


def test_a_gap_is_waited_for_and_then_forced(completeness: Completeness, holed: StudyContent) -> None:
    """It waits until the time is over, and says for what and until when; the sentence of the force has no clock."""
    found = completeness.judge(STUDY, holed, after(60))
    assert found.waits_for == (
        "In series 2, 1 slice seems to be missing after position 12.0 mm (a step of 6.00 mm among steps of 3.00 mm); "
        "without them it is processed at 2026-11-21 12:10:00 UTC."
    )
    assert not found.forced
    assert completeness.still_waits(STUDY, after(61))
    assert completeness.still_waits(STUDY, after(599.9))
    assert not completeness.still_waits(STUDY, after(600))
    with capture_logs() as logs:
        forced = completeness.judge(STUDY, holed, after(600))
    assert forced.forced == completeness.judge(STUDY, holed, after(9999)).forced
    assert forced.forced.startswith("Processed 10 minutes after the last image came, without proof that the study is ")
    assert "in series 2, 1 slice seems to be missing" in forced.forced
    assert [one["event"] for one in logs] == ["completed-by-force"]


def test_a_study_that_something_came_for_is_judged_anew(completeness: Completeness, holed: StudyContent) -> None:
    """A later instance ends what is remembered, also where the steward did not see the study in between."""
    completeness.judge(STUDY, holed, after(60))
    later = replace(STUDY, last_received_at=after(100))
    assert not completeness.still_waits(later, after(160))
    completeness.forget_all_but([replace(STUDY, uid="1.2.4")])
    assert not completeness.still_waits(STUDY, after(61))


def test_an_archive_that_holds_more_is_evidence_against(
    completeness: Completeness, whole: StudyContent, answers: Answers
) -> None:
    """What is missing is told by number of the series; the archive is asked again with growing pauses."""
    answers.says = SHORT
    found = completeness.judge(STUDY, whole, after(60))
    assert found.waits_for.startswith(
        "In series 2, 2 images that PACS holds did not come; without them it is processed at "
    )
    asked = []
    for second in range(61, 600):
        before = len(answers.asked)
        assert completeness.still_waits(STUDY, after(second))
        asked += [second] if len(answers.asked) > before else []
    assert asked == [75, 105, 165, 265, 365, 465, 565]
    assert "2 images that PACS holds" in completeness.judge(STUDY, whole, after(600)).forced


def test_an_archive_that_no_longer_holds_more_ends_the_waiting(
    completeness: Completeness, whole: StudyContent, answers: Answers
) -> None:
    """Its next answer is enough; the study is then read and completes without force."""
    answers.says = SHORT
    completeness.judge(STUDY, whole, after(60))
    answers.says = Counted()
    assert completeness.still_waits(STUDY, after(74))
    assert not completeness.still_waits(STUDY, after(75))
    assert completeness.judge(STUDY, whole, after(75)) == Finding()


def test_a_shortage_stands_while_the_archive_is_silent(
    completeness: Completeness, whole: StudyContent, answers: Answers
) -> None:
    """That an archive goes down does not take back what it has said."""
    answers.says = SHORT
    completeness.judge(STUDY, whole, after(60))
    answers.says = SILENT
    assert all(completeness.still_waits(STUDY, after(second)) for second in range(61, 600))


def test_a_silent_archive_is_waited_for_one_more_quiet_time(
    completeness: Completeness, whole: StudyContent, answers: Answers
) -> None:
    """It is asked a few times in it; then the study goes on, and its result says nothing of a force."""
    answers.says = SILENT
    found = completeness.judge(STUDY, whole, after(60))
    assert (
        found.waits_for
        == "PACS does not answer or does not know it; it is not waited for after 2026-11-21 12:02:00 UTC."
    )
    assert all(completeness.still_waits(STUDY, after(second)) for second in range(61, 120))
    assert len(answers.asked) == 3
    assert not completeness.still_waits(STUDY, after(120))
    assert completeness.judge(STUDY, whole, after(120)) == Finding()


def test_a_silent_archive_that_answers_ends_the_waiting(
    completeness: Completeness, whole: StudyContent, answers: Answers
) -> None:
    """It was only receiving the study itself."""
    answers.says = SILENT
    completeness.judge(STUDY, whole, after(60))
    answers.says = Counted()
    assert not completeness.still_waits(STUDY, after(75))


def test_no_archive_is_asked_about_a_gap_again(
    completeness: Completeness, holed: StudyContent, answers: Answers
) -> None:
    """Only an instance that comes closes a gap."""
    completeness.judge(STUDY, holed, after(60))
    assert all(completeness.still_waits(STUDY, after(second)) for second in range(61, 600))
    assert len(answers.asked) == 1


def test_a_slow_archive_is_not_asked_again_all_the_time(
    completeness: Completeness, whole: StudyContent, answers: Answers, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The steward's time belongs to those that come: for ten times as long as an answer took, it asks none again."""
    took = 0.0

    def tick() -> float:
        nonlocal took
        took += 4.0
        return took

    monkeypatch.setattr(module.time, "monotonic", tick)
    answers.says = SHORT
    others = [replace(STUDY, uid=f"1.2.{number}") for number in range(10)]
    for one in others:
        completeness.judge(one, whole, after(60))
    before = len(answers.asked)
    for second in range(61, 160):
        assert all(completeness.still_waits(one, after(second)) for one in others)
    assert len(answers.asked) - before == 2


def test_a_force_sooner_than_the_quiet_time_is_no_second_one(answers: Answers, whole: StudyContent) -> None:
    """A silent archive never holds a study longer than a missing slice would."""
    answers.says = SILENT
    hasty = Completeness(Settings(forced_completion_s=70))
    assert hasty.judge(STUDY, whole, after(69)).waits_for
    assert hasty.judge(STUDY, whole, after(70)) == Finding()


@pytest.mark.parametrize(
    ("senders", "seconds"),
    [((), 60), (("SCANNER",), 60), (("FAST",), 5), (("FAST", "SCANNER"), 60), (("FAST", "SLOW"), 300)],
    ids=str,
)
def test_the_quiet_time_is_the_longest_of_the_senders(senders: tuple[str, ...], seconds: float) -> None:
    """A peer without a time of its own, or that is no longer in the settings, has the site's."""
    peers = (
        CallingPeer(ae_title="FAST ", quiet_time_s=5),
        CallingPeer(ae_title="SLOW", quiet_time_s=300),
        CallingPeer(ae_title="PLAIN"),
    )
    times = QuietTimes(Settings(calling=peers, quiet_time_s=60))
    assert times.of(senders) == timedelta(seconds=seconds)
    assert times.shortest == timedelta(seconds=5)


def test_of_many_gaps_the_first_are_told(
    completeness: Completeness, series: Callable[..., list[Dataset]], headers_of: Callable[..., list[Header]]
) -> None:
    """The sentence stays one that a person reads."""
    datasets: list[Any] = series(count=40)
    kept = [one for index, one in enumerate(datasets) if index not in (5, 10, 15, 20, 25)]
    found = completeness.judge(STUDY, gather("1.2.3", headers_of(kept)), after(60)).waits_for
    assert found.count("1 slice seems") == 3
    assert "; and 2 more; without them" in found
