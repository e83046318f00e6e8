from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom import Dataset
from pydicom.uid import CTImageStorage, EnhancedCTImageStorage, SecondaryCaptureImageStorage, SegmentationStorage

from node.content import Choice, Header, StudyContent, gather
from node.core.errors import NotAnalysable
from node.core.reasons import StudyRefusal
from node.core.settings import ImportRules
from node.selection import choose

Datasets = Callable[..., list[Dataset]]
Headers = Callable[..., list[Header]]

NOBODY = ImportRules()
CORONAL = [1, 0, 0, 0, 0, -1]


@pytest.fixture(scope="session")
def study(series: Datasets, headers_of: Headers) -> Callable[..., StudyContent]:
    """Return a function that makes a study of series, each a data set list."""

    def make(*all_series: list[Dataset], calling: str = "SCANNER") -> StudyContent:
        return gather("1.2.3", [one for datasets in all_series for one in headers_of(datasets, calling)])

    return make


@pytest.fixture(scope="session")
def seg(series: Datasets) -> Callable[..., list[Dataset]]:
    """Return a function that makes a SEG instance."""

    def make(uid: str = "1.2.3.8", **attributes: Any) -> list[Dataset]:
        plain = {"ImagePositionPatient": None, "NumberOfFrames": 40, "ImageType": ["DERIVED", "PRIMARY"]}
        return series(uid, 1, SOPClassUID=SegmentationStorage, Modality="SEG", **plain, **attributes)

    return make


def pick(content: StudyContent, imports: ImportRules = NOBODY, minimum: int = 10) -> Choice:
    return choose(content, imports, minimum)


def test_the_longest_series_comes_first(series: Datasets, study: Callable[..., StudyContent]) -> None:
    """What covers more of the body has more points; each has all its instances and the reason of its rank."""
    choice = pick(study(series("1.2.3.1", 20), series("1.2.3.2", 40), series("1.2.3.3", 30)))
    assert [one.series_instance_uid for one in choice.candidates] == ["1.2.3.2", "1.2.3.3", "1.2.3.1"]
    assert [len(one.instances) for one in choice.candidates] == [40, 30, 20]
    assert choice.candidates[1].why == "portal venous, a slice every 3 mm, kernel not told, 90 mm in z: 2 of 3"
    assert choice.left_out == choice.segmentations == ()


@given(order=st.permutations(range(4)))
@settings(deadline=None)
def test_ties_are_broken_the_same_way_whatever_the_order(
    series: Datasets, study: Callable[..., StudyContent], order: list[int]
) -> None:
    """Equal counts: the lower series number first, one without number last, then the UID."""
    numbered = [
        series("1.2.3.9", 12, SeriesNumber=3),
        series("1.2.3.8", 12, SeriesNumber=10),
        series("1.2.3.1", 12, SeriesNumber=10),
        series("1.2.3.0", 12, SeriesNumber=None),
    ]
    choice = pick(study(*(numbered[index] for index in order)))
    assert [one.series_instance_uid for one in choice.candidates] == ["1.2.3.9", "1.2.3.1", "1.2.3.8", "1.2.3.0"]


LEFT_OUT: dict[str, tuple[dict[str, Any], str]] = {
    "not CT": ({"Modality": "MR", "SOPClassUID": "1.2.840.10008.5.1.4.1.1.4"}, "modality MR, not CT"),
    "no modality": ({"Modality": None}, "modality unknown, not CT"),
    "localizer": ({"ImageType": ["ORIGINAL", "PRIMARY", "LOCALIZER"]}, "localizer"),
    "vendor's localizer": ({"ImageType": ["ORIGINAL", "PRIMARY", "LOCALIZER", "CT_SOM5 TOP"]}, "localizer"),
    "coronal": ({"ImageOrientationPatient": CORONAL}, "not axial"),
    "enhanced without groups": (
        {"SOPClassUID": EnhancedCTImageStorage, "NumberOfFrames": 40},
        "is missing in at least one image",
    ),
    "screen capture": ({"SOPClassUID": SecondaryCaptureImageStorage}, "not stored as CT images"),
    "several frames": ({"NumberOfFrames": 2}, "several frames or in colour"),
    "colour": ({"SamplesPerPixel": 3}, "several frames or in colour"),
    "MIP": ({"ImageType": ["DERIVED", "SECONDARY", "AXIAL", "MIP"]}, "projection or rendering"),
    "Siemens MIP": ({"ImageType": ["DERIVED", "SECONDARY", "AXIAL", "CT_SOM5 MIP"]}, "projection or rendering"),
    "rendering": ({"ImageType": ["DERIVED", "SECONDARY", "VOLUME_RENDER"]}, "projection or rendering"),
    "iodine map": ({"RescaleType": "MGML"}, "not Hounsfield units"),
    "no position": ({"ImagePositionPatient": None}, "is missing in at least one image"),
    "one without position": (
        {"ImagePositionPatient": lambda index: None if index == 4 else [0, 0, index * 3]},
        "is missing in at least one image",
    ),
    "short": ({"count": 9}, "9 axial slices, at least 10 needed"),
    "one slice": ({"count": 1}, "1 axial slice, at least 10 needed"),
}


