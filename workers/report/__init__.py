"""Stage 9: findings become the files of a result: `result.json`, SEG, two SR, the Summary and its pages as PNG.

Comes in: `Findings`. Goes out: encoded files, not yet stored anywhere. What can go wrong: a source slice that is gone
(`Untrusted`). Next: stage 10, delivery, once the files lie in the job's work folder.

Rooms: `document` (the JSON), `envelope` (what every object has in common), `frames` (references to multi-frame images),
`outline` (contours), `seg`, `wording` (the texts, one file for each language), `pieces` (parts of an SR), `sentences`,
`quality`, `lesions`, `clinical` (what a page says), `archival` and `viewer` (the two SR), `refusal` (an SR that says
why there are no numbers), `key_images` (pages with pictures) and `summary` (those as one object).
"""

from dataclasses import dataclass
from io import BytesIO

from pydicom import Dataset
from pydicom.uid import ExplicitVRLittleEndian

from node.core.spool import Spool
from workers.report import archival, document, envelope, key_images, refusal, seg, summary, viewer
from workers.report.document import Findings
from workers.report.frames import Source


@dataclass(frozen=True)
class Made:
    """One encoded file; `sop_instance_uid` is empty for what is no DICOM object."""

    kind: str
    file: str
    sop_instance_uid: str
    content: bytes


def write(findings: Findings, spool: Spool) -> list[Made]:
    """Return the files of a result, in the order in which they are sent.

    Raises
    ------
    Untrusted
        `input-incomplete`, `input-untrusted`: a source slice, or an imported segmentation, is gone or was changed.
    """
    made = [Made("json", "result.json", "", document.write(findings))]
    sources = envelope.sources(findings, spool)
    return [*made, *_coded(findings, sources, spool), *_drawn(findings, sources)] if sources else made


def _coded(findings: Findings, sources: list[Source], spool: Spool) -> list[Made]:
    """Return SEG and SR, or the SR that says why there are no numbers."""
    if findings.measured is None:
        return [_encoded("sr", refusal.build(findings, sources))]
    imported = envelope.imported(findings, spool)
    segmentation = seg.build(findings, sources, imported)
    if segmentation is None:
        return [_encoded("sr", refusal.build(findings, sources))]
    archived = archival.build(findings, sources, [segmentation, *imported])
    made = [_encoded("seg", segmentation), _encoded("sr", archived)]
    drawn = viewer.build(findings, sources)
    return [*made, _encoded("sr-viewer", drawn)] if drawn else made


def _drawn(findings: Findings, sources: list[Source]) -> list[Made]:
    """Return the Summary, and its pages as PNG."""
    pages = key_images.draw(findings, sources)
    pictures = [Made("key-image", file, "", content) for file, content in summary.pictures(pages)]
    return [_encoded("summary", summary.build(findings, sources, pages)), *pictures]


def _encoded(kind: str, ds: Dataset) -> Made:
    buffer = BytesIO()
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds.save_as(buffer, enforce_file_format=True)
    return Made(kind, f"{kind}.dcm", str(ds.SOPInstanceUID), buffer.getvalue())
