import json
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from typing import Any
from unittest.mock import patch

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.core.codes import Structure
from node.core.errors import Untrusted
from node.core.reasons import NotComputed, NoteCode, StudyRefusal
from node.core.records import (
    Candidate,
    ClinicalFacts,
    Document,
    EarlyRefusal,
    HeightSource,
    Indication,
    Instance,
    JobRequest,
    LeftOut,
    Measurement,
    Note,
    PatientFacts,
    RasStatus,
    Status,
    Superseded,
    computed,
    dump,
    not_computed,
    parse,
)
from node.core.settings import ImportRules, MeasurementSettings, ReportSettings


def instance(uid: str, digest: str = "aa", path: str = "") -> Instance:
    return Instance(uid, "1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.1.2.1", digest, path or f"instances/{uid}.dcm")


REQUEST = JobRequest(
    study_instance_uid="1.2.3",
    requested_at=datetime.fromisoformat("2026-11-21T18:00"),
    candidates=(
        Candidate("1.2.3.1", "portal venous", "40 axial slices", (instance("1.2.3.1.1"), instance("1.2.3.1.2", "ab"))),
        Candidate("1.2.3.2", "native", "30 axial slices", (instance("1.2.3.2.1", "ac"),)),
    ),
    left_out=(LeftOut("1.2.3.3", "SR", "dose", "modality SR, not CT"),),
    segmentations=(instance("1.2.3.4.1", "ad"), instance("1.2.3.4.2", "ae")),
    facts=PatientFacts(1.75, HeightSource.SERIES, None, 80.0, "M"),
    imports=ImportRules(ae_titles=("LAB",), labels={"tumour_1": Structure.LESION}),
    measurement=MeasurementSettings(),
    engine="imported",
    version="0.1.0",
)

text = st.text(st.characters(codec="utf-8"), max_size=20)
instances = st.builds(Instance, *[text] * 5)
facts = st.builds(
    PatientFacts,
    height_m=st.none() | st.floats(1, 2.3),
    height_source=st.none() | st.sampled_from(HeightSource),
    height_reason=st.none() | st.sampled_from(NotComputed),
    weight_kg=st.none() | st.floats(1, 300),
    sex=st.sampled_from(["", "F", "M", "O"]),
    clinical=st.none()
    | st.builds(
        ClinicalFacts,
        node_positive_primary=st.none() | st.booleans(),
        disease_free_interval_months=st.none() | st.floats(0, 300),
        cea_ng_ml=st.none() | st.floats(0, 1e5),
        ras=st.none() | st.sampled_from(RasStatus),
        extrahepatic_disease=st.none() | st.booleans(),
        untreated_tumour=st.none() | st.booleans(),
        indication=st.none() | st.sampled_from(Indication),
    ),
)
requests = st.builds(
    JobRequest,
    study_instance_uid=text,
    requested_at=st.datetimes(),
    candidates=st.lists(st.builds(Candidate, text, text, text, st.lists(instances, max_size=3).map(tuple))).map(tuple),
    left_out=st.lists(st.builds(LeftOut, text, text, text, text), max_size=3).map(tuple),
    segmentations=st.lists(instances, max_size=3).map(tuple),
    facts=facts,
    imports=st.builds(ImportRules, labels=st.dictionaries(text, st.sampled_from(Structure), max_size=3)),
    measurement=st.builds(MeasurementSettings, core_erosion_mm=st.floats(0.1, 20)),
    engine=text,
    version=text,
    refusal=st.none() | st.builds(EarlyRefusal, st.sampled_from(StudyRefusal), text),
    forced=text,
    after=text,
    supersedes=st.none()
    | st.builds(
        Superseded,
        text,
        st.datetimes(),
        st.integers(1, 99),
        st.lists(st.builds(Document, text, text), max_size=2).map(tuple),
    ),
    report=st.builds(ReportSettings, language=st.sampled_from(["en", "fr", "pt-BR"])),
)
notes = st.lists(st.builds(Note, st.sampled_from(NoteCode), text), max_size=3)
values = st.builds(lambda value, those: computed(value, *those), st.floats(-1e6, 1e6) | text, notes)
absences = st.builds(
    lambda reason, those: not_computed(reason, *those),
    st.sampled_from(NotComputed) | st.sampled_from(StudyRefusal),
    notes,
)


@given(requests)
def test_a_request_survives_the_ledger(request_: JobRequest) -> None:
    """What the node writes into the ledger is what the worker reads, and it names the job by the same key."""
    read = parse(JobRequest, dump(request_))
    assert read == request_
    assert read.key == request_.key


