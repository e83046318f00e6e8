"""Noise like that of a CT: Gaussian, correlated between neighbours within a slice.

Beside the ten stages. In: a shape and a generator. Out: one slice of noise with exactly the SD asked for.
Next: `node.phantom.render`.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

KERNEL = np.array([-0.2624, 0.35, 1.0, 0.35, -0.2624])
"""Taps along rows and columns. Sum and root of the sum of squares are equal, so averages over many voxels
scatter as little as with white noise: filtered back-projection, too, holds little noise at low frequency."""


def noise_slice(rng: np.random.Generator, rows: int, columns: int, sd_hu: float) -> NDArray[np.float32]:
    """One slice of noise, shape (rows, columns), mean 0, marginal SD `sd_hu` at every pixel.

    White noise is filtered along both directions with wrapped edges; the kernel's norm is divided out.
    """
    white = rng.standard_normal((rows + 4, columns + 4), dtype=np.float32)
    taps = (KERNEL / np.sqrt((KERNEL**2).sum())).astype(np.float32)
    far, near, centre = float(taps[0]), float(taps[1]), float(taps[2])
    down = centre * white[2:-2]
    down += near * (white[1:-3] + white[3:-1])
    down += far * (white[:-4] + white[4:])
    across = (centre * sd_hu) * down[:, 2:-2]
    across += (near * sd_hu) * (down[:, 1:-3] + down[:, 3:-1])
    across += (far * sd_hu) * (down[:, :-4] + down[:, 4:])
    return across
