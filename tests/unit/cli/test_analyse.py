"""`analyse`, `phantom` and `send`: files in, files out, and the exit code."""

import functools
import json
import math
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest
from made_arrays import box
from made_seg import Drawn, write_seg
from made_series import candidate
from made_series import spool as absolute
from pydicom import dcmread

import node.phantom
from node.core.codes import MEASUREMENTS, rad_names
from node.core.settings import MeasurementSettings, Settings
from node.core.signatures import installed
from node.phantom import PhantomFiles
from node.phantom.awkward import Kind
from workers import volume
from workers.records import AlgorithmType

SCHEMA = Path(__file__).parents[3] / "docs" / "result.schema.json"


def result(folder: Path) -> dict[str, Any]:
    """Return `result.json`, which must follow its schema."""
    document: dict[str, Any] = json.loads((folder / "result.json").read_text())
    jsonschema.validate(document, json.loads(SCHEMA.read_text()))
    return document


@pytest.fixture
def part(small_phantom: PhantomFiles, tmp_path: Path) -> Callable[..., Path]:
    """Return a function that copies some slices into a folder of their own, with changes."""

    def copy(*numbers: int, into: str = "part", **changes: str) -> Path:
        folder = tmp_path / into
        folder.mkdir(exist_ok=True)
        for number in numbers:
            ds = dcmread(small_phantom.ct[number])
            for keyword, value in changes.items():
                setattr(ds, keyword, value)
            ds.save_as(folder / small_phantom.ct[number].name)
        return folder

    return copy


def test_a_study_is_measured(crlm_node: Callable[..., Any], small_phantom: PhantomFiles, tmp_path: Path) -> None:
    """With `--seg`: result.json, SEG and SR written, every number in the table, exit 0; again, the same numbers."""
    out = tmp_path / "new" / "out"
    words = ("analyse", small_phantom.ct[0].parent, "--seg", small_phantom.seg, "--out", out)
    done = crlm_node(*words)
    assert (done.code, done.err) == (0, "")
    names = {path.name for path in out.iterdir()}
    assert {"result.json", "seg.dcm", "sr.dcm"} <= names
    assert {dcmread(out / name).Modality for name in names if name.endswith(".dcm")} == {"SEG", "SR", "OT"}
    first = result(out)
    asked = [name for one in installed(Settings().models) for name in rad_names(one)]
    assert list(first["measurements"]) == [*MEASUREMENTS, *asked]
    assert all(coding.name in done.out for coding in MEASUREMENTS.values())
    assert f"{first['measurements']['psoas.pmvi']['value']:.2f}" in done.out
    assert crlm_node(*words).code == 0
    assert result(out)["measurements"] == first["measurements"]
    assert {path.name for path in out.iterdir()} == names


