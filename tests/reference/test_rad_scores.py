"""Rad scores of whole studies: of a phantom by nothing but its headers, of a real patient on the cohort's label set."""

import csv
import json
import math
from collections.abc import Callable
from io import StringIO
from pathlib import Path
from threading import Event
from typing import Any

import numpy as np
import pytest
import SimpleITK
from made_seg import Drawn, write_seg
from pydicom import dcmread
from rich.console import Console
from scipy import ndimage
from sr_reading import children, name, number, walk
from studies import Study, analyse

from node.core.codes import Structure
from node.core.settings import Settings
from node.phantom import PhantomFiles, covering_grid, standard_anatomy, write_phantom
from node.review import pages
from node.review.rules import RULES
from node.review.subject import subjects
from node.review.verdict import State, judge
from workers.measurement.radiomics import images, table
from workers.records import AlgorithmType, Region
from workers.signature import folder
from workers.signature.manifest import Signature

TUMOUR, LIVER, KHA = "tcia-crlm-os", "tcia-crlm-os-liver", "kha-2026"
MODELS = Settings().models
# The patient of the public collection has a name of one component, of which highdicom warns.
pytestmark = pytest.mark.filterwarnings("ignore:The string .* is unlikely to represent the intended person name")


def answer(study: Study, signature: str) -> dict[str, Any]:
    [one] = [one for one in study.document["rad_scores"] if one["signature"] == signature]
    return dict(one)


def by_hand(signature: Signature, image: Path, mask: SimpleITK.Image, work: Path) -> tuple[float, dict[str, float]]:
    """Return the score from the table that `crlm-node radiomics` writes, and what each feature gives to it."""
    assert signature.extraction is not None
    SimpleITK.WriteImage(mask, str(work / "mask.nrrd"))
    asked = {
        "setting": {**signature.extraction.settings, "label": 1},
        "imageType": signature.extraction.image_types,
        "featureClass": signature.extraction.feature_classes,
    }
    (work / "params.yaml").write_text(json.dumps(asked))
    region, out = table.one(image, work / "mask.nrrd", None), work / "features.csv"
    table.run([region], work / "params.yaml", "fast", out, stop=Event(), on_end=lambda _, why: why and pytest.fail(why))
    with out.open(encoding="utf-8", newline="") as file:
        [row] = csv.DictReader(file)
    points = {one.name: one.coefficient * (float(row[one.name]) - one.mean) / one.sd for one in signature.features}
    return math.fsum(points.values()), points


def mask_of(region: Region, study: Study) -> SimpleITK.Image:
    return images.of_region(region, study.volume.geometry)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> PhantomFiles:
    """The standard abdomen, coarse, as it would come before a liver resection."""
    grid = covering_grid(standard_anatomy(), spacing_mm=(5.0, 4.0, 4.0))
    return write_phantom(tmp_path_factory.mktemp("planned"), grid=grid, planned=True)


@pytest.fixture(scope="module")
def planned(files: PhantomFiles, tmp_path_factory: pytest.TempPathFactory) -> Study:
    """Its result."""
    return analyse(files.ct[0].parent, files.seg, tmp_path_factory.mktemp("home"))


def test_the_score_of_a_phantom_is_that_of_its_features(planned: Study, files: PhantomFiles, tmp_path: Path) -> None:
    """By nothing but its headers it meets what is required; score and contributions are those by hand, to 1e-6."""
    lesions = planned.labels.all(Structure.LESION)
    largest = max(lesions, key=lambda one: one.region.count).region
    signature = folder.read(MODELS, TUMOUR)
    score, points = by_hand(signature, files.ct[0].parent, mask_of(largest, planned), tmp_path)
    one = answer(planned, TUMOUR)
    assert one["score"] == pytest.approx(score, rel=1e-6)
    assert {part["feature"]: part["points"] for part in one["contributions"]} == pytest.approx(points, rel=1e-6)
    assert signature.groups is not None
    assert one["group"] == signature.groups.of(score)
    assert planned.value(f"rad_score.{TUMOUR}.score") == one["score"]
    assert planned.document["measurements"][f"rad_score.{TUMOUR}.group"]["value"] == one["group"]
    assert answer(planned, KHA)["reason"] == "signature-incomplete"
    assert answer(planned, LIVER)["reason"] == "roi-mismatch"


