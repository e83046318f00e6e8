"""`crlm-node radiomics`: a region or a list of them becomes a table, and what is refused is one sentence."""

import csv
import math
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from threading import Event
from typing import Any

import pytest
import SimpleITK
from made_network import INPUT, installed
from made_regions import Made, made

from node.cli import radiomics
from node.cli.application import INTERRUPTED
from workers.extraction import table
from workers.measurement.deep.description import Input

Row = dict[str, str]
FEW = "featureClass: {firstorder: [Mean, Minimum], shape: [VoxelVolume]}\n"


@pytest.fixture(autouse=True)
def from_sources(monkeypatch: pytest.MonkeyPatch) -> None:
    """The command finds the table's module as the entry point names it."""
    monkeypatch.setattr(radiomics, "of_the_workers", lambda _: table)


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """A folder with an image, a mask with the label 1, and a parameter file."""
    one = made()
    written(tmp_path, one)
    (tmp_path / "params.yaml").write_text(FEW)
    return tmp_path


def written(folder: Path, one: Made) -> None:
    SimpleITK.WriteImage(one.image, str(folder / "image.nii.gz"))
    SimpleITK.WriteImage(one.mask, str(folder / "mask.nii.gz"))


def rows(path: Path) -> list[Row]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def numbers(row: Row) -> dict[str, float]:
    return {name: float(value) for name, value in row.items() if name.startswith(("original_", "wavelet-"))}


def test_both_engines_write_the_columns_of_pyradiomics(
    crlm_node: Callable[..., Any], test_data: Path, tmp_path: Path
) -> None:
    """On PyRadiomics' own test case: its columns in its order, and its numbers."""
    pytest.importorskip("radiomics")
    case = test_data / "pyradiomics"
    (tmp_path / "params.yaml").write_text("setting: {preCrop: true, padDistance: 10}\n")
    found = []
    for engine in ("fast", "pyradiomics"):
        words = (case / "brain1_image.nrrd", case / "brain1_label.nrrd", "--params", tmp_path / "params.yaml")
        done = crlm_node("radiomics", *words, "--engine", engine, "--out", tmp_path / "out.csv")
        assert (done.code, done.err) == (0, "")
        found += rows(tmp_path / "out.csv")
    ours, theirs = found
    assert list(ours) == list(theirs)
    assert list(ours)[:3] == ["Image", "Mask", "diagnostics_Versions_PyRadiomics"]
    assert len(numbers(ours)) == 107
    for name, value in numbers(theirs).items():
        assert math.isclose(numbers(ours)[name], value, rel_tol=1e-6, abs_tol=1e-9), name


def test_a_list_measures_what_it_can(crlm_node: Callable[..., Any], files: Path) -> None:
    """Own columns stay, paths are found from the list, a region without features is told and leaves them empty."""
    lines = [
        "Patient,Image,Mask,Label",
        "a,image.nii.gz,mask.nii.gz,",
        "b,image.nii.gz,mask.nii.gz,2",
        "c,none.nii,mask.nii.gz,1",
    ]
    (files / "list.csv").write_text("\n".join(lines) + "\n")
    done = crlm_node(
        "radiomics", "--batch", files / "list.csv", "--params", files / "params.yaml", "--out", files / "o.csv"
    )
    assert done.code == 1
    assert "mask-empty" in done.err
    assert "image-unreadable" in done.err
    found = rows(files / "o.csv")
    assert [row["Patient"] for row in found] == ["a", "b", "c"]
    assert [bool(row["original_firstorder_Mean"]) for row in found] == [True, False, False]
    assert list(found[0])[:5] == ["Patient", "Image", "Mask", "Label", "diagnostics_Versions_PyRadiomics"]
    assert list(found[0])[-3:] == [
        "original_shape_VoxelVolume",
        "original_firstorder_Mean",
        "original_firstorder_Minimum",
    ]
    assert found[0]["Image"] == str(files / "image.nii.gz")


