"""What to extract and how: PyRadiomics' parameter file as frozen records.

Comes in: the YAML (or JSON) file that PyRadiomics reads. Goes out: `Parameters`. What can go wrong: a key or a value
that this project does not offer is refused by its name (`parameters-invalid`), never ignored, also where PyRadiomics
would ignore it. Next: `prepare`, the image types, the classes of features.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from math import isfinite
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from node.core.errors import NotExtractable
from node.core.reasons import RegionRefusal
from workers.measurement.radiomics.classes import CLASSES, SHAPE

IMAGE_TYPES = ("Original", "Wavelet")
WAVELET = "coif1"
# What PyRadiomics' extractor starts from, in the order in which it reports it.
DEFAULTS: Mapping[str, Any] = {
    "minimumROIDimensions": 2,
    "minimumROISize": None,
    "normalize": False,
    "normalizeScale": 1,
    "removeOutliers": None,
    "resampledPixelSpacing": None,
    "interpolator": "sitkBSpline",
    "preCrop": False,
    "padDistance": 5,
    "distances": [1],
    "force2D": False,
    "force2Ddimension": 0,
    "resegmentRange": None,
    "label": 1,
    "additionalInfo": True,
}


@dataclass(frozen=True)
class Settings:
    """PyRadiomics' settings under its names in snake case; spacing is in the order of a file (x, y, z) [mm].

    Numbers keep the type that the file gives them, since PyRadiomics computes with them as they are.
    """

    minimum_roi_dimensions: int = 2
    minimum_roi_size: int | None = None
    geometry_tolerance: float | None = None
    correct_mask: bool = False
    label: int = 1
    normalize: bool = False
    normalize_scale: float = 1
    remove_outliers: float | None = None
    resampled_pixel_spacing: tuple[float, float, float] | None = None
    interpolator: str | None = "sitkBSpline"
    pre_crop: bool = False
    pad_distance: int = 5
    resegment_range: tuple[float, ...] | None = None
    resegment_mode: str = "absolute"
    resegment_shape: bool = False
    bin_width: float = 25
    bin_count: int | None = None
    distances: tuple[int, ...] = (1,)
    force2d: bool = False
    force2d_dimension: int = 0
    weighting_norm: str | None = None
    symmetrical_glcm: bool = True
    gldm_a: int = 0
    voxel_array_shift: int = 0
    additional_info: bool = True


@dataclass(frozen=True)
class ImageType:
    """An image that features are computed of: the prepared one, or its wavelet bands.

    `settings` are those of the file with the type's own in place of them; `given` are the type's own as the file says.
    """

    name: str
    settings: Settings
    given: Mapping[str, Any]


@dataclass(frozen=True)
class Parameters:
    """What a parameter file asks for.

    Parameters
    ----------
    classes
        PyRadiomics' name of each class with the names of its features, both in the order of the columns.
    given
        The settings as PyRadiomics reports them: its defaults, then what the file says.
    """

    settings: Settings
    image_types: tuple[ImageType, ...]
    classes: tuple[tuple[str, tuple[str, ...]], ...]
    given: Mapping[str, Any] = field(default_factory=lambda: dict(DEFAULTS))

    def of_label(self, label: int) -> "Parameters":
        """Return the same for another label of the mask."""
        types = tuple(replace(one, settings=replace(one.settings, label=label)) for one in self.image_types)
        return replace(
            self,
            settings=replace(self.settings, label=label),
            image_types=types,
            given={**self.given, "label": label},
        )


def load(path: Path) -> Parameters:
    """Read a parameter file.

    Raises
    ------
    NotExtractable
        It cannot be read, or asks for what is not offered.
    """
    try:
        document = YAML(typ="safe", pure=True).load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, YAMLError) as error:
        reason = " ".join(str(error).split())
        raise NotExtractable(RegionRefusal.PARAMETERS_INVALID, f"{path.name}: {reason[:200]}") from error
    return parse(document)


def parse(document: Any) -> Parameters:
    """Read the content of a parameter file: `setting`, `imageType`, `featureClass`.

    Raises
    ------
    NotExtractable
        It asks for what is not offered.
    """
    parts = _mapping(document, "the file")
    for key in parts:
        if key not in ("setting", "imageType", "featureClass"):
            raise _refused(str(key), "not offered")
    own = _mapping(parts.get("setting", {}), "setting")
    settings = _settings(own, Settings(), "setting", _RULES)
    given = {**DEFAULTS, **{str(key): value for key, value in own.items()}}
    if parts.get("imageType") is None and "imageType" in parts:
        raise _refused("imageType", "holds nothing")
    types = _mapping(parts.get("imageType", {}), "imageType") or {"Original": {}}
    return Parameters(
        settings,
        tuple(_image_type(str(name), one, settings) for name, one in types.items()),
        _classes(parts, settings),
        given,
    )


def _image_type(name: str, own: Any, settings: Settings) -> ImageType:
    where = f"imageType.{name}"
    if name not in IMAGE_TYPES:
        raise _refused(where, f"not offered: {' and '.join(IMAGE_TYPES)} are")
    rest = dict(_mapping(own, where))
    given = dict(rest)
    if name == "Wavelet":
        for key, only in _WAVELET_ONLY.items():
            if (value := rest.pop(key, only)) != only or isinstance(value, bool):
                raise _refused(f"{where}.{key}", f"{value!r} is not offered: {only!r} is")
    return ImageType(name, _settings(rest, settings, where, {key: _RULES[key] for key in _OF_A_TYPE}), given)


def _classes(parts: Mapping[str, Any], settings: Settings) -> tuple[tuple[str, tuple[str, ...]], ...]:
    asked = _mapping(parts.get("featureClass", {}), "featureClass")
    if "featureClass" in parts and parts["featureClass"] is None:
        raise _refused("featureClass", "holds nothing")
    if not asked and settings.force2d:
        raise _refused("featureClass", "must be named with force2D, or PyRadiomics adds shape2D, which is not offered")
    found = []
    for name, features in (asked or dict.fromkeys(CLASSES)).items():
        where = f"featureClass.{name}"
        if name not in CLASSES:
            raise _refused(where, f"not offered: {', '.join(CLASSES)} are")
        if features is not None and not isinstance(features, list):
            raise _refused(where, "is not a list of features")
        known = CLASSES[name].NAMES
        for one in features or ():
            if one not in known:
                raise _refused(f"{where}.{one}", "not offered")
        found.append((str(name), tuple(dict.fromkeys(features or ())) or known))
    return tuple(found)


def of_shape(parameters: Parameters) -> tuple[str, ...]:
    """Return the features of shape that are asked for."""
    return dict(parameters.classes).get(SHAPE, ())


def _settings(own: Mapping[Any, Any], base: Settings, where: str, rules: Mapping[str, "_Rule"]) -> Settings:
    """Return settings with those of a mapping in place."""
    changed: dict[str, Any] = {}
    for key, value in own.items():
        if key not in rules:
            raise _refused(f"{where}.{key}", "not offered")
        name, read = rules[key]
        try:
            changed[name] = read(value)
        except _WrongValue as error:
            raise _refused(f"{where}.{key}", f"{value!r} {error}") from error
    return replace(base, **changed)


def _mapping(value: Any, where: str) -> Mapping[Any, Any]:
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise _refused(where, "is not a mapping of names to values")
    return value


def _refused(where: str, why: str) -> NotExtractable:
    return NotExtractable(RegionRefusal.PARAMETERS_INVALID, f"{where}: {why}")


_Reader = Callable[[Any], Any]
_Rule = tuple[str, _Reader]


class _WrongValue(ValueError):
    """A value that a setting cannot have; the message says why."""


def _flag(value: Any) -> bool:
    if not isinstance(value, bool):
        raise _WrongValue("is not true or false")
    return value


def _any_whole(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise _WrongValue("is not a whole number")
    return value


def _whole(least: int, most: int | None = None) -> _Reader:
    def read(value: Any) -> int:
        if _any_whole(value) < least or (most is not None and value > most):
            raise _WrongValue(f"is not in {least} to {most}" if most is not None else f"is below {least}")
        return _any_whole(value)

    return read


def _number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not isfinite(value):
        raise _WrongValue("is not a number")
    return value


def _positive(value: Any) -> float:
    if _number(value) <= 0:
        raise _WrongValue("is not above 0")
    return _number(value)


def _not_negative(value: Any) -> float:
    if _number(value) < 0:
        raise _WrongValue("is below 0")
    return _number(value)


def _listed(read: _Reader, *lengths: int) -> _Reader:
    """Return a reader of a list; without `lengths` of any list that is not empty."""

    def read_list(value: Any) -> tuple[Any, ...]:
        if not isinstance(value, list) or not value or (lengths and len(value) not in lengths):
            wanted = " or ".join(str(length) for length in lengths) or "one or more"
            raise _WrongValue(f"is not a list of {wanted}")
        return tuple(read(one) for one in value)

    return read_list


def _one_of(*words: str) -> _Reader:
    def read(value: Any) -> str:
        if value not in words or not isinstance(value, str):
            raise _WrongValue(f"is none of {', '.join(words)}")
        return value

    return read


def _or_none(read: _Reader) -> _Reader:
    return lambda value: None if value is None else read(value)


_RULES: Mapping[str, _Rule] = {
    "minimumROIDimensions": ("minimum_roi_dimensions", _whole(1, 3)),
    "minimumROISize": ("minimum_roi_size", _or_none(_whole(1))),
    "geometryTolerance": ("geometry_tolerance", _or_none(_positive)),
    "correctMask": ("correct_mask", _flag),
    "label": ("label", _whole(1)),
    "normalize": ("normalize", _flag),
    "normalizeScale": ("normalize_scale", _positive),
    "removeOutliers": ("remove_outliers", _or_none(_positive)),
    "resampledPixelSpacing": ("resampled_pixel_spacing", _or_none(_listed(_not_negative, 3))),
    "interpolator": ("interpolator", _or_none(_one_of("sitkBSpline", "sitkLinear", "sitkNearestNeighbor"))),
    "preCrop": ("pre_crop", _flag),
    "padDistance": ("pad_distance", _whole(0)),
    "resegmentRange": ("resegment_range", _or_none(_listed(_number, 1, 2))),
    "resegmentMode": ("resegment_mode", _one_of("absolute", "relative", "sigma")),
    "resegmentShape": ("resegment_shape", _flag),
    "binWidth": ("bin_width", _positive),
    "binCount": ("bin_count", _or_none(_whole(1))),
    "distances": ("distances", _listed(_whole(1))),
    "force2D": ("force2d", _flag),
    "force2Ddimension": ("force2d_dimension", _whole(0, 2)),
    "weightingNorm": ("weighting_norm", _or_none(_one_of("euclidean", "manhattan", "infinity", "no_weighting"))),
    "symmetricalGLCM": ("symmetrical_glcm", _flag),
    "gldm_a": ("gldm_a", _whole(0)),
    "voxelArrayShift": ("voxel_array_shift", _any_whole),
    "additionalInfo": ("additional_info", _flag),
}
# Settings that an image type may have for itself; PyRadiomics would take the others and not follow them.
_OF_A_TYPE = (
    "binWidth",
    "binCount",
    "distances",
    "force2D",
    "force2Ddimension",
    "weightingNorm",
    "symmetricalGLCM",
    "gldm_a",
    "voxelArrayShift",
)
_WAVELET_ONLY: Mapping[str, Any] = {"wavelet": WAVELET, "level": 1, "start_level": 0}
OFFERED = tuple(_RULES)
if {name for name, _ in _RULES.values()} != {one.name for one in fields(Settings)}:
    raise AssertionError("each setting has its rule")