def test_the_score_of_a_phantom_is_in_its_archival_sr(planned: Study) -> None:
    """Score and contributions are numbers with codes and units in a container of their own."""
    one = answer(planned, TUMOUR)
    [box] = [item for item in walk(planned.dataset("sr.dcm")) if name(item) == "rad-score-by"]
    assert [number(item) for item in children(box, "NUM", "rad-score")] == [(round(one["score"], 4), "1")]
    told = [number(item)[0] for item in children(box, "NUM", "rad-contribution")]
    assert told == [round(part["points"], 4) for part in one["contributions"]]
    assert [item.TextValue for item in children(box, "TEXT", "rad-group")] == [one["group"]]


def test_the_score_of_a_phantom_is_a_page_of_its_summary(planned: Study) -> None:
    """Behind the cover, as a frame of the Summary and as a picture."""
    [picture] = [file for file in planned.outcome.files if "rad-score" in file]
    assert picture.startswith("key-images/")
    assert planned.dataset("summary.dcm").NumberOfFrames == len(
        [file for file in planned.outcome.files if file.startswith("key-images/")]
    )


def test_the_report_commands_know_the_score(planned: Study, files: PhantomFiles) -> None:
    """`report check` finds no fault in SR and Summary, `report show` prints the score and what each feature gives."""
    for subject in subjects([planned.path("sr.dcm"), planned.path("summary.dcm")], [files.ct[0].parent]):
        assert [one.rule.id for one in judge(subject, RULES[subject.kind]) if one.state is State.BROKEN] == []
    console = Console(file=StringIO(), width=120)
    assert pages.show(console, planned.path("sr.dcm"), identity=False)
    assert isinstance(console.file, StringIO)
    one, text = answer(planned, TUMOUR), console.file.getvalue()
    assert f"{round(one['score'], 4):g}" in text
    assert all(part["feature"] in text for part in one["contributions"])


def test_what_the_extraction_took_is_in_the_run_manifest(planned: Study) -> None:
    """Which region, how many voxels and features, how long; the digests of the manifests that were asked."""
    run = json.loads(planned.work.read("run.json"))
    [took] = run["extracted"]
    assert (took["roi"], took["features"]) == ("tumor", 93)
    assert 0 < took["seconds"] < run["seconds"]["measure"]
    assert run["signatures"][TUMOUR] == answer(planned, TUMOUR)["digest"]


def test_a_form_that_contradicts_the_headers_leaves_nothing_known(files: PhantomFiles, tmp_path: Path) -> None:
    """The site has entered another indication than the request says: whose word counts, nobody knows."""
    form = tmp_path / "form.csv"
    id_ = dcmread(files.ct[0], stop_before_pixels=True).PatientID
    form.write_text(f"patient_id,indication\n{id_},thermal-ablation\n")
    study = analyse(files.ct[0].parent, files.seg, tmp_path, Settings(patient_facts=form, signatures=(TUMOUR,)))
    one = answer(study, TUMOUR)
    assert (one["reason"], one["why"]) == ("out-of-scope", ["indication: needs liver-resection, not known"])


@pytest.fixture(scope="module")
def patient(test_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[AlgorithmType, list[str]], Study]:
    """Return a function that measures CRLM-CT-1004 on masks that are drawn here, with the cohort's labels or others.

    The site's rules know that its `CT CAP` is portal venous, and its form that the patient waits for a resection.
    """
    home = tmp_path_factory.mktemp("patient")
    form, rules = home / "form.csv", home / "rules.toml"
    form.write_text("patient_id,untreated_tumour,indication\nCRLM-CT-1004,yes,liver-resection\n")
    rules.write_text("[phases]\nportal-venous = ['\\bct cap\\b']\n")
    settings = Settings(patient_facts=form, series_rules=rules)
    ct = test_data / "crlm-ct-1004"
    read = analyse(ct, None, home / "read", settings).volume
    masks = masks_of(read.hu)
    sources = [Path(one.path) for one in read.instances]

    def measure(by: AlgorithmType, labels: list[str]) -> Study:
        place = home / f"{by}-{len(labels)}"
        segments = [Drawn(masks[label], label, by=by) for label in labels]
        write_seg(place / "seg.dcm", sources, read.geometry, segments)
        return analyse(ct, place / "seg.dcm", place, settings)

    return measure


