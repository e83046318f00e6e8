"""The port behind which every network stands: what an engine process loads once and asks many times.

A network is made in the engine process (`workers.engine`) and nowhere else: it may import torch, hold a device, and
be killed at any moment.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, Protocol

from numpy.typing import NDArray

from node.core.codes import Structure
from node.core.grid import Geometry
from workers.records import Region, Volume
from workers.segmentation.data_sets import Psoas
from workers.validation import Validation


class Way(StrEnum):
    """A kind of network."""

    TOTALSEGMENTATOR = "totalsegmentator"
    RESIDENT = "resident"
    DEMO = "demo"


@dataclass(frozen=True)
class Order:
    """Which network to run: its kind, its weights, the device, which muscle stands for the psoas, `total` at 3 mm.

    `ladder` lets it step down where a GPU has no memory left.
    """

    way: Way
    weights: Path
    device: str
    psoas: Psoas
    fast: bool = False
    ladder: bool = False


@dataclass(frozen=True)
class Answer:
    """What a network found, and its name; `reduced` says in which reduced mode it ran, if in one.

    `validation` is what was measured of the network on known truths.
    """

    name: str
    finds: frozenset[Structure]
    regions: Mapping[Structure, Region]
    reduced: str = ""
    validation: Validation | None = None


@dataclass(frozen=True)
class Networks:
    """What stage 7 has beside imported segmentations.

    Parameters
    ----------
    run
        Runs an order on a volume, in a process of its own.
    weights_dir
        Folder of TotalSegmentator's weights.
    demo_dir
        Folder of the demonstration model.
    device
        `cpu`, `gpu` or `gpu:N`.
    force_demo
        Let the demonstration model run on a study that is no phantom.
    way
        Which engine runs TotalSegmentator's weights.
    ladder
        Let the engine step down where a GPU has no memory left.
    """

    run: Callable[[Order, Volume], Answer]
    weights_dir: Path
    demo_dir: Path
    device: str
    force_demo: bool = False
    way: Way = Way.TOTALSEGMENTATOR
    ladder: bool = False


class Network(Protocol):
    """A segmentation network, ready to run.

    Attributes
    ----------
    name
        Engine with version and weights, as results carry it.
    finds
        The structures that it looks for.
    reduced
        Says in which reduced mode it runs, or ran the volume before; empty where it is in none.
    validation
        What its manifest says was measured of it on known truths; None where nothing was.
    """

    name: str
    finds: frozenset[Structure]
    reduced: str
    validation: Validation | None

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
