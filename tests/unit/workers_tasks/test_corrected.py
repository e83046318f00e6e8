"""A corrected segmentation from its arrival to the new result: steward and worker in this process, a real ledger."""

import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from made_seg import drawn, write_seg
from made_series import candidate
from made_series import spool as absolute
from pydicom import Dataset, dcmread

from node.core.codes import Structure
from node.core.ledger import Ledger, deliveries, jobs, studies
from node.core.ledger.tables import Study
from node.core.records import Instance
from node.core.settings import ImportRules, MeasurementSettings, Settings
from node.core.spool import Spool, digest
from node.core.states import DeliveryState, JobState, StudyState
from node.phantom import PhantomFiles
from node.steward import Steward
from workers import analysis, volume
from workers.records import AlgorithmType, Mask
from workers.stored_labels import parse_labels
from workers.tasks import Desk

SCANNER, READER = "SCANNER", "READER"
SETTINGS = MeasurementSettings()


class Site:
    """A node that takes segmentations from the reader alone, and the study that it was given."""

    def __init__(self, settings: Settings, spool: Spool, ledger: Ledger) -> None:
        self.spool, self.ledger = spool, ledger
        self.steward, self.desk = Steward(ledger, spool, settings), Desk(settings, spool, ledger, owner="w1")
        self.study, self.count = "", 0

    def receive(self, paths: Sequence[Path], calling: str) -> None:
        """Take files in as intake does."""
        self.count += 1
        association = f"a{self.count}"
        with self.ledger.transaction() as session:
            studies.open_association(session, association, calling, "127.0.0.1")
            for path in paths:
                ds, content = dcmread(path, stop_before_pixels=True), path.read_bytes()
                self.study, series, uid = ds.StudyInstanceUID, ds.SeriesInstanceUID, ds.SOPInstanceUID
                place = self.spool.instance_path(self.study, series, uid)
                self.spool.write(place, content)
                syntax = str(ds.file_meta.TransferSyntaxUID)
                studies.record_instance(
                    session,
                    Instance(uid, ds.SOPClassUID, syntax, digest(content), place),
                    study_uid=self.study,
                    series_uid=series,
                    association_id=association,
                    calling_ae_title=calling,
                )
            studies.close_association(session, association, "released")

    def settle(self) -> list[str]:
        """Let the study fall quiet and be handed on; return the keys of its jobs, oldest first."""
        time.sleep(0.01)
        self.steward._assembly.round()
        with self.ledger.transaction() as session:
            assert session.get_one(Study, self.study).state is StudyState.COMPLETE
            return [job.key for job in jobs.of_study(session, self.study)]

    def work(self, key: str) -> dict[str, Any]:
        """Do all stages of a job, and return its result.json."""
        self.desk.segment(key)
        self.desk.measure(key)
        self.desk.deliver(key, "folder")
        with self.ledger.transaction() as session:
            assert {one.state for one in deliveries.of_job(session, key)} == {DeliveryState.PROVEN}
        document: dict[str, Any] = json.loads(self.spool.work(key).read("result.json"))
        return document

    def dataset(self, key: str, kind: str) -> Dataset:
        """Read an object of a job."""
        return dcmread(self.spool.root / self.spool.work(key).path / f"{kind}.dcm")


@pytest.fixture
def ledger_url(tmp_path: Path) -> str:
    """A ledger in SQLite alone: that a study reopens in both databases is tested where the ledger is."""
    return f"sqlite:///{tmp_path / 'ledger.sqlite'}"


@pytest.fixture
def site(settings: Settings, spool: Spool, ledger: Ledger) -> Site:
    """A site without a study yet."""
    changes = {"imports": ImportRules(ae_titles=(READER,)), "quiet_time_s": 0.001}
    return Site(settings.model_copy(update=changes), spool, ledger)


