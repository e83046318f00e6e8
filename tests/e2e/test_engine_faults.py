"""Faults of the segmentation process in a running site: the job is tried again or fails visibly, and the next one goes.

CT comes without a segmentation, so that networks must run: TotalSegmentator on stand-in weights, and the demonstration
model. The worker is the same process before and after, and the engine leaves no temporary file. An engine takes seconds
to import its libraries: one that a test leaves warm, the next one uses.
"""

import importlib.util
import json
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest
from pydicom import dcmread

from node.core.reasons import Outage, StudyRefusal
from node.core.states import JobState, StudyState
from node.servers import CannotStart, Orthanc
from workers.segmentation import data_sets, manifest

from .conftest import Sent, renamed, send_all
from .stack import SCANNER, Stack, View

MODELS = Path(__file__).parents[2] / "models"
ATTEMPTS = 2
PATIENCE_S = 400.0
"""Networks load and run in seconds; a machine that is shared may need minutes."""
ENGINE = "workers.engine"

pytestmark = pytest.mark.timeout(1800)


@pytest.fixture(scope="module", autouse=True)
def _components(lacking: Callable[[str], None]) -> None:
    for module in ("torch", "nnunetv2", "totalsegmentator"):
        if importlib.util.find_spec(module) is None:
            lacking(module)
    if not Orthanc.available():
        lacking("Orthanc")


@dataclass
class Site:
    """A running site that segments by networks, and the folder of the weights that it uses."""

    stack: Stack
    weights: Path
    checkpoint: str
    scratch: Path

    @property
    def worker(self) -> psutil.Process:
        """The worker of the segmentation queue."""
        return psutil.Process(self.stack.crew.pids["worker-segment"])

    @property
    def engine(self) -> psutil.Process:
        """Its segmentation process, which must be there."""
        [found] = self.engines()
        return found

    def engines(self) -> list[psutil.Process]:
        """The segmentation processes below the worker: one or none."""
        return [one for one in self.worker.children(recursive=True) if ENGINE in " ".join(one.cmdline())]

    def send(self, study: Sent) -> None:
        """Send a study without its segmentation."""
        self.stack.give(study.slices, SCANNER)

    def ends(self, study: Sent) -> View:
        """Wait until the job of a study is reported or has failed."""
        ended = (JobState.REPORTED, JobState.FAILED)
        return self.stack.wait(study.uid, lambda view: bool(view.jobs) and view.job.state in ended, PATIENCE_S)

    def measured(self, study: Sent) -> View:
        """Send a study and wait for its numbers."""
        self.send(study)
        view = self.ends(study)
        assert (view.job.state, view.job.reason) == (JobState.REPORTED, None), view
        return view

    @contextmanager
    def limited(self, line: str) -> Iterator[None]:
        """Have the worker of the segmentation queue work with one more setting."""
        config = self.stack.config.read_text()
        try:
            self.stack.config.write_text(f"{line}\n{config}")
            self.stack.restart("worker-segment")
            yield
        finally:
            self.stack.config.write_text(config)
            self.stack.restart("worker-segment")


@contextmanager
def running(folder: Path, weights: Path, checkpoint: str, *lines: str) -> Iterator[Site]:
    """Run a site with more settings, its temporary files in a folder of its own."""
    stack = Stack(folder)
    text = stack.config.read_text().replace("attempts = 8", f"attempts = {ATTEMPTS}")
    text = re.sub(r"models_dir = .*\n", "", text)
    measurement = '\n[measurement]\nsegmentation_resolution = "3mm"\n'
    stack.config.write_text("\n".join([*lines, text, measurement]))
    scratch = folder / "scratch"
    scratch.mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TMPDIR", str(scratch))
        try:
            stack.start()
            yield Site(stack, weights, checkpoint, scratch)
        except CannotStart as error:
            pytest.fail(str(error))
        finally:
            stack.stop()
    assert list(scratch.glob("crlm-engine-*")) == [], "the engine left its temporary files"


