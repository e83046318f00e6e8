"""A backfill as the command runs it: a stand-in for the archive, our real listener, real associations between them."""

import os
import signal
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import structlog
from pacs import Pacs, serving
from pydicom import Dataset
from pydicom.uid import CTImageStorage, SecondaryCaptureImageStorage, SegmentationStorage

from node import cli
from node.backfill import campaign, fetching
from node.core.ledger import audit
from node.core.ledger.tables import Audit
from node.core.settings import CallingPeer

from .conftest import Site
from .sender import ct_slice

CONFIG = """
home = "{home}"
ae_title = "NODE"
port = {port}
retry_base_s = 0.05
attempts = 2
spool_low_mb = 0

[[calling]]
ae_title = "{caller}"
hosts = ["{host}"]

[[archives]]
ae_title = "PACS"
host = "127.0.0.1"
port = {archive}
"""
DATES = ("--query", "StudyDate=20240101-20240131", "--at-once", "99")


@dataclass
class Done:
    """How the command ended."""

    code: int
    out: str
    err: str


@dataclass
class Backfill:
    """The command, its archive, and the listener that the archive sends to."""

    pacs: Pacs
    site: Site
    config: Path
    run: Callable[..., Done]

    def here(self) -> set[str]:
        """Return the SOP Instance UIDs that the ledger holds and that lie in the spool."""
        return {path.stem for path in self.site.files() if self.site.row(path.stem)}

    def trail(self) -> list[Audit]:
        """Return the audit trail."""
        with self.site.ledger.transaction() as session:
            return list(audit.rows(session))

    def write_config(self, caller: str = "PACS", host: str = "127.0.0.1") -> None:
        """Write the settings of the command."""
        values = {"home": self.site.settings.home, "port": self.site.port, "archive": self.pacs.port}
        self.config.write_text(CONFIG.format(caller=caller, host=host, **values))


def study(number: int, slices: int = 3) -> list[Dataset]:
    """Return the objects of a study: a CT series, a protocol sheet in a CT series, and one of our own SEG."""
    uid = f"1.2.{number}"
    made = [
        ct_slice(StudyInstanceUID=uid, SeriesInstanceUID=f"{uid}.1", SOPInstanceUID=f"{uid}.1.{slice_}")
        for slice_ in range(slices)
    ]
    made.append(_other(uid, "2", SecondaryCaptureImageStorage, "CT"))
    made.append(_other(uid, "3", SegmentationStorage, "SEG"))
    return made


def _other(uid: str, series: str, sop_class: str, modality: str) -> Dataset:
    name = f"{uid}.{series}"
    return ct_slice(
        StudyInstanceUID=uid,
        SeriesInstanceUID=name,
        SOPInstanceUID=f"{name}.0",
        SOPClassUID=sop_class,
        Modality=modality,
    )


def listing(one: Dataset) -> Dataset:
    """Return what a query answers of an object."""
    ds = Dataset()
    for keyword in ("SOPInstanceUID", "SOPClassUID", "SeriesInstanceUID", "StudyInstanceUID", "Modality"):
        setattr(ds, keyword, one.get(keyword))
    ds.StudyDate, ds.StudyTime, ds.StudyDescription, ds.SeriesDescription = "20240115", "101500", "CT Abdomen", "pv"
    ds.PatientName, ds.PatientID, ds.ModalitiesInStudy = "SECRET^NAME", "SECRET-ID", ["CT", "SEG"]
    ds.NumberOfSeriesRelatedInstances = 3
    return ds


def hold(pacs: Pacs, numbers: range) -> None:
    """Have the archive hold studies."""
    pacs.held = [one for number in numbers for one in study(number)]
    pacs.listed = [listing(one) for one in pacs.held]


