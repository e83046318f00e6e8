"""The spool: files on one POSIX file system, the truth for instances and for what lies between stages.

A file is there whole or not at all: temporary file, fsync, rename, fsync of the folder; an instance's file has no name
until it is whole, and takes none that is taken. Layout under the root:
`instances/<study>/<series>/<instance>.dcm` as received, `<instance>.<key>.dcm` beside it what came under the same UID
with other content, `work/<job>/` what the stages hand to each other, `tmp/` files being written, which nobody reads.
"""

import errno
import hashlib
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from node.core.dicom import is_uid
from node.core.errors import Refused, Unavailable, Untrusted
from node.core.lock import alone
from node.core.reasons import DoorRefusal, Outage, StudyRefusal
from node.core.records import Instance

_KNOWS_NO_UNNAMED = (errno.EOPNOTSUPP, errno.EISDIR, errno.EINVAL)  # a file system, as NFS, on O_TMPFILE
OWNER_ALONE = 0o077  # umask of every process: files 0600, folders 0700


@dataclass(frozen=True)
class Spool:
    """The spool under `root`."""

    root: Path

    def prepare(self) -> None:
        """Make the folders, readable by this user alone.

        Raises
        ------
        Unavailable
            `spool-failed`: they cannot be made.
        """
        try:
            for name in ("instances", "work", "tmp"):
                (self.root / name).mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise Unavailable(Outage.SPOOL_FAILED, str(error.strerror)) from error

    def instance_path(self, study_uid: str, series_uid: str, sop_uid: str) -> str:
        """Return where an instance lies, relative to the root; UIDs are checked before they touch a path."""
        for uid in (study_uid, series_uid, sop_uid):
            if not is_uid(uid):
                raise Refused(DoorRefusal.UID_INVALID)
        return f"instances/{study_uid}/{series_uid}/{sop_uid}.dcm"

    def write(self, path: str, content: bytes) -> str:
        """Write a file durably and return the SHA-256 of its content.

        Raises
        ------
        Unavailable
            `spool-failed`: disk full, no rights, input/output error. Nothing is left behind.
        """
        with self.staged(content) as staged:
            self.place(staged, path)
        return digest(content)

    @contextmanager
    def staged(self, content: bytes) -> Iterator[Path]:
        """Write content durably to a temporary file, which `place` may put where it belongs; else it is removed.

        Raises
        ------
        Unavailable
            `spool-failed`: disk full, no rights, input/output error.
        """
        temporary: Path | None = None
        try:
            try:
                handle, name = tempfile.mkstemp(dir=self.root / "tmp")
                temporary = Path(name)
                with os.fdopen(handle, "wb") as file:
                    file.write(content)
                    file.flush()
                    os.fsync(file.fileno())
            except OSError as error:
                raise Unavailable(Outage.SPOOL_FAILED, str(error.strerror)) from error
            yield temporary
        finally:
            if temporary is not None:
                with suppress(OSError):
                    temporary.unlink(missing_ok=True)

    def place(self, staged: Path, path: str) -> None:
        """Put a staged file where it belongs, in place of what lay there, and make that durable.

        Raises
        ------
        Unavailable
            `spool-failed`: disk full, no rights, input/output error.
        """
        target = self.root / path
        try:
            _make_folder(target.parent)
            staged.replace(target)
            sync_folder(target.parent)
        except OSError as error:
            raise Unavailable(Outage.SPOOL_FAILED, str(error.strerror)) from error

    def deposit(self, path: str, content: bytes) -> bool:
        """Write a file durably where none lies; False, and no change, where one does.

        The name is given before the content is synchronised, so that one commit of the file system takes both: a
        crash may leave a file that is not whole, of which nobody was told.

        Raises
        ------
        Unavailable
            `spool-failed`: disk full, no rights, input/output error. Nothing is left behind.
        """
        folder, _, name = f"{self.root}/{path}".rpartition("/")
        try:
            with self._unnamed() as (handle, source):
                left = memoryview(content)
                while left:
                    left = left[os.write(handle, left) :]
                with _named(source, folder, name) as place:
                    os.fsync(handle)
                    os.fsync(place)
        except FileExistsError:
            return False
        except OSError as error:
            raise Unavailable(Outage.SPOOL_FAILED, str(error.strerror)) from error
        return True

    @contextmanager
    def _unnamed(self) -> Iterator[tuple[int, str]]:
        """Open a file that is gone unless it is given a name; yield its handle, and what the name is given to."""
        folder, temporary = self.root / "tmp", ""
        try:
            handle = os.open(folder, os.O_TMPFILE | os.O_WRONLY, 0o600)
        except OSError as error:
            if error.errno not in _KNOWS_NO_UNNAMED:
                raise
            handle, temporary = tempfile.mkstemp(dir=folder)
        try:
            yield handle, temporary or f"/proc/self/fd/{handle}"
        finally:
            os.close(handle)
            if temporary:
                Path(temporary).unlink()

    def sync(self, path: str) -> None:
        """Make a file durable that somebody else has written.

        Raises
        ------
        Unavailable
            `spool-failed`: it is gone, or an input/output error.
        """
        try:
            with (self.root / path).open("rb") as file:
                os.fsync(file.fileno())
            sync_folder((self.root / path).parent)
        except OSError as error:
            raise Unavailable(Outage.SPOOL_FAILED, str(error.strerror)) from error

    def remove(self, path: str) -> None:
        """Remove a file, and its folder where nothing else is in it.

        Raises
        ------
        Unavailable
            `spool-failed`: it cannot be removed.
        """
        target = self.root / path
        try:
            target.unlink(missing_ok=True)
        except OSError as error:
            raise Unavailable(Outage.SPOOL_FAILED, str(error.strerror)) from error
        with suppress(OSError):  # something else is in it
            target.parent.rmdir()
            target.parent.parent.rmdir()

    @contextmanager
    def removing(self) -> Iterator[None]:
        """Hold the right to remove files that the ledger knows: one process of all hosts has it at a time.

        Raises
        ------
        Held
            Another process removes such files, or makes a backup of them.
        """
        with alone(self.root.parent / "removal.lock", "Files of the spool are being removed, or a backup made of them"):
            yield

    def sweep(self, age_s: float) -> int:
        """Remove files that were being written when a process died, so old that nobody writes them; say how many.

        Raises
        ------
        Unavailable
            `spool-failed`: they cannot be looked at.
        """
        swept = 0
        try:
            for left in (self.root / "tmp").iterdir():
                with suppress(FileNotFoundError):
                    if left.stat().st_mtime < time.time() - age_s:
                        left.unlink()
                        swept += 1
        except OSError as error:
            raise Unavailable(Outage.SPOOL_FAILED, str(error.strerror)) from error
        return swept

    def read(self, path: str) -> bytes:
        """Return a file's content.

        Raises
        ------
        Unavailable
            `spool-failed`: it cannot be read.
        """
        try:
            return (self.root / path).read_bytes()
        except OSError as error:
            raise Unavailable(Outage.SPOOL_FAILED, str(error.strerror)) from error

    def file(self, instance: Instance) -> Path:
        """Return the path of a stored instance."""
        return self.root / instance.path

    def verified(self, instance: Instance) -> bytes:
        """Return an instance's bytes, known to be those that were received.

        Raises
        ------
        Untrusted
            `input-incomplete` where the file is gone, `input-untrusted` where its digest differs.
        """
        try:
            content = self.file(instance).read_bytes()
        except FileNotFoundError as error:
            raise Untrusted(StudyRefusal.INPUT_INCOMPLETE, instance.sop_instance_uid) from error
        except OSError as error:
            raise Unavailable(Outage.SPOOL_FAILED, str(error.strerror)) from error
        if digest(content) != instance.digest:
            raise Untrusted(StudyRefusal.INPUT_UNTRUSTED, f"{instance.sop_instance_uid} was changed after receipt")
        return content

    def work(self, job_key: str) -> "WorkFolder":
        """Return the folder of a job."""
        return WorkFolder(self, f"work/{job_key}")


