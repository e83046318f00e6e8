import hashlib
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from made_series import AXIAL, LAYOUTS, NATIVE, ROOT, Edit, candidate, spool, write_series
from numpy.typing import NDArray
from pydicom import Dataset, dcmread
from pydicom._uid_dict import UID_dictionary
from pydicom.pixels import get_decoder
from pydicom.uid import (
    JPEG2000,
    UID,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGLossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    JPEGLSNearLossless,
    RLELossless,
)
from studies import Study

from node.core.dicom import COMPRESSED, TRANSFER_SYNTAXES
from node.core.errors import NodeError, NotAnalysable, Untrusted
from node.core.reasons import StudyRefusal
from node.core.records import Candidate
from node.core.settings import MeasurementSettings
from workers.records import Volume
from workers.volume import read

SHAPE = (12, 40, 48)
OTHERS = [UID(uid) for uid, facts in UID_dictionary.items() if facts[1] == "Transfer Syntax"]
OTHERS = [uid for uid in OTHERS if uid not in TRANSFER_SYNTAXES]


@pytest.fixture(scope="module")
def stored() -> NDArray[np.uint16]:
    """Stored values of a 12-bit CT, none of them like another slice's."""
    return np.random.default_rng(1).integers(0, 4096, SHAPE).astype(np.uint16)


@pytest.fixture(scope="module")
def series(stored: NDArray[np.uint16], tmp_path_factory: pytest.TempPathFactory) -> Candidate:
    """A sound series."""
    return candidate(write_series(tmp_path_factory.mktemp("sound"), stored))


def volume_of(paths: list[Path]) -> Volume:
    return read(candidate(paths), spool(), MeasurementSettings())


def setting(**values: Any) -> Edit:
    """Return an edit that sets attributes on every slice."""

    def edit(ds: Dataset, _: int) -> None:
        for keyword, value in values.items():
            setattr(ds, keyword, value)

    return edit


def on_slice(number: int, **values: Any) -> Edit:
    """Return an edit that sets attributes on one slice."""
    return lambda ds, index: setting(**values)(ds, index) if index == number else None


def test_values_are_rescaled_and_slices_run_from_inferior_to_superior(
    tmp_path: Path, stored: NDArray[np.uint16]
) -> None:
    """Files in any order give the slices upwards, in HU, with the instance of each beside it, as int16."""
    paths = write_series(tmp_path, stored)
    mixed = [paths[index] for index in np.random.default_rng(2).permutation(len(paths))]
    volume = volume_of(mixed)
    assert volume.hu.dtype == np.int16
    assert np.array_equal(volume.hu, stored.astype(int) - 1024)
    assert [one.path for one in volume.instances] == [str(path) for path in paths]
    assert volume.geometry.spacing_mm == pytest.approx((3.0, 0.8, 0.7))
    assert volume.geometry.origin_mm == (-11.0, -23.0, 100.0)
    assert volume.geometry.frame_of_reference_uid == f"{ROOT}.9"


@pytest.mark.parametrize("name", LAYOUTS)
def test_voxels_keep_their_rows_and_columns_in_every_layout(
    name: str, tmp_path: Path, stored: NDArray[np.uint16]
) -> None:
    """Whichever way the slices are stacked or lie, each is kept as stored, and its geometry is the header's."""
    layout = LAYOUTS[name]
    volume = volume_of(write_series(tmp_path, stored, layout=layout))
    upward = layout.position(1)[2] > layout.position(0)[2]
    expected = stored if upward else stored[::-1]
    assert np.array_equal(volume.hu, expected.astype(int) - 1024)
    for index, one in enumerate(volume.instances):
        ds = dcmread(one.path, stop_before_pixels=True)
        corner = volume.geometry.affine @ [index, 0, 0, 1]
        assert corner[:3] == pytest.approx([float(value) for value in ds.ImagePositionPatient], abs=1e-3)
    down = volume.geometry.affine[:3, 1] / 0.8
    assert down == pytest.approx(layout.column, abs=1e-6)


