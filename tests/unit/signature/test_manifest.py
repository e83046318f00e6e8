import json
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from made_signature import deep_signature, feature, incomplete, requires, signature
from pydantic import ValidationError

from node.core import signatures
from node.core.errors import Untrusted
from node.core.reasons import StudyRefusal
from node.core.settings import Settings
from workers.signature import folder, schema
from workers.signature.parts import Distribution, Figure, Groups
from workers.signature.scope import MaskOrigin, Provenance

ROOT = Path(__file__).parents[3]
SCHEMA = json.loads((ROOT / "docs" / "signature.schema.json").read_text(encoding="utf-8"))


def changed(path: Path, change: dict[str, Any]) -> None:
    """Write other content into a manifest, whose digest stays."""
    path.write_text(json.dumps({**json.loads(path.read_text(encoding="utf-8")), **change}), encoding="utf-8")


@pytest.mark.parametrize(
    "one", [signature(), incomplete(), deep_signature("0" * 64)], ids=["whole", "incomplete", "deep"]
)
def test_a_manifest_is_read_as_it_was_written(tmp_path: Path, one: Any) -> None:
    """Every field comes back, the settings of extraction with their kinds of number, and it is a file of the schema."""
    path = folder.write(tmp_path, one)
    assert path == tmp_path / "signatures" / "made" / "manifest.json"
    assert [child.name for child in path.parent.iterdir()] == ["manifest.json"]
    assert folder.read(tmp_path, "made") == one
    assert signatures.installed(tmp_path) == ("made",)
    content = json.loads(path.read_text(encoding="utf-8"))
    assert content["digest"] == one.digest
    assert [error.message for error in Draft202012Validator(SCHEMA).iter_errors(content)] == []


def test_another_layout_of_the_same_content_has_the_same_digest(tmp_path: Path) -> None:
    """The digest is of what is said, not of spaces and the order of keys."""
    path = folder.write(tmp_path, signature())
    content = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps(dict(reversed(content.items()))), encoding="utf-8")
    assert folder.read(tmp_path, "made") == signature()


@pytest.mark.parametrize(
    "change",
    [
        {"title": "Another"},
        {"groups": {"names": ["low", "high"], "cut_offs": [-0.3], "method": "made up"}},
        {"digest": "0" * 64},
        {"digest": None},
        {"id": "other"},
        {"remark": "a field that no manifest has"},
        {"features": []},
        {"version": "new"},
    ],
    ids=lambda change: next(iter(change)),
)
def test_a_manifest_that_was_changed_is_not_trusted(tmp_path: Path, change: dict[str, Any]) -> None:
    """Any other content, and anything that is not in the form of a manifest, is `input-untrusted`."""
    changed(folder.write(tmp_path, signature()), change)
    with pytest.raises(Untrusted) as refused:
        folder.read(tmp_path, "made")
    assert refused.value.code is StudyRefusal.INPUT_UNTRUSTED
    assert "signature made" in refused.value.detail


@pytest.mark.parametrize("text", ["", "[]", "{", '"x"', "{}"])
def test_what_is_no_manifest_is_not_trusted(tmp_path: Path, text: str) -> None:
    """A file that holds no object with a digest is refused with the same code."""
    folder.write(tmp_path, signature()).write_text(text, encoding="utf-8")
    with pytest.raises(Untrusted):
        folder.read(tmp_path, "made")


def test_a_manifest_in_the_folder_of_another_is_not_trusted(tmp_path: Path) -> None:
    """A sound manifest is of the folder that has its id, and of no other."""
    path = folder.write(tmp_path, signature())
    path.parent.rename(tmp_path / "signatures" / "other")
    with pytest.raises(Untrusted, match="it is of made"):
        folder.read(tmp_path, "other")


@pytest.mark.parametrize(
    "change",
    [
        {"missing": ("its cut-off",)},
        {"features": ()},
        {"groups": None},
        {"training": None},
        {"requires": None},
        {"extraction": None},
        {"rois": ()},
        {"requires": requires(mask_provenance={})},
        {"requires": requires(mask_provenance={"liver": Provenance(origins=(MaskOrigin.NETWORK,))})},
        {"features": (feature("a", 0, 1, 1), feature("a", 0, 1, 2))},
        {"features": (feature("age", 0, 1, 1, roi=None),)},
        {"id": "Kha 2026"},
        {"weights": {"network": "no digest"}},
    ],
    ids=lambda change: next(iter(change)),
)
def test_a_signature_is_whole_or_is_none(change: dict[str, Any]) -> None:
    """It lacks nothing, or has no numbers; features, regions and what is required name the same things."""
    with pytest.raises(ValidationError):
        signature(**change)


