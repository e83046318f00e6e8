"""Making a backup: rows, ledger, files, list, summary; in this order, for the reasons that the package gives."""

import json
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from node import __version__
from node.backup import databases, tree
from node.backup.tree import BackupFailed
from node.core.ledger import SCHEMA, Ledger, audit
from node.core.lock import Held
from node.core.settings import Settings
from node.core.spool import Spool
from node.inspection import promised

_PARTS = ("instances", "work")
_WAIT_S, _LOOK_S = 120.0, 0.5


@dataclass(frozen=True)
class Saved:
    """What was made.

    Parameters
    ----------
    files, size_bytes
        How many files of the spool, and the size of everything.
    wrong
        Files that the ledger tells of and that are not there, or are not what it says.
    """

    files: int
    size_bytes: int
    wrong: tuple[str, ...]


def save(settings: Settings, ledger: Ledger, folder: Path) -> Saved:
    """Make a backup in a folder that is new or empty.

    Raises
    ------
    BackupFailed
        The folder is not empty, or the ledger cannot be taken.
    Held
        Files were being removed all the time.
    OSError
        The folder cannot be written, or the spool not be read.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if any(folder.iterdir()):
        raise BackupFailed(f"{folder} is not empty: name a new folder for each backup")
    spool, kind = Spool(settings.spool_dir), databases.kind_of(settings)
    at = datetime.now(UTC)
    with _nothing_removed(spool):
        with ledger.transaction() as session:
            audit.write(session, audit.commanded("backup"))
            expected = {f"spool/{path}": sha256 for path, sha256, removed in promised(session) if not removed}
        name = databases.file_of(kind)
        databases.dump(settings, folder / name)
        digests = {name: tree.digest_of(folder / name)}
        for path in [f"{part}/{file}" for part in _PARTS for file in tree.files_below(spool.root / part)]:
            try:
                digests[f"spool/{path}"] = tree.copied(spool.root / path, folder / "spool" / path)
            except FileNotFoundError:  # a stage has replaced it meanwhile; one that the ledger tells of is missed below
                continue
    tree.write_list(folder, digests)
    size = sum((folder / one).stat().st_size for one in digests)
    facts = {
        "version": __version__,
        "schema": SCHEMA,
        "database": kind,
        "at": at.isoformat(timespec="seconds"),
        "files": len(digests) - 1,
        "size_bytes": size,
        "list_sha256": tree.digest_of(folder / tree.LIST),
    }
    tree.write_durably(folder / tree.SUMMARY, json.dumps(facts, indent=1) + "\n")
    wrong = tuple(path for path, sha256 in sorted(expected.items()) if digests.get(path) != sha256)
    return Saved(len(digests) - 1, size, wrong)


@contextmanager
def _nothing_removed(spool: Spool) -> Iterator[None]:
    """Keep retention and orders of a person from removing files; wait for one that is at it."""
    until = time.monotonic() + _WAIT_S
    with ExitStack() as stack:
        while True:
            try:
                stack.enter_context(spool.removing())
                break
            except Held:
                if time.monotonic() > until:
                    raise
                time.sleep(_LOOK_S)
        yield
