"""The rules of the results contract (and docs/viewers.md), replayed on what was written, read with pydicom alone."""

from collections import Counter

import numpy as np
import pytest
from pydicom import Dataset, dcmread
from sr_reading import (
    REGION,
    SEGMENT,
    children,
    code,
    coded,
    every_dataset,
    evidence,
    groups,
    image_of,
    meaning,
    name,
    number,
    texts,
    tracking_uid,
    walk,
)
from studies import Study, run

from node.core import private_codes
from node.core.codes import MEASUREMENTS, PRIVATE_SCHEME, Structure, coding_of
from node.core.spool import Spool

_PLAIN = ("PatientName", "PatientID", "PatientBirthDate", "PatientSex", "StudyInstanceUID", "StudyDate", "StudyTime")


def test_every_object_is_of_the_patient_and_the_study(any_study: Study, objects: list[str]) -> None:
    """Patient and study are those of the source; the study and frame of reference UIDs are kept."""
    [source, *_] = any_study.sources
    assert objects
    for file in objects:
        ds = any_study.dataset(file)
        for keyword in (*_PLAIN, "StudyID", "AccessionNumber", "StudyDescription", "DeidentificationMethod"):
            assert ds.get(keyword, "") == source.get(keyword, ""), keyword
        assert ds.SpecificCharacterSet == "ISO_IR 192"
        if ds.Modality == "SEG":
            assert ds.FrameOfReferenceUID == source.FrameOfReferenceUID


def test_every_object_says_what_made_it_and_what_it_is_for(any_study: Study, objects: list[str]) -> None:
    """Equipment, version, purpose and device UID, RESEARCH, `research use`, COMPLETE and UNVERIFIED."""
    for file in objects:
        ds = any_study.dataset(file)
        assert (ds.Manufacturer, ds.ManufacturerModelName) == ("crlm-node", "crlm-node")
        assert ds.SoftwareVersions == any_study.request.version
        assert ds.ContentQualification == "RESEARCH"
        assert "research use" in ds.SeriesDescription
        [ours] = [one for one in ds.ContributingEquipmentSequence if one.ManufacturerModelName == "crlm-node"]
        assert code(ours.PurposeOfReferenceCodeSequence[0]) == "109102"
        assert ours.DeviceUID
        assert ds.get("BurnedInAnnotation", "NO") == "NO"
        if ds.Modality == "SR":
            assert (ds.CompletionFlag, ds.VerificationFlag) == ("COMPLETE", "UNVERIFIED")


def test_uids_come_from_the_job_key(any_study: Study, objects: list[str]) -> None:
    """One instance in one series per object; all UIDs of our making are 2.25 and none is another's."""
    made = [any_study.dataset(file) for file in objects]
    uids = [str(uid) for ds in made for uid in (ds.SOPInstanceUID, ds.SeriesInstanceUID)]
    assert len(set(uids)) == len(uids)
    assert all(uid.startswith("2.25.") for uid in uids)
    assert not set(uids) & {str(one.SOPInstanceUID) for one in any_study.sources}
    assert len({int(ds.SeriesNumber) for ds in made}) == len(made)


def test_the_same_job_gives_the_same_bytes(coarse_phantom: Study, tmp_path_factory: pytest.TempPathFactory) -> None:
    """The whole way again in another spool, at another time: every object byte for byte."""
    spool = Spool(tmp_path_factory.mktemp("again"))
    spool.prepare()
    again = run(coarse_phantom.request, spool)
    for product in coarse_phantom.outcome.products:
        assert again.path(product.file).read_bytes() == coarse_phantom.path(product.file).read_bytes()


def test_dates_are_the_jobs(any_study: Study, objects: list[str]) -> None:
    """Content, series and creation carry one time, that of the request, in every object."""
    times = set()
    for file in objects:
        ds = any_study.dataset(file)
        for stem in ("Content", "Series", "InstanceCreation"):
            times.add((ds[f"{stem}Date"].value, ds[f"{stem}Time"].value))
        for item in ds.ContributingEquipmentSequence:
            assert str(item.ContributionDateTime).startswith("".join((ds.ContentDate, ds.ContentTime)))
    assert len(times) == 1


def test_no_code_value_is_longer_than_its_attribute_holds(any_study: Study, objects: list[str]) -> None:
    """CodeValue holds 16 characters (SH); longer codes, all private, stand in Long Code Value."""
    for file in objects:
        for item in every_dataset(any_study.dataset(file)):
            assert len(str(item.get("CodeValue", ""))) <= 16
            if "LongCodeValue" in item:
                assert item.CodingSchemeDesignator == PRIVATE_SCHEME
                assert "CodeValue" not in item


