"""A cohort from studies: the features of each patient's region, computed by this project's engine, as one CSV file.

In: a folder with a folder for each patient, named as the follow-up names the patient; PyRadiomics' parameter file. Out:
a table of features as `cohort` reads it, and why a patient has none, by patient. What can go wrong: `WrongCohort` for
a folder without patients, or a table of an earlier run with other settings; `NotExtractable` for the parameter file. A
patient without features stops nothing. Next: `command`.

A patient's folder holds one image and one mask, whatever else is there: a CT series in a folder of its own, or NIfTI or
NRRD; a DICOM SEG, or NIfTI or NRRD with `mask` or `seg` in its name. Rows are written as they come, and those that are
there already stay: a run that was stopped goes on where it was.
"""

import csv
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from io import StringIO
from pathlib import Path
from threading import Event

from pydicom import dcmread
from pydicom.errors import InvalidDicomError

from node.core.errors import NotExtractable
from node.core.reasons import RegionRefusal
from workers.extraction import table as regions
from workers.measurement.radiomics import parameters
from workers.training.signature import tables
from workers.training.signature.tables import WrongCohort

__all__ = ["FEATURES", "Studies", "WrongCohort", "extract", "waiting"]

FEATURES = "features.csv"
_ENGINE = "fast"
_VOLUMES = (".nii", ".nii.gz", ".nrrd", ".mha")
_MASK_WORDS = ("mask", "seg")
_SETTINGS = "diagnostics_Configuration_Settings"
_TYPES = "diagnostics_Configuration_EnabledImageTypes"
_LISTED = (regions.IMAGE, regions.MASK, regions.LABEL, regions.SEGMENT)


@dataclass(frozen=True)
class Studies:
    """Where patients and parameters are, and what their rows are called.

    Parameters
    ----------
    prefix
        Stands before the name of each column, as the region of interest.
    label
        Label of the region in masks of numbers; None: that of the parameters.
    segment
        Label or number of the segment in a SEG; None: its only one.
    """

    folder: Path
    params: Path
    id: str
    prefix: str
    label: int | None = None
    segment: str | None = None


@dataclass(frozen=True)
class Extracted:
    """What came of the studies.

    Attributes
    ----------
    classes
        The classes of features that the parameters name, with the names; an empty list is all of a class.
    refused
        Code and words of why a patient has no features, by patient.
    """

    features: Path
    classes: Mapping[str, list[str]]
    refused: Mapping[str, str] = field(default_factory=dict)


def waiting(studies: Studies, followup: Path) -> list[str]:
    """Return the patients with both a folder and a follow-up, in order.

    Raises
    ------
    WrongCohort
        There is none, or the follow-up cannot be read.
    """
    known = tables.read(followup, studies.id).rows
    folders = sorted(path.name for path in studies.folder.iterdir() if path.is_dir())
    found = [name for name in folders if name in known]
    if not found:
        first = folders[0] if folders else "no folder"
        raise WrongCohort(
            f"no folder in {studies.folder} has the name of a patient: {first} is the first of them, "
            f"{next(iter(known))} the first {studies.id} of {followup.name}"
        )
    return found


def extract(
    studies: Studies, patients: Sequence[str], out: Path, stop: Event, told: Callable[[str, str], None]
) -> Extracted:
    """Compute the features of patients into `out`/features.csv; `told` hears of each, and why it has none.

    When `stop` is set it ends after the patient at hand.

    Raises
    ------
    WrongCohort
        The table of an earlier run is of other settings, or the parameters leave out what a manifest needs.
    NotExtractable
        The parameter file cannot be followed.
    """
    wanted = parameters.load(studies.params)
    if studies.label is not None:
        wanted = wanted.of_label(studies.label)
    if not wanted.settings.additional_info:
        raise WrongCohort(f"{studies.params.name}: additionalInfo is false, and a manifest needs the diagnostics")
    out.mkdir(parents=True, exist_ok=True)
    features = out / FEATURES
    done = _done(features, studies, wanted)
    refused = {}
    for patient in patients:
        if stop.is_set():
            break
        why = "" if patient in done else _measured(studies, patient, features)
        if why:
            refused[patient] = why
        told(patient, why)
    if refused and not features.exists():
        raise WrongCohort(f"no patient has features: {next(iter(refused.values()))}")
    return Extracted(features, _classes(wanted), refused)


