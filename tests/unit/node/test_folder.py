import shutil
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from made_enhanced import enhance
from made_series import write_series
from pydicom import Dataset
from pydicom.fileset import FileSet
from pydicom.uid import SegmentationStorage

from node.core.errors import Refused
from node.core.reasons import DoorRefusal, NotComputed, StudyRefusal
from node.core.records import HeightSource, JobRequest
from node.core.settings import ImportRules, Settings
from node.folder import WrongFolder, request_for_folder

Datasets = Callable[..., list[Dataset]]
Write = Callable[[Path, Sequence[Dataset]], list[Path]]

AT = datetime.fromisoformat("2026-11-21T12:00:00")


@pytest.fixture
def seg(series: Datasets) -> Callable[..., list[Dataset]]:
    """Return a function that makes a SEG instance."""

    def make(uid: str = "1.2.3.8", **attributes: Any) -> list[Dataset]:
        given = {"SOPClassUID": SegmentationStorage, "Modality": "SEG", "ImagePositionPatient": None, **attributes}
        return series(uid, 1, **given)

    return make


def ask(folder: Path, seg: Path | None = None, **settings: Any) -> JobRequest:
    return request_for_folder(folder, seg, Settings(**settings), now=AT)


def test_a_folder_becomes_a_request_with_absolute_paths(
    tmp_path: Path, series: Datasets, write_files: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Files anywhere below the folder are found, and the request is good from any working folder."""
    write_files(tmp_path / "study" / "a" / "b", series("1.2.3.1", 20))
    write_files(tmp_path / "study" / "c", series("1.2.3.2", 30))
    monkeypatch.chdir(tmp_path)
    request = ask(Path("study"))
    assert [one.series_instance_uid for one in request.candidates] == ["1.2.3.2", "1.2.3.1"]
    paths = [Path(one.path) for candidate in request.candidates for one in candidate.instances]
    assert all(path.is_absolute() and path.exists() for path in paths)
    assert (request.study_instance_uid, request.requested_at, request.left_out) == ("1.2.3", AT, ())
    assert request.facts.height_m == 1.75


def test_the_key_does_not_depend_on_where_the_folder_is(tmp_path: Path, series: Datasets, write_files: Write) -> None:
    """The same files elsewhere, under other names, are the same analysis."""
    for path in write_files(tmp_path / "one", series()):
        target = tmp_path / "two" / "deep" / path.name[::-1]
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, target)
    assert ask(tmp_path / "one").key == ask(tmp_path / "two").key


def test_files_that_cannot_be_read_are_listed_with_their_reason(
    tmp_path: Path, series: Datasets, write_files: Write
) -> None:
    """Nothing is passed over in silence: text, a cut file, a file without UIDs; the good series is measured."""
    paths = write_files(tmp_path, series(count=12))
    (tmp_path / "notes.txt").write_text("no DICOM")
    paths[11].write_bytes(paths[11].read_bytes()[:-100])
    write_files(tmp_path / "odd", series("1.2.3.5", 1, StudyInstanceUID=None))
    (tmp_path / "broken-link").symlink_to(tmp_path / "nowhere")
    request = ask(tmp_path)
    assert len(request.candidates[0].instances) == 11
    listed = {one.description: one.why for one in request.left_out}
    assert set(listed) == {"notes.txt", paths[11].name, "odd/1.2.3.5.1.dcm", "broken-link"}
    assert "cannot be parsed" in listed["notes.txt"]
    assert "ends before its pixel data" in listed[paths[11].name]
    assert "A UID of the instance is missing" in listed["odd/1.2.3.5.1.dcm"]


def test_a_dicomdir_is_no_image(tmp_path: Path, series: Datasets, write_files: Write) -> None:
    """The directory file of a CD is passed over."""
    files = FileSet()
    needed = {"StudyDate": "20261121", "StudyTime": "120000", "StudyID": "1", "InstanceNumber": lambda index: index + 1}
    for path in write_files(tmp_path / "raw", series(count=12, **needed)):
        files.add(path)
    files.write(tmp_path / "cd")
    request = ask(tmp_path / "cd")
    assert (tmp_path / "cd" / "DICOMDIR").exists()
    assert len(request.candidates[0].instances) == 12
    assert request.left_out == ()


def test_copies_count_once(tmp_path: Path, series: Datasets, write_files: Write) -> None:
    """A file that lies there twice is one slice, not two at one position."""
    write_files(tmp_path / "a", series())
    write_files(tmp_path / "b", series())
    assert len(ask(tmp_path).candidates[0].instances) == 12


def test_two_files_of_one_uid_are_not_trusted(tmp_path: Path, series: Datasets, write_files: Write) -> None:
    """Other content under the same SOP Instance UID: nobody knows which one is meant."""
    write_files(tmp_path / "a", series())
    write_files(tmp_path / "b", series(count=1, PixelData=bytes([7]) * 128))
    refusal = ask(tmp_path).refusal
    assert refusal is not None
    assert refusal.code is StudyRefusal.INPUT_UNTRUSTED


def test_two_patients_are_not_measured_together(tmp_path: Path, series: Datasets, write_files: Write) -> None:
    """The same check as for received studies."""
    write_files(tmp_path, series(PatientID=lambda index: "P2" if index == 3 else "P1"))
    refusal = ask(tmp_path).refusal
    assert refusal is not None
    assert refusal.code is StudyRefusal.PATIENT_CONFLICT


def test_several_studies_are_named(tmp_path: Path, series: Datasets, write_files: Write) -> None:
    """The user passes one; the message says which there are."""
    write_files(tmp_path, series())
    write_files(tmp_path, series("1.2.4.1", 12, study="1.2.4"))
    with pytest.raises(WrongFolder, match=r"holds 2 studies.*1\.2\.3, 1\.2\.4"):
        ask(tmp_path)


@pytest.mark.parametrize("content", [None, b"no DICOM"])
def test_a_folder_without_dicom_is_wrong_use(tmp_path: Path, content: bytes | None) -> None:
    """An empty folder, one without a DICOM file, or a name that is no folder."""
    if content:
        (tmp_path / "file").write_bytes(content)
    with pytest.raises(WrongFolder, match="holds no readable DICOM file"):
        ask(tmp_path)
    with pytest.raises(WrongFolder, match="is not a folder"):
        ask(tmp_path / "file")


def test_one_slice_is_too_few(tmp_path: Path, series: Datasets, write_files: Write) -> None:
    """The refusal has its code, for result.json."""
    write_files(tmp_path, series(count=1))
    refusal = ask(tmp_path).refusal
    assert refusal is not None
    assert refusal.code is StudyRefusal.TOO_FEW_SLICES


class TestSegmentation:
    """What is imported, with `--seg` and without."""

    def test_the_rules_hold_for_a_folder_too(
        self, tmp_path: Path, series: Datasets, seg: Datasets, write_files: Write
    ) -> None:
        """By manufacturer; an AE title allows nothing, because a file has no sender."""
        write_files(tmp_path, [*series(), *seg(Manufacturer="QIICR")])
        assert ask(tmp_path).segmentations == ()
        assert ask(tmp_path, imports=ImportRules(ae_titles=("QIICR",))).segmentations == ()
        allowed = ask(tmp_path, imports=ImportRules(manufacturers=("QIICR",)))
        assert [one.sop_instance_uid for one in allowed.segmentations] == ["1.2.3.8.1"]

    def test_a_named_one_is_taken_from_anywhere(
        self, tmp_path: Path, series: Datasets, seg: Datasets, write_files: Write
    ) -> None:
        """`--seg` is explicit: no rule is asked, and it may lie outside the folder."""
        write_files(tmp_path / "ct", series())
        (path,) = write_files(tmp_path / "elsewhere", seg())
        request = ask(tmp_path / "ct", path)
        assert [one.path for one in request.segmentations] == [str(path)]
        assert request.left_out == ()

    def test_a_named_one_within_the_folder_counts_once(
        self, tmp_path: Path, series: Datasets, seg: Datasets, write_files: Write
    ) -> None:
        """The named file is found by the search too; the others of the folder are left out, said so."""
        write_files(tmp_path, series())
        (path,) = write_files(tmp_path, seg())
        write_files(tmp_path, seg("1.2.3.9", Manufacturer="QIICR"))
        request = ask(tmp_path, path, imports=ImportRules(manufacturers=("QIICR",)))
        assert [one.sop_instance_uid for one in request.segmentations] == ["1.2.3.8.1"]
        assert [(one.series_instance_uid, one.why) for one in request.left_out] == [
            ("1.2.3.9", "another segmentation was named")
        ]

    def test_a_named_copy_of_one_in_the_folder_counts_once(
        self, tmp_path: Path, series: Datasets, seg: Datasets, write_files: Write
    ) -> None:
        """A second copy of the named file lies in the folder: it is imported once, and not listed as left out."""
        write_files(tmp_path / "study", [*series(), *seg()])
        (path,) = write_files(tmp_path / "elsewhere", seg())
        request = ask(tmp_path / "study", path)
        assert [one.path for one in request.segmentations] == [str(path)]
        assert request.left_out == ()

    def test_a_named_one_of_another_patient_is_not_trusted(
        self, tmp_path: Path, series: Datasets, seg: Datasets, write_files: Write
    ) -> None:
        """Explicit is not blind: another patient's segmentation is refused."""
        write_files(tmp_path / "ct", series())
        (path,) = write_files(tmp_path / "seg", seg(PatientID="P2"))
        refusal = ask(tmp_path / "ct", path).refusal
        assert refusal is not None
        assert refusal.code is StudyRefusal.PATIENT_CONFLICT

    def test_what_is_no_segmentation_is_wrong_use(self, tmp_path: Path, series: Datasets, write_files: Write) -> None:
        """A CT slice named by mistake, a text file, and no file at all each get their sentence."""
        (slice_, *_) = write_files(tmp_path / "ct", series())
        with pytest.raises(WrongFolder, match="is not a DICOM Segmentation"):
            ask(tmp_path / "ct", slice_)
        (tmp_path / "text").write_text("no DICOM")
        for path in (tmp_path / "text", tmp_path / "nothing"):
            with pytest.raises(Refused) as caught:
                ask(tmp_path / "ct", path)
            assert caught.value.code is DoorRefusal.DATASET_UNREADABLE


class TestRealData:
    """The shared studies."""

    def test_the_abdomen_with_its_segmentation(self, test_data: Path) -> None:
        """112 slices, the height of the header, and the SEG: listed without a rule, taken when named."""
        folder = test_data / "abdomen3mm"
        request = ask(folder, folder / "seg.dcm")
        (candidate,) = request.candidates
        assert len(candidate.instances) == 112
        assert len(request.segmentations) == 1
        assert (request.facts.height_m, request.facts.height_source) == (1.75, HeightSource.SERIES)
        assert request.facts.sex == "M"
        assert "SEG" in [one.modality for one in ask(folder).left_out]
        assert ask(folder).segmentations == ()
        assert len(ask(folder, imports=ImportRules(manufacturers=("QIICR",))).segmentations) == 1

    def test_a_patient_of_the_population(self, test_data: Path) -> None:
        """41 slices of 5 mm, no height in the header."""
        request = ask(test_data / "crlm-ct-1004")
        assert [len(one.instances) for one in request.candidates] == [41]
        assert request.facts.height_reason is NotComputed.HEIGHT_MISSING


@pytest.mark.parametrize(("frames", "chosen"), [(12, True), (9, False)])
def test_the_frames_of_an_enhanced_ct_count_as_slices(frames: int, chosen: bool, tmp_path: Path) -> None:
    """One instance of twelve frames is a candidate; of nine it has too few, which the refusal tells."""
    slices = write_series(tmp_path / "slices", np.zeros((frames, 4, 5), dtype=np.uint16))
    (tmp_path / "study").mkdir()
    path = enhance(slices, tmp_path / "study" / "enhanced.dcm")
    request = ask(tmp_path / "study")
    assert [one.path for candidate in request.candidates for one in candidate.instances] == [str(path)] * chosen
    if not chosen:
        assert request.refusal is not None
        assert request.refusal.code is StudyRefusal.TOO_FEW_SLICES
        assert "9 axial slices" in request.refusal.detail
