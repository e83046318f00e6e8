"""Past studies come from a real Orthanc by C-MOVE: found, fetched, resumed after a kill, and nothing doubled."""

import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from pydicom import dcmread

from node.core.peer import Peer
from node.core.states import StudyState
from node.servers import Orthanc

from .conftest import ID, NAME, Sent, renamed
from .stack import HOST, NODE, PACS, SCANNER, Stack

ARCHIVE = """
[[archives]]
ae_title = "{ae_title}"
host = "127.0.0.1"
port = {port}
"""


class Asynchronous(Orthanc):
    """An Orthanc that answers a C-MOVE first and sends then."""

    def configuration(self) -> dict[str, object]:
        """Return its settings."""
        return {**super().configuration(), "SynchronousCMove": False}


@dataclass
class Backfill:
    """The command as a user starts it, with archives in its settings."""

    config: Path

    def start(self, archive: str, *words: str) -> subprocess.Popen[str]:
        """Start it."""
        command = [sys.executable, "-P", "-m", "node", "--config", str(self.config), "backfill", "--from", archive]
        return subprocess.Popen([*command, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def run(self, archive: str, *words: str, code: int = 0) -> str:
        """Run it to its end and return what it printed; no patient is in it."""
        process = self.start(archive, *words)
        try:
            out, err = process.communicate(timeout=150)
        finally:
            process.kill()
        assert process.returncode == code, out + err
        assert not any(secret in out + err for secret in (NAME, NAME.partition("^")[0], ID))
        return out + err


@pytest.fixture
def backfill(stack: Stack, tmp_path: Path) -> Callable[..., Backfill]:
    """Return a function that writes settings with an archive: the site's own PACS unless said."""

    def make(orthanc: Orthanc | None = None) -> Backfill:
        one = orthanc or stack.orthanc
        config = tmp_path / "backfill.toml"
        site = stack.config.read_text().replace("attempts = 8", "attempts = 2")
        config.write_text(site + ARCHIVE.format(ae_title=one.ae_title, port=one.dicom_port))
        return Backfill(config)

    return make


@pytest.fixture
def past(phantom: Path, tmp_path: Path, request: pytest.FixtureRequest) -> list[Sent]:
    """Three studies of this test alone."""
    return [renamed(phantom, tmp_path / f"study{number}", f"{request.node.name}{number}") for number in range(3)]


@pytest.fixture
def other(stack: Stack, tmp_path: Path) -> Iterator[Callable[..., Orthanc]]:
    """Return a function that starts another Orthanc, which is called as the scanner and so may call us."""
    started: list[Orthanc] = []

    def start(kind: type[Orthanc], *, knows_us: bool) -> Orthanc:
        started.append(kind(tmp_path / "orthanc", SCANNER, {NODE: (HOST, stack.port)} if knows_us else {}))
        started[-1].__enter__()
        return started[-1]

    yield start
    for one in started:
        one.stop()


def give(orthanc: Orthanc, studies: list[Sent]) -> None:
    """Lay studies into an archive, their segmentations with them."""
    for study in studies:
        stored = Peer(orthanc.ae_title, HOST, orthanc.dicom_port, "MODALITY").store([*study.slices, study.seg])
        assert [one.error for one in stored if one.error] == []


def by_uid(studies: list[Sent]) -> tuple[str, str]:
    """Return the words that ask for these studies."""
    return "--query", "StudyInstanceUID=" + "\\".join(one.uid for one in studies)


def slices_of(study: Sent) -> Counter[str]:
    """Return the SOP Instance UIDs of the slices."""
    return Counter(str(dcmread(path, stop_before_pixels=True).SOPInstanceUID) for path in study.slices)


def arrived(stack: Stack, study: Sent) -> Counter[str]:
    """Return what the ledger holds of a study, and how often."""
    return Counter(one.sop_instance_uid for one in stack.instances(study.uid))


def test_past_studies_are_found_and_fetched(stack: Stack, past: list[Sent], backfill: Callable[..., Backfill]) -> None:
    """A dry run shows them and moves nothing; then every slice comes once, no SEG, and each study goes its way."""
    give(stack.orthanc, past)
    command = backfill()
    date = str(dcmread(past[0].slices[0], stop_before_pixels=True).StudyDate)
    asked = ("--query", f"StudyDate={date}", *by_uid(past))
    shown = command.run(PACS, *asked, "--dry-run")
    assert f"3 studies, 3 CT series, {3 * len(past[0].slices)} images" in shown
    assert not any(arrived(stack, study) for study in past)
    said = command.run(PACS, *asked, "--at-once", "2")
    assert said.splitlines()[-1] == "3 found, 3 fetched"
    for study in past:
        assert arrived(stack, study) == slices_of(study)
        view = stack.wait(
            study.uid, lambda view: view.study is not None and view.study.state is not StudyState.RECEIVING
        )
        assert view.study is not None
    again = command.run(PACS, *asked)
    assert again.splitlines()[-1] == "3 found, 0 fetched, 3 held already"
    assert all(arrived(stack, study) == slices_of(study) for study in past)


def test_a_backfill_that_is_killed_goes_on(stack: Stack, past: list[Sent], backfill: Callable[..., Backfill]) -> None:
    """kill -9 while the second study comes: the same command fetches the rest; the first is not asked for again."""
    give(stack.orthanc, past)
    command = backfill()
    words = (*by_uid(past), "--at-once", "9")
    process = command.start(PACS, *words)
    counts: list[int] = []

    def in_the_midst() -> bool:
        counts[:] = sorted(len(stack.instances(study.uid)) for study in past)
        return counts[-1] == len(past[0].slices) and counts[1] > 0

    stack.await_(in_the_midst, "one study is here and another one comes")
    os.kill(process.pid, signal.SIGKILL)
    process.communicate(timeout=30)
    said = command.run(PACS, *words)
    assert said.startswith("Goes on with what was found at ")
    assert "3 found, 3 fetched" in said or "2 fetched, 1 held already" in said
    assert all(arrived(stack, study) == slices_of(study) for study in past)
    assert command.run(PACS, *words).splitlines()[-1] == "3 found, 0 fetched, 3 held already"


def test_an_archive_that_answers_first_and_sends_then(
    stack: Stack, past: list[Sent], backfill: Callable[..., Backfill], other: Callable[..., Orthanc]
) -> None:
    """Its success means nothing yet: a study is fetched when its slices are here, not before."""
    orthanc = other(Asynchronous, knows_us=True)
    give(orthanc, past[:1])
    said = backfill(orthanc).run(SCANNER, *by_uid(past[:1]))
    assert said.splitlines()[-1] == "1 found, 1 fetched"
    assert arrived(stack, past[0]) == slices_of(past[0])


def test_an_orthanc_that_does_not_know_us(
    stack: Stack, past: list[Sent], backfill: Callable[..., Backfill], other: Callable[..., Orthanc]
) -> None:
    """It has no status for that and ends the association: nothing came, and the cause is named all the same."""
    orthanc = other(Orthanc, knows_us=False)
    give(orthanc, past[:1])
    said = backfill(orthanc).run(SCANNER, *by_uid(past[:1]), code=1)
    assert "an Orthanc does so where CRLM_NODE is none of its modalities" in said
    assert not arrived(stack, past[0])
