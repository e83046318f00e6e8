"""Records that hold arrays: the volume, its segmentation, what was measured on them.

Arrays are `(slices, rows, columns)`, 0-based, slices from inferior to superior, on the grid of the source series.
"""

import hashlib
import io
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from node.core.codes import Structure
from node.core.errors import Untrusted
from node.core.grid import Geometry, Vector
from node.core.reasons import StudyRefusal
from node.core.records import Candidate, Instance, Measurement, dump, parse

Mask = NDArray[np.bool_]
DEMONSTRATION = "DEMONSTRATION MODEL"
IMPORTED = "imported"
PATIENT_FACTS = "patient-facts"
_SUM_BYTES = 32


@dataclass(frozen=True)
class Acquisition:
    """How the series was acquired, as its headers say; None or empty where they do not.

    `synthetic` says that the slices are the phantom's. `padding_hu` are the ranges, lowest and highest value, of pixel
    padding that was found, which is no measurement of anything, `padding_voxels` how many voxels have it.
    """

    kvp: float | None
    slice_thickness_mm: float | None
    kernel: str
    contrast: str
    lossy: bool
    manufacturer: str
    patient_position: str
    synthetic: bool = False
    padding_hu: tuple[tuple[float, float], ...] = ()
    padding_voxels: int = 0


@dataclass(frozen=True)
class Volume:
    """A series as Hounsfield units on its grid.

    Parameters
    ----------
    hu
        int16 where the values fit, else int32 or float32.
    instances
        One per slice, in the order of the slices.
    frames
        Which frame of its instance each slice is, from 1; empty where the instances have one frame.
    """

    hu: NDArray[Any]
    geometry: Geometry
    candidate: Candidate
    instances: tuple[Instance, ...]
    acquisition: Acquisition
    frames: tuple[int, ...] = ()

    @property
    def sha1(self) -> str:
        """SHA-1 of the values as little-endian int32, slices inferior to superior, rows, columns."""
        sum_ = hashlib.sha1(usedforsecurity=False)
        for slice_hu in self.hu:
            sum_.update(np.ascontiguousarray(np.rint(slice_hu), dtype="<i4").tobytes())
        return sum_.hexdigest()


@dataclass(frozen=True)
class Region:
    """A mask in its bounding box: `mask[0, 0, 0]` is voxel `start` of the volume. Never empty."""

    start: tuple[int, int, int]
    mask: Mask

    @classmethod
    def of(cls, mask: Mask, start: tuple[int, int, int] = (0, 0, 0)) -> "Region | None":
        """Crop a mask whose first voxel is `start` of the volume; None where it is empty."""
        box: list[slice] = []
        for axis in range(3):  # each axis within what the ones before it have left
            part = mask[tuple(box)]
            inside = np.flatnonzero(part.any(axis=tuple(other for other in range(3) if other != axis)))
            if inside.size == 0:
                return None
            box.append(slice(int(inside[0]), int(inside[-1]) + 1))
        first = (start[0] + box[0].start, start[1] + box[1].start, start[2] + box[2].start)
        return cls(first, np.ascontiguousarray(mask[tuple(box)]))

    @property
    def box(self) -> tuple[slice, slice, slice]:
        """The bounding box as slices of the volume."""
        begin, shape = self.start, self.mask.shape
        return (
            slice(begin[0], begin[0] + shape[0]),
            slice(begin[1], begin[1] + shape[1]),
            slice(begin[2], begin[2] + shape[2]),
        )

    @property
    def slices(self) -> range:
        """The volume's slices that the box covers."""
        return range(self.start[0], self.start[0] + self.mask.shape[0])

    @property
    def count(self) -> int:
        """Number of voxels."""
        return int(np.count_nonzero(self.mask))

    def values(self, array: NDArray[Any]) -> NDArray[Any]:
        """Return the array's values inside the region, one dimension."""
        inside: NDArray[Any] = array[self.box][self.mask]
        return inside

    def on_slice(self, index: int) -> Mask:
        """Return the mask of one slice of the volume, within the box's rows and columns."""
        if index not in self.slices:
            return np.zeros(self.mask.shape[1:], dtype=bool)
        plane: Mask = self.mask[index - self.start[0]]
        return plane

    def common(self, other: "Region") -> "Region | None":
        """Return the voxels that this region and another have in common; None where there are none."""
        box = [
            slice(max(one.start, two.start), min(one.stop, two.stop))
            for one, two in zip(self.box, other.box, strict=True)
        ]
        if any(part.stop <= part.start for part in box):
            return None
        return Region.of(self.within(box) & other.within(box), (box[0].start, box[1].start, box[2].start))

    def within(self, box: Sequence[slice]) -> Mask:
        """Return the mask in a box of the volume that lies inside the region's own."""
        own = zip(box, self.start, strict=True)
        part: Mask = self.mask[tuple(slice(one.start - first, one.stop - first) for one, first in own)]
        return part

    def full(self, shape: tuple[int, int, int]) -> Mask:
        """Return the mask in the whole volume."""
        whole = np.zeros(shape, dtype=bool)
        whole[self.box] = self.mask
        return whole


