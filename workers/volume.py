"""Stage 6: a candidate series of the spool becomes a `Volume` in Hounsfield units.

Comes in: a `Candidate`. Goes out: `Volume`, slices from inferior to superior. What can go wrong: everything that
must not be measured is refused with its code (`NotAnalysable`); a file that is gone or was changed is `Untrusted`.
Next: stage 7, segmentation. The rescale is applied per slice (PS3.3 C.7.6.16 and C.8.2.1); nothing is resampled,
masked or clipped here. How one file is read is told in `workers.pixels`.
"""

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace

import numpy as np
from pydicom import Dataset
from pydicom.uid import UID

from node.core.dicom import COMPRESSED, IMAGE_CLASSES, TRANSFER_SYNTAXES, is_uid, read_header
from node.core.errors import NotAnalysable, Refused
from node.core.frames import frames
from node.core.grid import Plane, Stack, plane, stack
from node.core.reasons import StudyRefusal
from node.core.records import Candidate, Instance
from node.core.settings import MeasurementSettings
from node.core.spool import Spool
from workers.acquisition import acquisition, joined
from workers.pixels import Range, Slice, Values, in_pieces, slices, slices_in_pieces
from workers.plain import Pattern, like, pattern
from workers.records import Acquisition, Volume
from workers.signature.stated import NOTHING, Stated, stated

_SINGLE_FRAME, _MULTI_FRAME = IMAGE_CLASSES
_AHEAD = 3  # files that are read and hashed while one is decoded


def read(candidate: Candidate, spool: Spool, settings: MeasurementSettings) -> Volume:
    """Read a series.

    Each file is read once, held against its digest and decoded into the volume in the order in which it comes; then
    the slices are put in order in place. No more than a few slices are held beside the volume. Of compressed slices,
    whose decoding is dear, the headers are read beforehand, so that a series that is no volume is refused first.

    Raises
    ------
    NotAnalysable
        `too-few-slices`, `mixed-orientation`, `mixed-frame-of-reference`, `duplicate-positions`, `uneven-spacing`,
        `gantry-tilt`, `transfer-syntax-unsupported`, `pixels-unreadable`.
    Untrusted
        `input-incomplete`, `input-untrusted`: a file is gone, or is not the one that was received.
    """
    try:
        return _read(candidate, spool, settings)
    except NotAnalysable:
        for instance in candidate.instances:  # a file that was changed is the graver finding
            spool.verified(instance)
        raise


def _read(candidate: Candidate, spool: Spool, settings: MeasurementSettings) -> Volume:
    for instance in candidate.instances:
        if instance.transfer_syntax_uid not in TRANSFER_SYNTAXES:
            raise NotAnalysable(StudyRefusal.TRANSFER_SYNTAX_UNSUPPORTED, named(instance.transfer_syntax_uid))
    dear = any(instance.transfer_syntax_uid in COMPRESSED for instance in candidate.instances)
    several = any(instance.sop_class_uid == _MULTI_FRAME for instance in candidate.instances)
    count = len(candidate.instances)
    if dear or several:
        planes = [one for instance in candidate.instances for one in _planes(instance, spool)]
        _stack(planes, settings)
        count = len(planes)
    heap = _Heap(count)
    for instance, own in _slices(candidate.instances, spool):
        heap.add(instance, own)
    stacked = _stack(heap.planes, settings)
    if heap.hu is None or heap.acquisition is None:
        raise NotAnalysable(StudyRefusal.TOO_FEW_SLICES, "no slices")
    _put_in_order(heap.hu, stacked.order)
    ordered = [heap.sources[index] for index in stacked.order]
    return Volume(
        heap.hu,
        stacked.geometry,
        candidate,
        tuple(instance for instance, _ in ordered),
        replace(heap.acquisition, padding_hu=tuple(sorted(heap.padding_hu)), padding_voxels=heap.padding_voxels),
        tuple(frame for _, frame in ordered if frame is not None),
        heap.stated,
    )


def named(transfer_syntax_uid: str) -> str:
    """Return a transfer syntax by the name that the standard gives it, with its UID."""
    if not is_uid(transfer_syntax_uid):
        return "not named by a UID"
    name = UID(transfer_syntax_uid).name
    return transfer_syntax_uid if name == transfer_syntax_uid else f"{name} ({transfer_syntax_uid})"


def _stack(planes: Sequence[Plane], settings: MeasurementSettings) -> Stack:
    """Return the grid of slices; a tilted one is refused where the site wants it so."""
    found = stack(planes, spacing_tolerance=settings.spacing_tolerance, minimum_slices=settings.minimum_slices)
    if found.geometry.is_tilted and settings.gantry_tilt == "refuse":
        raise NotAnalysable(StudyRefusal.GANTRY_TILT, f"{found.geometry.tilt_degrees:.1f} degrees")
    return found


