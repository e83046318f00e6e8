"""The plan on disk: what it keeps over a death of the process, and what it does not say."""

import json
import os
from datetime import datetime
from pathlib import Path

import pytest

from node.backfill.plan import Fate, Outcome, Plan, name_of
from node.backfill.search import Found

AT = datetime.fromisoformat("2026-11-21T20:00:00")
STUDIES = [Found(f"1.{n}", f"2024010{n}", "CT Abdomen") for n in range(1, 5)]


@pytest.fixture
def plan(tmp_path: Path) -> Plan:
    """A plan of four studies."""
    return Plan.write(tmp_path / "backfill" / "one.jsonl", STUDIES, AT)


def test_a_plan_is_read_back_as_it_was_left(plan: Plan) -> None:
    """What is done is not open; what failed comes after what was not tried; the times of the fetches are kept."""
    plan.note("1.1", Outcome(Fate.FAILED, 3, "lost"), AT)
    plan.note("1.2", Outcome(Fate.FETCHED, 40), AT)
    plan.note("1.3", Outcome(Fate.HELD), AT)
    again = Plan(plan.path)
    assert [one.study_uid for one in again.open] == ["1.4", "1.1"]
    assert again.outcomes == plan.outcomes
    assert again.begun == [AT, AT]
    assert again.found_at == "2026-11-21T20:00:00"


def test_a_study_that_failed_may_be_fetched_later(plan: Plan) -> None:
    """The last outcome counts."""
    plan.note("1.1", Outcome(Fate.FAILED, 0, "lost"), AT)
    plan.note("1.1", Outcome(Fate.FETCHED, 40), AT)
    assert "1.1" not in [one.study_uid for one in Plan(plan.path).open]


@pytest.mark.parametrize("cut", [1, 10, 40])
def test_a_line_that_was_cut_is_dropped(plan: Plan, cut: int) -> None:
    """A crash in the midst of a line costs that line; the next one begins anew and is read."""
    plan.note("1.1", Outcome(Fate.FETCHED, 40), AT)
    plan.note("1.2", Outcome(Fate.FETCHED, 40), AT)
    os.truncate(plan.path, plan.path.stat().st_size - cut)
    again = Plan(plan.path)
    assert set(again.outcomes) == {"1.1"}
    again.note("1.3", Outcome(Fate.FETCHED, 40), AT)
    assert set(Plan(plan.path).outcomes) == {"1.1", "1.3"}


def test_a_new_plan_takes_the_place_of_the_old_one_whole(plan: Plan, monkeypatch: pytest.MonkeyPatch) -> None:
    """A death before the new one is whole leaves the old one."""
    plan.note("1.1", Outcome(Fate.FETCHED, 40), AT)

    def die(_: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", die)
    with pytest.raises(KeyboardInterrupt):
        Plan.write(plan.path, STUDIES[:1], AT)
    assert len(Plan(plan.path).studies) == 4
    monkeypatch.undo()
    assert Plan.write(plan.path, STUDIES[:1], AT).outcomes == {}


def test_the_name_follows_archive_and_criteria() -> None:
    """The same words are the same backfill, and others another."""
    assert name_of("PACS", "a") == name_of("PACS", "a")
    assert len({name_of("PACS", "a"), name_of("PACS", "b"), name_of("OTHER", "a")}) == 3


def test_a_plan_holds_no_patient(plan: Plan) -> None:
    """UIDs, dates, descriptions, outcomes: nothing else is in the file."""
    plan.note("1.1", Outcome(Fate.FETCHED, 40), AT)
    lines = [json.loads(line) for line in plan.path.read_text().splitlines()]
    assert {key for line in lines for key in (line.get("study") or line)} == {
        *("found_at", "study_uid", "date", "description"),
        *("done", "begun_at", "fate", "instances", "reason"),
    }
