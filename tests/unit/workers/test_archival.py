"""What the archival SR says beside the numbers of the table: lesions, acquisition and method, scores, sentences."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from made_arrays import BODY_SHAPE, BODY_VOXEL_ML, NO_FACTS, body, box, geometry, label_map, tilted, volume
from made_series import request
from made_studies import Made
from made_validation import validation
from pydicom import Dataset
from pydicom.uid import CTImageStorage
from sr_reading import children, coded, decoded, groups, image_of, name, number, texts, tracking_uid, walk
from studies import Study, run

from node.core.codes import MEASUREMENTS, Structure
from node.core.private_codes import SCORE_ITEMS, SCORES, TBS_ZONES
from node.core.reasons import NotComputed, NoteCode
from node.core.records import ClinicalFacts, Context, Measurement, Note, computed, not_computed
from node.core.spool import Spool
from workers.measured import Measured, Zone
from workers.measurement import lesions as stage_8
from workers.measurement import scores
from workers.records import DEMONSTRATION, LabelMap, Volume
from workers.report import clinical, quality, sentences
from workers.report.document import Findings
from workers.report.frames import Source
from workers.report.lesions import MOST, planar

SHAPE = (12, 20, 24)
GRID = geometry(SHAPE, (3.0, 0.8, 0.9))
NUMBERS = dict.fromkeys(MEASUREMENTS, computed(1.0))
NOT_SEARCHED = NUMBERS | dict.fromkeys(
    ("burden.count", "burden.max_diameter", "burden.tbs"), not_computed(NotComputed.STRUCTURE_NOT_FOUND)
)


@pytest.fixture
def made(tmp_path: Path) -> Made:
    return Made(tmp_path)


def findings(
    numbers: dict[str, Measurement] | None = None,
    seen: Volume | None = None,
    labels: LabelMap | None = None,
    clinical_facts: ClinicalFacts | None = None,
) -> Findings:
    """Return what stages 6 to 8 might have handed on, without a pixel of it."""
    there = numbers or NUMBERS
    masks = label_map(GRID, {Structure.LIVER: box(SHAPE, *[slice(2, 9)] * 3)})
    return Findings(
        request=replace(request(), facts=replace(NO_FACTS, height_reason=NotComputed.HEIGHT_MISSING)),
        volume=seen or volume(np.zeros(SHAPE, dtype=np.int16), (3.0, 0.8, 0.9)),
        labels=labels or masks,
        measured=Measured(there, None, None, None, scores.compute(there, clinical_facts)),
        refusal=None,
    )


def called(ds: Dataset, label: str) -> Dataset:
    """Return the group with a tracking identifier."""
    [group] = [one for one in groups(ds) if children(one, "TEXT", "112039")[0].TextValue == label]
    return group


def measured_in(group: Dataset) -> dict[str, float]:
    return {name(item): number(item)[0] for item in children(group, "NUM")}


def test_a_lesion_that_is_a_segment_is_told_in_the_groups_of_that_segment(made: Made) -> None:
    """Its volume where the segment is referred to, under its Tracking UID; its diameter on the slice that has it."""
    one = box(BODY_SHAPE, slice(20, 24), slice(5, 15), slice(5, 15))
    # Largest on slice 25, longest on slice 26, and cut by the top of the scan.
    other = box(BODY_SHAPE, slice(25, 26), slice(18, 24), slice(5, 11))
    other |= box(BODY_SHAPE, slice(26, 30), slice(18, 19), slice(5, 20))
    study = made.study({Structure.LIVER: body()[Structure.LIVER], Structure.LESION: [one, other]})
    ds, seg = study.dataset("sr.dcm"), study.dataset("seg.dcm")
    for number_, mask in enumerate((one, other), start=1):
        label = f"Liver lesion {number_}"
        whole, outline = called(ds, label), called(ds, f"{label}, outline")
        assert tracking_uid(whole) == next(item.TrackingUID for item in seg.SegmentSequence if item.TrackingID == label)
        table = study.document["burden"]["lesions"][number_ - 1]
        assert table["volume_ml"] == pytest.approx(mask.sum() * BODY_VOXEL_ML)
        expected = {"118565006": "volume_ml", "max-3d-diameter": "diameter_mm", "112031": "mean_hu"}
        assert measured_in(whole) == {code: round(table[key], 4) for code, key in expected.items()}
        assert measured_in(outline) == {"max-axial-diameter": round(table["axial_diameter_mm"], 4)}
        [scoord] = children(outline, "SCOORD", "111030")
        assert image_of(scoord) == study.sources[table["slice"]].SOPInstanceUID
        [line] = children(children(outline, "NUM")[0], "SCOORD")
        ends = np.asarray(line.GraphicData).reshape(2, 2)
        assert all(mask[table["slice"], int(row), int(column)] for column, row in ends)
        assert (ends % 1 == 0.5).all()  # the middle of a pixel
    assert table["slice"] == 26
    assert any(text.startswith("Reaches the top slice of the scan") for text in texts(called(ds, "Liver lesion 2")))
    assert not any("Reaches" in text for text in texts(called(ds, "Liver lesion 1")))


def specks(count: int) -> tuple[np.ndarray, list[np.ndarray]]:
    """Return a mask of lesions, and each of them: the later, the longer."""
    parts = []
    for index in range(count):
        layer, place = divmod(index, 6)
        level, row = 18 + 2 * layer, 2 + 4 * place
        parts.append(box(BODY_SHAPE, slice(level, level + 1), slice(row, row + 2), slice(2, 4 + index)))
    return np.logical_or.reduce(parts), parts


def test_lesions_of_one_mask_are_told_one_by_one_up_to_a_bound(made: Made) -> None:
    """Of more than twenty those with the largest diameters have a group, and how many there are is said."""
    mask, parts = specks(MOST + 3)
    study = made.study(body() | {Structure.LESION: mask})
    table, ds = study.document["burden"]["lesions"], study.dataset("sr.dcm")
    assert len(table) == len(parts)
    told = {f"Liver lesion {one['number']}": one for one in table if one["axial_diameter_mm"] > 3.5 * 4}
    assert len(told) == MOST
    labels = [str(children(group, "TEXT", "112039")[0].TextValue) for group in groups(ds)]
    assert [one for one in labels if one.startswith("Liver lesion ")] == list(told)
    for label, one in told.items():
        group = called(ds, label)
        assert measured_in(group) == {
            "max-axial-diameter": round(one["axial_diameter_mm"], 4),
            "118565006": round(one["volume_ml"], 4),
            "max-3d-diameter": round(one["diameter_mm"], 4),
            "112031": round(one["mean_hu"], 4),
        }
        [site] = children(group, "CODE", "363698007")
        assert coded(site) == "10200004"
    assert "Told one by one are the 20 with the largest diameters of 23 lesions." in texts(called(ds, "Tumour burden"))
    assert len({tracking_uid(group) for group in groups(ds)}) == len(labels)


def test_a_lesion_of_one_pixel_has_no_line() -> None:
    """Its diameter is 0: a line that ends where it begins is none."""
    labels = label_map(GRID, {Structure.LESION: [box(SHAPE, slice(3, 4), slice(3, 4), slice(3, 4))] * 2})
    seen = volume(np.zeros(SHAPE, dtype=np.int16), (3.0, 0.8, 0.9))
    [lesion, _] = stage_8.measure(seen, stage_8.find(labels))
    assert lesion.ends == ((3, 3), (3, 3))
    header = Dataset()
    header.SOPClassUID, header.SOPInstanceUID = CTImageStorage, "1.2.3"
    diameter = decoded(planar(lesion, Source(header)).encoded())
    assert (number(diameter), children(diameter)) == ((0.0, "mm"), [])


def test_every_zone_and_every_score_has_its_code() -> None:
    """Scores and items are called in code as stage 8 calls them."""
    assert set(TBS_ZONES) == set(Zone)
    computed_scores = scores.compute(NUMBERS, None)
    assert {one.id: one.name for one in computed_scores} == {id_: code.meaning for id_, code in SCORES.items()}
    names = {item.id: item.name[0].upper() + item.name[1:] for one in computed_scores for item in one.items}
    assert names == {id_: code.meaning for id_, code in SCORE_ITEMS.items()}


def scores_of(of: Findings) -> Dataset:
    """Return the container of the scores."""
    box_ = clinical.scores(of)
    assert box_ is not None
    return decoded(box_.encoded())


def test_a_score_of_which_nothing_is_known_is_not_told() -> None:
    """Lesions were not searched for, and the site has entered nothing."""
    assert clinical.scores(findings(NOT_SEARCHED)) is None
    told = scores_of(findings(NOT_SEARCHED, clinical_facts=ClinicalFacts(cea_ng_ml=12.0)))
    assert [name(item) for item in children(told, "CONTAINER")] == ["fong-crs", "game"]


def test_a_score_says_its_range_and_whom_it_was_made_from() -> None:
    """In words beside the coded points; exact where every item is known."""
    known = ClinicalFacts(node_positive_primary=True, disease_free_interval_months=6.0, cea_ng_ml=250.0)
    told = scores_of(findings(clinical_facts=known))
    [fong, ras, _] = children(told, "CONTAINER")
    assert [number(item) for item in children(fong, "NUM")] == [(3.0, "{points}"), (3.0, "{points}")]
    assert texts(fong)[0].startswith("3 of 5 points. Fong et al., Ann Surg 1999")
    assert texts(ras)[0].startswith("1 to 2 of 3 points, for some items are not known. Brudvik")
    [size] = children(told, "TEXT")
    assert size.TextValue.startswith("The size is the largest diameter")


def facts_of(of: Findings) -> dict[str, list[Any]]:
    """Return what is said of acquisition and method, by the names of the items."""
    box_ = quality.facts(of)
    assert box_ is not None
    said: dict[str, list[Any]] = {}
    for item in children(decoded(box_.encoded())):
        value = {"NUM": number, "CODE": coded, "TEXT": lambda one: str(one.TextValue)}[item.ValueType](item)
        said.setdefault(name(item), []).append(value)
    return said


def test_what_is_known_of_the_acquisition_is_said() -> None:
    """Numbers by the codes of the standard; what the headers do not say has no line, or says so."""
    said = facts_of(findings())
    assert said["coverage"] == ["12 slices, 36 mm"]
    assert said["112225"] == said["112226"] == [(3.0, "mm")]
    assert (said["111026"], said["111066"]) == ([(0.9, "mm")], [(0.8, "mm")])
    assert said["113733"] == [(120.0, "kV")]
    assert (said["convolution-kernel"], said["123011"]) == (["B30f"], ["none is named"])
    assert said["height"] == ["not known"]
    assert not {"gantry-angle", "compression", "reduced-mode"} & set(said)
    bare = volume(
        np.zeros(SHAPE, dtype=np.int16), kvp=None, slice_thickness_mm=None, kernel="", contrast="Iomeprol", lossy=True
    )
    said = facts_of(findings(seen=bare))
    assert not {"112225", "113733"} & set(said)
    assert (said["convolution-kernel"], said["123011"]) == (["not named"], ["Iomeprol"])
    assert said["compression"] == ["The images were compressed with loss."]


def test_a_tilted_gantry_is_said() -> None:
    """Its angle, and that a network saw the slices upright."""
    grid = tilted(SHAPE, 3.0, 0.8, 0.9, 12.0)
    labels = replace(label_map(grid, {Structure.LIVER: box(SHAPE, *[slice(2, 9)] * 3)}), seen_upright=True)
    seen = replace(volume(np.zeros(SHAPE, dtype=np.int16)), geometry=grid)
    said = facts_of(findings(seen=seen, labels=labels))
    assert said["gantry-angle"] == [(pytest.approx(12.0, abs=1e-3), "deg")]
    assert said["coverage"][0].endswith("a network saw them resampled to upright slices")


def test_who_segmented_is_said_for_each_author() -> None:
    """The network with its digests and its reduced mode; whom an imported segment was drawn by, and how."""
    drawn = label_map(GRID, dict.fromkeys((Structure.LIVER, Structure.ILIOPSOAS_LEFT), box(SHAPE, *[slice(2, 9)] * 3)))
    labels = replace(drawn, engine=f"{DEMONSTRATION}: x", reduced="It is coarse.")
    said = facts_of(replace(findings(labels=labels), request=replace(request(), engine="networks, weights 0a1b")))
    assert said["segmented-by"] == ["liver, iliopsoas left: made (automatic)"]
    assert (said["engine"], said["reduced-mode"]) == (["networks, weights 0a1b"], ["It is coarse."])
    assert said["psoas-structure"] == ["68455001"]


def test_imported_segments_are_said_to_be_such(made: Made) -> None:
    """No digest of a model that did nothing; the muscle is the one that the site asks for."""
    study = made.study(psoas="psoas_major")
    [box_] = children(study.dataset("sr.dcm"), "CONTAINER", "quality")
    [author] = children(box_, "TEXT", "segmented-by")
    assert author.TextValue.endswith(", came with the study")
    assert not children(box_, "TEXT", "engine")
    assert [coded(item) for item in children(box_, "CODE", "psoas-structure")] == ["psoas-major"]


def test_a_refused_series_that_was_read_is_described(made: Made) -> None:
    """How it was acquired; nothing of a method, for nothing was measured."""
    study = made.study()
    home = Spool(made.folder / "refused")
    home.prepare()
    refused: Study = run(replace(study.request, segmentations=()), home)
    [box_] = children(refused.dataset("sr.dcm"), "CONTAINER", "quality")
    assert {name(item) for item in children(box_)} >= {"coverage", "112225"}
    assert not {"segmented-by", "psoas-structure", "height"} & {name(item) for item in walk(box_)}


def test_intervals_and_published_values_stand_beside_their_numbers() -> None:
    """What the errors of the network imply, in the unit of the number; what was published, and what differs here."""
    beside = Context("mean 113.3 cm³/m³", "Someone 2026", "88 patients", "CT", ("segmented by hand", "80 kVp"))
    one = replace(computed(80.0), interval=(75.2, 84.123), context=(beside, replace(beside, outside=())))
    told = findings(NUMBERS | {"psoas.pmvi": one})
    assert told.labels is not None
    told = replace(told, labels=replace(told.labels, validation=validation()))
    interval, differs, plain = sentences.remarks(["psoas.pmvi"], told)
    assert interval == (
        "PMVI (iliopsoas): the errors of this network on 5 synthetic abdomens that the model never saw imply a true "
        "value from 75.20 to 84.12 cm³/m³; no confidence interval."
    )
    said = "PMVI (iliopsoas), a published value to read it beside: mean 113.3 cm³/m³. Someone 2026: 88 patients; CT."
    assert (plain, differs) == (said, f"{said} Here: segmented by hand, 80 kVp.")


def test_a_note_says_what_it_means_and_then_the_figures() -> None:
    """A note without figures of its own is said once, and one that two numbers share as well."""
    notes = (
        Note(NoteCode.HIGH_VARIANCE, "SD 90 HU, maximum 800 HU."),
        Note(NoteCode.CONTRAST, NoteCode.CONTRAST.sentence),
    )
    told = findings(NUMBERS | dict.fromkeys(("l1.mean_hu", "l1.sd_hu"), computed(1.0, *notes)))
    assert list(sentences.remarks(["l1.mean_hu", "l1.sd_hu"], told)) == [
        f"L1 density, mean: {NoteCode.HIGH_VARIANCE.sentence} SD 90 HU, maximum 800 HU.",
        "L1 density, mean: Contrast agent raises the attenuation.",
    ]
