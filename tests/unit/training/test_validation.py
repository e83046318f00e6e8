"""What an evaluation found becomes the validation of a manifest and the tables of a card; made-up results, no torch."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

pytest.importorskip("torch", reason="torch is not installed (extra: worker)")
pytest.importorskip("nnunetv2", reason="nnunetv2 is not installed (extra: worker)")

from node.core.codes import MEASUREMENTS, Structure
from node.phantom import covering_grid, random_anatomy, render, truth
from workers.segmentation import manifest
from workers.segmentation.demo import folder
from workers.segmentation.demo.labels import PARTS
from workers.segmentation.demo.network import regions
from workers.training import export
from workers.training.card import CARD, with_results
from workers.training.evaluate import UNSEEN_SEEDS, Result, measured
from workers.training.truth import network_labels
from workers.training.validation import keep, kept, model_digest, summed_up
from workers.validation import Validation

DEMO = Path(__file__).parents[3] / "models" / "demo"
HU = "[hnsf'U]"


def result(seed: int | None, off: float, pixel_mm: float = 0.8) -> Result:
    """Return the result of a phantom whose every number is off by the same."""
    dice = dict.fromkeys(PARTS, 0.97 - off / 10)
    errors: dict[str, float | None] = {"liver.volume": off, "l1.mean_hu": -off, "burden.max_diameter": off}
    return Result(seed, (3.0, pixel_mm, pixel_mm), dice, errors, 2, 3, 17.0)


RESULTS = [result(21, 0.02), result(22, -0.01, 0.9), result(23, 0.0), result(None, 0.4, 2.0)]


def test_the_sum_is_of_the_phantoms_with_a_seed() -> None:
    """Every error in their order, the range of grids, least and median Dice; the standard abdomen counts in none."""
    found = summed_up(RESULTS, "0" * 64)
    assert found.seeds == (21, 22, 23)
    assert found.errors["liver.volume"].values == (0.02, -0.01, 0.0)
    assert found.errors["liver.volume"].relative
    assert found.errors["l1.mean_hu"].values == (-0.02, 0.01, 0.0)
    assert not found.errors["l1.mean_hu"].relative
    assert found.conditions.spacing_mm == ((3.0, 3.0), (0.8, 0.9), (0.8, 0.9))
    assert (found.dice["liver"].least, found.dice["liver"].median) == (0.968, 0.97)
    assert found.lesions == (6, 9)


def test_a_truth_without_a_number_is_counted_and_no_error() -> None:
    """A lesion that was not found has no diameter: that is told, and no figure stands for it."""
    missed = replace(result(24, 0.0), errors={"liver.volume": 0.01, "burden.max_diameter": None})
    found = summed_up([*RESULTS, missed], "0" * 64)
    assert (len(found.errors["burden.max_diameter"].values), found.errors["burden.max_diameter"].missed) == (3, 1)
    assert (len(found.errors["l1.mean_hu"].values), found.errors["l1.mean_hu"].missed) == (3, 0)


def test_results_that_are_kept_are_of_one_model(tmp_path: Path) -> None:
    """What was kept comes back as it was; of another model nothing does."""
    store = tmp_path / "results.jsonl"
    for one in RESULTS:
        keep(store, "this", one)
    keep(store, "other", result(25, 0.5))
    assert list(kept(store, "this")) == RESULTS
    assert list(kept(tmp_path / "none", "this")) == []


def test_a_manifest_keeps_the_validation_and_the_files(tmp_path: Path) -> None:
    """The block is read back as it was written, of the files that are there; nothing else of the folder changes."""
    for name in (*folder.FILES, CARD):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)
    export.write_manifest(tmp_path)
    before = manifest.read(tmp_path)
    export.write_manifest(tmp_path, summed_up(RESULTS, model_digest(tmp_path)))
    assert manifest.read(tmp_path) == before
    assert folder.validation(tmp_path) == summed_up(RESULTS, model_digest(tmp_path))
    folder.proven(tmp_path)


def test_stage_8_measures_what_is_evaluated() -> None:
    """The right labels of a coarse phantom: every number that it has a truth of is computed, volumes near it."""
    anatomy = random_anatomy(21)
    picture = render(anatomy, covering_grid(anatomy, spacing_mm=(3.0, 2.0, 2.0)), seed=21)
    labels = network_labels(picture)
    found = measured(labels, picture)
    assert set(regions(labels)) >= {Structure.LIVER, Structure.VERTEBRA_L1, Structure.VERTEBRAL_BODY}
    exact = truth(anatomy, 14.0)
    assert {name for name, one in found.items() if one.value is not None} == set(exact)
    for name in ("liver.volume", "psoas.left.volume", "psoas.pmvi", "psoas.pmi"):
        assert found[name].value == pytest.approx(exact[name]["value"], rel=0.03), name
    assert found["l1.mean_hu"].value == pytest.approx(exact["l1.mean_hu"]["value"], abs=3.0)


@pytest.fixture
def shipped() -> Validation:
    """The validation of models/demo."""
    if not (DEMO / manifest.NAME).is_file():
        pytest.skip("models/demo is not here")
    found = folder.validation(DEMO)
    assert found is not None, "nothing was measured of these weights"
    return found


def test_the_shipped_model_is_validated(shipped: Validation) -> None:
    """On every unseen seed, of these very files; each number has errors in its own kind, one for each truth."""
    assert shipped.seeds == UNSEEN_SEEDS
    assert shipped.model == model_digest(DEMO)
    assert set(shipped.dice) == set(PARTS)
    with_truth = set(MEASUREMENTS) - {"burden.count"}
    assert set(shipped.errors) == with_truth
    for name, errors in shipped.errors.items():
        assert errors.relative == (MEASUREMENTS[name].unit != HU), name
        if not name.startswith("burden."):
            assert len(errors.values) + errors.missed == len(UNSEEN_SEEDS), name


def test_the_shipped_card_agrees_with_the_manifest(shipped: Validation) -> None:
    """The card's table of errors has a line for each seed, and the liver's errors are those of the manifest."""
    lines = (DEMO / CARD).read_text(encoding="utf-8").splitlines()
    head = next(line for line in lines if line.startswith("| phantom | liver.volume"))
    column = head.split("|").index(" liver.volume ")
    rows = lines[lines.index(head) + 2 :][: len(UNSEEN_SEEDS)]
    assert [row.split("|")[1].strip() for row in rows] == [f"seed {seed}" for seed in UNSEEN_SEEDS]
    assert [float(row.split("|")[column]) for row in rows] == pytest.approx(
        [100 * error for error in shipped.errors["liver.volume"].values], abs=0.006
    )


def test_a_card_gets_other_tables_and_nothing_else() -> None:
    """Both tables are those of the results; every other line stays."""
    if not (DEMO / CARD).is_file():
        pytest.skip("models/demo is not here")
    before = (DEMO / CARD).read_text(encoding="utf-8")
    after = with_results(before, RESULTS)
    assert "| seed 22 | -1.00 | - | - |" in after
    assert "| seed 21 | 0.968 |" in after

    def others(card: str) -> list[str]:
        return [line for line in card.splitlines() if not line.startswith("|")]

    assert others(after) == others(before)
    assert with_results(after, RESULTS) == after