@pytest.fixture(scope="module")
def stand_ins(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Stand-in weights of TotalSegmentator at 3 mm."""
    from workers.training.standins.banded import write_banded

    folder = tmp_path_factory.mktemp("weights") / "banded"
    known = {name for task in data_sets.tasks("iliopsoas") for name in task.structures}
    write_banded(folder, data_sets.required(fast=True), known)
    return folder


@pytest.fixture(scope="module", params=["TotalSegmentator", "demonstration model"])
def site(
    request: pytest.FixtureRequest,
    stand_ins: Path,
    tmp_path_factory: pytest.TempPathFactory,
    lacking: Callable[[str], None],
) -> Iterator[Site]:
    """A site whose networks are TotalSegmentator's, then one that has the demonstration model alone."""
    folder = tmp_path_factory.mktemp("site")
    weights, models = folder / "weights", folder / "models"
    if request.param == "TotalSegmentator":
        shutil.copytree(stand_ins, weights)
        models.mkdir()
        [checkpoint] = [one.files[-1] for one in data_sets.required(fast=True) if len(one.labels) > 100]
        used = weights
    else:
        if not (MODELS / "demo").is_dir():
            lacking("models/demo")
        shutil.copytree(MODELS, models)
        used, checkpoint = models / "demo", "structures/fold_0/weights.npz"
    with running(folder, used, checkpoint, f'weights_dir = "{weights}"', f'models_dir = "{models}"') as made:
        yield made


@pytest.fixture(scope="module")
def middle(phantom: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of the abdomen's middle, which holds muscles and bone: as little as takes a network little time."""
    folder = tmp_path_factory.mktemp("middle")
    (folder / "ct").mkdir()
    slices = sorted((phantom / "ct").iterdir())
    half = len(slices) // 2
    for path in slices[half - 8 : half + 8]:
        _cut(path, folder / "ct")
    shutil.copy(phantom / "seg.dcm", folder)
    return folder


@pytest.fixture
def another(middle: Path, tmp_path: Path, request: pytest.FixtureRequest) -> Sent:
    """One more study of this test alone."""
    return _synthetic(renamed(middle, tmp_path / "another", f"another of {request.node.name}"))


@pytest.fixture
def study(middle: Path, tmp_path: Path, request: pytest.FixtureRequest) -> Sent:
    """A study of this test alone, which the demonstration model takes."""
    return _synthetic(renamed(middle, tmp_path / "study", request.node.name))


@pytest.fixture
def whole(phantom: Path, tmp_path: Path, request: pytest.FixtureRequest) -> Sent:
    """A study of this test alone that its segmentation fits."""
    return renamed(phantom, tmp_path / "whole", f"whole of {request.node.name}")


def _synthetic(sent: Sent) -> Sent:
    """Give a study a patient that says what it is."""
    for path in sent.slices:
        ds = dcmread(path)
        ds.PatientID = "PHANTOM-FAULTS"
        ds.save_as(path)
    return sent


def _cut(path: Path, folder: Path) -> None:
    """Copy the middle of a slice."""
    ds = dcmread(path)
    rows, columns = slice(8, 44), slice(10, 46)
    x, y, z = ds.ImagePositionPatient
    ds.ImagePositionPatient = [x + columns.start * ds.PixelSpacing[1], y + rows.start * ds.PixelSpacing[0], z]
    ds.PixelData = ds.pixel_array[rows, columns].tobytes()
    ds.Rows, ds.Columns = rows.stop - rows.start, columns.stop - columns.start
    ds.save_as(folder / path.name)


@pytest.mark.parametrize("fault", ["missing", "changed", "corrupt"])
def test_weights_that_cannot_be_used(site: Site, fault: str, study: Sent, another: Sent) -> None:
    """Missing: the study is refused. Changed, or vouched for and corrupt: quarantined. Mended: the next is measured."""
    worker = site.worker
    for engine in site.engines():  # what was proven and loaded stays good: look at the files anew
        engine.kill()
    path, listed = site.weights / site.checkpoint, site.weights / manifest.NAME
    whole, vouched = path.read_bytes(), listed.read_bytes()
    try:
        if fault == "missing":
            path.unlink()
        else:
            path.write_bytes(whole[:-400])
        if fault == "corrupt":
            content = json.loads(vouched)
            content["files"][site.checkpoint] = manifest.entry(path)
            listed.write_text(json.dumps(content))
        site.send(study)
        view = site.ends(study)
    finally:
        path.write_bytes(whole)
        listed.write_bytes(vouched)
    assert view.study is not None
    if fault == "missing":
        assert (view.job.state, view.study.state) == (JobState.REPORTED, StudyState.NOT_ANALYSABLE), view
        assert view.study.reason == StudyRefusal.WEIGHTS_MISSING
    else:
        assert (view.job.state, view.study.state) == (JobState.FAILED, StudyState.QUARANTINED), view
        assert view.study.reason == StudyRefusal.INPUT_UNTRUSTED
    assert view.study.reason in site.stack.cli("status", study.uid, code=int(view.job.state is JobState.FAILED))
    site.measured(another)
    assert site.worker == worker


def test_killed_while_it_segments(site: Site, study: Sent, another: Sent) -> None:
    """kill -9 in the middle of a forward pass: `engine-lost` is in the history; tried again, the job is reported."""
    if not site.engines():
        site.measured(another)
    worker, engine = site.worker, site.engine
    before = sum(engine.cpu_times()[:2])
    site.send(study)
    site.stack.await_(lambda: sum(engine.cpu_times()[:2]) > before + 0.05, "the network works", PATIENCE_S)
    engine.kill()
    view = site.ends(study)
    assert (view.job.state, view.job.reason) == (JobState.REPORTED, None), view
    causes = site.stack.causes(study.uid)
    assert any(Outage.ENGINE_LOST in cause for cause in causes), causes
    assert site.worker == worker
    assert site.engine != engine


@pytest.mark.parametrize("site", ["TotalSegmentator"], indirect=True)
@pytest.mark.parametrize(
    ("line", "code"),
    [
        ("engine_memory_limit_mb = 150", Outage.ENGINE_MEMORY),
        ("engine_time_limit_s = 1.0", Outage.ENGINE_TIMEOUT),
        ('device = "gpu:99"', Outage.DEVICE_MISSING),
    ],
    ids=["memory", "time", "device"],
)
def test_limits_that_no_attempt_can_keep(site: Site, line: str, code: Outage, study: Sent, whole: Sent) -> None:
    """Every attempt ends at the limit: the job fails where a person sees it, and a study with its SEG is measured."""
    with site.limited(line):
        worker = site.worker
        site.send(study)
        view = site.ends(study)
        assert (view.job.state, view.job.reason, view.job.attempts) == (JobState.FAILED, code, ATTEMPTS), view
        assert site.engines() == []
        assert code in site.stack.cli("status", study.uid, code=1)
        send_all(site.stack, whole)
        site.stack.wait(whole.uid)
        assert site.worker == worker
