"""`report check`: what we make breaks no rule, and a fault breaks the one rule that it is a fault of."""

from copy import deepcopy
from typing import TYPE_CHECKING

import pytest
from pydicom import Dataset
from pydicom.sequence import Sequence
from pydicom.uid import ComprehensiveSRStorage, SecondaryCaptureImageStorage

from node.review.objects import Kind
from node.review.rules import RULES, segmentations
from node.review.subject import Beside, Subject, subjects
from node.review.verdict import State, judge

from .conftest import TAKEN, Bench, Edit, broken, item_of, named, walk, without

if TYPE_CHECKING:
    from studies import Study

GROUP, REGION, SEGMENT, COMMENT = "125007", "111030", "121191", "121106"
TRACKING_IDENTIFIER, TRACKING_UID = "112039", "112040"
OTHER_UID = "2.25.77"


def groups(ds: Dataset) -> list[Dataset]:
    """Return the measurement groups."""
    return [one for one in walk(ds) if named(one) == GROUP]


def outlined(ds: Dataset) -> Dataset:
    """Return the first group that has an outline and refers to no segment."""
    return next(one for one in groups(ds) if any(named(child) == REGION for child in one.ContentSequence))


def put(**values: object) -> Edit:
    """Return a change of attributes; None takes one away."""

    def edit(ds: Dataset) -> None:
        for keyword, value in values.items():
            if value is None:
                del ds[keyword]
            else:
                setattr(ds, keyword, value)

    return edit


def no_device_uid(ds: Dataset) -> None:
    for one in ds.ContributingEquipmentSequence:
        one.pop("DeviceUID", None)


def no_meaning(ds: Dataset) -> None:
    ds.ConceptNameCodeSequence[0].CodeMeaning = ""


def half_a_predecessor(ds: Dataset) -> None:
    ds.SeriesDescription = "rev 2: crlm-node (research use)"
    study, series, one = Dataset(), Dataset(), Dataset()
    study.StudyInstanceUID, series.SeriesInstanceUID = ds.StudyInstanceUID, OTHER_UID
    one.ReferencedSOPInstanceUID = OTHER_UID  # and no class
    series.ReferencedSOPSequence, study.ReferencedSeriesSequence = [one], [series]
    ds.PredecessorDocumentsSequence = [study]


def no_sentence(ds: Dataset) -> None:
    for one in walk(ds):
        if "ContentSequence" in one:
            without(one, COMMENT)


def listed(ds: Dataset) -> Sequence:
    """Return the series of the evidence."""
    series: Sequence = ds.CurrentRequestedProcedureEvidenceSequence[0].ReferencedSeriesSequence
    return series


def segmentation_unlisted(ds: Dataset) -> None:
    uid = item_of(ds, SEGMENT).ReferencedSOPSequence[0].ReferencedSOPInstanceUID
    series = listed(ds)
    gone = next(one for one in series if uid in [of.ReferencedSOPInstanceUID for of in one.ReferencedSOPSequence])
    series.remove(gone)


def slices(ds: Dataset) -> Sequence:
    """Return the images of the longest series of the evidence."""
    longest = max(listed(ds), key=lambda one: len(one.ReferencedSOPSequence))
    images: Sequence = longest.ReferencedSOPSequence
    return images


def image_invented(ds: Dataset) -> None:
    images = slices(ds)
    another = deepcopy(images[0])
    another.ReferencedSOPInstanceUID = OTHER_UID
    images.append(another)


def image_unlisted(ds: Dataset) -> None:
    drawn_on = {
        one.ReferencedSOPSequence[0].ReferencedSOPInstanceUID for one in walk(ds) if one.get("ValueType") == "IMAGE"
    }
    images = slices(ds)
    middle = len(images) // 2
    images.remove(next(one for one in images[middle:] if one.ReferencedSOPInstanceUID not in drawn_on))


def number(ds: Dataset) -> Dataset:
    """Return the first NUM."""
    return next(one for one in walk(ds) if one.get("ValueType") == "NUM")


def no_value(ds: Dataset) -> None:
    number(ds).MeasuredValueSequence = []


