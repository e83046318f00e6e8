"""An awkward study while it is made, and when it is written.

Beside the ten stages. In: a folder and a kind. Out: `Bench`, with which the makers of the kinds work: the standard
abdomen, a small straight grid, and the writing of series, truth and segmentation; `AwkwardStudy`, what lies on disk
then. What can go wrong: a folder that holds a series already (FileExistsError), a disk that is full (OSError).
Next: the modules of the kinds, then the node, like any study.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path

from node.phantom.anatomy import Anatomy
from node.phantom.awkward.kinds import Kind
from node.phantom.dicom import Edit, write_ct
from node.phantom.files import write_truth
from node.phantom.grid import Grid, covering_grid
from node.phantom.planes import Planes
from node.phantom.render import Rendering, render
from node.phantom.segments import write_seg
from node.phantom.truth import Truth, truth
from node.phantom.variation import standard_anatomy

SPACING_MM = (5.0, 2.5, 2.5)
"""Of the straight grid that most kinds start from: small, so that all of them are made and measured in minutes."""
NOISE_SD_HU = 14.0


@dataclass(frozen=True)
class AwkwardStudy:
    """What was written.

    Attributes
    ----------
    kind : Kind
        What is awkward.
    first, later : tuple of Path
        The instances in the order in which they are sent; `later` comes when the first were taken as complete.
    seg : Path
        The truth as segmentation.
    truth : dict
        Exact numbers, as of `node.phantom.truth`.
    rendering : Rendering
        What the images show.
    """

    kind: Kind
    first: tuple[Path, ...]
    later: tuple[Path, ...]
    seg: Path
    truth: Truth
    rendering: Rendering


@dataclass(frozen=True)
class Bench:
    """Where a kind is made: OUT/ct/ gets the study, OUT/later/ what comes afterwards, OUT/seg.dcm the truth.

    Attributes
    ----------
    out : Path
        The folder.
    kind : Kind
        What is made; UIDs hang on it alone, so the same kind is the same study each time.
    """

    out: Path
    kind: Kind

    @cached_property
    def anatomy(self) -> Anatomy:
        """The standard abdomen."""
        return standard_anatomy()

    @cached_property
    def grid(self) -> Grid:
        """The straight grid around it."""
        return covering_grid(self.anatomy, spacing_mm=SPACING_MM)

    @property
    def uid_seed(self) -> str:
        """What the study's UIDs are made from."""
        return f"awkward {self.kind}"

    def picture(self, grid: Grid | Planes | None = None) -> Rendering:
        """The standard abdomen on a grid, by default the straight one."""
        return _straight(self.grid) if grid is None else render(self.anatomy, grid, noise_sd_hu=NOISE_SD_HU)

    def series(self, picture: Rendering, *, folder: str = "ct", edit: Edit | None = None) -> list[Path]:
        """Write a picture as a CT series, slice by slice."""
        place = self.out / folder
        if place.exists() and any(place.iterdir()):
            raise FileExistsError(f"{place} is not empty")
        return write_ct(
            place,
            picture,
            picture.grid,
            picture.anatomy,
            study_description=f"Synthetic abdomen, {self.kind}",
            uid_seed=self.uid_seed,
            edit=edit,
        )

    def finished(
        self,
        picture: Rendering,
        slices: Sequence[Path],
        *,
        first: Sequence[Path] | None = None,
        later: Sequence[Path] = (),
        seg: Path | None = None,
    ) -> AwkwardStudy:
        """Write the truth beside the images.

        Parameters
        ----------
        picture, slices
            What the segmentation is of, and its files in the order of the slices.
        first, later
            The instances in the order of sending; by default the slices.
        seg
            The segmentation, where it is written already.
        """
        numbers = truth(self.anatomy, NOISE_SD_HU)
        write_truth(self.out / "truth.json", self.anatomy, numbers)
        made = seg or write_seg(self.out / "seg.dcm", picture, slices)
        return AwkwardStudy(self.kind, tuple(slices if first is None else first), tuple(later), made, numbers, picture)


@cache
def _straight(grid: Grid) -> Rendering:
    """The picture that most kinds share; nobody writes into it."""
    return render(standard_anatomy(), grid, noise_sd_hu=NOISE_SD_HU)
