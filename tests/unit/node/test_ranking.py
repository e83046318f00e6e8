"""The ranking of studies as hospitals send them, by our own rules and by those of a site."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydicom import Dataset
from pydicom.uid import SecondaryCaptureImageStorage, SegmentationStorage

from node.content import Header, StudyContent, gather
from node.core.reasons import StudyRefusal
from node.core.settings import ImportRules, SettingsError
from node.selection import Ranking, Rules, load, rank

Study = Callable[..., StudyContent]
NOBODY = ImportRules()
BODY = {"Rows": 512, "Columns": 512, "PixelSpacing": [0.75, 0.75], "ConvolutionKernel": "B30f", "SliceThickness": 3}
CORONAL = [1, 0, 0, 0, 0, -1]


@pytest.fixture(scope="session")
def study(series: Callable[..., list[Dataset]], headers_of: Callable[..., list[Header]]) -> Study:
    """Return a function that makes a study of series, each described by what differs from a portal venous scan.

    Series are numbered from 1 in the order in which they are given; `count` is the number of slices, 3 mm apart.
    """

    def make(*told: dict[str, Any]) -> StudyContent:
        made: list[Dataset] = []
        for number, one in enumerate(told, 1):
            rest = BODY | {"SeriesNumber": number} | one
            made += series(f"1.2.3.{number}", rest.pop("count", 140), **rest)
        return gather("1.2.3", headers_of(made))

    return make


@pytest.fixture
def site(tmp_path: Path) -> Callable[[str], Rules]:
    """Return a function that reads a site's rules."""

    def read(text: str) -> Rules:
        path = tmp_path / "series.toml"
        path.write_text(text)
        return load(path)

    return read


def ranked(content: StudyContent, rules: Rules | None = None, imports: ImportRules = NOBODY) -> Ranking:
    return rank(content, imports, 10, None, rules or load(None))


def order(content: StudyContent, rules: Rules | None = None) -> list[int | None]:
    return [one.series_number for one in ranked(content, rules).ranked]


def reasons(content: StudyContent, rules: Rules | None = None) -> list[str]:
    return [one.why for one in ranked(content, rules).left_out]


def test_a_study_of_three_phases_and_its_by_products(study: Study) -> None:
    """Portal venous in a soft kernel first, what is sharp or short behind; all else has a reason."""
    content = study(
        {"count": 2, "SeriesDescription": "Topogram 0.6 T20f", "ImageType": ["ORIGINAL", "PRIMARY", "LOCALIZER"]},
        {"SeriesDescription": "Abd nativ 3.0 B30f"},
        {"SeriesDescription": "Abd arteriell 3.0 B30f", "count": 80},
        {"SeriesDescription": "Abd portalvenös 3.0 B30f"},
        {"SeriesDescription": "Abd portalvenös 3.0 B70f", "ConvolutionKernel": "B70f"},
        {"SeriesDescription": "Abd portalvenös cor", "ImageOrientationPatient": CORONAL},
        {"SeriesDescription": "Abd portalvenös MIP 10 mm"},
        {"SeriesDescription": "Patient Protocol", "SOPClassUID": SecondaryCaptureImageStorage, "count": 1},
        {"SeriesDescription": "Schädel 3.0 H30s", "ConvolutionKernel": "H30s"},
    )
    assert order(content) == [4, 2, 5, 3]
    first = ranked(content).ranked[0].candidate
    assert first.why == "portal venous, 3 mm, soft kernel B30f, 420 mm in z: 1 of 4"
    assert reasons(content) == [
        "localizer",
        "coronal, not axial",
        "a projection (MIP or slab) by its description (rule projection)",
        "not stored as CT images: a screen capture, a dose report or a derived object",
        "a scan of the head or neck (rule head-or-neck)",
    ]


