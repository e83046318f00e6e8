"""The frames of a SEG: where each lies and what it was made from (PS3.3 C.7.6.16), and what is in it.

Comes in: a data set that highdicom made around a single frame, and the regions. Goes out: the same data set with all
frames, in the order in which highdicom puts them. highdicom looks for each segment through every slice of the whole
matrix, and enters each frame into a database of its own; here a frame costs what its region holds. What is in the
header, in the segments and in a frame's groups stays highdicom's, down to the codes; a test compares the bytes.
"""

from collections.abc import Callable, Mapping, Sequence
from itertools import combinations
from typing import Any, NamedTuple

import highdicom as hd
import numpy as np
from numpy.typing import NDArray
from pydicom import DataElement, Dataset
from pydicom.datadict import tag_for_keyword
from pydicom.pixels.encoders.base import RLELosslessEncoder
from pydicom.valuerep import format_number_as_ds

from workers.records import Mask, Region
from workers.report import elements
from workers.report.frames import Source, encoded_reference, instances

Numbered = Mapping[int, Region]  # regions by the number of their segment, in its order


class Frame(NamedTuple):
    """A frame: the slice that it lies on, and the number of its segment; 0 where it shows all of them."""

    slice: int
    segment: int = 0


def frames_of(regions: Numbered, sources: Sequence[Source]) -> list[Frame]:
    """Return the frames of a BINARY SEG: segment by segment, the slices on which it holds something."""
    held = {number: set(_held(region)) for number, region in regions.items()}
    order = _in_order(set().union(*held.values()), sources)
    return [Frame(index, number) for number in regions for index in order if index in held[number]]


def frames_of_all(regions: Numbered, sources: Sequence[Source]) -> list[Frame]:
    """Return the frames of a label map: the slices on which any segment holds something."""
    return [Frame(index) for index in _in_order({one for region in regions.values() for one in _held(region)}, sources)]


def describe(ds: Dataset, sources: Sequence[Source], frames: Sequence[Frame]) -> bytes:
    """Return the groups of all frames, encoded, after the pattern of the one that the data set was made around.

    What the frames of a slice have in common is encoded once; pydicom would spend most of the time of a SEG on them.
    """
    [pattern] = ds.PerFrameFunctionalGroupsSequence
    order = _in_order({frame.slice for frame in frames}, sources)
    places = {index: place for place, index in enumerate(order, start=1)}
    made_from = _derivation(pattern.DerivationImageSequence[0])
    slices = {index: (made_from(sources[index]), _place(sources[index])) for index in order}
    named = "SegmentIdentificationSequence" in pattern  # else it is shared: the one segment, or all
    items = []
    for frame in frames:
        derivation, place = slices[frame.slice]
        indices = [frame.segment, places[frame.slice]] if frame.segment else [places[frame.slice]]
        content = elements.sequence("FrameContentSequence", elements.whole("DimensionIndexValues", *indices))
        items.append(elements.item(derivation, content, place, _segment(frame.segment) if named else b""))
    ds.NumberOfFrames = len(items)
    alone = not named and len(order) > 1
    if alone and _spacing_mm([sources[index] for index in sorted(order)], as_they_come=True) is not None:
        ds.DimensionOrganizationType = "3D"
    return b"".join(items)


def refer(ds: Dataset, sources: Sequence[Source]) -> None:
    """Name the slices as sources (PS3.3 C.12.4) and by their series (C.12.2)."""
    listed, series = instances(sources), Dataset()
    series.SeriesInstanceUID, series.ReferencedInstanceSequence = sources[0].header.SeriesInstanceUID, listed
    ds.SourceImageSequence, ds.ReferencedSeriesSequence = listed, [series]


def space(ds: Dataset, sources: Sequence[Source]) -> None:
    """Say how far slices lie apart where they are even and their own header does not say it."""
    [measures] = ds.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence
    if "SpacingBetweenSlices" in sources[0].header:
        return
    del measures.SpacingBetweenSlices  # that of the one frame
    if (spacing_mm := _spacing_mm(sources)) is not None:
        measures.SpacingBetweenSlices = format_number_as_ds(spacing_mm)


def overlap(regions: Numbered) -> bool:
    """Whether two regions have a voxel in common."""
    return any(one.common(other) is not None for one, other in combinations(regions.values(), 2))


