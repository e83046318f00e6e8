"""What headers tell of phase, kernel, coverage and pixels, in the words that scanners and people write."""

from collections.abc import Callable
from typing import Any

import pytest
from pydicom import Dataset

from node.content import Header
from node.selection import default
from node.selection.rules import Kernel, Phase, Pixels
from node.selection.traits import Traits, look

Look = Callable[..., Traits]


@pytest.fixture(scope="session")
def looked(series: Callable[..., list[Dataset]], headers_of: Callable[..., list[Header]]) -> Look:
    """Return a function that makes a series, bland unless told otherwise, and looks at it."""

    def make(count: int = 12, **attributes: Any) -> Traits:
        made = series(count=count, **({"SeriesDescription": "Abdomen"} | attributes))
        return look(headers_of(made), default())

    return make


WORDS = {
    "portal venous": Phase.PORTAL_VENOUS,
    "Abd PV 3.0 B30f": Phase.PORTAL_VENOUS,
    "ABD_PEL PVP": Phase.PORTAL_VENOUS,
    "Abdomen portalvenös 5.0 Br40": Phase.PORTAL_VENOUS,
    "Abdomen venös 3mm": Phase.PORTAL_VENOUS,
    "Ven. Phase": Phase.PORTAL_VENOUS,
    "Foie temps portal": Phase.PORTAL_VENOUS,
    "TAP veineux 1.25": Phase.PORTAL_VENOUS,
    "Fase portal 2 mm": Phase.PORTAL_VENOUS,
    "Fase venosa": Phase.PORTAL_VENOUS,
    "Abd 70s": Phase.PORTAL_VENOUS,
    "70 SEC DELAY": Phase.PORTAL_VENOUS,
    "Art Phase 1.5": Phase.ARTERIAL,
    "late arterial": Phase.ARTERIAL,
    "Leber arteriell 2.0": Phase.ARTERIAL,
    "temps artériel": Phase.ARTERIAL,
    "Fase arterial 30 seg": Phase.ARTERIAL,
    "CTA Aorta": Phase.ARTERIAL,
    "delayed 5 min": Phase.LATE,
    "Spätphase Leber": Phase.LATE,
    "temps tardif": Phase.LATE,
    "fase tardía": Phase.LATE,
    "equilibrium": Phase.LATE,
    "Abdomen nativ 5.0": Phase.NATIVE,
    "non-contrast": Phase.NATIVE,
    "NON CON ABD": Phase.NATIVE,
    "Abd w/o contrast": Phase.NATIVE,
    "ABD WITHOUT": Phase.UNKNOWN,
    "Abdomen ohne KM": Phase.NATIVE,
    "Abdomen sans injection": Phase.NATIVE,
    "Abdomen sin contraste": Phase.NATIVE,
    "Abdomen C- 5mm": Phase.NATIVE,
    "unenhanced": Phase.NATIVE,
    "Abdomen mit KM": Phase.CONTRAST,
    "CT ABD W CONTRAST": Phase.CONTRAST,
    "ABD C+": Phase.CONTRAST,
    "con contraste iv": Phase.CONTRAST,
    "avec injection": Phase.CONTRAST,
    "arterial + portal venous": Phase.CONTRAST,
    "nativ + portal": Phase.UNKNOWN,
    "Abdomen": Phase.UNKNOWN,
    "C-Spine": Phase.UNKNOWN,
    "Ventral hernia": Phase.UNKNOWN,
    "5/4/2": Phase.UNKNOWN,
}


@pytest.mark.parametrize(("words", "phase"), WORDS.items())
def test_the_phase_is_read_from_words(words: str, phase: Phase, looked: Look) -> None:
    """English, German, French and Spanish, abbreviations and delays; what names two phases names neither."""
    assert looked(SeriesDescription=words).phase is phase


@pytest.mark.parametrize(
    ("attributes", "phase", "by"),
    [
        ({"ProtocolName": "Leber portalvenös"}, Phase.PORTAL_VENOUS, "protocol"),
        ({"SeriesDescription": "arterial", "ProtocolName": "portal"}, Phase.ARTERIAL, "description"),
        ({"SeriesDescription": "Abd mit KM", "ProtocolName": "portal"}, Phase.PORTAL_VENOUS, "protocol"),
        ({"ContrastBolusAgent": "Ultravist 370"}, Phase.CONTRAST, "contrast agent"),
        ({"ContrastBolusAgent": "IV"}, Phase.CONTRAST, "contrast agent"),
        ({"ContrastBolusAgent": "NONE"}, Phase.UNKNOWN, ""),
        ({"ContrastBolusAgent": "ohne KM"}, Phase.UNKNOWN, ""),
        ({"ContrastBolusAgent": "Gastrografin", "ContrastBolusRoute": "ORAL"}, Phase.UNKNOWN, ""),
        ({"ContrastBolusAgent": "GASTRO & OMNI", "ContrastBolusRoute": "Oral & IV"}, Phase.CONTRAST, "contrast agent"),
        ({"SeriesDescription": "nativ", "ContrastBolusAgent": "Ultravist"}, Phase.NATIVE, "description"),
    ],
)
def test_words_stand_above_tags(attributes: dict[str, Any], phase: Phase, by: str, looked: Look) -> None:
    """Description, then protocol, then the agent, which scanners fill in for a native scan too."""
    traits = looked(**attributes)
    assert (traits.phase, traits.phase_by) == (phase, by)


