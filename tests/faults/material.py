"""The studies that are sent: small CT series, with or without a segmentation, as many as wanted.

One study of each form is made in full; the others are its files with another number in every UID. A UID keeps its
length, so that the bytes stay a valid file.
"""

import hashlib
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import numpy as np
from made_arrays import BODY_SHAPE, BODY_SPACING_MM, body
from made_seg import drawn, write_seg
from made_series import Layout, candidate, request, spool, write_series
from pydicom import Dataset
from pydicom.uid import UID

from workers import volume

_ROOT = "1.2.826.0.1.3680043.8.498.88"
_FIRST, _LAST = 100_000, 999_999
_SEG_UID, _SEG_SERIES_UID = f"{_ROOT}.{_FIRST}.2.1", f"{_ROOT}.{_FIRST}.2"
_META_LENGTH = slice(140, 144)  # value of File Meta Information Group Length, PS3.10 section 7.1


class Form(StrEnum):
    """What becomes of a study when nothing goes wrong."""

    MEASURED = "measured"
    REFUSED = "refused, no segmentation"
    FEW = "refused, too few slices"


_SLICES = {Form.MEASURED: BODY_SHAPE[0], Form.REFUSED: 12, Form.FEW: 3}


@dataclass(frozen=True)
class Item:
    """One instance as it is sent: SOP Instance UID, whether it is a slice, file, SHA-256 of its data set."""

    sop_instance_uid: str
    is_slice: bool
    path: Path
    digest: str


@dataclass(frozen=True)
class Material:
    """A study to send."""

    uid: str
    form: Form
    items: tuple[Item, ...]


class Press:
    """Makes studies; numbers are given out once.

    Parameters
    ----------
    folder
        Where the files go.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._templates = {form: _template(folder / "template" / form.name.lower(), form) for form in Form}
        self._number = _FIRST

    def make(self, form: Form) -> Material:
        """Return a new study."""
        self._number += 1
        assert self._number <= _LAST, "no number is left that keeps the length of a UID"
        out = self._folder / str(self._number)
        out.mkdir()
        items = []
        for uid, name, content in self._templates[form]:
            changed = content.replace(f"{_ROOT}.{_FIRST}".encode(), f"{_ROOT}.{self._number}".encode())
            (out / name).write_bytes(changed)
            items.append(Item(self._renumbered(uid), uid != _SEG_UID, out / name, digest(changed)))
        return Material(self._renumbered(f"{_ROOT}.{_FIRST}"), form, tuple(items))

    def _renumbered(self, uid: str) -> str:
        return uid.replace(f"{_ROOT}.{_FIRST}", f"{_ROOT}.{self._number}")


def digest(content: bytes) -> str:
    """SHA-256 of the data set in a DICOM file: what follows the file meta information, which each node writes anew."""
    start = _META_LENGTH.stop + int.from_bytes(content[_META_LENGTH], "little")
    return hashlib.sha256(content[start:]).hexdigest()


def _template(folder: Path, form: Form) -> list[tuple[str, str, bytes]]:
    """Return SOP Instance UID, name and content of each file of the first study of a form."""
    shape = (_SLICES[form], *BODY_SHAPE[1:])
    values = np.random.default_rng(7).integers(1000, 1100, size=shape, dtype=np.uint16)
    if form is Form.MEASURED:
        layout = Layout(spacing_mm=BODY_SPACING_MM)
    else:
        layout, values = Layout(), values[:, :16, :16]

    def ours(ds: Dataset, index: int) -> None:
        ds.StudyInstanceUID = f"{_ROOT}.{_FIRST}"
        ds.FrameOfReferenceUID = f"{_ROOT}.{_FIRST}.9"

    paths = write_series(folder, values, layout=layout, edit=ours, series=f"{_ROOT}.{_FIRST}.1")
    files = [(f"{_ROOT}.{_FIRST}.1.{index + 1}", path) for index, path in enumerate(paths)]
    if form is Form.MEASURED:
        made = request(paths)
        grid = volume.read(candidate(paths), spool(), made.measurement).geometry
        path = folder / "seg.dcm"
        write_seg(path, paths, grid, drawn(body()), edit=_number_seg)
        files.insert(0, (_SEG_UID, path))
    return [(uid, path.name, path.read_bytes()) for uid, path in files]


def _number_seg(ds: Dataset) -> None:
    ds.SOPInstanceUID = ds.file_meta.MediaStorageSOPInstanceUID = UID(_SEG_UID)
    ds.SeriesInstanceUID = _SEG_SERIES_UID
    for module in ("DimensionOrganizationSequence", "DimensionIndexSequence"):
        for item in ds.get(module, ()):
            item.DimensionOrganizationUID = f"{_SEG_SERIES_UID}.8"