@pytest.mark.parametrize(("attributes", "why"), LEFT_OUT.values(), ids=LEFT_OUT.keys())
def test_what_is_no_axial_ct_is_left_out_with_its_reason(
    series: Datasets, study: Callable[..., StudyContent], attributes: dict[str, Any], why: str
) -> None:
    """Beside a good series, and longer than it, the other is not taken, and a person reads why."""
    count = attributes.get("count", 40)
    rest = {name: value for name, value in attributes.items() if name != "count"}
    choice = pick(study(series("1.2.3.1", 12), series("1.2.3.2", count, **rest)))
    assert [one.series_instance_uid for one in choice.candidates] == ["1.2.3.1"]
    assert [one.series_instance_uid for one in choice.left_out] == ["1.2.3.2"]
    assert why in choice.left_out[0].why


@pytest.mark.parametrize(("attributes", "why"), LEFT_OUT.values(), ids=LEFT_OUT.keys())
def test_a_study_of_nothing_else_is_refused(
    series: Datasets, study: Callable[..., StudyContent], attributes: dict[str, Any], why: str
) -> None:
    """The study's code tells most: too few slices where that alone was missing, else no suitable series."""
    count = attributes.get("count", 40)
    rest = {name: value for name, value in attributes.items() if name != "count"}
    with pytest.raises(NotAnalysable) as caught:
        pick(study(series("1.2.3.2", count, **rest)))
    few = StudyRefusal.TOO_FEW_SLICES if "count" in attributes else StudyRefusal.NO_SUITABLE_SERIES
    assert caught.value.code is few
    assert why in caught.value.detail


def test_a_localizer_and_a_single_slice_are_too_few_slices(
    series: Datasets, study: Callable[..., StudyContent]
) -> None:
    """The series that came furthest gives the code; all reasons are counted in the detail."""
    scouts = [series(f"1.2.3.{number}", 1, ImageType=["O", "P", "LOCALIZER"]) for number in (2, 3)]
    with pytest.raises(NotAnalysable) as caught:
        pick(study(series("1.2.3.1", 1), *scouts))
    assert caught.value.code is StudyRefusal.TOO_FEW_SLICES
    assert "2 series: localizer" in caught.value.detail


@pytest.mark.parametrize(
    "attributes",
    [
        {"ImageType": ["DERIVED", "SECONDARY", "AXIAL"]},
        {"ImageType": ["DERIVED", "SECONDARY", "AXIAL", "CSA MPR"]},
        {"ImageType": None},
        {"RescaleType": "US"},
        {"ImageOrientationPatient": [1, 0, 0, 0, -1, 0]},
        {"ImageOrientationPatient": [1, 0, 0, 0, 0.9397, 0.342]},
        {"PatientID": None, "PatientName": None},
        {"ImagePositionPatient": [0, 0, 0]},
        {"ImagePositionPatient": lambda index: [0, 0, index * index]},
        {"FrameOfReferenceUID": lambda index: f"1.2.{index % 2}"},
        {"ImageOrientationPatient": lambda index: CORONAL if index == 3 else [1, 0, 0, 0, 1, 0]},
    ],
    ids=[
        "derived",
        "reformatted",
        "no-image-type",
        "unspecified-unit",
        "flipped",
        "oblique",
        "anonymous",
        "duplicate-positions",
        "uneven",
        "two-frames-of-reference",
        "one-slice-coronal",
    ],
)
def test_what_stage_6_judges_is_not_judged_here(
    series: Datasets, study: Callable[..., StudyContent], attributes: dict[str, Any]
) -> None:
    """Derived and odd series are candidates; faults of geometry get their own code from stage 6."""
    assert len(pick(study(series(**attributes))).candidates) == 1


def test_a_localizer_within_a_series_is_dropped_from_it(series: Datasets, study: Callable[..., StudyContent]) -> None:
    """Scanners that put the scout into the series do not spoil it; the reason of the rank says so."""
    localizer = lambda index: ["ORIGINAL", "PRIMARY", "LOCALIZER" if index == 0 else "AXIAL"]  # noqa: E731
    (candidate,) = pick(study(series(count=12, ImageType=localizer))).candidates
    assert len(candidate.instances) == 11
    assert candidate.why.endswith("33 mm in z, 1 localizer in it left out: 1 of 1")