@pytest.mark.parametrize(
    "change",
    [
        {"weights": {}},
        {"weights": {"made": "0" * 64, "other": "0" * 64}},
        {"features": (feature("age", 60, 10, 0.1, roi=None),), "rois": (), "requires": requires(mask_provenance={})},
        {"features": (feature("deep_000", 1, 2, 0.5), feature("original_glcm_Contrast", 8, 2, 1))},
    ],
    ids=["no network", "two networks", "nothing deep", "a radiomic one without extraction"],
)
def test_deep_features_are_of_the_one_network_that_is_named(change: dict[str, Any]) -> None:
    """They need it and it needs them; radiomic ones beside them need the extraction."""
    with pytest.raises(ValidationError):
        deep_signature("0" * 64, **change)


def test_there_is_no_257th_deep_feature() -> None:
    """A name that looks like one is one of the 256; a fact may have any name."""
    with pytest.raises(ValidationError, match="deep_000 to deep_255"):
        feature("deep_256", 0, 1, 1)
    assert not feature("deep_256", 0, 1, 1, roi=None).deep


@pytest.mark.parametrize("number", [float("nan"), float("inf")])
def test_numbers_are_finite(number: float) -> None:
    """NaN and infinity are no number of a manifest."""
    with pytest.raises(ValidationError):
        feature("a", 0, 1, number)


def test_a_standard_deviation_of_zero_is_refused() -> None:
    """Nothing can be divided by it."""
    with pytest.raises(ValidationError):
        feature("a", 1, 0, 1)


def test_quantiles_are_those_of_the_sample() -> None:
    """By hand: of 0 to 100 each is its percentage; a place is found back, ties in the middle of their levels."""
    spread = Distribution.of(range(100, -1, -1))
    assert spread.values == pytest.approx([100 * level for level in spread.levels])
    assert spread.place(37.3) == pytest.approx(0.373)
    assert (spread.place(-1), spread.place(0), spread.place(100), spread.place(101)) == (0, 0, 1, 1)
    tied = Distribution(levels=(0, 0.25, 0.75, 1), values=(0, 5, 5, 9))
    assert tied.place(5) == 0.5
    assert (tied.holds(0), tied.holds(9), tied.holds(-0.1), tied.holds(9.1)) == (True, True, False, False)


@pytest.mark.parametrize(
    ("levels", "values"), [((0, 1), (1, 0)), ((0, 0.5), (0, 1)), ((0, 1, 0.5), (0, 1, 2)), ((0, 1), (0, 1, 2))]
)
def test_a_distribution_ascends_from_least_to_largest(levels: tuple[float, ...], values: tuple[float, ...]) -> None:
    """Levels go from 0 to 1 and values do not fall."""
    with pytest.raises(ValidationError):
        Distribution(levels=levels, values=values)


def test_an_empty_sample_has_no_quantiles() -> None:
    """Nothing stands in for patients that are not there."""
    with pytest.raises(ValueError, match="empty sample"):
        Distribution.of([])


def test_groups_are_parted_at_their_cut_offs() -> None:
    """A score that equals a cut-off belongs to the group below."""
    groups = Groups(names=("low", "middle", "high"), cut_offs=(0, 1), method="made up")
    assert [groups.of(score) for score in (-1, 0, 0.1, 1, 1.1)] == ["low", "low", "middle", "middle", "high"]
    for names, cut_offs in ((("a", "b"), (1, 2)), (("a", "a"), (1,)), (("a", "b", "c"), (2, 1))):
        with pytest.raises(ValidationError):
            Groups(names=names, cut_offs=cut_offs, method="made up")


def test_an_interval_has_two_ends() -> None:
    """One end alone, or ends that are changed round, are no interval."""
    for low, high in ((0.4, None), (None, 0.6), (0.6, 0.4)):
        with pytest.raises(ValidationError):
            Figure(name="C-index", value=0.5, low=low, high=high, method="made up")


def test_the_schema_is_that_of_the_code() -> None:
    """docs/signature.schema.json is what `python -m workers.signature.schema` prints, and a sound schema."""
    assert json.loads(schema.text()) == SCHEMA
    Draft202012Validator.check_schema(SCHEMA)


@pytest.mark.parametrize("lacking", ["digest", "requires", "validation", "licence"])
def test_the_schema_asks_for_every_field(tmp_path: Path, lacking: str) -> None:
    """A file without one of its fields is none of the schema."""
    content = json.loads(folder.write(tmp_path, signature()).read_text(encoding="utf-8"))
    del content[lacking]
    assert not Draft202012Validator(SCHEMA).is_valid(content)


def test_every_manifest_that_is_shipped_is_sound() -> None:
    """Each is found where the settings look for models, is what its digest says, and is a file of the schema."""
    models = Settings().models
    assert "kha-2026" in signatures.installed(models)
    for id_ in signatures.installed(models):
        folder.read(models, id_)
        content = json.loads((models / "signatures" / id_ / "manifest.json").read_text(encoding="utf-8"))
        assert Draft202012Validator(SCHEMA).is_valid(content), id_
