"""Rows that were measured, beside a table that is not whole yet: a run that was ended, however, goes on where it was.

Comes in: what is asked of all regions, and the row of each that was measured. Goes out: the rows of earlier runs, where
the same was asked of the same files. What can go wrong: the folder cannot be written (`OSError`). Next: `table`.

A line of the file is a row and the digest of all that it depends on: what was asked, how the region is listed, size and
time of change of its files. A line that was cut, or is of another question, is as one that is not there.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

Row = Mapping[str, str]


class Journal:
    """The rows beside one table.

    Parameters
    ----------
    out
        The table; the journal is a hidden file beside it.
    asked
        All but the region that a row depends on, in JSON's terms.
    """

    def __init__(self, out: Path, asked: Any) -> None:
        self._path = out.with_name(f".{out.name}.rows")
        self._asked = asked
        self._known = dict(_lines(self._path))
        self._stamps = cache(_stamps)  # a list names an image once for each of its regions

    def key(self, listed: Row, *files: Path) -> str:
        """Return the digest of all that the row of a region depends on, its files as they were at first."""
        told = json.dumps([self._asked, dict(listed), [self._stamps(file) for file in files]], sort_keys=True)
        return hashlib.sha256(told.encode()).hexdigest()

    def row(self, key: str) -> Row | None:
        """Return the row that was measured of this, if one was."""
        return self._known.get(key)

    def add(self, key: str, row: Row) -> None:
        """Keep a row; it is there for the next run, whatever becomes of this one."""
        self._known[key] = row
        with self._path.open("a", encoding="utf-8") as file:
            file.write(f"\n{json.dumps([key, dict(row)])}\n")

    def forget(self) -> None:
        """Remove it: the table is whole."""
        self._path.unlink(missing_ok=True)


def _lines(path: Path) -> Iterator[tuple[str, Row]]:
    if not path.is_file():
        return
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            key, row = json.loads(line)
        except ValueError:  # cut, or the empty line that parts a cut one from the next
            continue
        yield key, row


def _stamps(path: Path) -> list[tuple[str, int, int]]:
    files = sorted(path.iterdir()) if path.is_dir() else [path] if path.exists() else []
    return [(one.name, found.st_size, found.st_mtime_ns) for one in files for found in [one.stat()]]
