"""PyRadiomics' parameter file: what is read, and what is refused by its name."""

import re
from pathlib import Path
from typing import Any

import pytest
from made_regions import SETTINGS

from node.core.errors import NotExtractable
from node.core.reasons import RegionRefusal
from workers.measurement.radiomics.classes import CLASSES
from workers.measurement.radiomics.oracle import document_of
from workers.measurement.radiomics.parameters import OFFERED, load, parse

WHOLE = """
imageType:
  Original: {}
  Wavelet: {binWidth: 10, wavelet: coif1}
featureClass:
  shape:
  glcm: [Idm, Contrast]
setting:
  binWidth: 12.5
  resampledPixelSpacing: [1, 1, 0]
  force2D: true
"""


def test_a_file_is_read(tmp_path: Path) -> None:
    """Settings, image types with their own, classes with all or some features, in the order of the file."""
    path = tmp_path / "params.yaml"
    path.write_text(WHOLE)
    found = load(path)
    assert found.settings.bin_width == 12.5
    assert found.settings.resampled_pixel_spacing == (1, 1, 0)
    assert [one.name for one in found.image_types] == ["Original", "Wavelet"]
    assert [one.settings.bin_width for one in found.image_types] == [12.5, 10]
    assert found.classes == (("shape", CLASSES["shape"].NAMES), ("glcm", ("Idm", "Contrast")))


def test_without_words_all_classes_of_the_image_itself() -> None:
    """As PyRadiomics: Original, all classes in alphabetical order, its defaults."""
    found = parse({})
    assert [one.name for one in found.image_types] == ["Original"]
    assert [name for name, _ in found.classes] == list(CLASSES)
    assert sum(len(features) for _, features in found.classes) == 107
    assert found.of_label(4).settings.label == found.of_label(4).image_types[0].settings.label == 4


@pytest.mark.parametrize(
    ("document", "name"),
    [
        ({"settings": {}}, "settings"),
        ({"voxelSetting": {"kernelRadius": 1}}, "voxelSetting"),
        ({"setting": {"sigma": [1]}}, "setting.sigma"),
        ({"setting": {"label_channel": 0}}, "setting.label_channel"),
        ({"setting": {"binwidth": 25}}, "setting.binwidth"),
        ({"setting": {"binWidth": 0}}, "setting.binWidth"),
        ({"setting": {"binWidth": None}}, "setting.binWidth"),
        ({"setting": {"binWidth": float("nan")}}, "setting.binWidth"),
        ({"setting": {"binCount": 2.5}}, "setting.binCount"),
        ({"setting": {"normalize": 1}}, "setting.normalize"),
        ({"setting": {"padDistance": True}}, "setting.padDistance"),
        ({"setting": {"interpolator": "sitkGaussian"}}, "setting.interpolator"),
        ({"setting": {"interpolator": 3}}, "setting.interpolator"),
        ({"setting": {"resampledPixelSpacing": [1, 1]}}, "setting.resampledPixelSpacing"),
        ({"setting": {"resegmentRange": [1, 2, 3]}}, "setting.resegmentRange"),
        ({"setting": {"resegmentMode": "otsu"}}, "setting.resegmentMode"),
        ({"setting": {"distances": []}}, "setting.distances"),
        ({"setting": {"force2Ddimension": 3}}, "setting.force2Ddimension"),
        ({"setting": {"minimumROIDimensions": 0}}, "setting.minimumROIDimensions"),
        ({"setting": {"weightingNorm": ["euclidean"]}}, "setting.weightingNorm"),
        ({"setting": [1]}, "setting"),
        ({"imageType": None}, "imageType"),
        ({"imageType": {"LoG": {"sigma": [1]}}}, "imageType.LoG"),
        ({"imageType": {"Wavelet": {"wavelet": "haar"}}}, "imageType.Wavelet.wavelet"),
        ({"imageType": {"Wavelet": {"level": 2}}}, "imageType.Wavelet.level"),
        ({"imageType": {"Wavelet": {"start_level": False}}}, "imageType.Wavelet.start_level"),
        ({"imageType": {"Original": {"wavelet": "coif1"}}}, "imageType.Original.wavelet"),
        ({"imageType": {"Original": {"resampledPixelSpacing": [1, 1, 1]}}}, "imageType.Original.resampledPixelSpacing"),
        ({"featureClass": {"shape2D": None}}, "featureClass.shape2D"),
        ({"featureClass": {"glcm": ["Homogeneity1"]}}, "featureClass.glcm.Homogeneity1"),
        ({"featureClass": {"glcm": "Idm"}}, "featureClass.glcm"),
        ({"featureClass": None}, "featureClass"),
        ({"setting": {"force2D": True}}, "featureClass"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_is_not_offered_is_refused_by_its_name(document: dict[str, Any], name: str) -> None:
    """The refusal begins with where it stands in the file."""
    with pytest.raises(NotExtractable) as refused:
        parse(document)
    assert refused.value.code == RegionRefusal.PARAMETERS_INVALID
    assert refused.value.detail.startswith(f"{name}:")


def test_each_setting_refuses_what_it_cannot_be() -> None:
    """Also within an image type, by its name; of PyRadiomics' other settings and image types each one is refused."""
    offered = [({"setting": {name: {}}}, f"setting.{name}") for name in OFFERED]
    others = [({"setting": {name: 1}}, f"setting.{name}") for name in ("voxelBased", "maskedKernel", "kernelRadius")]
    types = ("LoG", "Square", "SquareRoot", "Logarithm", "Exponential", "Gradient", "LBP2D", "LBP3D")
    for document, name in (*offered, *others, *(({"imageType": {one: {}}}, f"imageType.{one}") for one in types)):
        with pytest.raises(NotExtractable) as refused:
            parse(document)
        assert refused.value.detail.startswith(f"{name}:"), name


def test_each_feature_names_its_ibsi_code_or_that_there_is_none() -> None:
    """In the table of its module: a code of four signs, or a dash."""
    for module in CLASSES.values():
        lines = (module.__doc__ or "").splitlines()
        for feature in module.NAMES:
            [line] = [one for one in lines if re.match(rf"(\w+, )*{feature}(, \w+)*  +", one)]
            assert re.search(r"  ([0-9A-Z]{4}|-)(, [0-9A-Z]{4})*(  |$)", line), feature


@pytest.mark.parametrize("content", [b"a: [1", b"\xff\xfe\x00", None], ids=["yaml", "bytes", "missing"])
def test_a_file_that_cannot_be_read_is_refused(content: bytes | None, tmp_path: Path) -> None:
    """One sentence with the name of the file."""
    path = tmp_path / "params.yaml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(NotExtractable, match=r"params\.yaml"):
        load(path)


@pytest.mark.parametrize("name", SETTINGS)
def test_what_is_accepted_is_accepted_by_pyradiomics(name: str) -> None:
    """The same settings, and the same account of them."""
    extractor = pytest.importorskip("radiomics.featureextractor")
    parameters = parse({"setting": SETTINGS[name], "imageType": {"Original": None, "Wavelet": None}})
    theirs = extractor.RadiomicsFeatureExtractor(document_of(parameters))
    assert theirs.settings == parameters.given
    assert list(theirs.enabledImagetypes) == [one.name for one in parameters.image_types]


def test_a_feature_that_is_named_twice_is_asked_once() -> None:
    """As PyRadiomics, which keeps them by name."""
    parsed = parse({"featureClass": {"firstorder": ["Mean", "Range", "Mean"]}})
    assert dict(parsed.classes)["firstorder"] == ("Mean", "Range")
