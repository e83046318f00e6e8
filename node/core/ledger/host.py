"""One host for a ledger in SQLite, whose processes share memory that no file system carries to another host.

Every process that works in the ledger holds a lock on a file beside it, which names the host. The lock ends with the
process, however that ends; where nobody holds it, the next host may have the ledger.
"""

import fcntl
import socket
from pathlib import Path
from typing import IO

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


class SecondHost(RuntimeError):
    """Processes of another host work in this ledger; the message says which, and the cure."""


def join(database: Path) -> IO[str]:
    """Join the processes that work in a ledger, until what is returned is closed.

    Parameters
    ----------
    database
        File of the ledger.

    Raises
    ------
    SecondHost
        They are of another host.
    OSError
        The file system knows no locks, or the folder is not there.
    """
    file = database.with_name(f"{database.name}-host").open("a+", encoding="utf-8")
    try:
        _join(file, this_host())
    except BaseException:
        file.close()
        raise
    return file


def this_host() -> str:
    """Return what tells this host from others, and from its own life before it was started anew; then its name."""
    kernel = _BOOT_ID.read_text(encoding="ascii").strip() if _BOOT_ID.exists() else socket.gethostname()
    return f"{kernel} {socket.gethostname()}"


def _join(file: IO[str], own: str) -> None:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        pass
    else:  # nobody is there
        file.truncate(0)
        file.write(own)
        file.flush()
    fcntl.flock(file, fcntl.LOCK_SH)  # another may have come before us, but none comes from here on
    file.seek(0)
    kernel, _, name = file.read().partition(" ")
    if kernel != own.partition(" ")[0]:
        raise SecondHost(
            f"Processes of {name or 'another host'} work in this ledger, and SQLite serves one host: end them, or name "
            "a PostgreSQL in ledger_url."
        )