def test_the_minimum_of_slices_is_the_sites(series: Datasets, study: Callable[..., StudyContent]) -> None:
    """The setting decides, at its value and not beyond."""
    content = study(series(count=5))
    assert len(pick(content, minimum=5).candidates) == 1
    with pytest.raises(NotAnalysable):
        pick(content, minimum=6)


def test_a_segmentation_is_imported_from_nobody_by_default(
    series: Datasets, seg: Datasets, study: Callable[..., StudyContent]
) -> None:
    """Without a rule the SEG is listed as left out and does not become a candidate."""
    choice = pick(study(series(), seg(Manufacturer="QIICR")))
    assert choice.segmentations == ()
    assert [(one.series_instance_uid, one.modality) for one in choice.left_out] == [("1.2.3.8", "SEG")]
    assert "has not allowed" in choice.left_out[0].why


@pytest.mark.parametrize(
    ("rules", "manufacturer", "calling", "allowed"),
    [
        (ImportRules(manufacturers=("QIICR",)), "QIICR", "SCANNER", True),
        (ImportRules(manufacturers=("qiicr ",)), "QIICR", "SCANNER", True),
        (ImportRules(manufacturers=("QIICR",)), "Other", "SCANNER", False),
        (ImportRules(manufacturers=("",)), "", "SCANNER", False),
        (ImportRules(ae_titles=("LAB",)), "Other", "LAB", True),
        (ImportRules(ae_titles=("LAB ",)), "Other", " LAB", True),
        (ImportRules(ae_titles=("LAB",)), "Other", "lab", False),
        (ImportRules(ae_titles=("LAB",)), "LAB", "SCANNER", False),
        (ImportRules(ae_titles=("PACS",), manufacturers=("crlm-node",)), "crlm-node", "PACS", False),
        (ImportRules(manufacturers=("crlm-node phantom",)), "crlm-node phantom", "PACS", True),
    ],
)
def test_the_sites_rules_decide_which_segmentations_are_imported(
    series: Datasets,
    seg: Datasets,
    study: Callable[..., StudyContent],
    rules: ImportRules,
    manufacturer: str,
    calling: str,
    allowed: bool,
) -> None:
    """By the calling AE title (exactly, case counts) or by the manufacturer; an empty name allows nobody.

    Our own results that come back from the PACS are never measured again, whatever the rules say.
    """
    choice = pick(study(series(), seg(Manufacturer=manufacturer), calling=calling), rules)
    assert bool(choice.segmentations) is allowed
    assert bool(choice.left_out) is not allowed
    assert len(choice.candidates) == 1


def test_all_allowed_segmentations_go_along(
    series: Datasets, seg: Datasets, study: Callable[..., StudyContent]
) -> None:
    """Which one is measured is for stage 7 to say; selection hands on each that may be."""
    rules = ImportRules(manufacturers=("QIICR",))
    choice = pick(study(series(), seg(Manufacturer="QIICR"), seg("1.2.3.9", Manufacturer="QIICR")), rules)
    assert [one.sop_instance_uid for one in choice.segmentations] == ["1.2.3.8.1", "1.2.3.9.1"]


def test_a_named_segmentation_is_the_only_one(
    series: Datasets, seg: Datasets, study: Callable[..., StudyContent]
) -> None:
    """What a person names wins over the rules, both ways."""
    content = study(series(), seg(Manufacturer="QIICR"), seg("1.2.3.9"))
    named = content.series[2].headers[0].instance
    choice = choose(content, ImportRules(manufacturers=("QIICR",)), 10, named)
    assert choice.segmentations == (named,)
    assert [(one.series_instance_uid, one.why) for one in choice.left_out] == [
        ("1.2.3.8", "another segmentation was named")
    ]


def test_a_study_of_segmentations_alone_is_refused(seg: Datasets, study: Callable[..., StudyContent]) -> None:
    """A late SEG without its CT measures nothing."""
    with pytest.raises(NotAnalysable) as caught:
        pick(study(seg()), ImportRules(ae_titles=("SCANNER",)))
    assert caught.value.code is StudyRefusal.NO_SUITABLE_SERIES


def test_ct_images_are_what_is_meant() -> None:
    """The class that candidates hold is CT Image Storage of PS3.4."""
    assert CTImageStorage == "1.2.840.10008.5.1.4.1.1.2"
