"""Small results of boxes in a body, of every kind, for what looks at objects and not at numbers."""

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import numpy as np
from made_arrays import BODY_SHAPE, BODY_SPACING_MM, body
from made_enhanced import enhance
from made_seg import drawn, write_seg
from made_series import Layout, candidate, request, write_series
from made_series import spool as absolute
from studies import Study, run

from node.core.codes import Structure
from node.core.records import Document, Instance, Superseded
from node.core.settings import MeasurementSettings
from node.core.spool import Spool
from workers import volume
from workers.records import Mask
from workers.report import rejection

_HU = (np.random.default_rng(8).normal(100, 12, BODY_SHAPE) + 1024).astype(np.uint16)
REPORTS = ("sr.dcm", "sr-viewer.dcm")


def measured(folder: Path, columns: int = BODY_SHAPE[2]) -> Study:
    """A study of single slices with a segmentation of every structure, with some columns of the boxes' 64 or all."""
    paths = write_series(folder / "ct", _HU[..., :columns], layout=Layout(spacing_mm=BODY_SPACING_MM))
    return _measured(folder, paths, paths)


def of_frames(folder: Path) -> Study:
    """The same in two Enhanced CT images, with the SEG as a label map too."""
    paths = write_series(folder / "ct", _HU, layout=Layout(spacing_mm=BODY_SPACING_MM))
    images = [enhance(paths[part::2], folder / f"{part}.dcm", number=part + 1) for part in (0, 1)]
    return _measured(folder, paths, images, label_map=True)


def refused(folder: Path) -> Study:
    """The same without a segmentation."""
    paths = write_series(folder / "ct", _HU, layout=Layout(spacing_mm=BODY_SPACING_MM))
    return run(request(paths), _spool(folder))


def superseding(first: Study, folder: Path, *segmentations: Instance) -> Study:
    """A second result of a study, with further segmentations if there are any; it names the first."""
    asked = first.request
    documents = tuple(Document(str(ds.SeriesInstanceUID), str(ds.SOPInstanceUID)) for ds in map(first.dataset, REPORTS))
    old = Superseded(asked.key, asked.requested_at, asked.revision, documents)
    later = asked.requested_at + timedelta(hours=1)
    drawn_anew = (*asked.segmentations, *segmentations)
    changed = replace(asked, requested_at=later, segmentations=drawn_anew, after=asked.key, supersedes=old)
    return run(changed, _spool(folder))


def rejected(old: Study, new: Study, path: Path) -> Path:
    """Write the note that rejects a result for another one of the same study."""
    objects = [old.dataset(product.file) for product in old.outcome.products]
    path.write_bytes(rejection.encode(rejection.build(new.request, "pacs", objects, new.dataset("sr.dcm"))))
    return path


def _measured(folder: Path, slices: list[Path], images: list[Path], *, label_map: bool = False) -> Study:
    read = volume.read(candidate(slices), absolute(), MeasurementSettings())
    order = [Path(one.path) for one in read.instances]
    columns = read.geometry.shape[2]
    masks: dict[Structure, Mask | list[Mask]] = {one: np.asarray(mask)[..., :columns] for one, mask in body().items()}
    seg = write_seg(folder / "seg.dcm", order, read.geometry, drawn(masks))
    return run(request(images, segmentations=[seg]), _spool(folder), label_map=label_map)


def _spool(folder: Path) -> Spool:
    spool = Spool(folder / "home")
    spool.prepare()
    return spool