def _done(features: Path, studies: Studies, wanted: parameters.Parameters) -> set[str]:
    """Return the patients that an earlier run has measured with the same settings."""
    if not features.exists():
        return set()
    rows = tables.read(features, studies.id).rows
    types = {one.name: dict(one.given) for one in wanted.image_types}
    said = {_SETTINGS: str(dict(wanted.given)), _TYPES: str(types)}
    for patient, row in rows.items():
        if any(row.get(studies.prefix + column) != cell for column, cell in said.items()):
            raise WrongCohort(
                f"{features}: {patient} was measured with other settings or another prefix; "
                "remove the file, or name another --out"
            )
    return set(rows)


def _measured(studies: Studies, patient: str, features: Path) -> str:
    """Measure a patient and add the row; return why there is none."""
    own = features.with_name(f".{FEATURES}.one")
    try:
        image, mask = find(studies.folder / patient)
        found: list[NotExtractable] = []
        regions.run(
            [_region(studies, image, mask)],
            studies.params,
            _ENGINE,
            own,
            stop=Event(),
            on_end=lambda _, why: found.extend([why] if why else []),
        )
        if found:
            raise found[0]
        _add(features, studies, patient, own)
    except NotExtractable as error:
        return f"{error.code}: {error}"
    finally:
        own.unlink(missing_ok=True)
    return ""


def _region(studies: Studies, image: Path, mask: Path) -> regions.Listed:
    """Return the region in a mask: a segment of a SEG, or a label of a mask of numbers."""
    if mask.name.lower().endswith(_VOLUMES):
        return regions.one(image, mask, studies.label, None)
    return regions.one(image, mask, None, studies.segment)


def _add(features: Path, studies: Studies, patient: str, own: Path) -> None:
    with own.open(newline="", encoding="utf-8") as file:
        [row] = csv.DictReader(file)
    cells = {studies.id: patient}
    cells |= {studies.prefix + name: cell for name, cell in row.items() if name not in _LISTED}
    lines = StringIO()
    writer = csv.DictWriter(lines, list(cells), lineterminator="\n")
    if not features.exists():
        writer.writeheader()
    writer.writerow(cells)
    with features.open("a", newline="", encoding="utf-8") as file:
        file.write(lines.getvalue())


def find(folder: Path) -> tuple[Path, Path]:
    """Return image and mask in the folder of a patient.

    Raises
    ------
    NotExtractable
        `image-unreadable`: there is not one of each.
    """
    files = sorted(path for path in folder.rglob("*") if path.is_file() and not path.name.startswith("."))
    volumes = [path for path in files if path.name.lower().endswith(_VOLUMES)]
    masks = [path for path in volumes if any(word in path.name.lower() for word in _MASK_WORDS)]
    images = [path for path in volumes if path not in masks]
    series = set()
    for modality, path in _modalities(path for path in files if not path.name.lower().endswith(_VOLUMES)):
        if modality == "CT":
            series.add(path.parent)
        elif modality == "SEG":
            masks.append(path)
    return _only([*images, *series], "images"), _only(masks, "masks")


def _modalities(files: Iterable[Path]) -> Iterator[tuple[str, Path]]:
    for path in files:
        try:
            yield str(dcmread(path, stop_before_pixels=True, specific_tags=["Modality"]).get("Modality")), path
        except InvalidDicomError:
            continue


def _only(paths: Sequence[Path], what: str) -> Path:
    if len(paths) != 1:
        raise NotExtractable(RegionRefusal.IMAGE_UNREADABLE, f"{len(paths)} {what}, and one is needed")
    return paths[0]


def _classes(wanted: parameters.Parameters) -> dict[str, list[str]]:
    return {name: list(features) for name, features in wanted.classes}
