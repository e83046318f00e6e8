"""Sending a folder of DICOM files to an application entity: `crlm-node send`.

Comes in: a folder and a peer. Goes out: C-STORE requests, and a report that names each file that was not stored, with
its coded reason.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from node.core.peer import Peer, Stored

_DIRECTORY_FILE = "DICOMDIR"  # lists the files of a medium and is none of them, PS3.10 section 8.6


@dataclass(frozen=True)
class SendReport:
    """What became of the files of a folder, each in one of three lists."""

    stored: tuple[Stored, ...]
    warned: tuple[Stored, ...]
    failed: tuple[Stored, ...]

    @property
    def exit_code(self) -> int:
        """0 where every file was stored, and there was one; else 1."""
        return 1 if self.failed or not (self.stored or self.warned) else 0


def files_below(folder: Path) -> tuple[Path, ...]:
    """Return the files that would be sent: all below the folder but hidden ones and directory files, by name."""
    return tuple(sorted(_walk(folder)))


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
    outcomes = peer.store(files_below(folder), on_progress)
    taken = [outcome for outcome in outcomes if outcome.error is None]
    return SendReport(
        stored=tuple(outcome for outcome in taken if outcome.status == 0),
        warned=tuple(outcome for outcome in taken if outcome.status != 0),
        failed=tuple(outcome for outcome in outcomes if outcome.error is not None),
    )


def _walk(folder: Path) -> Iterator[Path]:
    for path in folder.rglob("*"):
        hidden = any(part.startswith(".") for part in path.relative_to(folder).parts)
        if path.is_file() and not hidden and path.name != _DIRECTORY_FILE:
            yield path
