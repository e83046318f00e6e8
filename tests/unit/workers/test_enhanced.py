"""Enhanced CT: the frames of multi-frame images are the slices that they were as images of their own."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from made_enhanced import SHARED, Edit, enhance
from made_series import AXIAL, LAYOUTS, NATIVE, candidate, spool, write_series
from numpy.typing import NDArray
from pydicom import Dataset, dcmread
from pydicom.uid import UID, JPEG2000Lossless, JPEGLSLossless, RLELossless

from node.core.errors import NodeError, NotAnalysable, Untrusted
from node.core.frames import singles
from node.core.reasons import StudyRefusal
from node.core.settings import MeasurementSettings
from workers import pixels
from workers.records import Volume
from workers.volume import read

SHAPE = (12, 40, 48)
_SYNTAXES = [one for one in NATIVE if one.is_little_endian] + [RLELossless, JPEGLSLossless, JPEG2000Lossless]


@pytest.fixture(scope="module")
def stored() -> NDArray[np.uint16]:
    """Stored values of a 12-bit CT, none of them like another slice's."""
    return np.random.default_rng(1).integers(0, 4096, SHAPE).astype(np.uint16)


@pytest.fixture(scope="module")
def single(stored: NDArray[np.uint16], tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """The slices as images of their own."""
    return write_series(tmp_path_factory.mktemp("single"), stored)


def volume_of(*paths: Path) -> Volume:
    return read(candidate(paths), spool(), MeasurementSettings())


def refusal(paths: Sequence[Path]) -> NodeError:
    with pytest.raises(NodeError) as caught:
        volume_of(*paths)
    return caught.value


@pytest.mark.parametrize("name", LAYOUTS)
def test_frames_give_the_volume_of_the_slices(name: str, tmp_path: Path, stored: NDArray[np.uint16]) -> None:
    """In every layout, whatever the order of the frames: values, geometry, acquisition and SHA-1 are the same."""
    slices = write_series(tmp_path, stored, layout=LAYOUTS[name])
    plain = volume_of(*slices)
    mixed = [slices[index] for index in np.random.default_rng(3).permutation(len(slices))]
    volume = volume_of(enhance(mixed, tmp_path / "enhanced.dcm"))
    assert (volume.sha1, volume.geometry, volume.acquisition) == (plain.sha1, plain.geometry, plain.acquisition)
    expected = [mixed.index(Path(one.path)) + 1 for one in plain.instances]
    assert volume.frames == tuple(expected)
    assert len(volume.instances) == len(slices)
    assert plain.frames == ()


@pytest.mark.parametrize("syntax", _SYNTAXES, ids=lambda uid: uid.name)
def test_every_transfer_syntax_gives_the_same_volume(
    syntax: UID, single: list[Path], tmp_path: Path, stored: NDArray[np.uint16]
) -> None:
    """Read in pieces, whole, deflated, or decoded frame by frame."""
    volume = volume_of(enhance(single, tmp_path / "enhanced.dcm", syntax=syntax))
    assert np.array_equal(volume.hu, stored.astype(int) - 1024)


def test_several_images_make_one_volume(single: list[Path], tmp_path: Path, stored: NDArray[np.uint16]) -> None:
    """The frames of two images that interleave; each slice knows its image and its frame."""
    images = [enhance(single[part::2], tmp_path / f"{part}.dcm", number=part + 1) for part in (0, 1)]
    volume = volume_of(*images)
    assert np.array_equal(volume.hu, stored.astype(int) - 1024)
    assert [one.path for one in volume.instances] == [str(images[index % 2]) for index in range(12)]
    assert volume.frames == tuple(index // 2 + 1 for index in range(12))


@pytest.mark.parametrize("shared", [(), SHARED, (*SHARED, "PixelValueTransformationSequence")])
def test_groups_are_the_frames_own_or_shared(
    shared: Sequence[str], single: list[Path], tmp_path: Path, stored: NDArray[np.uint16]
) -> None:
    """Wherever an attribute stands it is found; kVp, kernel and thickness too."""
    volume = volume_of(enhance(single, tmp_path / "enhanced.dcm", shared=shared))
    assert np.array_equal(volume.hu, stored.astype(int) - 1024)
    found = volume.acquisition
    assert (found.kvp, found.kernel, found.slice_thickness_mm) == (120.0, "B30f", 3.0)


def test_the_rescale_is_each_frames_own(tmp_path: Path, stored: NDArray[np.uint16]) -> None:
    """Slope and intercept are read of every frame; a frame's own goes before what is shared."""

    def edit(ds: Dataset, index: int) -> None:
        ds.RescaleSlope, ds.RescaleIntercept = str(1 + index % 2), str(-1000 - index)

    def misleading(ds: Dataset) -> None:
        item = Dataset()
        item.RescaleSlope, item.RescaleIntercept = "7", "7"
        ds.SharedFunctionalGroupsSequence[0].PixelValueTransformationSequence = [item]

    slices = write_series(tmp_path, stored, edit=edit)
    volume = volume_of(enhance(slices, tmp_path / "enhanced.dcm", edit=misleading))
    for index in range(len(stored)):
        assert np.array_equal(volume.hu[index], stored[index].astype(int) * (1 + index % 2) - 1000 - index)


def test_no_more_than_a_frame_is_read_at_once(
    single: list[Path], tmp_path: Path, stored: NDArray[np.uint16], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pixels that lie behind what was read of the front are read frame by frame, wherever the cut falls."""
    image = enhance(single, tmp_path / "enhanced.dcm")
    begin = image.stat().st_size - stored.nbytes
    for length in (begin, begin + 1, begin + 40 * 48 * 2 * 3 + 17):
        monkeypatch.setattr(pixels, "_LONGEST_HEADER", length)
        assert np.array_equal(volume_of(image).hu, stored.astype(int) - 1024)


def without(*keywords: str) -> Edit:
    def edit(ds: Dataset) -> None:
        for place in (ds.SharedFunctionalGroupsSequence[0], ds.PerFrameFunctionalGroupsSequence[4]):
            for keyword in keywords:
                if keyword in place:
                    del place[keyword]

    return edit


def fewer_groups(ds: Dataset) -> None:
    ds.PerFrameFunctionalGroupsSequence = ds.PerFrameFunctionalGroupsSequence[:-1]


def no_groups(ds: Dataset) -> None:
    del ds.PerFrameFunctionalGroupsSequence


def twice(ds: Dataset) -> None:
    ds.PerFrameFunctionalGroupsSequence[4].PlanePositionSequence[0].ImagePositionPatient = AXIAL.position(3)


def gap(ds: Dataset) -> None:
    ds.PerFrameFunctionalGroupsSequence[11].PlanePositionSequence[0].ImagePositionPatient = AXIAL.position(12)


def turned(ds: Dataset) -> None:
    item = Dataset()
    item.ImageOrientationPatient = [1, 0, 0, 0, 0.9848, 0.1736]
    ds.PerFrameFunctionalGroupsSequence[4].PlaneOrientationSequence = [item]


def cut(ds: Dataset) -> None:
    ds.PixelData = ds.PixelData[: len(ds.PixelData) // 2]


REFUSALS: dict[str, tuple[Edit, StudyRefusal]] = {
    "no position": (without("PlanePositionSequence"), StudyRefusal.MIXED_ORIENTATION),
    "no orientation": (without("PlaneOrientationSequence"), StudyRefusal.MIXED_ORIENTATION),
    "no pixel spacing": (without("PixelMeasuresSequence"), StudyRefusal.MIXED_ORIENTATION),
    "no rescale": (without("PixelValueTransformationSequence"), StudyRefusal.MIXED_ORIENTATION),
    "fewer groups than frames": (fewer_groups, StudyRefusal.MIXED_ORIENTATION),
    "no groups": (no_groups, StudyRefusal.MIXED_ORIENTATION),
    "a position twice": (twice, StudyRefusal.DUPLICATE_POSITIONS),
    "a gap": (gap, StudyRefusal.UNEVEN_SPACING),
    "a frame turned": (turned, StudyRefusal.MIXED_ORIENTATION),
    "half of the pixels": (cut, StudyRefusal.PIXELS_UNREADABLE),
}


@pytest.mark.parametrize("fault", REFUSALS)
def test_what_must_not_be_measured_is_refused_with_its_code(fault: str, single: list[Path], tmp_path: Path) -> None:
    """One faulty frame is enough."""
    edit, code = REFUSALS[fault]
    found = refusal([enhance(single, tmp_path / "enhanced.dcm", edit=edit)])
    assert isinstance(found, NotAnalysable)
    assert found.code is code


@pytest.mark.parametrize("where", [-1, -5000, 2000])
@pytest.mark.parametrize("syntax", [_SYNTAXES[0], RLELossless], ids=lambda uid: uid.name)
def test_one_bit_of_the_file_changed_is_untrusted(where: int, syntax: UID, single: list[Path], tmp_path: Path) -> None:
    """In the last pixel, in a middle frame, in the header: the digest is of the whole file, also in pieces."""
    image = enhance(single, tmp_path / "enhanced.dcm", syntax=syntax)
    series = candidate([image])
    content = bytearray(image.read_bytes())
    content[where] ^= 1
    image.write_bytes(content)
    with pytest.raises(Untrusted) as caught:
        read(series, spool(), MeasurementSettings())
    assert caught.value.code is StudyRefusal.INPUT_UNTRUSTED


def test_a_frame_as_an_image_of_its_own_has_the_plane_of_the_slice(single: list[Path], tmp_path: Path) -> None:
    """What the report is built on: position, orientation, spacing and thickness stand where a slice has them."""
    ds = dcmread(enhance(single, tmp_path / "enhanced.dcm"))
    for alone, path in zip(singles(ds), single, strict=True):
        slice_ = dcmread(path)
        for keyword in ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "SliceThickness"):
            assert alone[keyword].value == slice_[keyword].value
        assert "PerFrameFunctionalGroupsSequence" not in alone
        assert alone.SOPInstanceUID == ds.SOPInstanceUID
    assert "PerFrameFunctionalGroupsSequence" in ds
