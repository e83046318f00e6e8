from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import highdicom as hd
import numpy as np
import pytest
from pydicom import Dataset, dcmread
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, SegmentationStorage

from node.phantom import (
    Anatomy,
    PhantomFiles,
    Rendering,
    covering_grid,
    is_phantom,
    random_anatomy,
    render,
    truth,
    truth_masks,
    write_ct,
    write_phantom,
    write_seg,
)


@pytest.fixture(scope="module")
def ct(small_rendering: Rendering, standard: Anatomy, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return write_ct(tmp_path_factory.mktemp("ct"), small_rendering, small_rendering.grid, standard)


@pytest.fixture(scope="module")
def seg_file(small_rendering: Rendering, ct: list[Path]) -> Path:
    return write_seg(ct[0].parent.parent / f"{ct[0].parent.name}-seg.dcm", small_rendering, ct)


@pytest.fixture(scope="module")
def native(tmp_path_factory: pytest.TempPathFactory) -> PhantomFiles:
    """A random phantom without contrast, on a coarse grid."""
    seed = next(seed for seed in range(20) if not random_anatomy(seed).contrast)
    grid = covering_grid(random_anatomy(seed), spacing_mm=(6.0, 4.0, 4.0))
    return write_phantom(tmp_path_factory.mktemp("native"), seed=seed, grid=grid)


def digest(paths: list[Path]) -> str:
    return hashlib.sha256(b"".join(path.read_bytes() for path in paths)).hexdigest()


def test_the_series_reads_back_as_the_picture(ct: list[Path], small_rendering: Rendering) -> None:
    """Rescaled pixels are the HU, positions are the grid's, and 0001.dcm is the lowest slice."""
    grid = small_rendering.grid
    assert [path.name for path in ct[:2]] == ["0001.dcm", "0002.dcm"]
    for index, path in enumerate(ct):
        ds = dcmread(path)
        hu = ds.pixel_array.astype(int) * int(ds.RescaleSlope) + int(ds.RescaleIntercept)
        assert np.array_equal(hu, small_rendering.hu[index])
        position = [float(v) for v in ds.ImagePositionPatient]
        assert position == pytest.approx([grid.x[0], grid.y[0], grid.z[index]], abs=1e-4)
        assert [float(v) for v in ds.PixelSpacing] == [grid.spacing_mm[1], grid.spacing_mm[2]]


def test_the_header_says_what_the_product_reads(ct: list[Path], standard: Anatomy) -> None:
    """Height, weight, sex, kVp, contrast, kernel, thickness, position and image type, and that nobody is meant."""
    ds = dcmread(ct[3])
    assert ds.file_meta.TransferSyntaxUID == ExplicitVRLittleEndian
    assert ds.SOPClassUID == CTImageStorage
    assert (float(ds.PatientSize), float(ds.PatientWeight)) == (standard.height_m, standard.weight_kg)
    assert (ds.PatientSex, ds.PatientName, ds.PatientID) == ("M", "Phantom^Synthetic", "PHANTOM-STANDARD")
    assert (float(ds.KVP), float(ds.SliceThickness), ds.ConvolutionKernel) == (120, 5, "STANDARD")
    assert (ds.PatientPosition, list(ds.ImageType)) == ("HFS", ["ORIGINAL", "PRIMARY", "AXIAL"])
    assert "portal venous" in ds.SeriesDescription
    assert ds.ContrastBolusAgent
    assert (int(ds.RescaleIntercept), ds.PixelRepresentation) == (-1024, 0)
    assert (ds.Manufacturer, ds.ManufacturerModelName) == ("crlm-node", "phantom")
    assert ds.PatientIdentityRemoved == "YES"


def test_one_study_one_series_one_frame(ct: list[Path]) -> None:
    """Study, series and frame of reference are shared, SOP Instance UIDs are not; all are 2.25 UIDs."""
    sets = [dcmread(path, stop_before_pixels=True) for path in ct]
    for keyword in ("StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID"):
        assert len({ds[keyword].value for ds in sets}) == 1
    assert len({ds.SOPInstanceUID for ds in sets}) == len(ct)
    assert all(ds.SOPInstanceUID.is_valid and ds.SOPInstanceUID.startswith("2.25.") for ds in sets)
    assert all(ds.file_meta.MediaStorageSOPInstanceUID == ds.SOPInstanceUID for ds in sets)


def test_the_same_seed_writes_the_same_bytes(
    ct: list[Path], seg_file: Path, small_rendering: Rendering, standard: Anatomy, tmp_path: Path
) -> None:
    """CT and SEG are equal byte by byte; another UID seed gives other UIDs."""
    again = write_ct(tmp_path / "again", small_rendering, small_rendering.grid, standard)
    assert digest(again) == digest(ct)
    assert digest([write_seg(tmp_path / "seg.dcm", small_rendering, again)]) == digest([seg_file])
    other = write_ct(tmp_path / "other", small_rendering, small_rendering.grid, standard, uid_seed="else")
    assert dcmread(other[0]).StudyInstanceUID != dcmread(ct[0]).StudyInstanceUID


def test_dciodvfy_finds_no_error(
    ct: list[Path], seg_file: Path, native: PhantomFiles, dciodvfy_errors: Callable[[Path], list[str]]
) -> None:
    """First, middle and last slice with contrast, one without, and both segmentations conform to PS3.3."""
    for path in (ct[0], ct[len(ct) // 2], ct[-1], native.ct[0], seg_file, native.seg):
        assert dciodvfy_errors(path) == []


def test_dciodvfy_would_find_one(ct: list[Path], tmp_path: Path, dciodvfy_errors: Callable[[Path], list[str]]) -> None:
    """The judge is awake: a slice without its Image Position is an error."""
    ds = dcmread(ct[0])
    del ds.ImagePositionPatient
    ds.save_as(tmp_path / "bad.dcm")
    assert dciodvfy_errors(tmp_path / "bad.dcm")


def test_the_phantom_knows_itself(ct: list[Path], seg_file: Path) -> None:
    """Its CT and SEG are recognised; each mark is needed, and an empty dataset is nobody."""
    assert is_phantom(dcmread(ct[0], stop_before_pixels=True))
    assert is_phantom(dcmread(seg_file, stop_before_pixels=True))
    assert not is_phantom(Dataset())
    for keyword in ("Manufacturer", "DeviceSerialNumber", "PatientID", "PatientIdentityRemoved"):
        ds = dcmread(ct[0], stop_before_pixels=True)
        ds[keyword].value = "NO"
        assert not is_phantom(ds), keyword


def test_segments_read_back_as_the_labels(seg_file: Path, ct: list[Path], small_rendering: Rendering) -> None:
    """Every segment of the file, read by its source images, is the mask that was meant; no frame is empty."""
    seg = hd.seg.segread(seg_file)
    uids = [dcmread(path, stop_before_pixels=True).SOPInstanceUID for path in ct]
    named = truth_masks(small_rendering)
    assert [item.SegmentLabel for item in seg.SegmentSequence] == [name for name, _ in named]
    shown = [index for index in range(len(uids)) if any(mask[index].any() for _, mask in named)]
    stack = seg.get_pixels_by_source_instance([uids[index] for index in shown], ignore_spatial_locations=True)
    for number, (_, mask) in enumerate(named):
        assert np.array_equal(stack[..., number].astype(bool), mask[shown])
        assert not np.delete(mask, shown, axis=0).any()
    assert seg.NumberOfFrames == sum(int(mask.any(axis=(1, 2)).sum()) for _, mask in named)
    assert seg.pixel_array.any(axis=(1, 2)).all()


def test_segments_carry_their_codes(seg_file: Path) -> None:
    """Category, type, laterality, region and algorithm of each segment; lesions are masses of the liver."""
    seg = dcmread(seg_file, stop_before_pixels=True)
    found = {}
    for item in seg.SegmentSequence:
        kind = item.SegmentedPropertyTypeCodeSequence[0]
        sides = kind.get("SegmentedPropertyTypeModifierCodeSequence", [])
        found[item.SegmentLabel] = (
            item.SegmentedPropertyCategoryCodeSequence[0].CodeValue,
            kind.CodeValue,
            [side.CodeValue for side in sides],
        )
        assert (item.SegmentAlgorithmType, item.SegmentAlgorithmName) == ("AUTOMATIC", "phantom truth")
    assert found == {
        "liver": ("123037004", "10200004", []),
        "iliopsoas_left": ("123037004", "68455001", ["7771000"]),
        "iliopsoas_right": ("123037004", "68455001", ["24028007"]),
        "vertebrae_L1": ("123037004", "66794005", []),
        "vertebrae_L3": ("123037004", "36470004", []),
        "lesion_1": ("49755003", "4147007", []),
        "lesion_2": ("49755003", "4147007", []),
        "lesion_3": ("49755003", "4147007", []),
    }
    assert seg.SegmentSequence[-1].AnatomicRegionSequence[0].CodeValue == "10200004"


def test_the_segmentation_belongs_to_the_series(seg_file: Path, ct: list[Path]) -> None:
    """Study, patient and frame of reference are the CT's, its slices are referenced, and so is each frame's."""
    seg, source = dcmread(seg_file, stop_before_pixels=True), dcmread(ct[0], stop_before_pixels=True)
    assert (seg.SOPClassUID, seg.SegmentationType) == (SegmentationStorage, "BINARY")
    for keyword in ("StudyInstanceUID", "FrameOfReferenceUID", "PatientID", "PatientIdentityRemoved"):
        assert seg[keyword].value == source[keyword].value
    assert seg.SeriesInstanceUID != source.SeriesInstanceUID
    assert seg.Manufacturer == "crlm-node phantom"
    series = seg.ReferencedSeriesSequence[0]
    known = {dcmread(path, stop_before_pixels=True).SOPInstanceUID for path in ct}
    assert series.SeriesInstanceUID == source.SeriesInstanceUID
    assert {item.ReferencedSOPInstanceUID for item in series.ReferencedInstanceSequence} <= known
    for frame in seg.PerFrameFunctionalGroupsSequence:
        origin = frame.DerivationImageSequence[0].SourceImageSequence[0]
        assert origin.ReferencedSOPInstanceUID in known


def test_files_of_another_grid_are_refused(small_rendering: Rendering, ct: list[Path], tmp_path: Path) -> None:
    """A segmentation cannot be written over a series with another number of slices."""
    with pytest.raises(ValueError, match="CT files"):
        write_seg(tmp_path / "seg.dcm", small_rendering, ct[:-1])


def test_nothing_to_segment_is_refused(standard: Anatomy, tmp_path: Path) -> None:
    """A grid that shows only air has no segmentation."""
    grid = covering_grid(standard, spacing_mm=(6.0, 8.0, 8.0))
    away = type(grid)(4, 32, 32, grid.spacing_mm, (0.0, -900.0, 0.0))
    rendering = render(standard, away)
    files = write_ct(tmp_path / "ct", rendering, away, standard)
    with pytest.raises(ValueError, match="nothing to segment"):
        write_seg(tmp_path / "seg.dcm", rendering, files)


def test_a_phantom_on_disk(native: PhantomFiles) -> None:
    """CT, SEG and truth lie where they were said to, and the JSON holds the numbers of the anatomy."""
    folder = native.seg.parent
    assert native.ct[0] == folder / "ct" / "0001.dcm"
    assert native.truth_file == folder / "truth.json"
    content = json.loads(native.truth_file.read_text())
    assert content["measurements"] == truth(native.anatomy, 14.0) == native.truth
    assert content["phantom"]["seed"] == native.anatomy.seed
    ds = dcmread(native.ct[0])
    assert ds.PatientID == f"PHANTOM-{native.anatomy.seed}"
    assert "native" in ds.SeriesDescription
    assert "ContrastBolusAgent" not in ds


def test_a_folder_with_a_series_is_left_alone(native: PhantomFiles) -> None:
    """A second phantom in the same folder would mix two series."""
    with pytest.raises(FileExistsError):
        write_phantom(native.seg.parent, seed=3)
