import io
import os
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from made_arrays import BODY_SHAPE, BODY_SPACING_MM, BODY_VOXEL_ML, body, box
from made_seg import drawn, write_seg
from made_series import AXIAL, candidate, instance, request, write_series
from made_series import spool as absolute
from made_studies import HU, Made
from pydicom import Dataset, dcmread
from pydicom.uid import Comprehensive3DSRStorage
from sr_reading import children, evidence, groups, image_of, meaning, name, number, texts, walk, words
from studies import REQUESTED_AT, Study, run

from node.core.codes import Structure
from node.core.dicom import result_uid
from node.core.reasons import NotComputed
from node.core.records import Document, HeightSource, PatientFacts, Superseded
from node.core.settings import MeasurementSettings
from node.core.spool import Spool
from workers import analysis, segmentation, volume
from workers.records import DEMONSTRATION, AlgorithmType
from workers.report.viewer import LINES_SHOWN

NAMES = {
    "ISO_IR 100": "Müller^Jürgen",
    "ISO_IR 144": "Люкceмбypг^Poзa",
    "ISO_IR 192": "Wang^XiaoDong=王^小东",
    "GB18030": "Wang^XiaoDong=王^小东",
    "\\ISO 2022 IR 87": "Yamada^Tarou=山田^太郎=やまだ^たろう",
    "ISO 2022 IR 13\\ISO 2022 IR 87": "ﾔﾏﾀﾞ^ﾀﾛｳ=山田^太郎=やまだ^たろう",
}


@pytest.fixture
def made(tmp_path: Path) -> Made:
    return Made(tmp_path)


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Study:
    """The study of boxes with nothing special about it."""
    return Made(tmp_path_factory.mktemp("plain")).study()


def reports(study: Study) -> Iterator[tuple[str, Dataset]]:
    for product in study.outcome.products:
        yield product.file, study.dataset(product.file)


@pytest.mark.parametrize("charset", NAMES)
@pytest.mark.filterwarnings("ignore:The value for")
def test_names_of_every_script_arrive_as_they_were(charset: str, made: Made) -> None:
    """Name, study description and issuer are decoded from the source's character set and written in ISO_IR 192."""
    patient = NAMES[charset]
    word = patient.split("=")[-1].split("^")[0]

    def edit(ds: Dataset, _: int) -> None:
        ds.SpecificCharacterSet = charset.split("\\")
        ds.PatientName = patient
        ds.StudyDescription = ds.IssuerOfPatientID = word
        other = Dataset()
        other.PatientID, other.IssuerOfPatientID, other.TypeOfPatientID = "X-1", word, "TEXT"
        ds.OtherPatientIDsSequence = [other]

    study = made.study(edit=edit)
    raw = Path(study.request.candidates[0].instances[0].path).read_bytes()
    assert (word.encode() in raw) == (charset == "ISO_IR 192" or word.isascii())  # another encoding on the way in
    for _, ds in reports(study):
        assert ds.SpecificCharacterSet == "ISO_IR 192"
        assert str(ds.PatientName) == patient
        assert (ds.StudyDescription, ds.IssuerOfPatientID) == (word, word)
        assert ds.OtherPatientIDsSequence[0].IssuerOfPatientID == word


def test_identifiers_and_deidentification_are_copied(made: Made) -> None:
    """Issuers, other IDs, accession number with its issuer, and what was done to the identity."""

    def edit(ds: Dataset, _: int) -> None:
        ds.PatientIdentityRemoved, ds.DeidentificationMethod = "YES", "by hand"
        issuer = Dataset()
        issuer.LocalNamespaceEntityID = "RIS"
        ds.IssuerOfAccessionNumberSequence = [issuer]
        ds.PatientWeight, ds.ReferringPhysicianName = "71.5", "Doc^A"

    for _, ds in reports(made.study(edit=edit)):
        assert (ds.PatientIdentityRemoved, ds.DeidentificationMethod) == ("YES", "by hand")
        assert ds.IssuerOfAccessionNumberSequence[0].LocalNamespaceEntityID == "RIS"
        assert (ds.AccessionNumber, str(ds.ReferringPhysicianName)) == ("A7", "Doc^A")
        assert (float(ds.PatientWeight), float(ds.PatientSize)) == (71.5, 1.7)