@pytest.fixture
def models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of models with the made network, which the settings name."""
    monkeypatch.setenv("CRLM_NODE_MODELS_DIR", str(tmp_path / "models"))
    return tmp_path / "models"


def test_deep_features_come_after_the_others(crlm_node: Callable[..., Any], files: Path, models: Path) -> None:
    """256 of them with their network, beside the radiomic ones or alone; a region that has none has nothing."""
    digest = installed(models, input=Input(**{**INPUT, "least_voxels": (1, 1, 1), "most_voxels": 6000})).digest
    (files / "list.csv").write_text("Image,Mask,Label\nimage.nii.gz,mask.nii.gz,\nimage.nii.gz,mask.nii.gz,2\n")
    words = ("radiomics", "--batch", files / "list.csv", "--deep", "made", "--out", files / "o.csv")
    done = crlm_node(*words, "--params", files / "params.yaml")
    assert (done.code, "mask-empty" in done.err) == (1, True)
    both, nothing = rows(files / "o.csv")
    assert list(both)[-259:-256] == [
        "original_shape_VoxelVolume",
        "original_firstorder_Mean",
        "original_firstorder_Minimum",
    ]
    assert list(both)[-256:] == [f"deep_{number:03d}" for number in range(256)]
    assert (both["diagnostics_Deep_Network"], both["diagnostics_Deep_Digest"]) == ("made", digest)
    assert not any(value for name, value in nothing.items() if name not in ("Image", "Mask", "Label"))
    crlm_node(*words)
    alone = rows(files / "o.csv")[0]
    assert len(alone) == 3 + 2 + 256
    assert {name: both[name] for name in alone} == alone


def test_a_network_that_cannot_be_had_is_named(crlm_node: Callable[..., Any], files: Path, models: Path) -> None:
    """Before an image is read."""
    installed(models)
    words = ("radiomics", "i.nii", "m.nii", "--out", files / "o.csv")
    done = crlm_node(*words, "--deep", "other")
    assert (done.code, done.sentence.startswith("network-missing: ")) == (1, True)
    (models / "deep" / "made" / "weights.safetensors").write_bytes(b"")
    done = crlm_node(*words, "--deep", "made")
    assert (done.code, done.sentence.startswith("network-untrusted: ")) == (1, True)
    assert crlm_node(*words).sentence == "give --params, --deep, or both"


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("image.nii.gz",), 2, "give IMAGE and MASK, or --batch CSV"),
        (("image.nii.gz", "mask.nii.gz", "--batch", "params.yaml"), 2, "give IMAGE and MASK, or --batch CSV"),
        (("image.nii.gz", "mask.nii.gz", "--label", "4"), 1, "mask-empty: "),
        (("image.nii.gz", "params.yaml"), 1, "image-unreadable: "),
        (("--batch", "params.yaml"), 1, "list-invalid: "),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_a_refusal_is_one_sentence(
    crlm_node: Callable[..., Any], files: Path, words: tuple[str, ...], code: int, said: str
) -> None:
    """With its code where the region or a file is refused, without a trace; nothing is written as a result."""
    paths = [files / word if "." in word else word for word in words]
    done = crlm_node("radiomics", *paths, "--params", files / "params.yaml", "--out", files / "o.csv")
    assert done.code == code
    assert done.sentence.startswith(said)


def test_a_parameter_that_is_not_offered_is_named(crlm_node: Callable[..., Any], files: Path) -> None:
    """By its key, before an image is read."""
    (files / "params.yaml").write_text(FEW + "imageType: {LoG: {sigma: [3]}}\n")
    done = crlm_node("radiomics", "i.nii", "m.nii", "--params", files / "params.yaml", "--out", files / "o.csv")
    assert (done.code, "imageType.LoG" in done.sentence) == (1, True)
    assert not (files / "o.csv").exists()


def test_a_segment_of_a_seg_is_the_region_whatever_label_the_parameters_have(
    crlm_node: Callable[..., Any], test_data: Path, tmp_path: Path
) -> None:
    """On a real CT; alone or in a list, which says it in a column; and a label is of a mask of numbers only."""
    case = test_data / "abdomen3mm"
    (tmp_path / "params.yaml").write_text(FEW + "setting: {label: 7}\n")
    common = ("--params", tmp_path / "params.yaml", "--out", tmp_path / "o.csv")
    (tmp_path / "list.csv").write_text(f"Image,Mask,Segment\n{case}/ct,{case}/seg.dcm,vertebrae_L1\n")
    for words in (
        (case / "ct", case / "seg.dcm", "--segment", "vertebrae_L1"),
        (case / "ct", case / "seg.dcm", "--segment", "4"),
        ("--batch", tmp_path / "list.csv"),
    ):
        assert crlm_node("radiomics", *words, *common).code == 0
        [row] = rows(tmp_path / "o.csv")
        assert row["Segment"] in ("vertebrae_L1", "4")
        assert float(row["original_shape_VoxelVolume"]) == pytest.approx(59_940, abs=5)
    done = crlm_node("radiomics", case / "ct", case / "seg.dcm", *common)
    assert "4 (vertebrae_L1)" in done.sentence
    done = crlm_node("radiomics", case / "ct", case / "seg.dcm", "--segment", "4", "--label", "1", *common)
    assert (done.code, done.sentence.startswith("mask-empty: ")) == (1, True)


@pytest.mark.parametrize(("before", "said"), [(0, "nothing is written"), (1, "Stopped: 1 of 2 regions are in ")])
def test_what_was_done_before_a_stop_is_a_whole_table(
    crlm_node: Callable[..., Any], files: Path, monkeypatch: pytest.MonkeyPatch, before: int, said: str
) -> None:
    """The message tells what is in it, and the exit code that it is not all."""
    for number in (1, 2):
        (files / f"image{number}.nii.gz").write_bytes((files / "image.nii.gz").read_bytes())
    (files / "list.csv").write_text("Image,Mask\nimage1.nii.gz,mask.nii.gz\nimage2.nii.gz,mask.nii.gz\n")
    stop, count = Event(), iter(range(3))
    monkeypatch.setattr(radiomics, "until_told", lambda: nullcontext(stop))
    looked = stop.is_set
    monkeypatch.setattr(stop, "is_set", lambda: looked() or next(count) >= before)
    done = crlm_node(
        "radiomics", "--batch", files / "list.csv", "--params", files / "params.yaml", "--out", files / "o.csv"
    )
    assert done.code == INTERRUPTED
    assert said in done.out + done.err
    assert (files / "o.csv").exists() == bool(before)
    if before:
        assert len(rows(files / "o.csv")) == 1


@pytest.fixture
def cohort(files: Path) -> tuple[str | Path, ...]:
    """The words of a run on three images, the second of which has a mask without voxels."""
    one = made()
    for number in (1, 2, 3):
        SimpleITK.WriteImage(one.image + number, str(files / f"image{number}.nii.gz"))
        SimpleITK.WriteImage(one.mask * (number != 2), str(files / f"mask{number}.nii.gz"))
    lines = (f"{number},image{number}.nii.gz,mask{number}.nii.gz" for number in (1, 2, 3))
    (files / "list.csv").write_text("\n".join(["Patient,Image,Mask", *lines]) + "\n")
    common = "--params", files / "params.yaml", "--out", files / "o.csv"
    return ("radiomics", "--batch", files / "list.csv", *common)


@pytest.fixture
def looked_at(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the images that are read."""
    names: list[str] = []
    read = table.sources.image

    def image(path: Path) -> Any:
        names.append(path.name)
        return read(path)

    monkeypatch.setattr(table.sources, "image", image)
    return names