def test_a_request_of_before_the_clinical_facts_keeps_its_key() -> None:
    """A site that enters nothing has the same jobs as before: what was stored without them is read as without."""
    stored = json.loads(dump(REQUEST))
    assert stored["facts"].pop("clinical") is None
    with patch("node.core.records._known", return_value=stored["facts"]):
        before = REQUEST.key
    assert parse(JobRequest, json.dumps(stored)).key == REQUEST.key == before


def test_a_request_of_before_the_facts_of_signatures_keeps_its_key() -> None:
    """What a site had entered before is the same job; what it enters of them makes another one."""
    entered = [
        replace(REQUEST, facts=replace(REQUEST.facts, clinical=ClinicalFacts(cea_ng_ml=12.0, **later)))
        for later in ({}, {"untreated_tumour": True}, {"untreated_tumour": False}, {"indication": Indication.RESECTION})
    ]
    stored = json.loads(dump(entered[0]))
    for name in ("untreated_tumour", "indication"):
        assert stored["facts"]["clinical"].pop(name) is None
    with patch("node.core.records._known", return_value=stored["facts"]):
        before = replace(entered[0]).key
    assert parse(JobRequest, json.dumps(stored)).key == entered[0].key == before
    assert len({one.key for one in entered}) == len(entered)


def test_a_request_of_before_the_languages_keeps_its_key() -> None:
    """English is what results were in before: what was stored without a language is read as English."""
    stored = json.loads(dump(REQUEST))
    assert stored.pop("report") == {"language": "en"}
    assert parse(JobRequest, json.dumps(stored)).key == REQUEST.key


@given(values | absences)
def test_a_measurement_survives_the_spool(one: Measurement) -> None:
    """Values keep every bit, and reasons and notes come back as the enums that they were."""
    read = parse(Measurement, dump(one))
    assert read == one
    assert type(read.reason) is type(one.reason)


@pytest.mark.parametrize("stored", ["", "{", "null", '{"study_instance_uid": "1.2.3"}', dump(REQUEST)[:-20]])
def test_a_stored_record_that_was_cut_is_not_trusted(stored: str) -> None:
    """A record that cannot be read back whole stops the work instead of being measured in part."""
    with pytest.raises(Untrusted) as caught:
        parse(JobRequest, stored)
    assert caught.value.code is StudyRefusal.INPUT_UNTRUSTED


def with_measurement(**changes: Any) -> JobRequest:
    return replace(REQUEST, measurement=MeasurementSettings(**changes))


def with_facts(**changes: Any) -> JobRequest:
    return replace(REQUEST, facts=replace(REQUEST.facts, **changes))


def with_first(**changes: Any) -> JobRequest:
    return replace(REQUEST, candidates=(replace(REQUEST.candidates[0], **changes), REQUEST.candidates[1]))


MATTERS: dict[str, JobRequest] = {
    "study": replace(REQUEST, study_instance_uid="1.2.4"),
    "series": with_first(series_instance_uid="1.2.3.9"),
    "an instance more": with_first(instances=(*REQUEST.candidates[0].instances, instance("1.2.3.1.3"))),
    "an instance fewer": with_first(instances=REQUEST.candidates[0].instances[:1]),
    "content of an instance": with_first(instances=(instance("1.2.3.1.1", "ff"), REQUEST.candidates[0].instances[1])),
    "rank of the series": replace(REQUEST, candidates=REQUEST.candidates[::-1]),
    "a segmentation fewer": replace(REQUEST, segmentations=REQUEST.segmentations[:1]),
    "no segmentation": replace(REQUEST, segmentations=()),
    "content of a segmentation": replace(
        REQUEST, segmentations=(instance("1.2.3.4.1", "ff"), REQUEST.segmentations[1])
    ),
    "height": with_facts(height_m=1.76),
    "no height": with_facts(height_m=None, height_source=None, height_reason=NotComputed.HEIGHT_MISSING),
    "source of the height": with_facts(height_source=HeightSource.STUDY),
    "weight": with_facts(weight_kg=81.0),
    "sex": with_facts(sex="F"),
    "clinical facts": with_facts(clinical=ClinicalFacts(cea_ng_ml=0.0)),
    "another clinical fact": with_facts(clinical=ClinicalFacts(disease_free_interval_months=0.0)),
    "labels": replace(REQUEST, imports=ImportRules(ae_titles=("LAB",), labels={})),
    "refusal": replace(REQUEST, refusal=EarlyRefusal(StudyRefusal.TOO_FEW_SLICES, "")),
    "another refusal": replace(REQUEST, refusal=EarlyRefusal(StudyRefusal.PATIENT_CONFLICT, "")),
    "the job that came between": replace(REQUEST, after="ab" * 16),
    "engine": replace(REQUEST, engine="totalsegmentator"),
    "version": replace(REQUEST, version="0.1.1"),
    "psoas": with_measurement(psoas="psoas_major"),
    "resolution": with_measurement(segmentation_resolution="3mm"),
    "nearly complete": with_measurement(nearly_complete_fraction=0.1),
    "erosion": with_measurement(core_erosion_mm=4.0),
    "slab": with_measurement(core_slab_fraction=0.4),
    "centimetres": with_measurement(height_in_cm=True),
    "spacing tolerance": with_measurement(spacing_tolerance=0.04),
    "minimum of slices": with_measurement(minimum_slices=11),
    "gantry tilt": with_measurement(gantry_tilt="refuse"),
    "completion without evidence": replace(REQUEST, forced="3600 s"),
    "language": replace(REQUEST, report=ReportSettings(language="fr")),
}


