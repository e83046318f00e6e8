import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from made_enhanced import Edit, enhance
from made_series import instance, write_series
from pydicom import Dataset, dcmread
from pydicom.dataelem import RawDataElement
from pydicom.tag import Tag

from node.content import Header, gather, header
from node.core.errors import Untrusted
from node.core.reasons import StudyRefusal
from node.core.records import Instance
from node.identity import Identity, require_one_patient

Datasets = Callable[..., list[Dataset]]
Headers = Callable[..., list[Header]]

INSTANCE = Instance("1.2.3.1.1", "1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.1.2.1", "aa", "x.dcm")


def identity(patient_id: str = "", issuer: str = "", name: str = "", birth_date: str = "") -> Identity:
    ds = Dataset()
    ds.PatientID, ds.IssuerOfPatientID, ds.PatientName, ds.PatientBirthDate = patient_id, issuer, name, birth_date
    return header(ds, INSTANCE).identity


def test_a_header_is_read_once_and_normalised(series: Datasets) -> None:
    """What later stages compare is in one form: capitals for coded words, numbers as numbers."""
    (ds,) = series(count=1, ImageType=["ORIGINAL", "PRIMARY", "axial "], RescaleType="hu", PatientWeight="80")
    one = header(ds, INSTANCE, " SCANNER ")
    assert one.image_type == ("ORIGINAL", "PRIMARY", "AXIAL")
    assert (one.rescale_type, one.calling_ae_title) == ("HU", "SCANNER")
    assert (one.series_number, one.frames, one.samples_per_pixel) == (2, 1, 1)
    assert (one.patient_size, one.patient_weight_kg, one.patient_sex) == (1.75, 80.0, "F")
    assert one.plane is not None
    assert one.instance is INSTANCE


def test_an_empty_data_set_is_a_header_without_values() -> None:
    """Nothing is required: what is absent stays absent."""
    one = header(Dataset(), INSTANCE)
    assert one.identity == Identity("", "", "", "")
    assert (one.modality, one.series_number, one.image_type, one.frames) == ("", None, (), 1)
    assert (one.plane, one.patient_size, one.patient_weight_kg) == (None, None, None)


@pytest.mark.parametrize(
    ("keyword", "vr", "raw"),
    [
        ("PatientSize", "DS", b"1,75"),
        ("PatientSize", "DS", b"tall"),
        ("PatientSize", "DS", b"1.75\\1.80"),
        ("PatientSize", "XX", b"1.75"),
    ],
)
def test_a_height_that_is_no_number_is_not_taken_for_absent(keyword: str, vr: str, raw: bytes) -> None:
    """Something was written and cannot be read: that is NaN, so that it is told apart from nothing."""
    ds = Dataset()
    tag = Tag(keyword)
    ds[tag] = RawDataElement(tag, vr, len(raw), raw, 0, False, True)
    value = header(ds, INSTANCE).patient_size
    assert value is not None
    assert math.isnan(value)


@pytest.mark.parametrize("raw", [b"", b"  "])
def test_a_height_that_is_blank_is_absent(raw: bytes) -> None:
    """An empty Patient's Size says nothing."""
    ds = Dataset()
    tag = Tag("PatientSize")
    ds[tag] = RawDataElement(tag, "DS", len(raw), raw, 0, False, True)
    assert header(ds, INSTANCE).patient_size is None


@pytest.mark.parametrize(
    "keyword",
    [
        "SeriesNumber",
        "NumberOfFrames",
        "RescaleType",
        "Manufacturer",
        "PatientSex",
        "FrameOfReferenceUID",
        "PatientName",
    ],
)
@pytest.mark.parametrize("vr", ["XX", "IS", "SQ", "US"])
def test_a_malformed_value_raises_nothing(series: Datasets, keyword: str, vr: str) -> None:
    """An element of an unknown or wrong value representation becomes an absent or odd value, never an exception."""
    (ds,) = series(count=1)
    tag = Tag(keyword)
    ds[tag] = RawDataElement(tag, vr, 3, b"1\\x", 0, False, True)
    header(ds, INSTANCE)