def test_the_rescale_is_each_slices_own(tmp_path: Path, stored: NDArray[np.uint16]) -> None:
    """Slope and intercept are read from every slice, as PET-CT and some CT writers vary them."""

    def edit(ds: Dataset, index: int) -> None:
        ds.RescaleSlope, ds.RescaleIntercept = str(1 + index % 2), str(-1000 - index)

    volume = volume_of(write_series(tmp_path, stored, edit=edit))
    for index in range(len(stored)):
        assert np.array_equal(volume.hu[index], stored[index].astype(int) * (1 + index % 2) - 1000 - index)


def test_a_slope_that_is_no_whole_number_keeps_its_fractions(tmp_path: Path, stored: NDArray[np.uint16]) -> None:
    """One slice with slope 0.5 and intercept -1024.25 makes the volume float32 and changes no other slice."""
    edit = on_slice(4, RescaleSlope="0.5", RescaleIntercept="-1024.25")
    volume = volume_of(write_series(tmp_path, stored, edit=edit))
    assert volume.hu.dtype == np.float32
    assert np.array_equal(volume.hu[4], stored[4] * 0.5 - 1024.25)
    assert np.array_equal(volume.hu[5], stored[5].astype(int) - 1024)


def test_values_beyond_int16_make_it_int32(tmp_path: Path, stored: NDArray[np.uint16]) -> None:
    """A slice of 16 stored bits with slope 1 overflows int16: every value is kept, none wraps round."""
    large = stored.copy()
    large[7, 3, 3] = 65535
    volume = volume_of(write_series(tmp_path, large))
    assert volume.hu.dtype == np.int32
    assert np.array_equal(volume.hu, large.astype(int) - 1024)


def test_signed_pixels_and_padding_are_read_as_they_are(tmp_path: Path, stored: NDArray[np.uint16]) -> None:
    """Signed stored values keep their sign; padding outside the field of view is neither masked nor clipped."""
    signed = stored.astype(np.int16) - 1024
    signed[:, :2] = -3024
    volume = volume_of(
        write_series(tmp_path, signed, edit=setting(RescaleIntercept="0", PixelPaddingValue=-3024)),
    )
    assert volume.hu.dtype == np.int16
    assert np.array_equal(volume.hu, signed)


@pytest.mark.parametrize("slope", ["1", "0.37", "40"])
def test_the_sha1_is_that_of_its_definition(slope: str, tmp_path: Path, stored: NDArray[np.uint16]) -> None:
    """SHA-1 of rounded HU as little-endian int32, slices upwards, rows, columns, whatever the array's own type."""
    volume = volume_of(write_series(tmp_path, stored, edit=setting(RescaleSlope=slope)))
    hu = stored.astype(np.float32) * np.float32(slope) - np.float32(1024)
    words = b"".join(int(value).to_bytes(4, "little", signed=True) for value in np.rint(hu).ravel().tolist())
    assert volume.sha1 == hashlib.sha1(words, usedforsecurity=False).hexdigest()