def test_another_input_gives_other_uids(plain: Study, made: Made) -> None:
    """A setting that changes a number changes every UID of the result; the same content keeps them."""
    other = made.study(core_erosion_mm=4.0)
    ours = {ds.SOPInstanceUID for _, ds in reports(plain)}
    assert not ours & {ds.SOPInstanceUID for _, ds in reports(other)}
    for file, ds in reports(plain):
        kind = file.removesuffix(".dcm")
        assert ds.SOPInstanceUID == result_uid(plain.request.key, kind)
        assert ds.SeriesInstanceUID == result_uid(plain.request.key, f"{kind}-series")


def test_a_label_map_is_written_where_it_is_asked_for(plain: Study, tmp_path: Path) -> None:
    """It comes beside the SEG, in a series of its own; every other object is what it is without it."""
    home = Spool(tmp_path / "asked")
    home.prepare()
    work = home.work(plain.request.key)
    analysis.segment(plain.request, home, work)
    made = {
        one.kind: work.read(one.file)
        for one in analysis.measure(plain.request, home, work, tmp_path, label_map=True).products
    }
    assert list(made) == ["seg", "seg-labelmap", "sr", "sr-viewer", "summary"]
    assert {kind: made[kind] for kind in made if kind != "seg-labelmap"} == {
        one.kind: plain.work.read(one.file) for one in plain.outcome.products
    }
    binary, labels = (dcmread(io.BytesIO(made[kind])) for kind in ("seg", "seg-labelmap"))
    assert labels.SOPClassUID == "1.2.840.10008.5.1.4.1.1.66.7"
    assert (labels.SeriesDescription, labels.SeriesNumber) == ("crlm-node label map (research use)", 9005)
    assert labels.SeriesInstanceUID != binary.SeriesInstanceUID
    assert labels.DimensionOrganizationSequence[0] != binary.DimensionOrganizationSequence[0]


