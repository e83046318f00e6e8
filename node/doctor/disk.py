"""The disk: a file that is written to the spool, made durable, read back and removed; space and inodes; other folders.

A file system without a count of inodes (btrfs) is not asked for one.
"""

import os
import time
from collections.abc import Iterator
from pathlib import Path

from node.core.ailments import Ailment
from node.core.errors import Unavailable
from node.core.findings import Finding, fault, fine, note, warning
from node.core.settings import FolderDestination, Settings
from node.core.spool import Spool, sync_folder
from node.doctor.visit import Visit, account

_MB = 10**6
_SLOW_S = 1.0
_INODES_LOW, _INODES_LEAST = 0.05, 1000  # share, and number: a study may have a thousand slices
_PROBE = b"crlm-node doctor\n" * 4096


def look(visit: Visit) -> Iterator[Finding]:
    """Look at the spool and at the folders that results go to."""
    config = visit.settings
    place = _nearest(config.spool_dir)
    if _is_there(config.spool_dir):
        yield _used(Spool(config.spool_dir))
    elif os.access(place, os.R_OK | os.W_OK | os.X_OK):
        yield note("disk.spool", f"There is no spool in {config.home} yet: the listener or the steward makes it.")
    else:
        words = f"There is no spool in {config.home}, and {account()} may not make it: {place} is not writable."
        yield fault("disk.spool", Ailment.HOME_FORBIDDEN, words, user=account(), path=config.home)
    yield from _room(place, config)
    for one in config.destinations:
        if isinstance(one, FolderDestination):
            yield _folder(one)


def _is_there(folder: Path) -> bool:
    """Say whether it is there; what stands above it and may not be entered counts as there, for its use will tell."""
    try:
        return folder.exists()
    except OSError:
        return True


def _used(spool: Spool) -> Finding:
    """Use the spool as intake and workers do."""
    begun = time.monotonic()
    try:
        for folder in ("instances", "work"):
            os.listdir(spool.root / folder)  # noqa: PTH208 - one that may not be read must say so
        with spool.staged(_PROBE) as file:
            sync_folder(file.parent)
            took_s = time.monotonic() - begun
            same = file.read_bytes() == _PROBE
    except (OSError, Unavailable) as error:
        said = error.detail if isinstance(error, Unavailable) else f"{error.filename}: {error.strerror}"
        return _unusable(spool, said)
    if not same:
        return _unusable(spool, "what was read back is not what was written")
    words = f"A file was written to {spool.root}, made durable and read back in {took_s * 1000:.0f} ms."
    if took_s > _SLOW_S:
        return warning("disk.spool", Ailment.DISK_SLOW, words, path=spool.root)
    return fine("disk.spool", words)


def _unusable(spool: Spool, said: str) -> Finding:
    words = f"The spool {spool.root} cannot be used: {said}."
    if "No space" in said:
        return fault("disk.spool", Ailment.DISK_FULL, words, path=spool.root)
    return fault("disk.spool", Ailment.SPOOL_UNUSABLE, words, user=account(), path=spool.root)


def _room(place: Path, config: Settings) -> Iterator[Finding]:
    """Compare free space and inodes with the marks."""
    try:
        found = os.statvfs(place)
    except OSError as error:
        words = f"The free space of {place} cannot be seen: {error.strerror}."
        yield fault("disk.space", Ailment.SPOOL_UNUSABLE, words, user=account(), path=config.home)
        return
    free_mb = found.f_bavail * found.f_frsize // _MB
    words = f"{free_mb:,} MB are free on the file system of {place}".replace(",", " ")
    if free_mb < config.spool_full_mb:
        words += f", less than spool_full_mb = {config.spool_full_mb}."
        yield fault("disk.space", Ailment.DISK_FULL, words, path=place)
    elif free_mb < config.spool_low_mb:
        words += f", less than spool_low_mb = {config.spool_low_mb}."
        yield warning("disk.space", Ailment.DISK_LOW, words, path=place)
    else:
        yield fine("disk.space", words + ".")
    if found.f_files:
        yield _inodes(place, found.f_favail, found.f_files)


def _inodes(place: Path, free: int, all_: int) -> Finding:
    words = f"{free} of {all_} inodes are free there."
    if free < _INODES_LEAST:
        return fault("disk.inodes", Ailment.INODES_LOW, words, path=place)
    if free < _INODES_LOW * all_:
        return warning("disk.inodes", Ailment.INODES_LOW, words, path=place)
    return fine("disk.inodes", words)


def _folder(one: FolderDestination) -> Finding:
    """See whether a folder that results go to can be written; nothing is written, for somebody may be watching it."""
    place = _nearest(one.path)
    if place.is_dir() and os.access(place, os.W_OK | os.X_OK):
        return fine("disk.folder", f"Results can be written to {one.path}.", one.name)
    words = f"Results cannot be written to {one.path}: {account()} may not write to {place}."
    return fault("disk.folder", Ailment.FOLDER_UNUSABLE, words, one.name, user=account())


def _nearest(path: Path) -> Path:
    """Return the path, or the nearest above it that is there."""
    for one in (path, *path.parents):
        try:
            if one.exists():
                return one
        except OSError:  # what is above it may not be entered
            continue
    return Path("/")
