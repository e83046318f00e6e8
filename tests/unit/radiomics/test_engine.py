"""Both engines: names, values, diagnostics, refusals."""

import math
from typing import Any

import pytest
import SimpleITK
from made_regions import SETTINGS, TYPES, Made, made, placed

from node.core.errors import NotExtractable
from node.core.reasons import RegionRefusal
from workers.measurement.radiomics import fast
from workers.measurement.radiomics.engine import Engine, extract, extract_each
from workers.measurement.radiomics.features import Features
from workers.measurement.radiomics.parameters import Parameters, parse

pytest.importorskip("radiomics")
BOTH = {"Original": None, "Wavelet": None}


def close(ours: Any, theirs: Any) -> bool:
    if isinstance(theirs, tuple):
        return len(ours) == len(theirs) and all(map(close, ours, theirs))
    if isinstance(theirs, float):
        return math.isclose(ours, theirs, rel_tol=1e-6, abs_tol=1e-9) or (math.isnan(ours) and math.isnan(theirs))
    return bool(ours == theirs)


def unlike(one: Made, parameters: Parameters) -> list[str]:
    """Return the features and diagnostics in which the engines differ."""
    ours, theirs = (extract(one.image, one.mask, parameters, engine) for engine in Engine)
    assert list(ours.values) == list(theirs.values)
    assert list(ours.diagnostics) == list(theirs.diagnostics)
    found: list[str] = []
    for a, b in ((ours.values, theirs.values), (ours.diagnostics, theirs.diagnostics)):
        found += [f"{name}: {a[name]!r} for {b[name]!r}" for name in a if not close(a[name], b[name])]
    return [one for one in found if not one.startswith("diagnostics_Versions_PyRadiomics")]


@pytest.mark.parametrize("name", SETTINGS)
def test_851_features_are_those_of_pyradiomics(name: str) -> None:
    """Each within 1e-6, the diagnostics too, for each settings file."""
    one = made(TYPES[len(name) % 2], seed=len(name))
    parameters = parse({"setting": {"binWidth": 20, **SETTINGS[name]}, "imageType": BOTH})
    assert unlike(one, parameters) == []


@pytest.mark.parametrize("crop", [False, True], ids=["whole", "cropped"])
def test_regions_that_overlap_are_filtered_together(*, crop: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Their features are those of each alone, in its place; one that has none says why; far ones stand alone."""
    one = made(shape=(20, 40, 44))
    labels = SimpleITK.GetArrayFromImage(one.mask)
    labels[3:6, 6:12, 9:15] = 2  # inside the first one
    labels[12:18, 30:36, 30:36] = 3
    labels[labels == 1] = 4
    labels[2:5, 4:8, -3:] = 0
    mask = placed(labels)
    parameters = parse({"setting": {"preCrop": crop, "padDistance": 4, "binWidth": 20}, "imageType": {"Wavelet": None}})
    asked = [(mask, parameters.of_label(label)) for label in (4, 9, 2, 3)]
    alone = [extract(one.image, *asked[number]) for number in (0, 2, 3)]
    filtered = []
    bands = fast.bands
    monkeypatch.setattr(fast, "bands", lambda *words: (filtered.append(1), bands(*words))[1])
    together = extract_each(one.image, asked)
    assert len(filtered) == 2
    assert isinstance(together[1], NotExtractable)
    assert [together[0], together[2], together[3]] == alone


def test_planes_and_settings_of_an_image_type() -> None:
    """With force2D the bands are of planes; an image type has its own width and distances."""
    wanted = {"firstorder": None, "glcm": None, "gldm": ["LargeDependenceEmphasis"], "shape": ["Sphericity"]}
    own = {"Original": {"binWidth": 40, "distances": [2]}, "Wavelet": {"binCount": 6}}
    settings = {"force2D": True, "force2Ddimension": 0, "resegmentRange": [-20, 100]}
    assert unlike(made(), parse({"setting": settings, "imageType": own, "featureClass": wanted})) == []


def test_a_file_without_diagnostics() -> None:
    """additionalInfo false leaves them out in both."""
    parameters = parse({"setting": {"additionalInfo": False}, "featureClass": {"firstorder": ["Mean"]}})
    assert [few(engine, parameters).diagnostics for engine in Engine] == [{}, {}]


def few(engine: Engine, parameters: Parameters) -> Features:
    one = made()
    return extract(one.image, one.mask, parameters, engine)


@pytest.mark.parametrize("engine", Engine)
def test_both_engines_refuse_with_the_same_code(engine: Engine) -> None:
    """What ours refuses, PyRadiomics refuses too, and its words are replaced by the code."""
    one = made()
    for settings, code in (
        ({"label": 5}, RegionRefusal.MASK_EMPTY),
        ({"minimumROISize": 10**6}, RegionRefusal.REGION_TOO_SMALL),
        ({"resegmentRange": [5000, 6000]}, RegionRefusal.REGION_TOO_SMALL),
    ):
        with pytest.raises(NotExtractable) as refused:
            extract(one.image, one.mask, parse({"setting": settings}), engine)
        assert refused.value.code == code
    with pytest.raises(NotExtractable) as refused:
        extract(one.image, one.mask[1:, :, :], parse({}), engine)
    assert refused.value.code == RegionRefusal.MASK_MISMATCH


def test_pyradiomics_leaves_the_tolerance_of_itk_as_it_was() -> None:
    """It sets one for the whole process."""
    before = SimpleITK.ProcessObject.GetGlobalDefaultCoordinateTolerance()
    one = made()
    asked = {"setting": {"geometryTolerance": 0.5}, "featureClass": {"firstorder": ["Mean"]}}
    extract(one.image, one.mask, parse(asked), Engine.PYRADIOMICS)
    assert SimpleITK.ProcessObject.GetGlobalDefaultCoordinateTolerance() == before
