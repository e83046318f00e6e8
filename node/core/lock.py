"""One process of a kind in a folder: a lock that the system frees however its holder ends."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

STEWARD = "steward.lock"
"""The lock of the one steward of a home, whose folder it lies in."""


class Held(RuntimeError):
    """Another process holds the lock; the message says what it is, with its number as it wrote it down."""


@contextmanager
def alone(path: Path, otherwise: str) -> Iterator[None]:
    """Hold the lock that is the file `path`.

    Parameters
    ----------
    otherwise
        What a person reads if another process has it: `A steward works in this home already`.

    Raises
    ------
    Held
        Another process has it.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with path.open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            file.seek(0)
            raise Held(f"{otherwise} (process {file.read().strip()}).") from error
        file.truncate(0)
        file.write(f"{os.getpid()}\n")
        file.flush()
        yield


def is_held(path: Path) -> bool:
    """Say whether some process holds the lock that is the file `path`."""
    try:
        with path.open() as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False