@pytest.fixture
def backfill(
    open_site: Callable[..., Site],
    free_port: Callable[[], int],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Iterator[Backfill]:
    """A backfill over two studies."""
    site = open_site(calling=(CallingPeer(ae_title="PACS", hosts=("127.0.0.1",)),))
    config = tmp_path / "config.toml"

    def run(*words: object) -> Done:
        monkeypatch.setattr(sys, "argv", ["crlm-node", "--config", str(config), "backfill", *map(str, words)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            cli.main()
        printed = capsys.readouterr()
        assert "SECRET" not in printed.out + printed.err
        return Done(int(ended.value.code or 0), printed.out, printed.err)

    with serving(Pacs(free_port(), knows={"NODE": site.port}), []) as pacs:
        hold(pacs, range(1, 3))
        one = Backfill(pacs, site, config, run)
        one.write_config()
        yield one
    structlog.reset_defaults()


WANTED = {f"1.2.{number}.1.{slice_}" for number in (1, 2) for slice_ in range(3)}


def test_ct_series_are_fetched_and_nothing_else(backfill: Backfill) -> None:
    """Every CT image is here; what is no CT image was not even asked for; who asked whom is in the trail."""
    done = backfill.run("--from", "PACS", *DATES)
    assert done.code == 0, done.out + done.err
    assert backfill.here() == WANTED
    assert {one.SeriesInstanceUID for one in backfill.pacs.moves} == {"1.2.1.1", "1.2.2.1"}
    assert done.out.splitlines()[-1] == "2 found, 2 fetched"
    asked, begun, ended = [row for row in backfill.trail() if row.detail.startswith("backfill")]
    assert (asked.event, asked.user_id, asked.host) == ("110112", "PACS", "127.0.0.1")
    assert asked.detail.endswith(": 1 queries, 2 studies")
    assert "2 found, 2 fetched, 0 held already, 0 no CT image, 0 failed, 0 not yet" in ended.detail
    assert not any("SECRET" in row.detail for row in backfill.trail())
    assert begun.outcome == ended.outcome == 0


def test_the_same_command_again_doubles_nothing(backfill: Backfill) -> None:
    """A backfill that has ended is searched for anew: what is here is not moved, and a study that is new is."""
    backfill.run("--from", "PACS", *DATES)
    hold(backfill.pacs, range(1, 4))
    moved = len(backfill.pacs.moves)
    done = backfill.run("--from", "PACS", *DATES)
    assert (done.code, done.out.splitlines()[-1]) == (0, "3 found, 1 fetched, 2 held already")
    assert [one.StudyInstanceUID for one in backfill.pacs.moves[moved:]] == ["1.2.3"]


def test_half_a_series_is_completed(backfill: Backfill) -> None:
    """Of a series one slice is here: it is fetched, and the slices that are new are counted."""
    backfill.pacs.listed = [one for one in backfill.pacs.listed if one.SOPInstanceUID == "1.2.1.1.0"]
    held, backfill.pacs.held = backfill.pacs.held, [backfill.pacs.held[0]]
    assert backfill.run("--from", "PACS", *DATES).code == 0
    assert backfill.here() == {"1.2.1.1.0"}
    backfill.pacs.held = held
    backfill.pacs.listed = [listing(one) for one in held]
    done = backfill.run("--from", "PACS", *DATES)
    assert "1.2.1 fetched, 2 instances" in done.out
    assert backfill.here() == WANTED


def test_a_dry_run_shows_and_fetches_nothing(backfill: Backfill) -> None:
    """Date, description, CT series with their images, and how many are here; the query is in the trail."""
    done = backfill.run("--from", "PACS", *DATES, "--dry-run")
    assert done.code == 0
    assert done.out.count("20240115") == 2
    assert "CT Abdomen" in done.out
    assert "2 studies, 4 CT series, 12 images" in done.out
    assert backfill.pacs.moves == []
    assert [row.event for row in backfill.trail()] == ["110112"]
    assert not (backfill.site.settings.home / "backfill").exists()


def test_a_study_without_ct_images_is_told_apart(backfill: Backfill) -> None:
    """Nothing of it is asked for, and it is no failure."""
    backfill.pacs.listed = [one for one in backfill.pacs.listed if one.SOPClassUID != CTImageStorage]
    done = backfill.run("--from", "PACS", *DATES)
    assert (done.code, done.out.splitlines()[-1]) == (0, "2 found, 0 fetched, 2 no CT image")
    assert backfill.pacs.moves == []


def test_an_archive_that_lists_no_images_is_taken_by_its_word(backfill: Backfill) -> None:
    """Some answer no query at IMAGE level: their CT series are moved, what comes is counted, and once is enough."""
    backfill.pacs.unlisted = ("IMAGE",)
    backfill.pacs.held = [one for one in backfill.pacs.held if one.SOPClassUID == CTImageStorage]
    backfill.pacs.listed = [listing(one) for one in backfill.pacs.held]
    done = backfill.run("--from", "PACS", *DATES)
    assert (done.code, done.out.splitlines()[-1]) == (0, "2 found, 2 fetched")
    assert backfill.here() == WANTED
    done = backfill.run("--from", "PACS", *DATES)
    assert (done.code, done.out.splitlines()[-1]) == (0, "2 found, 0 fetched, 2 held already")
    assert len(backfill.pacs.moves) == 2


def test_a_fault_where_no_images_are_listed_is_a_failure(backfill: Backfill) -> None:
    """One of two series of a study fails and the other comes: with nothing to hold it against, the fault decides."""
    backfill.pacs.unlisted = ("IMAGE",)
    backfill.pacs.held = [
        ct_slice(StudyInstanceUID="1.2.1", SeriesInstanceUID=f"1.2.1.{n}", SOPInstanceUID=f"1.2.1.{n}.0")
        for n in (1, 2)
    ]
    backfill.pacs.listed = [listing(one) for one in backfill.pacs.held]
    backfill.pacs.move_statuses = [0xC001, 0, 0xC001, 0]
    done = backfill.run("--from", "PACS", *DATES)
    assert (done.code, done.out.splitlines()[-1]) == (1, "1 found, 0 fetched, 1 failed")
    assert backfill.here() == {"1.2.1.2.0"}


def test_a_move_that_fails_once_is_tried_again(backfill: Backfill) -> None:
    """After all others were tried; then nothing is missing."""
    backfill.pacs.move_statuses = [0xA702, 0]
    done = backfill.run("--from", "PACS", *DATES)
    assert done.code == 0
    assert [one.StudyInstanceUID for one in backfill.pacs.moves] == ["1.2.1", "1.2.2", "1.2.1"]
    assert "could not send the objects to us" in done.out
    assert done.out.splitlines()[-1] == "2 found, 2 fetched"


def test_a_move_that_always_fails_ends_with_its_reason(backfill: Backfill) -> None:
    """Each study is tried as often as the setting says; the next run tries again and fetches."""
    backfill.pacs.move_statuses = [0xA702] * 4
    done = backfill.run("--from", "PACS", *DATES)
    assert (done.code, len(backfill.pacs.moves)) == (1, 4)
    assert done.out.splitlines()[-1] == "2 found, 0 fetched, 2 failed"
    reason = "C-MOVE answered A702, out of resources: it could not send the objects to us (3 of 3 failed); "
    assert f"{reason}3 of 3 CT images did not come" in done.out
    assert backfill.trail()[-1].outcome == 4
    done = backfill.run("--from", "PACS", *DATES)
    assert (done.code, done.out.splitlines()[-1]) == (0, "2 found, 2 fetched")
    assert done.out.startswith("Goes on with what was found at ")


def test_a_success_after_which_something_is_missing_is_none(
    backfill: Backfill, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The archive says that all was sent and lists a slice that never came: the study has failed, and says how many."""
    monkeypatch.setattr(fetching, "ARRIVAL_PATIENCE_S", 0.3)
    del backfill.pacs.held[0]
    done = backfill.run("--from", "PACS", *DATES)
    assert (done.code, done.out.splitlines()[-1]) == (1, "2 found, 1 fetched, 1 failed")
    assert "failed 20240115 1.2.1: 1 of 3 CT images did not come" in done.out


def test_five_failures_in_a_row_end_it(backfill: Backfill) -> None:
    """The cause is then not the studies: the archive is left in peace, and what was not tried is still open."""
    hold(backfill.pacs, range(1, 9))
    backfill.pacs.move_statuses = [0xC001] * 20
    done = backfill.run("--from", "PACS", *DATES)
    assert (done.code, len(backfill.pacs.moves)) == (1, campaign.FAILURES)
    assert "5 studies failed one after the other, the last one: C-MOVE answered C001, unable to process" in done.err
    assert done.out.splitlines()[-1] == "8 found, 0 fetched, 5 failed, 3 not yet"


def test_an_archive_that_does_not_know_us_is_said_at_once(backfill: Backfill) -> None:
    """What its administrator has to enter: AE title, machine, port; no second study is asked for."""
    backfill.pacs.knows = {}
    done = backfill.run("--from", "PACS", *DATES)
    assert (done.code, len(backfill.pacs.moves)) == (1, 1)
    assert f"enter the AE title NODE with the address of this machine and port {backfill.site.port}" in done.err


def test_an_archive_that_goes_away_is_waited_for(backfill: Backfill, monkeypatch: pytest.MonkeyPatch) -> None:
    """Longer and longer, then the backfill ends and says why; no study is counted as failed."""
    monkeypatch.setattr(campaign, "OUTAGES", 3)
    seen = []
    inquiring = fetching.Peer.inquiring

    def gone(peer: fetching.Peer, *, moving: bool = False) -> object:
        seen.append(moving)
        dead = fetching.Peer(peer.ae_title, peer.host, 1, peer.calling_ae_title) if moving else peer
        return inquiring(dead, moving=moving)

    monkeypatch.setattr(fetching.Peer, "inquiring", gone)
    done = backfill.run("--from", "PACS", *DATES)
    assert (done.code, seen.count(True)) == (1, 3)
    assert "connection refused" in done.err
    assert "waits 0 s: PACS@127.0.0.1:1: connection refused" in done.out
    assert done.out.splitlines()[-1] == "2 found, 0 fetched, 2 not yet"


def test_a_signal_cancels_the_move_and_the_next_run_goes_on(backfill: Backfill) -> None:
    """SIGINT while a series comes: C-CANCEL, a summary, exit 130; the study is fetched whole by the next run."""
    backfill.pacs.move_pause_s = 0.3
    backfill.pacs.moves = watch = _Interrupting()
    done = backfill.run("--from", "PACS", *DATES)
    assert (done.code, len(watch)) == (130, 1)
    assert "Stopped: the same command goes on here." in done.out
    assert "2 found, 0 fetched, 2 not yet" in done.out
    backfill.pacs.moves, backfill.pacs.move_pause_s = [], 0.0
    done = backfill.run("--from", "PACS", *DATES)
    assert (done.code, done.out.splitlines()[-1]) == (0, "2 found, 2 fetched")
    assert backfill.here() == WANTED


def test_a_search_has_patience_with_an_archive_that_has_answered(backfill: Backfill) -> None:
    """Of a range of months one query fails once: it is asked again; one that fails at the first is told at once."""
    months = ("--query", "StudyDate=20231101-20240131", "--at-once", "99")
    backfill.pacs.find_failures = {2}
    done = backfill.run("--from", "PACS", *months)
    assert (done.code, done.out.splitlines()[-1]) == (0, "2 found, 2 fetched")
    backfill.pacs.find_failures, backfill.pacs.queries = {1}, []
    done = backfill.run("--from", "PACS", *months)
    assert (done.code, len(backfill.pacs.queries)) == (1, 1)
    assert "C-FIND answered C001, cannot understand" in done.err
    last = backfill.trail()[-1]
    assert (last.event, last.outcome, last.detail.endswith(": 0 queries, 0 studies")) == ("110112", 8, True)


class _Interrupting(list[Dataset]):
    """A list of moves that interrupts this process when the first one is asked for."""

    def append(self, one: Dataset) -> None:
        super().append(one)
        os.kill(os.getpid(), signal.SIGINT)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--from", "OTHER", *DATES], "OTHER is none of the archives: PACS"),
        (["--from", "PACS"], "nothing bounds the query"),
        (["--from", "PACS", *DATES, "--between", "20-06"], "a window is HH:MM-HH:MM"),
        (["--from", "PACS", *DATES, "--query", "Pixels=1"], "Pixels is no attribute"),
        (["--from", "PACS", *DATES, "--patients", "nowhere"], "does not exist"),
    ],
)
def test_wrong_use(backfill: Backfill, words: list[str], said: str) -> None:
    """Exit 2 and one sentence, before the archive is asked for anything."""
    done = backfill.run(*words)
    assert done.code == 2
    assert said in done.err
    assert backfill.pacs.associations == 0


def test_an_archive_that_may_not_call_us(backfill: Backfill) -> None:
    """It could send nothing: said before anything is asked, with what is missing in our own settings."""
    backfill.write_config(caller="OTHER")
    done = backfill.run("--from", "PACS", *DATES)
    assert (done.code, "name it under [[calling]]" in done.err) == (2, True)
    backfill.write_config(host="192.0.2.1")
    done = backfill.run("--from", "PACS", *DATES)
    assert (done.code, "from 192.0.2.1 and not from 127.0.0.1" in done.err) == (2, True)
    assert backfill.pacs.associations == 0