def test_the_private_scheme_is_declared_where_it_is_used(any_study: Study, objects: list[str]) -> None:
    """Each object that holds a code of ours names the scheme and its UID; no other private scheme is used."""
    for file in objects:
        ds = any_study.dataset(file)
        used = {str(item.CodingSchemeDesignator) for item in every_dataset(ds) if "CodingSchemeDesignator" in item}
        assert {scheme for scheme in used if scheme.startswith("99")} <= {PRIVATE_SCHEME}
        if PRIVATE_SCHEME in used:
            declared = {item.CodingSchemeDesignator: item for item in ds.CodingSchemeIdentificationSequence}
            assert declared[PRIVATE_SCHEME].CodingSchemeUID


def test_every_private_code_is_in_the_table(any_study: Study, objects: list[str]) -> None:
    """With one of the meanings that docs/private-codes.md gives it."""
    listed = {(one.value, one.meaning) for one in private_codes.table()}
    for file in objects:
        for item in every_dataset(any_study.dataset(file)):
            if item.get("CodingSchemeDesignator") == PRIVATE_SCHEME and "CodeMeaning" in item:
                told = code(item), item.CodeMeaning.removesuffix(private_codes.AT_LEAST)
                if told[0].startswith("rad_score."):  # the table names the signature `ID`
                    id_ = told[0].split(".")[1]
                    assert id_ in {one.id for one in any_study.request.signatures}
                    told = told[0].replace(f".{id_}.", ".ID."), told[1].removesuffix(id_) + "ID"
                assert told in listed


def test_the_evidence_lists_all_that_was_used(any_study: Study, objects: list[str]) -> None:
    """Every source image in each SR; in the archival SR of a measured study the SEG, ours and theirs, as well."""
    images = {str(one.SOPInstanceUID) for one in any_study.sources}
    for file in objects:
        ds = any_study.dataset(file)
        if ds.Modality == "SR":
            segmentations = set()
            if file == "sr.dcm" and "seg.dcm" in objects:
                segmentations = {str(any_study.dataset("seg.dcm").SOPInstanceUID)} | imported_from(any_study)
            assert evidence(ds) == images | segmentations
            referenced = {image_of(item) for item in walk(ds) if item.ValueType == "SCOORD"}
            assert referenced <= images


def imported_from(study: Study) -> set[str]:
    """Return the UIDs of the segmentations that were imported, as the document has them."""
    return {one["imported_from"] for one in study.document["quality"]["segmentation"]["segments"]}


def test_the_seg_names_those_that_it_was_made_from(measured: Study) -> None:
    """After the slices: the imported SEG is among the sources, and listed with its series and class."""
    ds = measured.dataset("seg.dcm")
    [theirs] = measured.request.segmentations
    slices, *others = ds.ReferencedSeriesSequence
    assert slices.SeriesInstanceUID == measured.sources[0].SeriesInstanceUID
    assert [one.SeriesInstanceUID for one in others] == [
        dcmread(theirs.path, stop_before_pixels=True).SeriesInstanceUID
    ]
    [listed] = others[0].ReferencedInstanceSequence
    expected = (theirs.sop_instance_uid, theirs.sop_class_uid)
    assert imported_from(measured) == {theirs.sop_instance_uid}
    for one in (listed, ds.SourceImageSequence[-1]):
        assert (one.ReferencedSOPInstanceUID, one.ReferencedSOPClassUID) == expected


def test_the_table_of_lesions_is_what_the_burden_was_made_from(any_study: Study) -> None:
    """As many as were counted, the largest axial diameter among them; no table without a search or a measurement."""
    burden, numbers = any_study.document["burden"], any_study.document["measurements"]
    if any_study.document["refusal"]:
        assert burden is None
        return
    if numbers["burden.count"]["reason"] == "structure-not-found":
        assert burden == {"lesions": None, "smaller": None, "zone": None}
        return
    table = burden["lesions"]
    assert [one["number"] for one in table] == list(range(1, len(table) + 1))
    assert len(table) == numbers["burden.count"]["value"] > 0
    assert max(one["axial_diameter_mm"] for one in table) == numbers["burden.max_diameter"]["value"]
    score = numbers["burden.tbs"]["value"]
    assert burden["zone"] == ("<3" if score < 3 else "3 to <9" if score < 9 else ">=9")
    by_label = {one.label: one for one in any_study.labels.all(Structure.LESION)}
    for one in table:
        region = by_label[one["label"]].region
        assert one["volume_ml"] == pytest.approx(region.count * any_study.volume.geometry.voxel_volume_ml)
        assert one["mean_hu"] == pytest.approx(region.values(any_study.volume.hu).mean())
        assert one["axial_diameter_mm"] <= one["diameter_mm"]
        assert one["slice"] in region.slices


