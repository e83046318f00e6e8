"""Both engines: names, values, diagnostics, refusals."""

import math
from typing import Any

import pytest
import SimpleITK
from made_regions import SETTINGS, TYPES, Made, made

from node.core.errors import NotExtractable
from node.core.reasons import RegionRefusal
from workers.measurement.radiomics.engine import Engine, extract
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
