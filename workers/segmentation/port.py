"""The port behind which every network stands: what an engine process loads once and asks many times.

A network is made in the engine process (`workers.engine`) and nowhere else: it may import torch, hold a device, and
be killed at any moment.
"""

from collections.abc import Mapping
from typing import Any, Protocol

from numpy.typing import NDArray

from node.core.codes import Structure
from node.core.grid import Geometry
from workers.records import Region


class Network(Protocol):
    """A segmentation network, ready to run.

    Attributes
    ----------
    name
        Engine with version and weights, as results carry it.
    finds
        The structures that it looks for.
    """

    name: str
    finds: frozenset[Structure]

    def segment(self, hu: NDArray[Any], geometry: Geometry) -> Mapping[Structure, Region]:
        """Segment a volume.

        Parameters
        ----------
        hu
            `(slices, rows, columns)`, Hounsfield units, slices from inferior to superior.
        geometry
            Its grid, LPS millimetres.

        Returns
        -------
        regions
            On the same grid; what was not found is not there.
        """
        ...