def test_the_burden_of_a_research_collections_labels(
    crlm_node: Callable[..., Any], small_phantom: PhantomFiles, tmp_path: Path
) -> None:
    """`Liver`, `Tumor_1` ... without a code: each tumour is a lesion, one of two pieces, one that overlaps another."""
    read = volume.read(candidate(small_phantom.ct), absolute(), MeasurementSettings())
    sources = [Path(one.path) for one in read.instances]
    shape, (dz, dy, dx) = read.geometry.shape, read.geometry.spacing_mm
    middle = (shape[0] // 2, shape[1] // 2, shape[2] // 2)

    def block(at: tuple[int, int, int], size: tuple[int, int, int]) -> np.ndarray:
        return box(shape, *(slice(m + a, m + a + n) for m, a, n in zip(middle, at, size, strict=True)))

    tumours = [
        block((0, 0, 0), (2, 4, 9)),
        block((1, 2, 5), (3, 3, 3)),
        block((0, 8, 0), (1, 2, 2)) | block((4, 8, 0), (1, 2, 2)),
    ]
    liver = Drawn(block((-2, -2, -2), (8, 14, 14)), label="Liver")
    drawn = [Drawn(mask, label=f"Tumor_{number}", by=AlgorithmType.MANUAL) for number, mask in enumerate(tumours, 1)]
    write_seg(tmp_path / "collection.dcm", sources, read.geometry, [liver, *drawn])
    out = tmp_path / "out"
    done = crlm_node("analyse", small_phantom.ct[0].parent, "--seg", tmp_path / "collection.dcm", "--out", out)
    assert (done.code, done.err) == (0, "")
    document = result(out)
    numbers = {name: document["measurements"][f"burden.{name}"]["value"] for name in ("count", "max_diameter", "tbs")}
    largest = math.hypot(3 * dy, 8 * dx)
    assert numbers == pytest.approx({"count": 3, "max_diameter": largest, "tbs": math.hypot(largest / 10, 3)})
    burden = document["burden"]
    assert (burden["zone"], burden["smaller"]) == ("3 to <9", 0)
    spatial = [math.hypot(1 * dz, 3 * dy, 8 * dx), math.hypot(2 * dz, 2 * dy, 2 * dx), math.hypot(4 * dz, dy, dx)]
    for one, mask, diameter, parts, touches in zip(
        burden["lesions"], tumours, spatial, (1, 1, 2), ([2], [1], []), strict=True
    ):
        assert one["label"] == f"Tumor_{one['number']}"
        assert one["volume_ml"] == pytest.approx(mask.sum() * dz * dy * dx / 1000)
        assert one["diameter_mm"] == pytest.approx(diameter)
        assert one["mean_hu"] == pytest.approx(read.hu[mask].mean())
        assert (one["parts"], one["touches"], one["edges"]) == (parts, touches, [])
    segments = {str(one.SegmentLabel): one for one in dcmread(out / "seg.dcm").SegmentSequence}
    assert list(segments) == ["Liver", "Liver lesion 1", "Liver lesion 2", "Liver lesion 3"]
    assert {segments[name].SegmentAlgorithmType for name in list(segments)[1:]} == {"MANUAL"}
    assert segments["Liver"].SegmentAlgorithmName == "someone's network"


def test_the_real_abdomen(crlm_node: Callable[..., Any], test_data: Path, tmp_path: Path) -> None:
    """`analyse --seg` meets the numbers that were counted independently, to 0.1 %."""
    folder = test_data / "abdomen3mm"
    assert crlm_node("analyse", folder / "ct", "--seg", folder / "seg.dcm", "--out", tmp_path / "out").code == 0
    expected = json.loads((folder / "expected.json").read_text())
    numbers = {name: one["value"] for name, one in result(tmp_path / "out")["measurements"].items()}
    pairs = {
        "liver.volume": expected["volume_ml"]["liver"],
        "psoas.left.volume": expected["volume_ml"]["psoas_left"],
        "psoas.right.volume": expected["volume_ml"]["psoas_right"],
        "liver.mean_hu": expected["mean_hu"]["liver"],
        "psoas.left.mean_hu": expected["mean_hu"]["psoas_left"],
        "psoas.right.mean_hu": expected["mean_hu"]["psoas_right"],
        "psoas.pmvi": expected["pmvi_cm3_per_m3"],
        "psoas.pmi": expected["pmi_cm2_per_m2"],
    }
    assert {name: numbers[name] for name in pairs} == pytest.approx(pairs, rel=1e-3)


def assert_refused(done: Any, out: Path, code: str) -> dict[str, Any]:
    assert (done.code, done.err) == (1, "")
    assert f"Not measured: {code}" in done.out
    document = result(out)
    assert document["refusal"]["code"] == code
    assert document["refusal"]["text"] in " ".join(done.out.split())
    assert {one["value"] for one in document["measurements"].values()} == {None}
    return document


def test_no_segmentation(crlm_node: Callable[..., Any], small_phantom: PhantomFiles, tmp_path: Path) -> None:
    """Refused, with the reason in result.json, on screen and in an SR; exit 1."""
    out = tmp_path / "out"
    done = crlm_node("analyse", small_phantom.ct[0].parent, "--out", out)
    document = assert_refused(done, out, "segmentation-unavailable")
    assert document["quality"]["volume_sha1"]
    assert {path.name for path in out.iterdir()} == {"result.json", "sr.dcm", "summary.dcm", "key-images"}


def test_a_patient_without_weights(
    crlm_node: Callable[..., Any], test_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A real CT is never given to the demonstration model: refused, with the command that fetches the weights."""
    monkeypatch.setenv("CRLM_NODE_NETWORKS", "true")
    done = crlm_node("analyse", test_data / "abdomen3mm" / "ct", "--out", tmp_path / "out")
    document = assert_refused(done, tmp_path / "out", "weights-missing")
    assert "crlm-node models fetch" in document["refusal"]["text"]


def test_one_slice(crlm_node: Callable[..., Any], part: Callable[..., Path], tmp_path: Path) -> None:
    """Too few slices, said before anything is read."""
    done = crlm_node("analyse", part(30), "--out", tmp_path / "out")
    assert_refused(done, tmp_path / "out", "too-few-slices")


def test_two_patients(crlm_node: Callable[..., Any], part: Callable[..., Path], tmp_path: Path) -> None:
    """Slices of two patients under one series UID: refused, and neither is named on screen or in the result."""
    part(*range(30))
    folder = part(*range(30, 60), PatientID="OTHER-1", PatientName="Other^Person")
    done = crlm_node("analyse", folder, "--out", tmp_path / "out")
    document = assert_refused(done, tmp_path / "out", "patient-conflict")
    assert "OTHER-1" not in done.out + json.dumps(document)


def test_two_files_with_one_uid(
    crlm_node: Callable[..., Any], part: Callable[..., Path], small_phantom: PhantomFiles, tmp_path: Path
) -> None:
    """Two different slices that claim to be the same instance: the input is not trusted, and the result says so."""
    folder = part(*range(40))
    ds = dcmread(folder / small_phantom.ct[5].name)
    ds.PixelData = ds.PixelData[::-1]
    ds.save_as(folder / "copy.dcm")
    done = crlm_node("analyse", folder, "--seg", small_phantom.seg, "--out", tmp_path / "out")
    assert_refused(done, tmp_path / "out", "input-untrusted")


def test_segmentations_that_contradict_are_told_in_the_result(
    crlm_node: Callable[..., Any], small_phantom: PhantomFiles, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody looks into a spool after `analyse`: what a worker would quarantine is a refusal in result.json too."""
    from node.core.errors import Untrusted
    from node.core.reasons import StudyRefusal
    from workers import analysis

    def contradict(*_: object) -> None:
        raise Untrusted(StudyRefusal.INPUT_UNTRUSTED, "two segmentations of one rank")

    monkeypatch.setattr(analysis.segmentation, "segment", contradict)
    done = crlm_node("analyse", small_phantom.ct[0].parent, "--seg", small_phantom.seg, "--out", tmp_path / "out")
    document = assert_refused(done, tmp_path / "out", "input-untrusted")
    assert "two segmentations of one rank" in document["refusal"]["text"]


def test_several_studies(
    crlm_node: Callable[..., Any], part: Callable[..., Path], tmp_path: Path, small_phantom: PhantomFiles
) -> None:
    """A folder with two studies is wrong use; both are named, so that one can be chosen."""
    part(1, 2, 3)
    folder = part(4, 5, 6, StudyInstanceUID="1.2.3.4")
    done = crlm_node("analyse", folder, "--out", tmp_path / "out")
    assert done.code == 2
    assert "holds 2 studies" in done.sentence
    assert "1.2.3.4" in done.sentence
    assert str(dcmread(small_phantom.ct[1]).StudyInstanceUID) in done.sentence
    assert not (tmp_path / "out").exists()


def test_a_seg_that_is_none(crlm_node: Callable[..., Any], small_phantom: PhantomFiles, tmp_path: Path) -> None:
    """A CT slice as `--seg` is wrong use."""
    done = crlm_node("analyse", small_phantom.ct[0].parent, "--seg", small_phantom.ct[0], "--out", tmp_path / "out")
    assert done.code == 2
    assert "is not a DICOM Segmentation" in done.sentence


def test_files_of_others_are_not_overwritten(
    crlm_node: Callable[..., Any], small_phantom: PhantomFiles, tmp_path: Path
) -> None:
    """`--out` names the folder where the user's own seg.dcm lies: wrong use, and the file is as it was."""
    mine = tmp_path / "mine"
    mine.mkdir()
    shutil.copy(small_phantom.seg, mine / "seg.dcm")
    done = crlm_node("analyse", small_phantom.ct[0].parent, "--seg", mine / "seg.dcm", "--out", mine)
    assert done.code == 2
    assert "holds seg.dcm, which would be overwritten" in done.sentence
    assert {path.name for path in mine.iterdir()} == {"seg.dcm"}
    assert (mine / "seg.dcm").read_bytes() == small_phantom.seg.read_bytes()


def test_a_refusal_leaves_no_result_of_an_earlier_run(
    crlm_node: Callable[..., Any], small_phantom: PhantomFiles, tmp_path: Path
) -> None:
    """Measured, then refused, into the same folder: no SEG stays there that result.json knows nothing of."""
    out = tmp_path / "out"
    ct = small_phantom.ct[0].parent
    assert crlm_node("analyse", ct, "--seg", small_phantom.seg, "--out", out).code == 0
    assert crlm_node("analyse", ct, "--out", out).code == 1
    assert {path.name for path in out.iterdir()} == {"result.json", "sr.dcm", "summary.dcm", "key-images"}


def test_a_folder_that_cannot_be_made(crlm_node: Callable[..., Any], small_phantom: PhantomFiles) -> None:
    """Exit 1, with the system's reason and no traceback."""
    done = crlm_node("analyse", small_phantom.ct[0].parent, "--out", "/proc/no/such")
    assert (done.code, done.sentence) == (1, "/proc/no: No such file or directory")


# --- phantom --------------------------------------------------------------------------------------------------------


@pytest.fixture
def coarse(monkeypatch: pytest.MonkeyPatch, small_phantom: PhantomFiles) -> None:
    """Have the command write a coarse abdomen: the full size is written by the tests of the demonstration."""
    smaller = functools.partial(node.phantom.write_phantom, grid=small_phantom.grid)
    monkeypatch.setattr(node.phantom, "write_phantom", smaller)


def test_phantom_writes_series_seg_and_truth(
    coarse: None, crlm_node: Callable[..., Any], small_phantom: PhantomFiles, tmp_path: Path
) -> None:
    """OUT/ct, OUT/seg.dcm and OUT/truth.json, the truth under the ids of result.json; the same files each time."""
    out = tmp_path / "out"
    done = crlm_node("phantom", out)
    assert done.code == 0
    assert {path.name for path in out.iterdir()} == {"ct", "seg.dcm", "truth.json"}
    assert [path.read_bytes() for path in sorted((out / "ct").iterdir())] == [
        path.read_bytes() for path in small_phantom.ct
    ]
    truth = json.loads((out / "truth.json").read_text())["measurements"]
    assert set(truth) <= set(MEASUREMENTS)
    assert {name: one["unit"] for name, one in truth.items()} == {name: MEASUREMENTS[name].unit for name in truth}
    assert str(out / "ct") in done.out
    assert f"{len(small_phantom.ct)} slices" in done.out


def test_phantom_with_seed_and_truth_elsewhere(
    coarse: None, crlm_node: Callable[..., Any], small_phantom: PhantomFiles, tmp_path: Path
) -> None:
    """Another seed is another patient with other numbers; the truth goes where `--truth` says."""
    done = crlm_node("phantom", tmp_path / "out", "--seed", 3, "--truth", tmp_path / "numbers.json")
    assert done.code == 0
    assert not (tmp_path / "out" / "truth.json").exists()
    truth = json.loads((tmp_path / "numbers.json").read_text())
    assert truth["phantom"]["seed"] == 3
    assert truth["measurements"]["liver.volume"] != small_phantom.truth["liver.volume"]
    first = dcmread(tmp_path / "out" / "ct" / small_phantom.ct[0].name)
    assert first.PatientID != dcmread(small_phantom.ct[0]).PatientID


def test_phantom_does_not_mix_with_what_is_there(coarse: None, crlm_node: Callable[..., Any], tmp_path: Path) -> None:
    """A folder that holds a series already is wrong use."""
    (tmp_path / "out" / "ct").mkdir(parents=True)
    (tmp_path / "out" / "ct" / "mine.dcm").write_text("mine")
    done = crlm_node("phantom", tmp_path / "out")
    assert (done.code, done.sentence) == (2, f"{tmp_path / 'out' / 'ct'} is not empty")


def test_awkward_studies_are_listed_and_written(crlm_node: Callable[..., Any], tmp_path: Path) -> None:
    """`--awkward list` names every kind; a kind is written as it says; an unknown one, or a seed too, is wrong use."""
    listed = crlm_node("phantom", tmp_path / "none", "--awkward", "list")
    assert (listed.code, (tmp_path / "none").exists()) == (0, False)
    assert {line.split()[0] for line in listed.out.splitlines()} == set(Kind)
    assert crlm_node("phantom", tmp_path / "out", "--awkward", "one-slice").code == 0
    assert len(list((tmp_path / "out" / "ct").iterdir())) == 1
    assert (tmp_path / "out" / "seg.dcm").exists()
    assert crlm_node("phantom", tmp_path / "out", "--awkward", "one-slice").code == 2
    unknown = crlm_node("phantom", tmp_path / "other", "--awkward", "crooked")
    assert (unknown.code, "`--awkward list`" in unknown.sentence) == (2, True)
    assert crlm_node("phantom", tmp_path / "other", "--awkward", "gap", "--seed", 3).code == 2
    assert not (tmp_path / "other").exists()


# --- send -----------------------------------------------------------------------------------------------------------


def test_send_to_nobody(
    crlm_node: Callable[..., Any], small_phantom: PhantomFiles, free_port: Callable[[], int]
) -> None:
    """Nobody listens: exit 1, and the address with the reason."""
    port = free_port()
    done = crlm_node("send", small_phantom.ct[0].parent, "--to", f"PACS@127.0.0.1:{port}")
    assert done.code == 1
    assert done.err == f"crlm-node: The destination cannot be reached. (PACS@127.0.0.1:{port}: connection refused)\n"