def test_a_study_is_grouped_by_series_in_a_fixed_order(series: Datasets, headers_of: Headers) -> None:
    """The order in which instances came does not matter."""
    headers = headers_of([*series("1.2.3.2", 3), *series("1.2.3.1", 2)])
    content = gather("1.2.3", headers)
    assert content == gather("1.2.3", headers[::-1])
    assert [(one.series_instance_uid, len(one.headers)) for one in content.series] == [("1.2.3.1", 2), ("1.2.3.2", 3)]
    assert content.sop_instance_uids == {one.instance.sop_instance_uid for one in headers}
    assert (content.series[0].modality, content.series[0].number, content.series[0].description) == (
        "CT",
        2,
        "portal venous",
    )


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"patient_id": "P1"}, {"patient_id": "P2"}),
        ({"patient_id": "P1", "issuer": "HOSPITAL A"}, {"patient_id": "P1", "issuer": "HOSPITAL B"}),
        ({"patient_id": "P1", "name": "Doe^Jane"}, {"patient_id": "P1", "name": "Roe^Jane"}),
        ({"patient_id": "P1", "birth_date": "19600101"}, {"patient_id": "P1", "birth_date": "19600102"}),
        ({"name": "Doe^Jane"}, {"patient_id": "P1", "name": "Doe^John"}),
        ({"patient_id": "0123"}, {"patient_id": "123"}),
        ({"name": "Yamada^Tarou=山田^太郎"}, {"name": "Yamada^Tarou=山田^次郎"}),
        ({"name": "=山田^太郎"}, {"name": "山田^次郎"}),
        ({"name": "Yamada^Tarou==やまだ^たろう"}, {"name": "==ヤマダ^ジロウ"}),
        ({"name": "Wang^XiaoDong=王^小东"}, {"name": "Wang^XiaoLong"}),
    ],
    ids=[
        "id",
        "issuer",
        "name",
        "birth-date",
        "one-without-id",
        "leading-zero",
        "ideograms",
        "ideograms-first",
        "spoken",
        "letters",
    ],
)
def test_two_patients_are_told_apart(one: dict[str, str], other: dict[str, str]) -> None:
    """Any attribute with two values is a conflict; the message names the attribute and no value."""
    with pytest.raises(Untrusted) as caught:
        require_one_patient([identity(**one), identity(**one), identity(**other)])
    assert caught.value.code is StudyRefusal.PATIENT_CONFLICT
    for value in {*one.values(), *other.values()}:
        assert value not in str(caught.value)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"patient_id": "P1", "name": "Doe^Jane"}, {"patient_id": "p1 ", "name": "DOE^JANE^^"}),
        ({"name": "Doe^Jane  Ann"}, {"name": " doe^jane ann^"}),
        ({"name": "Yamada^Tarou=山田^太郎=やまだ^たろう"}, {"name": "YAMADA^TAROU"}),
        ({"name": "Müller^Zoë"}, {"name": "Mu\u0308ller^Zoe\u0308"}),
        ({"patient_id": "P1", "issuer": "A"}, {"patient_id": "P1"}),
        ({"name": "Yamada^Tarou=山田^太郎"}, {"name": "=山田^太郎=やまだ^たろう"}),
        ({"name": "ﾔﾏﾀﾞ^ﾀﾛｳ=山田^太郎"}, {"name": "Yamada^Tarou=山田^太郎=やまだ^たろう"}),
        ({"name": "王^小东"}, {"name": "Wang^XiaoDong=王^小东"}),
        ({"name": "Hong^Gildong=洪^吉洞=홍^길동"}, {"name": "홍^길동"}),
        ({"birth_date": "1960.01.01"}, {"birth_date": "19600101"}),
        ({"patient_id": "P1", "name": "Doe^Jane", "birth_date": "19600101"}, {}),
    ],
    ids=[
        "case",
        "spaces",
        "writing-systems",
        "composed-letters",
        "no-issuer",
        "no-letters",
        "katakana",
        "ideograms-alone",
        "hangul",
        "old-date",
        "anonymous",
    ],
)
def test_one_patient_written_differently_is_one_patient(one: dict[str, str], other: dict[str, str]) -> None:
    """Case, padding, empty components, scripts and missing attributes are no second patient."""
    require_one_patient([identity(**one), identity(**other)])


