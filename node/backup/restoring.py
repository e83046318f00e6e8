"""Restoring a backup into an empty home: everything is proven first, the files come next, the ledger last.

A restore that ends early leaves no ledger, so that nothing works on half of it. A process that had a job is gone: its
lease runs out, and the stage is done again. What was delivered after the backup goes out again, under the same UIDs.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from node.backup import databases, tree
from node.backup.tree import BackupFailed
from node.core.ledger import SCHEMA, migration
from node.core.lock import STEWARD, alone
from node.core.settings import Settings
from node.core.spool import Spool


def restore(settings: Settings, folder: Path) -> Mapping[str, Any]:
    """Restore a backup, and return its summary.

    Raises
    ------
    BackupFailed
        The backup is not complete, was changed, or is not for this version or database; the home is not empty.
    Held
        A steward works in the home.
    OSError
        A file cannot be read or written.
    """
    summary = _summary(folder)
    digests = _proven_list(folder, summary)
    _require_fitting(summary, settings)
    spool, name = Spool(settings.spool_dir), databases.file_of(summary["database"])
    with alone(settings.home / STEWARD, f"A steward works in {settings.home}: end every process of the node first"):
        _require_empty(spool, settings)
        for path, sha256 in digests.items():
            if tree.digest_of(folder / path) != sha256:
                raise BackupFailed(f"{folder / path} is not what {tree.LIST} says: nothing was restored")
        spool.prepare()
        for path, sha256 in digests.items():
            if path == name:
                continue
            if tree.copied(folder / path, settings.home / path) != sha256:
                raise BackupFailed(f"{folder / path} changed while it was read: empty {settings.home} and begin again")
        databases.load(settings, folder / name)
    return summary


def _summary(folder: Path) -> Mapping[str, Any]:
    try:
        summary: Mapping[str, Any] = json.loads((folder / tree.SUMMARY).read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise BackupFailed(f"{folder} holds no complete backup: {tree.SUMMARY} is not there") from error
    except ValueError as error:
        raise BackupFailed(f"{folder / tree.SUMMARY} cannot be read: the backup was changed") from error
    return summary


def _proven_list(folder: Path, summary: Mapping[str, Any]) -> dict[str, str]:
    """Return the list of digests, which is the one that the summary was written for, and names every file."""
    if tree.digest_of(folder / tree.LIST) != summary["list_sha256"]:
        raise BackupFailed(f"{folder / tree.LIST} is not the one that was written: the backup was changed")
    digests = tree.read_list(folder)
    if missing := [path for path in digests if not (folder / path).is_file()]:
        raise BackupFailed(f"{folder / missing[0]} is gone: the backup was changed")
    return digests


def _require_fitting(summary: Mapping[str, Any], settings: Settings) -> None:
    ours = databases.kind_of(settings)
    if summary["database"] != ours:
        raise BackupFailed(f"the backup is of {summary['database']}, and ledger_url names {ours}")
    if summary["schema"] not in migration.revisions():
        raise BackupFailed(
            f"the backup was made by version {summary['version']} (schema {summary['schema']}), which is newer than "
            f"this one (schema {SCHEMA}): install that version first"
        )


def _require_empty(spool: Spool, settings: Settings) -> None:
    if any(any(tree.files_below(spool.root / part)) for part in ("instances", "work")):
        raise BackupFailed(f"{spool.root} is not empty: move it away first")
    if not databases.is_empty(settings):
        raise BackupFailed("the ledger is there already: move its file away, or name an empty database in ledger_url")