class AlgorithmType(StrEnum):
    """Segment Algorithm Type (0062,0008)."""

    MANUAL = "MANUAL"
    SEMIAUTOMATIC = "SEMIAUTOMATIC"
    AUTOMATIC = "AUTOMATIC"


@dataclass(frozen=True)
class Segment:
    """One structure, or one lesion of several, and who drew it; `source` is the SEG that it was imported from."""

    structure: Structure
    label: str
    region: Region
    algorithm_type: AlgorithmType
    algorithm_name: str
    source: Instance | None = None


@dataclass(frozen=True)
class Errors:
    """What one number was off by on known truths, one figure a truth.

    Parameters
    ----------
    relative
        Whether they are parts of the truth (0.02 is 2 % too much); else they are differences, in the number's unit.
    values
        Measured minus true, or that over the true value.
    missed
        Truths for which no number was computed.
    """

    relative: bool
    values: tuple[float, ...]
    missed: int = 0

    def __post_init__(self) -> None:
        if not all(map(math.isfinite, self.values)) or (self.relative and min(self.values, default=0.0) <= -1):
            raise ValueError("an error is finite, and a part of the truth is above -1")


@dataclass(frozen=True)
class Agreement:
    """Dice of one structure with the truth: the least, and the median."""

    least: float
    median: float


@dataclass(frozen=True)
class Conditions:
    """Under which conditions errors were measured; what differs from them was not measured.

    `spacing_mm` has the least and the largest distance of slices, rows and columns. The last two are the settings of
    the core of L1.
    """

    synthetic: bool
    kvp: float
    noise_sd_hu: float
    spacing_mm: tuple[tuple[float, float], tuple[float, float], tuple[float, float]]
    core_erosion_mm: float
    core_slab_fraction: float


@dataclass(frozen=True)
class Validation:
    """What was measured of a network on known truths; its manifest keeps it (docs/models.md).

    Parameters
    ----------
    what
        What was segmented, for a reader.
    model
        SHA-256 of what the manifest says of the network's files: of another network it says nothing.
    version
        Version of this product that measured.
    seeds
        The phantoms.
    lesions
        How many were found, and how many there are.
    dice
        By structure.
    errors
        By the ids of `node.core.codes.MEASUREMENTS`.
    """

    what: str
    model: str
    version: str
    seeds: tuple[int, ...]
    conditions: Conditions
    lesions: tuple[int, int]
    dice: Mapping[str, Agreement]
    errors: Mapping[str, Errors]