@dataclass(frozen=True)
class WorkFolder:
    """What the stages of one job hand to each other, each file written whole."""

    spool: Spool
    path: str

    def write(self, name: str, content: bytes) -> str:
        """Write a file of this job and return its digest."""
        return self.spool.write(f"{self.path}/{name}", content)

    def read(self, name: str) -> bytes:
        """Return a file of this job."""
        return self.spool.read(f"{self.path}/{name}")

    def has(self, name: str) -> bool:
        """Say whether the file is there."""
        return (self.spool.root / self.path / name).exists()

    def clear(self) -> None:
        """Remove the job's files, so that a stage starts anew."""
        shutil.rmtree(self.spool.root / self.path, ignore_errors=True)


def beside(path: str, key: str) -> str:
    """Return where a variant of the instance at this path lies."""
    return f"{path.removesuffix('.dcm')}.{key}.dcm"


def digest(content: bytes) -> str:
    """SHA-256, hexadecimal."""
    return hashlib.sha256(content).hexdigest()


def _make_folder(folder: Path) -> None:
    """Make a folder and those above it; each new name is durable in the folder that holds it."""
    new = [parent for parent in (folder, *folder.parents) if not parent.exists()]
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    for made in new:
        sync_folder(made.parent)


@contextmanager
def _named(source: str, folder: str, name: str) -> Iterator[int]:
    """Name a file in a folder, which is made where it is not there; the name is taken back on an error.

    Yields the folder's handle; raises `FileExistsError` where something has that name.
    """
    place = _linked(source, folder, name)
    try:
        yield place
    except OSError:
        with suppress(FileNotFoundError):
            os.unlink(name, dir_fd=place)
        raise
    finally:
        os.close(place)


def _linked(source: str, folder: str, name: str) -> int:
    for _ in range(2):
        try:
            place = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        except FileNotFoundError:
            _make_folder(Path(folder))
            continue
        try:
            os.link(source, name, dst_dir_fd=place, follow_symlinks=True)
        except OSError as error:
            os.close(place)
            if error.errno != errno.ENOENT:
                raise
        else:
            return place
    raise FileNotFoundError(errno.ENOENT, "the folder is removed as often as it is made")


def sync_folder(folder: Path) -> None:
    """Have the names in a folder be durable."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