PAIRS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "long coverage before many slices": (
        {"count": 80, "ImagePositionPatient": lambda i: [0, 0, 5 * i], "SliceThickness": 5},
        {"count": 300, "ImagePositionPatient": lambda i: [0, 0, i], "SliceThickness": 1},
    ),
    "portal venous before arterial": ({"SeriesDescription": "portal"}, {"SeriesDescription": "arterial"}),
    "arterial before native": ({"SeriesDescription": "arterial"}, {"SeriesDescription": "nativ"}),
    "contrast before native": ({"SeriesDescription": "with contrast"}, {"SeriesDescription": "unenhanced"}),
    "soft before lung": ({}, {"ConvolutionKernel": "B70f"}),
    "soft before unknown": ({}, {"ConvolutionKernel": None}),
    "3 mm before 10 mm": (
        {},
        {"count": 42, "ImagePositionPatient": lambda index: [0, 0, 10 * index], "SliceThickness": 10},
    ),
    "1 mm before 0.4 mm": (
        {"count": 420, "ImagePositionPatient": lambda index: [0, 0, index], "SliceThickness": 1},
        {"count": 1050, "ImagePositionPatient": lambda index: [0, 0, 0.4 * index], "SliceThickness": 0.4},
    ),
    "whole body before a spine's field of view": ({}, {"PixelSpacing": [0.3, 0.3]}),
    "original before reformatted": ({}, {"ImageType": ["DERIVED", "SECONDARY", "REFORMATTED"]}),
    "derived axial before reformatted": (
        {"ImageType": ["DERIVED", "PRIMARY", "AXIAL"]},
        {"ImageType": ["DERIVED", "SECONDARY", "MPR"]},
    ),
    "lossless before lossy": ({}, {"LossyImageCompression": "01"}),
    "polychromatic before 40 keV": ({}, {"SeriesDescription": "portal venous MonoE 40 keV"}),
    "diagnostic before low dose": ({}, {"SeriesDescription": "portal venous low dose"}),
    "the whole abdomen native before half of it portal venous": ({"SeriesDescription": "nativ"}, {"count": 60}),
}


@pytest.mark.parametrize(("better", "worse"), PAIRS.values(), ids=PAIRS.keys())
def test_of_two_series_the_better_comes_first(better: dict[str, Any], worse: dict[str, Any], study: Study) -> None:
    """Whatever their order in the study; the other one stays a candidate."""
    assert order(study(better, worse)) == [1, 2]
    assert order(study(worse, better)) == [2, 1]


OTHERS = {
    "head": ({"SeriesDescription": "Head 5mm"}, "head or neck"),
    "neck by body part": ({"SeriesDescription": "3.0 B30f", "BodyPartExamined": "NECK"}, "head or neck"),
    "carotids": ({"SeriesDescription": "CTA Carotids"}, "head or neck"),
    "extremity": ({"SeriesDescription": "Knie links"}, "extremity"),
    "heart": ({"SeriesDescription": "Calcium Score"}, "heart"),
    "chest": ({"SeriesDescription": "Thorax 1.0", "count": 100}, "chest alone"),
    "chest by body part": ({"SeriesDescription": "5.0 B31f", "BodyPartExamined": "CHEST", "count": 100}, "chest alone"),
    "spine": ({"SeriesDescription": "LWS 2.0 B60s"}, "spine"),
    "bolus": ({"SeriesDescription": "PreMonitoring"}, "bolus tracking"),
    "VNC": ({"SeriesDescription": "Abd VNC"}, "virtual non-contrast"),
    "iodine": ({"SeriesDescription": "Iodine Map"}, "iodine"),
    "scout": ({"SeriesDescription": "Scout"}, "a localizer by its description"),
    "sagittal": ({"ImageOrientationPatient": [0, 1, 0, 0, 0, -1]}, "sagittal, not axial"),
    "oblique": ({"ImageOrientationPatient": [1, 0, 0, 0, 0.7, -0.714]}, "not axial"),
}


@pytest.mark.parametrize(("told", "why"), OTHERS.values(), ids=OTHERS.keys())
def test_what_is_no_abdomen_is_left_out(told: dict[str, Any], why: str, study: Study) -> None:
    """Beside an abdomen and alone: with the reason each time, and then as the study's."""
    [reason] = reasons(study({}, told))
    assert why in reason
    alone = ranked(study(told))
    assert alone.refusal is not None
    assert alone.refusal.code is StudyRefusal.NO_SUITABLE_SERIES
    assert why in alone.refusal.detail


