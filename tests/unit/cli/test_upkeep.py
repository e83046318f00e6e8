"""The commands of upkeep: what a person reads in 80 columns, the exit codes, and that something was done."""

import io
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from sqlalchemy import text

from node import overview
from node.core.errors import Unavailable
from node.core.ledger import Ledger, jobs, now, queues, studies
from node.core.ledger.patience import Patience
from node.core.ledger.tables import Study, StudyFlag
from node.core.reasons import Flag, Outage, StudyRefusal
from node.core.records import JobRequest
from node.core.settings import Settings
from node.core.spool import Spool
from node.core.states import JobState, Stage, StudyState

POISON, CONFLICT, SOUND = (f"1.2.826.0.1.3680043.8.498.{digit * 38}" for digit in "678")
LEASE = timedelta(seconds=60)


@dataclass(frozen=True)
class Site:
    """The home that the commands run in."""

    settings: Settings
    ledger: Ledger
    spool: Spool

    def job_of(self, uid: str) -> Any:
        """Return the current job of a study."""
        with self.ledger.transaction() as session:
            return jobs.current(session, uid)

    def state_of(self, uid: str) -> StudyState:
        """Return the state of a study."""
        with self.ledger.transaction() as session:
            return session.get_one(Study, uid).state


@pytest.fixture
def ledger(tmp_path: Path) -> Any:
    """The ledger of the home that `crlm_node` runs in."""
    one = Ledger(f"sqlite:///{tmp_path / 'home' / 'ledger.sqlite'}")
    one.upgrade()
    yield one
    one.close()


@pytest.fixture
def site(
    tmp_path: Path, ledger: Ledger, store: Callable[..., list[str]], request_of: Callable[..., JobRequest]
) -> Site:
    """A poisonous study, one of two patients, and one that was measured."""
    settings = Settings(home=tmp_path / "home")
    spool = Spool(settings.spool_dir)
    spool.prepare()
    seen = {uid: store(uid, 2, uid[-4:], f"{uid[:50]}.1") for uid in (POISON, CONFLICT, SOUND)}
    with ledger.transaction() as session:
        for uid in (POISON, SOUND):
            studies.conclude(session, uid, seen[uid], StudyState.COMPLETE, "quiet, 2 instances")
            job = jobs.enqueue(session, request_of(uid))
            assert job is not None
            jobs.take(session, job.key, Stage.SEGMENT, "gpu1:7", LEASE)
            if uid == SOUND:
                jobs.finish(session, job.key, "gpu1:7")
        error = Unavailable(Outage.ENGINE_MEMORY, "17 GB [limit 16]")
        poisoned = jobs.current(session, POISON)
        assert poisoned is not None
        jobs.try_again(session, poisoned.key, "gpu1:7", error, Patience(2, timedelta(), timedelta()))
        jobs.take(session, poisoned.key, Stage.SEGMENT, "gpu1:8", LEASE)
        jobs.try_again(session, poisoned.key, "gpu1:8", error, Patience(2, timedelta(), timedelta()))
        session.add(StudyFlag(study_uid=POISON, code=Flag.VARIANT_KEPT, at=now(), detail="1.2.3.4"))
        conflict = StudyRefusal.PATIENT_CONFLICT
        studies.conclude(session, CONFLICT, seen[CONFLICT], StudyState.QUARANTINED, conflict.sentence, reason=conflict)
    return Site(settings, ledger, spool)


def flat(text_: str) -> str:
    return " ".join(text_.split())


def shown(draw: Callable[[Console], object]) -> str:
    """Return what is drawn in 80 columns, without colours."""
    console = Console(file=io.StringIO(), width=80, color_system=None)
    draw(console)
    drawn: str = console.file.getvalue()  # type: ignore[attr-defined]
    assert all(len(line.rstrip()) <= 80 for line in drawn.splitlines())
    return drawn