def _told(ds: Dataset) -> dict[str, tuple[float, str] | str]:
    """Read every private code of a measurement back: the number with its unit, or the reason."""
    found: dict[str, tuple[float, str] | str] = {}
    for item in walk(ds):
        if item.ValueType == "CODE" and (name(item) in MEASUREMENTS or name(item).startswith("rad_score.")):
            found[name(item)] = coded(item)
    return found


def test_the_archival_sr_tells_every_number_that_is_missing(measured: Study) -> None:
    """Each number that was not computed is there once, its id as name, its reason as value, and in a sentence."""
    ds = measured.dataset("sr.dcm")
    missing = {key: one for key, one in measured.document["measurements"].items() if one["status"] == "not-computed"}
    assert _told(ds) == {key: one["reason"] for key, one in missing.items()}
    assert Counter(name(item) for item in walk(ds))["rad_score.kha-2026.score"] == 1
    for key in missing:
        assert any(text.startswith(f"{coding_of(key).name}: not computed.") for text in texts(ds)), key


def test_the_archival_sr_tells_every_number_that_was_computed(measured: Study) -> None:
    """Every value is in a NUM of its own concept, derivation and unit, as the document has it (four decimals)."""
    numbers: Counter[tuple[str, str, float, str]] = Counter()
    for item in (one for group in groups(measured.dataset("sr.dcm")) for one in children(group, "NUM")):
        derivation = [coded(one) for one in children(item, "CODE", "121401")]
        numbers[(name(item), "".join(derivation), *number(item))] += 1
    expected: Counter[tuple[str, str, float, str]] = Counter()
    for key, one in measured.document["measurements"].items():
        if one["status"] == "computed":
            coding = MEASUREMENTS[key]
            derived = coding.derivation.value if coding.derivation else ""
            expected[(coding.concept.value, derived, round(one["value"], 4), coding.unit)] += 1
    assert sum(expected.values()) >= 14
    for one in measured.document["burden"]["lesions"] or ():
        expected[("max-axial-diameter", "", round(one["axial_diameter_mm"], 4), "mm")] += 1
        expected[("max-3d-diameter", "", round(one["diameter_mm"], 4), "mm")] += 1
        expected[("118565006", "", round(one["volume_ml"], 4), "mL")] += 1
        expected[("112031", "373098007", round(one["mean_hu"], 4), "[hnsf'U]")] += 1
    assert numbers == expected


def test_every_note_is_a_sentence_of_the_archival_sr(measured: Study) -> None:
    """What stands beside a number in the document can be read in the report."""
    said = "\n".join(texts(measured.dataset("sr.dcm")))
    for one in measured.document["measurements"].values():
        for note in one["notes"]:
            assert note["text"] in said


def test_every_group_of_the_archival_sr_has_a_region_and_a_tracking_uid_of_its_own(measured: Study) -> None:
    """A referenced segment, or outlines on CT slices; each segment of the SEG has its group, its partner an outline."""
    ds, seg = measured.dataset("sr.dcm"), measured.dataset("seg.dcm")
    found = groups(ds)
    uids = [tracking_uid(group) for group in found]
    assert len(set(uids)) == len(uids)
    segments = []
    for group in found:
        references = children(group, "IMAGE", SEGMENT)
        regions = children(group, "SCOORD", REGION)
        assert bool(references) != bool(regions)
        segments += [int(one.ReferencedSOPSequence[0].ReferencedSegmentNumber) for one in references]
        for one in references:
            assert one.ReferencedSOPSequence[0].ReferencedSOPInstanceUID == seg.SOPInstanceUID
            number_ = int(one.ReferencedSOPSequence[0].ReferencedSegmentNumber)
            described = seg.SegmentSequence[number_ - 1]
            assert described.TrackingUID == tracking_uid(group)
            [finding] = children(group, "CODE", "121071")
            assert coded(finding) == code(described.SegmentedPropertyTypeCodeSequence[0])
    assert sorted(segments) == [int(item.SegmentNumber) for item in seg.SegmentSequence]
    outlines = [group for group in found if children(group, "SCOORD", REGION)]
    assert len(outlines) >= len(segments)