@dataclass
class _Heap:
    """The slices so far, in the order in which they came."""

    count: int
    hu: Values | None = None
    planes: list[Plane] = field(default_factory=list)
    sources: list[tuple[Instance, int | None]] = field(default_factory=list)
    acquisition: Acquisition | None = None
    stated: Stated = NOTHING
    padding_hu: set[Range] = field(default_factory=set)
    padding_voxels: int = 0
    _header: Dataset | None = None

    def add(self, instance: Instance, one: Slice) -> None:
        """Decode a slice and lay it behind the others.

        One that is of another size is not decoded, nor is any behind it: `stack` will refuse them all.
        """
        if len(self.planes) == self.count:
            raise NotAnalysable(StudyRefusal.PIXELS_UNREADABLE, "more slices than the headers say")
        index, first = len(self.planes), self.planes[0] if self.planes else one.plane
        self.planes.append(one.plane)
        self.sources.append((instance, one.frame))
        if one.header is not self._header:
            known, self._header = self.acquisition, one.header
            self.acquisition = acquisition(one.header) if known is None else joined(known, one.header)
            self.stated = stated(one.header) if known is None else self.stated
        shape = (self.count, first.rows, first.columns)
        if (one.plane.rows, one.plane.columns) != shape[1:]:
            self.hu = None
        elif self.hu is not None or index == 0:
            self._lay(index, one, self.hu if self.hu is not None else _empty(shape))

    def _lay(self, index: int, one: Slice, hu: Values) -> None:
        values = one.hounsfield()
        self.hu = hu if np.can_cast(values.dtype, hu.dtype) else hu.astype(np.result_type(hu, values))
        self.hu[index] = values
        least = float(values.min())
        for lowest, highest in one.padding_hu:
            if least <= highest and (found := np.count_nonzero((values >= lowest) & (values <= highest))):
                self.padding_hu.add((lowest, highest))
                self.padding_voxels += int(found)


def _empty(shape: tuple[int, int, int]) -> Values:
    try:
        return np.empty(shape, dtype=np.int16)
    except (MemoryError, ValueError) as error:
        size = " x ".join(map(str, shape))
        raise NotAnalysable(StudyRefusal.PIXELS_UNREADABLE, f"{size} voxels are not to be held") from error


def _slices(instances: Sequence[Instance], spool: Spool) -> Iterator[tuple[Instance, Slice]]:
    """Yield the slices of all instances; the next files are read and hashed meanwhile."""
    with ThreadPoolExecutor(max_workers=1) as pool:
        coming: deque[tuple[Instance, Future[bytes] | None]] = deque()
        left = iter(instances)
        known: Pattern | None = None
        while True:
            while len(coming) < _AHEAD and (following := next(left, None)) is not None:
                whole = None if in_pieces(following) else pool.submit(spool.verified, following)
                coming.append((following, whole))
            if not coming:
                return
            instance, content = coming.popleft()
            if content is None:
                yield from ((instance, one) for one in slices_in_pieces(instance, spool))
                continue
            one = like(content.result(), known) if known and instance.sop_class_uid == _SINGLE_FRAME else None
            if one is not None:
                yield instance, one
                continue
            for one in slices(instance, content.result()):
                known = pattern(content.result(), one) if one.frame is None else None
                yield instance, one


def _put_in_order(hu: Values, order: Sequence[int]) -> None:
    """Sort the slices of an array in place, so that slice `k` is what was slice `order[k]`."""
    done = [False] * len(order)
    for start in range(len(order)):
        if done[start] or order[start] == start:
            continue
        kept, place = hu[start].copy(), start
        while order[place] != start:
            hu[place], done[place] = hu[order[place]], True
            place = order[place]
        hu[place], done[place] = kept, True


def _planes(instance: Instance, spool: Spool) -> Sequence[Plane]:
    """Return where the slices of an instance lie, from its header alone."""
    try:
        ds = read_header(spool.file(instance))
    except Refused as error:  # or the file is gone, which is found when they are all held against their digests
        raise NotAnalysable(StudyRefusal.PIXELS_UNREADABLE, f"{instance.sop_instance_uid}: {error}") from error
    if instance.sop_class_uid == _MULTI_FRAME:
        found = [one.plane for one in frames(ds) or ()]
    else:
        found = [one for one in (plane(ds),) if one is not None]
    if not found:
        raise NotAnalysable(StudyRefusal.MIXED_ORIENTATION, "a slice has no position, orientation or pixel spacing")
    return found
