"""The same region for our classes of features and for PyRadiomics', and what differs."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from workers.measurement.radiomics import first_order, glcm, gldm, glrlm, glszm, ngtdm, shape
from workers.measurement.radiomics.roi import Levels, Roi

OURS: Mapping[str, Any] = {
    "firstorder": first_order,
    "glcm": glcm,
    "gldm": gldm,
    "glrlm": glrlm,
    "glszm": glszm,
    "ngtdm": ngtdm,
    "shape": shape,
}
_THEIRS = {
    "firstorder": "RadiomicsFirstOrder",
    "glcm": "RadiomicsGLCM",
    "gldm": "RadiomicsGLDM",
    "glrlm": "RadiomicsGLRLM",
    "glszm": "RadiomicsGLSZM",
    "ngtdm": "RadiomicsNGTDM",
    "shape": "RadiomicsShape",
}


@dataclass(frozen=True)
class Asked:
    """The settings that classes of features read, with PyRadiomics' defaults."""

    voxel_array_shift: float = 0
    distances: tuple[int, ...] = (1,)
    force2d: bool = False
    force2d_dimension: int = 0
    weighting_norm: str | None = None
    symmetrical_glcm: bool = True
    gldm_a: int = 0

    def for_pyradiomics(self) -> dict[str, Any]:
        """Return the same under PyRadiomics' names."""
        return {
            "voxelArrayShift": self.voxel_array_shift,
            "distances": list(self.distances),
            "force2D": self.force2d,
            "force2Ddimension": self.force2d_dimension,
            "weightingNorm": self.weighting_norm,
            "symmetricalGLCM": self.symmetrical_glcm,
            "gldm_a": self.gldm_a,
        }


@dataclass(frozen=True)
class Case:
    """A region, cropped to its box, with the settings that bins and features are made with."""

    values: NDArray[Any]
    mask: NDArray[np.bool_]
    spacing_mm: tuple[float, float, float] = (1.0, 1.0, 1.0)
    asked: Asked = Asked()
    bins: tuple[tuple[str, float], ...] = (("binWidth", 1),)

    @classmethod
    def cropped(cls, values: NDArray[Any], mask: NDArray[np.bool_], *rest: Any, **more: Any) -> "Case":
        """Return a case of the box around the mask."""
        places = np.argwhere(mask)
        box = tuple(slice(*ends) for ends in zip(places.min(axis=0), places.max(axis=0) + 1, strict=True))
        return cls(values[box], mask[box], *rest, **more)

    def ours(self, name: str) -> dict[str, float]:
        """Compute a class of features by ourselves, on the bins of PyRadiomics."""
        from radiomics.imageoperations import binImage

        codes = np.where(self.mask, binImage(self.values, self.mask, **dict(self.bins))[0], 0).astype(np.int32)
        roi = Roi(self.values.astype(np.float64), self.mask, self.spacing_mm)
        found: dict[str, float] = (
            shape.features(roi)
            if name == "shape"
            else OURS[name].features(roi, Levels(codes, int(codes.max())), self.asked)
        )
        return found

    def theirs(self, name: str) -> dict[str, float]:
        """Compute a class of features by PyRadiomics; NaN throughout where it finds no direction and gives up."""
        import radiomics
        import SimpleITK

        images = SimpleITK.GetImageFromArray(self.values), SimpleITK.GetImageFromArray(self.mask.astype(np.uint8))
        for one in images:
            one.SetSpacing(self.spacing_mm[::-1])
        module = getattr(radiomics, name)
        radiomics.setVerbosity(60)
        made = getattr(module, _THEIRS[name])(*images, **dict(self.bins), **self.asked.for_pyradiomics())
        made.enableAllFeatures()
        try:
            return {feature: float(value) for feature, value in made.execute().items()}
        except RuntimeError:
            return dict.fromkeys(OURS[name].NAMES, float("nan"))


def differences(ours: Mapping[str, float], theirs: Mapping[str, float], relative: float = 1e-6) -> list[str]:
    """Tell the features that are not the same: within `relative`, or 1e-9 near zero; NaN equals NaN."""
    names = [] if list(ours) == list(theirs) else [f"names: {list(ours)}, not {list(theirs)}"]
    differing = [
        name for name in theirs if not np.isclose(ours[name], theirs[name], rtol=relative, atol=1e-9, equal_nan=True)
    ]
    return names + [f"{name}: {ours[name]!r}, not {theirs[name]!r}" for name in differing]
