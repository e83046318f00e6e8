"""What a radiologist sees of a result: an unchanged OHIF in a headless Chromium, before a real Orthanc that holds it.

What the viewer complains of in its console fails the test in which it does. The pictures lie in the folder that
CRLM_TEST_SCREENSHOTS names, else in one of pytest's own, which a failure names.
"""

from collections.abc import Callable, Iterator
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path

import highdicom as hd
import numpy as np
import pytest
from browser import Pixels, Viewer, window
from numpy.typing import NDArray
from ohif import VIEWER, served
from PIL import Image
from playwright.sync_api import Browser
from scipy import ndimage
from studies import Study

from node.core.codes import STRUCTURES
from node.core.peer import Peer
from node.servers import Orthanc

from .stack import HOST, PACS, SCANNER

CT, SEG, PAGE, DRAWN, SUMMARY = (
    "Abdomen portal venous",
    "crlm-node segmentation",
    "crlm-node measurements",
    "crlm-node on CT",
    "crlm-node summary",
)
LOOKED_AT = 300  # pixels at most
OPACITY = 0.5  # of a segment in OHIF
ALIKE, UNLIKE = 0.6, 0.3  # correlation of the window with its page, seen 0.81, and with another, 0.07 at most
NEAR = 8  # of 255: what a mean colour may be off
# On the page: the group's tracking identifier, the words before and behind the number.
ON_THE_PAGE = {
    "liver.volume": ("Liver", "Volume: {} mL"),
    "liver.mean_hu": ("Liver", "Attenuation Coefficient: {} [hnsf'U]"),
    "psoas.left.volume": ("Iliopsoas left", "Volume: {} mL"),
    "psoas.right.volume": ("Iliopsoas right", "Volume: {} mL"),
    "psoas.pmvi": ("Psoas indices", "PMVI: {} cm3/m3"),
    "psoas.pmi": ("Psoas indices", "PMI: {} cm2/m2"),
    "l1.mean_hu": ("L1 trabecular core", "Attenuation Coefficient: {} [hnsf'U]"),
    "burden.tbs": ("Tumour burden", "Tumour burden score: {} 1"),
}
ON_THE_CT = {
    "psoas.left.area_l3": "Left iliopsoas area L3: {} cm2",
    "psoas.right.area_l3": "Right iliopsoas area L3: {} cm2",
    "psoas.pmi": "PMI: {} cm2/m2",
    "burden.max_diameter": "Largest axial diameter: {} mm",
    "burden.count": "Liver lesions: {} {{lesions}}",
    "burden.tbs": "Tumour burden score: {} {{score}}",
    "psoas.pmvi": "PMVI: {} cm3/m3",
    "psoas.left.volume": "Left iliopsoas volume: {} mL",
    "psoas.right.volume": "Right iliopsoas volume: {} mL",
    "psoas.left.mean_hu": "Left iliopsoas mean: {} [hnsf'U]",
    "psoas.right.mean_hu": "Right iliopsoas mean: {} [hnsf'U]",
    "liver.volume": "Liver volume: {} mL",
    "liver.mean_hu": "Liver mean: {} [hnsf'U]",
    "l1.mean_hu": "L1 mean: {} [hnsf'U]",
    "l1.median_hu": "L1 median: {} [hnsf'U]",
    "l1.sd_hu": "L1 SD: {} [hnsf'U]",
    "l1.volume": "L1 core volume: {} mL",
}


@pytest.fixture(scope="module")
def opened(
    chrome: Browser, coarse_phantom: Study, tmp_path_factory: pytest.TempPathFactory, lacking: Callable[[str], None]
) -> Iterator[Viewer]:
    """The study, stored with its results at an Orthanc and opened in the viewer."""
    if not Orthanc.available():
        lacking("Orthanc")
    if not VIEWER.is_dir():
        lacking("the viewer OHIF")
    results = [coarse_phantom.path(one.file) for one in coarse_phantom.outcome.products if one.file.endswith(".dcm")]
    slices = [coarse_phantom.spool.file(one) for one in coarse_phantom.volume.instances]
    with Orthanc(tmp_path_factory.mktemp("viewed"), PACS, {}) as archive:
        stored = Peer(PACS, HOST, archive.dicom_port, SCANNER).store([*slices, *results])
        assert [str(one.error) for one in stored if one.error] == []
        with served(VIEWER, archive) as address, window(chrome, address) as screen:
            viewer = Viewer(screen)
            viewer.open(coarse_phantom.request.study_instance_uid)
            yield viewer


