"""How a result refers to the frames of multi-frame images (PS3.3 sections 10.3 and C.7.6.16.2.3, PS3.16 TID 320).

highdicom derives segments from slices that are images of their own, or from one multi-frame image with an orientation
that all its frames share. A volume may be of several such images, some frames of which are left out: each of its
slices is therefore handed over as an image with a UID that stands in, and afterwards every reference to it is made one
to the frame. An instance is listed once, however many of its frames were used.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import highdicom as hd
from pydicom import Dataset
from pydicom.uid import CTImageStorage

from node.core.dicom import result_uid
from node.core.frames import header_copy


@dataclass(frozen=True)
class Source:
    """One slice of the volume: a header as of an image of its own, and which frame of its instance it is, from 1."""

    header: Dataset
    frame: int | None = None


def image(source: Source) -> hd.sr.SourceImageForRegion:
    """Return the reference to a slice that an SCOORD is selected from."""
    return hd.sr.SourceImageForRegion(
        source.header.SOPClassUID, source.header.SOPInstanceUID, [source.frame] if source.frame else None
    )


def standing_in(sources: Sequence[Source], job_key: str) -> list[Dataset]:
    """Return the slices as images of one frame each; those that are such images already come back as they are."""
    images = []
    for source in sources:
        header = source.header
        if source.frame:
            header = header_copy(source.header)
            header.add_new("SOPClassUID", "UI", CTImageStorage)
            header.add_new("SOPInstanceUID", "UI", _stand_in(source, job_key))
        images.append(header)
    return images


def refer_to_frames(ds: Dataset, sources: Sequence[Source], job_key: str) -> None:
    """Make each reference of a SEG to a slice that stands in one to the frame that it stands for."""
    real = {_stand_in(one, job_key): one for one in sources if one.frame}
    if not real:
        return
    for frame in ds.PerFrameFunctionalGroupsSequence:
        for derivation in frame.DerivationImageSequence:
            for reference in derivation.SourceImageSequence:
                # Frames of several segments on one slice share the item, which is then named already.
                if (one := real.get(reference.ReferencedSOPInstanceUID)) is not None:
                    _name(reference, one)
                    reference.ReferencedFrameNumber = one.frame
    ds.SourceImageSequence = _instances(ds.SourceImageSequence, real)
    for series in ds.ReferencedSeriesSequence:
        series.ReferencedInstanceSequence = _instances(series.ReferencedInstanceSequence, real)


def _instances(references: Sequence[Dataset], real: dict[str, Source]) -> list[Dataset]:
    """Return references to instances, each once, in their order."""
    named: dict[str, Dataset] = {}
    for reference in references:
        # The two lists of highdicom share their items: the second meets what the first has named already.
        if (one := real.get(reference.ReferencedSOPInstanceUID)) is not None:
            _name(reference, one)
        named.setdefault(reference.ReferencedSOPInstanceUID, reference)
    return list(named.values())


def _name(reference: Dataset, source: Source) -> None:
    reference.ReferencedSOPClassUID = source.header.SOPClassUID
    reference.ReferencedSOPInstanceUID = source.header.SOPInstanceUID


def _stand_in(source: Source, job_key: str) -> str:
    return str(result_uid(job_key, f"frame/{source.header.SOPInstanceUID}/{source.frame}"))
