"""Many regions become a table with the columns of PyRadiomics' own command.

Comes in: images and masks by path, or a CSV file that lists them. Goes out: a CSV file with a row for each region: what
was listed, diagnostics, features. What can go wrong: a region may have no features, which its caller hears, and its row
ends before them; a list or a parameter file that cannot be read. Next: a researcher, or `crlm-node signature`.

Until all regions have features, what was measured stands in a `journal` too, and is not measured again.
"""

import csv
import hashlib
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib.metadata import version
from itertools import groupby
from pathlib import Path
from threading import Event, Thread
from typing import Any

import SimpleITK

from node.core.errors import NotExtractable
from node.core.reasons import RegionRefusal
from workers.extraction import sources
from workers.extraction.journal import Journal, Row
from workers.measurement.deep.embedding import told
from workers.measurement.deep.folder import Network
from workers.measurement.deep.folder import read as network
from workers.measurement.radiomics import parameters
from workers.measurement.radiomics.engine import Engine, load
from workers.measurement.radiomics.features import Features
from workers.measurement.radiomics.wanted import Wanted

__all__ = ["Ended", "Listed", "listed", "network", "one", "run"]

IMAGE, MASK, LABEL, SEGMENT = "Image", "Mask", "Label", "Segment"
_AT_ONCE = 8  # regions of an image, whose masks are held together


@dataclass(frozen=True)
class Listed:
    """A region to measure: where it is, and its row of the list as it was read; paths in it are absolute.

    `label` is that of a mask of numbers, `segment` the label or the number of a segment of a SEG.
    """

    image: Path
    mask: Path
    label: int | None
    segment: str | None
    row: Mapping[str, str]


@dataclass(frozen=True)
class Ended:
    """How a run ended: regions with features, regions without, regions that were not looked at.

    `before` is how many of those with features an earlier run had measured.
    """

    measured: int
    failed: int
    waiting: int
    before: int = 0


def one(image: Path, mask: Path, label: int | None, segment: str | None = None) -> Listed:
    """Return a region that is named by words."""
    row = {IMAGE: str(image.absolute()), MASK: str(mask.absolute())}
    own = {LABEL: label, SEGMENT: segment}
    return Listed(image, mask, label, segment, row | {name: str(value) for name, value in own.items() if value})


def listed(source: Path) -> list[Listed]:
    """Read a list of regions: columns Image and Mask (paths, relative ones from the list); Label, Segment.

    Raises
    ------
    NotExtractable
        It cannot be read, or lacks a column.
    """
    try:
        with source.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            columns, rows = reader.fieldnames or (), list(reader)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise NotExtractable(RegionRefusal.LIST_INVALID, f"{source.name}: {error}") from error
    if missing := [name for name in (IMAGE, MASK) if name not in columns]:
        raise NotExtractable(RegionRefusal.LIST_INVALID, f"{source.name} has no column {missing[0]}")
    if not rows:
        raise NotExtractable(RegionRefusal.LIST_INVALID, f"{source.name} lists no region")
    return [_listed(source, number, row) for number, row in enumerate(rows, 2)]


def _listed(source: Path, number: int, row: dict[str | None, Any]) -> Listed:
    where = f"{source.name}, line {number}"
    if None in row or None in row.values() or not row[IMAGE] or not row[MASK]:
        raise NotExtractable(RegionRefusal.LIST_INVALID, f"{where}: a cell is missing, or one too many")
    label = row.get(LABEL) or None
    if label is not None and (not label.isdecimal() or int(label) < 1):
        raise NotExtractable(RegionRefusal.LIST_INVALID, f"{where}: the label {label!r} is not a number from 1")
    image, mask = (Path(os.path.abspath(source.parent / row[name])) for name in (IMAGE, MASK))  # noqa: PTH100 - as PyRadiomics, which leaves links alone
    cells = {str(name): str(value) for name, value in row.items()} | {IMAGE: str(image), MASK: str(mask)}
    return Listed(image, mask, int(label) if label else None, row.get(SEGMENT) or None, cells)


