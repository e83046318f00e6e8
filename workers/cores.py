"""The cores of this process: how many there are, and a loop over slices that is shared out between them.

Comes in: a function of a first and a last slice that lets other threads run. Goes out: nothing; it writes where it was
told to. What can go wrong: nothing. Next: the second engine of stage 7, the deep features of stage 8.
"""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise


def threads() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0))


def share_out(work: Callable[[int, int], object], slices: int) -> list[object]:
    """Call a function on as many parts of so many slices as there are cores, all at once; return what each said."""
    count = min(threads(), slices)
    ends = [slices * part // count for part in range(count + 1)]
    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(lambda part: work(*part), pairwise(ends)))