def bits(regions: Numbered, frames: Sequence[Frame], rows: int, columns: int) -> bytes:
    """Return one-bit frames without a gap, the first pixel in the lowest bit (PS3.5 section 8.1.1), to an even length.

    Only the rows that a region covers are packed. They begin at any bit of a byte where the number of pixels is no
    multiple of 8, and share that byte with what is before and after.
    """
    packed = np.zeros(-(-len(frames) * rows * columns // 16) * 2, dtype=np.uint8)
    for place, frame in enumerate(frames):
        region = regions[frame.segment]
        _, covered, within = region.box
        first, lead = divmod((place * rows + covered.start) * columns, 8)
        unpacked = np.zeros(lead + (covered.stop - covered.start) * columns, dtype=bool)
        unpacked[lead:].reshape(-1, columns)[:, within] = region.on_slice(frame.slice)
        part = np.packbits(unpacked, bitorder="little")
        packed[first : first + part.size] |= part
    return packed.tobytes()


def labels(regions: Numbered, index: int, rows: int, columns: int) -> NDArray[Any]:
    """Return the numbers of the segments on a slice; where several lie there, the last."""
    plane = np.zeros((rows, columns), dtype=np.uint8 if max(regions) < 256 else np.uint16)
    for number, region in regions.items():
        if index in region.slices:
            plane[region.box[1:]][region.on_slice(index)] = number
    return plane


def compressed(plane: NDArray[Any]) -> bytes:
    """Return a frame of a label map in RLE Lossless (PS3.5 annex G); not by GDCM, whose encoder dies of an odd one."""
    bits = plane.itemsize * 8
    encoded: bytes = RLELosslessEncoder.encode(
        plane,
        encoding_plugin="pylibjpeg",
        rows=plane.shape[0],
        columns=plane.shape[1],
        samples_per_pixel=1,
        number_of_frames=1,
        bits_allocated=bits,
        bits_stored=bits,
        photometric_interpretation="MONOCHROME2",
        pixel_representation=0,
    )
    return encoded


def _held(region: Region) -> list[int]:
    """Return the slices of the volume on which a region has a voxel."""
    filled: Mask = np.asarray(region.mask.any(axis=(1, 2)))
    return [index for index, some in zip(region.slices, filled.tolist(), strict=True) if some]


def _in_order(slices: set[int], sources: Sequence[Source]) -> list[int]:
    """Return slices as highdicom orders them: against the cross product of the directions of rows and columns."""
    cosines = np.asarray(sources[min(slices)].header.ImageOrientationPatient, dtype=np.float64)
    normal = np.cross(cosines[3:], cosines[:3])
    return sorted(slices, key=lambda one: float(normal @ _position(sources[one])))


def _position(source: Source) -> NDArray[np.float64]:
    return np.asarray(source.header.ImagePositionPatient, dtype=np.float64)


def _derivation(pattern: Dataset) -> Callable[[Source], bytes]:
    """Return what encodes the group that says of a frame that it was made from a slice, with highdicom's codes."""
    code = elements.encoded(pattern["DerivationCodeSequence"])
    purpose = elements.encoded(pattern.SourceImageSequence[0]["PurposeOfReferenceCodeSequence"])

    def encode(source: Source) -> bytes:
        image = elements.sequence(
            "SourceImageSequence",
            encoded_reference(source),
            elements.text("SpatialLocationsPreserved", "YES"),
            purpose,
        )
        return elements.sequence("DerivationImageSequence", image, code)

    return encode


def _place(source: Source) -> bytes:
    where = hd.PlanePositionSequence(hd.CoordinateSystemNames.PATIENT, source.header.ImagePositionPatient)
    return elements.encoded(DataElement(tag_for_keyword("PlanePositionSequence") or 0, "SQ", where))


def _segment(number: int) -> bytes:
    """Return the group that says which segment a frame shows."""
    return elements.sequence("SegmentIdentificationSequence", elements.whole("ReferencedSegmentNumber", number))


def _spacing_mm(sources: Sequence[Source], *, as_they_come: bool = False) -> float | None:
    """Return how far slices lie apart; None where highdicom does not call them a volume, sorted or as they come."""
    spacing_mm, _ = hd.spatial.get_volume_positions(
        image_positions=[_position(source).tolist() for source in sources],
        image_orientation=sources[0].header.ImageOrientationPatient,
        sort=not as_they_come,
    )
    return spacing_mm