@pytest.mark.parametrize(
    ("start", "acquired", "phase", "by"),
    [
        ("101500", "101530.5", Phase.ARTERIAL, "30 s after the injection"),
        ("101500", "101610", Phase.PORTAL_VENOUS, "70 s after the injection"),
        ("235930", "000040", Phase.PORTAL_VENOUS, "70 s after the injection"),
        ("101500", "102000", Phase.LATE, "300 s after the injection"),
        ("101500", "101400", Phase.CONTRAST, "contrast agent"),
        ("101500", None, Phase.CONTRAST, "contrast agent"),
        ("ten", "101610", Phase.CONTRAST, "contrast agent"),
    ],
)
def test_the_delay_tells_the_phase(start: str, acquired: str | None, phase: Phase, by: str, looked: Look) -> None:
    """From Contrast/Bolus Start Time to the first slice, across midnight too; a delay that cannot be is none."""
    times = {"ContrastBolusStartTime": start, "AcquisitionTime": acquired, "AcquisitionDate": "20260105"}
    traits = looked(ContrastBolusAgent="Ultravist", **times)
    assert (traits.phase, traits.phase_by) == (phase, by)


KERNELS = {
    Kernel.SOFT: ["B30f", "B31s", "I30f\\3", "Br40d\\3", "Bf37f", "Qr36", "STANDARD", "Soft", "SOFT", "A", "B", "FC08"],
    Kernel.MEDIUM: ["B50f", "Br49d", "DETAIL", "CHEST", "D"],
    Kernel.SHARP: [
        "B70f",
        "B60s",
        "Bl57d",
        "Bl64",
        "Br59",
        "BONE",
        "BONEPLUS",
        "LUNG",
        "EDGE",
        "YC",
        "L",
        "FC51",
        "FC30",
    ],
    Kernel.HEAD: ["H30s", "Hr40", "UB", "FC21"],
    Kernel.UNKNOWN: ["XYZ", ""],
}


@pytest.mark.parametrize(("kind", "name"), [(kind, name) for kind, names in KERNELS.items() for name in names])
def test_kernels_of_the_vendors_are_known(kind: Kernel, name: str, looked: Look) -> None:
    """Siemens by letter and number, GE, Philips and Canon by name."""
    traits = looked(ConvolutionKernel=name.split("\\") if name else None)
    assert traits.kernel is kind
    assert traits.kernel_name == (name.split("\\")[0])


@pytest.mark.parametrize(
    ("description", "kind"),
    [("Lunge 1.0", Kernel.SHARP), ("ABD BONE", Kernel.SHARP), ("Weichteil 3 mm", Kernel.SOFT), ("Abd", Kernel.UNKNOWN)],
)
def test_without_a_kernel_the_description_tells_it(description: str, kind: Kernel, looked: Look) -> None:
    """Converters drop the kernel; people write what a reconstruction is for."""
    assert looked(SeriesDescription=description).kernel is kind
    assert looked(SeriesDescription=description, ConvolutionKernel="B30f").kernel is Kernel.SOFT


def test_coverage_and_slices_come_from_positions(looked: Look) -> None:
    """Coverage is from edge to edge of the outer slices; thickness and step are told apart."""
    traits = looked(count=101, step_mm=4.0, SliceThickness=5)
    assert traits.coverage_mm == pytest.approx(404)
    assert traits.slice_words == "5 mm every 4 mm"
    assert traits.depth_mm == 5
    assert looked(SliceThickness=3).slice_words == "3 mm"
    assert looked(SliceThickness=1).depth_mm == 3, "with gaps between the slices"
    assert looked(SliceThickness="0").slice_words == "a slice every 3 mm"
    assert looked(ImagePositionPatient=[0, 0, 0]).slice_words == "thickness not told"


def test_coverage_is_along_the_normal(looked: Look) -> None:
    """Slices that are numbered from head to foot, or flipped, cover the same."""
    downwards = looked(ImagePositionPatient=lambda index: [0, 0, -3 * index])
    flipped = looked(ImageOrientationPatient=[1, 0, 0, 0, -1, 0])
    assert downwards.coverage_mm == flipped.coverage_mm == pytest.approx(36)


def test_the_field_of_view_is_what_was_reconstructed(looked: Look) -> None:
    """The shorter side of the image; a diameter that is less counts."""
    wide = {"Rows": 512, "Columns": 400, "PixelSpacing": [0.8, 0.8]}
    assert looked(**wide).field_of_view_mm == pytest.approx(320)
    assert looked(**wide, ReconstructionDiameter=250).field_of_view_mm == 250


@pytest.mark.parametrize(
    ("image_type", "lossy", "pixels"),
    [
        (["ORIGINAL", "PRIMARY", "AXIAL"], None, Pixels.ORIGINAL),
        (["DERIVED", "PRIMARY", "AXIAL"], None, Pixels.DERIVED),
        (["DERIVED", "SECONDARY", "AXIAL"], None, Pixels.PROCESSED),
        (["DERIVED", "SECONDARY", "REFORMATTED"], None, Pixels.REFORMATTED),
        (["DERIVED", "SECONDARY", "AXIAL", "CSA MPR"], None, Pixels.REFORMATTED),
        (None, None, Pixels.UNKNOWN),
        (["ORIGINAL", "PRIMARY", "AXIAL"], "01", Pixels.LOSSY),
        (["ORIGINAL", "PRIMARY", "AXIAL"], "00", Pixels.ORIGINAL),
    ],
)
def test_what_was_done_to_the_pixels(
    image_type: list[str] | None, lossy: str | None, pixels: Pixels, looked: Look
) -> None:
    """Image Type says it, and Lossy Image Compression stands above."""
    assert looked(ImageType=image_type, LossyImageCompression=lossy).pixels is pixels


def test_one_lossy_image_is_enough(looked: Look) -> None:
    """Of a volume that was compressed in part nobody knows which numbers are right."""
    assert looked(LossyImageCompression=lambda index: "01" if index == 7 else "00").pixels is Pixels.LOSSY