def test_times_are_local_and_the_requests(plain: Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The ledger's UTC is written as the time on the hospital's wall, with its offset where DICOM has room for one."""
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    time.tzset()
    try:
        home = Spool(tmp_path / "tokyo")
        home.prepare()
        for _, ds in reports(run(plain.request, home)):
            assert (ds.ContentDate, ds.ContentTime) == ("20261121", "210000")
            assert {str(item.ContributionDateTime) for item in ds.ContributingEquipmentSequence} == {
                "20261121210000+0900"
            }
    finally:
        monkeypatch.undo()
        time.tzset()
    assert "TZ" not in os.environ or os.environ["TZ"] != "Asia/Tokyo"


def test_a_count_of_no_lesions_is_told(made: Made) -> None:
    """Searched and none found: the archival SR holds the NUM 0 and the two reasons; the viewer SR draws no zero."""
    study = made.study(body() | {Structure.LESION: np.zeros(BODY_SHAPE, dtype=bool)})
    assert study.document["measurements"]["burden.count"]["value"] == 0
    archival = study.dataset("sr.dcm")
    assert [number(item) for item in walk(archival) if name(item) == "lesion-count"] == [(0.0, "1")]
    reasons = {name(item) for item in walk(archival) if item.ValueType == "CODE"}
    assert {"burden.max_diameter", "burden.tbs"} <= reasons
    assert not any(name(item).startswith("burden.") for item in walk(study.dataset("sr-viewer.dcm")))


def test_a_value_of_zero_is_told_and_never_drawn(made: Made) -> None:
    """Water has 0 HU: the archival SR holds it, a stock OHIF would print nothing for it, so it is not drawn."""
    study = made.study(stored=np.full(BODY_SHAPE, 1024, dtype=np.uint16))
    assert study.value("liver.mean_hu") == 0
    assert (0.0, "[hnsf'U]") in [number(item) for item in walk(study.dataset("sr.dcm")) if item.ValueType == "NUM"]
    drawn_names = {name(item) for item in walk(study.dataset("sr-viewer.dcm")) if item.ValueType == "NUM"}
    assert "liver.volume" in drawn_names
    assert "liver.mean_hu" not in drawn_names


def test_indices_are_told_where_no_muscle_is_seen_at_l3(made: Made) -> None:
    """The level lies above both muscles: PMVI is told with outlines where the muscles are largest."""
    masks = body() | {Structure.VERTEBRA_L3: box(BODY_SHAPE, slice(20, 27), slice(31, 45), slice(2, 20))}
    masks[Structure.VERTEBRAL_BODY] = box(BODY_SHAPE, slice(3, 29), slice(10, 30), slice(32, 62))
    study = made.study(masks)
    assert study.document["measurements"]["psoas.pmi"]["reason"] == "structure-not-found"
    assert study.value("psoas.pmvi") > 0
    for file in ("sr.dcm", "sr-viewer.dcm"):
        found = [item for item in walk(study.dataset(file)) if name(item) in ("pmvi", "psoas.pmvi")]
        assert [item.ValueType for item in found if item.ValueType == "NUM"] == ["NUM"], file


def test_a_height_that_is_missing_is_told(made: Made) -> None:
    """Without a height the volumes stay, and both indices are there with their reason."""
    facts = PatientFacts(None, None, NotComputed.HEIGHT_MISSING, None, "F")
    study = made.study()
    home = Spool(made.folder / "short")
    home.prepare()
    again = run(replace(study.request, facts=facts), home)
    said = texts(again.dataset("sr.dcm"))
    assert "PMVI (iliopsoas): not computed. The patient's height is not known." in said
    assert again.value("psoas.left.volume") == study.value("psoas.left.volume")


def test_swapped_muscles_are_shown_and_not_measured(made: Made) -> None:
    """Left and right exchanged: the SEG holds both as they were labelled, the SR says why they have no number."""
    masks = body()
    left, right = Structure.ILIOPSOAS_LEFT, Structure.ILIOPSOAS_RIGHT
    study = made.study(masks | {left: masks[right], right: masks[left]})
    names = [one for one in study.document["measurements"] if one.startswith("psoas.")]
    assert {study.document["measurements"][one]["reason"] for one in names} == {"structure-implausible"}
    assert study.value("liver.volume") > 0
    labels = [str(item.SegmentLabel) for item in study.dataset("seg.dcm").SegmentSequence]
    assert {"Iliopsoas left", "Iliopsoas right"} <= set(labels)
    said = texts(study.dataset("sr.dcm"))
    assert "PMVI (iliopsoas): not computed. The segmented structure is not plausible." in said
    assert any("mm to the patient's right of the right iliopsoas" in text for text in said)
    reasons = [item for item in walk(study.dataset("sr.dcm")) if name(item) in names]
    assert {item.ConceptCodeSequence[0].LongCodeValue for item in reasons} == {"structure-implausible"}
    assert not [item for item in walk(study.dataset("sr-viewer.dcm")) if name(item) in names]


def test_psoas_major_is_called_so_and_drawn(made: Made) -> None:
    """Where the site asks for psoas major, every name that a reader sees says so, and its own outline is drawn."""
    masks = body()
    for side, structure in (("LEFT", Structure.PSOAS_MAJOR_LEFT), ("RIGHT", Structure.PSOAS_MAJOR_RIGHT)):
        whole = np.asarray(masks[Structure[f"ILIOPSOAS_{side}"]])
        masks[structure] = whole & box(BODY_SHAPE, slice(None), slice(24, 36), slice(None))
    study = made.study(masks, psoas="psoas_major")
    assert study.value("psoas.left.volume") == pytest.approx(
        np.asarray(masks[Structure.PSOAS_MAJOR_LEFT]).sum() * BODY_VOXEL_ML
    )
    for file in ("sr.dcm", "sr-viewer.dcm"):
        ds = study.dataset(file)
        numbered = [group for group in groups(ds) if children(group, "NUM") or children(group, "CODE", "psoas.pmi")]
        shown = [str(word) for group in numbered for word in words(group)]
        named = " ".join(word for word in shown if "published value" not in word).lower()  # they say what differs
        assert "psoas major" in named
        assert "iliopsoas" not in named
    areas = [item for item in walk(study.dataset("sr-viewer.dcm")) if name(item) == "psoas.left.area_l3"]
    [outline] = children(areas[0], "SCOORD")
    rows = np.asarray(outline.GraphicData)[1::2]
    assert (rows.min(), rows.max()) == (24, 36)


def test_groups_that_want_one_slice_get_slices_of_their_own(made: Made) -> None:
    """Liver, muscles, lesion, L3 and L1 all largest on one slice: the boxes still never cover each other."""
    shape, stretch = BODY_SHAPE, slice(2, 28)
    masks: dict[Structure, Any] = {
        Structure.LIVER: box(shape, stretch, slice(2, 18), slice(2, 30)),
        Structure.ILIOPSOAS_LEFT: box(shape, stretch, slice(32, 48), slice(40, 50)),
        Structure.ILIOPSOAS_RIGHT: box(shape, stretch, slice(32, 48), slice(4, 14)),
        Structure.VERTEBRA_L1: box(shape, stretch, slice(3, 13), slice(38, 54)),
        Structure.VERTEBRA_L3: box(shape, stretch, slice(33, 43), slice(20, 36)),
        Structure.VERTEBRAL_BODY: box(shape, stretch, slice(3, 48), slice(18, 60)),
        Structure.LESION: box(shape, stretch, slice(5, 10), slice(5, 20)),
    }
    for mask in masks.values():
        mask[15, 1:3, 1:3] = True
    found = groups(made.study(masks).dataset("sr-viewer.dcm"))
    slices = [{image_of(item) for item in walk(group) if item.ValueType == "SCOORD"} for group in found]
    assert all(len(one) == 1 for one in slices)
    assert len(set.union(*slices)) == len(found) == 5


def test_the_demonstration_model_is_named_in_every_group(
    made: Made, plain: Study, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the drawn SR the name of the model takes the place of a line, and the line moves to a group of its own."""
    honest = segmentation.segment

    def by_the_model(*given: Any) -> Any:
        return replace(honest(*given), engine=f"{DEMONSTRATION}: of a test")

    monkeypatch.setattr(segmentation, "segment", by_the_model)
    study = made.study()
    for product in study.outcome.products:
        assert study.dataset(product.file).SeriesDescription.startswith(DEMONSTRATION)
    found = groups(study.dataset("sr-viewer.dcm"))
    for group in found:
        lines = [item for item in walk(group) if item.ValueType == "NUM"]
        assert any(DEMONSTRATION in str(item.get("TextValue", "")) for item in walk(group))
        assert len(lines) < LINES_SHOWN
    drawn_names = [name(item) for group in found for item in walk(group) if item.ValueType == "NUM"]
    before = [name(item) for item in walk(plain.dataset("sr-viewer.dcm")) if item.ValueType == "NUM"]
    assert sorted(drawn_names) == sorted(before)


def test_an_imported_segment_keeps_how_it_was_drawn(made: Made) -> None:
    """MANUAL has no algorithm; of another's network the name is kept, and neither family nor version is made up."""
    manual = made.study(facts={"by": AlgorithmType.MANUAL}).dataset("seg.dcm").SegmentSequence[0]
    assert manual.SegmentAlgorithmType == "MANUAL"
    assert "SegmentAlgorithmName" not in manual
    theirs = made.study(facts={"name": "their network 3"}).dataset("seg.dcm").SegmentSequence[0]
    assert (theirs.SegmentAlgorithmType, theirs.SegmentAlgorithmName) == ("AUTOMATIC", "their network 3")
    assert "SegmentationAlgorithmIdentificationSequence" not in theirs


def segments(study: Study) -> dict[str, np.ndarray]:
    """Return the masks of a study's SEG by their labels, frame by frame at its source slice."""
    seg = study.dataset("seg.dcm")
    order = {str(one.SOPInstanceUID): index for index, one in enumerate(study.sources)}
    found = {int(item.SegmentNumber): np.zeros(BODY_SHAPE, dtype=bool) for item in seg.SegmentSequence}
    for frame, own in zip(seg.pixel_array, seg.PerFrameFunctionalGroupsSequence, strict=True):
        source = str(own.DerivationImageSequence[0].SourceImageSequence[0].ReferencedSOPInstanceUID)
        found[int(own.SegmentIdentificationSequence[0].ReferencedSegmentNumber)][order[source]] = frame
    return {str(item.SegmentLabel): found[int(item.SegmentNumber)] for item in seg.SegmentSequence}


def test_the_seg_holds_the_masks(plain: Study) -> None:
    """Each segment is the mask that was measured."""
    names = segments(plain)
    assert list(names) == ["Liver", "Iliopsoas left", "Iliopsoas right", "L1 trabecular core", "Liver lesions"]
    masks = body()
    for label, structure in zip(
        names, (Structure.LIVER, Structure.ILIOPSOAS_LEFT, Structure.ILIOPSOAS_RIGHT), strict=False
    ):
        assert np.array_equal(names[label], masks[structure])
    assert np.array_equal(names["Liver lesions"], masks[Structure.LESION])
    core = names["L1 trabecular core"]
    assert core.sum() * BODY_VOXEL_ML == pytest.approx(plain.value("l1.volume"))


def test_the_seg_numbers_lesions_that_were_drawn_one_by_one(made: Made) -> None:
    """As the table of result.json does; measured again on that SEG, they are the same lesions."""
    drawn_masks = [
        box(BODY_SHAPE, slice(20, 24), slice(5, 15), slice(5, 15)),
        box(BODY_SHAPE, slice(20, 24), slice(18, 22), slice(5, 9))
        | box(BODY_SHAPE, slice(26, 27), slice(5, 9), slice(5, 9)),
    ]
    study = made.study({Structure.LIVER: body()[Structure.LIVER], Structure.LESION: list(drawn_masks)})
    names = segments(study)
    for place, mask in enumerate(drawn_masks, start=1):
        assert np.array_equal(names[f"Liver lesion {place}"], mask)
        assert study.document["burden"]["lesions"][place - 1]["volume_ml"] == pytest.approx(mask.sum() * BODY_VOXEL_ML)
    paths = [Path(one.path) for one in study.volume.instances]
    again = run(request(paths, segmentations=[instance(study.path("seg.dcm"))]), study.spool)
    table = [{**one, "label": ""} for one in study.document["burden"]["lesions"]]
    assert [{**one, "label": ""} for one in again.document["burden"]["lesions"]] == table


def test_the_document_is_json_of_its_own_text(plain: Study) -> None:
    """UTF-8, no NaN, the numbers as measured."""
    content = plain.path("result.json").read_bytes()
    assert b"NaN" not in content
    assert plain.document["job"] == plain.request.key
    assert plain.document["quality"]["slices"] == BODY_SHAPE[0]


def test_evidence_and_outlines_of_a_reordered_series(made: Made, tmp_path: Path) -> None:
    """Slices stored from the head down: outlines still lie on the slice that shows the structure."""
    layout = replace(AXIAL, spacing_mm=BODY_SPACING_MM, step_mm=(0.0, 0.0, -3.0))
    paths = write_series(tmp_path / "down", HU, layout=layout)
    geometry = volume.read(candidate(paths), absolute(), MeasurementSettings()).geometry
    seg = write_seg(tmp_path / "down.dcm", paths[::-1], geometry, drawn(body()))
    home = Spool(tmp_path / "home")
    home.prepare()
    study = run(request(paths, segmentations=[seg]), home)
    lesion = np.asarray(body()[Structure.LESION])
    shown = {str(one.SOPInstanceUID): index for index, one in enumerate(study.sources)}
    [diameter] = [item for item in walk(study.dataset("sr-viewer.dcm")) if name(item) == "burden.max_diameter"]
    [scoord] = children(diameter, "SCOORD")
    assert lesion[shown[image_of(scoord)]].any()
    assert meaning(diameter) == "Largest axial diameter"
    assert evidence(study.dataset("sr-viewer.dcm")) == set(shown)
    assert io.BytesIO(study.path("sr.dcm").read_bytes()).read(132)[128:] == b"DICM"


OLD = Superseded(
    job="0" * 32,
    requested_at=REQUESTED_AT - timedelta(days=1),
    revision=1,
    documents=(Document("2.25.101", "2.25.102"), Document("2.25.103", "2.25.104")),
)


@pytest.fixture(scope="module")
def revised(plain: Study, tmp_path_factory: pytest.TempPathFactory) -> Study:
    """The study of boxes measured once more, when a first result had been delivered."""
    return superseding(plain, OLD, tmp_path_factory.mktemp("revised"))


def superseding(study: Study, old: Superseded, folder: Path) -> Study:
    home = Spool(folder)
    home.prepare()
    return run(replace(study.request, supersedes=old), home)


def predecessors(ds: Dataset) -> set[tuple[str, str, str, str]]:
    """Return study, series, SOP class and instance of each predecessor document."""
    return {
        (
            str(study.StudyInstanceUID),
            str(series.SeriesInstanceUID),
            str(one.ReferencedSOPClassUID),
            str(one.ReferencedSOPInstanceUID),
        )
        for study in ds.get("PredecessorDocumentsSequence", [])
        for series in study.ReferencedSeriesSequence
        for one in series.ReferencedSOPSequence
    }


def test_both_sr_name_the_documents_that_they_supersede(plain: Study, revised: Study) -> None:
    """By the reference macro of PS3.3 Table C.17-3; a first result names none, and a SEG has no such sequence."""
    expected = {
        (str(plain.request.study_instance_uid), one.series_instance_uid, Comprehensive3DSRStorage, one.sop_instance_uid)
        for one in OLD.documents
    }
    for file in ("sr.dcm", "sr-viewer.dcm"):
        assert predecessors(revised.dataset(file)) == expected, file
        assert "PredecessorDocumentsSequence" not in plain.dataset(file)
    assert "PredecessorDocumentsSequence" not in revised.dataset("seg.dcm")


def test_a_revision_is_seen_in_every_list_of_series(plain: Study, revised: Study) -> None:
    """The description begins with it, and the series number is higher than any of an earlier revision."""
    before = {int(ds.SeriesNumber) for _, ds in reports(plain)}
    for file, ds in reports(revised):
        assert str(ds.SeriesDescription).startswith("rev 2: crlm-node"), file
        assert "research use" in ds.SeriesDescription
        assert int(ds.SeriesNumber) > max(before)
        assert "rev" not in plain.dataset(file).SeriesDescription


def test_the_page_says_first_which_result_it_supersedes(plain: Study, revised: Study, tmp_path: Path) -> None:
    """With its date in local time, before all measurements; what is drawn on the images stays as it was."""
    local = OLD.requested_at.replace(tzinfo=UTC).astimezone()
    sentence = f"Supersedes the result of {local:%Y-%m-%d %H:%M} (rev 1)."
    ds = revised.dataset("sr.dcm")
    order = [item for item in ds.ContentSequence if item.ValueType in ("TEXT", "CONTAINER")]
    assert [item.get("TextValue", name(item)) for item in order][-4:] == [sentence, "quality", "126010", "C0034375"]
    assert [group.ContentSequence for group in groups(revised.dataset("sr-viewer.dcm"))] == [
        group.ContentSequence for group in groups(plain.dataset("sr-viewer.dcm"))
    ]
    assert sentence not in texts(revised.dataset("sr-viewer.dcm"))
    refused = superseding(
        replace(plain, request=replace(plain.request, segmentations=())), OLD, tmp_path / "refused"
    ).dataset("sr.dcm")
    assert sentence in texts(refused)
    assert len(predecessors(refused)) == 2


def test_a_result_of_which_only_the_seg_arrived_is_no_document(plain: Study, tmp_path: Path) -> None:
    """There is nothing to name, and the revision is said all the same."""
    study = superseding(plain, replace(OLD, revision=1234567, documents=()), tmp_path)
    for _, ds in reports(study):
        assert "PredecessorDocumentsSequence" not in ds
        assert ds.SeriesDescription.startswith("rev 1234568: ")
        assert len(ds.SeriesDescription) <= 64


def test_a_revision_changes_no_uid_and_no_number(plain: Study, revised: Study) -> None:
    """What was delivered before is no input of the measurement: the key, and with it every UID, is without it."""
    assert revised.request.key == plain.request.key
    assert revised.document["measurements"] == plain.document["measurements"]
    assert [ds.SOPInstanceUID for _, ds in reports(revised)] == [ds.SOPInstanceUID for _, ds in reports(plain)]
    assert (plain.document["revision"], plain.document["supersedes"]) == (1, None)
    assert (revised.document["revision"], revised.document["supersedes"]) == (
        2,
        {"job": OLD.job, "requested_at": "2026-11-20T12:00:00", "revision": 1, "sr": ["2.25.102", "2.25.104"]},
    )


FORCED = "Processed 60 minutes after the last image came, without proof that the study is complete: in series 2, ..."


def test_a_forced_completion_is_said_with_every_number_and_first_on_the_page(
    plain: Study, revised: Study, tmp_path: Path
) -> None:
    """In the JSON beside each number, computed or not; once on the page, after what it supersedes; drawn, in short."""
    home = Spool(tmp_path)
    home.prepare()
    forced = run(replace(revised.request, forced=FORCED), home)
    for one in forced.document["measurements"].values():
        assert {"code": "forced-completion", "text": FORCED} in one["notes"]
    assert "forced-completion" not in str(plain.document)
    page = forced.dataset("sr.dcm")
    order = [item for item in page.ContentSequence if item.ValueType in ("TEXT", "CONTAINER")]
    assert [item.get("TextValue", name(item)) for item in order][-4:] == [FORCED, "quality", "126010", "C0034375"]
    assert order[-5].TextValue.startswith("Supersedes ")
    assert texts(page).count(FORCED) == 1
    found = groups(forced.dataset("sr-viewer.dcm"))
    for group in found:
        assert any("may be incomplete" in str(item.get("TextValue", "")) for item in walk(group))
        assert len([item for item in walk(group) if item.ValueType == "NUM"]) < LINES_SHOWN
    numbers = [name(item) for group in found for item in walk(group) if item.ValueType == "NUM"]
    drawn_before = walk(plain.dataset("sr-viewer.dcm"))
    assert sorted(numbers) == sorted(name(item) for item in drawn_before if item.ValueType == "NUM")


def test_a_forced_refusal_says_both(plain: Study, tmp_path: Path) -> None:
    """The reason of the refusal and that slices may be missing, which may be why."""
    home = Spool(tmp_path)
    home.prepare()
    refused = run(replace(plain.request, segmentations=(), forced=FORCED), home)
    assert refused.document["refusal"] is not None
    for one in refused.document["measurements"].values():
        assert one["notes"] == [{"code": "forced-completion", "text": FORCED}]
    assert texts(refused.dataset("sr.dcm")).count(FORCED) == 1


def test_the_page_says_where_the_height_came_from(plain: Study, tmp_path: Path) -> None:
    """In words, before the measurements."""
    home = Spool(tmp_path)
    home.prepare()
    facts = PatientFacts(1.7, HeightSource.ARCHIVE, None, None, "F")
    again = run(replace(plain.request, facts=facts), home)
    [quality] = children(again.dataset("sr.dcm"), "CONTAINER", "quality")
    [said] = children(quality, "TEXT", "height")
    words = "Patient's Size of the patient's studies in the archive"
    assert said.TextValue == f"1.70 m, from {words} (patient-size-in-archive)"
