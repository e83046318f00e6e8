"""Content items and templates: each is byte for byte what highdicom makes of the same."""

from collections.abc import Sequence

import highdicom as hd
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from made_series import LAYOUTS, header
from pydicom import DataElement, Dataset
from pydicom import Sequence as Items
from pydicom.datadict import tag_for_keyword
from pydicom.sr.coding import Code
from sr_reading import code, decoded

from workers.report import elements, templates, tree
from workers.report.frames import Source
from workers.report.tree import Item

HAS_OBS_CONTEXT = hd.sr.RelationshipTypeValues.HAS_OBS_CONTEXT
LIVER, LEFT = Code("10200004", "SCT", "Liver"), Code("7771000", "SCT", "Left")
VOLUME, ML, MEAN = (
    Code("118565006", "SCT", "Volume"),
    Code("mL", "UCUM", "milliliter"),
    Code("373098007", "SCT", "Mean"),
)
LINE = np.asarray([[1.5, 2.0], [3.25, 4.0], [5.0, 0.5]])
RING = np.asarray([[1.0, 1.0], [4.0, 1.0], [4.0, 3.0], [1.0, 1.0]])


def source(frame: int | None = None) -> Source:
    return Source(header(LAYOUTS["axial"], 0, (2, 8, 8)), frame)


def theirs(*items: Dataset) -> list[bytes]:
    """Return how pydicom encodes items of highdicom, each as an item of a sequence."""
    found = []
    for item in items:
        element = DataElement(tag_for_keyword("ContentSequence") or 0, "SQ", Items([separate(item)]))
        found.append(elements.encoded(element)[12:])  # behind tag, VR and length of the sequence
    return found


def separate(item: Dataset) -> Dataset:
    """Have every container say that its items stand apart, where highdicom says that they are continuous."""
    if item.ValueType == "CONTAINER":
        item.ContinuityOfContent = "SEPARATE"
    for child in item.get("ContentSequence") or ():
        separate(child)
    return item


def ours(*items: Item) -> list[bytes]:
    return [item.encoded() for item in items]


def image(given: Source) -> hd.sr.SourceImageForRegion:
    ds = given.header
    return hd.sr.SourceImageForRegion(ds.SOPClassUID, ds.SOPInstanceUID, [given.frame] if given.frame else None)


def group_of(
    kind: type,
    numbers: Sequence[hd.sr.Measurement] = (),
    evaluations: Sequence[hd.sr.QualitativeEvaluation] = (),
    **rest: object,
) -> Dataset:
    if kind is not hd.sr.MeasurementsAndQualitativeEvaluations:
        rest["algorithm_id"] = hd.sr.AlgorithmIdentification("made", "1.0", manufacturer="us")
    made = kind(
        tracking_identifier=hd.sr.TrackingIdentifier(uid="1.2.3", identifier="Liver"),
        finding_type=LIVER,
        finding_sites=[hd.sr.FindingSite(LIVER, laterality=LEFT)],
        measurements=list(numbers),
        qualitative_evaluations=list(evaluations),
        **rest,
    )
    ds: Dataset = made[0]
    return ds


CONTEXT = [templates.site(LIVER, LEFT), *templates.algorithm("made", "1.0", "us")]


@pytest.mark.parametrize("frame", [None, 7])
def test_the_group_of_an_outline(frame: int | None) -> None:
    """TID 1410: an area, what is missing, the outline on a slice or on a frame."""
    given = source(frame)
    made = group_of(
        hd.sr.PlanarROIMeasurementsAndQualitativeEvaluations,
        [hd.sr.Measurement(VOLUME, 1.25, ML)],
        [hd.sr.QualitativeEvaluation(VOLUME, MEAN)],
        referenced_region=hd.sr.ImageRegion(hd.sr.GraphicTypeValues.POLYLINE, RING, image(given)),
    )
    content = [templates.measurement(VOLUME, 1.25, ML), tree.code(VOLUME, MEAN), templates.region(RING, given)]
    assert ours(templates.group(templates.PLANAR, "Liver", "1.2.3", LIVER, CONTEXT, content)) == theirs(made)


def test_the_group_of_a_segment() -> None:
    """TID 1411: a number with its derivation, and the segment."""
    made = group_of(
        hd.sr.VolumetricROIMeasurementsAndQualitativeEvaluations,
        [hd.sr.Measurement(VOLUME, 3.0, ML, derivation=MEAN)],
        referenced_segment=hd.sr.ReferencedSegment(
            "1.2.840.10008.5.1.4.1.1.66.4", "1.2.4", 3, source_series=hd.sr.SourceSeriesForSegmentation("1.2.5")
        ),
    )
    segment = templates.segment("1.2.840.10008.5.1.4.1.1.66.4", "1.2.4", 3, "1.2.5")
    content = [templates.measurement(VOLUME, 3.0, ML, MEAN), *segment]
    assert ours(templates.group(templates.VOLUMETRIC, "Liver", "1.2.3", LIVER, CONTEXT, content)) == theirs(made)


