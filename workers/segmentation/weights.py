"""Weights of TotalSegmentator: what of them is there, and the proof that it is unchanged.

In: the folder of the weights. Out: what is there, a manifest with the SHA-256 of every file, the name of this set. What
can go wrong: `weights-missing` for what is not there, `input-untrusted` for what is not what the manifest says. A
checkpoint is a pickle and runs code when it is opened: it is hashed before torch sees it. Next: `library`.
"""

import json
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from node.core.errors import NotAnalysable, Untrusted
from node.core.reasons import StudyRefusal
from workers.segmentation import manifest
from workers.segmentation.data_sets import DataSet, Psoas, library_version, required
from workers.validation import Validation

THREADS = "nnUNet_def_n_proc"
"""The variable by which nnU-Net is told its number of threads."""


@dataclass(frozen=True)
class Installed:
    """One line of `crlm-node models list`: a data set that is needed, and how it stands."""

    number: int
    folder: str
    present: bool
    listed: bool
    size_bytes: int


def available(weights_dir: Path, psoas: Psoas = "iliopsoas", *, fast: bool = False) -> bool:
    """Say whether library, manifest and every needed file are there; nothing is hashed.

    A manifest that cannot be believed is there too: the network is chosen, and `verify` tells what is wrong.
    """
    try:
        _require_listed(weights_dir, required(psoas, fast=fast))
    except NotAnalysable:
        return False
    except Untrusted:
        pass
    return True


def verify(weights_dir: Path, psoas: Psoas = "iliopsoas", *, fast: bool = False) -> None:
    """Hash every file of the needed data sets.

    Raises
    ------
    NotAnalysable
        `weights-missing`: library, manifest or a file is not there.
    Untrusted
        `input-untrusted`: a file is not what the manifest says, or the manifest cannot be read.
    """
    manifest.verify(weights_dir, _require_listed(weights_dir, required(psoas, fast=fast)))


def digest(weights_dir: Path, psoas: Psoas = "iliopsoas", *, fast: bool = False) -> str:
    """Return a SHA-256 of what the manifest says of the needed files: one name for this set of weights.

    Raises
    ------
    NotAnalysable, Untrusted
        As `verify`; the files themselves are not hashed.
    """
    return manifest.digest(_require_listed(weights_dir, required(psoas, fast=fast)))


def validation(weights_dir: Path, psoas: Psoas = "iliopsoas", *, fast: bool = False) -> Validation | None:
    """Return what the manifest says was measured of this set of weights on known truths; None where nothing was.

    Raises
    ------
    NotAnalysable, Untrusted
        As `digest`.
    """
    return manifest.validation(weights_dir, _require_listed(weights_dir, required(psoas, fast=fast)))


def engine_name(weights_dir: Path, psoas: Psoas = "iliopsoas", *, fast: bool = False) -> str:
    """Return how results name the engine: library, version, weights, reduced resolution; at most 64 characters."""
    weights = digest(weights_dir, psoas, fast=fast)[:12]
    return f"TotalSegmentator {library_version()}, weights {weights}{', 3 mm' if fast else ''}"


def inventory(weights_dir: Path, psoas: Psoas = "iliopsoas", *, fast: bool = False) -> tuple[Installed, ...]:
    """Say of every needed data set whether it is there, whether the manifest lists it, and its size.

    Raises
    ------
    NotAnalysable
        `weights-missing`: the library itself is not installed.
    Untrusted
        `input-untrusted`: the manifest cannot be read.
    """
    listed = manifest.read(weights_dir) if (weights_dir / manifest.NAME).exists() else {}
    return tuple(
        Installed(
            number=one.number,
            folder=one.folder,
            present=complete(weights_dir, one),
            listed=all(name in listed for name in one.files),
            size_bytes=sum(path.stat().st_size for path in _files(weights_dir / one.folder)),
        )
        for one in required(psoas, fast=fast)
    )


def write_manifest(weights_dir: Path, chosen: Iterable[DataSet]) -> None:
    """Add the files of data sets to the manifest; entries that it has stay as they are."""
    entries = manifest.read(weights_dir) if (weights_dir / manifest.NAME).exists() else {}
    for one in chosen:
        if not any(name.startswith(f"{one.folder}/") for name in entries):
            names = (found.relative_to(weights_dir).as_posix() for found in _files(weights_dir / one.folder))
            entries |= manifest.entries_of(weights_dir, names)
    facts = {"model": "totalsegmentator", "kind": "library", "version": library_version()}
    manifest.write(weights_dir, facts, entries)


def keep_quiet(home: Path, weights_dir: Path) -> None:
    """Point the library at our folders and switch its usage statistics off; before it is imported.

    nnU-Net is told how many cores there are: it takes eight threads otherwise.

    Parameters
    ----------
    home
        A folder of this process; the library writes its run counter there.
    """
    home.mkdir(parents=True, exist_ok=True)
    settings = {
        "totalseg_id": "crlm-node",
        "send_usage_stats": False,
        "prediction_counter": 0,
        "statistics_disclaimer_shown": True,
    }
    (home / "config.json").write_text(json.dumps(settings), encoding="utf-8")
    os.environ["TOTALSEG_HOME_DIR"] = str(home)
    os.environ["TOTALSEG_WEIGHTS_PATH"] = str(weights_dir)
    os.environ.setdefault(THREADS, str(len(os.sched_getaffinity(0))))


def _files(folder: Path) -> Sequence[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file()) if folder.is_dir() else ()


def complete(weights_dir: Path, one: DataSet) -> bool:
    """Say whether every file that nnU-Net opens is there."""
    return all((weights_dir / name).is_file() for name in one.files)


def _require_listed(weights_dir: Path, needed: Sequence[DataSet]) -> manifest.Entries:
    """Return the manifest's entries for data sets; each file is there and what nnU-Net opens is listed."""
    if not (weights_dir / manifest.NAME).is_file():
        raise NotAnalysable(StudyRefusal.WEIGHTS_MISSING, f"no {manifest.NAME}; crlm-node models fetch")
    listed = manifest.read(weights_dir)
    wanted: manifest.Entries = {}
    for one in needed:
        if not complete(weights_dir, one):
            raise NotAnalysable(StudyRefusal.WEIGHTS_MISSING, f"{one.folder}; crlm-node models fetch")
        if unlisted := [name for name in one.files if name not in listed]:
            raise Untrusted(StudyRefusal.INPUT_UNTRUSTED, f"weights {unlisted[0]}: not in the manifest")
        wanted |= {name: entry for name, entry in listed.items() if name.startswith(f"{one.folder}/")}
    for name in wanted:
        if not (weights_dir / name).is_file():
            raise NotAnalysable(StudyRefusal.WEIGHTS_MISSING, f"{name}; crlm-node models fetch")
    return wanted
