"""The truth of the synthetic abdomen as a DICOM Segmentation (BINARY).

Beside the ten stages. In: a `Rendering` and the CT files written from it. Out: one SEG file: liver (lesions included),
iliopsoas left and right, vertebrae L1 and L3 (with arch), and each lesion as a segment of its own.
What can go wrong: the CT files do not belong to the rendering (ValueError). Next: `node.phantom.files`.

Codes, all SNOMED CT: the categories 123037004 and 49755003 are of DICOM CID 7150; 4147007 Mass is of CID 7159 (Lesion
Segmentation Types); 10200004 Liver, 66794005 L1 and 36470004 L3 vertebra of CID 7192, all as in pydicom's dictionary
(SNOMED-RT T-62000, T-11910, T-11930); 68455001 Iliopsoas muscle is TotalSegmentator's; left 7771000 and right 24028007
are of CID 244.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path

import highdicom as hd
import numpy as np
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code
from pydicom.uid import ExplicitVRLittleEndian

from node.phantom.coverage import Mask
from node.phantom.marker import MODEL, SEG_MANUFACTURER, SERIAL_NUMBER, made_uid
from node.phantom.render import Rendering, lesion_masks
from node.phantom.structures import Structure

ANATOMICAL_STRUCTURE = Code("123037004", "SCT", "Anatomical Structure")
ABNORMAL_STRUCTURE = Code("49755003", "SCT", "Morphologically Abnormal Structure")
LIVER = Code("10200004", "SCT", "Liver")
ILIOPSOAS = Code("68455001", "SCT", "Iliopsoas muscle")
L1 = Code("66794005", "SCT", "L1 vertebra")
L3 = Code("36470004", "SCT", "L3 vertebra")
MASS = Code("4147007", "SCT", "Mass")
LEFT = Code("7771000", "SCT", "Left")
RIGHT = Code("24028007", "SCT", "Right")

COLOURS = {
    "liver": (187, 116, 92),
    "iliopsoas_left": (178, 65, 64),
    "iliopsoas_right": (204, 98, 82),
    "vertebrae_L1": (226, 202, 134),
    "vertebrae_L3": (197, 180, 120),
    "lesion": (120, 190, 60),
}
"""Recommended display colours, RGB."""


def write_seg(
    path: Path,
    rendering: Rendering,
    ct_files: Sequence[Path],
    *,
    only: Collection[str] | None = None,
    semiautomatic: bool = False,
) -> Path:
    """Write the truth as one BINARY SEG whose frames point at the CT slices.

    Parameters
    ----------
    path : Path
        The file to write.
    rendering : Rendering
        What the CT files show.
    ct_files : sequence of Path
        From `write_ct`, in the order of the slices; or the one file of an Enhanced CT image that holds all of them.
    only : collection of str, optional
        Names of the structures to write; all by default.
    semiautomatic : bool
        Say of each segment that a person had a hand in it.

    Returns
    -------
    Path
        `path`. Empty frames are left out, and so is a structure that the grid does not show.

    Raises
    ------
    ValueError
        If the files are not as many as the slices, or nothing is there to be segmented.
    """
    multi_frame = len(ct_files) == 1 < rendering.grid.slices
    if len(ct_files) != rendering.grid.slices and not multi_frame:
        raise ValueError(f"{len(ct_files)} CT files for {rendering.grid.slices} slices")
    wanted = [(name, mask) for name, mask in truth_masks(rendering) if only is None or name in only]
    named = [(name, mask) for name, mask in wanted if mask.any()]
    if not named:
        raise ValueError("nothing to segment on this grid")
    shown = np.flatnonzero(np.any([mask.any(axis=(1, 2)) for _, mask in named], axis=0))
    span = slice(None) if multi_frame else slice(int(shown[0]), int(shown[-1]) + 1)
    sources = [_in_unicode(file) for file in ct_files[span]]
    seed = sources[0].SeriesInstanceUID
    # each segment's frames stay contiguous in memory: highdicom is twice as fast with them
    stack = np.moveaxis(np.stack([mask[span] for _, mask in named]).view(np.uint8), 0, -1)
    seg = hd.seg.Segmentation(
        source_images=sources,
        pixel_array=stack,
        segmentation_type=hd.seg.SegmentationTypeValues.BINARY,
        segment_descriptions=[
            _description(n + 1, name, seed, semiautomatic=semiautomatic) for n, (name, _) in enumerate(named)
        ],
        series_instance_uid=made_uid("seg series", seed),
        series_number=100,
        sop_instance_uid=made_uid("seg", seed),
        instance_number=1,
        manufacturer=SEG_MANUFACTURER,
        manufacturer_model_name=MODEL,
        software_versions="1",
        device_serial_number=SERIAL_NUMBER,
        transfer_syntax_uid=ExplicitVRLittleEndian,
        content_label="TRUTH",
        content_description="Exact labels of the synthetic abdomen",
        content_creator_name="Phantom^Synthetic",
        omit_empty_frames=True,
        series_description="Phantom truth",
    )
    _settle(seg, sources[0])
    path.parent.mkdir(parents=True, exist_ok=True)
    seg.save_as(path, enforce_file_format=True)
    return path


def _in_unicode(file: Path) -> Dataset:
    """Read a header, its text in Unicode: highdicom does not take every character set that PS3.3 has."""
    ds = dcmread(file, stop_before_pixels=True)
    if ds.SpecificCharacterSet != "ISO_IR 192":
        ds.decode()
        ds.SpecificCharacterSet = "ISO_IR 192"
    return ds


def truth_masks(rendering: Rendering) -> list[tuple[str, Mask]]:
    """Names and masks of the structures, in the SEG's order; the liver's holds its lesions."""
    labels = rendering.labels
    masks = [
        ("liver", (labels == Structure.LIVER) | (labels == Structure.LESION)),
        ("iliopsoas_left", labels == Structure.PSOAS_LEFT),
        ("iliopsoas_right", labels == Structure.PSOAS_RIGHT),
        ("vertebrae_L1", labels == Structure.VERTEBRA_L1),
        ("vertebrae_L3", labels == Structure.VERTEBRA_L3),
    ]
    lesions = enumerate(lesion_masks(rendering), start=1)
    return masks + [(f"lesion_{number}", mask) for number, mask in lesions]


def _description(number: int, name: str, seed: str, *, semiautomatic: bool) -> hd.seg.SegmentDescription:
    """One item of the Segment Sequence."""
    types = hd.seg.SegmentAlgorithmTypeValues
    kinds = {
        "liver": (LIVER, None),
        "iliopsoas_left": (ILIOPSOAS, LEFT),
        "iliopsoas_right": (ILIOPSOAS, RIGHT),
        "vertebrae_L1": (L1, None),
        "vertebrae_L3": (L3, None),
    }
    kind, side = kinds.get(name, (MASS, None))
    lesion = kind is MASS
    item = hd.seg.SegmentDescription(
        segment_number=number,
        segment_label=name,
        segmented_property_category=ABNORMAL_STRUCTURE if lesion else ANATOMICAL_STRUCTURE,
        segmented_property_type=kind,
        algorithm_type=types.SEMIAUTOMATIC if semiautomatic else types.AUTOMATIC,
        algorithm_identification=hd.AlgorithmIdentificationSequence(
            name="phantom truth",
            family=codes.DCM.DeformableModels,
            version="1",
        ),
        tracking_uid=made_uid("segment", seed, name),
        tracking_id=name,
        anatomic_regions=[LIVER] if lesion else None,
        display_color=hd.color.CIELabColor.from_rgb(*COLOURS["lesion" if lesion else name]),
    )
    # optional, and no family of CID 7162 is a formula's: Segment Algorithm Name says it all
    del item.SegmentationAlgorithmIdentificationSequence
    if side is not None:
        modifier = hd.sr.CodedConcept.from_code(side)
        item.SegmentedPropertyTypeCodeSequence[0].SegmentedPropertyTypeModifierCodeSequence = [modifier]
    return item


def _settle(seg: Dataset, source: Dataset) -> None:
    """Replace what highdicom takes from the clock and from chance, so that the file is the same every time."""
    uid = made_uid("seg dimensions", source.SeriesInstanceUID)
    seg.DimensionOrganizationSequence[0].DimensionOrganizationUID = uid
    for item in seg.DimensionIndexSequence:
        item.DimensionOrganizationUID = uid
    seg.ContentDate = seg.SeriesDate = seg.InstanceCreationDate = source.ContentDate
    seg.ContentTime = seg.SeriesTime = seg.InstanceCreationTime = source.ContentTime
    for equipment in seg.get("ContributingEquipmentSequence", []):
        equipment.ContributionDateTime = source.ContentDate + source.ContentTime
    seg.PatientIdentityRemoved = source.PatientIdentityRemoved
    seg.DeidentificationMethod = source.DeidentificationMethod
