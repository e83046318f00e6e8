"""Made cohorts for the fitting of signatures: correlated features, and a follow-up that some foretell, or none."""

import csv
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
ID, TIME, EVENT = "patient", "months", "dead"


def made(patients: int, features: int, planted: dict[int, float], seed: int) -> tuple[Array, Array, NDArray[np.bool_]]:
    """Return features in groups of five that resemble each other, times in months, and events (about six in ten).

    `planted` gives the log hazard ratio per SD of some columns; the others say nothing by themselves.
    """
    draw = np.random.default_rng(seed)
    shared = np.repeat(draw.normal(size=(patients, -(-features // 5))), 5, axis=1)[:, :features]
    values = 0.6 * shared + 0.8 * draw.normal(size=(patients, features))
    risk = sum((size * values[:, place] for place, size in planted.items()), np.zeros(patients))
    death, end = draw.exponential(60 * np.exp(-risk)), draw.uniform(30, 150, patients)
    scale = 10.0 ** draw.integers(-3, 4, features)
    return 5 * scale + values * scale, np.round(np.minimum(death, end), 1) + 0.1, death <= end


def written(
    folder: Path, values: Array, time: Array, event: NDArray[np.bool_], prefix: str = "tumor_"
) -> tuple[Path, Path]:
    """Write the two tables as PyRadiomics and a registry would, and return their paths."""
    names = [f"{prefix}original_made_F{place}" for place in range(values.shape[1])]
    binning = f"{prefix}diagnostics_Configuration_Settings"
    voxels, spacing = f"{prefix}diagnostics_Mask-original_VoxelNum", f"{prefix}diagnostics_Mask-original_Spacing"
    features, followup = folder / "features.csv", folder / "followup.csv"
    with features.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["", binning, voxels, spacing, *names])
        for place, row in enumerate(values):
            writer.writerow([f"P{place}", "{'binCount': 24}", 100 + place, "(1.0, 1.0, 2.0)", *map(repr, row.tolist())])
    with followup.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow([ID, TIME, EVENT, "number", "age"])
        for place, (one, happened) in enumerate(zip(time, event, strict=True)):
            writer.writerow([f"P{place}", one, int(happened), place % 3, -999 if place == 0 else 50 + place % 30])
    return features, followup