@dataclass(frozen=True)
class LabelMap:
    """A segmentation of a volume; segments may overlap (a lesion lies in the liver).

    Parameters
    ----------
    series_instance_uid
        The series that was segmented.
    engine
        What made it: `IMPORTED`, or an engine with its version.
    searched
        Structures that were looked for; one that is absent here was not, which is not the same as not found.
    reduced
        Says in which reduced mode the engine ran; empty where it was in none.
    seen_upright
        Whether a network saw the tilted volume resampled to upright slices, and its masks were brought back.
    validation
        What was measured of the network on known truths; None where nothing was.
    """

    geometry: Geometry
    series_instance_uid: str
    engine: str
    searched: frozenset[Structure]
    segments: tuple[Segment, ...]
    reduced: str = ""
    seen_upright: bool = False
    validation: Validation | None = None

    @property
    def demonstration(self) -> bool:
        """Whether the demonstration model made it."""
        return self.engine.startswith(DEMONSTRATION)

    @property
    def imported(self) -> bool:
        """Whether it came with the study."""
        return self.engine == IMPORTED

    def find(self, structure: Structure) -> Region | None:
        """Return the region of a structure; of several segments the first."""
        return next((segment.region for segment in self.segments if segment.structure is structure), None)

    def all(self, structure: Structure) -> tuple[Segment, ...]:
        """Return every segment of a structure."""
        return tuple(segment for segment in self.segments if segment.structure is structure)


@dataclass(frozen=True)
class Lesion:
    """A lesion of the liver and what was measured on it.

    Parameters
    ----------
    label
        Of the segment that it is, or is a part of.
    axial_diameter_mm, slice
        Its longest diameter on a slice, and that slice of the volume.
    diameter_mm
        Its longest diameter in space.
    mean_hu
        None where it holds nothing but pixel padding.
    centre_mm
        Mean of its voxel centres (LPS).
    edges
        Edges of the scan that cut it: `bottom slice`, `top slice`, `side`.
    parts
        Pieces joined by faces of voxels, those under the threshold left out; at least 1.
    touches
        Numbers, from 1, of the lesions that it meets or overlaps.
    """

    label: str
    region: Region
    volume_ml: float
    axial_diameter_mm: float
    slice: int
    diameter_mm: float
    mean_hu: float | None
    centre_mm: Vector
    edges: tuple[str, ...]
    parts: int
    touches: tuple[int, ...]


class Zone(StrEnum):
    """Zone of the tumour burden score, by its bounds (Sasaki 2018)."""

    BELOW_3 = "<3"
    FROM_3 = "3 to <9"
    FROM_9 = ">=9"


@dataclass(frozen=True)
class Burden:
    """What a search for lesions found.

    Parameters
    ----------
    lesions
        In the order of the segments, or of the mask's slices; a lesion's number is its place, from 1.
    drawn
        Whether each of them came as a segment of its own.
    smaller
        Parts of the mask that are too small to be lesions.
    zone
        None where there is no score.
    """

    lesions: tuple[Lesion, ...]
    drawn: bool
    smaller: int
    zone: Zone | None


@dataclass(frozen=True)
class Measured:
    """What stage 8 hands to stage 9.

    Parameters
    ----------
    measurements
        By the ids of `node.core.codes.MEASUREMENTS`, complete.
    l1_core
        The trabecular core of L1, if it was measured.
    l3_slice
        The slice at mid-height of L3, if it was found.
    burden
        The lesions; None where none were searched for, or what was found cannot be any.
    scores
        The clinical scores that these numbers and the patient facts belong to.
    """

    measurements: dict[str, Measurement]
    l1_core: Region | None
    l3_slice: int | None
    burden: Burden | None
    scores: tuple["Score", ...] = ()

    @property
    def largest_lesion(self) -> tuple[Region, int] | None:
        """The lesion with the largest axial diameter, and the slice that it lies on."""
        if self.burden is None or not self.burden.lesions:
            return None
        largest = max(self.burden.lesions, key=lambda one: one.axial_diameter_mm)
        return largest.region, largest.slice


