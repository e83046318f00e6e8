"""Grey values of a region become grey levels, by bins of one width or by a number of bins.

Comes in: the values of an image type in the box of a region. Goes out: `Levels`. What can go wrong: nothing; a flat
region has one level. Next: the classes of features.

Edges are those of PyRadiomics 3.0.1 (imageoperations.getBinEdges), computed in the type of the values, as there, but
that whole numbers cannot overflow: a value on an edge belongs to the bin above it, and with a number of bins the
largest value to the last one.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from workers.measurement.radiomics.parameters import Settings
from workers.measurement.radiomics.roi import Levels
from workers.records import Mask


def discretise(values: NDArray[Any], mask: Mask, settings: Settings) -> Levels:
    """Return the levels of the values inside a mask."""
    inside = values[mask]
    codes = np.zeros(values.shape, dtype=np.int32)
    codes[mask] = _bins(inside, bin_edges(inside, settings))
    return Levels(codes, int(codes.max()))


def bin_edges(inside: NDArray[Any], settings: Settings) -> NDArray[Any]:
    """Return the edges of the bins over some values.

    By width: multiples of it, from the last one that is not above the least value, beyond the largest. By count: equal
    parts of the range of the values, the last edge moved up by 1.
    """
    if settings.bin_count is not None:
        edges: NDArray[Any] = np.histogram(inside, settings.bin_count)[1]
        edges[-1] += 1
        return edges
    least, most = inside.min(), inside.max()
    if np.issubdtype(inside.dtype, np.integer):
        least, most = int(least), int(most)
    edges = np.arange(least - (least % settings.bin_width), most + 2 * settings.bin_width, settings.bin_width)
    return edges if len(edges) > 1 else np.array([edges[0] - 0.5, edges[0] + 0.5])


def _bins(inside: NDArray[Any], edges: NDArray[Any]) -> NDArray[np.int32]:
    """Return which bin each value lies in, from 1, as numpy.digitize does.

    The bins are (nearly) equally wide: a division gives the bin or its neighbour, and the edges themselves decide.
    """
    last = len(edges) - 2
    width = float(edges[1] - edges[0])
    if width <= 0:  # equal to the last bit: a flat region of very large values
        flat: NDArray[np.int32] = np.digitize(inside, edges).astype(np.int32)
        return flat
    found: NDArray[np.int32] = np.clip((inside - float(edges[0])) * (1 / width), 0, last).astype(np.int32)
    found -= inside < edges[found]
    found += inside >= edges[found + 1]
    found += 1
    return found