def test_quarantine_lists_what_was_set_aside(site: Site, crlm_node: Callable[..., Any]) -> None:
    """Each with its reason in words, and nothing else; UIDs unbroken in 80 columns."""
    drawn = shown(lambda console: overview.quarantine(console, site.ledger))
    assert [line for line in drawn.splitlines() if line.startswith("1.2")] == [POISON, CONFLICT]
    assert "engine-memory: The segmentation took more memory than its limit and was ended." in flat(drawn)
    assert flat(crlm_node("quarantine", "list").out) == flat(drawn)
    for uid in (POISON, CONFLICT):
        assert crlm_node("quarantine", "release", uid).code == 0
    assert crlm_node("quarantine", "list").out == "No study is in quarantine.\n"


def test_the_evidence_is_shown_with_what_to_do(site: Site, crlm_node: Callable[..., Any]) -> None:
    """What was seen at each attempt, the input, the flags, the cure, and all that happened."""
    done = crlm_node("quarantine", "show", POISON[:-5])
    assert done.code == 0
    drawn = shown(lambda console: overview.evidence(console, site.ledger, POISON))
    assert flat(done.out) == flat(drawn)
    words = flat(drawn)
    for expected in (
        "seen attempt 1 failed: engine-memory: 17 GB [limit 16] attempt 2 failed: engine-memory: 17 GB [limit 16]",
        "2 instances in 1 series from SCANNER",
        "what to do Raise engine_memory_limit_mb, or give it more.",
        "flag variant-kept: 1.2.3.4",
        "failed in segment",
        "complete -> quarantined",
    ):
        assert expected in words, drawn
    assert crlm_node("quarantine", "show", "1.2.8").sentence.startswith("several studies begin with 1.2.8")


def test_release_has_a_study_judged_again(site: Site, crlm_node: Callable[..., Any]) -> None:
    """One sentence, and the study receives again; a second time it does not fit."""
    done = crlm_node("quarantine", "release", CONFLICT, "--cause", "patients merged")
    assert (done.code, done.out) == (0, f"{CONFLICT} is judged again\n")
    assert site.state_of(CONFLICT) is StudyState.RECEIVING
    done = crlm_node("quarantine", "release", CONFLICT)
    assert (done.code, done.sentence) == (1, f"{CONFLICT} is not in quarantine, it is receiving")