def unit(value: str, scheme: str) -> Edit:
    """Return a change of the first number's unit."""

    def edit(ds: Dataset) -> None:
        code = number(ds).MeasuredValueSequence[0].MeasurementUnitsCodeSequence[0]
        code.CodeValue, code.CodingSchemeDesignator = value, scheme

    return edit


def shared_tracking(ds: Dataset) -> None:
    one, another = (item_of(group, TRACKING_UID) for group in groups(ds)[-2:])
    another.UID = one.UID


def no_algorithm(ds: Dataset) -> None:
    without(outlined(ds), "111001", "111003")


def no_reason_said(ds: Dataset) -> None:
    for group in groups(ds):
        without(group, COMMENT)


def no_region(ds: Dataset) -> None:
    without(outlined(ds), REGION)


def segment_unnumbered(ds: Dataset) -> None:
    del item_of(ds, SEGMENT).ReferencedSOPSequence[0].ReferencedSegmentNumber


def segment_unknown(ds: Dataset) -> None:
    item_of(ds, SEGMENT).ReferencedSOPSequence[0].ReferencedSegmentNumber = 99


def on_no_image(ds: Dataset) -> None:
    del item_of(ds, REGION).ContentSequence


def off_the_image(ds: Dataset) -> None:
    item_of(ds, REGION).GraphicData[0] = -5.0


def no_group(ds: Dataset) -> None:
    without(item_of(ds, "126010"), GROUP)


def two_things_in_a_number(ds: Dataset) -> None:
    child = deepcopy(next(one for one in ds.ContentSequence if one.ValueType == "CODE"))
    number(ds).ContentSequence.append(child)


def two_groups_on_a_slice(ds: Dataset) -> None:
    one, another = groups(ds)[:2]
    images = [item.ReferencedSOPSequence[0] for item in walk(one) if item.get("ValueType") == "IMAGE"]
    for item in walk(another):
        if item.get("ValueType") == "IMAGE":
            item.ReferencedSOPSequence = [deepcopy(images[0])]


def six_lines(ds: Dataset) -> None:
    group = groups(ds)[0]
    line = deepcopy(item_of(group, TRACKING_IDENTIFIER))
    line.ConceptNameCodeSequence[0].CodeValue = COMMENT
    group.ContentSequence.extend(deepcopy(line) for _ in range(6))


def zero(ds: Dataset) -> None:
    number(ds).MeasuredValueSequence[0].NumericValue = "0.0000"


def plain_name(ds: Dataset) -> None:
    name = number(ds).ConceptNameCodeSequence[0]
    name.CodeValue, name.CodingSchemeDesignator, name.CodeMeaning = "118565006", "SCT", "Volume"


def open_outline(ds: Dataset) -> None:
    outline = next(one for one in walk(ds) if one.get("GraphicType") == "POLYLINE")
    outline.GraphicData = list(outline.GraphicData)[:-2]


def like_ohifs_own(ds: Dataset) -> None:
    item_of(groups(ds)[0], TRACKING_IDENTIFIER).TextValue = "Cornerstone3DTools@^0.1.0:Length:1"


def frame(ds: Dataset) -> Dataset:
    """Return the functional groups of the first frame."""
    first: Dataset = ds.PerFrameFunctionalGroupsSequence[0]
    return first


def frame_without_source(ds: Dataset) -> None:
    del frame(ds).DerivationImageSequence


def frame_of_no_segment(ds: Dataset) -> None:
    frame(ds).SegmentIdentificationSequence[0].ReferencedSegmentNumber = 99


def frame_emptied(ds: Dataset) -> None:
    whole, rest = divmod(ds.Rows * ds.Columns, 8)
    pixels = bytearray(ds.PixelData)
    pixels[:whole] = bytes(whole)
    pixels[whole] &= 0xFF << rest & 0xFF
    ds.PixelData = bytes(pixels)


def segment_without_pixels(ds: Dataset) -> None:
    another = deepcopy(ds.SegmentSequence[0])
    another.SegmentNumber, another.TrackingUID = len(ds.SegmentSequence) + 1, OTHER_UID
    ds.SegmentSequence.append(another)


def unknown_type(ds: Dataset) -> None:
    ds.SegmentSequence[0].SegmentedPropertyTypeCodeSequence[0].CodeValue = "1234567"


