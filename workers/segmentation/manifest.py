"""The manifest of a folder of weights: size and SHA-256 of every file, held against the files before torch opens any.

In: a folder. Out: what its manifest says, or a manifest written. What can go wrong: `weights-missing` for a file that
is not there, `input-untrusted` for one that is not what the manifest says and for a manifest that cannot be read. Next:
`weights` for TotalSegmentator, `demo.folder` for the demonstration model.

A manifest may say under `validation` what was measured of the network on known truths (`workers.records.Validation`).
"""

import hashlib
import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from node.core.errors import NotAnalysable, Untrusted
from node.core.reasons import StudyRefusal
from node.core.records import parse
from workers.validation import Validation

NAME = "manifest.json"
Entries = dict[str, dict[str, Any]]
_CHUNK_BYTES = 2**20


def read(folder: Path) -> Entries:
    """Read the manifest's entries by file name.

    Raises
    ------
    Untrusted
        `input-untrusted`: it is not a manifest, or a name leads out of the folder.
    """
    try:
        files = json.loads((folder / NAME).read_text(encoding="utf-8"))["files"]
        entries = {str(name): {"bytes": int(one["bytes"]), "sha256": str(one["sha256"])} for name, one in files.items()}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise Untrusted(StudyRefusal.INPUT_UNTRUSTED, "the manifest of the weights cannot be read") from error
    if any(PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts for name in entries):
        raise Untrusted(StudyRefusal.INPUT_UNTRUSTED, "the manifest of the weights names a file outside")
    return entries


def digest(entries: Entries) -> str:
    """Return a SHA-256 of what the manifest says of files: one name for all of them together."""
    return hashlib.sha256(json.dumps(entries, sort_keys=True).encode()).hexdigest()


def validation(folder: Path, entries: Entries) -> Validation | None:
    """Return what was measured of the network that has these entries; None where nothing was, or only of another one.

    Raises
    ------
    Untrusted
        `input-untrusted`: it is not in the form that it is written in.
    """
    written = json.loads((folder / NAME).read_text(encoding="utf-8")).get("validation")
    if written is None:
        return None
    found = parse(Validation, json.dumps(written))
    return found if found.model == digest(entries) else None


def verify(folder: Path, entries: Entries) -> None:
    """Hash the files of a manifest's entries.

    Raises
    ------
    NotAnalysable
        `weights-missing`: a file is not there.
    Untrusted
        `input-untrusted`: a file is not what its entry says.
    """
    for name, expected in entries.items():
        try:
            found = entry(folder / name)
        except (FileNotFoundError, NotADirectoryError) as error:
            raise NotAnalysable(StudyRefusal.WEIGHTS_MISSING, name) from error
        if found != expected:
            raise Untrusted(StudyRefusal.INPUT_UNTRUSTED, f"weights {name}: not what the manifest says")


def entry(path: Path) -> dict[str, Any]:
    """Return size and SHA-256 of a file."""
    sum_ = hashlib.sha256()
    size = 0
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            sum_.update(chunk)
            size += len(chunk)
    return {"bytes": size, "sha256": sum_.hexdigest()}


def entries_of(folder: Path, names: Iterable[str]) -> Entries:
    """Return the entries of files by their names."""
    return {name: entry(folder / name) for name in names}


def write(folder: Path, facts: Mapping[str, Any], entries: Entries) -> None:
    """Write the manifest in one move: what it is of, then its entries by name."""
    content = {**facts, "files": {name: entries[name] for name in sorted(entries)}}
    whole = folder / f".{NAME}.{os.getpid()}"
    whole.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    whole.replace(folder / NAME)
