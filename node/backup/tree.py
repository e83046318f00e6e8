"""Files with their digests: copied and hashed in one pass, made durable, and held against a list.

The list has the form of `sha256sum`, so that `sha256sum --check SHA256SUMS` proves a backup without this program.
"""

import hashlib
import os
from collections.abc import Iterator, Mapping
from pathlib import Path

from node.core.spool import sync_folder

LIST, SUMMARY = "SHA256SUMS", "backup.json"
_PIECE = 2**20


class BackupFailed(RuntimeError):
    """A backup cannot be made, or cannot be restored; the message says why and what to do."""


def files_below(root: Path) -> Iterator[str]:
    """Yield the path of every file below a folder, relative to it."""
    for folder, _, names in os.walk(root):
        for name in sorted(names):
            yield str(Path(folder, name).relative_to(root))


def copied(source: Path, target: Path) -> str:
    """Copy a file, make it durable, and return the SHA-256 of what was copied.

    Raises
    ------
    OSError
        It cannot be read or written; `FileNotFoundError` where it is gone.
    """
    with source.open("rb") as read:
        target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        seen = hashlib.sha256()
        with target.open("wb") as written:
            while piece := read.read(_PIECE):
                seen.update(piece)
                written.write(piece)
            written.flush()
            os.fsync(written.fileno())
    return seen.hexdigest()


def digest_of(path: Path) -> str:
    """Return the SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_durably(path: Path, text: str) -> None:
    """Write a file and its name durably."""
    with path.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    sync_folder(path.parent)


def write_list(folder: Path, digests: Mapping[str, str]) -> None:
    """Write the list of digests."""
    write_durably(folder / LIST, "".join(f"{sha256}  {name}\n" for name, sha256 in sorted(digests.items())))


def read_list(folder: Path) -> dict[str, str]:
    """Return the list: digest by path.

    Raises
    ------
    OSError
        It is not there.
    """
    lines = (folder / LIST).read_text(encoding="utf-8").splitlines()
    return {name: sha256 for sha256, _, name in (line.partition("  ") for line in lines)}
