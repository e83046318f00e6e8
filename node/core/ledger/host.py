"""One host for a ledger in SQLite, whose processes share memory that no file system carries to another host.

Every process that works in the ledger holds a lock on a file beside it, which names the host. The lock ends with the
process, however that ends; where nobody holds it, the next host may have the ledger.
"""

import fcntl
import socket
from dataclasses import dataclass
from pathlib import Path
from typing import IO

_BOOT_ID, _MACHINE_ID = Path("/proc/sys/kernel/random/boot_id"), Path("/etc/machine-id")
_DIGITS = 32  # of the number of a machine: an image says "uninitialized" in its place


@dataclass(frozen=True)
class Host:
    """What tells a host from others, and from its own life before it was started anew: its kernel.

    A container of the kind that a system is installed in (LXC, nspawn) shows the number of a kernel that is not there;
    a process that systemd gave a `/proc` of its own sees the right one. Name and number of the machine are then the
    same, and both together tell it as well. The number is empty where there is none, as in an image.
    """

    kernel: str
    name: str
    machine: str = ""

    def is_same(self, other: "Host") -> bool:
        """Say whether two processes that see this are of one host."""
        known = (self.machine, self.name) == (other.machine, other.name) and bool(self.machine)
        return known or self.kernel == other.kernel


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


def this_host() -> Host:
    """Return the host of this process."""
    name, machine = socket.gethostname(), _read(_MACHINE_ID)
    return Host(_read(_BOOT_ID) or name, name, machine if len(machine) == _DIGITS else "")


def _read(path: Path) -> str:
    return path.read_text(encoding="ascii").strip() if path.exists() else ""


def _join(file: IO[str], own: Host) -> None:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        pass
    else:  # nobody is there
        file.truncate(0)
        file.write(" ".join((own.kernel, own.name, own.machine)))
        file.flush()
    fcntl.flock(file, fcntl.LOCK_SH)  # another may have come before us, but none comes from here on
    file.seek(0)
    kernel, name, machine = [*file.read().split(" "), "", ""][:3]
    if not own.is_same(Host(kernel, name, machine)):
        raise SecondHost(
            f"Processes of {name or 'another host'} work in this ledger, and SQLite serves one host: end them, or name "
            "a PostgreSQL in ledger_url."
        )