@pytest.fixture
def viewer(opened: Viewer, shots: Path, request: pytest.FixtureRequest) -> Iterator[Viewer]:
    """The viewer, which must have nothing to complain of at the end; how it looks then is kept."""
    yield opened
    kept = opened.window.keep(shots, request.node.name)
    said = list(opened.window.complaints)
    opened.window.complaints.clear()
    assert said == [], kept


def test_every_result_is_listed(viewer: Viewer) -> None:
    """The list of series shows each object of the result with its modality and description."""
    listed = {(kind, description.split(" (")[0]) for description, kind in viewer.series().items()}
    assert {("SEG", SEG), ("SR", PAGE), ("SR", DRAWN), ("OT", SUMMARY)} <= listed


def test_the_segmentation_lies_where_its_masks_are(viewer: Viewer, coarse_phantom: Study, shots: Path) -> None:
    """On the widest slice of each segment the pixels take its colour, and those far from every segment stay."""
    masks = _masks(coarse_phantom)
    wanted = {label: int(mask.sum(axis=(1, 2)).argmax()) for label, mask in masks.items()}
    viewer.show(CT)
    before = {index: _turned(viewer, coarse_phantom, index) for index in wanted.values()}
    viewer.show(SEG)
    viewer.page.get_by_role("button", name="Yes").click()
    for label, index in wanted.items():
        at = _seen_at(viewer, coarse_phantom, index, _inside(masks, label, index))
        under = before[index][at].mean(axis=0)
        assert np.ptp(under) <= 1, f"{label} has a colour before the segmentation is loaded"
        colour = _tinted(under, label, masks, index)
        found = viewer.window.awaits(lambda: _near(_turned(viewer, coarse_phantom, index)[at].mean(axis=0), colour))  # noqa: B023
        assert found, f"{label} is not {colour}: {viewer.window.keep(shots, 'segmentation-missing')}"
        far = _seen_at(viewer, coarse_phantom, index, _outside(masks, index))
        assert np.abs(viewer.picture()[far] - before[index][far]).mean() < 1, (
            f"a colour far from every segment: {label}"
        )


def test_the_page_shows_the_numbers(viewer: Viewer, coarse_phantom: Study) -> None:
    """The archival SR is a page of text on which each number stands in its group, as the result has it."""
    viewer.show(PAGE)
    text = viewer.text("Oncology Measurement Report")
    for name, (group, words) in ON_THE_PAGE.items():
        section = text.partition(f"Tracking Identifier: {group}\n")[2].partition("Tracking Identifier:")[0]
        assert words.format(f"{round(coarse_phantom.value(name), 4):.15g}") in section.splitlines(), name


def test_the_numbers_are_drawn_on_the_ct(viewer: Viewer, coarse_phantom: Study) -> None:
    """The arrows lead through the groups of the viewer SR; each number stands beside its outline, by two decimals.

    In a window in which a segmentation was loaded before, OHIF stops at "Loading..." (docs/viewers.md): so it is opened
    anew.
    """
    viewer.draw(coarse_phantom.request.study_instance_uid, DRAWN)
    drawn: set[str] = set()
    while not (lines := viewer.drawn_lines()) <= drawn:
        drawn |= lines
        viewer.next_group(lines)
    assert drawn == {words.format(_two_decimals(coarse_phantom.value(name))) for name, words in ON_THE_CT.items()}


def test_the_summary_shows_its_pages(viewer: Viewer, coarse_phantom: Study) -> None:
    """The Summary opens, and what stands in the window is its first page, in its colours."""
    pages = coarse_phantom.dataset("summary.dcm").pixel_array
    viewer.show(SUMMARY)
    assert viewer.window.awaits(lambda: _likeness(viewer.picture(), pages[0]) > ALIKE)
    assert max(_likeness(viewer.picture(), other) for other in pages[1:]) < UNLIKE