@pytest.mark.parametrize(
    "told",
    [
        {"SeriesDescription": "Thorax Abdomen 3.0"},
        {"SeriesDescription": "CT CH/AB/PEL"},
        {"SeriesDescription": "CAP portal", "BodyPartExamined": "CHEST"},
        {"SeriesDescription": "Thorax 3.0", "count": 200},
        {"SeriesDescription": "Abdomen", "BodyPartExamined": "HEAD"},
        {"SeriesDescription": "portal 3.0", "BodyPartExamined": "ABDOMEN", "ProtocolName": "Head-Neck-Thorax-Abdomen"},
        {"SeriesDescription": "Leber / Herz"},
        {"SeriesDescription": "3.0", "ProtocolName": "Chest/Abdomen"},
        {"SeriesDescription": ""},
    ],
)
def test_an_abdomen_under_another_name_stays(told: dict[str, Any], study: Study) -> None:
    """Descriptions mislead: where the abdomen is named, or the scan is too long for a chest, it is a candidate."""
    assert order(study(told)) == [1]


def test_a_mixed_series_is_two_candidates(study: Study) -> None:
    """Two phases in one series: each part has its name, its own phase by the delay, and its own slices."""
    times = {
        "ImagePositionPatient": lambda index: [0, 0, 3 * (index % 140)],
        "AcquisitionNumber": lambda index: 2 + index // 140,
        "AcquisitionDate": "20260105",
        "AcquisitionTime": lambda index: "101535" if index < 140 else "101610",
        "ContrastBolusStartTime": "101500",
        "SeriesDescription": "Abdomen",
    }
    first, second = [one.candidate for one in ranked(study({"count": 280, **times})).ranked]
    assert (first.part, second.part) == ("acquisition 3", "acquisition 2")
    assert first.why.startswith("acquisition 3: portal venous (70 s after the injection), 3 mm")
    assert second.why.startswith("acquisition 2: arterial (35 s after the injection)")
    assert not set(first.instances) & set(second.instances)
    assert first.series_instance_uid == second.series_instance_uid


