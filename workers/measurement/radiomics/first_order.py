"""First-order features: how the values of a region are distributed, wherever they lie.

Comes in: `Roi`, `Levels`, settings. Goes out: 18 numbers under PyRadiomics' names. What can go wrong: nothing; a
region of one value has skewness and kurtosis 0. Next: the table of features.

X are the N values, mean m, central moments m_k = sum (X - m)^k / N, c `voxelArrayShift`, p the shares of the grey
levels.

=============================  ====  ===========================================================
feature                        IBSI  formula
=============================  ====  ===========================================================
10Percentile, 90Percentile     QG58, 8DWT  linear between the two nearest values
Energy                         N8CA  sum (X + c)^2; IBSI has c = 0
Entropy                        TLU2  -sum p log2(p + eps)
InterquartileRange             SALO  P75 - P25
Kurtosis                       IPH6  m_4 / m_2^2; IBSI subtracts 3
Maximum, Minimum, Range        84IY, 1GSF, 2OJQ
Mean, Median                   Q4LE, Y12H
MeanAbsoluteDeviation          4FUA  sum |X - m| / N
RobustMeanAbsoluteDeviation    1128  the same of the values from P10 to P90
RootMeanSquared                5ZWQ  sqrt(Energy / N); IBSI has c = 0
Skewness                       KE2A  m_3 / m_2^1.5
TotalEnergy                    -     Energy x volume of a voxel [mm3]
Uniformity                     BJ5W  sum p^2
Variance                       ECT3  m_2
=============================  ====  ===========================================================
"""

import numpy as np
from numpy.typing import NDArray

from workers.measurement.radiomics.roi import FeatureSettings, Levels, Roi

NAMES = (
    "10Percentile",
    "90Percentile",
    "Energy",
    "Entropy",
    "InterquartileRange",
    "Kurtosis",
    "Maximum",
    "MeanAbsoluteDeviation",
    "Mean",
    "Median",
    "Minimum",
    "Range",
    "RobustMeanAbsoluteDeviation",
    "RootMeanSquared",
    "Skewness",
    "TotalEnergy",
    "Uniformity",
    "Variance",
)


def features(roi: Roi, levels: Levels, settings: FeatureSettings) -> dict[str, float]:
    """Compute the first-order features."""
    values = roi.values[roi.mask]
    found = {**_order(values), **_moments(values), **_energy(values, roi, settings), **_shares(levels)}
    return {name: float(found[name]) for name in NAMES}


def _order(values: NDArray[np.float64]) -> dict[str, float]:
    """Return what the values in order say."""
    low, first, middle, third, high = np.percentile(values, [10, 25, 50, 75, 90])
    least, most = values.min(), values.max()
    robust = values[(values >= low) & (values <= high)]
    return {
        "10Percentile": low,
        "90Percentile": high,
        "InterquartileRange": third - first,
        "Maximum": most,
        "Median": middle,
        "Minimum": least,
        "Range": most - least,
        "RobustMeanAbsoluteDeviation": np.abs(robust - robust.mean()).mean(),
    }


def _moments(values: NDArray[np.float64]) -> dict[str, float]:
    """Return mean, deviation and the central moments; what a region of one value would divide by is taken as 1."""
    mean = values.mean()
    offset = values - mean
    squared = offset * offset
    variance = squared.mean()
    divisor = variance or 1.0
    return {
        "Kurtosis": (squared * squared).mean() / divisor**2,
        "Mean": mean,
        "MeanAbsoluteDeviation": np.abs(offset).mean(),
        "Skewness": (squared * offset).mean() / divisor**1.5,
        "Variance": variance,
    }


def _energy(values: NDArray[np.float64], roi: Roi, settings: FeatureSettings) -> dict[str, float]:
    shifted = values + settings.voxel_array_shift
    energy = float((shifted * shifted).sum())
    return {
        "Energy": energy,
        "RootMeanSquared": float(np.sqrt(energy / values.size)),
        "TotalEnergy": energy * float(np.prod(roi.spacing_mm)),
    }


def _shares(levels: Levels) -> dict[str, float]:
    """Return what the shares of the grey levels say; a level that the region lacks adds nothing."""
    shares = levels.voxels[levels.voxels > 0] / levels.voxels.sum()
    return {
        "Entropy": float(-(shares * np.log2(shares + np.spacing(1.0))).sum()),
        "Uniformity": float((shares**2).sum()),
    }
