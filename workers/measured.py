"""What stage 8 hands to stage 9: numbers, lesions, clinical scores, and where they lie."""

from dataclasses import dataclass
from enum import StrEnum

from node.core.grid import Vector
from node.core.reasons import Coded
from node.core.records import Measurement
from workers.records import Region
from workers.signature.score import Answer

PATIENT_FACTS = "patient-facts"
Pixel = tuple[int, int]  # row and column


@dataclass(frozen=True)
class Lesion:
    """A lesion of the liver and what was measured on it.

    Parameters
    ----------
    label
        Of the segment that it is, or is a part of.
    axial_diameter_mm, slice, ends
        Its longest diameter on a slice, that slice of the volume, and the pixels that the diameter ends in.
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
    ends: tuple[Pixel, Pixel]
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
class Extracted:
    """What one extraction took: of which region of interest or by which network, its voxels, how many features."""

    roi: str
    voxels: int
    features: int
    seconds: float


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
    rad_scores
        What each signature that was asked says of the study.
    extracted
        The extractions that these needed.
    """

    measurements: dict[str, Measurement]
    l1_core: Region | None
    l3_slice: int | None
    burden: Burden | None
    scores: tuple["Score", ...] = ()
    rad_scores: tuple[Answer, ...] = ()
    extracted: tuple[Extracted, ...] = ()

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


class ScoreNote(Coded):
    """What a reader should know of a clinical score."""

    AXIAL_SIZE = "axial-size", "The size is the largest diameter on an axial slice of this CT, as it is segmented."
    NO_LESION = "no-lesion", "No liver lesion was found: the score was made from patients who had some."


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
    notes: tuple[ScoreNote, ...] = ()

    @property
    def low(self) -> int:
        """Points of the items that are known to give some."""
        return sum(item.low for item in self.items)

    @property
    def high(self) -> int:
        """Points, if each item that is not known gives all it can."""
        return sum(item.high for item in self.items)