def masks_of(hu: np.ndarray) -> dict[str, np.ndarray]:
    """Return masks with the cohort's labels: the bright soft tissue that is the liver, and parts of it."""
    smooth = ndimage.uniform_filter(np.clip(hu, -200, 300).astype(np.float32), (1, 5, 5))
    pieces, _ = ndimage.label(ndimage.binary_erosion((smooth > 80) & (smooth < 150), np.ones((1, 5, 5))))
    liver = pieces == np.bincount(pieces.ravel())[1:].argmax() + 1
    parts = {label: np.zeros_like(liver) for label in ("Liver_Remnant", "Hepatic", "Portal", "Tumor_1")}
    parts["Liver_Remnant"][:, :, 140:] = True
    parts["Hepatic"][20:30, 200:210, 120:130] = True
    parts["Portal"][18:24, 240:250, 130:145] = True
    parts["Tumor_1"][22:27, 260:285, 110:135] = True
    return {"Liver": liver, **{label: mask & liver for label, mask in parts.items()}}


COHORT = ["Liver", "Liver_Remnant", "Hepatic", "Portal", "Tumor_1"]


def test_the_liver_of_a_real_patient_is_scored_on_the_cohorts_labels(
    patient: Callable[[AlgorithmType, list[str]], Study], test_data: Path, tmp_path: Path
) -> None:
    """The region is the liver without all other masks, remnant and vessels included; the score is that by hand."""
    study = patient(AlgorithmType.MANUAL, COHORT)
    [whole] = study.document["quality"]["segmentation"]["imported"]
    assert whole["labels"] == COHORT
    masks = masks_of(study.volume.hu)
    left = masks["Liver"] & ~np.any([masks[label] for label in COHORT[1:]], axis=0)
    region = Region.of(left)
    assert region is not None
    run = json.loads(study.work.read("run.json"))
    assert {one["roi"]: one["voxels"] for one in run["extracted"]}["liver"] == left.sum()
    score, points = by_hand(folder.read(MODELS, LIVER), test_data / "crlm-ct-1004", mask_of(region, study), tmp_path)
    one = answer(study, LIVER)
    assert one["score"] == pytest.approx(score, rel=1e-6)
    assert {part["feature"]: part["points"] for part in one["contributions"]} == pytest.approx(points, rel=1e-6)


@pytest.mark.parametrize(
    ("by", "labels", "why"),
    [
        (AlgorithmType.AUTOMATIC, COHORT, "is imported-automatic"),
        (AlgorithmType.MANUAL, ["Liver", "Tumor_1"], "has liver, tumor"),
    ],
)
def test_the_liver_of_another_kind_of_mask_is_not_scored(
    patient: Callable[[AlgorithmType, list[str]], Study], by: AlgorithmType, labels: list[str], why: str
) -> None:
    """A network's masks, though they came as a SEG, and another set of labels: `roi-mismatch`."""
    one = answer(patient(by, labels), LIVER)
    assert (one["reason"], one["score"]) == ("roi-mismatch", None)
    assert one["why"][0].endswith(why)


def test_a_native_ct_is_out_of_scope(abdomen: Study) -> None:
    """The real abdomen is of another phase than any signature was made from."""
    for signature in (TUMOUR, LIVER):
        one = answer(abdomen, signature)
        assert (one["reason"], one["score"]) == ("out-of-scope", None)
        assert one["why"][0] == "contrast_phase: needs portal-venous, is native"
