"""Awkward studies end to end: each ends as docs/awkward-studies.md says, and what is measured is as near to the truth.

Margins. What is the straight picture in other words (flipped, encoded without loss, with another name) gives the same
numbers to the last digit. What is sampled elsewhere (tilted, turned, of other pixels) may be off by as much as the
straight study is and, for chance, by 0.5 % of a volume, 3 % of an area that lies on one slice of 2.5 mm pixels, 1.5 HU
of a mean; what was encoded with loss by 2 HU. The 2,500 slices have pixels of 3.5 mm, so that more of a muscle is
surface: 3 HU.
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pixelmed
import pytest
import readers
from awkward import ERRORS, PAGE, Result, page, result
from judging import AWKWARD, Docket, settle
from pydicom import dcmread
from studies import analyse

from node.core.settings import MeasurementSettings, Settings
from node.phantom.awkward import End, Kind
from node.phantom.awkward.people import NAMES

pytestmark = pytest.mark.timeout(1800)

SAMPLED_ELSEWHERE = (Kind.TILT, Kind.TILT_FORWARD, Kind.OBLIQUE, Kind.UNEQUAL_PIXELS, Kind.MANY_SLICES)
LOSSY = (Kind.JPEG_LS_LOSSY, Kind.JPEG_2000_LOSSY, Kind.JPEG_BASELINE)
# One kind of each form of objects, for readers take their time; the others differ in what they were measured on.
READ = (
    Kind.STRAIGHT,
    Kind.TILT_FORWARD,
    Kind.OBLIQUE,
    Kind.FEET_FIRST,
    Kind.TRANSPOSED,
    Kind.UNEQUAL_PIXELS,
    Kind.GAP,
    Kind.ENHANCED_CT,
    Kind.NAME_JAPANESE,
)
MARGINS = {"%": 0.5, "HU": 1.5}
AREA_PERCENT, LOSS_HU, MANY_HU = 3.0, 2.0, 3.0
PMVI_PERCENT = 0.5

Results = Callable[[Kind], Result]
Program = Callable[[str], str]


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Results:
    """Return a function that makes and measures a kind once."""
    known: dict[Kind, Result] = {}

    def of(kind: Kind) -> Result:
        if kind not in known:
            known[kind] = result(kind, tmp_path_factory.mktemp(kind.value))
        return known[kind]

    return of


@pytest.fixture(scope="module")
def docket(program: Program) -> Docket:
    """What was judged."""
    return Docket(program)


@pytest.mark.parametrize("kind", Kind)
def test_every_kind_comes_to_a_sound_end(kind: Kind, results: Results) -> None:
    """Accepted, resampled, split or refused as the kind may be; a refusal has a code and words, a result numbers."""
    one = results(kind)
    assert one.end in kind.sound, one.words
    if one.end is End.REFUSED:
        assert one.words[0].startswith("`"), one.words
        assert all(number["value"] is None for number in one.study.document["measurements"].values())
        reports = [product.kind for product in one.study.outcome.products]
        assert reports == (
            ["sr", "summary"] if one.study.request.candidates else []
        )  # they refer to slices of a candidate
    else:
        assert one.error("muscle volumes") is not None


@pytest.mark.parametrize("kind", [kind for kind in Kind if kind is not Kind.STRAIGHT])
def test_what_is_measured_is_as_near_to_the_truth_as_the_straight_study(kind: Kind, results: Results) -> None:
    """No volume, area or mean of an accepted kind is worse than the straight one's by more than its margin."""
    one, straight = results(kind), results(Kind.STRAIGHT)
    if one.end is End.REFUSED:
        assert End.REFUSED in kind.sound
        return
    for name, (_, unit) in ERRORS.items():
        found, usual = one.error(name), straight.error(name)
        assert usual is not None
        if found is None:
            continue
        if kind in SAMPLED_ELSEWHERE:
            margin = AREA_PERCENT if name == "PMI" else MARGINS[unit]
            margin = MANY_HU if kind is Kind.MANY_SLICES and unit == "HU" else margin
            assert abs(found) <= abs(usual) + margin, name
        elif kind in LOSSY:
            assert found == pytest.approx(usual, abs=LOSS_HU if unit == "HU" else 1e-9), name
        else:
            assert found == pytest.approx(usual, abs=1e-9), name


