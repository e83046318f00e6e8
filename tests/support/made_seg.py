"""DICOM Segmentations of a made series: any code, any form, frames turned, flipped and cut as others write them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import highdicom as hd
import numpy as np
from made_series import instance
from pydicom import Dataset, dcmread
from pydicom.sr.coding import Code
from pydicom.uid import ExplicitVRLittleEndian

from node.core.codes import ANATOMICAL_STRUCTURE, STRUCTURES, Structure
from node.core.grid import Geometry
from node.core.records import Instance
from workers.records import AlgorithmType, Mask

ORGAN = Code("113343008", "SCT", "Organ")  # a type that names no structure of ours: the label has to


@dataclass(frozen=True)
class Drawn:
    """One segment: its mask in the whole volume, and what its item of the Segment Sequence says."""

    mask: Mask
    label: str = "drawn"
    type: Code = ORGAN
    side: Code | None = None
    region: Code | None = None
    by: AlgorithmType = AlgorithmType.AUTOMATIC
    name: str = "someone's network"


@dataclass(frozen=True)
class View:
    """How frames show a slice: which rows and columns, turned over the diagonal, then flipped."""

    rows: slice = field(default_factory=lambda: slice(None))
    columns: slice = field(default_factory=lambda: slice(None))
    transposed: bool = False
    flipped: tuple[bool, bool] = (False, False)

    def frame(self, plane: np.ndarray) -> np.ndarray:
        """Return a slice of the volume as the frame shows it."""
        part = plane[self.rows, self.columns]
        part = part.T if self.transposed else part
        return part[:: -1 if self.flipped[0] else 1, :: -1 if self.flipped[1] else 1]

    def corner(self, geometry: Geometry, index: int) -> tuple[list[float], list[float], list[float]]:
        """Return position, orientation cosines and pixel spacing of the frame of a slice."""
        rows, columns = np.meshgrid(*(np.arange(size) for size in geometry.shape[1:]), indexing="ij")
        r, c = self.frame(rows), self.frame(columns)
        places = [
            (geometry.affine @ [index, r[at], c[at], 1])[:3]
            for at in ((0, 0), (0, r.shape[1] - 1), (r.shape[0] - 1, 0))
        ]
        right, down = (places[1] - places[0]) / (r.shape[1] - 1), (places[2] - places[0]) / (r.shape[0] - 1)
        lengths = [float(np.linalg.norm(down)), float(np.linalg.norm(right))]
        return places[0].tolist(), [*(right / lengths[1]), *(down / lengths[0])], lengths


WHOLE = View()


def write_seg(
    path: Path,
    sources: Sequence[Path],
    geometry: Geometry,
    segments: Sequence[Drawn],
    *,
    view: View = WHOLE,
    form: hd.seg.SegmentationTypeValues = hd.seg.SegmentationTypeValues.BINARY,
    written_at: tuple[str, str] = ("20260110", "120000"),
    edit: Callable[[Dataset], None] | None = None,
) -> Instance:
    """Write a SEG of a series and return its record.

    Parameters
    ----------
    sources
        Slices of the series, in the order of the volume.
    geometry
        Of the volume.
    edit
        May change the data set just before it is written.
    """
    corners = [view.corner(geometry, index) for index in range(geometry.shape[0])]
    stack = np.stack([np.stack([view.frame(plane) for plane in one.mask]) for one in segments], axis=-1)
    if form is hd.seg.SegmentationTypeValues.LABELMAP:
        stack = (stack * np.arange(1, len(segments) + 1)).max(axis=-1)
    ds = hd.seg.Segmentation(
        source_images=[_decoded(source) for source in sources],
        pixel_array=stack.astype(float if form is hd.seg.SegmentationTypeValues.FRACTIONAL else np.uint8),
        segmentation_type=form,
        segment_descriptions=[_describe(number, one) for number, one in enumerate(segments, start=1)],
        series_instance_uid=hd.UID(),
        series_number=50,
        sop_instance_uid=hd.UID(),
        instance_number=1,
        manufacturer="Someone",
        manufacturer_model_name="Else",
        software_versions="1",
        device_serial_number="1",
        plane_positions=[hd.PlanePositionSequence("PATIENT", corner[0]) for corner in corners],
        plane_orientation=hd.PlaneOrientationSequence("PATIENT", corners[0][1]),
        pixel_measures=hd.PixelMeasuresSequence(corners[0][2], geometry.spacing_mm[0]),
        transfer_syntax_uid=ExplicitVRLittleEndian,
    )
    ds.ContentDate, ds.ContentTime = written_at
    if edit is not None:
        edit(ds)
    path.parent.mkdir(parents=True, exist_ok=True)
    ds.save_as(path, enforce_file_format=True)
    return instance(path)


def _decoded(source: Path) -> Dataset:
    """Read a header in Unicode: highdicom does not take every character set that PS3.3 has."""
    ds = dcmread(source, stop_before_pixels=True)
    ds.decode()
    ds.SpecificCharacterSet = "ISO_IR 192"
    return ds


def _describe(number: int, one: Drawn) -> hd.seg.SegmentDescription:
    algorithm = hd.AlgorithmIdentificationSequence(
        name=one.name, family=hd.sr.CodedConcept("1", "99X", "x"), version="1"
    )
    item = hd.seg.SegmentDescription(
        segment_number=number,
        segment_label=one.label,
        segmented_property_category=ANATOMICAL_STRUCTURE,
        segmented_property_type=one.type,
        algorithm_type=one.by.value,
        algorithm_identification=None if one.by is AlgorithmType.MANUAL else algorithm,
        anatomic_regions=[one.region] if one.region else None,
    )
    if one.side:
        kind = item.SegmentedPropertyTypeCodeSequence[0]
        kind.SegmentedPropertyTypeModifierCodeSequence = [hd.sr.CodedConcept.from_code(one.side)]
    return item


def drawn(masks: Mapping[Structure, Mask | list[Mask]], **facts: Any) -> list[Drawn]:
    """Return masks as segments with our own codes; `facts` are those of every segment."""
    segments: list[Drawn] = []
    for structure, given in masks.items():
        coding = STRUCTURES[structure]
        each = given if isinstance(given, list) else [given]
        segments += [Drawn(mask, str(structure), coding.type, coding.laterality, **facts) for mask in each]
    return segments
