import json
import math
import re
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from made_cohort import EVENT, ID, TIME, made, written

from node.core import signatures
from workers.signature import folder
from workers.signature.deep import DIGEST, NETWORK
from workers.training.signature import about, cohort, command, figures, procedure
from workers.training.signature.cohort import Sources, WrongCohort
from workers.training.signature.command import fit
from workers.training.signature.curves import effect, kaplan_meier, predicted, uncensored
from workers.training.signature.procedure import Plan

ROOT = Path(__file__).parents[3]
PLANTED = {2: 0.9, 11: -0.8}
SMALL = Plan(folds=3, repeats=2, inner=2, steps=4, methods=("lasso", "boosting"), bootstraps=2, shuffles=2)


@pytest.fixture(scope="module")
def made_sources(tmp_path_factory: pytest.TempPathFactory) -> Sources:
    """A cohort with a planted signal, in two files."""
    files = written(tmp_path_factory.mktemp("cohort"), *made(150, 20, PLANTED, 1))
    return Sources(*files, ID, TIME, EVENT, "tumor_", (), ("number",))


@pytest.fixture(scope="module")
def fitted(made_sources: Sources, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a run with small settings wrote."""
    out = tmp_path_factory.mktemp("runs") / "planted"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(command, "QUICK", SMALL)
        fit(made_sources, out, quick=True)
    return out


def report(out: Path) -> dict[str, Any]:
    """The report of a run, without NaN."""

    def refuse(word: str) -> float:
        raise AssertionError(f"{word} is no JSON")

    read: dict[str, Any] = json.loads((out / "report.json").read_text(), parse_constant=refuse)
    return read


def test_the_report_says_the_outer_estimate_and_all_that_was_tried(fitted: Path) -> None:
    """C-index with its interval, the baselines, each method, and one entry of the log for each method in each fold."""
    read = report(fitted)
    outer = read["outer"]
    assert outer["low"] < outer["c_index"] < outer["high"]
    assert outer["c_index"] > 0.65
    assert read["baselines"].keys() == {"tumor_volume_ml", "number"}
    assert read["baselines"]["number"]["c_index"] < 0.62
    assert read["candidates"].keys() == set(SMALL.methods)
    assert sum(one["chosen"] for one in read["candidates"].values()) == pytest.approx(1)
    assert len(read["log"]) == len(SMALL.methods) * (SMALL.folds * SMALL.repeats + 1)
    assert sum(one["taken"] for one in read["log"]) == SMALL.folds * SMALL.repeats + 1
    assert len(read["univariate"]) == 20
    assert read["groups"]["hazard_ratio"] > 1.3
    assert read["data"]["extraction"] == {"settings": {"binCount": 24}}


def test_the_manifest_scores_as_the_training_did(fitted: Path, made_sources: Sources) -> None:
    """The manifest is read with its digest; by its numbers the median score of the cohort is the cut-off."""
    path = fitted.parent / "models" / signatures.FOLDER / "planted"
    path.mkdir(parents=True)
    (path / signatures.NAME).write_bytes((fitted / signatures.NAME).read_bytes())
    signature = folder.read(fitted.parent / "models", "planted")
    values, _, event = made(150, 20, PLANTED, 1)
    names = [f"original_made_F{place}" for place in range(20)]
    score = sum(one.coefficient * (values[:, names.index(one.name)] - one.mean) / one.sd for one in signature.features)
    assert signature.groups is not None
    assert signature.training is not None
    assert np.median(score) == pytest.approx(signature.groups.cut_offs[0])
    assert (score.min(), score.max()) == pytest.approx((signature.training.score.least, signature.training.score.most))
    assert signature.training.events == event.sum()
    assert signature.extraction is not None
    assert signature.extraction.settings == {"binCount": 24}
    assert {"original_made_F2", "original_made_F11"} <= {one.name for one in signature.features}
    outer = report(fitted)["outer"]
    assert (signature.validation[0].value, signature.validation[0].low) == (outer["c_index"], outer["low"])


@pytest.mark.parametrize("named", [True, False])
def test_deep_features_bring_their_network(named: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The manifest names it as the table does, and no extraction; a table that names none makes no signature."""
    features, followup = written(tmp_path, *made(150, 20, PLANTED, 1))
    lines = features.read_text().splitlines()
    lines[0] = re.sub(r"original_made_F(\d+)", lambda found: f"deep_{int(found[1]):03d}", lines[0])
    if named:
        columns = f"tumor_{NETWORK},tumor_{DIGEST}", f"demo-encoder,{'ab' * 32}"
        lines = [f"{line},{columns[place > 0]}" for place, line in enumerate(lines)]
    features.write_text("\n".join(lines) + "\n")
    monkeypatch.setattr(command, "QUICK", SMALL)
    monkeypatch.setattr(figures, "_DPI", 20)
    sources = Sources(features, followup, ID, TIME, EVENT, "tumor_")
    if not named:
        with pytest.raises(WrongCohort, match="does not say which network its deep features are of"):
            fit(sources, tmp_path / "deep", quick=True)
        return
    fit(sources, tmp_path / "deep", quick=True)
    signature = folder.parse("deep", (tmp_path / "deep" / signatures.NAME).read_bytes())
    assert signature.weights == {"demo-encoder": "ab" * 32}
    assert signature.extraction is None
    assert {"deep_002", "deep_011"} <= {one.name for one in signature.features}


def test_every_figure_is_there_twice_and_the_card_says_the_outer_estimate(fitted: Path) -> None:
    """Five figures as SVG and PNG; the card's first number is the outer C-index."""
    files = sorted(path.name for path in (fitted / "figures").iterdir())
    assert len(files) == 10
    assert all((fitted / "figures" / name).stat().st_size > 5000 for name in files)
    card = (fitted / "MODEL_CARD.md").read_text()
    assert f"**C-index {report(fitted)['outer']['c_index']:.3f} (" in card
    survival = (fitted / "figures" / "kaplan-meier.svg").read_text()
    assert "at risk" in survival
    assert "hazard ratio" in survival


def test_the_same_seed_writes_the_same_bytes(
    fitted: Path, made_sources: Sources, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Manifest, report, card and a figure, byte for byte."""
    monkeypatch.setattr(command, "QUICK", SMALL)
    monkeypatch.setattr(figures, "_DPI", 20)
    told: list[int] = []
    fit(made_sources, tmp_path / "planted", quick=True, told=lambda: told.append(1))
    for name in ("manifest.json", "report.json", "MODEL_CARD.md", "figures/auc.svg"):
        assert (tmp_path / "planted" / name).read_bytes() == (fitted / name).read_bytes(), name
    assert len(told) == command.fits(quick=True)


def test_a_region_that_nobody_names_is_told_before_anything_runs(made_sources: Sources, tmp_path: Path) -> None:
    """A prefix of an unknown region needs words, and the words must name each fact."""
    text = made_sources.features.read_text().replace("tumor_", "spleen_")
    (tmp_path / "features.csv").write_text(text)
    strange = Sources(tmp_path / "features.csv", made_sources.followup, ID, TIME, EVENT, "spleen_")
    with pytest.raises(WrongCohort, match="nobody says what region spleen_ is"):
        fit(strange, tmp_path / "out", quick=True)
    words = tmp_path / "about.toml"
    words.write_text('id = "x"\n')
    with pytest.raises(WrongCohort, match=r"about.toml: title: Field required"):
        fit(strange, tmp_path / "out", words, quick=True)
    assert not (tmp_path / "out").exists()


def test_the_words_of_the_shipped_signatures_are_in_the_form() -> None:
    """Each about.toml of models/signatures names its own folder and what a study must meet."""
    models = ROOT / "models" / "signatures"
    found = sorted(models.glob("*/about.toml"))
    assert {path.parent.name for path in found} == {"tcia-crlm-os", "tcia-crlm-os-liver", "tcia-crlm-os-clinical"}
    for path in found:
        said = about.read(path)
        assert said.id == path.parent.name
        assert said.requires.lossless


@pytest.mark.parametrize("id_", ["tcia-crlm-os", "tcia-crlm-os-liver", "tcia-crlm-os-clinical"])
def test_the_shipped_signatures_are_what_this_code_gives(test_data: Path, id_: str) -> None:
    """Extraction settings are those of the diagnostics columns, the files are those of the digests, the plan is this
    code's, and the procedure on all patients gives the numbers of the manifest anew. The outer folds are not run.
    """
    shipped = ROOT / "models" / folder.FOLDER / id_
    signature, told = folder.read(ROOT / "models", id_), report(shipped)
    columns = {name: tuple(value) if isinstance(value, list) else value for name, value in told["columns"].items()}
    tables = {name: test_data / "tcia-crlm" / columns[name] for name in ("features", "followup")}
    sources = Sources(**columns | tables)
    read = cohort.read(sources)
    assert signature.training is not None
    assert signature.groups is not None
    assert signature.training.data == read.digests
    assert (signature.training.patients, signature.training.events) == (len(read.ids), read.event.sum())
    assert (signature.extraction is None) == (not signature.rois)
    if signature.extraction is not None:
        assert signature.extraction.settings == read.extraction["settings"]
        assert signature.extraction.image_types == read.extraction["image_types"]
    assert told["plan"] == json.loads(json.dumps(asdict(Plan())))
    seed = np.random.SeedSequence(told["seed"]).spawn(5)[1]
    fitted = procedure.fit(read.values, read.time, read.event, Plan(), seed)
    named = [(one.name, one.logarithm) for one in signature.features]
    assert named == [(read.names[place], read.names[place] in read.logarithms) for place in fitted.places]
    for name, found in (("mean", fitted.mean), ("sd", fitted.sd), ("coefficient", fitted.coefficients)):
        assert [getattr(one, name) for one in signature.features] == pytest.approx(found.tolist(), rel=1e-9), name
    assert signature.groups.cut_offs == pytest.approx((fitted.cut_off,), rel=1e-9, abs=1e-12)
    card = (shipped / "MODEL_CARD.md").read_text()
    assert f"**C-index {told['outer']['c_index']:.3f} (" in card
    assert "The limit was 90 % until" in card
    assert f"--out {id_}" in card


def test_kaplan_meier_by_hand() -> None:
    """Five patients, deaths at 1 and 3, one censored at 2: 4/5, then 4/5 x 2/3; nobody is censored before 2."""
    time, event = np.array([1.0, 2.0, 3.0, 4.0, 5.0]), np.array([True, False, True, False, False])
    curve = kaplan_meier(time, event)
    assert curve.survival == pytest.approx([1, 0.8, 0.8 * 2 / 3])
    assert curve.at(2.9)[0] == pytest.approx(0.8)
    # log-log: S ** exp(+-1.96 sqrt(d / (n (n - d))) / ln S)
    width = math.exp(1.959964 * math.sqrt(1 / 20) / abs(math.log(0.8)))
    assert curve.at(1)[1:] == pytest.approx((0.8**width, 0.8 ** (1 / width)), abs=1e-6)
    assert uncensored(time, event) == pytest.approx([1, 1, 0.75, 0.75, 0.375])


def test_strata_are_kept_apart() -> None:
    """One group is commoner where everybody lives longer, and makes no difference beside it: with strata the hazard
    ratio is 1, without them it looks protective.
    """
    time = np.repeat(np.concatenate([np.arange(1.0, 11.0), np.arange(21.0, 31.0)]), 3)
    group = np.concatenate([np.tile([0.0, 0.0, 1.0], 10), np.tile([0.0, 1.0, 1.0], 10)])
    event, stratum = np.ones(60, dtype=bool), np.repeat([0, 1], 30)
    apart = effect(group, time, event, stratum)
    assert (apart.log_ratio, apart.p) == pytest.approx((0, 1), abs=1e-6)
    assert effect(group, time, event, np.zeros(60, dtype=np.intp)).log_ratio < -0.3


def test_a_prediction_without_signal_is_the_survival_of_all() -> None:
    """With a score of 0 for everybody it is exp of Nelson-Aalen's sum."""
    time, event = np.array([1.0, 2.0, 3.0, 4.0]), np.array([True, True, False, True])
    at_two = predicted(np.zeros(4), time, event, np.zeros(2), 2.5)
    assert at_two == pytest.approx(math.exp(-(1 / 4 + 1 / 3)))
    assert predicted(np.zeros(4), time, event, np.array([1.0]), 2.5)[0] < at_two[0]