def nameless_author(ds: Dataset) -> None:
    segment = next(one for one in ds.SegmentSequence if one.SegmentAlgorithmType != "MANUAL")
    segment.SegmentAlgorithmName = ""


def colourless(ds: Dataset) -> None:
    del ds.SegmentSequence[0].RecommendedDisplayCIELabValue


def tracked_twice(ds: Dataset) -> None:
    ds.SegmentSequence[0].TrackingUID = ds.SegmentSequence[1].TrackingUID


def frame_moved(ds: Dataset) -> None:
    frame(ds).PlanePositionSequence[0].ImagePositionPatient[2] += 0.5


PLANTS: dict[str, tuple[str, Edit]] = {
    "character-set": ("seg.dcm", put(SpecificCharacterSet="ISO_IR 100")),
    "own-uids": ("sr.dcm", put(SOPInstanceUID="1.2.3.4")),
    "one-per-series": ("sr.dcm", put(SeriesInstanceUID=TAKEN)),
    "equipment": ("sr.dcm", put(SoftwareVersions=None)),
    "contributing-equipment": ("sr.dcm", no_device_uid),
    "research": ("seg.dcm", put(ContentQualification="PRODUCT")),
    "research-said": ("sr-viewer.dcm", put(SeriesDescription="crlm-node on CT")),
    "revision": ("sr.dcm", put(SeriesDescription="rev 2: crlm-node (research use)")),
    "nothing-burned-in": ("seg.dcm", put(BurnedInAnnotation="YES")),
    "identity-kept": ("sr.dcm", put(PatientID="SOMEONE ELSE")),
    "private-schemes": ("sr.dcm", put(CodingSchemeIdentificationSequence=None)),
    "codes": ("sr.dcm", no_meaning),
    "sr-class": ("sr.dcm", put(SOPClassUID=ComprehensiveSRStorage)),
    "sr-flags": ("sr.dcm", put(VerificationFlag="VERIFIED")),
    "template": ("sr.dcm", put(ContentTemplateSequence=None)),
    "separate": ("sr.dcm", put(ContinuityOfContent="CONTINUOUS")),
    "observer": ("sr.dcm", lambda ds: without(ds, "121012")),
    "procedure": ("sr.dcm", lambda ds: without(ds, "121058")),
    "says-why": ("refusal.dcm", no_sentence),
    "predecessors": ("sr.dcm", half_a_predecessor),
    "evidence": ("sr.dcm", segmentation_unlisted),
    "evidence-found": ("sr.dcm", image_invented),
    "evidence-of-seg": ("sr.dcm", image_unlisted),
    "numbers-valued": ("sr.dcm", no_value),
    "units": ("sr.dcm", unit("mL", "DCM")),
    "tracked": ("sr.dcm", lambda ds: without(outlined(ds), TRACKING_UID)),
    "tracked-apart": ("sr-viewer.dcm", shared_tracking),
    "algorithm": ("sr.dcm", no_algorithm),
    "reasons": ("sr.dcm", no_reason_said),
    "regions": ("sr.dcm", no_region),
    "segments-named": ("sr.dcm", segment_unnumbered),
    "segments-known": ("sr.dcm", segment_unknown),
    "coordinates": ("sr.dcm", on_no_image),
    "coordinates-inside": ("sr.dcm", off_the_image),
    "viewer-groups": ("sr-viewer.dcm", no_group),
    "viewer-numbers": ("sr-viewer.dcm", two_things_in_a_number),
    "viewer-slices": ("sr-viewer.dcm", two_groups_on_a_slice),
    "viewer-lines": ("sr-viewer.dcm", six_lines),
    "viewer-zeros": ("sr-viewer.dcm", zero),
    "viewer-units": ("sr-viewer.dcm", unit("1", "UCUM")),
    "viewer-names": ("sr-viewer.dcm", plain_name),
    "viewer-outlines": ("sr-viewer.dcm", open_outline),
    "viewer-tracking": ("sr-viewer.dcm", like_ohifs_own),
    "seg-form": ("seg.dcm", put(SegmentationType="FRACTIONAL")),
    "seg-series": ("seg.dcm", put(ReferencedSeriesSequence=None)),
    "seg-sources": ("seg.dcm", frame_without_source),
    "seg-described": ("seg.dcm", frame_of_no_segment),
    "seg-frames-drawn": ("seg.dcm", frame_emptied),
    "seg-segments-drawn": ("seg.dcm", segment_without_pixels),
    "seg-codes": ("seg.dcm", unknown_type),
    "seg-authors": ("seg.dcm", nameless_author),
    "seg-colours": ("seg.dcm", colourless),
    "seg-tracked": ("seg.dcm", tracked_twice),
    "seg-space": ("seg.dcm", put(FrameOfReferenceUID=OTHER_UID)),
    "seg-geometry": ("seg.dcm", frame_moved),
    "summary-class": ("summary.dcm", put(SOPClassUID=SecondaryCaptureImageStorage)),
    "summary-burned-in": ("summary.dcm", put(BurnedInAnnotation=None)),
}