@pytest.mark.parametrize(
    ("planted", "heard"),
    [
        ("console.error('planted')", "console: planted"),
        ("setTimeout(() => { throw new Error('planted') })", "exception: planted"),
        ("fetch('http://192.0.2.1/planted').catch(() => 0)", "request outside: http://192.0.2.1/planted"),
    ],
)
def test_a_complaint_is_heard(chrome: Browser, planted: str, heard: str) -> None:
    """An error in the console, an exception and a request to elsewhere are complaints; an empty page has none."""
    with window(chrome, "http://127.0.0.1") as screen:
        screen.page.set_content("<p>nothing</p>")
        assert screen.complaints == []
        screen.page.evaluate(f"() => {{ {planted}; }}")
        assert screen.awaits(lambda: heard in screen.complaints, 10), screen.complaints


def _masks(study: Study) -> dict[str, NDArray[np.bool_]]:
    """Return the masks of the SEG on the grid of the volume, by the label of the segment."""
    seg = hd.seg.segread(study.path("seg.dcm"))
    pixels = seg.get_pixels_by_source_instance(
        [one.sop_instance_uid for one in study.volume.instances], assert_missing_frames_are_empty=True
    )
    return {item.SegmentLabel: pixels[..., number] > 0 for number, item in enumerate(seg.SegmentSequence)}


def _inside(masks: dict[str, NDArray[np.bool_]], label: str, index: int) -> NDArray[np.bool_]:
    """Return the pixels of a segment off its edge, the lesions and their edges left out of any other."""
    inner: NDArray[np.bool_] = ndimage.binary_erosion(masks[label][index], iterations=2)
    lesions = [mask[index] for other, mask in masks.items() if "lesion" in other and other != label]
    return inner & ~ndimage.binary_dilation(np.any(lesions, axis=0), iterations=2)


def _outside(masks: dict[str, NDArray[np.bool_]], index: int) -> NDArray[np.bool_]:
    every = np.any([mask[index] for mask in masks.values()], axis=0)
    return ~ndimage.binary_dilation(every, iterations=8)


def _tinted(under: NDArray[np.float64], label: str, masks: dict[str, NDArray[np.bool_]], index: int) -> Pixels:
    """Return the colour of pixels under a segment, and under the liver first where it is a lesion in it."""
    under_too = [name for name in ("Liver",) if name != label and (masks[name][index] & masks[label][index]).any()]
    for name in (*under_too, label):
        coding = max((one for one in STRUCTURES.values() if name.startswith(one.label)), key=lambda one: len(one.label))
        under = under + OPACITY * (np.asarray(coding.rgb) - under)
    return np.rint(under).astype(np.int16)


def _near(found: NDArray[np.float64], wanted: Pixels) -> bool:
    return bool(np.abs(found - wanted).max() <= NEAR)


def _turned(viewer: Viewer, study: Study, index: int) -> Pixels:
    viewer.turn_to(study.volume.instances[index].sop_instance_uid)
    return viewer.picture()


def _seen_at(
    viewer: Viewer, study: Study, index: int, pixels: NDArray[np.bool_]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return rows and columns of the window's picture at which pixels of a slice are seen; of many pixels, some."""
    found = np.argwhere(pixels)
    some = found[:: len(found) // LOOKED_AT + 1]
    places = np.column_stack([np.full(len(some), index), some, np.ones(len(some))])
    seen = viewer.places((study.volume.geometry.affine @ places.T)[:3].T)
    height, width = viewer.picture().shape[:2]
    seen = seen[((seen >= 0) & (seen < (width, height))).all(axis=1)]
    assert len(seen) >= 5, f"slice {index} has too few pixels to look at"
    return seen[:, 1], seen[:, 0]


def _two_decimals(value: float) -> str:
    return str(Decimal(round(value, 4)).quantize(Decimal("0.01"), ROUND_HALF_UP))


def _likeness(seen: Pixels, page: NDArray[np.uint8]) -> float:
    """Return how well a window correlates with a picture in its middle that is as large as fits."""
    height, width = seen.shape[:2]
    scale = min(height / page.shape[0], width / page.shape[1])
    size = (round(page.shape[1] * scale), round(page.shape[0] * scale))
    top, left = (height - size[1]) // 2, (width - size[0]) // 2
    part = seen[top : top + size[1], left : left + size[0]].astype(float)
    wanted = np.asarray(Image.fromarray(page).resize(size), dtype=float)
    return float(np.corrcoef(part.ravel(), wanted.ravel())[0, 1]) if part.std() else 0.0