def half(mask: Mask) -> Mask:
    """Return the lower half of a mask, by its slices."""
    slices = np.flatnonzero(mask.any(axis=(1, 2)))
    lower = mask.copy()
    lower[slices[len(slices) // 2] :] = False
    return lower


def test_a_corrected_segmentation_is_measured_and_supersedes(
    site: Site, small_phantom: PhantomFiles, tmp_path: Path
) -> None:
    """By hand before a network, of an allowed sender: other numbers, the old result named; what it lacks is kept."""
    site.receive(small_phantom.ct, SCANNER)
    site.receive([small_phantom.seg], READER)
    [old] = site.settle()
    first = site.work(old)
    labels = parse_labels(site.spool.work(old).read(analysis.LABELS))
    liver, lesion = (labels.find(one) for one in (Structure.LIVER, Structure.LESION))
    assert liver is not None
    assert lesion is not None
    shape = labels.geometry.shape
    masks = {Structure.LIVER: half(liver.full(shape)), Structure.LESION: half(lesion.full(shape))}
    in_order = [Path(one.path) for one in volume.read(candidate(small_phantom.ct), absolute(), SETTINGS).instances]
    by_hand = drawn(masks, by=AlgorithmType.MANUAL)
    corrected = write_seg(tmp_path / "corrected.dcm", in_order, labels.geometry, by_hand)

    site.receive([Path(corrected.path)], SCANNER)
    assert site.settle() == [old]  # of a sender who is not allowed: seen, and not imported
    other = write_seg(tmp_path / "allowed.dcm", in_order, labels.geometry, by_hand)
    site.receive([Path(other.path)], READER)
    _, new = site.settle()
    second = site.work(new)

    with site.ledger.transaction() as session:
        states = [job.state for job in jobs.of_study(session, site.study)]
    assert states == [JobState.SUPERSEDED, JobState.REPORTED]
    assert second["revision"] == 2
    assert second["supersedes"]["job"] == old
    named = [one.ReferencedSOPInstanceUID for one in predecessors(site.dataset(new, "sr"))]
    assert sorted(named) == sorted(str(site.dataset(old, kind).SOPInstanceUID) for kind in ("sr", "sr-viewer"))

    voxel_ml = labels.geometry.voxel_volume_ml
    numbers = [{name: one["value"] for name, one in each["measurements"].items()} for each in (first, second)]
    assert numbers[0]["liver.volume"] == pytest.approx(liver.count * voxel_ml)
    assert numbers[1]["liver.volume"] == pytest.approx(masks[Structure.LIVER].sum() * voxel_ml)
    assert numbers[0]["burden.count"] > numbers[1]["burden.count"] == 1
    [one] = second["burden"]["lesions"]
    assert one["volume_ml"] == pytest.approx(masks[Structure.LESION].sum() * voxel_ml)
    kept = ("psoas.left.volume", "psoas.pmvi", "l1.mean_hu")
    assert [numbers[1][name] for name in kept] == [numbers[0][name] for name in kept]

    theirs = str(dcmread(small_phantom.seg, stop_before_pixels=True).SOPInstanceUID)
    origins = {one["structure"]: one["imported_from"] for one in second["quality"]["segmentation"]["segments"]}
    uid = other.sop_instance_uid
    assert (origins["liver"], origins["liver_lesion"], origins["iliopsoas_left"]) == (uid, uid, theirs)
    seg = site.dataset(new, "seg")
    drawn_by = {str(item.SegmentLabel): item.SegmentAlgorithmType for item in seg.SegmentSequence}
    assert (drawn_by["Liver"], drawn_by["Iliopsoas left"]) == ("MANUAL", "AUTOMATIC")
    references = [one.ReferencedInstanceSequence[0].ReferencedSOPInstanceUID for one in seg.ReferencedSeriesSequence]
    assert set(references[1:]) == {theirs, uid}


def predecessors(sr: Dataset) -> list[Dataset]:
    """Return the references of an SR to the documents before it."""
    return [
        one
        for study in sr.PredecessorDocumentsSequence
        for series in study.ReferencedSeriesSequence
        for one in series.ReferencedSOPSequence
    ]