def run(
    regions: Sequence[Listed],
    parameter_file: Path | None,
    engine: str,
    out: Path,
    *,
    deep: Network | None = None,
    stop: Event,
    on_end: Callable[[Listed, NotExtractable | None], None],
) -> Ended:
    """Compute the features of regions and write their table; what is done when `stop` is set is written too.

    Parameters
    ----------
    parameter_file
        Of PyRadiomics; None: deep features alone.
    deep
        The network of deep features, which come after the others; None: there are none.
    on_end
        Is told of each region when it has ended, and why it has no features.

    Raises
    ------
    NotExtractable
        The parameter file asks for what is not offered.
    """
    wanted = Wanted(parameters.load(parameter_file) if parameter_file else None, Engine(engine), deep)
    if parameter_file and engine == Engine.FAST:
        Thread(target=load).start()  # beside the reading of the first image
    journal = Journal(out, _asked(parameter_file, engine, deep))
    keys = [journal.key(region.row, region.image, region.mask) for region in regions]
    rows = {number: row for number, key in enumerate(keys) if (row := journal.row(key)) is not None}
    before, failed, reading = len(rows), 0, _Reading()
    for number in rows:
        on_end(regions[number], None)
    for numbers in _of_one_image(regions, [number for number in range(len(regions)) if number not in rows]):
        if stop.is_set():
            break
        found = _features([regions[number] for number in numbers], wanted, reading)
        for number, one in zip(numbers, found, strict=True):
            rows[number] = {**regions[number].row, **_cells(one)}
            why = one if isinstance(one, NotExtractable) else None
            if why is None:
                journal.add(keys[number], rows[number])
            failed += why is not None
            on_end(regions[number], why)
    _write(out, [rows[number] for number in sorted(rows)])
    if len(rows) - failed == len(regions):
        journal.forget()
    return Ended(len(rows) - failed, failed, len(regions) - len(rows), before)


def _asked(parameter_file: Path | None, engine: str, deep: Network | None) -> list[Any]:
    """Return all but the region that a row depends on."""
    digest = hashlib.sha256(parameter_file.read_bytes()).hexdigest() if parameter_file else None
    return [version("crlm-node"), engine, digest, told(deep) if deep else None]


def _of_one_image(regions: Sequence[Listed], numbers: Sequence[int]) -> Iterator[list[int]]:
    """Yield those of these regions that are neighbours and of one image, not too many at once."""
    for _, group in groupby(numbers, key=lambda number: regions[number].image):
        waiting = list(group)
        yield from (waiting[first : first + _AT_ONCE] for first in range(0, len(waiting), _AT_ONCE))


class _Reading:
    """What has been read last: a list names an image, and often a mask of labels, once for each region."""

    def __init__(self) -> None:
        self.image = lru_cache(maxsize=1)(sources.image)
        self._mask = lru_cache(maxsize=2)(lambda path, image: sources.mask(path, None, self.image(image)))

    def region(self, region: Listed) -> tuple[SimpleITK.Image, int | None]:
        """Return the mask of a region and its label; None: that of the parameters.

        Raises
        ------
        NotExtractable
            It cannot be read, or does not hold what was asked for.
        """
        of = self.image(region.image)
        if region.segment is None and not sources.is_dicom(region.mask):
            return self._mask(region.mask, region.image), region.label
        if region.label is not None:
            raise NotExtractable(RegionRefusal.MASK_EMPTY, "a label is of a mask of numbers, a segment of a DICOM SEG")
        return sources.mask(region.mask, region.segment, of), 1


def _features(group: Sequence[Listed], wanted: Wanted, reading: _Reading) -> list[Features | NotExtractable]:
    """Return the features of regions of one image, or why one has none."""
    found: list[Features | NotExtractable | None] = [None] * len(group)
    asked = []
    for number, region in enumerate(group):
        try:
            asked.append((number, *reading.region(region)))
        except NotExtractable as error:
            found[number] = error
    if asked:
        image = reading.image(group[0].image).image
        each = wanted.of_each(image, [(mask, label) for _, mask, label in asked])
        for (number, _, _), one in zip(asked, each, strict=True):
            found[number] = one
    return [one for one in found if one is not None]


def _cells(found: Features | NotExtractable) -> dict[str, str]:
    """Return what stands in the cells of a row, as `csv` would write it."""
    if isinstance(found, NotExtractable):
        return {}
    return {name: str(value) for name, value in {**found.diagnostics, **found.values}.items()}


def _write(out: Path, rows: Sequence[Row]) -> None:
    """Write rows; the columns are those of the fullest one, then those that only others have, by name."""
    if not rows:
        return
    fullest = max(rows, key=len)
    columns = list(fullest) + sorted({name for row in rows for name in row} - set(fullest))
    partial = out.with_name(f".{out.name}.part")
    with partial.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    partial.replace(out)