def test_each_numeric_setting_is_tried() -> None:
    """A setting added to the section that changes numbers has a case below."""
    tried = {
        name
        for changed in MATTERS.values()
        for name in MeasurementSettings.model_fields
        if getattr(changed.measurement, name) != getattr(REQUEST.measurement, name)
    }
    assert tried == set(MeasurementSettings.model_fields)


@pytest.mark.parametrize("changed", MATTERS.values(), ids=MATTERS.keys())
def test_the_key_changes_with_all_that_a_result_depends_on(changed: JobRequest) -> None:
    """Two analyses that could give different numbers never share a key, and so never a UID."""
    assert changed.key != REQUEST.key


def test_all_keys_differ_from_each_other() -> None:
    """No two of the changed inputs are taken for each other."""
    assert len({changed.key for changed in MATTERS.values()}) == len(MATTERS)


def moved(one: Instance) -> Instance:
    return replace(one, path=f"/elsewhere/{one.path}")


def everywhere(change: Callable[[tuple[Instance, ...]], tuple[Instance, ...]]) -> JobRequest:
    return replace(
        REQUEST,
        candidates=tuple(replace(one, instances=change(one.instances)) for one in REQUEST.candidates),
        segmentations=change(REQUEST.segmentations),
    )


@pytest.mark.parametrize(
    "same",
    [
        everywhere(lambda those: tuple(moved(one) for one in those)),
        everywhere(lambda those: those[::-1]),
        replace(REQUEST, requested_at=datetime.fromisoformat("2030-01-01T00:00")),
        replace(REQUEST, left_out=()),
        with_first(description="other words", why="other words"),
        replace(REQUEST, imports=ImportRules(manufacturers=("X",), labels={"tumour_1": Structure.LESION})),
        replace(REQUEST, supersedes=Superseded("ab" * 16, datetime.fromisoformat("2026-01-01T00:00"), 3, ())),
    ],
    ids=["paths", "order", "time", "left-out", "words", "senders", "what it supersedes"],
)
def test_the_key_does_not_change_with_what_changes_no_number(same: JobRequest) -> None:
    """Where files lie, in what order they came and when it was asked does not make another job."""
    assert same.key == REQUEST.key


def test_the_key_is_a_name() -> None:
    """It fits the ledger's column and is safe as a folder's name."""
    assert len(REQUEST.key) == 32
    assert set(REQUEST.key) <= set("0123456789abcdef")


@pytest.mark.parametrize(
    ("value", "status", "reason"),
    [
        (None, Status.COMPUTED, None),
        (1.0, Status.NOT_COMPUTED, NotComputed.NOT_BUILT),
        (1.0, Status.COMPUTED, NotComputed.NOT_BUILT),
        (None, Status.NOT_COMPUTED, None),
        (None, Status.COMPUTED, NotComputed.NOT_BUILT),
        (1.0, Status.NOT_COMPUTED, None),
    ],
)
def test_a_number_has_a_value_or_a_reason(value: float | None, status: Status, reason: NotComputed | None) -> None:
    """A measurement that has both, or neither, cannot be made."""
    with pytest.raises(ValueError, match="either a value or a reason"):
        Measurement(value, status, reason)


def test_a_zero_is_a_value() -> None:
    """Zero lesions is a number that was computed, not a missing one."""
    assert computed(0.0).status is Status.COMPUTED
