import copy
import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from made_series import request
from made_validation import validation
from studies import Study, run

from node.core.codes import MEASUREMENTS, Structure
from node.core.reasons import NotComputed, NoteCode, StudyRefusal
from node.core.records import EarlyRefusal, HeightSource, LeftOut
from node.core.settings import MeasurementSettings
from node.core.spool import Spool
from workers.measured import Zone
from workers.records import AlgorithmType
from workers.report.document import SCHEMA_VERSION, Findings, _quality

SCHEMA: dict[str, Any] = json.loads((Path(__file__).parents[2] / "docs" / "result.schema.json").read_text("utf-8"))
VALIDATOR = Draft202012Validator(SCHEMA)


def faults(document: Any) -> list[str]:
    return [f"{error.json_path}: {error.message}" for error in VALIDATOR.iter_errors(document)]


def objects(schema: Any) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield every part of the schema that describes an object, with what it describes."""
    if isinstance(schema, dict):
        if schema.get("type") == "object":
            yield str(sorted(schema.get("properties", {})))[:60], schema
        for part in schema.values():
            yield from objects(part)
    elif isinstance(schema, list):
        for part in schema:
            yield from objects(part)


def test_the_schema_is_one() -> None:
    """It is a sound schema of draft 2020-12, of the version that the writer states."""
    Draft202012Validator.check_schema(SCHEMA)
    assert SCHEMA["properties"]["schema_version"]["const"] == SCHEMA_VERSION


def test_every_object_is_closed_and_requires_all_it_has() -> None:
    """No key may be missing and none may be added; only the versions may name more libraries."""
    for name, part in objects(SCHEMA):
        if part.get("properties", {}).keys() >= {"python"}:
            assert part["additionalProperties"] == {"type": "string"}
            continue
        assert part["additionalProperties"] is False, name
        assert sorted(part["required"]) == sorted(part["properties"]), name


def test_its_lists_are_those_of_the_code() -> None:
    """Every closed list, id and unit is that of `node.core`, in number and spelling."""
    defs = SCHEMA["$defs"]
    for name, members in (
        ("studyRefusal", StudyRefusal),
        ("notComputed", NotComputed),
        ("structure", Structure),
    ):
        assert defs[name]["enum"] == [str(one) for one in members], name
    assert defs["note"]["properties"]["code"]["enum"] == [str(one) for one in NoteCode]
    parts = dict(objects(SCHEMA))
    patient = SCHEMA["properties"]["study"]["properties"]["patient"]["properties"]
    assert patient["height_source"]["enum"] == [None, *[str(one) for one in HeightSource]]
    [segment] = [part for part in parts.values() if "algorithm_type" in part["properties"]]
    assert segment["properties"]["algorithm_type"]["enum"] == [str(one) for one in AlgorithmType]
    [burden] = [part for part in parts.values() if "zone" in part["properties"]]
    assert burden["properties"]["zone"]["enum"] == [*[str(one) for one in Zone], None]
    measurements = SCHEMA["properties"]["measurements"]["properties"]
    assert list(measurements) == list(MEASUREMENTS)
    for name, one in measurements.items():
        assert one["properties"]["unit"]["const"] == MEASUREMENTS[name].unit
        assert one["$ref"] == ("#/$defs/number" if MEASUREMENTS[name].unit else "#/$defs/word")


def test_its_settings_are_those_of_the_product() -> None:
    """Names, bounds and choices of the numeric settings are those that the node reads."""
    ours = SCHEMA["properties"]["quality"]["properties"]["settings"]["properties"]
    theirs = MeasurementSettings.model_json_schema()["properties"]
    assert list(ours) == list(theirs)
    bounds = ("enum", "type", "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum")
    for name, one in ours.items():
        expected = {key: value for key, value in theirs[name].items() if key in bounds}
        if "enum" in expected:
            expected.pop("type", None)
        assert one == expected, name


def test_a_result_is_valid(any_study: Study) -> None:
    """Of the phantom, of the real abdomen, of a refused study."""
    assert faults(any_study.document) == []


@pytest.mark.parametrize("code", StudyRefusal)
def test_an_early_refusal_is_valid(code: StudyRefusal, tmp_path: Path) -> None:
    """A study without a single candidate, with files that were left out, for each code that there is."""
    spool = Spool(tmp_path)
    spool.prepare()
    left = (LeftOut("", "", "notes.txt", "file not read"), LeftOut("1.2.3", "MR", "T2", "modality MR, not CT"))
    study = run(replace(request(), refusal=EarlyRefusal(code, "detail"), left_out=left), spool)
    assert faults(study.document) == []


def at(*path: str) -> Callable[[Any], Any]:
    def find(document: Any) -> Any:
        for step in path:
            document = document[int(step)] if step.isdigit() else document[step]
        return document

    return find


def put(*path: str, value: Any) -> Callable[[Any], None]:
    """Return a harm that puts a value where a path leads."""

    def harm(document: Any) -> None:
        place = at(*path[:-1])(document)
        place[path[-1]] = value

    return harm


def drop(*path: str) -> Callable[[Any], None]:
    return lambda document: at(*path[:-1])(document).pop(path[-1])


OLD: dict[str, Any] = {"job": "0" * 32, "requested_at": "2026-11-20T12:00:00", "revision": 1, "sr": ["2.25.1"]}
LIVER = ("measurements", "liver.volume")
PMVI = ("measurements", "psoas.pmvi")
FONG = ("scores", "0")
SCORE = ("measurements", "rad_score.tcia-crlm-os.score")
REFERENCE = {"text": "x", "source": "x", "population": "x", "protocol": "x", "outside": []}
LESION = ("burden", "lesions", "0")
SEGMENTS = ("quality", "segmentation", "segments", "0")
HARM = {
    "a measurement is missing": drop("measurements", "psoas.pmvi"),
    "a measurement too many": put("measurements", "spleen.volume", value={}),
    "a key too many": put("comment", value="x"),
    "a key too many in the study": put("study", "patient", "name", value="x"),
    "a key too many in a segment": put(*SEGMENTS, "volume", value=3),
    "another unit": put(*LIVER, "unit", value="cm3"),
    "a number without a value": put(*LIVER, "value", value=None),
    "a word for a number": put(*LIVER, "value", value="large"),
    "a number with a reason": put(*LIVER, "reason", value="structure-not-found"),
    "a missing number without a reason": put(*SCORE, "reason", value=None),
    "a missing number with a value": put(*SCORE, "value", value=0.0),
    "an unknown reason": put(*SCORE, "reason", value="no-idea"),
    "a refusal's reason in a measured study": put(*SCORE, "reason", value="uneven-spacing"),
    "a note without its list": put(*LIVER, "notes", value=[{"code": "nice", "text": "x"}]),
    "a note without a text": put(*LIVER, "notes", value=[{"code": "imported"}]),
    "a reference without a source": put(*PMVI, "context", "0", "source", value=""),
    "a reference that does not say what is outside": drop(*PMVI, "context", "0", "outside"),
    "no context at all": drop(*LIVER, "context"),
    "a reference beside what was not computed": put(*SCORE, "context", value=[REFERENCE]),
    "an interval of three": put(*LIVER, "interval", value=[1, 2, 3]),
    "a status of its own": put(*LIVER, "status", value="guessed"),
    "an unknown refusal": put("refusal", value={"code": "tired", "text": "x"}),
    "a refusal beside numbers": put("refusal", value={"code": "uneven-spacing", "text": "x"}),
    "a SHA-1 of something": put("quality", "volume_sha1", value="abc"),
    "a job key of something": put("job", value="7"),
    "a revision of nothing": put("revision", value=0),
    "a superseded result without its SR": put("supersedes", value=OLD | {"sr": None}),
    "a superseded result without its job": put("supersedes", value={key: OLD[key] for key in OLD if key != "job"}),
    "another version of the schema": put("schema_version", value="0.9"),
    "a structure of its own": put("quality", "segmentation", "searched", value=["spleen"]),
    "no scores beside numbers": put("scores", value=None),
    "a score without its range": drop(*FONG, "low"),
    "a score of somebody else": put(*FONG, "id", value="mine"),
    "an item with one number of points": put(*FONG, "items", "0", "points", value=[1]),
    "an item that may be": put(*FONG, "items", "0", "state", value="maybe"),
    "an item from nowhere": put(*FONG, "items", "0", "source", value="liver.volume"),
    "a key too many in an item": put(*FONG, "items", "0", "why", value="x"),
    "a height in centimetres": put("study", "patient", "height_m", value=170),
    "no burden in a measured study": put("burden", value=None),
    "a burden without its table": drop("burden", "lesions"),
    "a table without a search": put("burden", "lesions", value=None),
    "an empty table with a zone": put("burden", "lesions", value=[]),
    "lesions without a zone": put("burden", "zone", value=None),
    "a zone of its own": put("burden", "zone", value="high"),
    "lesions whose specks nobody counted": put("burden", "smaller", value=None),
    "a lesion without a volume": put(*LESION, "volume_ml", value=0),
    "a lesion without its diameter": drop(*LESION, "diameter_mm"),
    "a lesion with a verdict": put(*LESION, "malignant", value=True),
    "a lesion in a plane": put(*LESION, "centre_mm", value=[1.0, 2.0]),
    "an edge of its own": put(*LESION, "edges", value=["left"]),
    "a lesion in no part": put(*LESION, "parts", value=0),
    "no UID": put("study", "study_instance_uid", value="abc"),
}


def test_a_refused_study_has_no_scores(refused_phantom: Study) -> None:
    """None at all, not even the widest range: nothing was looked at."""
    assert refused_phantom.document["scores"] is None
    assert faults(refused_phantom.document | {"scores": []})


def test_a_result_that_supersedes_another_is_valid(coarse_phantom: Study) -> None:
    """It names the earlier one and counts on from it."""
    document = copy.deepcopy(coarse_phantom.document) | {"revision": 2, "supersedes": OLD}
    assert faults(document) == []


def test_each_way_to_have_no_lesion_is_valid(coarse_phantom: Study, refused_phantom: Study) -> None:
    """Searched and none, not searched; in a refused study only null is."""
    for burden in (
        {"lesions": [], "smaller": 2, "zone": None},
        {"lesions": None, "smaller": None, "zone": None},
    ):
        assert faults(copy.deepcopy(coarse_phantom.document) | {"burden": burden}) == []
        assert faults(copy.deepcopy(refused_phantom.document) | {"burden": burden})


VALIDATION: dict[str, Any] = {
    "interval": "What it means.",
    "what": "synthetic abdomens",
    "n": 12,
    "model": "0" * 64,
    "version": "0.1.0",
    "conditions": {
        "synthetic": True,
        "kvp": 120.0,
        "noise_sd_hu": 14.0,
        "spacing_mm": [[3.0, 3.0], [0.8, 0.9], [0.8, 0.9]],
        "core_erosion_mm": 5.0,
        "core_slab_fraction": 0.5,
    },
    "height_resolution_m": None,
}


def test_what_intervals_stand_on_is_written_as_the_schema_says(coarse_phantom: Study) -> None:
    """The writer's block, with and without a height, is valid and has the keys of this example; so are intervals."""
    document = copy.deepcopy(coarse_phantom.document)
    for facts in (coarse_phantom.request.facts, replace(coarse_phantom.request.facts, height_m=None)):
        labels = replace(coarse_phantom.labels, validation=validation())
        written = _quality(Findings(replace(coarse_phantom.request, facts=facts), None, labels, None, None))
        block = written["segmentation"]["validation"]
        assert (block.keys(), block["conditions"].keys()) == (VALIDATION.keys(), VALIDATION["conditions"].keys())
        document["quality"]["segmentation"]["validation"] = block
        document["measurements"]["liver.volume"]["interval"] = [1400.0, 1500.0]
        assert faults(json.loads(json.dumps(document))) == []


@pytest.mark.parametrize("path", [("n",), ("model",), ("conditions", "spacing_mm"), ("conditions", "kvp")])
def test_intervals_that_stand_on_nothing_are_found(path: tuple[str, ...], coarse_phantom: Study) -> None:
    """What says nothing of its truths, its network or its conditions is no validation."""
    damaged = copy.deepcopy(coarse_phantom.document)
    damaged["quality"]["segmentation"]["validation"] = copy.deepcopy(VALIDATION)
    assert faults(damaged) == []
    drop("quality", "segmentation", "validation", *path)(damaged)
    assert faults(damaged)


@pytest.mark.parametrize("name", HARM)
def test_a_planted_fault_is_found(name: str, coarse_phantom: Study) -> None:
    """Each way in which a writer could break the contract makes the schema complain."""
    damaged = copy.deepcopy(coarse_phantom.document)
    HARM[name](damaged)
    assert faults(damaged)