def test_delete_asks_and_waits_for_its_time(
    site: Site, crlm_node: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """No answer is no; before its time it is refused with the time; after it, every file is gone."""
    file = site.spool.root / "instances" / f"{CONFLICT[:50]}.1.3.dcm"
    file.write_bytes(b"slice")
    monkeypatch.setattr("sys.stdin", io.StringIO("n\n"))
    assert crlm_node("quarantine", "delete", CONFLICT).code == 130
    done = crlm_node("quarantine", "delete", CONFLICT, "--yes")
    assert done.code == 1
    assert "is kept until" in done.sentence
    assert file.exists()
    monkeypatch.setenv("CRLM_NODE_QUARANTINE_DAYS", "1e-9")
    done = crlm_node("quarantine", "delete", CONFLICT, "--yes", "--cause", "test images")
    assert (done.code, done.out) == (0, f"{CONFLICT}: 2 instances deleted\n")
    assert not file.exists()


def test_replay(site: Site, crlm_node: Callable[..., Any]) -> None:
    """The measured study waits again under its key; one in quarantine is to be released first."""
    before = site.job_of(SOUND)
    done = crlm_node("replay", SOUND, "--cause", "asked by the ward")
    assert (done.code, done.out) == (0, f"{SOUND} is measured again\n")
    after = site.job_of(SOUND)
    assert (after.key, before.state, after.state) == (before.key, JobState.REPORTED, JobState.QUEUED)
    done = crlm_node("replay", POISON)
    assert done.code == 1
    assert "crlm-node quarantine release" in done.sentence


def test_a_paused_queue_stands_in_the_status(site: Site, crlm_node: Callable[..., Any]) -> None:
    """With who and why and how much waits; in 80 columns."""
    assert crlm_node("pause", "measure", "--cause", "disk [new]").out == "measure is paused: crlm-node resume measure\n"
    assert crlm_node("pause", "measure").sentence == "measure is paused already"
    drawn = shown(lambda console: overview.paused(console, site.ledger))
    assert "measure is paused since " in drawn
    assert ", 0 waiting" in drawn
    assert "disk [new]" in drawn
    assert crlm_node("status").out.startswith("measure is paused since ")
    assert crlm_node("resume", "measure").out == "measure goes on\n"
    assert "paused" not in crlm_node("status").out
    with site.ledger.transaction() as session:
        assert queues.paused(session) == {}


def test_status_shows_haste_and_flags(site: Site, crlm_node: Callable[..., Any]) -> None:
    """A STAT job says so, and what a person should look at stands with its sentence."""
    with site.ledger.transaction() as session:
        poisoned = jobs.current(session, POISON)
        assert poisoned is not None
        poisoned.priority = queues.STAT
    words = flat(crlm_node("status", POISON).out)
    assert "job failed, STAT: engine-memory" in words
    assert "flag variant-kept: An instance came again with other content" in words


def test_check_counts_and_names_what_is_wrong(site: Site, crlm_node: Callable[..., Any]) -> None:
    """Rows without files: exit 1, each kind with its count; nothing else is wrong."""
    done = crlm_node("ledger", "check", "--digests")
    assert done.code == 1
    words = flat(done.out)
    assert "3 studies, 6 instances, 2 jobs, 0 files" in words
    assert "6 missing-file The file of an instance is gone." in words
    assert "0 unknown-file" in words
    assert len(done.out.splitlines()) == 1 + 7 + 6


def test_a_ledger_is_made_anew_from_the_spool(
    crlm_node: Callable[..., Any], small_phantom: Any, tmp_path: Path
) -> None:
    """Only an empty one; then the check finds nothing, and a second rebuild is refused."""
    settings = Settings(home=tmp_path / "home")
    spool = Spool(settings.spool_dir)
    spool.prepare()
    from pydicom import dcmread

    for path in (*small_phantom.ct[:5], small_phantom.seg):
        ds = dcmread(path)
        place = spool.instance_path(ds.StudyInstanceUID, ds.SeriesInstanceUID, ds.SOPInstanceUID)
        spool.write(place, path.read_bytes())
    done = crlm_node("ledger", "upgrade")
    assert done.out == "The ledger has the schema of this version, 0004.\n"
    assert crlm_node("ledger", "check").code == 1
    done = crlm_node("ledger", "rebuild")
    assert (done.code, done.out.splitlines()[-1]) == (0, "6 instances entered; the steward judges their studies.")
    assert crlm_node("ledger", "check", "--digests").code == 0
    assert "the ledger holds studies" in crlm_node("ledger", "rebuild").sentence
    with Ledger(settings.ledger).transaction() as session:
        (study,) = studies.find_studies(session)
        assert study.state is StudyState.RECEIVING


@pytest.mark.parametrize("words", ["ledger check", "ledger rebuild", "quarantine list", "replay 1.2", "pause measure"])
def test_another_schema_stops_every_command(words: str, ledger: Ledger, crlm_node: Callable[..., Any]) -> None:
    """An older one is to be migrated, a newer one needs a newer program; and `ledger upgrade` does not go back."""
    for version, cure in (("0001", "crlm-node ledger upgrade"), ("9999", "a newer version of crlm-node made it")):
        with ledger.transaction() as session:
            session.execute(text(f"UPDATE alembic_version SET version_num = '{version}'"))  # noqa: S608 - two constants
        done = crlm_node(*words.split())
        assert done.code == 1
        assert f"the ledger has schema {version}" in done.sentence
        assert cure in done.sentence
    assert "a newer version of crlm-node made it" in crlm_node("ledger", "upgrade").sentence
