"""The loops over voxels, compiled: numba makes machine code of them once and keeps it; a process loads what is kept.

Comes in: a function of arrays and numbers, and the types of its arguments. Goes out: the same, compiled; it lets
other threads run meanwhile. What can go wrong: nothing. Next: the radiomics of stage 8, the second engine of stage 7.

The code is kept where numba keeps it: in $NUMBA_CACHE_DIR, else beside the modules, else in the user's cache; it is
bound to the processor. A user who may write to none of them gets a folder for the process. What lies beside the
modules, compiled when the package was installed, is copied where another folder is used: numba reads no folder that it
may not write to.
"""

import atexit
import os
import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from tempfile import mkdtemp
from threading import Lock
from typing import Any, ParamSpec, TypeVar, cast

import numba
from numba.core.sigutils import normalize_signature

_Given = ParamSpec("_Given")
_Result = TypeVar("_Result")
_made: list[tuple[Any, tuple[str, ...]]] = []
_loading = Lock()


def compiled(*signatures: str) -> Callable[[Callable[_Given, _Result]], Callable[_Given, _Result]]:
    """Return a decorator that makes machine code of a function, at its first call or when `load` is called."""

    def make(function: Callable[_Given, _Result]) -> Callable[_Given, _Result]:
        try:
            made = numba.njit(function, nogil=True, cache=True)
        except RuntimeError:  # numba found no folder that it may write to
            numba.config.CACHE_DIR = _own_folder()
            made = numba.njit(function, nogil=True, cache=True)
        _made.append((made, signatures))
        return cast("Callable[_Given, _Result]", made)

    return make


def load() -> None:
    """Load the machine code of all functions, or make it: half a second, or half a minute where nothing is kept."""
    with _loading:
        while _made:
            made, signatures = _made[-1]
            _copy_installed(made)
            for signature in signatures:
                made.compile(normalize_signature(signature)[0])  # keyed as by a call, not by these words
            _made.pop()


def _own_folder() -> str:
    """Return a folder of this process alone, which is gone when it ends."""
    folder = mkdtemp(prefix="crlm-node-compiled-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


def _copy_installed(made: Any) -> None:
    """Copy what was compiled of a function when the package was installed to where this process looks for it."""
    installed, here = Path(made.py_func.__code__.co_filename).parent / "__pycache__", Path(made.stats.cache_path)
    if installed == here:
        return
    pattern = f"{Path(made.py_func.__code__.co_filename).stem}.{made.py_func.__qualname__}-*.nb[ci]"
    for source in sorted(installed.glob(pattern)):  # the index comes last, which names the others
        target, partial = here / source.name, here / f".{source.name}.{os.getpid()}"
        with suppress(OSError):
            if not target.exists() or target.stat().st_mtime < source.stat().st_mtime:
                shutil.copyfile(source, partial)
                partial.replace(target)