def test_the_archival_sr_shows_the_line_of_each_lesion(coarse_phantom: Study) -> None:
    """An axial diameter that is not of the whole burden has its two ends, and they are as far apart as it is long."""
    spacing = coarse_phantom.sources[0].PixelSpacing
    lengths = []
    for group in groups(coarse_phantom.dataset("sr.dcm")):
        for item in children(group, "NUM", "max-axial-diameter"):
            for line in children(item, "SCOORD"):
                [region] = children(group, "SCOORD", REGION)
                assert image_of(line) == image_of(region)
                (column, row), (last_column, last_row) = np.asarray(line.GraphicData).reshape(-1, 2)
                length = np.hypot((last_row - row) * spacing[0], (last_column - column) * spacing[1])
                assert length == pytest.approx(number(item)[0], abs=1e-3)
                lengths.append(length)
    assert len(lengths) == len(coarse_phantom.document["burden"]["lesions"]) > 0


def test_the_archival_sr_says_how_the_study_was_acquired_and_measured(measured: Study) -> None:
    """Before all numbers, as the document has it."""
    quality, [box] = measured.document["quality"], children(measured.dataset("sr.dcm"), "CONTAINER", "quality")
    numbers = {name(item): number(item) for item in children(box, "NUM")}
    between, rows, columns = quality["spacing_mm"]
    expected = {"112226": (between, "mm"), "111066": (rows, "mm"), "111026": (columns, "mm")}
    for key, what, unit in (("112225", "slice_thickness_mm", "mm"), ("113733", "kvp", "kV")):
        if quality[what] is not None:
            expected[key] = (quality[what], unit)
    assert numbers == {key: (pytest.approx(value, abs=1e-4), unit) for key, (value, unit) in expected.items()}
    said = {name(item): str(item.TextValue) for item in children(box, "TEXT")}
    assert set(said) >= {"coverage", "convolution-kernel", "123011", "height", "segmented-by"}
    assert said["convolution-kernel"] == (quality["kernel"] or "not named")
    assert f"{quality['slices']} slices, " in said["coverage"]
    authors = "".join(str(item.TextValue) for item in children(box, "TEXT", "segmented-by"))
    for one in quality["segmentation"]["segments"]:
        assert (one["algorithm_name"] or "not named") in authors
    [muscle] = children(box, "CODE", "psoas-structure")
    assert coded(muscle) == "68455001"


def test_the_archival_sr_tells_the_clinical_scores(coarse_phantom: Study) -> None:
    """After the measurements: the range of points of each score that something is known of, and its items."""
    ds, document = coarse_phantom.dataset("sr.dcm"), coarse_phantom.document
    *_, box = children(ds, "CONTAINER")
    told = {name(one): one for one in children(box, "CONTAINER")}
    words = {"yes": "373066001", "no": "373067005", "unknown": "261665006"}
    for score in document["scores"]:
        one = told[score["id"]]
        assert [number(item) for item in children(one, "NUM")] == [
            (score["low"], "{points}"),
            (score["high"], "{points}"),
        ]
        states = {item["item"]: words[item["state"]] for item in score["items"]}
        assert {name(item): coded(item) for item in children(one, "CODE")} == states
    [zone] = [item for item in walk(ds) if name(item) == "tbs-zone"]
    zones = {"<3": "tbs-zone-1", "3 to <9": "tbs-zone-2", ">=9": "tbs-zone-3"}
    assert coded(zone) == zones[document["burden"]["zone"]]


def test_containers_are_separate_and_titles_are_those_that_viewers_need(any_study: Study, objects: list[str]) -> None:
    """Every container SEPARATE; the archival and the refusal SR titled as a page, the viewer SR as drawn."""
    for file in objects:
        ds = any_study.dataset(file)
        if ds.Modality == "SR":
            assert name(ds) == ("126000" if file == "sr-viewer.dcm" else "126001")
            assert {one.ContinuityOfContent for one in walk(ds) if one.ValueType == "CONTAINER"} == {"SEPARATE"}
            assert ds.ContentTemplateSequence[0].TemplateIdentifier == "1500"


