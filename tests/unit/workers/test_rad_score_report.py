"""A Rad score in result.json, in the archival SR and in the Summary, and how each says that there is none."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from made_signature import CONTRAST, MEAN, VALUES, requires, signature
from made_studies import Made
from sr_reading import children, groups, name, number, texts, walk
from studies import Study

from node.core.records import AskedSignature
from workers import analysis
from workers.measurement import rad_features
from workers.measurement.rad_features import Computed
from workers.signature.manifest import Signature
from workers.signature.scope import MaskOrigin, Provenance

SCHEMA = json.loads((Path(__file__).parents[3] / "docs" / "result.schema.json").read_text(encoding="utf-8"))
OPEN = {"contrast_phase": (), "slice_thickness_mm": None, "untreated_tumour": False, "indication": ()}
ANYBODY = requires(mask_provenance={"tumour": Provenance(origins=tuple(MaskOrigin))}, **OPEN)
OURS = signature(id="tcia-crlm-os", requires=ANYBODY)
OF_SITE = signature(id="of-the-site", requires=ANYBODY)
STRICT = signature(id="tcia-crlm-os", requires=requires(**OPEN))
NUMBERS = ("score", "group")


def study(folder: Path, signatures: Sequence[Signature], values: dict[str, float], **options: Any) -> Study:
    """Return a study that signatures were asked about, with given values of their features."""
    known = {one.id: Computed(values) for one in signatures}
    named = tuple(AskedSignature(one.id, one.digest) for one in signatures)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(analysis.folder, "asked", lambda *_: tuple(signatures))
        patch.setattr(rad_features, "compute", lambda *_: (known, ()))
        return Made(folder).study(signatures=named, **options)


@pytest.fixture(scope="module")
def scored(tmp_path_factory: pytest.TempPathFactory) -> Study:
    """A study with two scores, one of them outside the range of training, by our own signature and one of the site."""
    values = {**VALUES, f"tumour:{MEAN}": 260.0}
    return study(tmp_path_factory.mktemp("scored"), (OURS, OF_SITE), values)


@pytest.fixture(scope="module")
def withheld(tmp_path_factory: pytest.TempPathFactory) -> Study:
    """A study whose mask is none that the signature asks for, and a signature that lacks its numbers."""
    lacking = signature(id="kha-2026", missing=("its coefficients",), features=(), groups=None, training=None)
    return study(tmp_path_factory.mktemp("withheld"), (lacking, STRICT), VALUES)


def test_the_document_has_score_and_contributions(scored: Study) -> None:
    """It keeps to the schema; the contributions sum up to the score, which is the number of the study."""
    document = scored.document
    assert [error.message for error in Draft202012Validator(SCHEMA).iter_errors(document)] == []
    first, second = document["rad_scores"]
    assert (first["signature"], first["version"], first["digest"]) == ("tcia-crlm-os", "1.2", OURS.digest)
    assert sum(one["points"] for one in first["contributions"]) == pytest.approx(first["score"]) == 4.6
    assert (first["group"], first["place"], first["outside"], first["reason"]) == ("high", 1.0, True, None)
    assert [one["outside"] for one in first["contributions"]] == [True, False, False]
    assert document["measurements"]["rad_score.tcia-crlm-os.score"]["value"] == first["score"]
    assert document["measurements"]["rad_score.tcia-crlm-os.group"]["value"] == "high"
    assert second["signature"] == "of-the-site"


def test_the_document_says_why_there_is_no_score(withheld: Study) -> None:
    """By the schema too: the code, each reason in words, and no contribution."""
    document = withheld.document
    assert [error.message for error in Draft202012Validator(SCHEMA).iter_errors(document)] == []
    kha, ours = document["rad_scores"]
    assert (kha["reason"], kha["why"]) == ("signature-incomplete", ["not published: its coefficients"])
    assert (ours["reason"], ours["score"], ours["contributions"]) == ("roi-mismatch", None, [])
    for one in (kha, ours):
        for part in NUMBERS:
            assert document["measurements"][f"rad_score.{one['signature']}.{part}"]["reason"] == one["reason"]


@pytest.mark.parametrize(
    "change",
    [
        {"score": None},
        {"group": None},
        {"reason": "out-of-scope"},
        {"reason": "tired"},
        {"place": 1.2},
        {"contributions": []},
        {"digest": "abc"},
        {"why": [""]},
        {"verdict": "high"},
    ],
    ids=lambda change: next(iter(change)),
)
def test_the_schema_knows_a_damaged_score(scored: Study, change: dict[str, Any]) -> None:
    """A score has all that belongs to it and no reason; what has a reason has no score."""
    document = json.loads(json.dumps(scored.document))
    document["rad_scores"][0] |= change
    assert not Draft202012Validator(SCHEMA).is_valid(document)


def test_the_sr_has_a_container_for_each_score(scored: Study) -> None:
    """Who says it, score, group, place, and what each feature gives with its name and value, to four decimals."""
    ds = scored.dataset("sr.dcm")
    boxes = [item for item in walk(ds) if item.ValueType == "CONTAINER" and name(item) == "rad-score-by"]
    for box, one in zip(boxes, scored.document["rad_scores"], strict=True):
        [who] = children(box, "TEXT", "rad-signature")
        assert all(part in who.TextValue for part in (one["signature"], one["version"], one["digest"]))
        assert [number(item) for item in children(box, "NUM", "rad-score")] == [(round(one["score"], 4), "1")]
        assert [number(item) for item in children(box, "NUM", "rad-place")] == [(100.0, "%")]
        assert [str(item.TextValue) for item in children(box, "TEXT", "rad-group")] == [one["group"]]
        told = {}
        for item in children(box, "NUM", "rad-contribution"):
            [feature], [value] = children(item, "TEXT", "rad-feature"), children(item, "NUM", "rad-feature-value")
            told[str(feature.TextValue)] = (number(item)[0], number(value)[0])
        assert told == {
            f"{MEAN} (tumour)": (5.0, 260.0),
            f"{CONTRAST} (tumour)": (-0.5, 12.0),
            "age": (0.1, 70.0),
        }
        said = "\n".join(texts(box))
        assert "C-index: 0.500 (0.400 to 0.600). made up." in said
        assert "The score foretells overall survival." in said
    assert f"{MEAN} 260 (training 20 to 100)" in "\n".join(texts(boxes[0]))
    assert not any(name(item).startswith("rad-") for group in groups(ds) for item in children(group))


def test_the_sr_says_why_there_is_no_score(withheld: Study) -> None:
    """The reason of each is a code; what is not met stands in words, and what was never published is not repeated."""
    ds = withheld.dataset("sr.dcm")
    assert not any(name(item) == "rad-score-by" for item in walk(ds))
    said = texts(ds)
    assert any(one.startswith("Rad score, tcia-crlm-os: mask_provenance tumour: needs ") for one in said)
    assert not any("not published" in one for one in said)


def test_the_summary_has_a_page_for_each_score(scored: Study, withheld: Study) -> None:
    """Behind the cover, one page for each score that there is."""
    files = [file for file in scored.outcome.files if "rad-score" in file]
    assert len(files) == 2
    assert not any("rad-score" in file for file in withheld.outcome.files)


def test_a_study_without_signatures_has_an_empty_list(tmp_path: Path) -> None:
    """Nobody was asked, which is not the same as a refused study."""
    document = study(tmp_path, (), {}).document
    assert document["rad_scores"] == []