@pytest.mark.parametrize("syntax", [*NATIVE, RLELossless, JPEGLSLossless, JPEG2000Lossless], ids=lambda uid: uid.name)
def test_every_transfer_syntax_gives_the_same_volume(
    syntax: UID, tmp_path: Path, stored: NDArray[np.uint16], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was encoded without loss decodes to the values that went in."""
    volume = volume_of(write_series(tmp_path, stored, syntax=syntax))
    assert {one.transfer_syntax_uid for one in volume.instances} == {syntax}
    assert np.array_equal(volume.hu, stored.astype(int) - 1024)


def test_every_transfer_syntax_that_is_taken_in_has_a_decoder() -> None:
    """What the door accepts can be decoded on this installation."""
    assert [uid.name for uid in COMPRESSED if not get_decoder(uid).is_available] == []


@pytest.mark.parametrize(("option", "syntax"), [("+e1", JPEGLosslessSV1), ("+el", JPEGLossless)])
def test_jpeg_lossless_by_dcmtk_gives_the_same_volume(
    option: str, syntax: UID, tmp_path: Path, stored: NDArray[np.uint16], lacking: Callable[[str], None]
) -> None:
    """JPEG Lossless, which no encoder of ours writes, as DCMTK writes it."""
    if shutil.which("dcmcjpeg") is None:
        lacking("dcmcjpeg (dcmtk)")
    packed = []
    for path in write_series(tmp_path / "plain", stored):
        target = tmp_path / path.name
        subprocess.run(["dcmcjpeg", option, "+un", str(path), str(target)], check=True)
        packed.append(target)
    volume = volume_of(packed)
    assert {one.transfer_syntax_uid for one in volume.instances} == {syntax}
    assert np.array_equal(volume.hu, stored.astype(int) - 1024)


def test_loss_is_told(tmp_path: Path, stored: NDArray[np.uint16]) -> None:
    """Near-lossless slices are read, and one of them is enough for the acquisition to say so."""

    def pack(ds: Dataset, index: int) -> None:
        if index == 6:
            ds.compress(JPEGLSNearLossless, jls_error=2)
            ds.LossyImageCompression = "01"

    volume = volume_of(write_series(tmp_path, stored, edit=pack))
    assert np.abs(volume.hu - (stored.astype(int) - 1024)).max() <= 2
    assert volume.acquisition.lossy
    assert not volume_of(write_series(tmp_path / "plain", stored)).acquisition.lossy


@pytest.mark.parametrize("syntax", [JPEGLSNearLossless, JPEG2000], ids=lambda uid: uid.name)
def test_an_encoding_that_may_lose_counts_as_loss(syntax: UID, tmp_path: Path, stored: NDArray[np.uint16]) -> None:
    """One slice encoded so is enough, whatever its header says of loss."""

    def pack(ds: Dataset, index: int) -> None:
        if index == 6:
            ds.LossyImageCompression = "00"
            ds.compress(syntax, **({"jls_error": 1} if syntax == JPEGLSNearLossless else {"j2k_cr": [2]}))

    volume = volume_of(write_series(tmp_path, stored, edit=pack))
    assert volume.acquisition.lossy
    assert {one.transfer_syntax_uid for one in volume.instances} >= {syntax}


def test_jpeg_baseline_is_read_and_counts_as_loss(tmp_path: Path, lacking: Callable[[str], None]) -> None:
    """Eight bits of DCMTK's JPEG, whose values are near those that went in."""
    if shutil.which("dcmcjpeg") is None:
        lacking("dcmcjpeg (dcmtk)")
    smooth = np.broadcast_to(np.arange(48, dtype=np.uint16) * 5, SHAPE).copy()

    def eight_bits(ds: Dataset, _: int) -> None:
        ds.BitsAllocated, ds.BitsStored, ds.HighBit = 8, 8, 7
        ds.PixelData = np.frombuffer(ds.PixelData, "<u2").astype(np.uint8).tobytes()
        ds["PixelData"].VR = "OB"

    packed = []
    for path in write_series(tmp_path / "plain", smooth, edit=eight_bits):
        subprocess.run(["dcmcjpeg", "+eb", "+un", str(path), str(tmp_path / path.name)], check=True)
        packed.append(tmp_path / path.name)
    volume = volume_of(packed)
    assert {one.transfer_syntax_uid for one in volume.instances} == {JPEGBaseline8Bit}
    assert np.abs(volume.hu - (smooth.astype(int) - 1024)).max() <= 8
    assert volume.acquisition.lossy


PADDING: dict[str, tuple[int, dict[str, Any], tuple[tuple[float, float], ...]]] = {
    "said": (-1500, {"PixelPaddingValue": -1500}, ((-1500, -1500),)),
    "said as an unsigned number": (-1500, {"PixelPaddingValue": 65536 - 1500}, ((-1500, -1500),)),
    "a range": (-1200, {"PixelPaddingValue": -1500, "PixelPaddingRangeLimit": -1100}, ((-1500, -1100),)),
    "a range downwards": (-1200, {"PixelPaddingValue": -1100, "PixelPaddingRangeLimit": -1500}, ((-1500, -1100),)),
    "GE's custom": (-2000, {}, ((-2000, -2000),)),
    "Siemens' custom": (-3024, {}, ((-3024, -3024),)),
    "said and not there": (-1024, {"PixelPaddingValue": -1500}, ()),
    "a value of tissue": (-1024, {"PixelPaddingValue": 40}, ()),
    "a limit without a value": (-1200, {"PixelPaddingRangeLimit": -1100}, ()),
    "not a number": (-1200, {"PixelPaddingValue": None}, ()),
}


@pytest.mark.parametrize("case", PADDING)
def test_padding_is_known_by_what_is_said_and_by_custom(case: str, tmp_path: Path, stored: NDArray[np.uint16]) -> None:
    """Its values and how many voxels have them are told; the volume keeps them."""
    value, said, expected = PADDING[case]
    signed = np.clip(stored.astype(np.int16), 0, 3000) - 1000
    signed[3:, :2] = value

    def edit(ds: Dataset, _: int) -> None:
        ds.RescaleIntercept = "0"
        for keyword, number in said.items():
            ds.add_new(keyword, "SS" if number is None or number < 2**15 else "US", number)

    volume = volume_of(write_series(tmp_path, signed, edit=edit))
    assert np.array_equal(volume.hu, signed)
    assert volume.acquisition.padding_hu == expected
    assert volume.acquisition.padding_voxels == (9 * 2 * 48 if expected else 0)


def test_padding_is_rescaled_as_its_slice_is(tmp_path: Path, stored: NDArray[np.uint16]) -> None:
    """It is said in stored values (PS3.3 C.7.5.1.1.2): slope and intercept apply, each slice's own."""
    padded = stored.copy()
    padded[:, :2] = 0

    def edit(ds: Dataset, index: int) -> None:
        ds.RescaleIntercept, ds.PixelPaddingValue = str(-1300 - index % 2), 0

    found = volume_of(write_series(tmp_path, padded, edit=edit)).acquisition
    assert found.padding_hu == ((-1301, -1301), (-1300, -1300))
    assert found.padding_voxels == np.count_nonzero(padded == 0)


@pytest.mark.parametrize(
    ("edit", "expected"),
    [
        (setting(KVP=None), {"kvp": None}),
        (setting(KVP="100"), {"kvp": 100.0}),
        (setting(KVP="nan"), {"kvp": None}),
        (setting(SliceThickness=None), {"slice_thickness_mm": None}),
        (setting(ConvolutionKernel=["I31f", "3"]), {"kernel": "I31f\\3"}),
        (setting(ContrastBolusAgent="Iohexol"), {"contrast": "Iohexol"}),
        (setting(ContrastBolusAgentSequence=[Dataset()]), {"contrast": "coded agent"}),
        (setting(PatientPosition=None, Manufacturer=None), {"patient_position": "", "manufacturer": ""}),
    ],
)
@pytest.mark.filterwarnings("ignore:Invalid value for VR")
def test_the_acquisition_says_what_the_header_says(
    edit: Edit, expected: dict[str, Any], tmp_path: Path, stored: NDArray[np.uint16]
) -> None:
    """Tube voltage, thickness, kernel, contrast; absent or senseless values become absent ones."""
    acquisition = volume_of(write_series(tmp_path, stored, edit=edit)).acquisition
    assert {name: getattr(acquisition, name) for name in expected} == expected


def cut_pixels(ds: Dataset, index: int) -> None:
    if index == 3:
        ds.PixelData = ds.PixelData[: len(ds.PixelData) // 2]


def damage_codestream(ds: Dataset, index: int) -> None:
    if index == 3:
        ds.compress(JPEG2000Lossless)
        ds.PixelData = ds.PixelData.replace(b"\xff\x4f\xff\x51", b"\x00\x00\x00\x00")


def without_slope(ds: Dataset, index: int) -> None:
    if index == 3:
        del ds.RescaleSlope


def two_frames(ds: Dataset, _: int) -> None:
    ds.NumberOfFrames, ds.PixelData = 2, ds.PixelData * 2


def turned(ds: Dataset, index: int) -> None:
    if index == 3:
        ds.ImageOrientationPatient = [1, 0, 0, 0, 0.9848, 0.1736]


REFUSALS: dict[str, tuple[Edit, StudyRefusal]] = {
    "half of the pixels": (cut_pixels, StudyRefusal.PIXELS_UNREADABLE),
    "a damaged codestream": (damage_codestream, StudyRefusal.PIXELS_UNREADABLE),
    "no rescale slope": (without_slope, StudyRefusal.PIXELS_UNREADABLE),
    "a slope that is no number": (on_slice(3, RescaleSlope="nan"), StudyRefusal.PIXELS_UNREADABLE),
    "two frames": (two_frames, StudyRefusal.PIXELS_UNREADABLE),
    "another orientation": (turned, StudyRefusal.MIXED_ORIENTATION),
    "another pixel spacing": (on_slice(3, PixelSpacing=["0.9", "0.7"]), StudyRefusal.MIXED_ORIENTATION),
    "another size": (on_slice(3, Rows=20, Columns=96), StudyRefusal.MIXED_ORIENTATION),
    "no position": (on_slice(3, ImagePositionPatient=None), StudyRefusal.MIXED_ORIENTATION),
    "another frame": (on_slice(3, FrameOfReferenceUID="1.2.3"), StudyRefusal.MIXED_FRAME_OF_REFERENCE),
    "a position twice": (on_slice(3, ImagePositionPatient=AXIAL.position(2)), StudyRefusal.DUPLICATE_POSITIONS),
    "a slice moved": (on_slice(11, ImagePositionPatient=AXIAL.position(12)), StudyRefusal.UNEVEN_SPACING),
}


@pytest.mark.parametrize("fault", REFUSALS)
@pytest.mark.filterwarnings("ignore:Invalid value for VR")
def test_what_must_not_be_measured_is_refused_with_its_code(
    fault: str, tmp_path: Path, stored: NDArray[np.uint16]
) -> None:
    """One faulty slice, or a fault of all, refuses the series with the code that names it."""
    edit, code = REFUSALS[fault]
    with pytest.raises(NotAnalysable) as caught:
        volume_of(write_series(tmp_path, stored, edit=edit))
    assert caught.value.code is code


def test_a_missing_slice_is_uneven_spacing(tmp_path: Path, stored: NDArray[np.uint16]) -> None:
    """A gap in the middle is not bridged."""
    paths = write_series(tmp_path, np.repeat(stored, 2, axis=0))
    with pytest.raises(NotAnalysable) as caught:
        volume_of(paths[:9] + paths[10:])
    assert caught.value.code is StudyRefusal.UNEVEN_SPACING


def test_too_few_slices(tmp_path: Path, stored: NDArray[np.uint16]) -> None:
    """Nine slices of the ten that the settings ask for."""
    with pytest.raises(NotAnalysable) as few:
        volume_of(write_series(tmp_path, stored[:9]))
    assert few.value.code is StudyRefusal.TOO_FEW_SLICES


def test_a_tilted_series_is_read_or_refused_as_the_site_wants(tmp_path: Path, stored: NDArray[np.uint16]) -> None:
    """Its voxels are those of the files on a sheared grid; a site that does not want it has it refused."""
    paths = write_series(tmp_path, stored, layout=replace(AXIAL, step_mm=(0.0, 0.3, 3.0)))
    found = volume_of(paths)
    assert found.geometry.slice_step_mm == pytest.approx((0.0, 0.3, 3.0))
    assert np.array_equal(found.hu, stored.astype(np.int16) - 1024)
    with pytest.raises(NotAnalysable, match=r"5\.7 degrees") as refused:
        read(candidate(paths), spool(), MeasurementSettings(gantry_tilt="refuse"))
    assert refused.value.code is StudyRefusal.GANTRY_TILT


def changed(series: Candidate, number: int, **values: str) -> Candidate:
    instances = list(series.instances)
    instances[number] = replace(instances[number], **values)
    return replace(series, instances=tuple(instances))


def test_an_unknown_transfer_syntax_is_refused_before_anything_is_decoded(
    tmp_path: Path, stored: NDArray[np.uint16]
) -> None:
    """MPEG-4 in a CT: the code names the encoding."""
    series = changed(candidate(write_series(tmp_path, stored)), 3, transfer_syntax_uid="1.2.840.10008.1.2.4.102")
    with pytest.raises(NotAnalysable) as caught:
        read(series, spool(), MeasurementSettings())
    assert caught.value.code is StudyRefusal.TRANSFER_SYNTAX_UNSUPPORTED
    assert caught.value.detail == "MPEG-4 AVC/H.264 High Profile / Level 4.1 (1.2.840.10008.1.2.4.102)"


@pytest.mark.parametrize("uid", OTHERS, ids=lambda uid: uid.name)
def test_every_other_transfer_syntax_of_the_standard_is_refused_by_its_name(uid: UID, series: Candidate) -> None:
    """HTJ2K, JPEG Extended, MPEG, what is retired: each is told by name, none is tried."""
    with pytest.raises(NotAnalysable) as caught:
        read(changed(series, 3, transfer_syntax_uid=uid), spool(), MeasurementSettings())
    assert caught.value.code is StudyRefusal.TRANSFER_SYNTAX_UNSUPPORTED
    assert caught.value.detail == f"{uid.name} ({uid})"


@pytest.mark.parametrize(
    ("uid", "told"), [("1.2.3", "1.2.3"), ("", "not named by a UID"), ("Doe^Jane", "not named by a UID")]
)
def test_an_encoding_that_nobody_knows_is_told_by_its_uid_alone(uid: str, told: str, series: Candidate) -> None:
    """What is no UID is not repeated: anything may stand there."""
    with pytest.raises(NotAnalysable) as caught:
        read(changed(series, 3, transfer_syntax_uid=uid), spool(), MeasurementSettings())
    assert caught.value.detail == told


def gone(path: Path) -> None:
    path.unlink()


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-40])


