"""Stage 9: findings become the files of a result: `result.json`, SEG, two SR, the Summary and its pages as PNG.

Comes in: `Findings`. Goes out: encoded files, not yet stored anywhere. What can go wrong: a source slice that is gone
(`Untrusted`). Next: stage 10, delivery, once the files lie in the job's work folder.

Rooms: `document` (the JSON), `envelope` (what every object has in common), `headers` (of the slices), `frames`
(references to them), `outline` (contours), `elements` (what is encoded here), `seg` and `planes` (its frames),
`wording` (the texts, one file for each language), `tree` and `templates` (items of an SR, and what stands in what),
`pieces` (those filled with a result), `sentences`, `quality`, `lesions`, `clinical` (what a page says), `archival`
and `viewer` (the two SR), `refusal` (an SR that says why there are no numbers), `key_images` (pages with pictures)
and `summary` (those as one object).
"""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from pydicom import Dataset

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


def write(findings: Findings, spool: Spool, *, label_map: bool = False) -> list[Made]:
    """Return the files of a result, in the order in which they are sent; with `label_map`, the SEG as such as well.

    Raises
    ------
    Untrusted
        `input-incomplete`, `input-untrusted`: a source slice, or an imported segmentation, is gone or was changed.
    """
    with ThreadPoolExecutor(max_workers=1) as pool:
        text = pool.submit(document.write, findings)  # most of it is the SHA-1 of the volume
        made: list[Made] = []
        if sources := envelope.sources(findings, spool):
            made = [*_coded(findings, sources, spool, label_map=label_map), *_drawn(findings, sources)]
        return [Made("json", "result.json", "", text.result()), *made]


def _coded(findings: Findings, sources: list[Source], spool: Spool, *, label_map: bool) -> list[Made]:
    """Return SEG and SR, or the SR that says why there are no numbers."""
    if findings.measured is None:
        return [_encoded("sr", refusal.build(findings, sources))]
    imported = envelope.imported(findings, spool)
    segmentation = seg.build(findings, sources, imported)
    if segmentation is None:
        return [_encoded("sr", refusal.build(findings, sources))]
    archived = archival.build(findings, sources, [segmentation, *imported])
    labelled = seg.label_map(findings, sources, imported) if label_map else None
    made = [_encoded("seg", segmentation), *([_encoded("seg-labelmap", labelled)] if labelled else [])]
    made.append(_encoded("sr", archived))
    drawn = viewer.build(findings, sources)
    return [*made, _encoded("sr-viewer", drawn)] if drawn else made


def _drawn(findings: Findings, sources: list[Source]) -> list[Made]:
    """Return the Summary, and its pages as PNG."""
    pages = key_images.draw(findings, sources)
    pictures = [Made("key-image", file, "", content) for file, content in summary.pictures(pages)]
    return [_encoded("summary", summary.build(findings, sources, pages)), *pictures]


def _encoded(kind: str, ds: Dataset) -> Made:
    return Made(kind, f"{kind}.dcm", str(ds.SOPInstanceUID), envelope.encoded(ds))