def test_the_same_command_measures_what_is_missing(
    crlm_node: Callable[..., Any], files: Path, cohort: tuple[str | Path, ...], looked_at: list[str]
) -> None:
    """A region that was mended alone; the table is then that of one run, and nothing is left beside it."""
    assert crlm_node(*cohort).code == 1
    assert (files / ".o.csv.rows").exists()
    SimpleITK.WriteImage(made().mask, str(files / "mask2.nii.gz"))
    looked_at.clear()
    done = crlm_node(*cohort)
    assert (done.code, looked_at) == (0, ["image2.nii.gz"])
    assert "3 of 3 regions, 2 of them by an earlier run" in done.out
    assert not (files / ".o.csv.rows").exists()
    again = (files / "o.csv").read_bytes()
    looked_at.clear()
    assert crlm_node(*cohort).code == 0
    assert looked_at == ["image1.nii.gz", "image2.nii.gz", "image3.nii.gz"]
    assert (files / "o.csv").read_bytes() == again


def test_a_run_that_was_killed_goes_on(
    crlm_node: Callable[..., Any], files: Path, cohort: tuple[str | Path, ...], looked_at: list[str]
) -> None:
    """Even with its last line cut; a row that is whole is taken."""
    assert crlm_node(*cohort).code == 1
    (files / "o.csv").unlink()
    lines = (files / ".o.csv.rows").read_text()
    (files / ".o.csv.rows").write_text(lines[:-20])
    looked_at.clear()
    assert crlm_node(*cohort).code == 1
    assert looked_at == ["image2.nii.gz", "image3.nii.gz"]
    assert [bool(row["original_firstorder_Mean"]) for row in rows(files / "o.csv")] == [True, False, True]
    looked_at.clear()
    crlm_node(*cohort)
    assert looked_at == ["image2.nii.gz"]


@pytest.mark.parametrize("what", ["an image", "a mask", "the list", "the parameters", "the engine", "the version"])
def test_what_has_changed_is_measured_anew(
    what: str,
    crlm_node: Callable[..., Any],
    files: Path,
    cohort: tuple[str | Path, ...],
    looked_at: list[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Every region that the change touches, and those that had no features."""
    assert crlm_node(*cohort).code == 1
    words, touched = list(cohort), ["image1.nii.gz", "image2.nii.gz"]
    if what == "an image":
        SimpleITK.WriteImage(made().image * 2, str(files / "image1.nii.gz"))
    elif what == "a mask":
        (files / "mask1.nii.gz").touch()
    elif what == "the list":
        text = (files / "list.csv").read_text()
        (files / "list.csv").write_text(text.replace("1,image1", "one,image1"))
    else:
        touched.append("image3.nii.gz")
        if what == "the parameters":
            (files / "params.yaml").write_text(FEW.replace("Minimum", "Maximum"))
        elif what == "the version":
            monkeypatch.setattr(table, "version", lambda _: "0.0")
        else:
            words += ["--engine", "pyradiomics"]
    looked_at.clear()
    assert crlm_node(*words).code == 1
    assert looked_at == touched
    assert not what.startswith("the p") or "original_firstorder_Maximum" in rows(files / "o.csv")[0]