def emptied(path: Path) -> None:
    path.write_bytes(b"")


def one_bit(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


def moved(path: Path) -> None:
    ds = dcmread(path)
    ds.ImagePositionPatient = AXIAL.position(20)
    ds.save_as(path)


@pytest.mark.parametrize(
    ("harm", "code"),
    [
        (gone, StudyRefusal.INPUT_INCOMPLETE),
        (cut, StudyRefusal.INPUT_UNTRUSTED),
        (emptied, StudyRefusal.INPUT_UNTRUSTED),
        (one_bit, StudyRefusal.INPUT_UNTRUSTED),
        (moved, StudyRefusal.INPUT_UNTRUSTED),
    ],
)
def test_a_file_that_is_not_the_one_received_is_untrusted(
    harm: Callable[[Path], None], code: StudyRefusal, tmp_path: Path, stored: NDArray[np.uint16]
) -> None:
    """Gone, cut, emptied, one bit of a pixel changed, or its header: stop and keep the evidence, refuse nothing."""
    paths = write_series(tmp_path, stored)
    series = candidate(paths)
    harm(paths[5])
    with pytest.raises(NodeError) as caught:
        read(series, spool(), MeasurementSettings())
    assert isinstance(caught.value, Untrusted)
    assert caught.value.code is code


def test_a_phantom_is_known_by_every_slice(coarse_phantom: Study, tmp_path: Path) -> None:
    """A series is synthetic only where all its slices are the phantom's: one of a patient among them is enough."""
    instances = coarse_phantom.request.candidates[0].instances
    assert coarse_phantom.volume.acquisition.synthetic
    ds = dcmread(instances[7].path)
    ds.PatientIdentityRemoved = "NO"
    ds.save_as(tmp_path / "patient.dcm")
    paths = [Path(one.path) for one in instances[:7]] + [tmp_path / "patient.dcm"]
    paths += [Path(one.path) for one in instances[8:]]
    assert not volume_of(paths).acquisition.synthetic