def test_the_group_of_numbers_that_are_drawn() -> None:
    """TID 1501: numbers that were inferred from a line and from points."""
    given, kinds = source(), hd.sr.GraphicTypeValues
    drawn = [hd.sr.CoordinatesForMeasurement(kind, LINE, image(given)) for kind in (kinds.POLYLINE, kinds.MULTIPOINT)]
    made = group_of(
        hd.sr.MeasurementsAndQualitativeEvaluations,
        [hd.sr.Measurement(VOLUME, 1e-7 / 3, ML, referenced_coordinates=[one]) for one in drawn],
    )
    content = [
        templates.measurement(VOLUME, 1e-7 / 3, ML, drawn=templates.coordinates(kind, LINE, given))
        for kind in (templates.POLYLINE, templates.MULTIPOINT)
    ]
    group = templates.group(templates.PLAIN, "Liver", "1.2.3", LIVER, [templates.site(LIVER, LEFT)], content)
    assert ours(group) == theirs(made)


def test_the_head_of_a_report() -> None:
    """TID 1204 and 1001, and the procedure reported, before the measurements."""
    language = hd.sr.CodedConcept("en-US", "RFC5646", "English (United States)")
    procedure = Code("25045-6", "LN", "CT unspecified body region")
    device = hd.sr.DeviceObserverIdentifyingAttributes("1.2.3", "name", "maker", "model", "serial")
    observer = hd.sr.ObserverContext(hd.sr.CodedConcept("121007", "DCM", "Device"), device)
    tracking = hd.sr.TrackingIdentifier(uid="1.2.3", identifier="Liver")
    report = hd.sr.MeasurementReport(
        observation_context=hd.sr.ObservationContext(observer_device_context=observer),
        procedure_reported=procedure,
        imaging_measurements=[hd.sr.MeasurementsAndQualitativeEvaluations(tracking)],
        title=Code("126001", "DCM", "Oncology Measurement Report"),
        language_of_content_item_and_descendants=hd.sr.LanguageOfContentItemAndDescendants(language),
    )
    head = [
        templates.language("en-US", "English (United States)"),
        *templates.device_observer("1.2.3", "name", "maker", "model", "serial"),
        templates.procedure(procedure),
    ]
    written = theirs(*report[0].ContentSequence)
    assert ours(*head) == written[:-1]
    assert (
        decoded(written[-1]).ConceptNameCodeSequence
        == decoded(templates.imaging_measurements([]).encoded()).ConceptNameCodeSequence
    )


@given(st.text(st.characters(exclude_categories=("C", "Z")), min_size=1, max_size=40))
def test_a_text_of_any_script(said: str) -> None:
    """In UTF-8, of an even length."""
    assert decoded(ours(tree.text(VOLUME, said))[0]).TextValue == said


@given(st.floats(-1e9, 1e9), st.integers(-999, 999))
def test_any_number(value: float, whole: int) -> None:
    """Sixteen characters for a decimal string; a whole number has no floating point value."""
    contains = hd.sr.RelationshipTypeValues.CONTAINS
    made = [hd.sr.NumContentItem(VOLUME, one, ML, relationship_type=contains) for one in (value, whole)]
    assert ours(tree.number(VOLUME, value, ML), tree.number(VOLUME, whole, ML)) == theirs(*made)


def test_a_long_code_stands_elsewhere() -> None:
    """What SH does not hold is a Long Code Value."""
    long = Code("a-code-of-more-than-16", "99CRLM", "Long")
    contains = hd.sr.RelationshipTypeValues.CONTAINS
    assert ours(tree.code(long, LEFT)) == theirs(hd.sr.CodeContentItem(long, LEFT, contains))
    assert code(decoded(ours(tree.code(long, LEFT))[0]).ConceptNameCodeSequence[0]) == long.value


def test_codes_that_differ_in_meaning_alone_stay_apart() -> None:
    """To pydicom they are equal; a number that is cut says `at least` in the meaning of its name."""
    other = VOLUME._replace(meaning="Volume, at least")
    assert other == VOLUME
    names = [decoded(tree.code(one, LEFT).encoded()).ConceptNameCodeSequence[0] for one in (VOLUME, other)]
    assert [one.CodeMeaning for one in names] == ["Volume", "Volume, at least"]


@pytest.mark.filterwarnings("ignore:The value for the data element")
def test_an_outline_of_more_points_than_its_length_can_say() -> None:
    """The length of FL has two bytes: a longer value is UN (PS3.5 section 6.2.2), as pydicom writes it."""
    many = np.linspace(0, 500, 2 * 9000).reshape(-1, 2)
    made = hd.sr.ImageRegion(hd.sr.GraphicTypeValues.POLYLINE, many, image(source()))
    assert ours(templates.region(many, source())) == theirs(made)
