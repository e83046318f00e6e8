"""The order of a backfill: what comes after what, what is waited for, and how it ends."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from threading import Event

import pytest

from node.backfill import campaign
from node.backfill.campaign import Campaign, counts_of
from node.backfill.fetching import Away
from node.backfill.pace import Wait
from node.backfill.plan import Fate, Outcome, Plan
from node.backfill.search import Found
from node.core.ledger.patience import Patience
from node.core.query import Moved
from node.core.reasons import Outage

AT = datetime.fromisoformat("2026-11-21T22:00:00")
AWAY = Away(Outage.DESTINATION_UNREACHABLE, "connection refused")
LOST = Outcome(Fate.FAILED, 0, "lost")
WHOLE = Outcome(Fate.FETCHED, 40)


@dataclass
class Scene:
    """Who takes part: an archive that answers what the test says, a pace that waits as it says, and who is told."""

    plan: Plan
    answers: list[Outcome | Away] = field(default_factory=list)
    obstacles: list[Wait | None] = field(default_factory=list)
    fetched: list[str] = field(default_factory=list)
    told: list[str] = field(default_factory=list)
    stop: Event = field(default_factory=Event)
    stop_after: int | None = None

    def clock(self) -> datetime:
        """Return a time that is later for each study."""
        return AT + timedelta(minutes=len(self.fetched))

    def obstacle(self, _begun: list[datetime]) -> Wait | None:
        """Return the next obstacle."""
        return self.obstacles.pop(0) if self.obstacles else None

    def fetch(self, study_uid: str, _on_progress: Callable[[Moved], None]) -> Outcome:
        """Answer the next answer, or that all came."""
        self.fetched.append(study_uid)
        if len(self.fetched) == self.stop_after:
            self.stop.set()
        answer = self.answers.pop(0) if self.answers else WHOLE
        if isinstance(answer, Away):
            raise answer
        return answer

    def waits(self, wait: Wait) -> None:
        """Hear what is waited for."""
        self.told.append(wait.limit)

    def begins(self, found: Found) -> None:
        """Hear of a study."""

    def moves(self, moved: Moved) -> None:
        """Hear of a move."""

    def ends(self, found: Found, outcome: Outcome) -> None:
        """Hear how a study ended."""
        self.told.append(f"{found.study_uid} {outcome.fate}")

    def run(self, attempts: int = 2) -> None:
        """Run the backfill."""
        patience = Patience(attempts, timedelta(), timedelta())
        Campaign(self.plan, self, self, patience, self, self.stop).run()  # type: ignore[arg-type]


@pytest.fixture
def scene(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Scene:
    """A backfill of three studies, without pauses."""
    monkeypatch.setattr(campaign, "PERIOD_S", 0.0)
    studies = [Found(f"1.{number}", "20240101", "") for number in range(3)]
    return Scene(Plan.write(tmp_path / "backfill" / "one.jsonl", studies, AT))


def test_what_failed_comes_again_after_all_others(scene: Scene) -> None:
    """And only as often as it is allowed; its last reason is kept."""
    scene.answers = [LOST, WHOLE, WHOLE, LOST]
    scene.run()
    assert scene.fetched == ["1.0", "1.1", "1.2", "1.0"]
    assert counts_of(scene.plan) == {
        "found": 3,
        "fetched": 2,
        "held already": 0,
        "no CT image": 0,
        "failed": 1,
        "not yet": 0,
    }


def test_an_outage_is_nobodys_failure(scene: Scene) -> None:
    """The same study is asked for again when the archive is back, and its turn is waited for anew."""
    scene.answers = [AWAY, AWAY, WHOLE]
    scene.obstacles = [None, Wait("between", ""), None, None]
    scene.run()
    assert scene.fetched == ["1.0", "1.0", "1.0", "1.1", "1.2"]
    assert scene.told[:4] == ["away", "between", "away", "1.0 fetched"]
    assert counts_of(scene.plan)["fetched"] == 3


def test_an_archive_that_stays_away_ends_it(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """After its patience the error is said; what was fetched stays fetched."""
    monkeypatch.setattr(campaign, "OUTAGES", 3)
    scene.answers = [WHOLE, AWAY, AWAY, AWAY]
    with pytest.raises(Away):
        scene.run()
    assert counts_of(Plan(scene.plan.path))["not yet"] == 2


def test_a_stop_while_a_study_comes_leaves_it_open(scene: Scene) -> None:
    """What was cancelled has not failed; what came whole all the same is fetched; no other is begun."""
    scene.answers, scene.stop_after = [WHOLE, LOST], 2
    scene.run()
    assert scene.fetched == ["1.0", "1.1"]
    assert [one.study_uid for one in Plan(scene.plan.path).open] == ["1.1", "1.2"]
    assert scene.told == ["1.0 fetched"]


def test_a_stop_while_it_waits(scene: Scene) -> None:
    """It ends at once."""
    scene.obstacles = [Wait("between", "")] * 9
    scene.stop.set()
    scene.run()
    assert (scene.fetched, scene.told) == ([], [])
