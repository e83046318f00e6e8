"""Studies of boxes in a folder, analysed with what a test asks for."""

from pathlib import Path
from typing import Any

import numpy as np
from made_arrays import BODY_SHAPE, BODY_SPACING_MM, body
from made_seg import drawn, write_seg
from made_series import Layout, candidate, request, write_series
from made_series import spool as absolute
from studies import Study, run

from node.core.codes import Structure
from node.core.settings import MeasurementSettings
from node.core.spool import Spool
from workers import volume

HU = (np.random.default_rng(8).normal(100, 12, BODY_SHAPE) + 1024).astype(np.uint16)
MADE = Layout(spacing_mm=BODY_SPACING_MM)


class Made:
    """A study of boxes in a folder, analysed with what a test asks for."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.count = folder, 0

    def study(
        self,
        masks: dict[Structure, Any] | None = None,
        edit: Any = None,
        facts: Any = None,
        stored: np.ndarray = HU,
        **options: Any,
    ) -> Study:
        """Write the series, its SEG and the result of both."""
        self.count += 1
        place = self.folder / str(self.count)
        paths = write_series(place / "ct", stored, layout=MADE, edit=edit)
        geometry = volume.read(candidate(paths), absolute(), MeasurementSettings()).geometry
        seg = write_seg(place / "seg.dcm", paths, geometry, drawn(masks or body(), **facts or {}))
        home = Spool(place / "home")
        home.prepare()
        return run(request(paths, segmentations=[seg], **options), home)