@pytest.mark.parametrize("rule", PLANTS)
def test_a_fault_breaks_its_rule_alone(rule: str, bench: Bench) -> None:
    """A good object with one fault breaks the rule of that fault and no other, and the finding names a place."""
    file, edit = PLANTS[rule]
    verdicts = bench.judged(file, edit)
    assert broken(verdicts) == {rule}
    [told] = [one for one in verdicts if one.rule.id == rule]
    assert all(one.where and one.what for one in told.findings)


def test_there_is_a_plant_for_every_rule() -> None:
    """No rule has never been seen broken; the one that only warns has a test of its own."""
    ids = [rule.id for rules in RULES.values() for rule in rules]
    assert set(PLANTS) | {"seg-frame-count"} == set(ids)
    for rules in RULES.values():
        assert len({rule.id for rule in rules}) == len(rules)


@pytest.mark.parametrize("file", ["seg.dcm", "sr.dcm", "sr-viewer.dcm", "refusal.dcm", "summary.dcm"])
def test_what_we_make_breaks_no_rule(file: str, bench: Bench) -> None:
    """Each object of a result, held against its CT: nothing broken, nothing warned, most rules applied."""
    states = [one.state for one in bench.judged(file)]
    assert set(states) <= {State.OK, State.NOT_APPLICABLE}
    assert states.count(State.OK) >= 10


def test_results_on_multi_frame_images_break_no_rule(enhanced_phantom: "Study") -> None:
    """References to frames are understood: sources, geometry, coordinates, slices of the viewer form."""
    files = [enhanced_phantom.path(one.file) for one in enhanced_phantom.outcome.products]
    beside = [enhanced_phantom.spool.file(one) for one in enhanced_phantom.volume.instances]
    found = subjects(files, list(dict.fromkeys(beside)))
    verdicts = [verdict for one in found for verdict in judge(one, RULES[one.kind])]
    assert broken(verdicts) == set()
    assert "seg-geometry" in {one.rule.id for one in verdicts if one.state is State.OK}


def test_many_frames_are_warned_of(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """More frames than some viewers list: warned, not broken; a label map may have them."""
    monkeypatch.setattr(segmentations, "_MOST_FRAMES", 3)
    [told] = [one for one in bench.judged("seg.dcm") if one.rule.id == "seg-frame-count"]
    assert told.state is State.WARNED


def test_without_the_ct_its_rules_say_nothing(bench: Bench) -> None:
    """What cannot be seen on the object alone is not applicable, with the reason."""
    alone = Subject(bench.files["sr.dcm"], bench.planted("sr.dcm", lambda _: None).ds, Beside({}, {}, {}))
    verdicts = {one.rule.id: one for one in judge(alone, RULES[Kind.REPORT])}
    for rule in ("identity-kept", "evidence-found", "coordinates-inside"):
        assert (verdicts[rule].state, verdicts[rule].why) == (State.NOT_APPLICABLE, "needs the CT: --with")
    assert verdicts["segments-known"].why == "needs the SEG that it refers to: --with"


def test_findings_hold_no_patient_data(bench: Bench) -> None:
    """Neither the value that is wrong nor the one that would be right is told."""
    verdicts = bench.judged("sr.dcm", put(PatientID="SECRET-ID", PatientName="Secret^Name"))
    [told] = [one for one in verdicts if one.rule.id == "identity-kept"]
    assert [one.where for one in told.findings] == ["PatientName", "PatientID"]
    assert "secret" not in str(told.findings).lower()