def test_a_small_part_is_left_out_by_its_name(study: Study) -> None:
    """A single slice of bolus timing in the series of the scan."""
    place = {"ImagePositionPatient": lambda index: [0, 0, 3 * (index % 140)]}
    content = study({"count": 141, "AcquisitionNumber": lambda index: 1 + index // 140, **place})
    assert [one.candidate.part for one in ranked(content).ranked] == ["acquisition 1"]
    assert reasons(content) == ["acquisition 2: 1 axial slice, at least 10 needed"]


@pytest.mark.parametrize("instances", [True, False], ids=["by-instances", "by-series"])
def test_what_an_imported_segmentation_was_drawn_on_comes_first(
    instances: bool,
    study: Study,
    series: Callable[..., list[Dataset]],
    headers_of: Callable[..., list[Header]],
) -> None:
    """Whatever has more points; but only where the site lets that segmentation in."""
    content = study({}, {"SeriesDescription": "nativ"})
    drawn_on = Dataset()
    drawn_on.SeriesInstanceUID = "1.2.3.2"
    if instances:
        image = Dataset()
        image.ReferencedSOPInstanceUID = "1.2.3.2.7"
        drawn_on.ReferencedInstanceSequence = [image]
    attributes = {"SOPClassUID": SegmentationStorage, "Modality": "SEG", "Manufacturer": "QIICR", "Rows": 8}
    seg = series("1.2.3.8", 1, **attributes, ReferencedSeriesSequence=[drawn_on])
    headers = [one for each in content.series for one in each.headers]
    with_seg = gather("1.2.3", [*headers, *headers_of(seg)])
    assert order(with_seg) == [1, 2]
    allowed = ranked(with_seg, imports=ImportRules(manufacturers=("QIICR",))).ranked
    assert [one.series_number for one in allowed] == [2, 1]
    assert "an imported segmentation lies on it" in allowed[0].candidate.why
    assert "segmentation" not in allowed[1].candidate.why


def test_points_are_a_sum_that_is_shown(study: Study) -> None:
    """A portal venous scan of 420 mm that has everything gets all points; preferences are added by their reason."""
    [one] = ranked(study({})).ranked
    assert one.score.criteria == {
        "coverage": 40,
        "phase": 20,
        "kernel": 20,
        "thickness": 10,
        "field of view": 5,
        "pixels": 5,
    }
    assert one.score.total == 100
    [mono] = ranked(study({"SeriesDescription": "portal venous 70 keV"})).ranked
    assert mono.score.preferences == {"virtual monoenergetic": -25}
    assert mono.score.total == 75
    assert "virtual monoenergetic" in mono.candidate.why


def test_a_site_changes_what_counts(study: Study, site: Callable[[str], Rules]) -> None:
    """Its keys are laid over ours one by one: what it does not name stays."""
    content = study({"SeriesDescription": "portal"}, {"SeriesDescription": "nativ"})
    rules = site("[shares.phase]\nportal-venous = 0.1\nnative = 1.0\n")
    assert order(content, rules) == [2, 1]
    assert rules.shares.phase["arterial"] == load(None).shares.phase["arterial"]
    assert order(content, site("[weights]\nphase = 0\n")) == [1, 2], "equal: the lower number"


def test_must_must_not_and_prefer_of_a_site(study: Study, site: Callable[[str], Rules]) -> None:
    """A rule of its own leaves out or prefers; one of ours can be switched off, by name."""
    content = study({"SeriesDescription": "ABD_iDose"}, {"SeriesDescription": "ABD_FBP"}, {"SeriesDescription": "LWS"})
    must = '[must.fbp]\npattern = "fbp"\nwhy = "not filtered back projection"\n'
    assert order(content, site(must)) == [2]
    assert reasons(content, site(must)) == ["not filtered back projection (rule fbp)"] * 2
    must_not = '[must_not.idose]\npattern = "\\\\bidose\\\\b"\nwhy = "iterative"\n'
    assert order(content, site(must_not)) == [2]
    prefer = '[prefer.fbp]\npattern = "fbp"\npoints = 3\nwhy = "filtered back projection"\n'
    assert order(content, site(prefer)) == [2, 1]
    assert order(content, site("[must_not.spine]\noff = true\n")) == [1, 2, 3]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("[limits]\ncoverage_at_least_mm = 300\n", "150 mm in z, at least 300 mm asked for"),
        ("[limits]\nthickness_at_most_mm = 2.5\n", "3 mm, at most 2.5 mm asked for"),
        ('[limits]\nphases = ["arterial", "late"]\n', "portal venous, arterial or late asked for"),
    ],
)
def test_limits_of_a_site(text: str, why: str, study: Study, site: Callable[[str], Rules]) -> None:
    """What lies beyond is left out, with the figures."""
    assert reasons(study({"count": 50}), site(text)) == [why]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[weigths]\nphase = 1\n", "weigths: unknown key"),
        ("[weights]\nphases = 1\n", "weights.phases: unknown key"),
        ("[weights]\nphase = -1\n", "weights.phase: "),
        ('[weights]\nphase = "much"\n', "weights.phase: "),
        ("[shares.phase]\nvenous = 1\n", "shares.phase.venous: unknown key"),
        ("[shares.phase]\nnative = 2\n", "shares.phase.native: "),
        ("[curves]\ncoverage_mm = [[100, 0], [50, 1]]\n", "curves.coverage_mm: "),
        ("[curves]\ncoverage_mm = []\n", "curves.coverage_mm: "),
        ('[must_not.x]\npattern = "("\nwhy = "y"\n', "must_not.x.pattern: not a regular expression"),
        ('[must_not.x]\npattern = "a"\n', "must_not.x.why: missing key"),
        ('[must.x]\npattern = "a"\nwhy = "y"\nlook_in = ["study"]\n', "must.x.look_in.0: "),
        ('[prefer.x]\npattern = "a"\nwhy = "y"\n', "prefer.x.points: missing key"),
        ('[phases]\nvenous = ["a"]\n', "phases.venous: unknown key"),
        ('[kernels.soft]\nname = ["a"]\n', "kernels.soft.name: unknown key"),
        ("weights = 3\n", "weights: "),
        ("[weights\n", "not TOML"),
    ],
)
def test_a_wrong_key_stops_the_start_with_its_name(text: str, said: str, site: Callable[[str], Rules]) -> None:
    """As in the settings: the file, the key, and what is wrong with it."""
    with pytest.raises(SettingsError) as caught:
        site(text)
    assert str(caught.value).startswith("series_rules: ")
    assert "series.toml" in str(caught.value)
    assert said in str(caught.value)


def test_a_file_that_is_not_there_stops_the_start(tmp_path: Path) -> None:
    """By its name."""
    with pytest.raises(SettingsError, match=r"series_rules: .*gone\.toml: No such file"):
        load(tmp_path / "gone.toml")
