"""Sending a folder of DICOM files to an application entity: `crlm-node send`.

Comes in: a folder and a peer. Goes out: C-STORE requests, and a report that names each file that was not stored, with
its coded reason. A file that does not even begin like a DICOM file (a licence, a picture) is named and no failure.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from node.core.peer import Peer, Stored

_DIRECTORY_FILE = "DICOMDIR"  # lists the files of a medium and is none of them, PS3.10 section 8.6
_PREFIX, _PREFIX_AT = b"DICM", 128  # PS3.10 section 7.1
_SUFFIXES = (".dcm", ".dicom")


@dataclass(frozen=True)
class SendReport:
    """What became of the files of a folder, each in one of four lists.

    Parameters
    ----------
    stored, warned, failed
        Answered success; answered a warning, which `status` keeps; not stored, for the reason in `error`.
    skipped
        Not sent, because they are no DICOM files.
    """

    stored: tuple[Stored, ...]
    warned: tuple[Stored, ...]
    failed: tuple[Stored, ...]
    skipped: tuple[Path, ...]

    @property
    def exit_code(self) -> int:
        """0 where every file was stored, and there was one; else 1."""
        return 1 if self.failed or not (self.stored or self.warned) else 0


def files_below(folder: Path) -> tuple[Path, ...]:
    """Return the files that would be sent: the DICOM files below the folder, whole or not, by name."""
    return tuple(path for path in _walk(folder) if _looks_like_dicom(path))


def send_folder(folder: Path, peer: Peer, on_progress: Callable[[Stored], None] | None = None) -> SendReport:
    """Send every file below a folder.

    Parameters
    ----------
    folder
        Is searched with the folders in it.
    peer
        Where the files go.
    on_progress
        Is told of each file when it is done; `files_below` says how many there are.

    Raises
    ------
    Unavailable
        No association could be made: the detail says why.
    """
    files = files_below(folder)
    others = set(_walk(folder)).difference(files)
    outcomes = peer.store(files, on_progress)
    taken = [outcome for outcome in outcomes if outcome.error is None]
    return SendReport(
        stored=tuple(outcome for outcome in taken if outcome.status == 0),
        warned=tuple(outcome for outcome in taken if outcome.status != 0),
        failed=tuple(outcome for outcome in outcomes if outcome.error is not None),
        skipped=tuple(sorted(others)),
    )


def _walk(folder: Path) -> list[Path]:
    """Return all files below a folder but hidden ones and directory files, by name."""
    return sorted(
        path
        for path in folder.rglob("*")
        if path.name != _DIRECTORY_FILE
        and not any(part.startswith(".") for part in path.relative_to(folder).parts)
        and path.is_file()
    )


def _looks_like_dicom(path: Path) -> bool:
    """Say whether the file begins like one, or says so by its name; what cannot be read is left to be reported."""
    if path.suffix.lower() in _SUFFIXES:
        return True
    try:
        with path.open("rb") as file:
            return file.read(_PREFIX_AT + len(_PREFIX))[_PREFIX_AT:] == _PREFIX
    except OSError:
        return True
