"""The pages of the Summary: what they say, what they show, and that they never say who the patient is."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from importlib.resources import files
from io import BytesIO
from typing import Any

import numpy as np
import pytest
from made_arrays import BODY_SHAPE, BODY_SPACING_MM, acquisition, body, box, geometry, label_map
from made_series import Layout, header, request
from made_signature import MEAN, VALUES, feature, known, signature
from PIL import ImageDraw, ImageFont
from pydicom import Dataset

from node.core.codes import MEASUREMENTS, Structure
from node.core.errors import NotAnalysable
from node.core.reasons import NotComputed, NoteCode, StudyRefusal
from node.core.records import AskedSignature, Candidate, Document, LeftOut, Note, PatientFacts, Superseded
from node.core.settings import MeasurementSettings
from workers.measurement import measure, rad_score
from workers.records import IMPORTED, LabelMap, Volume
from workers.report import key_images
from workers.report.document import Findings, Tried
from workers.report.frames import Source
from workers.report.key_images import planes
from workers.report.key_images.canvas import BACKGROUND, INK, SIZE, Canvas, Style
from workers.report.key_images.identity import Identity
from workers.report.key_images.lesions import DIAMETER, draw_diameter
from workers.report.key_images.numbers import letter
from workers.report.key_images.panel import ABDOMEN, Area, Panel
from workers.report.key_images.sheet import Page
from workers.report.wording import Words
from workers.signature.score import score

MADE = Layout(spacing_mm=BODY_SPACING_MM)
DESCRIPTION = "Abdomen portal venous"
FONT = files("workers.report.key_images").joinpath("fonts", "Roboto-Medium.ttf")
HU = np.random.default_rng(5).normal(100, 12, BODY_SHAPE).astype(np.int16)


def findings(
    masks: Mapping[Structure, Any] | None = None,
    labels: Callable[[LabelMap], LabelMap] = lambda one: one,
    request_facts: Mapping[str, Any] | None = None,
    **acquired: Any,
) -> Findings:
    """Return what stages 6 to 8 find in a study of boxes, straight from arrays."""
    grid = geometry(BODY_SHAPE, BODY_SPACING_MM)
    candidate = Candidate("1.2.3.4", DESCRIPTION, "made", ())
    volume = Volume(HU, grid, candidate, (), acquisition(**acquired))
    found = labels(label_map(grid, masks or body()))
    asked = replace(request(), candidates=(candidate,), **(request_facts or {}))
    numbers = measure(volume, found, asked.facts, MeasurementSettings(), asked.notes)
    return Findings(asked, volume, found, numbers, None)


def sources(edit: Callable[[Dataset], None] | None = None) -> list[Source]:
    """Return the headers of the slices."""
    slices = []
    for index in range(BODY_SHAPE[0]):
        ds = header(MADE, index, BODY_SHAPE)
        if edit:
            edit(ds)
        slices.append(Source(ds))
    return slices


def said(pages: list[Page], name: str = "") -> list[str]:
    return [text for page in pages if name in ("", page.name) for text in page.texts]


@pytest.mark.parametrize("halo", [False, True])
@pytest.mark.parametrize("anchor", ["ls", "rs", "lm", "rm", "mt", "mb", "lb"])
def test_a_text_is_drawn_as_pillow_draws_it(anchor: str, halo: bool) -> None:
    """Whether it comes from memory or not, wherever its anchor is within a pixel, and as wide as Pillow measures it."""
    style = Style(19, bold=True, halo=halo)
    font = ImageFont.truetype(BytesIO(FONT.read_bytes()), style.size, layout_engine=ImageFont.Layout.BASIC)
    edge = 2 if halo else 0
    for at in ((300.0, 90.0), (300.25, 90.75), (511.9, 300.5)):
        for text in ("", "R", "ij", "AV Toj. fW_ (12.5 – 13 cm²) ≥ µ"):
            ours, drawn = Canvas(), Canvas().image
            ImageDraw.Draw(drawn).text(at, text, INK, font, anchor, stroke_width=edge, stroke_fill=(0, 0, 0))
            assert ours.text(at, text, style, anchor) == font.getlength(text)
            assert ours.image.tobytes() == drawn.tobytes()


@pytest.fixture(scope="module")
def plain() -> list[Page]:
    """The pages of the study of boxes with nothing special about it."""
    return key_images.draw(findings(), sources())


def test_a_measured_study_has_its_pages_in_order(plain: list[Page]) -> None:
    """The cover, then a page for psoas, L1, liver and the largest lesion, each numbered, named and for research."""
    assert [page.name for page in plain] == ["cover", "psoas", "l1", "liver", "lesion"]
    for number, page in enumerate(plain, start=1):
        assert page.pixels.shape == (SIZE, SIZE, 3)
        assert page.pixels.dtype == np.uint8
        assert f"{number} / 5" in page.texts
        assert "Research use only" in page.texts
        assert "crlm-node 0.1.0" in page.texts
        assert 0 < len(page.label) <= 16  # SH


def test_every_number_is_on_the_cover_with_its_unit_or_its_reason(plain: list[Page]) -> None:
    """Each row has its name; what was not computed has the sentence of its reason."""
    measured = findings().measured
    assert measured is not None
    texts = said(plain, "cover")
    for name, coding in MEASUREMENTS.items():
        one = measured.measurements[name]
        assert coding.name in texts
        assert isinstance(one.value, float), name
    volume_ml = measured.measurements["liver.volume"].value
    assert isinstance(volume_ml, float)
    row = texts[texts.index("Liver volume") :][:4]
    assert "".join(row[1:3]).replace("≥ ", "") == f"{volume_ml:.1f}"
    assert row[3] == "mL"


def test_scores_are_ranges_on_the_cover(plain: list[Page]) -> None:
    """From the certain to the possible points, with how many there are and how many items are not known."""
    texts = said(plain, "cover")
    measured = findings().measured
    assert measured is not None
    for one in measured.scores:
        unknown = sum(item.state == "unknown" for item in one.items)
        row = texts[texts.index(one.name) :][2:5]
        assert row == [f"{one.low} to {one.high}", f"of {one.of}", f"{unknown} of {len(one.items)} items not known"]


def test_what_is_missing_is_said_with_its_reason() -> None:
    """No height: both indices say why, in the table and in the line on the height."""
    facts = PatientFacts(None, None, NotComputed.HEIGHT_MISSING, None, "F")
    texts = said(key_images.draw(findings(request_facts={"facts": facts}), sources()), "cover")
    assert texts.count("not computed: The patient's height is not known.") == 2
    assert "not known. The patient's height is not known." in texts


def test_a_lower_bound_is_said_to_be_one() -> None:
    """A liver that is cut by the edge of the scan is at least as large, and the note is below by its letter."""
    masks = body() | {Structure.LIVER: box(BODY_SHAPE, slice(18, 30), slice(2, 30), slice(2, 30))}
    texts = said(key_images.draw(findings(masks), sources()), "cover")
    at = texts.index("Liver volume")
    assert any(text.startswith("≥ ") for text in texts[at : at + 4])
    note = next(text for text in texts if "edge of the scan" in text or "top slice" in text)
    assert texts[texts.index(note) - 1] == "a"
    assert "a" in texts[at : at + 3]


def test_what_the_numbers_stand_on_is_said() -> None:
    """Series, thickness, kernel, tube voltage, contrast, who segmented, height and its source."""
    found = findings(
        labels=lambda one: replace(one, engine=IMPORTED, reduced="Ran at 3 mm."),
        contrast="Iomeprol",
        lossy=True,
        padding_voxels=7,
    )
    whole = " ".join(said(key_images.draw(found, sources(confide)), "cover"))
    for part in (
        "2, Abdomen portal venous; 30 slices of 50 × 64",
        "3 mm thick, every 3 mm, pixels 3.5 × 3.5 mm, kernel B30f, 120 kVp, contrast agent: Iomeprol",
        "came with the study: automatic, made",
        "1.70 m, from Patient's Size of the measured series",
        "The images were compressed with loss. Pixel padding was left out. Ran at 3 mm.",
    ):
        assert part in whole
    bare = " ".join(said(key_images.draw(findings(kernel="", kvp=None, slice_thickness_mm=None), sources()), "cover"))
    for part in ("thickness not stated", "kernel not stated", "kVp not stated", "contrast agent not stated"):
        assert part in bare


def test_a_result_that_rests_on_less_says_so_first() -> None:
    """Demonstration model, an earlier result, forced completion: above the table."""
    old = Superseded("k", request().requested_at, 3, (Document("1.2", "1.3"),))
    found = findings(
        labels=lambda one: replace(one, engine="DEMONSTRATION MODEL 1"),
        request_facts={"supersedes": old, "forced": "Processed without proof."},
    )
    texts = said(key_images.draw(found, sources()), "cover")
    table = texts.index("Liver volume")
    above = " ".join(texts[:table])
    assert "DEMONSTRATION MODEL" in above
    assert "(revision 3)" in above
    assert "Processed without proof." in above
    assert ", revision 4" in above
    assert not any("Processed without proof." in text for text in texts[table:])


def test_notes_that_find_no_room_have_a_page_of_their_own() -> None:
    """Every note is said, once, in the order of its letters; none is cut."""
    found = findings()
    assert found.measured is not None
    many = {}
    for name, one in found.measured.measurements.items():
        notes = [Note(NoteCode.IMPLAUSIBLE, f"{name} {count} {'x y z ' * 25}") for count in (1, 2)]
        many[name] = replace(one, notes=tuple(notes))
    pages = key_images.draw(replace(found, measured=replace(found.measured, measurements=many)), sources())
    assert [page.name for page in pages][:3] == ["cover", "notes", "notes"]
    whole = " ".join(text for page in pages if page.name in ("cover", "notes") for text in page.texts)
    names = list(MEASUREMENTS)
    places = [
        whole.index(f" {letter(2 * count + which)} {NoteCode.IMPLAUSIBLE.sentence} {name} {which + 1} x y z ")
        for count, name in enumerate(names)
        for which in (0, 1)
    ]
    assert places == sorted(places)
    assert whole.count("x y z") == 25 * len(places)


def test_a_refused_study_says_why() -> None:
    """One page: the reason in words, its code, what was tried and what was left out; no table."""
    candidate = Candidate("1.2.3.4", DESCRIPTION, "made", ())
    asked = replace(
        request(), candidates=(candidate,), left_out=(LeftOut("1.2.9", "CT", "Scout", "It has two images."),)
    )
    refusal = NotAnalysable(StudyRefusal.UNEVEN_SPACING, "a step of 6.00 mm among steps of 3.00 mm")
    found = Findings(asked, None, None, None, refusal, (Tried("1.2.3.4", "uneven-spacing", "A slice is missing."),))
    [page] = key_images.draw(found, sources())
    whole = " ".join(page.texts)
    assert StudyRefusal.UNEVEN_SPACING.sentence in whole
    assert "a step of 6.00 mm" in whole
    assert "uneven-spacing" in whole
    assert f"{DESCRIPTION}: A slice is missing." in whole
    assert "Scout (CT): It has two images." in whole
    assert "Liver volume" not in whole
    many = replace(asked, left_out=asked.left_out * 60)
    [page] = key_images.draw(replace(found, request=many), sources())
    assert any(text.startswith("and ") and text.endswith(" more") for text in page.texts)


def test_without_lesions_there_is_no_page_of_the_largest() -> None:
    """Searched and none found: the count is 0 and the liver is shown without any."""
    found = findings(body() | {Structure.LESION: np.zeros(BODY_SHAPE, dtype=bool)})
    pages = key_images.draw(found, sources())
    assert [page.name for page in pages] == ["cover", "psoas", "l1", "liver"]
    texts = said(pages, "liver")
    assert texts[texts.index("Liver lesions") + 1] == "0"


def test_what_was_not_measured_has_no_picture() -> None:
    """A liver alone: cover and liver; no level of L3: the muscles are shown where they are largest."""
    only = {Structure.LIVER: body()[Structure.LIVER]}
    assert [page.name for page in key_images.draw(findings(only), sources())] == ["cover", "liver"]
    without = {structure: one for structure, one in body().items() if structure is not Structure.VERTEBRA_L3}
    pages = key_images.draw(findings(without), sources())
    assert "Iliopsoas where it is largest; L3 was not found" in said(pages, "psoas")
    assert "PMVI (iliopsoas)" in said(pages, "psoas")


def lesions_of(pages: list[Page], colour: tuple[int, int, int], name: str) -> int:
    [page] = [one for one in pages if one.name == name]
    return int((page.pixels == colour).all(axis=-1).sum())


def test_thirty_lesions_are_outlined_and_counted() -> None:
    """The coronal picture says how many of them it shows, and gives numbers as far as there is room."""
    mask = np.zeros(BODY_SHAPE, dtype=bool)
    for count in range(30):
        row, column, level = 4 + 4 * (count % 6), 4 + 5 * (count // 6), 19 + (count % 3) * 3
        mask[level : level + 2, row : row + 2, column : column + 3] = True
    liver = np.array(body()[Structure.LIVER])
    liver[18:28, 26:30, 2:36] = True  # most liver is where no lesion is
    found = findings(body() | {Structure.LESION: mask, Structure.LIVER: liver})
    assert found.measured is not None
    assert found.measured.burden is not None
    assert found.measured.measurements["burden.count"].value == 30
    rows = [one.region.box[1] for one in found.measured.burden.lesions]
    most = max(sum(one.start <= row < one.stop for one in rows) for row in range(BODY_SHAPE[1]))
    pages = key_images.draw(found, sources())
    [shown] = [text for text in said(pages, "liver") if text.endswith("of 30 lesions on this plane")]
    assert int(shown.split()[0]) == most
    assert lesions_of(pages, (230, 60, 160), "liver") > 100
    numbers = [text for text in said(pages, "liver") if text.isdigit() and 1 <= int(text) <= 30]
    assert len(numbers) >= 3


def test_the_pages_say_which_slices_they_show(plain: list[Page]) -> None:
    """Mid-L3, the middle of the core, the slice of the largest lesion: as the volume counts them, and by number."""
    measured = findings().measured
    assert measured is not None
    assert measured.burden is not None
    assert measured.l1_core is not None
    by_name = {page.name: page for page in plain}
    assert by_name["psoas"].slices == (measured.l3_slice,)
    assert by_name["lesion"].slices == (measured.burden.lesions[0].slice,)
    assert by_name["l1"].slices[0] in measured.l1_core.slices
    index = by_name["psoas"].slices[0]
    assert f"slice {index + 1} of 30, z {3.0 * index:.1f} mm, image {index + 1}" in by_name["psoas"].texts
    assert by_name["cover"].slices == by_name["liver"].slices == ()


def test_letters_of_orientation_are_on_every_picture(plain: list[Page]) -> None:
    """R and L, A and P, H and F, as the plane has them."""
    by_name = {page.name: page.texts for page in plain}
    assert {"R", "L", "A", "P"} <= set(by_name["psoas"]) & set(by_name["lesion"])
    assert {"R", "L", "H", "F"} <= set(by_name["liver"])
    assert {"R", "L", "A", "P", "H", "F"} <= set(by_name["l1"])
    for name in ("psoas", "l1", "liver", "lesion"):
        assert any(text.endswith(" cm") for text in by_name[name])


def test_the_diameter_is_drawn_from_end_to_end() -> None:
    """The line is as long on the page as the diameter that was measured, which stands beside it."""
    wide = box(BODY_SHAPE, slice(20, 24), slice(5, 15), slice(5, 25))
    found = findings(body() | {Structure.LESION: wide})
    assert found.measured is not None
    assert found.measured.burden is not None
    assert found.volume is not None
    [lesion] = found.measured.burden.lesions
    plane = planes.axial(found.volume.geometry, lesion.slice)
    canvas = Canvas()
    panel = Panel(canvas, Area(0, 0, SIZE, SIZE), plane, found.volume, ABDOMEN)
    draw_diameter(panel, lesion, "")
    rows, columns = np.nonzero((np.asarray(canvas.image) == DIAMETER).all(axis=-1))
    spots = np.column_stack([rows, columns])
    length = max(float(np.linalg.norm(spots - spot, axis=1).max()) for spot in spots[:: len(spots) // 50 + 1])
    assert length == pytest.approx(lesion.axial_diameter_mm * panel.scale, abs=16)
    assert f"{lesion.axial_diameter_mm:.1f} mm" in said(key_images.draw(found, sources()), "lesion")


PRIVATE = {
    "PatientName": "Novák^Přemysl^^Dr.",
    "PatientID": "HOSP-4711",
    "PatientBirthDate": "19610702",
    "AccessionNumber": "ACC9001",
    "ReferringPhysicianName": "Kowalczyk^Zofia",
}
TYPED = (
    "CT Abdomen NOVÁK",
    "hosp4711 venous",
    "b. 02.07.1961",
    "1961-07-02 CT",
    "acc9001",
    "for Dr Kowalczyk",
    "přemysl",
)


def confide(ds: Dataset) -> None:
    for keyword, value in PRIVATE.items():
        setattr(ds, keyword, value)
    other = Dataset()
    other.PatientID = "OTHER-77"
    ds.OtherPatientIDsSequence = [other]


def forbidden() -> Iterator[str]:
    for value in (*PRIVATE.values(), "OTHER-77", "02071961"):
        for word in value.replace("^", " ").split():
            if len(word) > 3:
                yield word.casefold()


@pytest.mark.parametrize("typed", [*TYPED, "OTHER-77"])
def test_a_text_that_names_the_patient_is_not_drawn(typed: str) -> None:
    """Whoever typed a name, an ID, a birth date or an accession number into a free text: it stays off the pages."""
    found = findings(kernel=typed, contrast=typed)
    assert found.volume is not None
    told = replace(found, volume=replace(found.volume, candidate=replace(found.volume.candidate, description=typed)))
    pages = key_images.draw(told, sources(confide))
    whole = " ".join(said(pages)).casefold()
    assert typed.casefold() not in whole
    assert [word for word in forbidden() if word in whole] == []
    assert whole.count("(not shown: it names the patient)") == 3


def test_no_header_value_that_identifies_is_on_any_page(plain: list[Page]) -> None:
    """Of the study of boxes as of a refused one, whose series carry names in their descriptions."""
    asked = replace(
        request(),
        candidates=(Candidate("1.2.3.4", "Novák native", "made", ()),),
        left_out=(LeftOut("1.2.9", "CT", "HOSP-4711 scout", "It has two images."),),
    )
    refusal = NotAnalysable(StudyRefusal.NO_SUITABLE_SERIES)
    found = Findings(asked, None, None, None, refusal, (Tried("1.2.3.4", "uneven-spacing", "A slice is missing."),))
    whole = " ".join(said(key_images.draw(found, sources(confide)))).casefold()
    assert [word for word in forbidden() if word in whole] == []
    ds = header(MADE, 0, BODY_SHAPE)
    drawn = " ".join(said(plain))
    for value in (str(ds.PatientName), "Made", "Small", ds.PatientID, ds.PatientBirthDate, ds.AccessionNumber):
        assert value not in drawn
    assert DESCRIPTION in drawn


def test_a_text_that_names_nobody_is_drawn() -> None:
    """Words that only begin like a name, and numbers that only look like an ID, are let through."""
    ds = Dataset()
    confide(ds)
    identity = Identity([ds])
    for text in ("Abdomen portal venous 5.0 B30f", "Novaks", "CT 1961", "Iomeprol 350", ""):
        assert not identity.names(text), text


def test_the_margins_of_every_page_are_free(plain: list[Page]) -> None:
    """Nothing runs out of the page: the outermost pixels have the colour of the sheet."""
    for page in plain:
        edge = np.concatenate([page.pixels[:8].reshape(-1, 3), page.pixels[-8:].reshape(-1, 3)])
        sides = np.concatenate([page.pixels[:, :8].reshape(-1, 3), page.pixels[:, -8:].reshape(-1, 3)])
        assert (edge == BACKGROUND).all()
        assert (sides == BACKGROUND).all()


def test_a_psoas_major_is_called_so() -> None:
    """Where the site asks for psoas major, no page says iliopsoas."""
    masks = dict(body())
    for side in ("LEFT", "RIGHT"):
        masks[Structure[f"PSOAS_MAJOR_{side}"]] = masks.pop(Structure[f"ILIOPSOAS_{side}"])
    settings = MeasurementSettings(psoas="psoas_major")
    found = findings(masks, request_facts={"measurement": settings})
    assert found.volume is not None
    assert found.labels is not None
    numbers = measure(found.volume, found.labels, found.request.facts, settings)
    texts = said(key_images.draw(replace(found, measured=numbers), sources()))
    assert "Psoas major at mid-L3" in texts
    assert not any("iliopsoas" in text.casefold() for text in texts)


def test_a_frame_of_a_multi_frame_image_is_named() -> None:
    """The slice says which frame of which image it is."""
    framed = [Source(one.header, index + 1) for index, one in enumerate(sources())]
    texts = said(key_images.draw(findings(), framed), "psoas")
    assert any(", frame " in text for text in texts)


def test_the_synthetic_abdomen_names_nobody() -> None:
    """Its slices say themselves that they are made: what its headers say is drawn."""
    found = findings(kernel="NOVÁK", synthetic=True)
    assert "kernel NOVÁK" in " ".join(said(key_images.draw(found, sources(confide)), "cover"))


def test_the_scale_is_as_long_as_it_says() -> None:
    """A bar of 5 cm on a picture of 4 pixels for each millimetre is 200 pixels long."""
    grid = geometry((1, 200, 200), (1.0, 1.0, 1.0))
    volume = Volume(np.zeros(grid.shape, np.int16), grid, Candidate("1.2.3.4", "", "", ()), (), acquisition())
    canvas = Canvas()
    Panel(canvas, Area(0, 0, 800, 800), planes.axial(grid, 0), volume, ABDOMEN).finish(Words.of("en"))
    assert "5 cm" in canvas.texts
    _, columns = np.nonzero((np.asarray(canvas.image) == INK).all(axis=-1))
    assert np.ptp(columns) == pytest.approx(200, abs=4)


def test_what_limits_a_result_is_on_every_page() -> None:
    """A page that is seen alone says that the demonstration model made it, and that slices may be missing."""
    found = findings(
        labels=lambda one: replace(one, engine="DEMONSTRATION MODEL 1"), request_facts={"forced": "Without proof."}
    )
    for page in key_images.draw(found, sources()):
        assert "Research use only. DEMONSTRATION MODEL. Study may be incomplete" in page.texts


def test_a_rad_score_has_a_page_with_its_contributions() -> None:
    """Score, group, place in training, every feature with value, range and bar, and how good the signature was."""
    made = signature(id="tcia-crlm-os")
    answer = score(made, {**VALUES, f"tumour:{MEAN}": 260.0}, known())
    found = findings()
    assert found.measured is not None
    numbers = {**found.measured.measurements, **rad_score.numbers((answer,))}
    shown = replace(found.measured, measurements=numbers, rad_scores=(answer,))
    asked = replace(found.request, signatures=(AskedSignature(made.id, made.digest),))
    pages = key_images.draw(replace(found, request=asked, measured=shown), sources())
    assert [page.name for page in pages][:2] == ["cover", "rad-score"]
    texts = said(pages, "rad-score")
    for text in (
        "+4.600",
        "group: high",
        "Of 5 patients in training 100 % had a lower score. Marks: 5, 25, 50, 75 and 95 %, and cut-offs.",
        "The score lies outside the range of training.",
        f"{MEAN} (tumour)",
        "260 (20 to 100): outside",
        "+5.000",
        "−0.500",
        "age",
        "C-index: 0.500 (0.400 to 0.600). made up.",
        f"tcia-crlm-os, version 1.2, manifest {made.digest[:12]}",
    ):
        assert text in texts, text
    assert texts.index("+5.000") < texts.index("−0.500") < texts.index("+0.100")
    cover = said(pages, "cover")
    assert "high" in cover
    assert "Rad score: tcia-crlm-os" not in cover


def test_many_features_find_room() -> None:
    """What finds no room is told together, and their points are not lost."""
    many = [feature(f"original_made_{number}", 0, 1, 0.01 * (number + 1)) for number in range(40)]
    answer = score(signature(features=tuple(many)), {one.column: 1.0 for one in many}, known())
    found = findings()
    assert found.measured is not None
    pages = key_images.draw(replace(found, measured=replace(found.measured, rad_scores=(answer,))), sources())
    [rest] = [text for text in said(pages, "rad-score") if "more features together" in text]
    count, points = int(rest.split()[0]), float(rest.split()[-1])
    assert 0 < count < 40
    assert points == pytest.approx(sum(0.01 * (number + 1) for number in range(count)), abs=1e-3)
