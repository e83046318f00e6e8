"""What might have been measured of a network on known truths, for tests of intervals."""

from collections.abc import Mapping, Sequence

from made_arrays import BODY_SPACING_MM

from node.core.codes import MEASUREMENTS
from workers.validation import Agreement, Conditions, Errors, Validation

PARTS_OF_TRUTH = (0.02, -0.01, 0.05, 0.0, 0.03)
DIFFERENCES_HU = (-2.0, -3.5, -2.5, -3.0, -1.0)


def conditions(spacing_mm: tuple[float, float, float] = BODY_SPACING_MM, kvp: float = 120.0) -> Conditions:
    """Return conditions of one grid, of phantoms."""
    slices, rows, columns = ((edge, edge) for edge in spacing_mm)
    return Conditions(
        synthetic=True,
        kvp=kvp,
        noise_sd_hu=14.0,
        spacing_mm=(slices, rows, columns),
        core_erosion_mm=5.0,
        core_slab_fraction=0.5,
    )


def validation(
    errors: Mapping[str, Sequence[float]] | None = None, measured_under: Conditions | None = None, model: str = "0" * 64
) -> Validation:
    """Return a validation on five phantoms: these errors, or some for every number but the scores."""
    chosen: Mapping[str, Sequence[float]] = errors or {
        name: DIFFERENCES_HU if coding.unit == "[hnsf'U]" else PARTS_OF_TRUTH for name, coding in MEASUREMENTS.items()
    }
    return Validation(
        what="synthetic abdomens that the model never saw",
        model=model,
        version="0.1.0",
        seeds=(21, 22, 23, 24, 25),
        conditions=measured_under or conditions(),
        lesions=(9, 10),
        dice={"liver": Agreement(0.97, 0.98)},
        errors={name: Errors(MEASUREMENTS[name].unit != "[hnsf'U]", tuple(values)) for name, values in chosen.items()},
    )