def test_a_missing_value_between_two_others_hides_no_conflict() -> None:
    """All values are compared with each other, not each with its neighbour."""
    with pytest.raises(Untrusted):
        require_one_patient([identity("P1"), identity(), identity("P2")])


def test_two_patients_in_one_series_are_found(series: Datasets, headers_of: Headers) -> None:
    """One slice of another patient under the same series UID is enough."""
    datasets = series(PatientID=lambda index: "P2" if index == 7 else "P1")
    with pytest.raises(Untrusted) as caught:
        gather("1.2.3", headers_of(datasets))
    assert caught.value.code is StudyRefusal.PATIENT_CONFLICT


@pytest.mark.filterwarnings("ignore")
def test_every_malformed_file_of_the_corpus_has_a_header(test_data: Any) -> None:
    """What pydicom can open at all gives a header without an exception."""
    read = 0
    for path in sorted((test_data / "malformed").rglob("*")):
        if path.is_file():
            try:
                ds = dcmread(path, stop_before_pixels=True)
            except Exception:  # noqa: BLE001, S112 - not this test's concern
                continue
            header(ds, INSTANCE)
            read += 1
    assert read > 100


@pytest.fixture
def enhanced(tmp_path: Path) -> Callable[[Edit | None], Header]:
    """Return a function that makes an Enhanced CT image of twelve frames and returns its header."""
    slices = write_series(tmp_path, np.zeros((12, 4, 5), dtype=np.uint16))

    def make(edit: Edit | None = None) -> Header:
        path = enhance(slices, tmp_path / "enhanced.dcm", edit=edit)
        return header(dcmread(path), instance(path))

    return make


def test_a_multi_frame_image_has_a_plane_for_each_frame(enhanced: Callable[..., Header]) -> None:
    """Its first frame stands for the slice that rules ask for; each plane lies where its slice did."""
    one = enhanced()
    assert len(one.planes) == one.frames == 12
    assert one.plane == one.planes[0]
    assert [plane.position_mm[2] for plane in one.planes] == [100.0 + 3 * index for index in range(12)]
    assert {plane.pixel_spacing_mm for plane in one.planes} == {(0.8, 0.7)}
    assert one.image_type == ("ORIGINAL", "PRIMARY", "VOLUME", "NONE")
    assert one.rescale_type == "HU"


def test_one_frame_that_lies_nowhere_is_enough_for_no_plane(enhanced: Callable[..., Header]) -> None:
    """A multi-frame image is a whole: no plane of it counts where one is missing."""

    def edit(ds: Dataset) -> None:
        del ds.PerFrameFunctionalGroupsSequence[5].PlanePositionSequence

    one = enhanced(edit)
    assert (one.plane, one.planes) == (None, ())


def test_what_only_a_frame_says_is_seen(enhanced: Callable[..., Header]) -> None:
    """A projection by its calculation, a localizer by its frame's type, units that are not the same in all frames."""

    def edit(ds: Dataset) -> None:
        kind = Dataset()
        kind.FrameType, kind.VolumeBasedCalculationTechnique = ["ORIGINAL", "PRIMARY", "LOCALIZER", "NONE"], "MAX_IP"
        other = Dataset()
        other.RescaleSlope, other.RescaleIntercept, other.RescaleType = "1", "0", "MGML"
        frame = ds.PerFrameFunctionalGroupsSequence[5]
        frame.CTImageFrameTypeSequence, frame.PixelValueTransformationSequence = [kind], [other]

    one = enhanced(edit)
    assert {"LOCALIZER", "MAX_IP"} <= set(one.image_type[2:])
    assert one.rescale_type == "HU/MGML"


def test_a_single_frame_has_one_plane(series: Datasets) -> None:
    """Whatever it says of frames in groups that it should not have."""
    (ds,) = series(count=1)
    one = header(ds, INSTANCE)
    assert one.planes == (one.plane,)
    del ds.ImagePositionPatient
    assert header(ds, INSTANCE).planes == ()