def test_the_viewer_sr_keeps_to_what_a_stock_ohif_draws(measured: Study) -> None:
    """Rules 1 to 9 of docs/viewers.md, and never more than five numbers in a group."""
    ds = measured.dataset("sr-viewer.dcm")
    found = groups(ds)
    assert found
    slices = []
    for group in found:
        numbers, lines = children(group, "NUM"), children(group, "TEXT", "121106")
        assert numbers
        assert len(numbers) + len(lines) <= 5
        images = set()
        for item in numbers:
            [drawn] = children(item)
            assert drawn.ValueType == "SCOORD"
            images.add(image_of(drawn))
            points = np.asarray(drawn.GraphicData).reshape(-1, 2)
            if drawn.GraphicType == "POLYLINE":
                assert len(points) >= 6
                assert points[0].tolist() == points[-1].tolist()
            value, unit = number(item)
            assert value != 0
            assert unit != "1"
            assert item.ConceptNameCodeSequence[0].CodingSchemeDesignator == PRIVATE_SCHEME
            assert len(meaning(item)) <= 64
        assert len(images) == 1
        slices += list(images)
        assert not children(group, "SCOORD")
        assert not children(group, "IMAGE")
    assert len(set(slices)) == len(slices)
    identifiers = [str(item.TextValue) for item in walk(ds) if name(item) == "112039"]
    assert len(set(identifiers)) == len(identifiers) == len(found)
    assert not any(one.startswith("Cornerstone3DTools@") for one in identifiers)


def test_the_viewer_sr_shows_every_main_number(measured: Study) -> None:
    """Each number that was computed and is not zero, under its id, with the document's value; at-least ones marked."""
    shown = {name(item): item for item in walk(measured.dataset("sr-viewer.dcm")) if item.ValueType == "NUM"}
    expected = {key: one for key, one in measured.document["measurements"].items() if one["value"]}
    assert set(shown) == set(expected)
    for key, item in shown.items():
        assert number(item)[0] == round(expected[key]["value"], 4)
        cut = measured.notes(key) & {"nearly-complete", "truncated"}
        assert ("≥" in meaning(item)) == bool(MEASUREMENTS[key].grows and cut)


def test_a_refused_study_has_a_report_of_the_reason(refused_phantom: Study) -> None:
    """One SR, no measurement group, the code of the refusal and its sentence."""
    assert [product.file for product in refused_phantom.outcome.products] == ["sr.dcm", "summary.dcm"]
    ds = refused_phantom.dataset("sr.dcm")
    assert groups(ds) == []
    [reason] = [item for item in walk(ds) if item.ValueType == "CODE" and name(item) == "study-refused"]
    assert coded(reason) == "segmentation-unavailable"
    assert refused_phantom.document["refusal"]["text"] in texts(ds)
    assert "not measured" in ds.SeriesDescription


def test_the_seg_is_on_the_source_slices_without_empty_frames(measured: Study) -> None:
    """Full matrix, a source image for each frame, its position, referenced series; no frame and no segment is empty."""
    ds = dcmread(measured.path("seg.dcm"))
    by_uid = {str(one.SOPInstanceUID): one for one in measured.sources}
    assert (ds.Rows, ds.Columns) == measured.volume.geometry.shape[1:]
    assert ds.ReferencedSeriesSequence[0].SeriesInstanceUID == measured.sources[0].SeriesInstanceUID
    drawn = set()
    for frame, own in zip(ds.pixel_array, ds.PerFrameFunctionalGroupsSequence, strict=True):
        assert frame.any()
        [source] = own.DerivationImageSequence[0].SourceImageSequence
        position = by_uid[str(source.ReferencedSOPInstanceUID)].ImagePositionPatient
        assert own.PlanePositionSequence[0].ImagePositionPatient == pytest.approx(position, abs=1e-3)
        drawn.add(int(own.SegmentIdentificationSequence[0].ReferencedSegmentNumber))
    assert drawn == {int(item.SegmentNumber) for item in ds.SegmentSequence}


def test_segments_are_coded_and_keep_their_author(measured: Study) -> None:
    """Type, side, colour, tracking; imported segments keep algorithm type and name, the core is ours."""
    imported = {one["structure"]: one for one in measured.document["quality"]["segmentation"]["segments"]}
    for item in measured.dataset("seg.dcm").SegmentSequence:
        kind = item.SegmentedPropertyTypeCodeSequence[0]
        assert item.RecommendedDisplayCIELabValue
        assert item.TrackingID == item.SegmentLabel
        if item.SegmentLabel.endswith(("left", "right")):
            [side] = kind.SegmentedPropertyTypeModifierCodeSequence
            assert item.SegmentLabel.endswith(side.CodeMeaning.lower())
        if item.SegmentLabel == "L1 trabecular core":
            assert item.SegmentAlgorithmName == "crlm-node trabecular core"
        else:
            origin = imported[item.SegmentLabel.lower().replace(" ", "_").rstrip("_0123456789")]
            assert item.SegmentAlgorithmType == origin["algorithm_type"]
            assert item.SegmentAlgorithmName == (origin["algorithm_name"] or "not stated")
