"""Backup and restore of a home: the ledger as it was at one instant, and every file of the spool that it tells of.

Comes in: the settings, and a folder. Goes out: a folder that holds `ledger.sqlite` or `ledger.dump`, `spool/`, the
SHA-256 of each file in the form of `sha256sum`, and `backup.json`, which is written last: without it a backup is not
complete. The node may be at work meanwhile. The ledger is taken first, the files after it, and nothing that it tells of
is removed in between: so each row has its file, and a file that came later is one that the steward enters by itself.

What can go wrong: the folder is in use, a file is not what the ledger says, the programs of PostgreSQL are not there;
of a restore: the home is not empty, the backup is incomplete, was changed, or is of another database or a newer
version. Modules: `databases` (SQLite, PostgreSQL), `tree` (files with digests), `saving`, `restoring`. Who is next: an
administrator, by `node.cli.backup`.
"""

from node.backup.restoring import restore
from node.backup.saving import save
from node.backup.tree import BackupFailed

__all__ = ["BackupFailed", "restore", "save"]
