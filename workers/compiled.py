"""The loops over voxels, compiled: numba makes machine code of them at their first use and keeps it for the next.

Comes in: a function of arrays and numbers. Goes out: the same, compiled; it lets other threads run meanwhile. What can
go wrong: a user who owns no folder to keep the code in compiles anew in each process, some seconds. Next: the radiomics
of stage 8, the second engine of stage 7.
"""

from collections.abc import Callable
from typing import ParamSpec, TypeVar, cast

from numba import njit

_Given = ParamSpec("_Given")
_Result = TypeVar("_Result")


def compiled(function: Callable[_Given, _Result]) -> Callable[_Given, _Result]:
    """Return `function` as machine code."""
    try:
        made = njit(function, nogil=True, cache=True)
    except RuntimeError:  # numba found no folder that it may write to
        made = njit(function, nogil=True)
    return cast("Callable[_Given, _Result]", made)