@dataclass(frozen=True)
class ScoreItem:
    """One item of a clinical score.

    Parameters
    ----------
    id, name
        For programs, and for a person.
    low, high
        The least and the most points that it may give; equal where it is known.
    value
        What decides it; None where that is not known.
    source
        Where the value comes from, or would come from: the id of a measurement, or `PATIENT_FACTS`.
    """

    id: str
    name: str
    low: int
    high: int
    value: float | str | bool | None
    source: str

    @property
    def state(self) -> str:
        """`yes` where it gives points, `no` where it gives none, `unknown` where nobody can tell how many."""
        if self.low != self.high:
            return "unknown"
        return "yes" if self.low else "no"


@dataclass(frozen=True)
class Score:
    """A clinical score as a range: of items that are not known, none is counted as absent.

    Parameters
    ----------
    of
        The most points that anybody can have.
    source, population
        Who published it, and whom it was made from.
    """

    id: str
    name: str
    of: int
    items: tuple[ScoreItem, ...]
    source: str
    population: str
    notes: tuple[str, ...] = ()

    @property
    def low(self) -> int:
        """Points of the items that are known to give some."""
        return sum(item.low for item in self.items)

    @property
    def high(self) -> int:
        """Points, if each item that is not known gives all it can."""
        return sum(item.high for item in self.items)


def dump_labels(labels: LabelMap) -> bytes:
    """Write a segmentation as one file: bits of each mask and its facts as a NumPy archive, then the SHA-256 of it."""
    facts = {
        "geometry": vars(labels.geometry),
        "series_instance_uid": labels.series_instance_uid,
        "engine": labels.engine,
        "searched": sorted(labels.searched),
        "reduced": labels.reduced,
        "seen_upright": labels.seen_upright,
        "validation": json.loads(dump(labels.validation)) if labels.validation else None,
        "segments": [
            {
                **vars(segment),
                "region": {"start": segment.region.start, "shape": segment.region.mask.shape},
                "source": vars(segment.source) if segment.source else None,
            }
            for segment in labels.segments
        ],
    }
    arrays = {f"mask{index}": np.packbits(segment.region.mask) for index, segment in enumerate(labels.segments)}
    buffer = io.BytesIO()
    np.savez_compressed(buffer, facts=np.frombuffer(json.dumps(facts).encode(), dtype=np.uint8), **arrays)  # type: ignore[arg-type]
    archive = buffer.getvalue()
    return archive + hashlib.sha256(archive).digest()


def parse_labels(content: bytes) -> LabelMap:
    """Read a segmentation that `dump_labels` wrote.

    Raises
    ------
    Untrusted
        `input-untrusted`: the file was changed or cut.
    """
    archive, sum_ = content[:-_SUM_BYTES], content[-_SUM_BYTES:]
    if hashlib.sha256(archive).digest() != sum_:
        raise Untrusted(StudyRefusal.INPUT_UNTRUSTED, "stored segmentation")
    with np.load(io.BytesIO(archive), allow_pickle=False) as file:
        facts = json.loads(file["facts"].tobytes())
        segments = tuple(_segment(segment, file[f"mask{index}"]) for index, segment in enumerate(facts["segments"]))
    return LabelMap(
        geometry=Geometry(**{name: _tuple(value) for name, value in facts["geometry"].items()}),
        series_instance_uid=facts["series_instance_uid"],
        engine=facts["engine"],
        searched=frozenset(Structure(name) for name in facts["searched"]),
        segments=segments,
        reduced=facts.get("reduced", ""),
        seen_upright=facts.get("seen_upright", False),
        validation=parse(Validation, json.dumps(facts["validation"])) if facts.get("validation") else None,
    )


def _segment(facts: dict[str, Any], bits: NDArray[np.uint8]) -> Segment:
    shape = _tuple(facts["region"]["shape"])
    mask = np.unpackbits(bits, count=int(np.prod(shape))).view(np.bool_).reshape(shape)
    return Segment(
        structure=Structure(facts["structure"]),
        label=facts["label"],
        region=Region(_tuple(facts["region"]["start"]), mask),
        algorithm_type=AlgorithmType(facts["algorithm_type"]),
        algorithm_name=facts["algorithm_name"],
        source=Instance(**facts["source"]) if facts["source"] else None,
    )


def _tuple(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value