@pytest.mark.parametrize("kind", [Kind.TILT, Kind.TILT_FORWARD])
def test_a_tilt_of_twenty_degrees_leaves_the_pmvi(kind: Kind, results: Results) -> None:
    """On the truth SEG it changes by at most 0.5 %: in the voxels of the file, and in the result where there is one."""
    one, straight = results(kind), results(Kind.STRAIGHT)
    seg = dcmread(one.made.seg)
    numbers = {int(item.SegmentNumber) for item in seg.SegmentSequence if "iliopsoas" in item.SegmentLabel}
    voxels = sum(
        int(np.count_nonzero(frame))
        for frame, own in zip(seg.pixel_array, seg.PerFrameFunctionalGroupsSequence, strict=True)
        if int(own.SegmentIdentificationSequence[0].ReferencedSegmentNumber) in numbers
    )
    height_m = one.made.rendering.anatomy.height_m
    pmvi = voxels * one.made.rendering.grid.voxel_ml / height_m**3
    usual = straight.study.value("psoas.pmvi")
    assert one.made.rendering.grid.planes.tilt_degrees == pytest.approx(20.0)
    assert pmvi == pytest.approx(usual, rel=PMVI_PERCENT / 100)
    if one.end is not End.REFUSED:
        assert one.study.value("psoas.pmvi") == pytest.approx(usual, rel=PMVI_PERCENT / 100)


def test_a_site_may_refuse_what_is_tilted(results: Results, tmp_path: Path) -> None:
    """With `gantry_tilt = "refuse"` a tilted series ends as `gantry-tilt`."""
    one = results(Kind.TILT)
    settings = Settings(measurement=MeasurementSettings(gantry_tilt="refuse"))
    study = analyse(one.made.first[0].parent, one.made.seg, tmp_path / "home", settings)
    assert study.document["refusal"]["code"] == "gantry-tilt"


@pytest.mark.parametrize("kind", NAMES)
def test_names_of_other_scripts_come_back_in_unicode(kind: Kind, results: Results) -> None:
    """Every object carries the name letter by letter, in ISO_IR 192."""
    one = results(kind)
    products = [product.file for product in one.study.outcome.products]
    assert products == ["seg.dcm", "sr.dcm", "sr-viewer.dcm", "summary.dcm"]
    for name in products:
        ds = one.study.dataset(name)
        assert ds.SpecificCharacterSet == "ISO_IR 192", name
        assert str(ds.PatientName) == NAMES[kind].name, name
    source = dcmread(one.made.first[0], stop_before_pixels=True)
    declared = source.get("SpecificCharacterSet")
    assert list([declared] if isinstance(declared, str) else declared) == list(NAMES[kind].character_sets)


def test_a_height_in_centimetres_is_one_where_the_site_says_so(results: Results, tmp_path: Path) -> None:
    """`height_in_cm` gives the indices of the straight study."""
    one, straight = results(Kind.HEIGHT_IN_CM), results(Kind.STRAIGHT)
    assert one.error("PMVI") is None
    settings = Settings(measurement=MeasurementSettings(height_in_cm=True))
    study = analyse(one.made.first[0].parent, one.made.seg, tmp_path / "home", settings)
    assert study.value("psoas.pmvi") == pytest.approx(straight.study.value("psoas.pmvi"), rel=1e-9)


def test_late_slices_make_a_second_job_of_all(results: Results) -> None:
    """The first job has what came in time, the second one everything; the second is measured."""
    one = results(Kind.LATE_SLICES)
    first, second = (len(request.candidates[0].instances) for request in one.requests)
    assert first == len(one.made.first)
    assert second == len(one.made.first) + len(one.made.later)


def test_slices_that_come_again_change_nothing(results: Results) -> None:
    """One job, of each slice once."""
    one = results(Kind.RESENT_SLICES)
    [request] = one.requests
    assert len(request.candidates[0].instances) == len(one.made.first) == len(one.made.later)


def test_the_page_says_what_happens(results: Results) -> None:
    """docs/awkward-studies.md is generated from the same rows."""
    assert PAGE.read_text(encoding="utf-8") == page(results(kind) for kind in Kind)


@pytest.mark.parametrize("kind", Kind)
def test_dicom3tools_finds_no_error(kind: Kind, results: Results, docket: Docket) -> None:
    """Every object obeys its IOD, and all of a result and the CT are of one patient, study and frame of reference."""
    docket.hear(results(kind).study)


def test_the_table_of_warnings_is_that_of_the_judges(
    results: Results, docket: Docket, lacking: Callable[[str], None]
) -> None:
    """PixelMed's validator finds no error in any SR; docs/validators.md tells who said what of how many objects."""
    if missing := pixelmed.missing():
        lacking(f"{missing} (libpixelmed-java)")
    for kind in Kind:
        docket.hear(results(kind).study)
    docket.weigh(pixelmed.judge(docket.reports))
    settle(AWKWARD, docket)


@pytest.mark.parametrize("kind", READ)
def test_every_reader_reads_its_objects(kind: Kind, results: Results, program: Program, tmp_path: Path) -> None:
    """pydicom, highdicom, dcmqi, dcmdump and dsrdump, each where it knows the class, find one and the same."""
    study = results(kind).study
    for product in study.outcome.products:
        assert readers.read(study.path(product.file), tmp_path, program)
